"""Who computes a training: one device, all of this machine, or those of several machines."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from csmri.config import Config
from csmri.core.errors import CsmriError, WorkerLostError
from csmri.core.locks import unheard
from csmri.core.names import MIRRORED, MULTIWORKER
from csmri.learning.stream import Part, Stream

VARIABLE = "TF_CONFIG"
EXPECTED = (
    '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}, with an index of its '
    "own in every process"
)

LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)
"""What TensorFlow raises where another worker is no more."""


@dataclass(frozen=True)
class Devices:
    """Devices that share every batch of a training; this process has those of one worker.

    Parameters
    ----------
    strategy : tf.distribute.Strategy
        The default one, a single device, where nothing is distributed.
    n_replicas : int
        Devices of all workers together.
    part : Part
        What this worker takes of a stream; the first is the chief, who alone writes.
    by_keras : bool
        Whether Keras shares the batches by itself, as it does on JAX.
    """

    strategy: tf.distribute.Strategy = field(default_factory=tf.distribute.get_strategy)
    n_replicas: int = 1
    part: Part = Part()
    by_keras: bool = False

    @property
    def is_chief(self) -> bool:
        """Whether this process writes to the run folder and reports."""
        return self.part.worker == 0

    @property
    def n_local(self) -> int:
        """Devices of this process."""
        return self.n_replicas // self.part.n_workers

    @property
    def is_distributed(self) -> bool:
        """Whether csmri's own loop shares the batches out, and not Keras."""
        return not self.by_keras and self.strategy is not tf.distribute.get_strategy()

    @property
    def told(self) -> str:
        """How many they are, for people; nothing where it is but one."""
        n, n_workers = self.n_replicas, self.part.n_workers
        workers = f" of {n_workers} workers" if n_workers > 1 else ""
        return f" on {n} devices{workers}" if n > 1 else ""

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Make of what TensorFlow raises where another worker is no more an error that says what to do.

        Raises
        ------
        WorkerLostError
            If another worker ended before the training.
        """
        try:
            yield
        except LOST as error:
            if self.part.n_workers == 1:
                raise
            raise WorkerLostError(
                "another worker ended or is out of reach: give the same command again on all of them, and the training "
                f"goes on after its last whole epoch ({type(error).__name__})"
            ) from error

    def check(self, config: Config, streams: Sequence[Stream]) -> None:
        """Refuse a batch that cannot be shared evenly.

        Raises
        ------
        CsmriError
            Naming numbers that can be.
        """
        n, size = self.n_replicas, config.batch_size
        if size % n:
            divisors = [one for one in range(1, size + 1) if size % one == 0]
            raise CsmriError(
                f"batch_size = {size} is what all devices take together, and cannot be divided among {n}; choose a "
                f"multiple of {n} ({n}, {2 * n}, {3 * n}, ...), or {_listed(divisors)} devices"
            )
        if keras.backend.backend() != "tensorflow" and size > 1 and any(stream.n_cines for stream in streams):
            raise CsmriError(
                f'network = "unrolled" with batch_size = {size}: cines, each of a size of its own, make no batch but '
                "on TensorFlow; let batch_size be 1 or train there (without KERAS_BACKEND)"
            )
        for stream in streams if self.by_keras and n > 1 else ():
            # Keras lays the arrays of all batches out alike, of the last and smaller one, too.
            if uneven := [n_images for n_images in stream.by_matrix if n_images % n]:
                raise CsmriError(
                    f"an epoch of {uneven[0]} images of one matrix cannot be divided among {n} devices by JAX, its "
                    f"last batch included; let images_per_epoch be a multiple of {n} and leave out validation_split, "
                    "or train on TensorFlow (without KERAS_BACKEND)"
                )


@contextmanager
def devices_of(kind: str, report: Callable[[str], None]) -> Iterator[Devices]:
    """Take the devices that are asked for, "" for one, "mirrored" or "multiworker"; TensorFlow must not have begun.

    Of several workers the chief reports that it waits for the others.

    Raises
    ------
    CsmriError
        If the backend of Keras cannot, or `TF_CONFIG` does not tell who the workers are.
    """
    backend = keras.backend.backend()
    if not kind:
        yield Devices()
    elif kind == MIRRORED and backend == "jax":
        parallel = keras.distribution.DataParallel()
        with parallel.scope():
            yield Devices(n_replicas=parallel.num_model_replicas, by_keras=True)
    elif backend != "tensorflow":
        raise CsmriError(
            f"--distribute {kind} is of TensorFlow{', and mirrored of JAX' if kind == MULTIWORKER else ' and JAX'}; "
            f"this is KERAS_BACKEND={backend}"
        )
    elif kind == MIRRORED:
        strategy = tf.distribute.MirroredStrategy(_local_devices())
        yield Devices(strategy, strategy.num_replicas_in_sync)
    else:
        part = part_of(os.environ.get(VARIABLE, ""))
        if part.worker == 0 and part.n_workers > 1:
            report(f"worker 0 of {part.n_workers}: waits for the others")
        with unheard():
            strategy = _multi_worker()
        yield Devices(strategy, strategy.num_replicas_in_sync, part)


def part_of(text: str) -> Part:
    """Tell which worker of how many this process is by the JSON of `TF_CONFIG`.

    Raises
    ------
    CsmriError
        If there is none, or it does not name the workers and this one among them.
    """
    if not text:
        raise CsmriError(
            f"--distribute {MULTIWORKER}: {VARIABLE} is not set, which tells the workers; it is {EXPECTED}"
        )
    try:
        found = json.loads(text)
        cluster, task = found["cluster"], found["task"]
        others = cluster.keys() - {"chief", "worker"}
        places = [(job, index) for job in ("chief", "worker") for index, _ in enumerate(_addresses(cluster, job))]
        worker = places.index((task["type"], int(task["index"])))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CsmriError(f"{VARIABLE}={text:.200}: does not name the workers and this one; it is {EXPECTED}") from error
    if others:
        raise CsmriError(f"{VARIABLE}: a training has no {_listed(sorted(others))}, workers alone; it is {EXPECTED}")
    return Part(worker, len(places))


def _addresses(cluster: Mapping[str, Any], job: str) -> list[str]:
    addresses = cluster.get(job, [])
    if not isinstance(addresses, list) or not all(isinstance(one, str) for one in addresses):
        raise ValueError(job)
    return addresses


def _local_devices() -> list[str]:
    """All GPUs; without one all processors of TensorFlow, which has one unless it was told to have more."""
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [one.name for one in found]


def _multi_worker() -> tf.distribute.Strategy:
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise CsmriError(
            f"--distribute {MULTIWORKER}: the workers of {VARIABLE} did not come together ({str(error):.300}); start "
            "the same command on all of them, and look whether they reach each other"
        ) from error


def _listed(values: Sequence[object]) -> str:
    *most, last = [str(value) for value in values]
    return f"{', '.join(most)} or {last}" if most else last
