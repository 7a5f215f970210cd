"""The images that need no network, against a full 2-D simulation in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from csmri.physics.fourier import fft_y
from csmri.physics.initial import initial_images, initial_reconstruction, simulate_initial

SIZES = pytest.mark.parametrize("matrix", [(16, 16), (15, 12), (12, 17)])
CYCLIC = pytest.mark.parametrize("cyclic", [True, False], ids=["cyclic", "held"])


def make_case(matrix, seed=0, n_frames=6):
    generator = np.random.default_rng(seed)
    images = generator.random((n_frames, *matrix)).astype(np.float32)
    return images, generator.random((n_frames, matrix[0])) < 0.4


def centred(transform, values):
    axes = (-2, -1)
    return np.fft.fftshift(transform(np.fft.ifftshift(values, axes), axes=axes, norm="ortho"), axes)


def numpy_reconstruction(images, mask, cyclic):
    """Both axes to k-space, lines out, linear in time, both axes back."""
    kspace = centred(np.fft.fft2, images)
    filled = np.where(mask[..., np.newaxis], kspace, 0)
    n_frames = len(images)
    for ky in np.flatnonzero(mask.any(axis=0)):
        frames = np.flatnonzero(mask[:, ky])
        for kx in range(images.shape[-1]):
            filled[:, ky, kx] = np.interp(
                np.arange(n_frames), frames, kspace[frames, ky, kx], period=n_frames if cyclic else None
            )
    return abs(centred(np.fft.ifft2, filled))


@SIZES
@CYCLIC
def test_hybrid_space_equals_two_dimensional_simulation(matrix, cyclic):
    images, mask = make_case(matrix)
    expected = numpy_reconstruction(images, mask, cyclic)
    np.testing.assert_allclose(simulate_initial(images, mask, cyclic=cyclic), expected, atol=1e-5)
    np.testing.assert_allclose(initial_reconstruction(fft_y(images), mask, cyclic=cyclic), expected, atol=1e-5)


@SIZES
@CYCLIC
def test_full_mask_returns_the_magnitude(matrix, cyclic):
    images, mask = make_case(matrix, seed=2)
    images = images * np.exp(1j * images[..., ::-1]).astype(np.complex64)
    complete = np.ones_like(mask)
    np.testing.assert_allclose(initial_images(fft_y(images), complete, cyclic=cyclic), images, atol=1e-5)
    magnitude = simulate_initial(images, complete, cyclic=cyclic)
    assert magnitude.dtype == np.float32
    np.testing.assert_allclose(magnitude, abs(images), atol=1e-5)


def test_default_is_cyclic_and_leading_axes_are_carried_along():
    images, mask = make_case((8, 9))
    stack = np.stack([images, images[:, ::-1]])
    expected = [numpy_reconstruction(each, mask, cyclic=True) for each in stack]
    np.testing.assert_allclose(simulate_initial(stack, mask), expected, atol=1e-5)
