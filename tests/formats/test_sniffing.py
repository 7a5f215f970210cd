"""What a path holds, the list of cines below a folder, writing by suffix, and one-line errors for everything else."""

import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from scipy.io import savemat

from csmri import formats
from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace
from csmri.formats.parsing import natural_key

IMAGES = np.random.default_rng(5).random((2, 3, 6, 5), np.float32)
CINE = Cine(images=IMAGES, subject="s", spacing_mm=(1.5, 1.25), slice_spacing_mm=8.0)
KSPACE = KSpace(kspace=np.ones((1, 2, 3, 6, 5), np.complex64), mask=np.ones((3, 6), bool), subject="s")


def write_york(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"sol_yxzt": IMAGES.transpose(2, 3, 0, 1)})


def write_dicom(folder, series="1.2.3", n_slices=2, n_frames=2, first_slice=0):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(n_slices * n_frames):
        slice_index, frame = divmod(number, n_frames)
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = MRImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
        dataset.PatientID, dataset.SeriesInstanceUID = "P", series
        dataset.InstanceNumber, dataset.TriggerTime = number + 1, str(30 * frame)
        dataset.PixelSpacing, dataset.ImageOrientationPatient = [1.5, 1.25], [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [0, 0, 8 * (slice_index + first_slice)]
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 6, 5, 1
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit = 15
        dataset.PixelData = np.full((6, 5), number + 1, np.uint16).tobytes()
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)


def refusal(function, *arguments):
    with pytest.raises(CsmriError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value) and str(arguments[0]) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".npz", ".nii", ".nii.gz"])
@pytest.mark.parametrize("disguise", ["", ".bin", ".nii", ".mat"])
def test_content_decides_not_the_suffix(tmp_path, suffix, disguise):
    formats.write(tmp_path / f"a{suffix}", CINE)
    path = tmp_path / f"b{disguise or suffix}"
    (tmp_path / f"a{suffix}").rename(path)
    np.testing.assert_array_equal(formats.read(path).images, IMAGES)


def test_york_dicom_and_folders_with_one_cine_are_read(tmp_path):
    write_york(tmp_path / "york/sol_yxzt_pat3.mat")
    write_dicom(tmp_path / "dicom")
    assert formats.read(tmp_path / "york/sol_yxzt_pat3.mat").subject == "york_pat3"
    assert formats.read(str(tmp_path / "york")).subject == "york_pat3"
    assert formats.read(tmp_path / "dicom").images.shape == (2, 2, 6, 5)
    assert "holds 2 cines" in refusal(formats.read, tmp_path)


def test_read_cine_refuses_kspace(tmp_path):
    formats.write(tmp_path / "k.npz", KSPACE)
    assert isinstance(formats.read(tmp_path / "k.npz"), KSpace)
    assert "reconstruct it first" in refusal(formats.read_cine, tmp_path / "k.npz")


def test_find_cines_in_natural_order_and_nothing_else(tmp_path):
    for number in (10, 2, 1):
        write_york(tmp_path / f"york/sol_yxzt_pat{number}.mat")
        savemat(tmp_path / f"york/manual_seg_32points_pat{number}.mat", {"manual_seg_32points": np.zeros(3)})
    write_york(tmp_path / "york/renamed.mat")
    for name in ("patient2", "patient11"):
        formats.write(tmp_path / f"acdc/{name}/{name}_4d.nii.gz", CINE)
        shutil.copy(tmp_path / f"acdc/{name}/{name}_4d.nii.gz", tmp_path / f"acdc/{name}/{name}_4d_gt.nii.gz")
    single = gzip.decompress((tmp_path / "acdc/patient2/patient2_4d.nii.gz").read_bytes())
    single = single[:40] + np.array([3, 5, 6, 2, 1, 1, 1, 1], "<i2").tobytes() + single[56:]
    (tmp_path / "acdc/patient2/patient2_frame01.nii").write_bytes(single)
    formats.write(tmp_path / "npz/a.npz", CINE)
    formats.write(tmp_path / "npz/k.npz", KSPACE)
    np.savez(tmp_path / "npz/weights.npz", layer=np.zeros(3))
    formats.write(tmp_path / "npz/a.gif", CINE)
    (tmp_path / "npz/.hidden.npz").write_bytes((tmp_path / "npz/a.npz").read_bytes())
    write_dicom(tmp_path / "dicom/P1", "1.1")
    write_dicom(tmp_path / "dicom/P2", "1.2")
    (tmp_path / "dicom/contours").mkdir()
    (tmp_path / "dicom/contours/IM-0001-0001-icontour-manual.txt").write_text("1 2\n")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/cut.nii.gz").write_bytes(b"\x1f\x8b")  # listed, so that reading it tells what is wrong
    found = [str(path.relative_to(tmp_path)) for path in formats.find_cines(tmp_path)]
    assert found == [
        "acdc/patient2/patient2_4d.nii.gz",
        "acdc/patient11/patient11_4d.nii.gz",
        "broken/cut.nii.gz",
        "dicom/P1",
        "dicom/P2",
        "npz/a.npz",
        "npz/k.npz",
        "york/renamed.mat",
        "york/sol_yxzt_pat1.mat",
        "york/sol_yxzt_pat2.mat",
        "york/sol_yxzt_pat10.mat",
    ]
    assert formats.find_cines(tmp_path / "npz/a.npz") == [tmp_path / "npz/a.npz"]
    assert formats.find_cines(tmp_path / "dicom/P1") == [tmp_path / "dicom/P1"]


def test_a_series_spread_over_folders_is_one_cine(tmp_path):
    for slice_index in range(3):
        write_dicom(tmp_path / f"P/sax{slice_index}", "1.1", n_slices=1, first_slice=slice_index)
    assert formats.find_cines(tmp_path) == [tmp_path / "P"]
    assert formats.read(tmp_path / "P").n_slices == 3


def test_one_series_a_slice_is_read_from_the_folder_above(tmp_path):
    for slice_index in range(3):
        write_dicom(tmp_path / f"P/sax{slice_index}", f"1.{slice_index}", n_slices=1, first_slice=slice_index)
    assert formats.read(tmp_path / "P").n_slices == 3


def test_a_link_back_up_ends(tmp_path):
    formats.write(tmp_path / "a/b.npz", CINE)
    (tmp_path / "a/loop").symlink_to(tmp_path, target_is_directory=True)
    assert formats.find_cines(tmp_path) == [tmp_path / "a/b.npz"]


def test_natural_key_orders_any_mixture():
    names = ["pat10", "pat2", "pat", "10", "2", "a1b10", "a1b9", "²"]
    ordered = sorted(map(Path, names), key=natural_key)
    assert [path.name for path in ordered if path.name.startswith("pat")] == ["pat", "pat2", "pat10"]


def test_strangers_are_told_apart(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    assert "no format that csmri knows" in refusal(formats.read, tmp_path / "a.txt")
    Image.new("L", (40, 40)).save(tmp_path / "photo.jpg")
    (tmp_path / "photo.jpg").rename(tmp_path / "photo.nii")
    assert "JPEG" in refusal(formats.read, tmp_path / "photo.nii")
    (tmp_path / "empty.nii.gz").touch()
    assert "empty" in refusal(formats.read, tmp_path / "empty.nii.gz")
    (tmp_path / "text.nii.gz").write_bytes(gzip.compress(b"hello" * 100))
    assert "gzip file without a NIfTI" in refusal(formats.read, tmp_path / "text.nii.gz")
    (tmp_path / "text.mat").write_text("hello")
    assert "the name says .mat" in refusal(formats.read, tmp_path / "text.mat")
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert "HDF5" in refusal(formats.read, tmp_path / "a.h5")
    formats.write(tmp_path / "a.gif", CINE)
    assert "GIF is for looking" in refusal(formats.read, tmp_path / "a.gif")
    write_dicom(tmp_path / "d")
    assert "give its folder" in refusal(formats.read, tmp_path / "d/0.dcm")
    assert "no such file" in refusal(formats.read, tmp_path / "nowhere.nii")
    assert "no such file" in refusal(formats.find_cines, tmp_path / "nowhere")
    (tmp_path / "nothing").mkdir()
    for function in (formats.read, formats.find_cines):
        assert "no cine among 0 files" in refusal(function, tmp_path / "nothing")


def make_sources(folder):
    formats.write(folder / "a.nii", CINE)
    formats.write(folder / "a.nii.gz", CINE)
    formats.write(folder / "a.npz", CINE)
    write_york(folder / "a.mat")
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return make_sources(tmp_path_factory.mktemp("sources"))


@pytest.mark.parametrize("suffix", [".nii", ".gz", ".npz", ".mat"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_never_lets_a_foreign_exception_out(tmp_path, sources, suffix, data):
    content = bytearray(sources[suffix])
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    try:
        formats.read(path)
    except CsmriError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("name", ["a.npy", "a", "a.nii.bz2", ".npz", "a.mat"])
def test_unknown_suffixes_are_refused_before_any_work(tmp_path, name):
    assert "cannot tell the format" in refusal(formats.check_suffix, tmp_path / name)
    assert ".npz, .nii, .nii.gz, .gif" in refusal(formats.write, tmp_path / name, CINE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "suffix"), [("a.NPZ", ".npz"), ("a.nii.gz", ".nii.gz"), ("b.nii", ".nii"), ("c.gif", ".gif")]
)
def test_check_suffix(tmp_path, name, suffix):
    assert formats.check_suffix(tmp_path / name) == suffix
    (tmp_path / name).mkdir()
    assert "is a folder" in refusal(formats.check_suffix, tmp_path / name)


@pytest.mark.parametrize("name", ["k.nii.gz", "k.gif"])
def test_kspace_goes_into_npz_only(tmp_path, name):
    assert ".npz only" in refusal(formats.write, tmp_path / name, KSPACE)


@pytest.mark.parametrize("suffix", formats.SUFFIXES)
def test_writing_makes_folders_and_leaves_nothing_else(tmp_path, suffix):
    formats.write(tmp_path / f"new/deep/a{suffix}", CINE)
    assert [path.name for path in (tmp_path / "new/deep").iterdir()] == [f"a{suffix}"]


@pytest.mark.parametrize(
    ("suffix", "broken"),
    [
        (".npz", "numpy.savez_compressed"),
        (".nii.gz", "pathlib.Path.write_bytes"),
        (".gif", "PIL.Image.Image.save"),
    ],
)
def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch, suffix, broken):
    path = tmp_path / f"a{suffix}"
    formats.write(path, CINE)
    before = path.read_bytes()

    def fail(target, *arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(broken, fail)
    assert "No space left" in refusal(formats.write, path, Cine(images=IMAGES * 2, subject="s"))
    monkeypatch.undo()
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "file").touch()
    assert "could not be written" in refusal(formats.write, tmp_path / "file/a.npz", CINE)


def test_real_data_is_found():
    root = Path(os.environ.get("CSMRI_DATA", ""))
    if not os.environ.get("CSMRI_DATA") or not (root / "sunnybrook").is_dir():
        pytest.skip("set CSMRI_DATA to a folder with the ACDC and Sunnybrook subjects to run this")
    acdc = formats.find_cines(root / "acdc")
    assert len(acdc) == 32 and acdc[0].name == "patient001_4d.nii.gz"
    names = [path.name for path in formats.find_cines(root / "sunnybrook")]
    assert names == ["SCD0000101", "SCD0000201", "SCD0000301"]
    assert "expected one cine series, found 3" in refusal(formats.read, root / "sunnybrook")
    assert "no cine among" in refusal(formats.read, root / "sunnybrook/SC-HF-I-1")
