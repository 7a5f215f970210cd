"""The encoding of an acquisition: linear, adjoint, the same in both layouts; consistency never makes an image worse."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from csmri.data.acquisition import Acquisition
from csmri.physics.encoding import (
    Encoding,
    as_weights,
    columns,
    encoding_of,
    in_columns,
    in_phase,
    share_of,
    with_phase,
)
from csmri.physics.fourier import fft, fft_y, ifft
from csmri.physics.linear import damped_least_squares

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 5))
COILS = st.sampled_from([None, 1, 2, 3])
"""None: one coil without maps."""
WEIGHTS = st.sampled_from([0.0, 0.5, 3.0, math.inf])


def draw_complex(shape, seed):
    real, imaginary = np.random.default_rng(seed).standard_normal((2, *shape))
    return (real + 1j * imaginary).astype(np.complex64)


def draw_acquisition(shape, n_coils, seed):
    """Noise for data, which `encode` of an image fits in no way."""
    mask = np.random.default_rng(seed + 99).random(shape[:2]) < 0.4
    maps = None if n_coils is None else draw_complex((n_coils, *shape[1:]), seed + 1)
    if maps is not None:
        maps /= np.linalg.norm(maps, axis=0)
    data = np.where(mask[..., np.newaxis], draw_complex((n_coils or 1, *shape), seed + 2), 0)
    return Acquisition(data, mask, maps)


def inner(a, b):
    return np.vdot(np.asarray(a, np.complex128), np.asarray(b, np.complex128))


@given(shape=SHAPES, n_coils=COILS, seed=st.integers(0, 2**16))
def test_adjoint_and_normal_operator(shape, n_coils, seed):
    acquisition = draw_acquisition(shape, n_coils, seed)
    encoding, image = encoding_of(acquisition), draw_complex(shape, seed)
    data = encoding.encode(image)
    assert data.shape == acquisition.data.shape
    size = np.linalg.norm(image) * np.linalg.norm(acquisition.data) + 1e-6
    there, back = inner(acquisition.data, data), inner(encoding.adjoint(acquisition.data), image)
    assert abs(there - back) < 1e-5 * size
    np.testing.assert_allclose(encoding.normal(image), encoding.adjoint(data), atol=1e-5)
    missed = encoding.adjoint_residual(image, acquisition.data)
    np.testing.assert_allclose(missed, encoding.adjoint(acquisition.data - data), atol=2e-5)
    assert np.linalg.norm(encoding.normal(image)) <= np.linalg.norm(image) * (1 + 1e-5)


@given(shape=SHAPES, n_coils=COILS, seed=st.integers(0, 2**16))
def test_linear(shape, n_coils, seed):
    encoding = encoding_of(draw_acquisition(shape, n_coils, seed))
    a, b = draw_complex(shape, seed + 5), draw_complex(shape, seed + 6)
    both = encoding.encode(np.complex64(2 - 1j) * a + b)
    np.testing.assert_allclose(both, np.complex64(2 - 1j) * encoding.encode(a) + encoding.encode(b), atol=2e-5)


@given(shape=SHAPES, n_coils=COILS, seed=st.integers(0, 2**16))
def test_the_layout_of_iterations_has_the_same_normal_operator(shape, n_coils, seed):
    acquisition, image = draw_acquisition(shape, n_coils, seed), draw_complex(shape, seed)
    maps = None if n_coils is None else columns(tf.constant(acquisition.maps))[:, np.newaxis]
    mask = as_weights(np.fft.ifftshift(acquisition.mask, axes=-1))[:, np.newaxis]
    fast = Encoding(mask, maps).normal(columns(tf.constant(image)))
    np.testing.assert_allclose(columns(fast), encoding_of(acquisition).normal(image), atol=1e-5)


def plain_encoding(acquisition):
    """Encoding in the layout of iterations, and its data."""
    data, mask = in_columns(acquisition)
    maps = None if acquisition.maps is None else columns(tf.constant(acquisition.maps))[:, np.newaxis]
    return Encoding(as_weights(mask)[:, np.newaxis], maps), data


@given(shape=SHAPES, n_coils=COILS, seed=st.integers(0, 2**16))
def test_data_in_columns_are_those_of_the_plain_transform(shape, n_coils, seed):
    """What is measured of an image in the centred layout is what is encoded of it in the other."""
    acquisition, image = draw_acquisition(shape, n_coils, seed), draw_complex(shape, seed)
    measured = encoding_of(acquisition).encode(image)
    encoding, data = plain_encoding(replace(acquisition, data=measured))
    np.testing.assert_allclose(encoding.encode(columns(tf.constant(image))), data, atol=3e-5)


@given(shape=SHAPES, n_coils=COILS, seed=st.integers(0, 2**16))
def test_adjoint_in_the_layout_of_iterations(shape, n_coils, seed):
    """Up to n_ky, by which the plain transform is not unitary."""
    acquisition = draw_acquisition(shape, n_coils, seed)
    encoding, data = plain_encoding(acquisition)
    image = columns(tf.constant(draw_complex(shape, seed)))
    size = np.linalg.norm(image) * np.linalg.norm(data) + 1e-6
    there, back = inner(data, encoding.encode(image)), shape[1] * inner(encoding.adjoint(data), image)
    assert abs(there - back) < 1e-5 * size
    np.testing.assert_allclose(
        columns(encoding.adjoint(data)), encoding_of(acquisition).adjoint(acquisition.data), atol=1e-5
    )


@pytest.mark.parametrize("damping", [0.0, 0.3])
@pytest.mark.parametrize("n_coils", [1, 3])
def test_least_squares_are_those_of_the_matrix(n_coils, damping):
    """Every frame and column is a system of its own; in as many steps as it has unknowns it is solved."""
    shape = (2, 5, 3)
    acquisition = draw_acquisition(shape, n_coils, 1)
    encoding, data = plain_encoding(acquisition)
    right = encoding.adjoint(data)
    weights = np.full((2, 1, 1), damping, np.float32) * np.array([1, 2], np.float32).reshape(2, 1, 1)
    found = damped_least_squares(encoding.normal, right, weights, steps=8, axes=(-1,)).numpy()
    basis = np.stack([encoding.normal(np.broadcast_to(row, (2, 3, 5))) for row in np.eye(5, dtype=np.complex64)], -1)
    for frame, column in np.ndindex(2, 3):
        matrix = basis[frame, column].astype(np.complex128)
        matrix += np.eye(5) * weights[frame]
        expected = np.linalg.lstsq(matrix, right[frame, column], rcond=1e-5)[0]
        if damping:
            expected = np.linalg.solve(matrix, right[frame, column])
        np.testing.assert_allclose(found[frame, column], expected, atol=2e-4)


def test_least_squares_of_nothing_are_nothing():
    nothing = np.zeros((2, 3, 4), np.complex64)
    found = damped_least_squares(lambda image: image, tf.constant(nothing), np.float32(0), steps=3, axes=(-1,))
    np.testing.assert_array_equal(found, nothing)


def test_lines_that_were_not_acquired_are_zero():
    acquisition = draw_acquisition((3, 6, 4), 2, 0)
    data = encoding_of(acquisition).encode(draw_complex((3, 6, 4), 1)).numpy()
    assert not data[:, ~acquisition.mask].any() and data[:, acquisition.mask].all()


@pytest.mark.parametrize("n", [1, 6, 7])
def test_transform_of_the_backend_is_that_of_tensorflow(n):
    values = draw_complex((2, 3, n), n)
    np.testing.assert_allclose(fft(values), tf.signal.fft(values), atol=1e-5)
    np.testing.assert_allclose(ifft(values), tf.signal.ifft(values), atol=1e-6)


@given(shape=SHAPES, weight=WEIGHTS, seed=st.integers(0, 2**16))
def test_consistency_shrinks_the_errors_of_acquired_lines_and_leaves_others(shape, weight, seed):
    truth, image = draw_complex(shape, seed), draw_complex(shape, seed + 1)
    acquisition = draw_acquisition(shape, None, seed)
    encoding = encoding_of(acquisition)
    consistent = encoding.consistent(image, encoding.encode(truth), share_of(weight))
    expected = fft_y(image - truth).numpy() * np.where(acquisition.mask, 1 / (1 + weight), 1)[..., np.newaxis]
    np.testing.assert_allclose(fft_y(consistent - truth), expected, atol=2e-5)


@given(shape=SHAPES, n_coils=COILS, weight=WEIGHTS, seed=st.integers(0, 2**16))
def test_consistency_never_raises_the_error_on_noise_free_data(shape, n_coils, weight, seed):
    truth, image = draw_complex(shape, seed), draw_complex(shape, seed + 1)
    encoding = encoding_of(draw_acquisition(shape, n_coils, seed))
    consistent = encoding.consistent(image, encoding.encode(truth), share_of(weight))
    assert np.linalg.norm(consistent - truth) <= np.linalg.norm(image - truth) * (1 + 1e-5) + 1e-5


def test_share_by_hand():
    assert [share_of(weight) for weight in (0, 1, 3, math.inf)] == [0, 0.5, 0.75, 1]


def test_a_known_phase_is_adjoint_and_keeps_real_images_real():
    phase = np.exp(1j * np.random.default_rng(0).uniform(-3, 3, (5, 4))).astype(np.complex64)
    real, image = np.random.default_rng(1).standard_normal((2, 5, 4)).astype(np.float32), draw_complex((2, 5, 4), 2)
    np.testing.assert_allclose(
        inner(with_phase(real, phase), image).real, inner(real, in_phase(image, phase)), rtol=1e-5
    )
    np.testing.assert_allclose(in_phase(with_phase(real, phase), phase), real, atol=1e-6)
