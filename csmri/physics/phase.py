"""The phase of a cine: what is simulated where images have none, and the resting phase that a reconstruction finds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from keras import ops

from csmri.physics.coils import positions
from csmri.physics.smoothing import gaussian

PLUGS = 3
"""Vessels and cavities of one slice through which blood flows at a time of its own."""
PHASE_WIDTH = 2.0
"""Standard deviation [pixels] of the Gaussian that the resting phase is smoothed with; real phases are smoother."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """How strong the parts of a simulated phase are; numbers, or tensors where each acquisition has its own.

    Parameters
    ----------
    static, drift, moving : float
        Largest value of the smooth resting phase about a constant, of the slow change, and of a pulse of flow [rad].
    shift : float
        Largest shift of the echo off the centre of k-space [samples].
    present : float
        0 where not even a constant phase is added.
    """

    static: Any
    shift: Any
    present: Any = 1.0
    drift: Any = 0.0
    moving: Any = 0.0


def make_phase(magnitude: tf.Tensor, strength: Phase, *, seed: tf.Tensor) -> tf.Tensor:
    """Draw the phase [rad] of a magnitude cine (frame, y, x), as that of measured cines behaves.

    Static: a smooth map (a 6 x 6 grid, bicubic), a constant, and the ramps of an echo off the centre of k-space. Drift:
    a smooth map (4 x 4) that comes and goes once a cycle. Moving: pulses of flow in regions of the blood pool, uniform
    plugs with sharp edges that move with the content, of either sign, 0.1 to 0.3 of
    the cycle long at half their peak; where two overlap they add.

    References
    ----------
    Jaubert et al., Sci Rep 2024, doi 10.1038/s41598-024-62294-2 [static phase from a grid].
    """
    seeds = tf.unstack(tf.random.split(tf.cast(seed, tf.int64), 5, alg="philox"))
    n_frames, *matrix = tf.unstack(tf.shape(magnitude))
    uniform = tf.random.stateless_uniform([4], seeds[0], -1.0, 1.0, alg="philox")
    y, x = positions(matrix)
    # A shift by one sample in k-space turns the phase by 2 pi over the field of view, which is 2 wide here.
    ramps = math.pi * strength.shift * (uniform[1] * y + uniform[2] * x)
    phase = strength.static * smooth_map(6, matrix, seed=seeds[1]) + math.pi * strength.present * uniform[0] + ramps
    phase = tf.tile(phase[tf.newaxis], [n_frames, 1, 1])
    if tf.is_tensor(strength.drift) or strength.drift:
        cycle = tf.range(n_frames, dtype=tf.float32) / tf.cast(n_frames, tf.float32)
        slow = tf.cos(2 * math.pi * (cycle + uniform[3]))[:, tf.newaxis, tf.newaxis]
        phase += strength.drift * slow * smooth_map(4, matrix, seed=seeds[2])
    if tf.is_tensor(strength.moving):

        def pulses() -> tf.Tensor:
            return strength.moving * flow_pulses(magnitude, seeds=seeds[3:])

        phase += tf.cond(strength.moving > 0, pulses, lambda: tf.zeros_like(magnitude))
    elif strength.moving:
        phase += strength.moving * flow_pulses(magnitude, seeds=seeds[3:])
    return phase


def smooth_map(n: int, matrix: list[tf.Tensor], *, seed: tf.Tensor) -> tf.Tensor:
    """Draw a smooth map (y, x) with a largest value of 1 or -1."""
    grid = tf.random.stateless_normal([n, n, 1], seed, alg="philox")
    smooth = tf.image.resize(grid, matrix, method="bicubic")[..., 0]
    return smooth / tf.reduce_max(tf.abs(smooth))


def flow_pulses(magnitude: tf.Tensor, *, seeds: list[tf.Tensor]) -> tf.Tensor:
    """Draw pulses of flow (frame, y, x), each with a peak of 0.5 to 1 or -0.5 to -1."""
    n_frames, n_y, n_x = tf.unstack(tf.shape(magnitude))
    magnitude = tf.math.divide_no_nan(magnitude, tf.reduce_max(magnitude))
    mean, deviation = tf.reduce_mean(magnitude, axis=0), tf.math.reduce_std(magnitude, axis=0)
    # Where it is bright and moves there is blood.
    likely = tf.math.log(tf.maximum(tf.square(mean * deviation), 1e-30))
    places = tf.random.stateless_categorical(tf.reshape(likely, [1, -1]), PLUGS, seeds[0], dtype=tf.int32)[0]
    uniform = tf.random.stateless_uniform([5, PLUGS], seeds[1], alg="philox")
    rows, columns = tf.range(n_y)[:, tf.newaxis], tf.range(n_x)[tf.newaxis]
    cycle = tf.range(n_frames, dtype=tf.float32) / tf.cast(n_frames, tf.float32)
    total = tf.zeros_like(magnitude)
    for plug in range(PLUGS):
        y, x = places[plug] // n_x, places[plug] % n_x
        radius = (0.03 + 0.05 * uniform[0, plug]) * tf.cast(tf.minimum(n_y, n_x), tf.float32)
        apart = tf.cast(tf.square(rows - y) + tf.square(columns - x), tf.float32)
        region = (magnitude > mean[y, x] / 2) & (apart <= tf.square(radius))
        length = 0.1 + 0.2 * uniform[1, plug]
        late = tf.abs(tf.math.floormod(cycle - uniform[2, plug] + 0.5, 1.0) - 0.5)
        pulse = tf.where(late < length, 0.5 + 0.5 * tf.cos(math.pi * late / length), 0.0)
        peak = tf.where(uniform[3, plug] < 0.5, -1.0, 1.0) * (0.5 + 0.5 * uniform[4, plug])
        total += peak * pulse[:, tf.newaxis, tf.newaxis] * tf.cast(region, tf.float32)
    return total


def resting_phase(rest: Any) -> Any:
    """Phase of what rests: a temporal mean (..., y, x), complex, to unit numbers; 1 where nothing is.

    The mean is smoothed first: its phase carries noise and aliasing, that of an image is smooth.
    """
    return unit(gaussian(rest, PHASE_WIDTH))


def unit(values: Any) -> Any:
    """Complex values of magnitude 1 and the phase of these; 1 where they vanish."""
    magnitude = ops.abs(values)
    present = magnitude > 0
    divided = values / ops.cast(ops.where(present, magnitude, 1.0), "complex64")
    return ops.where(present, divided, ops.ones_like(values))
