"""The images that need no network, against a full 2-D simulation in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from csmri.data.acquisition import Acquisition
from csmri.physics.coils import make_coils
from csmri.physics.fourier import fft_y
from csmri.physics.initial import initial_images

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


def acquired(images, mask, cyclic=True, maps=None):
    coils = images[np.newaxis] if maps is None else maps[:, np.newaxis] * images
    return Acquisition(fft_y(coils), mask, maps, cyclic=cyclic)


@SIZES
@CYCLIC
def test_hybrid_space_equals_two_dimensional_simulation(matrix, cyclic):
    images, mask = make_case(matrix)
    expected = numpy_reconstruction(images, mask, cyclic)
    np.testing.assert_allclose(abs(initial_images(acquired(images, mask, cyclic))), expected, atol=1e-5)


@SIZES
@CYCLIC
def test_full_mask_returns_the_images(matrix, cyclic):
    images, mask = make_case(matrix, seed=2)
    images = images * np.exp(1j * images[..., ::-1]).astype(np.complex64)
    np.testing.assert_allclose(initial_images(acquired(images, np.ones_like(mask), cyclic)), images, atol=1e-5)


@SIZES
def test_coils_are_interpolated_one_by_one_and_combined_by_the_maps(matrix):
    images, mask = make_case(matrix, seed=3)
    maps = make_coils(3, matrix, seed=np.array([1, 2])).numpy()
    found = initial_images(acquired(images, mask, maps=maps)).numpy()
    alone = [initial_images(acquired(coil * images, mask)).numpy() for coil in maps]
    np.testing.assert_allclose(found, sum(coil.conj() * one for coil, one in zip(maps, alone, strict=True)), atol=1e-5)
