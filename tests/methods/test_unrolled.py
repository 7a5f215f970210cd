"""The unrolled network: starts as total variation, keeps what was measured, and knows no unit, size or phase."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from csmri.methods.layers import CineConvolution, TotalVariation
from csmri.methods.unrolled import TV_ITERATIONS, build_unrolled
from csmri.physics.fourier import as_pair, fft_y, ifft_y
from csmri.physics.interpolation import interpolate_frames
from csmri.physics.phase import PHASE_WIDTH

SIZES = [(5, 12, 10), (1, 9, 7), (2, 8, 1), (6, 7, 16)]


def make_network(seed=0, **options):
    """A network that changes images a lot: no layer is zero."""
    network = build_unrolled(**{"base_channels": 4, "cascades": 2, "seed": seed, **options})
    rng = np.random.default_rng(seed)
    for variable in network.weights:
        if not np.any(variable.numpy()):
            variable.assign(rng.normal(0, 0.1, variable.shape))
    return network


@pytest.fixture(scope="module")
def network():
    return make_network()


def measured(shape, seed=0):
    """Complex cine (frame, y, x), its mask (frame, ky), and its initial reconstruction."""
    rng = np.random.default_rng(seed)
    images = (rng.gamma(2.0, 1.0, shape) + 1j * rng.normal(0, 0.3, shape)).astype(np.complex64)
    mask = rng.random(shape[:2]) < 0.5
    mask[0] = True
    return images, mask, ifft_y(interpolate_frames(fft_y(images), mask)).numpy()


def run(network, initial, mask):
    improved = network([as_pair(initial)[tf.newaxis], tf.constant(mask[np.newaxis], tf.float32)])[0].numpy()
    return improved[..., 0] + 1j * improved[..., 1]


def resting_phase(initial):
    """Unit phase (y, x) of the smoothed temporal mean, in SciPy."""
    rest = initial.mean(axis=0)
    reach = {"sigma": PHASE_WIDTH, "mode": "constant", "truncate": 3.0}
    smooth = gaussian_filter(rest.real, **reach) + 1j * gaussian_filter(rest.imag, **reach)
    return smooth / np.abs(smooth)


def consistent(images, initial, mask):
    return ifft_y(np.where(mask[..., np.newaxis], fft_y(initial), fft_y(images))).numpy()


def total_variation(initial, phase, mask):
    """The network's total variation of an image with a phase, normalised as there."""
    peak = np.abs(initial).max()
    inputs = [as_pair(initial / peak), as_pair(phase[np.newaxis]), tf.constant(mask, tf.float32)]
    pair = TotalVariation(TV_ITERATIONS)([one[tf.newaxis] for one in inputs])[0].numpy()
    return peak * (pair[..., 0] + 1j * pair[..., 1])


@pytest.mark.parametrize("shape", SIZES)
def test_untrained_it_is_total_variation_and_projections_in_turn(shape):
    _, mask, initial = measured(shape)
    phase = resting_phase(initial).astype(np.complex64)
    images = consistent(total_variation(initial, phase, mask), initial, mask)
    for _ in range(2):
        images = consistent((images * phase.conj()).real * phase, initial, mask)
    improved = run(build_unrolled(base_channels=4, cascades=2), initial, mask)
    np.testing.assert_allclose(improved, images, atol=2e-5 * np.abs(initial).max())


@pytest.mark.parametrize("shape", SIZES)
def test_acquired_lines_come_out_as_they_were_measured(network, shape):
    images, mask, initial = measured(shape)
    improved = run(network, initial, mask)
    assert np.abs(improved - initial).max() > 1e-2 or mask.all(), "the network must change something for this to tell"
    difference = np.asarray(fft_y(improved) - fft_y(images))
    assert np.abs(difference[mask]).max() < 1e-5 * np.abs(fft_y(images)).max()


def test_soft_consistency_lets_the_network_move_acquired_lines_a_little():
    images, mask, initial = measured((4, 8, 6))
    moved = []
    for weight in (1.0, 100.0):
        network = make_network(cascades=1, weight=weight)
        moved.append(np.abs(np.asarray(fft_y(run(network, initial, mask)) - fft_y(images))[mask]).max())
    assert moved[0] > 10 * moved[1] > 0


def test_unit_and_phase_of_the_data_do_not_matter(network):
    _, mask, initial = measured((5, 8, 6))
    improved = run(network, initial, mask)
    turned = np.complex64(300 * np.exp(2j))
    np.testing.assert_allclose(run(network, turned * initial, mask), turned * improved, atol=300 * 2e-5)


def test_cyclic_network_knows_no_first_frame_and_the_other_does():
    _, mask, initial = measured((6, 8, 6))
    for cyclic in (True, False):
        network = make_network(cyclic=cyclic)
        rolled = run(network, np.roll(initial, 2, axis=0), np.roll(mask, 2, axis=0))
        same = np.allclose(rolled, np.roll(run(network, initial, mask), 2, axis=0), atol=1e-4)
        assert same == cyclic


def test_blank_cine_stays_blank(network):
    blank = np.zeros((3, 8, 6), np.complex64)
    assert not np.any(run(network, blank, np.ones((3, 8), bool)))


def test_saved_and_loaded_it_computes_the_same(network, tmp_path):
    _, mask, initial = measured((3, 9, 8))
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(run(loaded, initial, mask), run(network, initial, mask))


def test_seed_decides_the_weights():
    kernels = [build_unrolled(base_channels=2, cascades=1, seed=seed).weights[0].numpy() for seed in (0, 0, 1)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


def test_bfloat16_is_near_and_keeps_acquired_lines():
    images, mask, initial = measured((4, 12, 10))
    improved = {p: run(make_network(precision=p), initial, mask) for p in ("float32", "mixed_bfloat16")}
    change = np.abs(improved["float32"] - initial).max()
    assert 0 < np.abs(improved["mixed_bfloat16"] - improved["float32"]).max() < 0.1 * change
    difference = np.asarray(fft_y(improved["mixed_bfloat16"]) - fft_y(images))
    assert np.abs(difference[mask]).max() < 1e-5 * np.abs(fft_y(images)).max()


@pytest.mark.parametrize("cyclic", [True, False])
def test_convolution_pads_time_by_its_neighbours_and_space_by_zeros(cyclic):
    rng = np.random.default_rng(0)
    cine = rng.normal(size=(1, 4, 5, 6, 2)).astype(np.float32)
    layer = CineConvolution(3, 3, cyclic=cyclic)
    result = layer(cine).numpy()
    padded = np.pad(cine, ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)), mode="wrap" if cyclic else "edge")
    expected = tf.nn.conv3d(padded, layer.kernel, (1,) * 5, "SAME")[:, 1:-1].numpy()
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_strided_convolution_rounds_odd_sizes_up():
    layer = CineConvolution(3, 3, strides=(1, 2, 2))
    assert layer(np.zeros((1, 4, 5, 6, 2), np.float32)).shape == (1, 4, 3, 3, 3)
    assert layer.compute_output_shape((1, 4, 5, None, 2)) == (1, 4, 3, None, 3)
