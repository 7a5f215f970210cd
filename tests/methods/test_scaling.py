"""Equations (1) to (3): inverse to each other, and in the ranges that a sigmoid needs."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from csmri.methods.scaling import (
    corrected,
    denormalise_error,
    frame_peak,
    network_input,
    normalise_error,
    normalise_initial,
)

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))
UNITS = st.sampled_from([1e-6, 1.0, 4095.0, 1e6])


def draw_images(shape, unit, seed):
    """Draw an initial reconstruction and a reference, both >= 0, with pixels of zero in either."""
    images = unit * np.random.default_rng(seed).random((2, *shape)).astype(np.float32)
    return tf.constant(np.where(images < 0.1 * unit, 0, images), tf.float32)


@given(shape=SHAPES, unit=UNITS, brighter=st.sampled_from([0.1, 1.0, 10.0]), seed=st.integers(0, 2**16))
def test_round_trip(shape, unit, brighter, seed):
    initial, reference = draw_images(shape, unit, seed)
    reference = reference * brighter
    peak = frame_peak(initial)
    target = normalise_error(reference - initial, peak)
    # An error of zero is a target of 1/2, so float32 keeps it to 2**-24 of the frame's peak, not of the pixel's value.
    tolerance = 1e-6 * (peak + tf.reduce_max(reference)).numpy()
    assert (abs(corrected(initial, target, peak) - reference).numpy() <= tolerance).all()
    assert (abs(denormalise_error(target, peak) - (reference - initial)).numpy() <= tolerance).all()


@given(shape=SHAPES, unit=UNITS, seed=st.integers(0, 2**16))
def test_ranges(shape, unit, seed):
    initial, reference = draw_images(shape, unit, seed)
    peak = frame_peak(initial)
    normalised = normalise_initial(initial, peak).numpy()
    assert normalised.min() >= 0
    brightest = normalised.max(axis=(-2, -1))
    np.testing.assert_array_equal(brightest, (initial.numpy() > 0).any(axis=(-2, -1)))  # 1, or 0 in a black frame
    target = normalise_error(tf.minimum(reference, initial + peak) - initial, peak).numpy()
    assert target.min() >= 0
    assert target.max() <= 1 + 1e-6


def test_by_hand():
    initial = tf.constant([[[2.0, 4.0]], [[1.0, 10.0]]])
    peak = frame_peak(initial)
    np.testing.assert_array_equal(peak, [[[4.0]], [[10.0]]])
    np.testing.assert_allclose(normalise_initial(initial, peak), [[[0.5, 1.0]], [[0.1, 1.0]]])
    error = tf.constant([[[4.0, -4.0]], [[5.0, 0.0]]])
    target = tf.constant([[[1.0, 0.0]], [[0.75, 0.5]]])
    np.testing.assert_allclose(normalise_error(error, peak), target)
    np.testing.assert_allclose(denormalise_error(target, peak), error)
    np.testing.assert_allclose(corrected(initial, target, peak), [[[6.0, 0.0]], [[6.0, 10.0]]])


def test_final_image_is_never_negative():
    initial = tf.constant([[[1.0, 4.0]]])
    assert corrected(initial, tf.zeros_like(initial), frame_peak(initial)).numpy().tolist() == [[[0.0, 0.0]]]


def test_black_frame_stays_black_and_finite():
    black = tf.zeros((2, 3, 3))
    peak = frame_peak(black)
    target = normalise_error(black, peak)
    np.testing.assert_array_equal(normalise_initial(black, peak), black)
    np.testing.assert_array_equal(target, 0.5 * np.ones((2, 3, 3)))
    np.testing.assert_array_equal(corrected(black, target, peak), black)


@pytest.mark.parametrize("n_frames", [1, 2, 5])
@pytest.mark.parametrize("frames", [1, 3, 7])
@pytest.mark.parametrize("cyclic", [True, False])
def test_window_of_frames_by_hand(n_frames, frames, cyclic):
    """Also where the window is longer than the cine."""
    initial = np.random.default_rng(0).random((n_frames, 4, 3)).astype(np.float32) + 0.1
    window = network_input(initial, frame_peak(initial), frames=frames, cyclic=cyclic).numpy()
    assert window.shape == (n_frames, 4, 3, frames)
    for frame in range(n_frames):
        for channel in range(frames):
            neighbour = frame + channel - frames // 2
            neighbour = neighbour % n_frames if cyclic else min(max(neighbour, 0), n_frames - 1)
            np.testing.assert_array_equal(window[frame, ..., channel], initial[neighbour] / initial[frame].max())
