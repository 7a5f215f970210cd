"""What can be written and under which suffix; everything appears whole or not at all."""

from dataclasses import replace

import numpy as np
import pytest

from csmri import formats
from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace
from csmri.formats.dicom.anonymise import Anonymiser
from csmri.formats.output import OUTPUTS, check_place, names_for, notes_of, output_of

IMAGES = np.random.default_rng(5).random((2, 3, 16, 18), np.float32)
CINE = Cine(images=IMAGES, subject="s", spacing_mm=(1.5, 1.25), slice_spacing_mm=8.0)
KSPACE = KSpace(kspace=np.ones((1, 2, 3, 6, 5), np.complex64), mask=np.ones((3, 6), bool), subject="s")
RECORDS = {Cine: CINE, KSpace: KSPACE}
LOOKED_AT = ("gif", "mp4")


def refusal(function, *arguments, **options):
    with pytest.raises(CsmriError) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.npy", "a.nii.bz2", "a.dcm", "a.txt"])
def test_unknown_suffixes_are_refused_before_any_work(tmp_path, name):
    message = refusal(output_of, tmp_path / name)
    assert f"{name}: cannot tell the format to write; end the name in .npz, .nii.gz, .nii, .h5, .hdf5, .gif" in message
    assert message.endswith("a name without suffix is a folder of DICOM images")
    for record in (CINE, KSPACE):
        assert "cannot tell the format" in refusal(formats.write, tmp_path / name, record)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kind", "output"),
    [
        ("a.NPZ", Cine, "npz"),
        ("a.nii.gz", Cine, "nifti"),
        ("b.nii", Cine, "nifti"),
        ("c.gif", Cine, "gif"),
        ("c.mp4", Cine, "mp4"),
        ("c.h5", Cine, "hdf5"),
        ("c.h5", KSpace, "ismrmrd"),
        ("c.mrd", KSpace, "ismrmrd"),
        ("c.hdf5", KSpace, "hdf5"),
        ("c.mat", KSpace, "cmrxrecon"),
        ("c.cfl", KSpace, "bart"),
        ("c", Cine, "dicom"),
    ],
)
def test_the_suffix_tells_the_format(tmp_path, name, kind, output):
    assert output_of(tmp_path / name, kind).name == output
    (tmp_path / name).mkdir()
    if output != "dicom":
        assert "is a folder; give the name of a file" in refusal(output_of, tmp_path / name, kind)


@pytest.mark.parametrize(
    ("name", "kind", "to", "words"),
    [
        ("k.nii.gz", KSpace, None, "k-space is written as .npz, .h5, .mrd, .hdf5, .mat, .cfl; reconstruct it"),
        ("k.gif", KSpace, None, "reconstruct it to write images"),
        ("k", KSpace, None, "cannot tell the format to write"),
        ("a.mat", Cine, None, "a cine is written as .npz"),
        ("a.cfl", Cine, None, "a cine is written as .npz"),
        ("a.npz", Cine, "nifti", "expected a name that ends in .nii.gz or .nii for nifti"),
        ("a.h5", Cine, "ismrmrd", "ismrmrd: expected a format for a cine: npz, nifti, hdf5"),
        ("a.h5", Cine, "tiff", "tiff: expected a format for a cine"),
        ("k.h5", KSpace, "dicom", "dicom: expected a format for k-space: npz, ismrmrd, hdf5, cmrxrecon, bart"),
    ],
)
def test_what_a_format_does_not_hold_is_refused(tmp_path, name, kind, to, words):
    assert words in refusal(output_of, tmp_path / name, kind, to=to)
    assert words in refusal(formats.write, tmp_path / name, RECORDS[kind], to=to)
    assert list(tmp_path.iterdir()) == []


def test_to_decides_where_a_suffix_has_two_meanings(tmp_path):
    assert output_of("a.h5", KSpace, to="hdf5").name == "hdf5"
    assert output_of("a.dcm.d", to="dicom").name == "dicom"


@pytest.mark.parametrize(
    ("kind", "output"), [(kind, output) for kind in RECORDS for output in OUTPUTS.values() if output.holds(kind)]
)
def test_writing_makes_folders_and_leaves_nothing_else(tmp_path, kind, output):
    for suffix in output.suffixes or ("",):
        folder = tmp_path / f"new{suffix}/deep"
        formats.write(folder / f"a{suffix}", RECORDS[kind], to=output.name)
        names = {path.name for path in folder.iterdir()}
        assert names == ({"a.cfl", "a.hdr"} if suffix == ".cfl" else {f"a{suffix}"})
        if output.name not in LOOKED_AT:
            record = formats.read(folder / f"a{suffix}")
            assert isinstance(record, kind)
            if kind is Cine:
                np.testing.assert_allclose(record.magnitude, IMAGES, atol=1e-3 * IMAGES.max())
            else:
                np.testing.assert_allclose(record.slice_of(0), KSPACE.slice_of(0))


def test_dicom_goes_into_a_folder_of_its_own(tmp_path):
    for name in ("empty", "new"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        assert output_of(tmp_path / name, to="dicom").is_dicom
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    for place in (tmp_path / "full", tmp_path / "full/file"):
        assert f"{place}: is a file or holds files; choose an empty or new folder" in refusal(
            output_of, place, to="dicom"
        )


def test_names_of_formats():
    assert names_for(KSpace) == ["npz", "ismrmrd", "hdf5", "cmrxrecon", "bart"]
    assert names_for(Cine) == ["npz", "nifti", "hdf5", "gif", "mp4", "dicom", "dicom-enhanced"]


@pytest.mark.parametrize(
    ("suffix", "broken"),
    [
        (".npz", "numpy.savez_compressed"),
        (".nii.gz", "pathlib.Path.write_bytes"),
        (".gif", "PIL.Image.Image.save"),
        ("", "pydicom.dataset.Dataset.save_as"),
    ],
)
def test_a_full_disk_keeps_what_was_there(tmp_path, monkeypatch, suffix, broken):
    path = tmp_path / f"a{suffix}"
    if suffix:
        formats.write(path, CINE)
    before = [(one, one.read_bytes()) for one in tmp_path.iterdir()]

    def fail(target, *arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(broken, fail)
    changed = Cine(IMAGES * 2, "s", spacing_mm=(1.5, 1.25), slice_spacing_mm=8.0)
    assert "No space left" in refusal(formats.write, path, changed)
    monkeypatch.undo()
    assert [(one, one.read_bytes()) for one in tmp_path.iterdir()] == before


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "file").touch()
    for name in ("a.npz", "a.h5", "a"):
        assert f"{tmp_path / 'file' / name}: could not be written" in refusal(
            formats.write, tmp_path / "file" / name, CINE
        )


def test_what_is_no_record_is_refused(tmp_path):
    assert "expected a Cine or a KSpace to write, got ndarray" in refusal(formats.write, tmp_path / "a.npz", IMAGES)


def test_dicom_needs_sizes_unless_it_was_dicom(tmp_path, make):
    bare = Cine(IMAGES, "s")
    assert "the spacing of pixels and slices is unknown" in refusal(check_place, OUTPUTS["dicom"], bare, None)
    check_place(OUTPUTS["npz"], bare, None)
    make.save(tmp_path / "in", make.stack(1, 2))
    (source,) = formats.find_cines(tmp_path / "in").sources
    check_place(OUTPUTS["dicom-enhanced"], bare, source)


def test_only_dicom_is_anonymised(tmp_path):
    anonymiser = Anonymiser("p-1", salt="0123456789abcdef")
    message = refusal(formats.write, tmp_path / "a.nii.gz", CINE, anonymiser=anonymiser)
    assert "only DICOM holds what is to be taken out; write with --to dicom" in message
    assert list(tmp_path.iterdir()) == []


def test_notes_of_tell_what_nifti_does_not_keep():
    affine = np.diag([-1.25, -1.5, 8.0, 1.0])
    straight = replace(CINE, affine=affine)
    sheared = affine.copy()
    sheared[:2, 2] = -1.5, 2.0
    sheared = replace(CINE, affine=sheared)
    assert notes_of(OUTPUTS["nifti"], straight) == notes_of(OUTPUTS["nifti"], CINE) == []
    assert notes_of(OUTPUTS["nifti"], sheared) == [
        "Slices are offset sideways by 2.5 mm from one to the next: NIfTI readers that ignore shears (SimpleITK, "
        "ITK-SNAP) place them up to 1.2 mm off; DICOM keeps the place."
    ]
    assert notes_of(OUTPUTS["npz"], sheared) == notes_of(OUTPUTS["dicom"], sheared) == []
    for uneven in (
        replace(straight, slice_spacing_mm=None),
        replace(straight, notes=("The slices are not at equal distances: they lie at 0.0, 9.0 mm.",)),
    ):
        (note,) = notes_of(OUTPUTS["nifti"], uneven)
        assert "uneven distances" in note and "one step for all, 8 mm" in note and "placed wrongly" in note
        assert notes_of(OUTPUTS["npz"], uneven) == []
    assert notes_of(OUTPUTS["ismrmrd"], KSPACE) == []
