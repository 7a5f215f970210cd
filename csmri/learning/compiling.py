"""A network with the optimizer, loss and metrics of its config."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from csmri.config import Config
from csmri.learning.transfer import paced
from csmri.methods.task import task_of

# The target's spread is of the order of 0.01, so that gradients are tiny; the usual 1e-7 would damp them.
EPSILON = 1e-10
OPTIMIZERS: dict[str, Callable[..., keras.Optimizer]] = {
    "adam": lambda rate, **options: keras.optimizers.Adam(rate, epsilon=EPSILON, **options),
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": lambda rate, **options: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, **options),
}


def compiled_network(config: Config, n_batches: int) -> keras.Model:
    """Build and compile the network of a config; `n_batches` an epoch set the pace of the cosine schedule."""
    return compile_network(task_of(config).build(), config, n_batches)


def compile_network(network: keras.Model, config: Config, n_batches: int) -> keras.Model:
    """Give a network the optimizer, loss and metrics of a config."""
    rate: Any = config.learning_rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, config.epochs * n_batches)
    task = task_of(config)
    optimizer = OPTIMIZERS[config.optimizer](rate, global_clipnorm=task.clip_norm)
    network.compile(
        paced(optimizer, network, config),
        loss=task.loss(),
        metrics=task.metrics(),
        # XLA of TensorFlow wants loops of a known length, and cines have as many coils as they have.
        jit_compile=False if task.takes_cines and keras.backend.backend() == "tensorflow" else "auto",
    )
    # Made inside the first step, the optimizer's variables would have TensorFlow trace the step twice.
    network.optimizer.build(network.trainable_variables)
    return network
