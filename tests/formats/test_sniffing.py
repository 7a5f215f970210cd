"""What a path holds is told by its content, and everything else is refused in one line."""

import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from csmri import formats
from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace

IMAGES = np.random.default_rng(5).random((2, 3, 6, 5), np.float32)
CINE = Cine(images=IMAGES, subject="s", spacing_mm=(1.5, 1.25), slice_spacing_mm=8.0)
KSPACE = KSpace(kspace=np.ones((1, 2, 3, 6, 5), np.complex64), mask=np.ones((3, 6), bool), subject="s")


def write_york(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"sol_yxzt": IMAGES.transpose(2, 3, 0, 1)})


def refusal(function, *arguments):
    with pytest.raises(CsmriError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value) and str(arguments[0]) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".npz", ".nii", ".nii.gz", ".h5"])
@pytest.mark.parametrize("disguise", ["", ".bin", ".nii", ".mat"])
def test_content_decides_not_the_suffix(tmp_path, suffix, disguise):
    formats.write(tmp_path / f"a{suffix}", CINE)
    path = tmp_path / f"b{disguise or suffix}"
    (tmp_path / f"a{suffix}").rename(path)
    np.testing.assert_array_equal(formats.read(path).images, IMAGES)


@pytest.mark.parametrize(("name", "to"), [("k.npz", None), ("k.h5", None), ("k.h5", "hdf5"), ("k.mat", None)])
def test_kspace_is_known_by_its_content(tmp_path, name, to):
    formats.write(tmp_path / name, KSPACE, to=to)
    (tmp_path / name).rename(tmp_path / "disguised.bin")
    record = formats.read(tmp_path / "disguised.bin")
    assert isinstance(record, KSpace)
    np.testing.assert_allclose(record.slice_of(0), KSPACE.slice_of(0))


@pytest.mark.parametrize("given_as", ["k.cfl", "k.hdr", "k"])
def test_either_file_of_bart_or_none_is_given(tmp_path, given_as):
    formats.write(tmp_path / "k.cfl", KSPACE)
    assert formats.read(tmp_path / given_as).kspace.shape == KSPACE.kspace.shape
    assert len(formats.find_cines(tmp_path).sources) == 1


def test_york_dicom_and_folders_with_one_cine_are_read(tmp_path, make):
    write_york(tmp_path / "york/sol_yxzt_pat3.mat")
    make.save(tmp_path / "dicom", make.stack(2, 2))
    assert formats.read(tmp_path / "york/sol_yxzt_pat3.mat").subject == "york_pat3"
    assert formats.read(str(tmp_path / "york")).subject == "york_pat3"
    assert formats.read(tmp_path / "dicom").images.shape == (2, 2, 6, 5)
    assert "holds 2 cines" in refusal(formats.read, tmp_path)


def test_read_cine_refuses_kspace(tmp_path):
    formats.write(tmp_path / "k.npz", KSPACE)
    assert isinstance(formats.read(tmp_path / "k.npz"), KSpace)
    assert "reconstruct it first" in refusal(formats.read_cine, tmp_path / "k.npz")


def write_strangers(folder, make):
    """Files that are no cine: name -> words of the refusal."""
    (folder / "a.txt").write_text("hello")
    picture = Image.new("L", (40, 40))
    picture.save(folder / "photo.jpg")
    (folder / "photo.jpg").rename(folder / "photo.nii")
    picture.save(folder / "picture.png")
    (folder / "report.pdf").write_bytes(b"%PDF-1.4\n")
    (folder / "cine.nrrd").write_bytes(b"NRRD0004\n# Complete NRRD file format\ntype: short\n\n")
    (folder / "empty.nii.gz").touch()
    (folder / "text.nii.gz").write_bytes(gzip.compress(b"hello" * 100))
    (folder / "text.mat").write_text("hello")
    (folder / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    formats.write(folder / "a.gif", CINE)
    (folder / "half.hdr").write_bytes(b"\x5c\x01\0\0" + bytes(340) + b"ni1\0")
    make.save(folder / "d", make.stack(1, 2), "{}.dcm")
    np.savez(folder / "weights.npz", layer=np.zeros(3))
    return {
        "a.txt": "no format that csmri knows",
        "photo.nii": "JPEG picture: pictures are not read",
        "picture.png": "PNG picture: pictures are not read",
        "report.pdf": "PDF document",
        "cine.nrrd": "NRRD file: convert it to .nii.gz",
        "empty.nii.gz": "empty",
        "text.nii.gz": "gzip file without a NIfTI",
        "text.mat": "the name says .mat",
        "a.h5": "HDF5",
        "a.gif": "GIF is for looking",
        "half.hdr": "half of a two-file NIfTI",
        "d/0.dcm": "give its folder",
        "weights.npz": "expected either `images` or `kspace` and `mask`, found layer",
        "nowhere.nii": "no such file",
    }


def test_strangers_are_told_apart(tmp_path, make):
    for name, words in write_strangers(tmp_path, make).items():
        assert words in refusal(formats.read, tmp_path / name), name
        if name != "a.h5":  # is found, and what is wrong is told when it is read
            assert words in refusal(formats.find_cines, tmp_path / name), name
    (tmp_path / "nothing").mkdir()
    for function in (formats.read, formats.find_cines):
        assert "no cine among 0 files" in refusal(function, tmp_path / "nothing")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    for name in ("a.nii", "a.nii.gz", "a.npz"):
        formats.write(folder / name, CINE)
    write_york(folder / "a.mat")
    np.save(folder / "a.npy", np.zeros((3, 8, 9), np.float32))
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("suffix", [".nii", ".gz", ".npz", ".mat", ".npy"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_never_lets_a_foreign_exception_out(tmp_path, sources, suffix, data):
    content = bytearray(sources[suffix])
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    for place in (path, tmp_path):
        try:
            formats.read(place)
        except CsmriError as error:
            assert "\n" not in str(error)
