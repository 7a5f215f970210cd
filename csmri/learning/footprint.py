"""How much memory a training takes, by an estimate, and how much of it the buffers of its examples may have.

What `estimate` said, over the most memory that `csmri train` had from start to end, by November 2026 on two cores of an
Intel Xeon, for cines of 20 frames of 128 x 128 pixels: 1.00 and 0.96 for U-nets of 16 and 32 channels with batches of 8
(measured 1.2 and 1.5 GiB), 0.97 for the unrolled network of 12 channels (1.8 GiB), 1.14 for that with eight coils and
`crop_columns = 32` (1.4 GiB). Without the data, steps alone: 0.93 for a U-net of 64 channels, 1.0 for the unrolled
network of 4, from which nothing was fitted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from csmri.core import workers
from csmri.core.memory import amount, available_memory, taken_memory
from csmri.data.store import Entry
from csmri.learning.sizes import mean_frames
from csmri.methods.footprint import activations
from csmri.methods.task import Task

GRAPH, OF_AN_OPERATION = 100 * 2**20, 1.5 * 2**20
"""Bytes that TensorFlow takes for a network that it compiles and, in the end, saves, and for each of its layers:
measured."""
BUFFER_SHARE = 0.25
"""Of the memory that is free: for examples that are made in advance."""
COPIES = 8
"""Complex copies of a cine that lie in memory while an example is made of it, at most [our estimate]."""
MOST_BATCHES = 16
"""Made in advance; more never wait for a step."""


@dataclass(frozen=True)
class Buffers:
    """How much is made in advance; it decides of memory and speed, and of no number and no order.

    Parameters
    ----------
    parallel : int >= 1
        Cines that examples are made of at once.
    batches : int >= 1
        That wait for a step, at most.
    budget : int
        Bytes, which TensorFlow heeds where it decides for itself.
    """

    parallel: int
    batches: int
    budget: int

    def at_the_end(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Have batches made in advance."""
        options = tf.data.Options()
        options.autotune.ram_budget = self.budget
        return batches.prefetch(self.batches).with_options(options)


def fitting_buffers(task: Task, entries: Sequence[Entry]) -> Buffers:
    """Buffers for which a share of the free memory suffices; the least ones, if it does for none."""
    budget = int(BUFFER_SHARE * available_memory())
    parallel = budget // 2 // max(_work(task, entry) for entry in entries)
    batches = budget // 2 // max(_batch(task, entry) for entry in entries)
    return Buffers(max(1, min(parallel, workers.cores())), max(1, min(batches, MOST_BATCHES)), max(budget, 2**20))


@dataclass(frozen=True)
class Footprint:
    """Bytes of memory that a training takes, by an estimate.

    Parameters
    ----------
    taken : int
        By the process already: Python, TensorFlow, weights and the optimizer's numbers.
    step : int
        What a step computes: gradients and all that they are computed from.
    examples : int
        Cines whose frames take turns, and examples that are made in advance.
    compiled : int
        The network as TensorFlow compiles it.
    """

    taken: int
    step: int
    examples: int
    compiled: int

    @property
    def further(self) -> int:
        """What is to be taken yet."""
        return self.step + self.examples + self.compiled

    def text(self) -> str:
        """Say it in a line."""
        return (
            f"about {amount(self.taken + self.further)} of memory by an estimate (a step {amount(self.step)}, examples "
            f"{amount(self.examples)}, TensorFlow and the network {amount(self.taken + self.compiled)})"
        )


def estimate(network: keras.Model, task: Task, entries: Sequence[Entry], buffers: Buffers) -> Footprint:
    """Estimate what the training of a network takes, once it is compiled; not how much of it a GPU has."""
    config = task.config
    largest = max(entries, key=lambda entry: entry.n_frames * entry.matrix[0] * entry.matrix[1])
    matrix = task.matrix(*largest.matrix)
    n_frames = largest.n_frames if task.takes_cines else config.batch_size
    n_coils = _most_coils(task)
    weights = 4 * sum(math.prod(one.shape) for one in network.trainable_variables)
    kept = task.kept_share * activations(network, task.shapes(matrix, n_frames=n_frames, n_coils=n_coils))
    further_coils = task.coil_bytes * (n_coils - 1) * n_frames * matrix[0] * matrix[1]
    in_turn = 0
    if not task.takes_cines:
        turns = max(1, round(config.shuffle_frames / mean_frames(entries)))
        in_turn = turns * max(_example(task, entry) for entry in entries)
    in_advance = buffers.parallel * max(_work(task, entry) for entry in entries)
    in_advance += buffers.batches * max(_batch(task, entry) for entry in entries)
    return Footprint(
        taken_memory(),
        int(weights + kept + further_coils),
        in_turn + in_advance,
        int(GRAPH + OF_AN_OPERATION * len(network.operations)),
    )


def too_little(footprint: Footprint, task: Task) -> str:
    """What to do where the free memory does not suffice by the estimate; empty where it does."""
    free = available_memory()
    if footprint.further <= free or tf.config.list_physical_devices("GPU"):
        return ""
    config = task.config
    less = [f"crop_columns = {32 if config.crop_columns == 0 else max(8, config.crop_columns // 2)}", "fewer channels"]
    if config.batch_size > 1:
        less.insert(0, f"a batch_size below {config.batch_size}")
    if not task.takes_cines and footprint.examples > footprint.step:
        less.insert(0, f"shuffle_frames below {config.shuffle_frames}")
    return (
        f"{amount(free)} of memory are free, and {amount(footprint.further)} are still to be taken: it may become slow "
        f"or be killed; take a machine with more memory, or {' or '.join(less)}, which change the result"
    )


def _most_coils(task: Task) -> int:
    config = task.config
    return max(config.coils, config.coils_range[1] if config.coils_share else 1)


def _example(task: Task, entry: Entry) -> int:
    """Bytes of inputs and target of a cine."""
    y, x = task.matrix(*entry.matrix)
    if not task.takes_cines:
        return 4 * entry.n_frames * y * x * (task.config.input_channels + 3)
    return 8 * entry.n_frames * y * x * (3 + _most_coils(task))


def _work(task: Task, entry: Entry) -> int:
    """Bytes that making an example of a cine takes."""
    return _example(task, entry) + 8 * COPIES * entry.n_frames * entry.matrix[0] * entry.matrix[1] * _most_coils(task)


def _batch(task: Task, entry: Entry) -> int:
    n_examples = 1 if task.takes_cines else task.config.batch_size / entry.n_frames
    return max(1, int(n_examples * _example(task, entry)))
