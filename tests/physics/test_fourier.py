"""Algebra of the centred orthonormal transforms; the oracle is NumPy's FFT and, for the centring, plane waves."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from csmri.physics.encoding import columns
from csmri.physics.fourier import (
    as_complex,
    as_pair,
    fft_x,
    fft_y,
    from_pair,
    ifft_x,
    ifft_y,
    image_to_kspace,
    kspace_to_image,
)

PAIRS = {
    "y": (fft_y, ifft_y, (-2,)),
    "x": (fft_x, ifft_x, (-1,)),
    "both": (image_to_kspace, kspace_to_image, (-2, -1)),
}
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 24), st.integers(1, 24))


@pytest.fixture(params=PAIRS, ids=PAIRS)
def pair(request):
    return PAIRS[request.param]


def draw_complex(shape, seed):
    real, imaginary = np.random.default_rng(seed).standard_normal((2, *shape))
    return (real + 1j * imaginary).astype(np.complex64)


def numpy_transform(values, axes, transform):
    return np.fft.fftshift(transform(np.fft.ifftshift(values, axes), axes=axes, norm="ortho"), axes)


# Sizes are drawn, and odd, even, one and non-square ones occur among them; `pair` is the same for all examples.
@given(shape=SHAPES, seed=st.integers(0, 2**16))
@pytest.mark.parametrize("name", PAIRS)
def test_algebra(name, shape, seed):
    forward, backward, axes = PAIRS[name]
    a, b = draw_complex(shape, seed), draw_complex(shape, seed + 1)
    transformed = forward(a).numpy()
    scale = np.linalg.norm(a) * np.linalg.norm(b)

    np.testing.assert_allclose(transformed, numpy_transform(a, axes, np.fft.fftn), atol=2e-5)
    np.testing.assert_allclose(backward(a), numpy_transform(a, axes, np.fft.ifftn), atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(transformed), np.linalg.norm(a), rtol=1e-5)
    assert abs(np.vdot(transformed, b) - np.vdot(a, backward(b).numpy())) < 1e-5 * scale
    np.testing.assert_allclose(backward(transformed), a, atol=2e-5)
    np.testing.assert_allclose(forward(2 * a - 3j * b), 2 * transformed - 3j * forward(b).numpy(), atol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_dc_lies_at_half_the_length(n):
    constant = np.ones((1, n), np.float32)
    expected = np.zeros((1, n))
    expected[0, n // 2] = np.sqrt(n)
    np.testing.assert_allclose(fft_x(constant), expected, atol=1e-6)
    np.testing.assert_allclose(fft_y(constant.T), expected.T, atol=1e-6)


@pytest.mark.parametrize(("n", "k"), [(8, 3), (8, -4), (9, 4), (9, -4)])
def test_plane_wave_about_the_central_pixel_is_one_point_without_phase(n, k):
    wave = np.exp(2j * np.pi * k * (np.arange(n) - n // 2) / n)[:, np.newaxis]
    expected = np.zeros((n, 1))
    expected[n // 2 + k] = np.sqrt(n)
    np.testing.assert_allclose(fft_y(wave), expected, atol=1e-5)


def test_leading_axes_are_carried_along(pair):
    forward, _, axes = pair
    values = draw_complex((2, 3, 4, 5, 6), 0)
    np.testing.assert_allclose(forward(values), numpy_transform(values, axes, np.fft.fftn), atol=1e-5)


def test_same_values_in_tf_data(pair):
    forward, _, _ = pair
    values = draw_complex((3, 5, 8), 1)
    mapped = [item.numpy() for item in tf.data.Dataset.from_tensor_slices(values).map(forward)]
    np.testing.assert_allclose(mapped, forward(values), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_result_is_complex64(pair, dtype):
    for transform in pair[:2]:
        assert transform(np.ones((4, 4), dtype)).dtype == tf.complex64


def test_layouts_and_pairs_come_back():
    values = draw_complex((2, 3, 4), 0)
    np.testing.assert_array_equal(columns(columns(values)), values)
    np.testing.assert_array_equal(columns(values), values.swapaxes(1, 2))
    np.testing.assert_array_equal(from_pair(as_pair(values)), values)


def test_real_values_become_complex_with_a_gradient(recwarn):
    real = tf.Variable([1.0, -2.0])
    with tf.GradientTape() as tape:
        total = tf.math.real(tf.reduce_sum(as_complex(real) * tf.constant([2 + 1j, 3 + 0j], tf.complex64)))
    np.testing.assert_array_equal(tape.gradient(total, real), [2, 3])
    np.testing.assert_array_equal(as_complex(real), np.complex64([1, -2]))
