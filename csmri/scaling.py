"""Equations (1) to (3): normalise the initial reconstruction, normalise and denormalise its error."""

from __future__ import annotations

import tensorflow as tf

NO_ERROR = 0.5
"""Target of equation (2) where the initial reconstruction is right."""


def frame_peak(initial: tf.Tensor) -> tf.Tensor:
    """Maximum of every frame, kept as (..., frame, 1, 1); 1 for a frame of zeros, so that it stays zero."""
    peak = tf.reduce_max(initial, axis=(-2, -1), keepdims=True)
    return tf.where(peak > 0, peak, tf.ones_like(peak))


def normalise_initial(initial: tf.Tensor, peak: tf.Tensor) -> tf.Tensor:
    """Equation (1): X = I / max(I), in [0, 1].

    Parameters
    ----------
    initial : (..., frame, y, x), float, >= 0
    peak : (..., frame, 1, 1)
        From `frame_peak(initial)`.
    """
    return initial / peak


def normalise_error(error: tf.Tensor, peak: tf.Tensor) -> tf.Tensor:
    """Equation (2): T = (E / max(I) + 1) / 2, where the error E = G - I is signed and the output a sigmoid.

    Values lie in [0, 1] unless somewhere the reference exceeds the initial reconstruction by more than its maximum.
    """
    return (error / peak + 1.0) / 2.0


def denormalise_error(target: tf.Tensor, peak: tf.Tensor) -> tf.Tensor:
    """Equation (3): E = (2 T - 1) max(I), with the same max(I) as in (1) and (2)."""
    return (2.0 * target - 1.0) * peak


def corrected(initial: tf.Tensor, target: tf.Tensor, peak: tf.Tensor) -> tf.Tensor:
    """Final image max(I + E, 0), (..., frame, y, x)."""
    return tf.maximum(initial + denormalise_error(target, peak), 0.0)
