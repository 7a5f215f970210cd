"""What `Cine` and `KSpace` take, and that a refusal tells what was read and what is wrong with it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine, Outlines
from csmri.data.kspace import KSpace

SHAPE = 2, 3, 4, 5


def make_images(**changes):
    images = np.ones(SHAPE, np.float32)
    for value in changes.values():
        images[1, 2, 0, 0] = value
    return images


@pytest.mark.parametrize(
    ("images", "parts"),
    [
        (np.ones((3, 4, 5)), ["(slice, frame, y, x)", "3 axes", "(3, 4, 5)"]),
        (np.ones((1, 2, 3, 4, 5)), ["5 axes"]),
        (np.ones((2, 3, 0, 5)), ["empty", "(2, 3, 0, 5)"]),
        (np.ones((2, 1, 4, 5)), ["at least 2 frames", "has 1"]),
        (make_images(bad=np.nan), ["NaN or infinite", "slice 1, frame 2", "repair"]),
        (make_images(bad=np.inf), ["NaN or infinite", "slice 1, frame 2"]),
        (make_images(bad=-0.5), ["negative", "-0.5"]),
        (np.zeros(SHAPE), ["every pixel is zero"]),
        (np.zeros(SHAPE, np.complex64), ["every pixel is zero"]),
        (np.full(SHAPE, complex(1, np.nan)), ["NaN or infinite", "slice 0, frame 0"]),
    ],
)
def test_cine_refuses(images, parts):
    with pytest.raises(CsmriError) as caught:
        Cine(images, "volunteer", provenance="scan.npz")
    message = str(caught.value)
    assert message.startswith("scan.npz: ")
    assert "\n" not in message
    assert all(part in message for part in parts), message


def test_refusal_names_the_subject_where_no_file_was_read():
    with pytest.raises(CsmriError, match="^subject volunteer: "):
        Cine(np.zeros(SHAPE), "volunteer")


def test_cine_refuses_frame_times_of_another_length():
    with pytest.raises(CsmriError, match=r"frame times of shape \(4,\) do not fit 3 frames"):
        Cine(make_images(), "volunteer", frame_times_ms=np.arange(4, dtype=np.float32))
    Cine(make_images(), "volunteer", frame_times_ms=np.arange(3, dtype=np.float32))


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [(np.uint16, np.float32), (np.float64, np.float32), (np.complex128, np.complex64), (np.float32, np.float32)],
)
def test_cine_stores_single_precision(dtype, stored):
    cine = Cine(np.full(SHAPE, 3, dtype), "volunteer")
    assert cine.images.dtype == stored
    assert cine.magnitude.dtype == np.float32
    assert (cine.n_slices, cine.n_frames, cine.matrix) == (2, 3, (4, 5))


def test_magnitude_of_complex_images():
    np.testing.assert_allclose(Cine(np.full(SHAPE, -3 + 4j), "volunteer").magnitude, 5)


def test_records_are_frozen():
    for record in (Cine(make_images(), "volunteer"), make_kspace(), Outlines()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, dataclasses.fields(record)[0].name, None)


def make_kspace(**changes):
    fields = {"kspace": np.ones((1, 2, 3, 4, 5), np.complex128), "mask": np.eye(3, 4, dtype=bool)}
    return KSpace(**{**fields, **changes}, subject="volunteer", provenance="raw.npz")


def test_kspace_is_taken():
    kspace = make_kspace()
    assert kspace.kspace.dtype == np.complex64
    assert kspace.mask.dtype == np.bool_


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"kspace": np.ones((3, 4, 5))}, ["(slice, coil, frame, ky, kx)", "3 axes", "(3, 4, 5)"]),
        ({"kspace": np.ones((1, 0, 3, 4, 5))}, ["empty", "(1, 0, 3, 4, 5)"]),
        ({"mask": np.ones((4, 3), bool)}, ["(frame, ky)", "(3, 4)", "(4, 3)"]),
        ({"mask": np.ones((3, 4))}, ["boolean", "float64"]),
        ({"kspace": np.ones((1, 2, 1, 4, 5)), "mask": np.ones((1, 4), bool)}, ["at least 2 frames", "has 1"]),
        ({"kspace": np.full((1, 2, 3, 4, 5), np.nan)}, ["NaN or infinite"]),
        ({"mask": np.zeros((3, 4), bool)}, ["no k-space line"]),
        ({"frame_times_ms": np.arange(4, dtype=np.float32)}, ["frame times", "(4,)", "3 frames"]),
    ],
)
def test_kspace_refuses(changes, parts):
    with pytest.raises(CsmriError) as caught:
        make_kspace(**changes)
    message = str(caught.value)
    assert message.startswith("raw.npz: ")
    assert all(part in message for part in parts), message
