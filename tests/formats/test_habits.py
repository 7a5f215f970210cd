"""Habits of exporters that change how a file is stored and not what is read; JPEG is in `test_dicom_damaged`."""

import gzip

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from csmri import formats

CODES = [[100, 101, 102, 103], [200, 201, 202, 203], [300, 301, 302, 303]]
AFFINE = np.diag([1.3, 1.4, 8.0, 1.0])


def big_endian(dataset):
    dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    return {"implicit_vr": False, "little_endian": False}


def implicit(dataset):
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return {"implicit_vr": True, "little_endian": True}


def unknown_element(dataset):
    dataset[0x0009, 0x1010] = DataElement((0x0009, 0x1010), "UN", b"\x01\x02\xff\xfe")
    dataset.SeriesDescription = "Sch\xe4del"  # and no SpecificCharacterSet
    return {}


def rle(dataset):
    dataset.compress(RLELossless, generate_instance_uid=False)
    return {}


STORED = {
    "big endian": big_endian,
    "implicit": implicit,
    "unknown element and letters": unknown_element,
    "rle": rle,
}


@pytest.mark.filterwarnings("ignore")  # pydicom's own, of what is written here on purpose
@pytest.mark.parametrize("name", STORED)
def test_dicom_however_it_is_stored(tmp_path, make, name):
    for number, dataset in enumerate(make.stack()):
        encoding = STORED[name](dataset)
        pydicom.dcmwrite(tmp_path / f"{number}.dcm", dataset, enforce_file_format=True, **encoding)
    cine = formats.read(tmp_path)
    assert make.codes(cine) == CODES and (cine.images[:, :, 1, 3] == np.array(CODES) + 500).all()
    assert cine.subject == "P7" and cine.notes == ()


def test_names_with_blanks_and_letters_of_others(tmp_path, make):
    folder = make.save(tmp_path / "Müller, José 心臓" / "кино 1", make.stack(), "Bild {} (Kopie).dcm")
    assert make.codes(formats.read(folder)) == CODES
    formats.write(tmp_path / "Åse 1.nii.gz", formats.read(folder))
    assert formats.read(tmp_path / "Åse 1.nii.gz").subject == "Åse 1"


def test_values_above_what_is_signed(tmp_path, make):
    images = make.stack()
    for dataset in images:
        dataset.PixelData = (200 * np.frombuffer(dataset.PixelData, np.uint16)).astype(np.uint16).tobytes()
    cine = formats.read(make.save(tmp_path, images))
    np.testing.assert_array_equal(cine.images[:, :, 0, 0], 200 * np.array(CODES))
    assert cine.images[2, 3, 0, 0] == 60600


def nifti_of(n_frames=4):
    values = np.array(CODES)[:, :n_frames]
    return np.broadcast_to(values, (5, 6, *values.shape)).astype(np.int16)  # (x, y, slice, frame)


def save(path, array, *, units=("mm", "msec"), step=50.0):
    image = nibabel.Nifti1Image(array, AFFINE)
    image.header.set_zooms((1.3, 1.4, 8.0, step))
    image.header.set_xyzt_units(*units)
    nibabel.save(image, path)
    return path


def test_gzip_of_several_members(tmp_path):
    content = save(tmp_path / "a.nii", nifti_of()).read_bytes()
    parts = [content[start : start + 500] for start in range(0, len(content), 500)]
    (tmp_path / "b.nii.gz").write_bytes(b"".join(map(gzip.compress, parts)) + gzip.compress(b""))
    np.testing.assert_array_equal(formats.read(tmp_path / "b.nii.gz").images[:, :, 0, 0], CODES)


def test_milliseconds_called_seconds_are_no_times(tmp_path):
    cine = formats.read(save(tmp_path / "a.nii", nifti_of(), units=("mm", "sec"), step=50))
    assert cine.frame_times_ms is None
    assert cine.notes == ("Frame times are unknown: the header says 50 with the unit sec.",)


def test_a_slope_that_is_no_number_scales_nothing(tmp_path):
    path = save(tmp_path / "a.nii", nifti_of())
    header = bytearray(path.read_bytes())
    header[112:120] = np.array([np.nan, np.nan], "<f4").tobytes()
    path.write_bytes(header)
    np.testing.assert_array_equal(formats.read(path).images[:, :, 0, 0], CODES)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_two_frames_of_any_type(tmp_path, dtype):
    cine = formats.read(save(tmp_path / "a.nii", (nifti_of(2) // 2).astype(dtype)))
    np.testing.assert_array_equal(cine.images[:, :, 0, 0], np.array(CODES)[:, :2] // 2)
