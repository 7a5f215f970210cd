"""Layers of csmri: convolutions see the frames beside, data consistency solves least squares, phases come back."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from csmri.methods import encoding_layers, layers, phase_layers
from csmri.methods.encoding_layers import LEAST_DAMPING, NOISE_GAIN, DataConsistency, Measured, SoftTotalVariation
from csmri.methods.layers import FrameConvolution, FrameTranspose, Neighbours, PadTo, TemporalShift, TemporalSpectrum
from csmri.methods.phase_layers import (
    FRAME_TAPS,
    FRAME_WIDTH,
    GAIN,
    Corrected,
    InPhase,
    Motion,
    MovingPhase,
    WithPhase,
)
from csmri.physics.fourier import as_pair
from csmri.physics.phase import resting_phase

CYCLIC = pytest.mark.parametrize("cyclic", [True, False])


def draw(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def draw_complex(shape, seed=0):
    return draw((*shape, 2), seed) @ np.array([1, 1j], np.complex64)


def complex_images(pair):
    return keras.ops.convert_to_numpy(pair) @ np.array([1, 1j], np.complex64)


def flag(cyclic, batch=2):
    return np.full((batch, 1), cyclic, np.float32)


def beside(cine, cyclic):
    """Frames before and after, in NumPy."""
    padded = np.pad(cine, [(0, 0), (1, 1)] + [(0, 0)] * (cine.ndim - 2), mode="wrap" if cyclic else "edge")
    return padded[:, :-2], padded[:, 2:]


# --- convolutions


@CYCLIC
@pytest.mark.parametrize("n_frames", [1, 2, 5])
def test_a_convolution_of_neighbours_is_one_over_time_too(cyclic, n_frames):
    """Time is padded by its neighbours and space by zeros."""
    cine = draw((2, n_frames, 5, 6, 2))
    layer = FrameConvolution(3, 3, padding="same", use_bias=False)
    result = layer(Neighbours()([cine, flag(cyclic)])).numpy()
    before, after = beside(cine, cyclic)
    padded = np.concatenate([before[:, :1], cine, after[:, -1:]], axis=1)
    kernel = tf.transpose(tf.reshape(layer.kernel, (3, 3, 3, 2, 3)), (2, 0, 1, 3, 4))
    expected = tf.nn.conv3d(padded, kernel, (1,) * 5, "SAME")[:, 1:-1].numpy()
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("reach", [1, 2])
def test_what_is_of_the_frame_alone_comes_behind_its_neighbours(reach):
    cine, other = draw((2, 3, 5, 6, 2)), draw((2, 3, 5, 6, 1))
    layer = Neighbours(reach)
    together = layer([cine, flag(True), other]).numpy()
    assert together.shape == layer.compute_output_shape([cine.shape, (2, 1), other.shape])
    np.testing.assert_array_equal(together, np.concatenate([layer([cine, flag(True)]), other], axis=-1))


@CYCLIC
@pytest.mark.parametrize("channels", [2, 3, 8])
def test_a_third_of_the_channels_is_of_either_neighbour(cyclic, channels):
    cine, n = draw((2, 4, 3, 2, channels)), channels // 3
    before, after = beside(cine, cyclic)
    expected = np.concatenate([before[..., :n], cine[..., n : channels - n], after[..., channels - n :]], axis=-1)
    np.testing.assert_allclose(TemporalShift()([cine, flag(cyclic)]), expected, atol=1e-6)


@pytest.mark.parametrize("n_frames", [1, 2, 5, 6])
def test_the_temporal_spectrum_is_mapped_but_at_frequency_zero(n_frames):
    layer = TemporalSpectrum(3)
    cine = draw((2, n_frames, 4, 5, 3))
    mapped = keras.ops.convert_to_numpy(layer(cine))
    spectrum = np.fft.fft(cine, axis=1, norm="ortho")
    others = np.concatenate([spectrum.real, -spectrum.imag], -1) @ layer.kernel.numpy()
    others[:, 0] = 0
    expected = np.fft.ifft(others[..., :3] - 1j * others[..., 3:], axis=1, norm="ortho").real
    np.testing.assert_allclose(mapped, expected, atol=1e-5)
    assert n_frames == 1 or np.abs(mapped).max() > 0.1


def test_every_cine_of_a_batch_ends_in_its_own_way():
    cine, mixed = draw((2, 4, 3, 2, 3)), np.float32([[1], [0]])
    both = [TemporalShift()([cine, flag(cyclic)])[i] for i, cyclic in enumerate((True, False))]
    np.testing.assert_array_equal(TemporalShift()([cine, mixed]), np.stack(both))


@pytest.mark.parametrize(("kind", "plain"), [(FrameConvolution, "Conv2D"), (FrameTranspose, "Conv2DTranspose")])
def test_a_convolution_of_frames_takes_each_alone(kind, plain):
    cine = draw((2, 3, 5, 7, 2))
    options = {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"}
    layer, reference = kind(**options), getattr(keras.layers, plain)(**options)
    result = layer(cine)
    reference.build((None, 5, 7, 2))
    reference.set_weights(layer.get_weights())
    for frame in range(3):
        np.testing.assert_allclose(result[:, frame], reference(cine[:, frame]), atol=1e-6)
    sizes = (3, 4) if kind is FrameConvolution else (10, 14)
    assert result.shape == (2, 3, *sizes, 4) == layer.compute_output_shape((2, 3, 5, 7, 2))
    assert layer(cine[:1, :1, :4]).shape[:2] == (1, 1)


@pytest.mark.parametrize("shape", [(4, 8), (5, 7), (1, 3)])
def test_zeros_are_appended_to_a_multiple(shape):
    cine = draw((1, 2, *shape, 3))
    padded, (x, y) = PadTo(4)(cine).numpy(), shape
    assert padded.shape == (1, 2, -(-x // 4) * 4, -(-y // 4) * 4, 3) == PadTo(4).compute_output_shape(cine.shape)
    np.testing.assert_array_equal(padded[:, :, :x, :y], cine)
    assert not padded[:, :, x:].any() and not padded[:, :, :, y:].any()
    assert PadTo(4).compute_output_shape((None, None, None, 7, 3)) == (None, None, None, 8, 3)


# --- data consistency


def measured_cines(n_coils, *, seed=0):
    """Image, data, mask, maps of two cines of 2 frames, 3 columns and 5 rows."""
    image, truth = draw_complex((2, 2, 3, 5), seed), draw_complex((2, 2, 3, 5), seed + 1)
    maps = draw_complex((n_coils, 2, 1, 3, 5), seed + 2)
    maps /= np.linalg.norm(maps, axis=0)
    mask = (np.random.default_rng(seed).random((2, 2, 1, 5)) < 0.6).astype(np.float32)
    mask[..., 0] = 1
    return image, mask * np.fft.fft(maps * truth).astype(np.complex64), mask, maps


@pytest.mark.parametrize(("n_coils", "noise", "steps"), [(1, 0.0, 1), (1, 0.02, 1), (3, 0.02, 12), (3, 0.1, 12)])
def test_consistency_solves_damped_least_squares(n_coils, noise, steps):
    """Against NumPy, of the stacked system [E / root n; root damping] x = [data / root n; root damping image]."""
    image, data, mask, maps = measured_cines(n_coils)
    deviations = np.float32([[noise], [2 * noise]])
    layer = DataConsistency(steps, trust=0.05)
    found = complex_images(layer([as_pair(image), data, mask, maps, deviations]))
    for index in np.ndindex(2, 2, 3):
        batch, frame, column = index
        weight = deviations[batch, 0] / (0.05 + LEAST_DAMPING)
        transform = np.fft.fft(np.eye(5), axis=0) * mask[batch, frame, 0][:, np.newaxis]
        rows = [transform * one[batch, 0, column] / np.sqrt(5) for one in maps]
        matrix = np.concatenate([*rows, weight * np.eye(5)])
        wanted = np.concatenate([*(data[:, *index] / np.sqrt(5)), weight * image[index]])
        # Where nothing is damped the least change is what is looked for.
        change = np.linalg.lstsq(matrix, wanted - matrix @ image[index], rcond=1e-6)[0]
        np.testing.assert_allclose(found[index], image[index] + change, atol=2e-4)


def test_consistency_of_one_coil_twice_is_once_and_of_all_data_nothing_changes():
    image, data, mask, maps = measured_cines(1)
    layer, nothing = DataConsistency(4), np.zeros((2, 1), np.float32)
    once = layer([as_pair(image), data, mask, maps, nothing])
    assert np.abs(complex_images(once) - image).max() > 0.1
    np.testing.assert_allclose(layer([once, data, mask, maps, nothing]), once, atol=3e-6)


def test_consistency_does_not_know_the_number_of_coils_before_it_is_called():
    layer, nothing = DataConsistency(3), np.zeros((2, 1), np.float32)
    traced = tf.function(
        lambda *inputs: layer(list(inputs)),
        input_signature=[
            tf.TensorSpec((2, 2, 3, 5, 2), tf.float32),
            tf.TensorSpec((None, 2, 2, 3, 5), tf.complex64),
            tf.TensorSpec((2, 2, 1, 5), tf.float32),
            tf.TensorSpec((None, 2, 1, 3, 5), tf.complex64),
            tf.TensorSpec((2, 1), tf.float32),
        ],
    )
    for n_coils in (1, 3):
        image, data, mask, maps = measured_cines(n_coils)
        inputs = [as_pair(image), data, mask, maps, nothing]
        np.testing.assert_allclose(traced(*inputs), layer(inputs), atol=1e-5)


def undersampled(n_coils):
    """Growing bright cine, what is measured of half its lines, its zero-filled image, and the objective of weights."""
    rng = np.random.default_rng(0)
    truth = np.zeros((1, 6, 8, 12), np.complex64)
    for frame in range(6):
        truth[0, frame, 2:6, 3 : 6 + frame] = 1
    truth += 0.1
    maps = np.ones((n_coils, 1, 1, 8, 12), np.complex64) / np.float32(np.sqrt(n_coils))
    mask = (rng.random((1, 6, 1, 12)) < 0.5).astype(np.float32)
    mask[..., :2] = mask[..., -1:] = 1
    data = (mask * np.fft.fft(maps * truth)).astype(np.complex64)
    zero_filled = (maps.conj() * np.fft.ifft(data)).sum(axis=0).astype(np.complex64)

    def objective(x, temporal, spatial):
        misfit = 0.5 * (np.abs(mask * np.fft.fft(maps * x) - data) ** 2).sum() / 12
        weights = np.array([1.0, 5.0]).reshape(2, 1, 1, 1, 1)
        parts = np.stack([x.real, x.imag])
        differences = np.abs(np.diff(parts, axis=-3, append=parts[..., :1, :, :]))
        along_x = np.diff(parts, axis=-2, append=parts[..., -1:, :])
        along_y = np.diff(parts, axis=-1, append=parts[..., -1:])
        return misfit + (weights * (temporal * differences + spatial * np.hypot(along_x, along_y))).sum()

    return [as_pair(zero_filled), data, mask, maps, flag(True, 1)], objective


@pytest.mark.parametrize("n_coils", [1, 3])
def test_total_variation_comes_closer_to_its_minimum_the_longer_it_goes_on(n_coils):
    inputs, objective = undersampled(n_coils)
    found = [objective(complex_images(inputs[0]), 2e-2, 1e-2)]
    for iterations in (2, 10, 60):
        layer = SoftTotalVariation(iterations, temporal=2e-2, spatial=1e-2)
        images = layer(inputs)
        found.append(objective(complex_images(images), 2e-2, 1e-2))
    assert found[0] > 1.2 * found[1] > 1.2 * found[2] and found[3] < 1.01 * found[2]
    again = SoftTotalVariation.from_config(layer.get_config())
    np.testing.assert_array_equal(again(inputs), images)


def test_relaxed_it_comes_further_where_lines_are_missing(monkeypatch):
    inputs, objective = undersampled(1)
    found = []
    for relaxation in (1.0, encoding_layers.RELAXATION):
        monkeypatch.setattr(encoding_layers, "RELAXATION", relaxation)
        images = [complex_images(SoftTotalVariation(n)(inputs)) for n in (2, 4)]
        found.append([objective(one, 2.5e-3, 6e-4) for one in images])
    assert found[1][0] < found[0][0] and found[1][1] < found[0][1]


def test_layers_stay_in_float32_under_mixed_precision_and_come_back():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        made = [DataConsistency(3, trust=0.1), Corrected(0.5), Motion(), InPhase(), WithPhase(), MovingPhase()]
        again = [type(layer).from_config(layer.get_config()) for layer in made]
    finally:
        keras.config.set_dtype_policy(before)
    assert {layer.compute_dtype for layer in (*made, *again, Measured())} == {"float32"}
    assert (again[0].steps, again[0].trust, again[1].keep_at_first) == (3, 0.1, 0.5)
    again[0].build(None)
    again[1].build(None)
    assert float(again[0].log_trust) == pytest.approx(math.log(0.1)) and float(again[1].keep) == 0.5


def test_what_was_measured_is_told_in_one_unit_and_phase():
    images, data = draw_complex((2, 3, 4, 5)), draw_complex((2, 2, 3, 4, 5), 1)
    maps, mask = draw_complex((2, 2, 4, 5), 2), np.random.default_rng(3).random((2, 3, 5)) < 0.5
    noise, peak = np.float32([[0.1], [0.0]]), np.float32([4, 2]).reshape(2, 1, 1, 1, 1)
    pairs = [as_pair(one) for one in (images, data, maps)]
    told = Measured()([pairs[0], pairs[1], mask, pairs[2], noise, peak])
    phase = resting_phase(tf.reduce_mean(images, axis=1))[:, np.newaxis].numpy()
    np.testing.assert_allclose(complex_images(told["phase"]), phase, atol=1e-6)
    scaled = images / peak[..., 0]
    np.testing.assert_allclose(complex_images(told["image"]), scaled * phase.conj(), atol=1e-6)
    np.testing.assert_allclose(told["data"], data.swapaxes(0, 1) / peak[..., 0], atol=1e-6)
    assert np.array_equal(told["mask"], np.broadcast_to(mask[:, :, np.newaxis], (2, 3, 4, 5)))
    # The maps carry the phase, so that what is encoded stays what it was.
    shown = told["maps"].numpy() * complex_images(told["image"])
    np.testing.assert_allclose(shown, maps.swapaxes(0, 1)[:, :, np.newaxis] * scaled, atol=1e-5)
    np.testing.assert_allclose(told["noise"], [[0.1 / 4], [0.0]], rtol=1e-6)
    expected = np.stack([mask.mean(axis=(1, 2)), NOISE_GAIN * noise[:, 0] / peak.flat, [0.5, 0.5]], axis=1)
    np.testing.assert_allclose(told["told"], expected, rtol=1e-5)


# --- the phase


@CYCLIC
def test_moving_phase_is_that_of_the_smoothed_cine(cyclic):
    images = draw_complex((2, 4, 12, 11)) + 3
    before, after = beside(images, cyclic)
    smooth = FRAME_TAPS[0] * before + FRAME_TAPS[1] * images + FRAME_TAPS[2] * after
    reach = {"sigma": (0, 0, FRAME_WIDTH, FRAME_WIDTH), "mode": "constant", "truncate": 3.0}
    smooth = gaussian_filter(smooth.real, **reach) + 1j * gaussian_filter(smooth.imag, **reach)
    found = complex_images(MovingPhase()([as_pair(images), flag(cyclic)]))
    np.testing.assert_allclose(np.abs(found), 1, atol=1e-5)
    inner = np.s_[:, :, 4:-4, 4:-4]
    np.testing.assert_allclose(found[inner], (smooth / np.abs(smooth))[inner], atol=3e-3)


def test_no_gradient_passes_the_phase_and_nothing_has_phase_one():
    image = tf.Variable(as_pair(draw_complex((1, 2, 4, 3))))
    with tf.GradientTape() as tape:
        phase = MovingPhase()([image, flag(True, 1)])
    assert tape.gradient(phase, image) is None
    blank = MovingPhase()([np.zeros((1, 2, 4, 3, 2), np.float32), flag(True, 1)]).numpy()
    assert (blank == [1, 0]).all()


def test_turned_back_and_forth_it_is_the_same():
    image, phase = draw_complex((2, 3, 4, 5)), np.exp(1j * draw((2, 1, 4, 5))).astype(np.complex64)
    turned = InPhase()([as_pair(image), as_pair(phase)])
    np.testing.assert_allclose(complex_images(turned), image * phase.conj(), atol=1e-6)
    np.testing.assert_allclose(WithPhase()([turned, as_pair(phase)]), as_pair(image), atol=1e-6)


def test_what_moves_is_shown_beside_what_rests():
    image, phase = draw((2, 3, 4, 5, 2)), draw((2, 3, 4, 5, 2), 1)
    rest = image[..., 0].mean(axis=1, keepdims=True)
    expected = [(image[..., 0] - rest) * GAIN, image[..., 1] * GAIN, rest + 0 * image[..., 0], phase[..., 1]]
    found = Motion()([image, phase])
    np.testing.assert_allclose(found, np.stack(expected, axis=-1), atol=1e-5)
    assert found.shape == Motion().compute_output_shape([image.shape, phase.shape])


def test_correction_is_added_and_keeps_a_share_of_what_is_out_of_phase():
    image, correction = draw((2, 3, 5, 7, 2)), draw((2, 3, 8, 8, 2), 1)  # which was padded
    c = correction[:, :, :5, :7]
    imaginary = 0.3 * image[..., 1] + c[..., 1] / GAIN
    expected = np.stack([image[..., 0] + c[..., 0] / GAIN, imaginary], axis=-1)
    np.testing.assert_allclose(Corrected()([image, correction]), expected, atol=1e-5)


@pytest.mark.parametrize("module", [layers, encoding_layers, phase_layers])
def test_knows_no_backend(module):
    imported = list(ast.walk(ast.parse(Path(module.__file__).read_text("utf-8"))))
    names = {alias.name for node in imported if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in imported if isinstance(node, ast.ImportFrom)}
    others = {name for name in names if not name.startswith(("csmri.core", "csmri.physics", "csmri.methods"))}
    assert others <= {"__future__", "collections.abc", "math", "typing", "keras", "numpy"}


def test_a_joint_convolution_is_that_of_all_channels_side_by_side():
    rng = np.random.default_rng(0)
    one, other = (rng.standard_normal((2, 3, 7, 6, n)).astype(np.float32) for n in (4, 3))
    joint = layers.JointConvolution(5, 3, padding="same", activation="relu")
    plain = layers.FrameConvolution(5, 3, padding="same", activation="relu")
    found = joint([one, other])
    plain.build((2, 3, 7, 6, 7))
    joint.bias.assign(rng.standard_normal(5))
    plain.set_weights(joint.get_weights())
    assert found.shape == joint.compute_output_shape([one.shape, other.shape]) == (2, 3, 7, 6, 5)
    np.testing.assert_allclose(joint([one, other]), plain(np.concatenate([one, other], -1)), rtol=1e-5, atol=1e-5)
