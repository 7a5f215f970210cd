"""Zero-filling by a known factor is measured as that; what was not zero-filled is not called so."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from csmri.formats import read_cine
from csmri.phantom import make_subject
from csmri.physics.extent import measure_extent
from csmri.physics.fourier import image_to_kspace, kspace_to_image

FRAMES = (2, 12)


def zero_filled(kspace, *lines):
    """Images of the central `lines` (y, x) of k-space, in the matrix that all of it has."""
    kept = np.zeros_like(kspace)
    inside = tuple(slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(kspace.shape[-2:], lines, strict=True))
    kept[..., *inside] = kspace[..., *inside]
    return kspace_to_image(kept).numpy()


def noise(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


@pytest.mark.parametrize("matrix", [(64, 48), (63, 49), (95, 100), (8, 9)])
def test_white_noise_fills_kspace(matrix):
    for extent, n in zip(measure_extent(noise(*FRAMES, *matrix)), matrix, strict=True):
        assert extent.n == n
        assert extent.energy_beyond_half == pytest.approx(0.5, abs=0.03 + 1 / n)
        assert extent.dynamics_beyond_half == pytest.approx(0.5, abs=0.03 + 1 / n)
        assert extent.band >= 0.96 * n
        assert extent.edge is None and not extent.is_limited


@pytest.mark.parametrize("matrix", [(64, 48), (63, 49), (95, 100)])
@pytest.mark.parametrize("factor", [1.25, 1.5, 2])
def test_a_known_factor_is_found(matrix, factor):
    """Along one axis, while the other stays full."""
    kspace = noise(*FRAMES, *matrix)
    lines = round(matrix[0] / factor)
    y, x = measure_extent(zero_filled(kspace, lines, matrix[1]))
    assert y.edge == y.lines == pytest.approx(lines, abs=2) and y.is_limited
    assert y.band == pytest.approx(0.98 * lines, abs=2)
    assert x.edge is None and not x.is_limited
    y, x = measure_extent(zero_filled(kspace, matrix[0], round(matrix[1] / factor)))
    assert x.edge == pytest.approx(matrix[1] / factor, abs=2) and y.edge is None


def test_what_lies_where_is_exact():
    """Two lines with the energies 3 and 1, of which the outer alone changes."""
    kspace = np.zeros((1, 2, 16, 8), np.complex64)
    kspace[..., 8, 4], kspace[0, 0, 8 + 6, 4], kspace[0, 1, 8 + 6, 4] = np.sqrt(3), 1, -1
    y, x = measure_extent(kspace_to_image(kspace).numpy())
    assert y.energy_beyond_half == pytest.approx(0.25, abs=1e-6) and y.dynamics_beyond_half == pytest.approx(1)
    assert y.band == 13
    assert x.energy_beyond_half == pytest.approx(0, abs=1e-6) and x.band == 1


def test_nothing_that_moves_is_not_limited():
    y, x = measure_extent(np.tile(make_subject(0, size=32, n_slices=1, n_frames=2).images[:, :1], (1, 3, 1, 1)))
    assert (y.dynamics_beyond_half, y.band, y.edge, y.is_limited) == (0, 32, None, False) and not x.is_limited


@pytest.fixture(scope="module", params=["k", "york"])
def phantom(request):
    return make_subject(0, domain=request.param, size=96, n_slices=1, n_frames=12).images


@pytest.mark.parametrize("snr", [12, 25, 50])
@pytest.mark.parametrize("factor", [1, 1.5, 2])
def test_magnitudes_of_noisy_phantoms(phantom, factor, snr):
    """Taking the magnitude spreads energy beyond the edge; it is found all the same."""
    signal = np.sqrt(np.mean(phantom[phantom > 0.1 * phantom.max()] ** 2))
    noisy = phantom + noise(*phantom.shape) * signal / snr / np.sqrt(2)
    lines = round(96 / factor)
    for extent in measure_extent(np.abs(zero_filled(image_to_kspace(noisy).numpy(), lines, lines))):
        if factor == 1:
            assert extent.edge is None and not extent.is_limited and extent.band >= 0.84 * 96
        else:
            assert extent.lines == pytest.approx(lines, abs=2) and extent.is_limited


def test_phantoms_as_they_are_are_not_limited(phantom):
    assert not any(extent.is_limited for extent in measure_extent(phantom))


@pytest.mark.skipif("CSMRI_DATA" not in os.environ, reason="CSMRI_DATA names no folder with ACDC and Sunnybrook")
@pytest.mark.parametrize(
    ("source", "energy", "dynamics", "band"),
    [
        ("acdc/patient064/patient064_4d.nii.gz", 0.0042, 0.056, 63),
        ("acdc/patient041/patient041_4d.nii.gz", 0.0071, 0.220, 89),
        ("sunnybrook/SCD0000101", 0.0064, 0.055, 171),
        ("sunnybrook/SCD0000301", 0.0021, 0.073, 187),
    ],
)
def test_real_cines(source, energy, dynamics, band):
    """Measured along y in November 2026; two of them are limited, none has an edge."""
    y, _ = measure_extent(read_cine(Path(os.environ["CSMRI_DATA"]) / source).images)
    assert y.energy_beyond_half == pytest.approx(energy, abs=1e-4)
    assert y.dynamics_beyond_half == pytest.approx(dynamics, abs=1e-3)
    assert (y.band, y.edge) == (band, None)
    assert y.is_limited == (band in (63, 171))


def test_complex_images_without_a_phase_are_as_magnitudes(phantom):
    assert measure_extent(tf.cast(phantom, tf.complex64).numpy()) == measure_extent(phantom)
