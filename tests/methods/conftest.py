"""Small cines, masks and data that all methods are tested on."""

from __future__ import annotations

import numpy as np
import pytest

from csmri.config import Sampling
from csmri.data.acquisition import Acquisition
from csmri.phantom import make_subject
from csmri.physics.coils import make_coils
from csmri.physics.fourier import fft_y
from csmri.physics.sampling import make_mask


def draw_complex(shape, seed=0):
    real, imaginary = np.random.default_rng(seed).standard_normal((2, *shape))
    return (real + 1j * imaginary).astype(np.complex64)


def draw_mask(n_frames, n_ky, acceleration=3.0, seed=1):
    return make_mask([seed, 7], n_frames, n_ky, acceleration, Sampling(mask_law="schlemper")).numpy()


def acquired(images, mask, *, cyclic=True, maps=None):
    """Acquisition of images (frame, y, x), by one coil or by those of `maps` (coil, y, x)."""
    coils = images[np.newaxis] if maps is None else maps[:, np.newaxis] * images
    data = np.where(mask[..., np.newaxis], fft_y(coils), 0)
    return Acquisition(data, mask, maps, cyclic=cyclic)


def draw_maps(n_coils, matrix, seed=2):
    return make_coils(n_coils, matrix, seed=np.array([seed, 0])).numpy()


def nmse(reconstructed, images):
    return float((abs(reconstructed - images) ** 2).sum() / (abs(images) ** 2).sum())


@pytest.fixture(scope="package")
def beating():
    """Phantom (12 frames, 48 y, 40 x) with a smooth phase, and a mask of acceleration 3."""
    images = make_subject(0, size=48, n_slices=1, n_frames=12).images[0][..., :40]
    phase = np.exp(1j * np.linspace(0, 2, 48))[:, np.newaxis]
    return (images * phase).astype(np.complex64), draw_mask(12, 48)
