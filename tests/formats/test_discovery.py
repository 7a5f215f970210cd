"""What lies below a folder: every cine once, in natural order, and a reason for everything that is left out."""

import gzip
import os
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.io import savemat

from csmri import formats
from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace
from csmri.formats.parsing import natural_key

IMAGES = np.random.default_rng(5).random((2, 3, 6, 5), np.float32)
CINE = Cine(images=IMAGES, subject="s", spacing_mm=(1.5, 1.25), slice_spacing_mm=8.0)
KSPACE = KSpace(kspace=np.ones((1, 2, 3, 6, 5), np.complex64), mask=np.ones((3, 6), bool), subject="s")


def refusal(function, *arguments):
    with pytest.raises(CsmriError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value) and str(arguments[0]) in str(caught.value)
    return str(caught.value)


def places(found, root):
    return [str(source.path.relative_to(root)) for source in found.sources]


def reasons(found, *, faults=False):
    return {left.path.name: left.reason for left in found.left_out if left.is_fault == faults}


def write_york(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"sol_yxzt": IMAGES.transpose(2, 3, 0, 1)})


def make_tree(folder, make):
    """A folder with cines of every format between all that commonly lies beside them."""
    for number in (10, 2, 1):
        write_york(folder / f"york/sol_yxzt_pat{number}.mat")
        savemat(folder / f"york/manual_seg_32points_pat{number}.mat", {"manual_seg_32points": np.zeros(3)})
    write_york(folder / "york/renamed.mat")
    for name in ("patient2", "patient11"):
        formats.write(folder / f"acdc/{name}/{name}_4d.nii.gz", CINE)
        formats.write(folder / f"acdc/{name}/{name}_4d_gt.nii.gz", CINE)
    single = nibabel.Nifti1Image(np.ones((5, 6, 2), np.float32), np.eye(4))
    nibabel.save(single, folder / "acdc/patient2/patient2_frame01.nii.gz")
    formats.write(folder / "npz/a.npz", CINE)
    formats.write(folder / "npz/k.npz", KSPACE)
    np.savez(folder / "npz/weights.npz", layer=np.zeros(3))
    formats.write(folder / "npz/a.gif", CINE)
    (folder / "npz/.hidden.npz").write_bytes((folder / "npz/a.npz").read_bytes())
    formats.write(folder / "raw/b.cfl", KSPACE)
    formats.write(folder / "raw/i.h5", KSPACE)
    make.save(folder / "dicom/P1", make.stack(2, 2, series=1, PatientID="P1"))
    make.save(folder / "dicom/P2", make.stack(2, 2, series=2, PatientID="P2"))
    (folder / "dicom/contours").mkdir()
    (folder / "dicom/contours/IM-0001-0001-icontour-manual.txt").write_text("1 2\n")
    (folder / "broken").mkdir()
    (folder / "broken/cut.nii.gz").write_bytes(b"\x1f\x8b")


def test_cines_in_natural_order_and_a_reason_for_the_rest(tmp_path, make):
    make_tree(tmp_path, make)
    found = formats.find_cines(tmp_path)
    assert places(found, tmp_path) == [
        "acdc/patient2/patient2_4d.nii.gz",
        "acdc/patient11/patient11_4d.nii.gz",
        "dicom/P1",
        "dicom/P2",
        "npz/a.npz",
        "npz/k.npz",
        "raw/b.cfl",
        "raw/i.h5",
        "york/renamed.mat",
        "york/sol_yxzt_pat1.mat",
        "york/sol_yxzt_pat2.mat",
        "york/sol_yxzt_pat10.mat",
    ]
    assert reasons(found, faults=True).keys() == {"cut.nii.gz"}
    left_out = reasons(found)
    assert left_out["patient2_4d_gt.nii.gz"] == "a label map"
    assert left_out["patient2_frame01.nii.gz"] == "a single volume without frames"
    assert left_out["manual_seg_32points_pat10.mat"] == "manual outlines"
    assert "found layer" in left_out["weights.npz"] and "GIF" in left_out["a.gif"]
    assert not any(name.startswith(".") for name in left_out)
    assert [source.read().subject for source in found.sources][:4] == ["patient2", "patient11", "P1", "P2"]


def test_a_place_alone_and_given_twice(tmp_path, make):
    make_tree(tmp_path, make)
    for name in ("npz/a.npz", "dicom/P1", "raw/b.cfl"):
        assert places(formats.find_cines(tmp_path / name), tmp_path) == [name]
    twice = formats.find_cines(tmp_path / "npz/a.npz", tmp_path / "npz", tmp_path / "dicom/P1", tmp_path / "dicom")
    assert places(twice, tmp_path) == ["npz/a.npz", "npz/k.npz", "dicom/P1", "dicom/P2"]


def test_a_damaged_file_alone_is_named_and_the_folder_without_cine_says_why(tmp_path):
    (tmp_path / "cut.nii.gz").write_bytes(b"\x1f\x8b")
    (found,) = formats.find_cines(tmp_path).left_out
    assert found.is_fault and found.path == tmp_path / "cut.nii.gz"
    assert "cut.nii.gz: this is a gzip file without a NIfTI" in refusal(formats.read, tmp_path)
    (tmp_path / "cut.nii.gz").unlink()
    for number in range(8):
        (tmp_path / f"frame_{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    message = refusal(formats.find_cines, tmp_path)
    assert "no cine among 8 files; 8 files: this is a PNG picture: pictures are not read" in message


def test_zips_are_told_apart(tmp_path, make):
    make.save(tmp_path / "in", make.stack(1, 2), "{}.dcm")
    for name, inside in (("1000011_20209_2_0.zip", "0.dcm"), ("papers.zip", "a.txt")):
        (tmp_path / "in/a.txt").write_text("text")
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.write(tmp_path / "in" / inside, f"folder/{inside}")
    assert "a zip of DICOM images (1 file); unzip it" in refusal(formats.read, tmp_path / "1000011_20209_2_0.zip")
    assert "a zip archive (1 file); unzip it" in refusal(formats.read, tmp_path / "papers.zip")
    cut = (tmp_path / "papers.zip").read_bytes()[:40]
    (tmp_path / "papers.zip").write_bytes(cut)
    assert "a zip archive that cannot be opened" in refusal(formats.read, tmp_path / "papers.zip")


def test_a_zip_that_holds_no_images_is_not_missed(tmp_path, make):
    """Office documents and networks of Keras are zip archives, too."""
    formats.write(tmp_path / "a.npz", CINE)
    for name, inside in (
        ("report.docx", "word/document.xml"),
        ("net.keras", "model.h5.json"),
        ("in.zip", "b/a.nii.gz"),
    ):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(inside, "content")
    found = formats.find_cines(tmp_path)
    assert reasons(found).keys() == {"report.docx", "net.keras"}
    assert reasons(found, faults=True) == {"in.zip": "a zip archive (1 file); unzip it and give the folder"}


def test_several_cines_are_listed_and_the_stack_is_pointed_at(tmp_path, make):
    make.save(tmp_path / "sax", make.stack(3, 4, series=5))
    make.save(tmp_path / "lax", make.stack(1, 4, series=6, SeriesDescription="4ch"))
    message = refusal(formats.read, tmp_path)
    assert "holds 2 cines" in message and "lax (1 slice x 4 frames)" in message
    assert f"the short-axis stack is probably {tmp_path / 'sax'} (3 slices x 4 frames)" in message


def test_a_series_spread_over_folders_is_one_cine(tmp_path, make):
    images = make.stack(3, 4)
    for slice_index in range(3):
        make.save(tmp_path / f"P/sax{slice_index}", images[4 * slice_index : 4 * slice_index + 4])
    assert places(formats.find_cines(tmp_path), tmp_path) == ["P"]
    assert formats.read(tmp_path / "P").n_slices == 3


def test_one_series_a_slice_is_one_stack(tmp_path, make):
    for slice_index in range(3):
        images = [make.classic(slice_index, frame, series=10 + slice_index) for frame in range(4)]
        make.save(tmp_path / f"P/cine - {60 + slice_index}", images)
    (source,) = formats.find_cines(tmp_path).sources
    assert source.path == tmp_path / "P" and make.codes(source.read())[2] == [300, 301, 302, 303]


def test_a_link_back_up_ends(tmp_path):
    formats.write(tmp_path / "a/b.npz", CINE)
    (tmp_path / "a/loop").symlink_to(tmp_path, target_is_directory=True)
    assert places(formats.find_cines(tmp_path), tmp_path) == ["a/b.npz"]


def test_natural_key_orders_any_mixture():
    names = ["pat10", "pat2", "pat", "10", "2", "a1b10", "a1b9", "²"]
    ordered = sorted(map(Path, names), key=natural_key)
    assert [path.name for path in ordered if path.name.startswith("pat")] == ["pat", "pat2", "pat10"]


def test_nothing_is_read_to_find_it(tmp_path, monkeypatch, make):
    make_tree(tmp_path, make)

    def fail(*arguments, **options):
        raise AssertionError("images were read")

    monkeypatch.setattr("csmri.formats.npz.read", fail)
    monkeypatch.setattr("csmri.formats.nifti.read", fail)
    monkeypatch.setattr("csmri.formats.mrd.read", fail)
    assert len(formats.find_cines(tmp_path).sources) == 12


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(tmp_path):
    formats.write(tmp_path / "a.npz", CINE)
    formats.write(tmp_path / "b.npz", CINE)
    (tmp_path / "b.npz").chmod(0)
    found = formats.find_cines(tmp_path)
    assert places(found, tmp_path) == ["a.npz"] and "check its permissions" in reasons(found, faults=True)["b.npz"]


def test_a_gzip_of_something_else_beside_a_cine_is_no_fault(tmp_path):
    formats.write(tmp_path / "a.npz", CINE)
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(b"a,b\n"))
    (tmp_path / "README").write_text("text")
    found = formats.find_cines(tmp_path)
    assert reasons(found, faults=True) == {} and reasons(found).keys() == {"table.csv.gz", "README"}


def test_wrong_axes_and_subjects_are_refused_before_anything_is_looked_at(tmp_path):
    for axes in ("abc", "yx", "yyxt", "tyxc"):
        with pytest.raises(CsmriError, match=f"--axes {axes}: expected the axes in the order of the file"):
            formats.find_cines(tmp_path / "nowhere", axes=axes)
    formats.write(tmp_path / "a.npz", CINE)
    with pytest.raises(CsmriError, match="--subject-from moon: expected one of auto, id, folder, file"):
        formats.find_cines(tmp_path, subject_from="moon")


def test_real_data_is_found():
    root = Path(os.environ.get("CSMRI_DATA", ""))
    if not os.environ.get("CSMRI_DATA") or not (root / "sunnybrook").is_dir():
        pytest.skip("set CSMRI_DATA to a folder with the ACDC and Sunnybrook subjects to run this")
    acdc = formats.find_cines(root / "acdc").sources
    assert len(acdc) == 32 and acdc[0].path.name == "patient001_4d.nii.gz"
    sunnybrook = formats.find_cines(root / "sunnybrook").sources
    assert [source.path.name for source in sunnybrook] == ["SCD0000101", "SCD0000201", "SCD0000301"]
    assert "holds 3 cines" in refusal(formats.read, root / "sunnybrook")
    assert "no cine among" in refusal(formats.read, root / "sunnybrook/SC-HF-I-1")
