"""Around the U-net: equations (1) to (3), which normalise the initial reconstruction and its error, and padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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


def network_input(
    initial: tf.Tensor,
    peak: tf.Tensor,
    *,
    frames: int = 1,
    cyclic: bool = True,
    acceleration_factor: tf.Tensor | None = None,
) -> tf.Tensor:
    """Equation (1) for a window of frames around every frame, divided by the maximum of the middle one.

    Parameters
    ----------
    initial : (frame, y, x), float32, >= 0
    peak : (frame, 1, 1)
        From `frame_peak(initial)`.
    frames : int, odd
        Of the window.
    cyclic : bool
        Whether the last frame neighbours the first; otherwise the first and last frame are held.
    acceleration_factor : (), float32, >= 1, optional
        Of the whole cine, for a network with `acceleration_input`.

    Returns
    -------
    tf.Tensor (frame, y, x, channel)
        Channels in the order of time, the frame itself in the middle: in [0, 1], its neighbours about that; then the
        share of acquired lines, 1 / `acceleration_factor`, the same everywhere, where that is given.
    """
    window = _window(initial, peak, frames, cyclic)
    if acceleration_factor is None:
        return window
    # Not the factor or its logarithm: the share needs no largest acceleration to be divided by.
    return tf.concat([window, tf.ones_like(window[..., :1]) / acceleration_factor], axis=-1)


def _window(initial: tf.Tensor, peak: tf.Tensor, frames: int, cyclic: bool) -> tf.Tensor:
    if frames == 1:
        return normalise_initial(initial, peak)[..., tf.newaxis]
    n_frames = tf.shape(initial)[0]
    window = tf.range(n_frames)[:, tf.newaxis] + tf.range(-(frames // 2), frames // 2 + 1)
    window = tf.math.floormod(window, n_frames) if cyclic else tf.clip_by_value(window, 0, n_frames - 1)
    neighbours = tf.transpose(tf.gather(initial, window), [0, 2, 3, 1])
    return normalise_initial(neighbours, peak[..., tf.newaxis])


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


def padded_size(size: Any, depth: int) -> Any:
    """Smallest multiple of 2**depth that holds so many rows or columns; integers or a tensor of them."""
    return -(-size // 2**depth) * 2**depth


def pad(images: tf.Tensor, matrix: Sequence[Any], value: float = 0.0) -> tf.Tensor:
    """Append rows and columns of a value to (frame, y, x), so that it has the matrix (y, x)."""
    missing = tf.stack(list(matrix)) - tf.shape(images)[1:]
    return tf.pad(images, [[0, 0], [0, missing[0]], [0, missing[1]]], constant_values=value)
