"""Small measured k-space, made of moving ellipses seen by coils, and damage done to files."""

from __future__ import annotations

import numpy as np
import pytest

from csmri.data.kspace import KSpace

SHAPE = (3, 2, 5, 24, 40)
TIMES = np.float32([0, 42.5, 85, 127.5, 170])


def images_of(shape=SHAPE):
    """Complex coil images (slice, coil, frame, y, x): a bright ellipse that beats, off the centre."""
    n_slices, n_coils, n_frames, n_y, n_x = shape
    y, x = np.meshgrid(np.linspace(-1, 1, n_y), np.linspace(-2, 2, n_x), indexing="ij")
    images = np.empty(shape, np.complex64)
    for slice_index, coil, frame in np.ndindex(n_slices, n_coils, n_frames):
        radius = 0.55 + 0.1 * np.cos(2 * np.pi * frame / n_frames) - 0.05 * slice_index
        body = ((x / 0.8) ** 2 + (y - 0.1) ** 2 < radius) + (x**2 + y**2 < radius / 4)
        sensitivity = np.exp(-((y - (-1) ** coil) ** 2 + (x - 0.5 * coil) ** 2) / 3 + 1j * (coil + x + 0.5 * y))
        images[slice_index, coil, frame] = body * sensitivity
    return images


def centred(images):
    """K-space of images, DC in the centre of ky and kx, complex64."""
    axes = (-2, -1)
    shifted = np.fft.fft2(np.fft.ifftshift(images, axes))
    return np.fft.fftshift(shifted, axes).astype(np.complex64)


def mask_of(n_frames=SHAPE[2], n_ky=SHAPE[3], seed=0):
    """Random lines and the middle three, every line somewhere."""
    mask = np.random.default_rng(seed).random((n_frames, n_ky)) < 0.5
    mask[:, n_ky // 2 - 1 : n_ky // 2 + 2] = True
    mask[0, 0] = mask[0, -1] = True
    return mask


def affine_of(seed=0, spacing=(1.25, 1.5, 8.0)):
    """An oblique one, with the pixel spacings (x, y, slice)."""
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * spacing, (-31, 12, 50)
    return affine


def kspace_of(**changes):
    """K-space with everything that can be known: oversampled readout, gated, in place, with noise."""
    mask = changes.pop("mask", mask_of())
    full = centred(images_of())
    covariance = np.array([[2, 0.5j], [-0.5j, 1]], np.complex64)
    fields = {
        "subject": "P 7",
        "spacing_mm": (1.5, 1.25),
        "slice_spacing_mm": 8.0,
        "frame_times_ms": TIMES,
        "affine": affine_of(),
        "matrix": (24, 20),
        "noise_covariance": covariance,
        "cyclic": True,
        **changes,
    }
    marked = mask if mask.ndim == 2 else mask[:, None]
    return KSpace(full * marked[..., None], mask, **fields)


@pytest.fixture
def kspace():
    """See `kspace_of`."""
    return kspace_of()


@pytest.fixture
def make_kspace():
    """`kspace_of`, to change fields."""
    return kspace_of


@pytest.fixture
def coil_images():
    """`images_of` for the default shape."""
    return images_of()


def same_data(first, second):
    """Assert that two records hold the same k-space and masks, slice by slice."""
    assert tuple(first.kspace.shape) == tuple(second.kspace.shape)
    for index in range(first.n_slices):
        np.testing.assert_array_equal(first.mask_of(index), second.mask_of(index))
        np.testing.assert_array_equal(first.slice_of(index), second.slice_of(index))


@pytest.fixture
def check_same():
    """See `same_data`."""
    return same_data


def damage_of(content, seed):
    """A cut end, turned bits, overwritten or inserted bytes, in turn; every other time near the start."""
    draw = np.random.default_rng(seed)
    changed = bytearray(content)
    most = len(changed) if seed % 8 < 4 else min(len(changed), 4096)
    place = int(draw.integers(0, most))
    kind = seed % 4
    if kind == 0:
        del changed[place:]
    elif kind == 1:
        for at in draw.integers(0, most, 3):
            changed[at] ^= 1 << int(draw.integers(0, 8))
    elif kind == 2:
        changed[place : place + 8] = bytes([int(draw.choice([0, 127, 128, 255]))]) * 8
    else:
        changed[place:place] = draw.integers(0, 256, int(draw.integers(1, 9)), np.uint8).tobytes()
    return bytes(changed)


@pytest.fixture
def damage():
    """See `damage_of`."""
    return damage_of
