"""Data consistency: exact where it must be, and never a worse complex image on noise-free data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csmri.core.errors import CsmriError
from csmri.physics.consistency import combine, enforce, enforce_magnitude, hard, soft
from csmri.physics.fourier import fft_y, ifft_y
from csmri.physics.interpolation import interpolate_frames

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 5))
WEIGHTS = st.sampled_from([0.0, 0.5, 3.0, math.inf])


def draw_complex(shape, seed):
    real, imaginary = np.random.default_rng(seed).standard_normal((2, *shape))
    return (real + 1j * imaginary).astype(np.complex64)


def draw_mask(shape, seed):
    return np.random.default_rng(seed + 99).random(shape) < 0.4


def norms(images):
    """Norm of every frame (of every coil)."""
    return np.linalg.norm(images, axis=(-2, -1))


def test_hard_keeps_acquired_lines_bit_for_bit_and_reads_no_others():
    shape = (2, 3, 5, 4)
    hybrid, measured, mask = draw_complex(shape, 0), draw_complex(shape, 1), draw_mask(shape[1:3], 2)
    measured[:, ~mask] = np.nan
    consistent = hard(hybrid, measured, mask).numpy()
    np.testing.assert_array_equal(consistent[:, mask], measured[:, mask])
    np.testing.assert_array_equal(consistent[:, ~mask], hybrid[:, ~mask])
    np.testing.assert_array_equal(soft(hybrid, measured, mask, weight=math.inf), consistent)
    assert np.isfinite(soft(hybrid, measured, mask, weight=2.0)).all()


def test_soft_by_hand():
    hybrid, measured = np.full((1, 2, 1), 1 + 1j, np.complex64), np.full((1, 2, 1), 5, np.complex64)
    consistent = soft(hybrid, measured, np.array([[True, False]]), weight=3.0).numpy().ravel()
    np.testing.assert_allclose(consistent, [(1 + 1j + 3 * 5) / 4, 1 + 1j])


@pytest.mark.parametrize("weight", [-1.0, math.nan])
def test_soft_refuses_a_weight_that_is_none(weight):
    with pytest.raises(CsmriError, match="0 or more"):
        soft(np.ones((1, 1, 1), np.complex64), np.ones((1, 1, 1), np.complex64), np.ones((1, 1), bool), weight=weight)


@given(shape=SHAPES, n_coils=st.integers(0, 2), weight=WEIGHTS, seed=st.integers(0, 2**16))
def test_never_raises_the_error_on_noise_free_data(shape, n_coils, weight, seed):
    full = (n_coils, *shape) if n_coils else shape
    truth, reconstructed = draw_complex(full, seed), draw_complex(full, seed + 1)
    mask = draw_mask(shape[:2], seed)
    measured = np.where(mask[..., np.newaxis], fft_y(truth), 0)
    consistent = enforce(reconstructed, measured, mask, weight=weight).numpy()
    assert (norms(consistent - truth) <= norms(reconstructed - truth) * (1 + 1e-5) + 1e-5).all()
    errors = fft_y(consistent - truth).numpy()
    expected = fft_y(reconstructed - truth).numpy() * np.where(mask, 1 / (1 + weight), 1)[..., np.newaxis]
    np.testing.assert_allclose(errors, expected, atol=2e-5)


@given(shape=SHAPES, n_coils=st.integers(0, 3), cyclic=st.booleans(), weight=WEIGHTS, seed=st.integers(0, 2**16))
def test_magnitude_takes_phase_and_coils_from_the_initial_reconstruction(shape, n_coils, cyclic, weight, seed):
    full = (n_coils, *shape) if n_coils else shape
    mask = draw_mask(shape[:2], seed)
    measured = np.where(mask[..., np.newaxis], draw_complex(full, seed), 0)
    initial = ifft_y(interpolate_frames(measured, mask, cyclic=cyclic)).numpy()
    magnitude = np.random.default_rng(seed).random(shape).astype(np.float32)
    images = enforce_magnitude(magnitude, measured, mask, cyclic=cyclic, weight=weight).numpy()

    rss = np.sqrt((abs(initial) ** 2).sum(axis=0)) if n_coils else abs(initial)
    direction = np.where(rss > 0, initial / np.where(rss > 0, rss, 1), 1 / np.sqrt(max(n_coils, 1)))
    np.testing.assert_allclose(combine(direction), np.ones(shape), rtol=1e-5)
    expected = enforce(magnitude * direction, measured, mask, weight=weight)
    np.testing.assert_allclose(images, expected, atol=1e-4)
    if weight == 0:
        np.testing.assert_allclose(combine(images), magnitude, atol=1e-5)


@pytest.mark.parametrize("shape", [(6, 16, 12), (5, 15, 7), (2, 5, 15, 7)])
def test_perfect_magnitude_of_a_fully_sampled_cine_stays(shape):
    truth = draw_complex(shape, 3)
    mask = np.ones(shape[-3:-1], bool)
    images = enforce_magnitude(combine(truth), fft_y(truth), mask)
    np.testing.assert_allclose(images, truth, atol=1e-5)
    wrong = enforce_magnitude(np.zeros(shape[-3:], np.float32), fft_y(truth), mask)
    np.testing.assert_allclose(wrong, truth, atol=1e-5)


def test_nothing_measured_leaves_the_magnitude_alone():
    magnitude = np.random.default_rng(0).random((2, 6, 5)).astype(np.float32)
    for n_coils in (1, 3):
        measured = np.zeros((n_coils, 2, 6, 5), np.complex64)
        images = enforce_magnitude(magnitude, measured, np.zeros((2, 6), bool))
        np.testing.assert_allclose(combine(images), magnitude, atol=1e-6)
