"""Bare arrays, .npy and MATLAB: which axis is which, by shape or as a person says, and what is told of it."""

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from csmri import formats
from csmri.core.errors import CsmriError
from csmri.formats.arrays import UNKNOWN

STACK = np.random.default_rng(2).random((3, 8, 24, 20), np.float32)
"""(slice, frame, y, x)"""
AXES = {"z": 0, "t": 1, "y": 2, "x": 3}


def ordered(order):
    """The stack in another order of axes; its first slice where there is none."""
    if "z" in order:
        return STACK.transpose([AXES[name] for name in order])
    return STACK[0].transpose([AXES[name] - 1 for name in order])


def wanted(order):
    return STACK if "z" in order else STACK[:1]


def save(path, array):
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".mat":
        savemat(path, {"img": array, "spacing": np.ones(3), "name": "text"})
    else:  # MATLAB 7.3 writes the axes reversed
        with h5py.File(path, "w", userblock_size=512) as file:
            file.create_dataset("img", data=array.T).attrs["MATLAB_class"] = np.bytes_("single")
        with path.open("r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")
    return path


@pytest.mark.parametrize("name", ["cine.npy", "cine.mat", "cine.mat73"])
@pytest.mark.parametrize("order", ["ztyx", "yxzt", "tyx", "yxt"])
def test_usual_orders_are_told_by_shape(tmp_path, name, order):
    cine = formats.read(save(tmp_path / name, ordered(order)))
    np.testing.assert_array_equal(cine.images, wanted(order))
    assert cine.subject == "cine" and cine.notes[-1] == UNKNOWN and cine.spacing_mm is None
    named = ", ".join({"z": "slice", "t": "frame"}.get(axis, axis) for axis in order)
    assert f"were taken as ({named}); if they are others, name them with --axes." in cine.notes[0]


@pytest.mark.parametrize("name", ["cine.npy", "cine.mat", "cine.mat73"])
@pytest.mark.parametrize("order", ["xytz", "zxyt", "xyt", "txy"])
def test_a_person_names_the_axes(tmp_path, name, order):
    cine = formats.read(save(tmp_path / name, ordered(order)), axes=order)
    np.testing.assert_array_equal(cine.images, wanted(order))
    assert cine.notes == (UNKNOWN,)


@pytest.mark.parametrize(
    ("shape", "order"),
    [
        ((1, 8, 24, 20), "ztyx"),
        ((24, 20, 1, 8), "yxzt"),
        ((30, 40, 40), "tyx"),
        ((200, 180, 25), "yxt"),
        ((12, 30, 128, 128), "ztyx"),
        ((128, 128, 12, 30), "yxzt"),
        ((2, 2, 2, 2), "ztyx"),  # nothing tells: NumPy's usual order
    ],
)
def test_shapes_that_people_have(tmp_path, shape, order):
    np.save(tmp_path / "a.npy", np.ones(shape, np.float32))
    size = dict(zip(order, shape, strict=True))
    images = formats.read(tmp_path / "a.npy").images
    assert images.shape == (size.get("z", 1), size["t"], size["y"], size["x"])


def test_complex_and_whole_numbers(tmp_path):
    np.save(tmp_path / "a.npy", STACK * np.exp(0.3j))
    np.testing.assert_allclose(formats.read(tmp_path / "a.npy").images, STACK * np.exp(0.3j), rtol=1e-6)
    np.save(tmp_path / "b.npy", (STACK * 1000).astype(np.uint16))
    np.testing.assert_array_equal(formats.read(tmp_path / "b.npy").images, (STACK * 1000).astype(np.uint16))


def test_axes_of_length_one_are_squeezed(tmp_path):
    np.save(tmp_path / "a.npy", STACK[:, np.newaxis])
    np.testing.assert_array_equal(formats.read(tmp_path / "a.npy").images, STACK)


def refusal(path, **options):
    with pytest.raises(CsmriError) as caught:
        formats.read(path, **options)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_a_cine_is_refused(tmp_path):
    assert "found 2 axes: (24, 20)" in refusal(save(tmp_path / "a.npy", STACK[0, 0]))
    assert "found 5 axes: (2, 3, 8, 24, 20)" in refusal(save(tmp_path / "b.npy", np.stack([STACK] * 2)))
    assert "--axes tyx names 3 axes, the array has 4" in refusal(save(tmp_path / "c.npy", STACK), axes="tyx")
    np.save(tmp_path / "d.npy", np.array([{}]), allow_pickle=True)
    assert "plain array" in refusal(tmp_path / "d.npy")
    np.save(tmp_path / "e.npy", np.full((2, 3, 8, 8), "text"))
    refusal(tmp_path / "e.npy")
    (tmp_path / "f.npy").write_bytes((tmp_path / "c.npy").read_bytes()[:1000])
    refusal(tmp_path / "f.npy")


def test_a_matlab_file_needs_one_array_that_can_be_a_cine(tmp_path):
    savemat(tmp_path / "two.mat", {"a": STACK, "b": STACK})
    message = refusal(tmp_path / "two.mat")
    assert "a (3, 8, 24, 20), b (3, 8, 24, 20); more than one of them can be the cine" in message
    with h5py.File(tmp_path / "two.mat73", "w", userblock_size=512) as file:
        for name in "ab":
            file.create_dataset(name, data=STACK.T).attrs["MATLAB_class"] = np.bytes_("single")
    with (tmp_path / "two.mat73").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")
    assert "a (3, 8, 24, 20), b (3, 8, 24, 20); more than one" in refusal(tmp_path / "two.mat73")
    savemat(tmp_path / "none.mat", {"a": np.ones((3, 3))})
    assert "found a (3, 3); none of them can be the cine" in refusal(tmp_path / "none.mat")
