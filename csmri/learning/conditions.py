"""Draw under what an example of a training is acquired: phase, coils, noise and time, of the shares in the config."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from csmri.config import Config
from csmri.physics.phase import Phase
from csmri.physics.simulate import Conditions, conditions_of

NOISE_KNOWN = 0.5
"""Share of noisy examples that tell their noise: scans without a measurement of it are as common."""
DRIFT_OF_MOVING = 0.5
"""Share of `phase_drift` that a moving phase has at most: where blood flows, the heart moves in a changing field."""


def draw_conditions(config: Config, *, seed: tf.Tensor) -> Conditions:
    """Draw conditions statelessly; those of the config, the same always, where nothing varies.

    Parameters
    ----------
    seed : (2,) integers
        From `seeds.derive_seed`.
    """
    fixed = conditions_of(config)
    if not config.varies:
        return fixed
    uniform = tf.random.stateless_uniform([12], seed, alg="philox")
    coils: Any = fixed.coils
    if config.coils_share:
        least, most = (float(n) for n in config.coils_range)
        several = tf.cast(tf.floor(least + uniform[0] * (most - least + 1)), tf.int32)
        coils = tf.where(uniform[1] < config.coils_share, several, 1)
    snr: Any = fixed.snr
    if config.noise_share or config.coils_share:
        lowest, highest = (tf.math.log(float(n)) for n in config.snr_range)
        drawn = tf.exp(lowest + uniform[2] * (highest - lowest))
        is_noisy = (uniform[3] < config.noise_share) | (tf.convert_to_tensor(coils) > 1)
        snr = tf.where(is_noisy, drawn, 0.0)
    cyclic: Any = fixed.cyclic
    if config.real_time_share:
        cyclic = uniform[4] >= config.real_time_share
    return Conditions(
        phase=_draw_phase(config, uniform[5:]) if config.phase_shares else fixed.phase,
        coils=coils,
        snr=snr,
        cyclic=cyclic,
        is_noise_known=tf.cast(uniform[11] < NOISE_KNOWN, tf.float32),
    )


def _draw_phase(config: Config, uniform: tf.Tensor) -> Phase:
    """Strengths of one example, six numbers from 0 to 1 deciding."""
    shares = [config.phase_shares.get(kind, 0.0) for kind in ("none", "static", "drift", "moving")]
    bounds = tf.cumsum(tf.constant(shares, tf.float32))
    present, drifts, moves = (tf.cast(uniform[0] >= bounds[i], tf.float32) for i in range(3))
    return Phase(
        present=present,
        static=present * uniform[1] * config.phase_static,
        shift=present * uniform[2] * config.phase_shift,
        drift=drifts * uniform[3] * config.phase_drift * (1 - moves * (1 - DRIFT_OF_MOVING)),
        moving=moves * uniform[4] * config.phase_moving,
    )
