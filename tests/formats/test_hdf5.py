"""HDF5 in our own layout: every field both ways, slice by slice; and layouts of others, refused by what they lack."""

import h5py
import numpy as np
import pytest

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace, LazySlices
from csmri.formats import hdf5

FIELDS = ("spacing_mm", "slice_spacing_mm", "frame_times_ms", "affine", "matrix", "noise_covariance", "cyclic")


def refusal(path):
    with pytest.raises(CsmriError) as caught:
        record = hdf5.read(path)
        list(record.slices())
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def same_fields(first, second):
    for name in ("subject", "notes", *FIELDS):
        one, two = getattr(first, name, None), getattr(second, name, None)
        assert (one is None) == (two is None) and type(one) is type(two), name
        if one is not None:
            np.testing.assert_array_equal(one, two, err_msg=name)


@pytest.mark.parametrize("compression", ["lzf", "gzip", None])
def test_kspace_round_trip(tmp_path, make_kspace, check_same, compression):
    kspace = make_kspace(notes=("Zoë was still.", "Another."), provenance="scanner")
    lazy = LazySlices(kspace.kspace.shape, lambda index: kspace.kspace[index])
    fields = {name: getattr(kspace, name) for name in (*FIELDS, "notes", "provenance")}
    hdf5.write(tmp_path / "a.h5", KSpace(lazy, kspace.mask, kspace.subject, **fields), compression=compression)
    again = hdf5.read(tmp_path / "a.h5")
    assert hdf5.is_hdf5(tmp_path / "a.h5") and isinstance(again.kspace, LazySlices) and again.provenance == "scanner"
    check_same(again, kspace)
    same_fields(again, kspace)


def test_nothing_but_the_data(tmp_path, kspace, check_same):
    hdf5.write(tmp_path / "a.h5", KSpace(kspace.kspace, kspace.mask, "s"))
    again = hdf5.read(tmp_path / "a.h5")
    check_same(again, kspace)
    assert [getattr(again, name) for name in FIELDS] == [None] * len(FIELDS) and again.notes == ()


@pytest.mark.parametrize("phase", [1, 1 - 2j])
def test_cine_round_trip(tmp_path, phase):
    images = np.random.default_rng(0).random((2, 3, 6, 5), np.float32) * np.asarray(phase, np.complex64)
    images = images if np.iscomplex(phase) else images.real
    times = np.float32([0, 30, 60])
    cine = Cine(images, "s", (1.5, 1.25), 8.0, times, np.diag([1.25, 1.5, 8, 1]), "x", ("One.",))
    hdf5.write(tmp_path / "a.h5", cine)
    again = hdf5.read(tmp_path / "a.h5")
    assert isinstance(again, Cine) and again.images.dtype == images.dtype
    np.testing.assert_array_equal(again.images, images)
    same_fields(again, cine)


def test_numpy_and_h5py_see_plain_arrays(tmp_path, kspace):
    hdf5.write(tmp_path / "a.h5", kspace)
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["kspace"][()], kspace.kspace)
        np.testing.assert_array_equal(file["mask"][()], kspace.mask)
        assert file["subject"].asstr()[()] == "P 7" and file["cyclic"][()]


def test_made_by_hand_without_a_mask(tmp_path, kspace, check_same):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = kspace.kspace
        file["scanner"] = "x"
    record = hdf5.read(tmp_path / "a.h5")
    check_same(record, kspace)
    assert record.subject == "a" and any("scanner" in note for note in record.notes)


def test_layouts_of_others(tmp_path, kspace):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = kspace.kspace[:, :, 0]
        file["reconstruction_rss"] = np.ones((3, 24, 40), np.float32)
    assert "in the manner of fastMRI" in refusal(tmp_path / "a.h5") and "no frames" in refusal(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["kspace"] = kspace.kspace
        file["reconstruction_rss"] = np.ones((3, 24, 40), np.float32)
    assert "axes nothing names" in refusal(tmp_path / "b.h5")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["weights/layer"] = np.ones((3, 4))
    assert "weights/layer (3, 4)" in refusal(tmp_path / "c.h5")
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["kspace"] = kspace.kspace[0]
    assert "found kspace of shape (2, 5, 24, 40)" in refusal(tmp_path / "d.h5")
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file["images"] = np.ones((2, 3, 4, 5), np.float32)
        file["subject"] = 7
    assert "expected subject as text" in refusal(tmp_path / "e.h5")


def test_more_than_memory(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        images = file.create_dataset("images", (40, 50, 2000, 2000), "f4", chunks=(1, 1, 200, 200), compression="gzip")
        images[0, 0, :10, :10] = 1
    assert "the header promises 30,518 MiB of images" in refusal(tmp_path / "a.h5")
