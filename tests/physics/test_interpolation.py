"""Temporal interpolation: exact where linear interpolation is exact, and equal to `np.interp` everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from csmri.physics.interpolation import interpolate_frames, nearest_acquired

CYCLIC = pytest.mark.parametrize("cyclic", [True, False], ids=["cyclic", "held"])


def draw_complex(shape, seed):
    real, imaginary = np.random.default_rng(seed).standard_normal((2, *shape))
    return (real + 1j * imaginary).astype(np.complex64)


@st.composite
def masks(draw, *, every_line=False):
    """Masks (frame, ky) of any density, from nothing acquired to everything."""
    n_frames, n_ky = draw(st.integers(1, 9)), draw(st.integers(1, 8))
    columns = st.lists(st.booleans(), min_size=n_frames, max_size=n_frames)
    column = columns.filter(any) if every_line else columns
    return np.array(draw(st.lists(column, min_size=n_ky, max_size=n_ky)), bool).T


def numpy_interpolation(kspace, mask, cyclic):
    """Fill (frame, ky, x) line by line with `np.interp` of the real and imaginary parts."""
    n_frames, n_ky, n_x = kspace.shape
    period = n_frames if cyclic else None
    filled = np.zeros(kspace.shape, np.complex128)
    for ky in range(n_ky):
        frames = np.flatnonzero(mask[:, ky])
        for x in range(n_x) if frames.size else ():
            acquired = kspace[frames, ky, x].astype(np.complex128)
            real, imaginary = (
                np.interp(np.arange(n_frames), frames, part, period=period) for part in (acquired.real, acquired.imag)
            )
            filled[:, ky, x] = real + 1j * imaginary
    return filled


@CYCLIC
@given(mask=masks(), n_x=st.integers(1, 3), seed=st.integers(0, 2**16))
def test_equals_numpy_and_reads_nothing_else(cyclic, mask, n_x, seed):
    kspace = draw_complex((*mask.shape, n_x), seed)
    expected = numpy_interpolation(kspace, mask, cyclic)
    kspace[~mask] = np.nan  # a line that was not acquired must not be read
    filled = interpolate_frames(kspace, mask, cyclic=cyclic).numpy()
    np.testing.assert_allclose(filled, expected, atol=2e-6)
    assert not filled[:, ~mask.any(axis=0)].any()  # acquired in no frame: zero


@CYCLIC
@given(mask=masks(every_line=True), seed=st.integers(0, 2**16))
def test_static_cine_is_recovered_exactly(cyclic, mask, seed):
    static = np.broadcast_to(draw_complex((1, mask.shape[1], 3), seed), (*mask.shape, 3))
    filled = interpolate_frames(np.where(mask[..., np.newaxis], static, 0), mask, cyclic=cyclic)
    np.testing.assert_array_equal(filled, static)


@CYCLIC
@given(mask=masks(every_line=True), seed=st.integers(0, 2**16))
def test_linear_motion_is_recovered_between_acquired_frames(cyclic, mask, seed):
    mask[[0, -1]] = True  # so that the wrap from the last frame to the first is between no frames
    start, speed = draw_complex((2, mask.shape[1], 2), seed)
    moving = start + speed * np.arange(mask.shape[0])[:, np.newaxis, np.newaxis]
    filled = interpolate_frames(moving.astype(np.complex64), mask, cyclic=cyclic)
    np.testing.assert_allclose(filled, moving, atol=1e-5)


@given(mask=masks(), shift=st.integers(0, 8), seed=st.integers(0, 2**16))
def test_a_cycle_has_no_first_frame(mask, shift, seed):
    kspace = draw_complex((*mask.shape, 2), seed)
    rolled = interpolate_frames(np.roll(kspace, shift, axis=0), np.roll(mask, shift, axis=0))
    np.testing.assert_array_equal(rolled, np.roll(interpolate_frames(kspace, mask), shift, axis=0))


def test_weights_by_hand():
    """One ky, acquired in frames 1 and 4 of 6: frame 0 is two after frame 4 and one before frame 1."""
    mask = np.isin(np.arange(6), [1, 4])[:, np.newaxis]
    kspace = np.where(mask, [[0], [30], [0], [0], [60], [0]], 0)[..., np.newaxis].astype(np.complex64)
    cyclic = interpolate_frames(kspace, mask, cyclic=True)[:, 0, 0].numpy()
    np.testing.assert_allclose(cyclic, [40, 30, 40, 50, 60, 50], rtol=1e-6)
    held = interpolate_frames(kspace, mask, cyclic=False)[:, 0, 0].numpy()
    np.testing.assert_allclose(held, [30, 30, 40, 50, 60, 60], rtol=1e-6)
    before, after, weight = (value[:, 0].numpy() for value in nearest_acquired(tf.constant(mask), cyclic=True))
    assert before.tolist() == [4, 1, 1, 1, 4, 4]
    assert after.tolist() == [1, 1, 4, 4, 4, 1]
    np.testing.assert_allclose(weight, [2 / 3, 0, 1 / 3, 2 / 3, 0, 1 / 3], rtol=1e-6)


@CYCLIC
def test_ky_acquired_once_is_held_in_all_frames(cyclic):
    kspace = draw_complex((7, 3, 4), 0)
    mask = np.zeros((7, 3), bool)
    mask[[5, 0, 6], [0, 1, 2]] = True
    held = interpolate_frames(kspace, mask, cyclic=cyclic)
    np.testing.assert_array_equal(held, np.broadcast_to(kspace[[5, 0, 6], [0, 1, 2]], (7, 3, 4)))


@CYCLIC
def test_acquired_lines_are_kept_bit_for_bit(cyclic):
    """Also where 0 x (later - earlier) is not zero (overflow), or adding zero changes bits (-0)."""
    kspace = draw_complex((6, 8, 3), 7)
    kspace[::2, :, 0] = complex(-0.0, -0.0)
    kspace[:, :, 1] = 3e38 * (-1.0) ** np.arange(6)[:, np.newaxis]
    mask = np.random.default_rng(8).random((6, 8)) < 0.5
    filled = interpolate_frames(kspace, mask, cyclic=cyclic).numpy()
    assert filled[mask].tobytes() == kspace[mask].tobytes()


@CYCLIC
def test_linear(cyclic):
    x, y = draw_complex((2, 6, 8, 3), 1)
    mask = np.random.default_rng(2).random((6, 8)) < 0.3
    a = 1.5 - 2j

    def filled(kspace):
        return interpolate_frames(kspace.astype(np.complex64), mask, cyclic=cyclic).numpy()

    np.testing.assert_allclose(filled(a * x + y), a * filled(x) + filled(y), atol=1e-5)


@CYCLIC
def test_leading_axes_slice_and_coil(cyclic):
    kspace = draw_complex((2, 3, 5, 7, 4), 3)
    mask = np.random.default_rng(4).random((5, 7)) < 0.4
    filled = interpolate_frames(kspace, mask, cyclic=cyclic).numpy()
    each = [[interpolate_frames(coil, mask, cyclic=cyclic) for coil in of_slice] for of_slice in kspace]
    np.testing.assert_array_equal(filled, np.array(each))


@CYCLIC
@given(mask=masks(), seed=st.integers(0, 2**16))
def test_cyclic_may_be_a_tensor(cyclic, mask, seed):
    kspace = draw_complex((*mask.shape, 2), seed)
    expected = interpolate_frames(kspace, mask, cyclic=cyclic)
    np.testing.assert_array_equal(interpolate_frames(kspace, mask, cyclic=tf.constant(cyclic)), expected)


def test_same_in_tf_data_with_unknown_sizes():
    kspace = draw_complex((2, 5, 7, 4), 5)
    mask = np.random.default_rng(6).random((2, 5, 7)) < 0.4
    items = [(kspace[0], mask[0]), (kspace[1, :4, :6], mask[1, :4, :6])]
    signature = tf.TensorSpec((None, None, None), tf.complex64), tf.TensorSpec((None, None), tf.bool)
    dataset = tf.data.Dataset.from_generator(lambda: iter(items), output_signature=signature).map(interpolate_frames)
    for item, filled in zip(items, dataset, strict=True):
        np.testing.assert_allclose(filled, interpolate_frames(*item), atol=1e-6)
