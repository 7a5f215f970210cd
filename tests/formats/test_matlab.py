"""K-space in MATLAB v7 files: axes told by the mask, or refused with what to do."""

import numpy as np
import pytest
from scipy.io import savemat

from csmri.core.errors import CsmriError
from csmri.formats import matlab


def refusal(path):
    with pytest.raises(CsmriError) as caught:
        list(matlab.read(path).slices())
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "axes",
    [(3, 4, 1, 2), (4, 3, 1, 2), (3, 4, 2, 1)],
    ids=["ky kx coil frame", "kx ky coil frame", "ky kx frame coil"],
)
@pytest.mark.parametrize("turn", [lambda mask: mask, lambda mask: mask.T.astype(float)], ids=["as is", "transposed"])
@pytest.mark.parametrize("compress", [True, False])
def test_one_slice(tmp_path, kspace, axes, turn, compress):
    order = [axis - 1 for axis in axes]
    arrays = {"kspace": kspace.kspace[1].transpose(order), "mask": turn(kspace.mask)}
    savemat(tmp_path / "a.mat", arrays, do_compression=compress)
    assert matlab.is_matlab_kspace(tmp_path / "a.mat")
    record = matlab.read(tmp_path / "a.mat")
    np.testing.assert_array_equal(record.slice_of(0), kspace.kspace[1])
    np.testing.assert_array_equal(record.mask, kspace.mask)
    assert "axes were told" in record.notes[0]


def test_slices_and_a_mask_along_kx(tmp_path, kspace, check_same):
    along = np.broadcast_to(kspace.mask.T, (40, 24, 5)).astype(float)
    savemat(tmp_path / "a.mat", {"kspace": kspace.kspace.transpose(4, 3, 1, 0, 2), "mask": along})
    check_same(matlab.read(tmp_path / "a.mat"), kspace)


def test_refusals(tmp_path, kspace, coil_images):
    savemat(tmp_path / "a.mat", {"kspace": kspace.kspace[0]})
    assert "without a mask" in refusal(tmp_path / "a.mat") and ".npz" in refusal(tmp_path / "a.mat")
    savemat(tmp_path / "b.mat", {"kspace": kspace.kspace[0].transpose(2, 3, 0, 1), "mask": ~kspace.mask})
    assert "do not tell which axis" in refusal(tmp_path / "b.mat")
    square = np.ones((6, 6, 2, 5), np.complex64)
    savemat(tmp_path / "c.mat", {"kspace": square, "mask": np.ones((5, 6))})
    assert "may be (kx, ky, coil, frame) or (ky, kx, coil, frame)" in refusal(tmp_path / "c.mat")
    savemat(tmp_path / "d.mat", {"sol_yxzt": np.ones((3, 4, 5, 6))})
    assert not matlab.is_matlab_kspace(tmp_path / "d.mat")
    assert "expected one `kspace`" in refusal(tmp_path / "d.mat")
    assert not matlab.is_matlab_kspace(tmp_path / "nothing.mat")
