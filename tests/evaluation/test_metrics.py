"""NMSE, PSNR and SSIM on images whose score follows on paper, and against scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from csmri.data.records import QUALITIES
from csmri.data.roi import Box
from csmri.evaluation.metrics import frame_quality, nmse, psnr, ssim


def draw_pair(seed=0):
    reference, noise = np.random.default_rng(seed).random((2, 16, 20)).astype(np.float32)
    return reference, reference + 0.1 * noise


def test_nmse_known_values():
    reference = np.array([[3.0, 4.0]])
    assert nmse(reference, reference) == 0
    assert nmse(reference, np.zeros((1, 2))) == 1
    assert nmse(reference, 2 * reference) == 1
    assert nmse(reference, [[3.0, 4.5]]) == pytest.approx(0.25 / 25)


def test_nmse_puts_the_reference_below_the_line():
    assert nmse([2.0], [1.0]) == 0.25
    assert nmse([1.0], [2.0]) == 1.0


def test_nmse_pools_all_pixels():
    """The mean of two frames' scores is another number: (1 + 0) / 2."""
    assert nmse([[1.0], [3.0]], [[0.0], [3.0]]) == pytest.approx(1 / 10)


def test_nmse_ignores_the_unit():
    reference, reconstructed = draw_pair()
    assert nmse(4095 * reference, 4095 * reconstructed) == pytest.approx(nmse(reference, reconstructed), rel=1e-6)


def test_nmse_of_a_black_reference_is_nan():
    assert math.isnan(nmse(np.zeros((2, 2)), np.ones((2, 2))))


def test_nmse_computes_in_double_precision():
    """Squares of 16-bit scanner values overflow their own type, and float32 loses a small error in a large sum."""
    reference = np.full((64, 64), 40_000, np.uint16)
    reconstructed = reference.copy()
    reconstructed[0, 0] -= 1
    assert nmse(reference, reconstructed) == pytest.approx(1 / (4096 * 40_000**2), rel=1e-12)
    assert nmse(reconstructed.astype(np.float32), reference) == pytest.approx(1 / (4096 * 40_000**2), rel=1e-4)


def test_psnr_closed_form():
    reference = np.zeros((4, 5))
    assert psnr(reference, reference + 0.1, data_range=1) == pytest.approx(20)
    assert psnr(reference, reference + 0.1, data_range=10) == pytest.approx(40)
    assert psnr(reference, reference, data_range=1) == math.inf


@pytest.mark.parametrize("data_range", [0.8, 1.0, 4095.0])
def test_psnr_equals_scikit_image(data_range):
    reference, reconstructed = draw_pair()
    expected = peak_signal_noise_ratio(reference, reconstructed, data_range=data_range)
    assert psnr(reference, reconstructed, data_range=data_range) == pytest.approx(expected, rel=1e-6)


def test_ssim_of_equal_images_is_one_and_falls_with_noise():
    reference, reconstructed = draw_pair()
    assert ssim(reference, reference, data_range=1) == pytest.approx(1)
    noisier = reference + 3 * (reconstructed - reference)
    assert 0 < ssim(reference, noisier, data_range=1) < ssim(reference, reconstructed, data_range=1) < 1


def test_ssim_of_constant_images_by_the_formula():
    """Without variance only the luminance term is left: (2 a b + c) / (a^2 + b^2 + c), c = (0.01 data_range)^2."""
    for data_range in (1.0, 5.0):
        c = (0.01 * data_range) ** 2
        score = ssim(np.full((9, 9), 0.2), np.full((9, 9), 0.6), data_range=data_range)
        assert score == pytest.approx((2 * 0.2 * 0.6 + c) / (0.2**2 + 0.6**2 + c))


def test_ssim_uses_a_window_of_seven():
    """Means over a 7x7 window, centred wherever it fits; sample variances (n - 1), as scikit-image's default."""
    a, b = (image.astype(np.float64)[:8, :9] for image in draw_pair(3))
    c1, c2 = 0.01**2, 0.03**2
    scores = []
    for y in range(2):
        for x in range(3):
            p, q = a[y : y + 7, x : x + 7].ravel(), b[y : y + 7, x : x + 7].ravel()
            (vp, cov), (_, vq) = np.cov(p, q)
            luminance = (2 * p.mean() * q.mean() + c1) / (p.mean() ** 2 + q.mean() ** 2 + c1)
            scores.append(luminance * (2 * cov + c2) / (vp + vq + c2))
    assert ssim(a, b, data_range=1) == pytest.approx(np.mean(scores), rel=1e-9)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_data_range_is_required(metric):
    with pytest.raises(TypeError, match="data_range"):
        metric(*draw_pair())


BOX = Box(2, 3, 8, 9)


def draw_cine(seed=0):
    reference, noise = np.random.default_rng(seed).random((2, 3, 16, 20)).astype(np.float32)
    return reference, reference + 0.1 * noise


@pytest.mark.parametrize("image", ["blank", "noise"])
def test_a_frame_without_content_has_no_quality(image):
    """A PSNR of infinity, or of noise, would win and enter the means."""
    reference, reconstructed = draw_cine()
    reference[1] = 0
    if image == "blank":
        reconstructed[1] = 0
    first, blank, _ = frame_quality(reference, reconstructed, BOX)
    assert set(blank) == set(QUALITIES) and all(math.isnan(value) for value in blank.values())
    assert all(math.isfinite(value) for value in first.values())


def test_a_heart_box_without_content_has_no_quality_but_the_image_has():
    reference, reconstructed = draw_cine()
    BOX.crop(reference)[2] = 0
    found = frame_quality(reference, reconstructed, BOX)[2]
    assert {name for name, value in found.items() if math.isnan(value)} == {"nmse_heart", "psnr_heart", "ssim_heart"}


def test_a_slice_without_content_has_no_quality():
    reference, reconstructed = draw_cine()
    found = frame_quality(0 * reference, reconstructed, BOX)
    assert all(math.isnan(value) for frame in found for value in frame.values())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_is_not_finite_is_as_bad_as_can_be(value):
    """Only what has no content may be left out of means, not what a method spoilt."""
    reference, reconstructed = draw_cine()
    reconstructed[0, 5, 5] = value
    found = frame_quality(reference, reconstructed, BOX)[0]
    assert found == {
        **{"nmse": math.inf, "psnr": -math.inf, "ssim": -1.0},
        **{"nmse_heart": math.inf, "psnr_heart": -math.inf, "ssim_heart": -1.0},
    }


def test_of_a_complex_reference_the_magnitude_is_compared():
    reference, reconstructed = draw_cine()
    turned = reference * np.exp(1j * np.arange(20)).astype(np.complex64)
    for one, other in zip(
        frame_quality(reference, reconstructed, BOX), frame_quality(turned, reconstructed, BOX), strict=True
    ):
        assert one == pytest.approx(other, rel=1e-4)


def test_quality_against_independent_formulas():
    rng = np.random.default_rng(0)
    reference, image = rng.random((2, 3, 20, 24)).astype(np.float32)
    reference[1] *= 3
    box = Box(2, 5, 9, 12)
    peak = reference.max()
    rows = frame_quality(reference, image, box)
    assert len(rows) == 3
    for row, truth, other in zip(rows, reference.astype(float), image.astype(float), strict=True):
        for suffix, region in {"": np.s_[:, :], "_heart": np.s_[2:11, 5:17]}.items():
            a, b = truth[region], other[region]
            assert row[f"nmse{suffix}"] == pytest.approx(((a - b) ** 2).sum() / (a**2).sum())
            assert row[f"psnr{suffix}"] == pytest.approx(20 * np.log10(peak) - 10 * np.log10(((a - b) ** 2).mean()))
            assert row[f"ssim{suffix}"] == pytest.approx(structural_similarity(a, b, data_range=peak), abs=1e-5)


def test_small_box_and_blank_slice_have_no_quality():
    images = np.ones((2, 8, 8), np.float32)
    (row, _) = frame_quality(images, images * 2, Box(0, 0, 6, 8))
    assert np.isnan(row["ssim_heart"])
    assert np.isfinite(row["ssim"])
    assert row["nmse_heart"] == 1
    (row, _) = frame_quality(images * 0, images, Box(0, 0, 8, 8))
    assert all(np.isnan(value) for value in row.values())
