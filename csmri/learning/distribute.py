"""The training loop of several devices, which `fit` of Keras 3 is not: it raises with several workers.

It is that of one device to the last sum: every device adds up error, gradient and metrics over its part of a batch, all
are added up over the devices, and only then divided by what the whole batch counts, clipped and applied. A part may
have any size, so that parts of one device may also follow each other: cines of one batch, each of a size of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from csmri.config import Config
from csmri.core.errors import CsmriError
from csmri.learning.compiling import compile_network
from csmri.learning.devices import Devices
from csmri.learning.stream import Stream
from csmri.learning.transfer import rebuilt
from csmri.methods.task import task_of

Piece = tuple[Any, tf.Tensor, tf.Tensor]
"""What a device takes at once: inputs, target, and 1, or 0 where it is there only because a device needs something."""


def fit(
    network: keras.Model,
    devices: Devices,
    config: Config,
    *,
    stream: Stream,
    validation: Stream | None,
    first_epoch: int,
    callbacks: keras.callbacks.CallbackList,
) -> None:
    """Train a network as `network.fit` would, by all devices.

    Parameters
    ----------
    network : keras.Model
        Compiled, with the weights and the optimizer's state to go on from; it has those of every epoch when callbacks
        are called at its end.
    stream, validation : Stream
        Of the part of this worker; the first from `first_epoch` on.
    callbacks : CallbackList
        Of the chief; others have none.
    """
    loop = _Loop(network, devices, config, stream)
    callbacks.on_train_begin()
    batches = loop.batches(stream)
    for epoch in range(first_epoch, config.epochs):
        callbacks.on_epoch_begin(epoch)
        logs = loop.train(batches, stream, callbacks)
        if validation is not None:
            logs |= {f"val_{name}": value for name, value in loop.evaluate(validation).items()}
        loop.give_back(network)
        callbacks.on_epoch_end(epoch, logs)
    callbacks.on_train_end()
    # So that nobody tells of an end, or ends, before the chief has written everything.
    agree(network, devices, config.epochs)


def agree(network: keras.Model, devices: Devices, epoch: int) -> None:
    """Wait for all workers, and refuse if one of them is not where the chief is.

    Raises
    ------
    CsmriError
        Naming the first worker that has other weights, or another number of epochs behind it.
    """
    part = devices.part
    if part.n_workers == 1:
        return
    digest = 0
    for variable in (*network.variables, *network.optimizer.variables):
        digest = zlib.crc32(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).tobytes(), digest)
    own = np.zeros([part.n_workers, 3], np.int32)
    own[part.worker] = epoch, digest >> 16, digest & 0xFFFF

    def summed() -> tf.Tensor:
        mine = tf.constant(own) * tf.cast(_place(devices) == 0, tf.int32)
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, mine)

    chief, *others = _one(devices, devices.strategy.run(tf.function(summed, autograph=False))).numpy().tolist()
    for worker, other in enumerate(others, 1):
        if other != chief:
            raise CsmriError(
                f"worker {worker} would go on after epoch {other[0]} and the chief after epoch {chief[0]}, or with "
                "other weights: all workers need the same config, --store, --init and --out, the run folder of the "
                "chief (a file system that they share)"
            )


class _Loop:
    """A copy of a network on every device, and how they step."""

    def __init__(self, network: keras.Model, devices: Devices, config: Config, stream: Stream) -> None:
        self.devices, self.batch_size = devices, config.batch_size
        task = task_of(config)
        self.loss, self.metrics, self.clip_norm = task.loss(), task.metrics(), task.clip_norm
        with devices.strategy.scope():
            self.network = compile_network(rebuilt(network, {}), config, stream.n_batches)
            for mine, given in zip(_state(self.network), _state(network), strict=True):
                mine.assign(keras.ops.convert_to_numpy(given))
            # Of the batch so far: gradients, and what is logged.
            self.sums = [_sum_of(variable.shape) for variable in self.network.trainable_variables]
            self.logged = _sum_of([3 + 2 * len(self.metrics)])
        spec = (*stream.dataset.element_spec, tf.TensorSpec([], tf.float32))
        pieces = (spec,) * devices.n_local
        options: dict[str, Any] = {"autograph": False}
        self.add = tf.function(self._on_all(self._add), input_signature=[pieces], **options)
        self.look = tf.function(self._on_all(self._look), input_signature=[pieces], **options)
        self.step = tf.function(self._on_all(self._step), **options)
        self.total = tf.function(self._on_all(self._total), **options)

    def _on_all(self, function: Any) -> Any:
        return lambda *arguments: _one(self.devices, self.devices.strategy.run(function, args=arguments))

    # --- on a device

    def _add(self, pieces: tuple[Piece, ...]) -> None:
        inputs, target, counts = pieces[_place(self.devices)]
        variables = [variable.value for variable in self.network.trainable_variables]
        with tf.GradientTape() as tape:
            predicted = tf.cast(self.network(inputs, training=True), tf.float32)
            total, amount = self.loss.total_and_amount(target, predicted)
            total *= counts
        gradients = tape.gradient(total, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        for so_far, gradient in zip(self.sums, gradients, strict=True):
            so_far.assign_add(gradient)
        self._log(target, predicted, total, amount, counts)

    def _look(self, pieces: tuple[Piece, ...]) -> None:
        inputs, target, counts = pieces[_place(self.devices)]
        predicted = tf.cast(self.network(inputs, training=False), tf.float32)
        total, amount = self.loss.total_and_amount(target, predicted)
        self._log(target, predicted, counts * total, amount, counts)

    def _log(self, target: tf.Tensor, predicted: tf.Tensor, total: Any, amount: Any, counts: tf.Tensor) -> None:
        found = [total, counts * amount, counts * tf.cast(tf.shape(target)[0], tf.float32)]
        for metric in self.metrics:  # each of them a mean: a total and a count
            before = [tf.zeros([]), tf.zeros([])]
            found += [counts * one for one in metric.stateless_update_state(before, target, predicted)]
        self.logged.assign_add(tf.stack(found))

    def _total(self) -> tf.Tensor:
        """What is logged of the batch, over all devices; the next one begins with nothing."""
        reduced = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, _here(self.logged))
        with tf.control_dependencies([reduced]):
            self.logged.assign(tf.zeros_like(reduced))
        return reduced

    def _step(self) -> tf.Tensor:
        logged, optimizer = self._total(), self.network.optimizer
        gradients = [_here(one) / logged[1] for one in self.sums]
        if self.clip_norm is not None:
            # Of the whole batch's gradient; what the optimizer clips by itself is one device's part, no more then.
            context = tf.distribute.get_replica_context()
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            gradients, _ = tf.clip_by_global_norm(gradients, self.clip_norm)
            gradients = [one / self.devices.n_replicas for one in gradients]
        optimizer.apply(gradients, self.network.trainable_variables)  # adds those of all devices up
        with tf.control_dependencies(gradients):
            for one in self.sums:
                one.assign(tf.zeros_like(one))
        return logged

    # --- on the host

    def batches(self, stream: Stream) -> Iterator[list[tuple[Piece, ...]]]:
        """Batches without end, each in rounds: a piece for every device of this worker."""
        examples, n, step = iter(stream.dataset), self.devices.n_local, 0
        while True:
            if not stream.n_cines:
                inputs, target = next(examples)
                yield _divided(inputs, target, n)
            else:
                n_cines = stream.part.n_cines(step % stream.n_batches, self.batch_size, stream.n_cines)
                own = [next(examples) for _ in range(n_cines)]
                rounds = [own[first : first + n] for first in range(0, n_cines, n)]
                yield [
                    tuple((*one[min(i, len(one) - 1)], tf.constant(float(i < len(one)))) for i in range(n))
                    for one in rounds
                ]
            step += 1

    def train(
        self, batches: Iterator[list[tuple[Piece, ...]]], stream: Stream, callbacks: keras.callbacks.CallbackList
    ) -> dict[str, float]:
        """Train an epoch; returns what is logged of it."""
        found = []
        for step in range(stream.n_batches):
            callbacks.on_train_batch_begin(step)
            for pieces in next(batches):
                self.add(pieces)
            found.append(self.step())
            callbacks.on_train_batch_end(step)
        return self._means(found)

    def evaluate(self, stream: Stream) -> dict[str, float]:
        """Go through a stream once without learning."""
        batches, found = self.batches(stream), []
        for _ in range(stream.n_batches):
            for pieces in next(batches):
                self.look(pieces)
            found.append(self.total())
        return self._means(found)

    def _means(self, batches: list[tf.Tensor]) -> dict[str, float]:
        total, amount, size, *metrics = np.stack(batches).astype(np.float64).T
        means = {"loss": float(np.sum(size * total / amount) / np.sum(size))}
        for metric, values, count in zip(self.metrics, metrics[::2], metrics[1::2], strict=True):
            means[metric.name] = float(np.sum(values) / np.sum(count)) if np.sum(count) else 0.0
        return means

    def give_back(self, network: keras.Model) -> None:
        """Give weights and optimizer's state to the network that is kept."""
        for theirs, mine in zip(_state(network), _state(self.network), strict=True):
            theirs.assign(keras.ops.convert_to_numpy(mine))


def _divided(inputs: tf.Tensor, target: tf.Tensor, n: int) -> list[tuple[Piece, ...]]:
    """A batch of images as one round, or none where it is empty."""
    size, pieces = len(target), []
    for i in range(n):
        first, last = i * size // n, (i + 1) * size // n
        some = slice(first, last) if last > first else slice(0, 1)
        pieces.append((inputs[some], target[some], tf.constant(float(last > first))))
    return [tuple(pieces)] if size else []


def _place(devices: Devices) -> int:
    """Number of a device within its worker, known when a function is traced for it."""
    number = tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group)
    return int(number) % devices.n_local


def _one(devices: Devices, values: Any) -> Any:
    """Of what every device returns alike, one."""
    return tf.nest.map_structure(lambda value: devices.strategy.experimental_local_results(value)[0], values)


def _sum_of(shape: Any) -> tf.Variable:
    """A sum that every device has its own of."""
    return tf.Variable(
        tf.zeros(shape),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
    )


def _here(variable: tf.Variable) -> tf.Tensor:
    # The copy has a device, which several workers want to know and what is read of a variable has not.
    return tf.identity(tf.convert_to_tensor(variable))


def _state(network: keras.Model) -> list[keras.Variable]:
    optimizer: Any = network.optimizer
    return [*network.weights, *optimizer.variables]
