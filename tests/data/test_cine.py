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


AFFINE = np.diag([-1.25, 1.5, 8.0, 1.0])


def changed(place, value):
    affine = AFFINE.copy()
    affine[place] = value
    return affine


def make_full(**fields):
    return KSpace(np.ones((2, 2, 3, 4, 5), np.complex64), np.ones((3, 4), bool), "volunteer", **fields)


@pytest.mark.parametrize("make", [lambda **fields: Cine(make_images(), "volunteer", **fields), make_full])
@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"frame_times_ms": [0, 80, 40]}, ["must rise", "frame 3 is at 40 ms and frame 2 at 80 ms"]),
        ({"frame_times_ms": [0, 40, 40]}, ["must rise"]),
        ({"frame_times_ms": [0, np.nan, 40]}, ["finite frame times"]),
        ({"frame_times_ms": [0, 40, np.inf]}, ["finite frame times"]),
        ({"spacing_mm": (1.5, np.nan)}, ["pixel spacing (y, x) in mm above 0"]),
        ({"spacing_mm": (0.0, 1.5)}, ["pixel spacing"]),
        ({"spacing_mm": (1.5, 1.5, 8)}, ["pixel spacing"]),
        ({"slice_spacing_mm": -8.0}, ["slice spacing in mm above 0, found -8"]),
        ({"slice_spacing_mm": np.inf}, ["slice spacing"]),
        ({"affine": np.eye(3)}, ["affine (4, 4)", "shape (3, 3)"]),
        ({"affine": changed((0, 1), np.nan)}, ["affine (4, 4)", "NaN or infinite"]),
        ({"affine": changed((3, 0), 5)}, ["last row", "transpose"]),
        ({"affine": AFFINE[:, [0, 1, 0, 3]]}, ["singular"]),
        ({"affine": changed((2, 2), 0)}, ["singular"]),
        ({"affine": AFFINE, "spacing_mm": (1.25, 1.5)}, ["contradict", "columns (x) lie 1.5 mm", "1.25 mm"]),
        ({"affine": AFFINE, "spacing_mm": (1.6, 1.25)}, ["contradict", "rows (y)"]),
        ({"affine": AFFINE, "slice_spacing_mm": 10.0}, ["contradict", "slices lie 10 mm", "8 mm by the other"]),
    ],
)
def test_geometry_and_times_that_cannot_be_are_refused(make, fields, parts):
    with pytest.raises(CsmriError) as caught:
        make(provenance="scan.npz", **fields)
    message = str(caught.value)
    assert message.startswith("scan.npz: ") and "\n" not in message and "leave" in message
    assert all(part in message for part in parts), message


@pytest.mark.parametrize("make", [lambda **fields: Cine(make_images(), "volunteer", **fields), make_full])
def test_geometry_that_is_rounded_or_sheared_is_taken(make):
    make(affine=AFFINE, spacing_mm=(1.51, 1.25), slice_spacing_mm=8.1, frame_times_ms=[-10, 0, 0.5])
    sheared = changed((0, 2), 6.0)  # 10 mm from slice to slice, 8 mm apart
    for slice_spacing in (8.0, 10.0, None):
        make(affine=sheared, slice_spacing_mm=slice_spacing)


@pytest.mark.parametrize(
    ("noise", "fault"),
    [
        (np.eye(3), "does not fit 2 coils"),
        ([[1, 0], [0, np.nan]], "NaN or infinite"),
        ([[1, 0.5j], [0.5j, 1]], "not Hermitian"),
        ([[1j, 0], [0, 1]], "not Hermitian"),
        ([[1, 0], [0, -1]], "negative variance"),
    ],
)
def test_kspace_refuses_what_is_no_noise_covariance(noise, fault):
    with pytest.raises(CsmriError, match=fault) as caught:
        make_full(noise_covariance=np.array(noise, np.complex64), provenance="scan.h5")
    assert str(caught.value).startswith("scan.h5: ")
    make_full(noise_covariance=np.array([[1, 0.5j], [-0.50001j, 2]], np.complex64))


def test_negative_magnitudes_say_what_to_do():
    with pytest.raises(
        CsmriError, match=r"0\.8% of the values are, down to -0\.5; if an offset was subtracted, add it"
    ):
        Cine(make_images(bad=-0.5), "volunteer")
