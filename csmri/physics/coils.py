"""Receive coils: drawn for a simulation, combined without maps."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf


def make_coils(n_coils: Any, matrix: Any, *, seed: tf.Tensor) -> tf.Tensor:
    """Draw coil sensitivity maps (coil, y, x), complex64, smooth, root sum of squares 1.

    Coils stand in a ring around the field of view, 0.9 to 1.5 half fields of view from its centre, each a Gaussian of
    width 0.7 to 1.2 half fields of view, with a constant phase and ramps of up to 1 rad over half the field of view
    (after Jaubert et al., Sci Rep 2024, doi 10.1038/s41598-024-62294-2, and the ranges of arrays at 1.5 T).
    """
    n_coils = tf.convert_to_tensor(n_coils)
    uniform = tf.random.stateless_uniform([7, n_coils, 1, 1], seed, alg="philox")
    # The whole ring is turned, too, so that no coil has a place of its own.
    number = tf.cast(n_coils, tf.float32)
    place = tf.reshape(tf.range(number), [-1, 1, 1]) + number * uniform[6, :1] + uniform[0]
    turn = place * (2 * math.pi / number)
    distance, width = 0.9 + 0.6 * uniform[1], 0.7 + 0.5 * uniform[2]
    y, x = positions(matrix)
    apart = tf.square(y - distance * tf.sin(turn)) + tf.square(x - distance * tf.cos(turn))
    log_size = -apart / (2 * tf.square(width))
    # Relative to the strongest coil of every pixel, so that far corners do not underflow.
    size = tf.exp(log_size - tf.reduce_max(log_size, axis=0))
    phase = math.pi * (2 * uniform[3] - 1) + (2 * uniform[4] - 1) * y + (2 * uniform[5] - 1) * x
    size /= root_sum_of_squares(size)
    return tf.complex(size * tf.cos(phase), size * tf.sin(phase))


def positions(matrix: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Place of every row (y, 1) and column (1, x), from -1 to 1 over the field of view."""
    return tf.linspace(-1.0, 1.0, matrix[0])[:, tf.newaxis], tf.linspace(-1.0, 1.0, matrix[1])[tf.newaxis]


def root_sum_of_squares(coils: Any) -> tf.Tensor:
    """Combine coil images (coil, ...) without maps: magnitudes, float32."""
    return tf.norm(tf.abs(coils), axis=0)
