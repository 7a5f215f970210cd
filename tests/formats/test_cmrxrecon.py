"""CMRxRecon: MATLAB's axes and numbers as h5py sees them, masks where the challenges put them, refusals."""

import h5py
import numpy as np
import pytest

from csmri.core.errors import CsmriError
from csmri.data.kspace import LazySlices
from csmri.formats import cmrxrecon

COMPLEX = np.dtype([("real", "<f4"), ("imag", "<f4")])


def save(path, **variables):
    """As MATLAB does: 512 bytes of its own, axes reversed, complex numbers as pairs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in variables.items():
            reversed_axes = np.ascontiguousarray(np.asarray(array).T)
            pairs = reversed_axes.view(COMPLEX).reshape(reversed_axes.shape) if np.iscomplexobj(array) else None
            file.create_dataset(name, data=reversed_axes if pairs is None else pairs)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return path


def in_matlab(kspace):
    """(kx, ky, coil, slice, frame)."""
    return kspace.transpose(4, 3, 1, 0, 2)


def refusal(path, **options):
    with pytest.raises(CsmriError) as caught:
        list(cmrxrecon.read(path, **options).slices())
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["kspace_full", "kspace_sub04", "kus", "kspace"])
def test_variables_of_all_years(tmp_path, kspace, check_same, name):
    path = save(tmp_path / "P012/cine_sax.mat", **{name: in_matlab(kspace.kspace)})
    record = cmrxrecon.read(path)
    check_same(record, kspace)
    assert cmrxrecon.is_cmrxrecon(path) and isinstance(record.kspace, LazySlices)
    assert record.subject == "P012" and record.cyclic is True and record.spacing_mm is None


def test_single_coil(tmp_path, kspace):
    path = save(tmp_path / "cine_lax.mat", kspace_full=in_matlab(kspace.kspace)[:, :, 0])
    record = cmrxrecon.read(path)
    assert record.kspace.shape == (3, 1, 5, 24, 40) and record.subject == "cine_lax"
    np.testing.assert_array_equal(record.slice_of(1)[0], kspace.kspace[1, 0])


def test_double_precision(tmp_path, kspace, check_same):
    path = tmp_path / "a.mat"
    with h5py.File(path, "w") as file:
        pairs = np.zeros((5, 3, 2, 24, 40), [("real", "<f8"), ("imag", "<f8")])
        stored = kspace.kspace.transpose(2, 0, 1, 3, 4)
        pairs["real"], pairs["imag"] = stored.real, stored.imag
        file["kspace_full"] = pairs
    check_same(cmrxrecon.read(path), kspace)


@pytest.mark.parametrize(
    ("data", "mask"),
    [
        ("AccFactor04/P001/cine_sax.mat", "AccFactor04/P001/cine_sax_mask.mat"),
        ("UnderSample_Task1/P001/cine_sax_kus_ktUniform4.mat", "Mask_Task1/P001/cine_sax_mask_ktUniform4.mat"),
        ("P001/cine_sax_kus_ktGaussian8.mat", "P001/cine_sax_mask_ktGaussian8.mat"),
    ],
)
def test_masks_where_the_challenges_put_them(tmp_path, kspace, make_kspace, check_same, data, mask):
    save(tmp_path / data, kspace_sub04=in_matlab(kspace.kspace))
    along = np.broadcast_to(kspace.mask.T, (40, 24, 5)).astype(np.float64)  # (kx, ky, frame)
    save(tmp_path / mask, mask04=along)
    record = cmrxrecon.read(tmp_path / data)
    check_same(record, kspace)
    assert any("The mask is that of" in note for note in record.notes)
    assert cmrxrecon.is_mask(tmp_path / mask) and not cmrxrecon.is_mask(tmp_path / data)
    save(tmp_path / mask, mask04=np.roll(along, 3, 1))
    assert "disagree" in refusal(tmp_path / data)


def test_one_mask_for_all_frames(tmp_path, make_kspace, check_same):
    kspace = make_kspace(mask=np.broadcast_to(make_kspace().mask[0], (5, 24)))
    save(tmp_path / "a.mat", kspace_sub04=in_matlab(kspace.kspace))
    save(tmp_path / "m.mat", mask04=np.broadcast_to(kspace.mask[0], (40, 24)).astype(float))
    check_same(cmrxrecon.read(tmp_path / "a.mat", mask=tmp_path / "m.mat"), kspace)


@pytest.mark.parametrize("full", [True, False])
def test_round_trip(tmp_path, make_kspace, check_same, full):
    kspace = make_kspace(mask=np.ones((5, 24), bool)) if full else make_kspace()
    cmrxrecon.write(tmp_path / "P003/cine_sax.mat", kspace)
    check_same(cmrxrecon.read(tmp_path / "P003/cine_sax.mat"), kspace)
    content = (tmp_path / "P003/cine_sax.mat").read_bytes()
    assert content.startswith(b"MATLAB 7.3 MAT-file") and content[124:128] == b"\x00\x02IM"
    with h5py.File(tmp_path / "P003/cine_sax.mat") as file:
        variable = file["kspace_full" if full else "kus"]
        assert variable.shape == (5, 3, 2, 24, 40) and variable.attrs["MATLAB_class"] == b"single"
        np.testing.assert_array_equal(variable["imag"][2, 1, 0], kspace.kspace[1, 0, 2].imag)
    assert (tmp_path / "P003/cine_sax_mask.mat").exists() != full


def test_real_time_is_not_written(tmp_path, make_kspace):
    with pytest.raises(CsmriError, match="the frames are of real time"):
        cmrxrecon.write(tmp_path / "a.mat", make_kspace(cyclic=False))
    assert not list(tmp_path.iterdir())
    cmrxrecon.write(tmp_path / "a.mat", make_kspace(cyclic=None))


def test_masks_that_differ_between_slices_are_told_by_zeros(tmp_path, make_kspace, check_same):
    mask = np.stack([make_kspace().mask, make_kspace().mask[::-1], make_kspace().mask])
    cmrxrecon.write(tmp_path / "a.mat", make_kspace(mask=mask))
    check_same(cmrxrecon.read(tmp_path / "a.mat"), make_kspace(mask=mask))


def test_refusals(tmp_path, kspace):
    data = in_matlab(kspace.kspace)
    assert "found sol_yxzt (3, 4, 5, 6)" in refusal(save(tmp_path / "a.mat", sol_yxzt=np.ones((3, 4, 5, 6))))
    assert "holds 2 k-spaces" in refusal(save(tmp_path / "b.mat", kus=data, kspace=data))
    assert "expected kus (kx, ky, coil, slice, frame)" in refusal(save(tmp_path / "c.mat", kus=data[..., 0, 0]))
    assert "other numbers" in refusal(save(tmp_path / "d.mat", kus=data.real.copy()))
    save(tmp_path / "f.mat", kus=data)
    save(tmp_path / "m.mat", something=np.ones((3, 3)))
    assert "expected one variable mask" in refusal(tmp_path / "f.mat", mask=tmp_path / "m.mat")
    save(tmp_path / "m.mat", mask=np.ones((3, 3)))
    assert "mask (frame, ky) of shape (5, 24)" in refusal(tmp_path / "f.mat", mask=tmp_path / "m.mat")
    silent = data.copy()
    silent[:, :, 1] = 0
    assert "coil 2 of 2 is zero" in refusal(save(tmp_path / "e.mat", kspace_full=silent))


def test_announced_and_never_written(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file.create_dataset("kspace_full", (50, 12, 30, 200, 400), COMPLEX, chunks=(1, 1, 1, 200, 400))
    assert "announced but never written" in refusal(tmp_path / "a.mat")
