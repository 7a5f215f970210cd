"""Measured k-space made ready: whitening, compression, sensitivity maps, oversampling."""

import numpy as np
import pytest

from csmri.config import Sampling
from csmri.core.errors import CsmriError
from csmri.phantom import make_subject
from csmri.physics.encoding import encoding_of
from csmri.physics.fourier import fft_x, fft_y, image_to_kspace
from csmri.physics.interpolation import temporal_mean
from csmri.physics.maps import estimate_maps
from csmri.physics.prepare import calibrate, middle, prepare
from csmri.physics.simulate import acquire, simulated_mask, simulated_slice
from tests.physics import bart

PLACE = {"seed": 3, "subject": "k_phantom_009", "slice_index": 0}
rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def images():
    return make_subject(9, domain="k", size=96, n_slices=1, n_frames=8).images[0]


def noise(*shape):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def angles(maps, others):
    """Angle [degrees] between maps (coil, y, x) of every pixel, whatever their size and phase."""
    alike = np.abs((maps.conj() * others).sum(axis=0))
    size = np.linalg.norm(maps, axis=0) * np.linalg.norm(others, axis=0)
    return np.degrees(np.arccos(np.minimum(alike / np.maximum(size, 1e-12), 1)))


def bright(images, share=0.2):
    return images.mean(axis=0) > share * images.max()


def undersampled(images, **law):
    law = Sampling(**law)
    mask = simulated_mask(law, shape=images.shape[:2], acceleration=4.0, **PLACE)
    return acquire(simulated_slice(images, law, **PLACE), mask)


@pytest.mark.parametrize("law", [{"phase": "static"}, {"phase": "moving", "snr": 25.0}])
def test_maps_are_found_in_undersampled_data(images, law):
    """Measured on 96 x 96 pixels: 0.6 degrees at half of those with signal, 5.3 at one in a hundred."""
    sampled = undersampled(images, coils=6, **law)
    maps = estimate_maps(np.asarray(temporal_mean(sampled.data, sampled.mask)))
    total = np.linalg.norm(maps, axis=0)
    assert (np.isclose(total, 1, atol=1e-4) | (total == 0)).all() and total[bright(images)].all()
    found = angles(maps, sampled.maps.numpy())[bright(images)]
    assert np.median(found) < 1 and np.percentile(found, 99) < 7


@bart.needs_bart
def test_maps_agree_with_bart(images, tmp_path):
    sampled = undersampled(images, coils=6, phase="moving", snr=25.0)
    mean = np.asarray(temporal_mean(sampled.data, sampled.mask))
    theirs = bart.run(tmp_path, "ecalib -m1 -r24 -k6 k out", k=fft_x(mean).numpy()[:, np.newaxis])
    found = angles(estimate_maps(mean), theirs)[bright(images)]
    assert np.median(found) < 1 and np.percentile(found, 90) < 2  # measured: 0.1 and 0.5 on 256 x 256


def test_maps_carry_the_phase_that_rests(images):
    sampled = undersampled(images, coils=4, phase="static")
    kspace = fft_x(sampled.data).numpy()
    one = prepare(kspace, sampled.mask, calibrate(kspace, sampled.mask))
    combined = np.asarray(encoding_of(one).adjoint(one.data)).mean(axis=0)[bright(images)]
    assert np.median(np.abs(np.angle(combined))) < 0.1  # measured: 0.06 rad, of a map as deep as 1 rad and its ramps


def test_one_coil_needs_no_maps():
    kspace = noise(1, 2, 8, 6)
    calibration = calibrate(kspace, np.ones((2, 8), bool))
    assert calibration.maps is None and calibration.kept == 1
    one = prepare(kspace, np.ones((2, 8), bool), calibration)
    np.testing.assert_allclose(np.abs(fft_x(one.data)), np.abs(kspace), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_ky", [5, 12, 31])
@pytest.mark.parametrize("gap", [0, 1])
def test_few_lines_in_the_centre_are_enough_for_some_maps(n_ky, gap):
    """Where little of the centre was acquired kernels are smaller; nothing breaks, and no value is odd."""
    mean = noise(3, n_ky, 9)
    mean[:, : n_ky // 2 - 1 + gap] = 0
    maps = estimate_maps(mean)
    total = np.linalg.norm(maps, axis=0)
    assert maps.shape == mean.shape and (np.isclose(total, 1, atol=1e-4) | (total == 0)).all()


def test_whitening_makes_the_noise_of_coils_independent():
    mixing = noise(4, 4)
    covariance = mixing @ mixing.conj().T * 2  # noise() has a variance of 2
    calibration = calibrate(noise(4, 2, 8, 6), np.ones((2, 8), bool), noise_covariance=covariance)
    samples = calibration.matrix @ mixing @ noise(4, 20000)
    mean = np.trace(covariance).real / 4
    np.testing.assert_allclose(samples @ samples.conj().T / 20000 / mean, np.eye(4), atol=0.05)
    assert calibration.noise == pytest.approx(np.sqrt(mean / 2))


def test_a_silent_coil_cannot_be_whitened():
    with pytest.raises(CsmriError, match="noise of 3 coils is not independent"):
        calibrate(noise(3, 2, 8, 6), np.ones((2, 8), bool), noise_covariance=np.diag([1, 1, 0]).astype(np.complex64))


def test_compression_keeps_what_few_coils_explain():
    """Twelve coils that see three: nothing is lost in three virtual ones, and signal is in proportion."""
    mixing = noise(12, 3)
    kspace = np.tensordot(mixing, noise(3, 2, 8, 6), axes=1)
    calibration = calibrate(kspace, np.ones((2, 8), bool), virtual_coils=3)
    assert calibration.matrix.shape == (3, 12) and calibration.kept == pytest.approx(1, abs=1e-5)
    virtual = np.tensordot(calibration.matrix, kspace, axes=1)
    assert np.linalg.norm(virtual) == pytest.approx(np.linalg.norm(kspace), rel=1e-4)
    assert calibrate(kspace, np.ones((2, 8), bool), virtual_coils=1).kept < 0.9


def test_no_line_is_read_that_was_not_acquired(images):
    sampled = undersampled(images, coils=4)
    kspace = fft_x(sampled.data).numpy()
    other = kspace.copy()
    other[:, ~np.asarray(sampled.mask)] = 1e6
    for spoilt in (kspace, other):
        one = prepare(spoilt, sampled.mask, calibrate(spoilt, sampled.mask))
        assert not np.asarray(one.data)[:, ~np.asarray(sampled.mask)].any()
    first, second = (calibrate(one, sampled.mask) for one in (kspace, other))
    np.testing.assert_array_equal(first.maps, second.maps)


@pytest.mark.parametrize("n", [7, 8])
@pytest.mark.parametrize("kept", [3, 4, 7])
def test_the_middle_keeps_the_centre_where_it_is(n, kept):
    there = np.zeros(n)
    there[n // 2] = 1
    assert np.flatnonzero(there[middle(n, kept)]).tolist() == [kept // 2]


def test_oversampling_of_the_readout_is_cut_off(images):
    wide = np.zeros((*images.shape[:2], 2 * images.shape[2]), np.complex64)
    wide[..., middle(wide.shape[-1], images.shape[2])] = images
    kspace = image_to_kspace(wide).numpy()[np.newaxis]
    mask = np.ones(images.shape[:2], bool)
    one = prepare(kspace, mask, calibrate(kspace, mask, n_x=images.shape[2]), n_x=images.shape[2])
    expected = np.abs(fft_y(images.astype(np.complex64)))
    np.testing.assert_allclose(np.abs(one.data[0]), expected, atol=1e-4 * expected.max())


@pytest.mark.parametrize("factor", [1e-30, 1e25, 1e37])
def test_squares_of_any_size_are_in_range(factor):
    """Not a power of two, so that values are rounded on their way; calibration depends on no unit otherwise."""
    kspace, mask = noise(3, 2, 16, 12), np.ones((2, 16), bool)
    usual = calibrate(kspace, mask, virtual_coils=2)
    other = calibrate((kspace * np.float32(factor)).astype(np.complex64), mask, virtual_coils=2)
    assert other.kept == pytest.approx(usual.kept, rel=1e-4)
    assert np.abs(np.sum(other.matrix * usual.matrix.conj(), axis=1)) == pytest.approx([1, 1], abs=1e-3)
    assert np.isfinite(other.maps).all() and other.maps.any()


@pytest.mark.parametrize("spike", [1e25, 3e38 + 3e38j])
def test_an_absurd_sample_overflows_nowhere(spike):
    kspace, mask = noise(3, 2, 16, 12), np.ones((2, 16), bool)
    kspace[1, 0, 3, 4] = spike
    calibration = calibrate(kspace, mask)
    assert np.isfinite(calibration.matrix).all() and np.isfinite(calibration.maps).all()
    assert np.isfinite(estimate_maps(kspace[:, 0])).all()


def test_powers_of_two_scale_without_rounding():
    kspace, mask = noise(3, 2, 16, 12), np.ones((2, 16), bool)
    usual, other = calibrate(kspace, mask), calibrate(kspace * np.float32(2**40), mask)
    np.testing.assert_array_equal(usual.matrix, other.matrix)
    np.testing.assert_array_equal(usual.maps, other.maps)


def test_linear_algebra_that_finds_no_end_is_told_in_one_line():
    kspace = noise(3, 2, 16, 12)
    kspace[0, 0, 0, 0] = np.nan
    with np.errstate(invalid="ignore"), pytest.raises(CsmriError, match=r"cannot be .*damaged samples") as caught:
        estimate_maps(kspace[:, 0])
    assert "\n" not in str(caught.value)
