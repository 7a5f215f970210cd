"""Losses and metrics against NumPy: of the images alone, whatever the padding."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from csmri.evaluation import metrics
from csmri.methods.losses import CineError, CineMean, ImageMean, TargetError


@pytest.fixture(scope="module")
def padded_batch():
    """Images of two sizes in one batch, zero beyond; the fourth has a blank reference."""
    rng = np.random.default_rng(0)
    sizes = [(6, 8), (8, 8), (5, 7), (8, 6)]
    initial, reference, predicted, weight = (np.zeros((4, 8, 8), np.float32) for _ in range(4))
    for i, (y, x) in enumerate(sizes):
        weight[i, :y, :x] = 1
        initial[i, :y, :x] = rng.random((y, x))
        reference[i, :y, :x] = 0 if i == 3 else rng.random((y, x))
        predicted[i, :y, :x] = rng.random((y, x))
    target = (reference - initial + 1) / 2 * weight
    reconstructed = np.maximum(initial + 2 * predicted - 1, 0)
    y_true, y_pred = np.stack([target, initial, weight], -1), predicted[..., np.newaxis]
    return sizes, initial, reference, reconstructed, y_true, y_pred


def test_loss_is_the_mean_square_error_over_the_images(padded_batch):
    sizes, *_, y_true, y_pred = padded_batch
    squares = [
        ((y_true[i, :y, :x, 0] - y_pred[i, :y, :x, 0]) ** 2).astype(np.float64) for i, (y, x) in enumerate(sizes)
    ]
    wanted = sum(s.sum() for s in squares) / sum(s.size for s in squares)
    assert float(TargetError()(y_true, y_pred)) == pytest.approx(wanted, rel=1e-6)


def test_relative_loss_counts_every_image_in_units_of_its_initial_error():
    rng = np.random.default_rng(1)
    error = rng.normal(0, 0.01, (3, 8, 8)).astype(np.float32) * np.array([1, 10, 0], np.float32).reshape(3, 1, 1)
    y_true = np.stack([error + np.float32(0.5), np.zeros_like(error), np.ones_like(error)], -1)
    halved = (error / 2 + np.float32(0.5))[..., np.newaxis]
    loss = TargetError(relative=True)
    # Half of the error left is a quarter of the square, however large it was; without any there is nothing to divide.
    assert float(loss(y_true, halved)) == pytest.approx((0.25 + 0.25 + 0) / 3, rel=1e-4)
    assert float(loss(y_true, np.full_like(halved, 0.5))) == pytest.approx(2 / 3, rel=1e-4)
    assert TargetError.from_config(loss.get_config()).relative


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("padding", [1, 8, 30])
def test_padding_changes_no_loss(padded_batch, relative, padding):
    *_, y_true, y_pred = padded_batch
    appended = [(0, 0), (0, padding), (0, 2 * padding), (0, 0)]
    more = np.pad(y_true, appended)
    more[:, 8:, :, 0] = more[:, :, 8:, 0] = 0.5  # no error, as on all padding
    loss = TargetError(relative=relative)
    once, again = float(loss(y_true, y_pred)), float(loss(more, np.pad(y_pred, appended, constant_values=0.7)))
    assert once == pytest.approx(again, rel=1e-6)


@pytest.mark.parametrize("quantity", ["nmse", "initial_nmse", "bias"])
def test_image_mean_is_the_mean_over_images_without_their_padding(padded_batch, quantity):
    sizes, initial, reference, reconstructed, y_true, y_pred = padded_batch
    values = []
    for i, (y, x) in enumerate(sizes):
        truth, image = reference[i, :y, :x], reconstructed[i, :y, :x]
        if quantity == "bias":
            values.append(np.mean(image.astype(np.float64) - truth))
        elif truth.any():  # a blank reference has no NMSE
            values.append(metrics.nmse(truth, initial[i, :y, :x] if quantity == "initial_nmse" else image))
    metric = ImageMean(quantity)
    for part in (slice(0, 3), slice(3, 4)):  # batches of unequal size count by their images
        metric.update_state(y_true[part], y_pred[part])
    assert float(metric.result()) == pytest.approx(np.mean(values), rel=1e-5)


def draw_cines(seed=0, shape=(1, 3, 6, 5)):
    """Target and prediction of a cine: reference, complex initial and predicted images."""
    rng = np.random.default_rng(seed)
    reference, initial, predicted = (rng.random((3, *shape)) + 1j * rng.random((3, *shape))) * 3
    as_pair = [np.stack([values.real, values.imag], -1) for values in (reference, initial, predicted)]
    y_true = np.concatenate(as_pair[:2], -1).astype(np.float32)
    return y_true, as_pair[2].astype(np.float32), reference, initial, predicted


def test_cine_error_is_that_of_complex_images():
    y_true, y_pred, reference, initial, predicted = draw_cines()
    error, before = (np.mean(np.abs(images - reference) ** 2) for images in (predicted, initial))
    assert float(CineError(relative=True)(y_true, y_pred)) == pytest.approx(error / before, rel=1e-5)
    peak = y_true[..., 2:].max()
    assert float(CineError()(y_true, y_pred)) == pytest.approx(error / peak**2, rel=1e-5)


def test_means_of_cines_are_those_of_their_magnitudes():
    y_true, y_pred, reference, initial, predicted = draw_cines()
    peak, reference = np.abs(y_true[..., 2:]).max(), np.abs(reference)
    expected = {
        "nmse": [metrics.nmse(*pair) for pair in zip(reference[0], np.abs(predicted[0]), strict=True)],
        "initial_nmse": [metrics.nmse(*pair) for pair in zip(reference[0], np.abs(initial[0]), strict=True)],
        "bias": (np.abs(predicted) - reference) / peak,
    }
    for quantity, values in expected.items():
        metric = CineMean(quantity)
        metric.update_state(y_true, y_pred)
        assert float(metric.result()) == pytest.approx(np.mean(values), rel=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_error_of_the_magnitude_counts_by_its_share(share):
    y_true, y_pred, reference, initial, predicted = draw_cines()
    loss = CineError(relative=True, magnitude_share=share)
    parts = []
    for of in (lambda images: images, np.abs):
        error, before = (np.mean(np.abs(of(images) - of(reference)) ** 2) for images in (predicted, initial))
        parts.append(error / before)
    expected = (1 - share) * parts[0] + share * parts[1]
    assert float(loss(y_true, y_pred)) == pytest.approx(expected, rel=1e-4)
    assert CineError.from_config(loss.get_config()).get_config() == loss.get_config()


def test_a_magnitude_of_nothing_has_a_gradient():
    y_true, y_pred, *_ = draw_cines()
    prediction = tf.Variable(np.zeros_like(y_pred))
    with tf.GradientTape() as tape:
        loss = CineError(relative=True, magnitude_share=0.5)(y_true, prediction)
    assert np.isfinite(tape.gradient(loss, prediction)).all()
    assert np.isfinite(float(CineError(magnitude_share=0.5)(0 * y_true, 0 * y_pred)))
