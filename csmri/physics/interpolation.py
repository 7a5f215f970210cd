"""Temporal linear interpolation of the k-space lines that were not acquired."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from csmri.physics.sampling import choose_lines


def nearest_acquired(mask: tf.Tensor, *, cyclic: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Find, for every (frame, ky), the nearest acquired frames of the same ky, and the weight of the later one.

    Returns
    -------
    before, after : (frame, ky), int32
        The frame itself where it was acquired. Without wrap-around, a frame beyond the first or last acquired one has
        that one on both sides.
    weight : (frame, ky), float32 in [0, 1)
        Of `after`; `before` has 1 - weight.
    """
    mask = tf.convert_to_tensor(mask)
    n_frames = tf.shape(mask)[0]
    frames = tf.range(n_frames)
    lag = frames[:, tf.newaxis] - frames[tf.newaxis, :]
    unreachable = 2 * n_frames

    def nearest(distance: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        held = tf.where(distance < 0, unreachable, distance)
        distance = tf.where(cyclic, tf.math.floormod(distance, n_frames), held)
        candidates = tf.where(mask[tf.newaxis], distance[..., tf.newaxis], unreachable)
        return tf.argmin(candidates, axis=1, output_type=tf.int32), tf.reduce_min(candidates, axis=1)

    before, to_before = nearest(lag)
    after, to_after = nearest(-lag)
    before, after = (
        tf.where(to_before < unreachable, before, after),
        tf.where(to_after < unreachable, after, before),
    )
    between = tf.where((to_before < unreachable) & (to_after < unreachable), to_before + to_after, 0)
    weight = tf.math.divide_no_nan(tf.cast(to_before, tf.float32), tf.cast(between, tf.float32))
    return before, after, weight


def interpolate_frames(kspace: tf.Tensor, mask: tf.Tensor, *, cyclic: Any = True) -> tf.Tensor:
    """Fill every line not acquired by linear interpolation in time (paper section 2.3, figure 2).

    A ky acquired in one frame only is held in all; a ky acquired in none stays zero; acquired lines are kept as they
    are, bit for bit. Lines that the mask does not mark are never read.

    Parameters
    ----------
    kspace : (..., frame, ky, x or kx), complex64
    mask : (frame, ky), bool
    cyclic : bool, or a tensor of one
        Whether the last frame neighbours the first, as in a cardiac cycle; otherwise the first and last acquired
        lines are held.
    """
    kspace, mask = tf.convert_to_tensor(kspace), tf.convert_to_tensor(mask)
    before, after, weight = nearest_acquired(mask, cyclic=cyclic)
    n_ky = tf.shape(mask)[1]
    shape = tf.shape(kspace)
    lines = tf.reshape(kspace, tf.concat([shape[:-3], [shape[-3] * n_ky, shape[-1]]], axis=0))

    def of_frame(frame: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.gather(lines, tf.reshape(frame * n_ky + tf.range(n_ky), [-1]), axis=-2), shape)

    earlier, later = of_frame(before), of_frame(after)
    filled = earlier + tf.cast(weight[..., tf.newaxis], kspace.dtype) * (later - earlier)
    filled = choose_lines(tf.reduce_any(mask, axis=0), filled, tf.zeros_like(filled))
    return choose_lines(mask, kspace, filled)


def temporal_mean(kspace: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Average (..., frame, ky, x or kx) over the frames that acquired a line; (..., ky, x or kx), 0 where none did."""
    acquired = tf.cast(mask, kspace.dtype)[..., tf.newaxis]
    return tf.math.divide_no_nan(tf.reduce_sum(acquired * kspace, axis=-3), tf.reduce_sum(acquired, axis=0))
