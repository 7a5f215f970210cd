"""The heart box: the paper's size, inside the image, round what moves or what was outlined."""

from __future__ import annotations

import numpy as np
import pytest

from csmri.data.cine import Outlines
from csmri.data.roi import Box, box_size, heart_box, heart_box_notes

CENTRES = pytest.mark.parametrize("centre", [(0.5, 0.5), (0.35, 0.6), (0.62, 0.41)])


def make_beating_disc(matrix, centre, n_slices=2, n_frames=8):
    """A disc whose radius changes, on a bright background that does not; `centre` and radius in units of the matrix."""
    y, x = (np.arange(n) / n for n in matrix)
    distance = np.hypot(y[:, np.newaxis] - centre[0], x - centre[1])
    radius = 0.08 + 0.03 * np.sin(2 * np.pi * np.arange(n_frames) / n_frames)
    images = 1.0 + 0.5 * (distance < radius[:, np.newaxis, np.newaxis])
    return np.broadcast_to(images, (n_slices, *images.shape)).astype(np.float32)


def middle(box):
    return np.array([box.y + (box.height - 1) / 2, box.x + (box.width - 1) / 2])


@pytest.mark.parametrize(
    ("matrix", "size"), [((256, 256), (120, 100)), ((128, 128), (60, 50)), ((64, 256), (30, 100)), ((96, 81), (45, 32))]
)
def test_size_is_the_papers_fraction_of_the_matrix(matrix, size):
    box = heart_box(make_beating_disc(matrix, (0.5, 0.5)))
    assert (box.height, box.width) == size


def test_size_keeps_its_shape_in_mm_where_pixels_are_not_square():
    assert box_size((256, 256), (1.4, 1.4)) == box_size((256, 256)) == (120, 100)
    height, width = box_size((256, 256), (2.0, 1.0))
    assert 2 * height / width == pytest.approx(1.2, abs=0.02)
    assert height * width == pytest.approx(120 * 100, rel=0.01)
    assert box_size((50, 200), (1.0, 9.0)) == (50, 26)  # never more than the image


@CENTRES
@pytest.mark.parametrize("matrix", [(128, 128), (95, 121)])
def test_centred_on_what_moves(matrix, centre):
    box = heart_box(make_beating_disc(matrix, centre))
    np.testing.assert_allclose(middle(box), np.multiply(centre, matrix), atol=0.01 * max(matrix) + 1)


def test_bright_vessel_in_one_slice_does_not_outweigh_the_heart():
    images = make_beating_disc((128, 128), (0.5, 0.4), n_slices=5)
    vessel = make_beating_disc((128, 128), (0.8, 0.8), n_slices=1)[0] - 1
    images = np.concatenate([images, images[:1] + 100 * vessel])
    np.testing.assert_allclose(middle(heart_box(images)), [64, 51.2], atol=3)


@CENTRES
def test_outlines_win_over_motion(centre):
    images = make_beating_disc((128, 128), (0.3, 0.3))
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = np.stack([128 * centre[1] + 9 * np.cos(angle), 128 * centre[0] + 9 * np.sin(angle)], axis=1)
    for outlines in (Outlines(endocardium={(0, 3): circle}), Outlines(epicardium={(1, 0): circle, (0, 0): circle})):
        np.testing.assert_allclose(middle(heart_box(images, outlines)), np.multiply(centre, 128), atol=1)
    np.testing.assert_allclose(middle(heart_box(images, Outlines())), [38.4, 38.4], atol=2)


@pytest.mark.parametrize("matrix", [(1, 1), (2, 3), (5, 4), (17, 9), (33, 64)])
@pytest.mark.parametrize("corner", [(0, 0), (1, 1), (0, 1)])
def test_inside_the_image_and_never_cut(matrix, corner):
    images = np.ones((1, 3, *matrix), np.float32)
    images[0, 1, -corner[0], -corner[1]] = 5
    box = heart_box(images)
    assert box.y >= 0 and box.x >= 0 and box.height >= 1 and box.width >= 1
    assert box.crop(images).shape == (1, 3, box.height, box.width)
    assert box[2:] == heart_box(np.ones_like(images))[2:]


def test_without_motion_the_middle():
    np.testing.assert_allclose(middle(heart_box(np.ones((2, 3, 64, 64), np.float32))), [31.5, 31.5], atol=1)


def test_crop():
    images = np.arange(2 * 4 * 5, dtype=np.float32).reshape(2, 4, 5)
    np.testing.assert_array_equal(Box(1, 2, 3, 2).crop(images), images[:, 1:4, 2:4])


EDGE, ONE, STILL = "at the edge of the image", "the motion of one slice alone", "Nothing moves"


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (make_beating_disc((128, 128), (0.5, 0.4)), []),
        (make_beating_disc((128, 128), (0.05, 0.4)), [EDGE]),
        (make_beating_disc((128, 128), (0.5, 0.97)), [EDGE]),
        (make_beating_disc((128, 128), (0.5, 0.4), n_slices=1), [ONE]),
        (make_beating_disc((128, 128), (0.95, 0.95), n_slices=1), [ONE, EDGE]),
        (make_beating_disc((128, 128), (0.5, 0.4)) * np.float32([1, 0]).reshape(2, 1, 1, 1), [ONE]),  # and a blank one
        (np.ones((3, 4, 64, 64), np.float32), [STILL]),
        (make_beating_disc((1, 128), (0, 0.5)), []),  # as high as the image, and not to be moved
    ],
)
def test_a_box_that_may_miss_the_heart_is_told(images, said):
    notes = heart_box_notes(heart_box(images), images)
    assert len(notes) == len(said)
    assert all(part in note for part, note in zip(said, notes, strict=True))
