"""The data consistency that a network trains through is that of the encoding, with the gradient of what it computes."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from csmri.core.errors import CsmriError
from csmri.data.acquisition import Acquisition
from csmri.methods import layers
from csmri.methods.layers import DataConsistency, RestingPhase, TotalVariation
from csmri.physics.encoding import encoding_of, share_of
from csmri.physics.fourier import as_pair, fft_y, ifft_y
from csmri.physics.interpolation import interpolate_frames

SHAPES = [(3, 8, 8), (2, 7, 7), (4, 9, 6), (1, 6, 5), (2, 1, 3)]
WEIGHTS = [0.0, 0.5, 10.0, math.inf]


def draw_complex(shape, seed):
    real, imaginary = np.random.default_rng(seed).standard_normal((2, *shape))
    return (real + 1j * imaginary).astype(np.complex64)


def pairs(images):
    return np.stack([np.real(images), np.imag(images)], axis=-1).astype(np.float32)


def complex_images(values):
    values = keras.ops.convert_to_numpy(values)
    return values[..., 0] + 1j * values[..., 1]


def draw(shape, seed=0):
    """Two cines of noise, their masks (batch, frame, ky), measured data and initial reconstructions."""
    images, truth = draw_complex((2, *shape), seed), draw_complex((2, *shape), seed + 1)
    mask = np.random.default_rng(seed).random((2, *shape[:2])) < 0.4
    mask[:, :, shape[1] // 2] = True
    measured = np.where(mask[..., np.newaxis], fft_y(truth), 0)
    initial = np.stack([ifft_y(interpolate_frames(m, k)).numpy() for m, k in zip(measured, mask, strict=True)])
    return images, truth, measured, mask, initial


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weight", WEIGHTS)
def test_equals_the_consistency_of_the_encoding(shape, weight):
    images, _, measured, mask, initial = draw(shape)
    expected = [
        encoding_of(Acquisition(data[np.newaxis], one)).consistent(image, data[np.newaxis], share_of(weight))
        for image, data, one in zip(images, measured, mask, strict=True)
    ]
    for kind in (bool, np.float32):
        done = DataConsistency(weight)([pairs(images), pairs(initial), mask.astype(kind)])
        np.testing.assert_allclose(complex_images(done), expected, atol=3e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_hard_consistency_twice_is_once(shape):
    images, _, _, mask, initial = draw(shape)
    layer = DataConsistency()
    once = layer([pairs(images), pairs(initial), mask])
    np.testing.assert_allclose(layer([once, pairs(initial), mask]), once, atol=3e-6)
    assert np.abs(once - pairs(images)).max() > 0.1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weight", WEIGHTS)
def test_never_raises_the_error_on_noise_free_data(shape, weight):
    images, truth, _, mask, initial = draw(shape)
    done = complex_images(DataConsistency(weight)([pairs(images), pairs(initial), mask]))

    def errors(reconstructed):
        return np.linalg.norm(reconstructed - truth, axis=(-2, -1))

    assert (errors(done) <= errors(images) * (1 + 1e-6)).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weight", WEIGHTS)
def test_gradients_are_the_adjoint(shape, weight):
    """What is computed is initial + P (image - initial), P its own adjoint; so are the gradients P g and g - P g."""
    images, _, _, mask, initial = draw(shape)
    layer = DataConsistency(weight)
    gradient = pairs(draw_complex(images.shape, 7))
    image, start = tf.Variable(pairs(images)), tf.Variable(pairs(initial))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(gradient * layer([image, start, mask]))
    of_image, of_initial = tape.gradient(total, [image, start])
    expected = layer([gradient, np.zeros_like(gradient), mask])
    np.testing.assert_allclose(of_image, expected, atol=3e-6)
    np.testing.assert_allclose(of_initial, gradient - expected, atol=3e-6)


@pytest.mark.parametrize("weight", [10.0, math.inf])
def test_a_model_with_it_is_saved_and_keeps_float32_under_mixed_precision(weight, tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inputs = [keras.Input((None, None, None, 2)), keras.Input((None, None, None, 2)), keras.Input((None, None))]
        model = keras.Model(inputs, DataConsistency(weight)(inputs))
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
    finally:
        keras.config.set_dtype_policy(before)
    assert model.output.shape == (None, None, None, None, 2)
    images, _, _, mask, initial = draw((3, 6, 5))
    values = [pairs(images), pairs(initial), mask.astype(np.float32)]
    expected = DataConsistency(weight)(values)
    for one in (model, loaded):
        np.testing.assert_array_equal(one(values), expected)
        np.testing.assert_allclose(one.predict(values, verbose=0), expected, atol=1e-6)


@pytest.mark.parametrize("weight", [-1.0, math.nan])
def test_refuses_a_weight_that_is_none(weight):
    with pytest.raises(CsmriError, match="0 or more"):
        DataConsistency(weight)


def test_knows_no_backend():
    imported = list(ast.walk(ast.parse(Path(layers.__file__).read_text("utf-8"))))
    names = {alias.name for node in imported if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in imported if isinstance(node, ast.ImportFrom)}
    others = {name for name in names if not name.startswith(("csmri.core", "csmri.physics", "csmri.methods"))}
    assert others == {"__future__", "math", "typing", "keras"}


# --- total variation


def differences(image, cyclic):
    """Forward differences (3, frame, y, x) in time, y and x; zero where nothing follows."""
    following = np.roll(image, -1, axis=0)
    if not cyclic:
        following[-1] = image[-1]
    y, x = (np.diff(image, axis=axis, append=np.take(image, [-1], axis=axis)) for axis in (1, 2))
    return np.stack([following - image, y, x])


def adjoint(duals, cyclic):
    """Adjoint of `differences`, column by column of its matrix."""
    result = np.zeros(duals.shape[1:])
    for index in np.ndindex(result.shape):
        unit = np.zeros(result.shape)
        unit[index] = 1
        result[index] = (differences(unit, cyclic) * duals).sum()
    return result


def chambolle_pock(initial, phase, mask, *, iterations, cyclic, temporal=4e-3, spatial=8e-4):
    """The layer's iteration once more in NumPy, with k-space in full and the weights of mirrored lines written out."""
    n_ky = mask.shape[1]
    mirror = mask[:, (2 * (n_ky // 2) - np.arange(n_ky)) % n_ky]
    primal = 0.14 * (mask.size / mask.sum()) ** 1.7
    dual = 1 / (12 * primal)
    share = np.where(mask, np.where(mirror, 1.0, 2.0), 0.0) * primal / (1 + primal)
    image = (initial * phase.conj()).real
    old, duals = differences(image, cyclic), np.zeros((3, *image.shape))
    for _ in range(iterations):
        image = image - primal * adjoint(duals, cyclic)
        missed = ifft_y(share[..., np.newaxis] * fft_y(initial - image * phase)).numpy()
        image = image + (missed * phase.conj()).real
        new = differences(image, cyclic)
        duals = duals + dual * (2 * new - old)
        duals[0] = np.clip(duals[0], -temporal, temporal)
        duals[1:] /= np.maximum(1, np.hypot(*duals[1:]) / spatial)
        old = new
    return image * phase


@pytest.mark.parametrize("cyclic", [True, False])
@pytest.mark.parametrize("iterations", [0, 1, 6])
def test_total_variation_iterates_as_chambolle_and_pock_do(cyclic, iterations):
    rng = np.random.default_rng(0)
    mask = rng.random((4, 7)) < 0.5
    mask[0] = True
    images = rng.random((4, 7, 6)) * np.exp(0.1j * rng.random((4, 7, 6)))
    initial = ifft_y(interpolate_frames(fft_y(images), mask, cyclic=cyclic)).numpy()
    phase = np.exp(1j * rng.random((7, 6))).astype(np.complex64)
    inputs = [as_pair(initial), as_pair(phase[np.newaxis]), tf.constant(mask, tf.float32)]
    layer = TotalVariation(iterations, cyclic=cyclic)
    pair = layer([one[tf.newaxis] for one in inputs])[0].numpy()
    expected = chambolle_pock(initial, phase, mask, iterations=iterations, cyclic=cyclic)
    np.testing.assert_allclose(pair[..., 0] + 1j * pair[..., 1], expected, atol=2e-5)
    assert TotalVariation.from_config(layer.get_config()).get_config() == layer.get_config()


def test_total_variation_lessens_the_error_of_a_moving_edge():
    """An edge that moves through a still image: what total variation is for."""
    images = np.ones((12, 32, 24), np.float32)
    for frame in range(12):
        images[frame, 8 : 16 + int(4 * np.sin(2 * np.pi * frame / 12)), 6:18] = 0.3
    mask = np.random.default_rng(1).random((12, 32)) < 0.4
    mask[:, 16] = True
    initial = ifft_y(interpolate_frames(fft_y(images), mask)).numpy()
    phase = np.ones((1, 32, 24), np.complex64)
    inputs = [as_pair(initial), as_pair(phase), tf.constant(mask, tf.float32)]
    pair = TotalVariation(40)([one[tf.newaxis] for one in inputs])[0].numpy()
    assert np.square(pair[..., 0] - images).sum() < 0.5 * np.square(np.abs(initial) - images).sum()


def test_resting_phase_is_smooth_and_zero_where_nothing_is():
    rest = np.zeros((1, 1, 40, 40, 2), np.float32)
    assert (RestingPhase()(rest).numpy() == [1, 0]).all()
    angle = np.linspace(0, 1, 40)[:, np.newaxis] + np.zeros(40)
    rest[0, 0, ..., 0], rest[0, 0, ..., 1] = np.cos(angle), np.sin(angle)
    noisy = rest + np.random.default_rng(0).normal(0, 0.2, rest.shape).astype(np.float32)
    inner = np.s_[0, 0, 8:-8, 8:-8]
    found = np.arctan2(*np.moveaxis(RestingPhase()(noisy).numpy()[inner], -1, 0)[::-1])
    assert np.abs(found - angle[8:-8, 8:-8]).max() < 0.15 < np.abs(noisy - rest)[inner].max()
