"""Make an acquisition of a fully sampled cine: phase, coils, noise and mask, each drawn statelessly from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from csmri.config import Sampling
from csmri.core.seeds import derive_seed, subject_key
from csmri.data.acquisition import Acquisition
from csmri.physics.coils import make_coils
from csmri.physics.encoding import encoding_of
from csmri.physics.phase import Phase, make_phase
from csmri.physics.sampling import check_acceleration, make_mask, undersample

Crop = Callable[[tf.Tensor], tf.Tensor]
"""Cuts the same columns out of everything whose last axis is x."""


class Part(IntEnum):
    """What is drawn from the seed of an acquisition; keeps, say, its noise independent of its coils."""

    PHASE = 1
    COILS = 2
    NOISE = 3


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Under what an acquisition is made: what a `Sampling` says, or what is drawn for one example of a training.

    Parameters
    ----------
    phase : Phase, or None
        None leaves images the phase that they have.
    coils : int
    snr : float
        0 for no noise.
    cyclic : bool
    is_noise_known : float
        1 where the acquisition tells its noise, 0 where it does not.

    Each may be a tensor.
    """

    phase: Phase | None
    coils: Any
    snr: Any
    cyclic: Any
    is_noise_known: Any = 1.0


def conditions_of(law: Sampling) -> Conditions:
    """What a sampling says, kinds of phase resolved to numbers."""
    moving = law.phase_moving if law.phase == "moving" else 0.0
    drift = law.phase_drift if law.phase == "drift" else 0.0
    strength = Phase(static=law.phase_static, shift=law.phase_shift, drift=drift, moving=moving)
    phase = None if law.phase == "none" else strength
    return Conditions(phase=phase, coils=law.coils, snr=law.snr, cyclic=law.cyclic)


def simulate(images: Any, law: Sampling, *, seed: tf.Tensor) -> Acquisition:
    """Acquire every line of a cine of one slice, with the phase, the coils and the noise of a law.

    The truth stays the images' magnitude: the maps' root sum of squares is 1. Works eagerly and in `tf.data`.

    Parameters
    ----------
    images : (frame, y, x), float32 magnitude or complex64
        Complex ones keep their phase unless the law simulates one.
    law : Sampling
    seed : (2,) integers
        From `seeds.derive_seed`; the same seed draws the same phase, coils and noise at every acceleration.

    Returns
    -------
    Acquisition
        Fully sampled; `acquire` undersamples it.
    """
    conditions = conditions_of(law)
    return measure(with_phase_of(images, conditions, seed=seed), conditions, seed=seed)


def with_phase_of(images: Any, conditions: Conditions, *, seed: tf.Tensor) -> tf.Tensor:
    """Give a cine its simulated phase: the images that are acquired, the truth of networks for complex images."""
    images = tf.convert_to_tensor(images)
    if conditions.phase is None:
        return images
    magnitude = tf.abs(images)
    phase = make_phase(magnitude, conditions.phase, seed=derive_part(seed, Part.PHASE))
    return tf.cast(magnitude, tf.complex64) * tf.exp(tf.complex(tf.zeros_like(phase), phase))


def measure(
    images: Any, conditions: Conditions, *, seed: tf.Tensor, deviation: Any = None, crop: Crop = tf.identity
) -> Acquisition:
    """Acquire every line of images that have their phase, by coils and with noise.

    Parameters
    ----------
    deviation : float, optional
        That of the noise in real and imaginary part where these images' own signal does not decide it.
    crop : callable
        Cuts columns out of images and maps: each column is measured by itself, since kx is fully read.
    """
    images = tf.convert_to_tensor(images)
    maps = None
    if tf.is_tensor(conditions.coils) or conditions.coils > 1:
        maps = crop(make_coils(conditions.coils, tf.shape(images)[1:], seed=derive_part(seed, Part.COILS)))
    if deviation is None:
        deviation = tf.math.divide_no_nan(mean_signal(tf.abs(images)), conditions.snr)
    images = crop(images)
    every_line = tf.ones(tf.shape(images)[:2], tf.bool)
    full = Acquisition(None, every_line, maps, tf.constant(0.0), conditions.cyclic)
    data = encoding_of(full).encode(tf.cast(images, tf.complex64))
    if tf.is_tensor(conditions.snr) or conditions.snr:
        noise = tf.random.stateless_normal(
            tf.concat([[2], tf.shape(data)], axis=0), derive_part(seed, Part.NOISE), alg="philox"
        )
        data += tf.complex(deviation * noise[0], deviation * noise[1])
        full = replace(full, noise=deviation * conditions.is_noise_known)
    return replace(full, data=data)


def acquire(full: Acquisition, mask: Any) -> Acquisition:
    """Keep of a fully sampled acquisition the lines that a mask (frame, ky) marks; nobody can read the others."""
    return replace(full, data=undersample(full.data, mask), mask=mask)


def simulated_slice(images: Any, law: Sampling, *, seed: int, subject: str, slice_index: int) -> Acquisition:
    """Acquire every line of a slice for testing: depends on nothing but the arguments."""
    return simulate(images, law, seed=derive_seed(seed, subject_key(subject), slice_index))


def simulated_mask(
    law: Sampling, *, seed: int, subject: str, slice_index: int, shape: tuple[int, int], acceleration: float
) -> NDArray[np.bool_]:
    """Mask (frame, ky) of a `shape` for testing: depends on nothing but the arguments, so that all methods get it."""
    check_acceleration(acceleration, shape[1], law)
    derived = derive_seed(seed, subject_key(subject), slice_index, round(acceleration * 1000))
    return make_mask(derived, *shape, acceleration, law).numpy()


def mean_signal(magnitude: tf.Tensor) -> tf.Tensor:
    """Mean magnitude weighted by itself, so that the empty surroundings do not count; what `Sampling.snr` is of."""
    return tf.math.divide_no_nan(tf.reduce_sum(tf.square(magnitude)), tf.reduce_sum(magnitude))


def derive_part(seed: tf.Tensor, part: Part) -> tf.Tensor:
    """Seed of one part of an acquisition."""
    return tf.random.fold_in(tf.cast(seed, tf.int64), tf.constant(int(part), tf.int64), alg="philox")
