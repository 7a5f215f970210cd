"""DICOM folders: order by geometry and time, orientation, mixtures that are refused, Sunnybrook outlines."""

import os
import random
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian, JPEG2000Lossless, MRImageStorage, generate_uid

from csmri.core.errors import CsmriError
from csmri.formats import dicom, nifti

# An oblique plane: directions of x and of y, unit and perpendicular, in LPS.
X_AXIS = np.array([2, 1, 2]) / 3
Y_AXIS = np.array([-2, 2, 1]) / 3
NORMAL = np.cross(X_AXIS, Y_AXIS)
ORIGIN = np.array([-100.0, 30.0, 55.0])
SPACING = (1.5, 1.25)  # (y, x)
MATRIX = (6, 5)
SERIES = generate_uid(entropy_srcs=["series"])


def pixel_value(slice_index, frame):
    return 10 * slice_index + frame + 1


def image(slice_index, frame, **changes):
    """One MR image; `changes` set elements by keyword, None removes them."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = MRImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.PatientID, dataset.SeriesInstanceUID, dataset.SeriesDescription = "P7", SERIES, "SAX cine"
    dataset.InstanceNumber = 100 * slice_index + frame + 1
    dataset.TriggerTime = f"{20 + frame * (40 + slice_index):.3f}"  # the heart rate differs from slice to slice
    dataset.PixelSpacing = list(SPACING)
    dataset.ImageOrientationPatient = [f"{value:.6f}" for value in (*X_AXIS, *Y_AXIS)]
    dataset.ImagePositionPatient = [f"{value:.4f}" for value in ORIGIN + 8 * slice_index * NORMAL]
    dataset.Rows, dataset.Columns = changes.pop("matrix", MATRIX)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    pixels = np.full((dataset.Rows, dataset.Columns), pixel_value(slice_index, frame), np.uint16)
    pixels[1, 3] += 500  # row 1, column 3
    dataset.PixelData = pixels.tobytes()
    for keyword, value in changes.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return dataset


def save(folder, datasets, seed=0):
    """Write the images under names and in nested folders that say nothing about their order."""
    names = [f"{'ab'[number % 2]}/IM{number}{random.Random(number).choice(['', '.dcm', '.ima'])}"
             for number in range(len(datasets))]  # fmt: skip
    random.Random(seed).shuffle(names)
    for name, dataset in zip(names, datasets, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(folder / name, enforce_file_format=True)
    return folder


def stack(n_slices=3, n_frames=4, **changes):
    return [image(s, f, **changes) for s in range(n_slices) for f in range(n_frames)]


def refusal(folder):
    with pytest.raises(CsmriError) as caught:
        dicom.read(folder)
    message = str(caught.value)
    assert "\n" not in message and str(folder) in message
    return message


@pytest.mark.parametrize("seed", range(3))
def test_order_comes_from_geometry_and_time_not_from_names(tmp_path, seed):
    datasets = stack()
    numbers = list(range(len(datasets)))
    random.Random(seed).shuffle(numbers)
    for dataset, number in zip(datasets, numbers, strict=True):
        dataset.InstanceNumber = number
    cine = dicom.read(save(tmp_path, datasets, seed))
    assert cine.images.shape == (3, 4, *MATRIX) and cine.subject == "P7"
    expected = [[pixel_value(s, f) for f in range(4)] for s in range(3)]
    np.testing.assert_array_equal(cine.images[:, :, 0, 0], expected)
    np.testing.assert_array_equal(cine.images[:, :, 1, 3], np.add(expected, 500))
    np.testing.assert_allclose(cine.frame_times_ms, 20 + np.arange(4) * 41)  # slices have 40, 41 and 42
    assert cine.spacing_mm == SPACING and cine.notes == ()
    np.testing.assert_allclose(cine.slice_spacing_mm, 8, atol=1e-3)


def test_affine_carries_voxels_to_patient_positions_in_ras(tmp_path):
    cine = dicom.read(save(tmp_path, stack()))
    for x, y, slice_index in [(0, 0, 0), (4, 0, 0), (0, 5, 0), (3, 2, 2)]:
        # DICOM PS3.3 C.7.6.2.1.1: position + column index * x direction + row index * y direction, in LPS
        lps = ORIGIN + x * SPACING[1] * X_AXIS + y * SPACING[0] * Y_AXIS + slice_index * 8 * NORMAL
        ras = cine.affine @ [x, y, slice_index, 1]
        np.testing.assert_allclose(ras, [-lps[0], -lps[1], lps[2], 1], atol=1e-3)


def test_nifti_made_of_it_keeps_place_and_value(tmp_path):
    cine = dicom.read(save(tmp_path / "dicom", stack()))
    nifti.write(tmp_path / "a.nii.gz", cine)
    written = nibabel.load(tmp_path / "a.nii.gz")
    x, y, slice_index = np.argwhere(written.get_fdata()[..., 0] > 500)[2]
    lps = ORIGIN + 3 * SPACING[1] * X_AXIS + 1 * SPACING[0] * Y_AXIS + 2 * 8 * NORMAL  # the bright pixel of image()
    np.testing.assert_allclose((written.affine @ [x, y, slice_index, 1])[:3], lps * [-1, -1, 1], atol=1e-3)


def test_rescale_and_signed_pixels(tmp_path):
    cine = dicom.read(save(tmp_path, stack(RescaleSlope="0.5", RescaleIntercept="7", PixelRepresentation=1)))
    assert cine.images[2, 3, 0, 0] == 0.5 * pixel_value(2, 3) + 7


def test_jitter_in_the_headers_is_one_slice(tmp_path):
    datasets = stack()
    jitter = np.random.default_rng(0)
    for dataset in datasets:
        moved = np.array(dataset.ImagePositionPatient, float) + jitter.uniform(-0.002, 0.002, 3)
        dataset.ImagePositionPatient = [f"{value:.4f}" for value in moved]
        turned = np.array(dataset.ImageOrientationPatient, float) + jitter.uniform(-2e-6, 2e-6, 6)
        dataset.ImageOrientationPatient = [f"{value:.6f}" for value in turned]
    assert dicom.read(save(tmp_path, datasets)).images.shape[:2] == (3, 4)


def test_other_files_are_ignored_with_a_note(tmp_path):
    save(tmp_path, stack())
    (tmp_path / "README.txt").write_text("notes of the technician")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    report = image(0, 0, SOPClassUID=EncapsulatedPDFStorage, Rows=None, Columns=None, PixelData=None)
    report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    cine = dicom.read(tmp_path)
    assert cine.n_slices == 3 and cine.notes == ("Ignored 3 files without a DICOM image, the first is DICOMDIR.",)


def test_no_patient_id_gives_the_folder_name(tmp_path):
    assert dicom.read(save(tmp_path / "volunteer3", stack(PatientID=None))).subject == "volunteer3"


def test_single_slice(tmp_path):
    cine = dicom.read(save(tmp_path, stack(1, 5, SliceThickness="6")))
    assert cine.images.shape[:2] == (1, 5) and cine.slice_spacing_mm is None
    np.testing.assert_allclose(cine.affine[:3, 2], 6 * NORMAL * [-1, -1, 1], atol=1e-4)


@pytest.mark.parametrize("trigger", [None, "0"], ids=["missing", "all the same"])
def test_without_trigger_times_instance_numbers_help_out(tmp_path, trigger):
    cine = dicom.read(save(tmp_path, stack(TriggerTime=trigger)))
    np.testing.assert_array_equal(cine.images[1, :, 0, 0], [pixel_value(1, f) for f in range(4)])
    assert cine.frame_times_ms is None and "instance number" in cine.notes[0]


def test_missing_slice_is_noted(tmp_path):
    cine = dicom.read(save(tmp_path, [image(s, f) for s in (0, 1, 2, 4) for f in range(3)]))
    # Slices before the gap must be where they are, and a median of 8 mm with a mean step of 10.7 mm is a contradiction.
    np.testing.assert_allclose(np.linalg.norm(cine.affine[:3, 2]), 8, atol=1e-3)
    assert cine.slice_spacing_mm is None and "not evenly spaced: 8.00 to 16.00 mm" in cine.notes[0]


def test_one_series_for_each_slice_is_joined(tmp_path):
    datasets = [image(s, f, SeriesInstanceUID=generate_uid(entropy_srcs=[str(s)])) for s in range(3) for f in range(4)]
    cine = dicom.read(save(tmp_path, datasets))
    assert cine.images.shape[:2] == (3, 4) and "Joined 3 series" in cine.notes[0]


def test_several_series_are_named(tmp_path):
    save(tmp_path / "sax", stack())
    long_axis = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "SeriesDescription": "4ch", "SeriesInstanceUID": "1.2"}
    save(tmp_path / "lax", stack(1, 5, **long_axis))
    message = refusal(tmp_path)
    assert "found 2: " in message and "'4ch' (1 slice, 5 images in lax" in message and "'SAX cine' (3 slices" in message
    assert "probably series 'SAX cine'" in message


def test_a_scout_is_left_out_with_a_note(tmp_path):
    save(tmp_path / "sax", stack())
    save(tmp_path / "loc", [image(0, 0, SeriesInstanceUID=generate_uid(), SeriesDescription="scout")])
    cine = dicom.read(tmp_path)
    assert cine.n_slices == 3 and "'scout': a single image" in cine.notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop(), "found 4 in most and 3 in slice 3"),
        (lambda d: d.__setitem__(5, image(1, 1, matrix=(6, 6))), "1 image of 6x6"),
        (lambda d: d.__setitem__(5, image(1, 1, PixelSpacing=[2, 2])), "one positive pixel spacing, found 1.25 to 2"),
        (lambda d: d.append(image(1, 1)), "found 4 in most and 5 in slice 2"),
        (lambda d: d.extend(stack()), "slice 1 holds 2 images with the same trigger time"),
        (lambda d: d.__setitem__(5, image(1, 1, ImagePositionPatient=None)), "1 of 12 images have no valid ImagePosi"),
        (lambda d: d.__setitem__(5, image(1, 1, ImageOrientationPatient=None)), "no valid ImageOrientationPatient"),
        (lambda d: d.__setitem__(5, image(1, 1, PixelSpacing=None)), "no valid PixelSpacing"),
        (lambda d: d.__setitem__(5, image(1, 1, ImageOrientationPatient=[1, 0, 0, 0, 1, 0])), "not parallel"),
        (lambda d: d.__setitem__(5, image(1, 1, NumberOfFrames=2)), "for 2 x 6 x 5 (frame, y, x) pixels"),
        (lambda d: d.__setitem__(5, image(1, 1, SamplesPerPixel=3, PixelData=b"\0" * 180)), "colour image"),
        (lambda d: d.__setitem__(5, image(1, 1, PixelData=b"\0" * 8)), "expected at least 60 bytes"),
        (lambda d: d.__setitem__(5, image(1, 1, PixelData=None)), "found 0, the file is incomplete"),
    ],
)
def test_refusals_name_folder_finding_and_way_out(tmp_path, change, message):
    datasets = stack()
    change(datasets)
    assert message in refusal(save(tmp_path, datasets))


def test_still_images_are_no_cine(tmp_path):
    assert "at least 2 frames" in refusal(save(tmp_path, stack(3, 1)))


def test_neither_times_nor_numbers(tmp_path):
    assert "same instance number" in refusal(save(tmp_path, stack(TriggerTime=None, InstanceNumber=None)))


def test_compression_that_cannot_be_decoded_says_how_to_undo_it(tmp_path):
    datasets = stack(2, 2)
    for dataset in datasets:
        dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
        dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51" + b"\0" * 60])
        dataset["PixelData"].VR = "OB"
    message = refusal(save(tmp_path, datasets))
    assert "JPEG 2000" in message and "gdcmconv" in message


def test_invalid_values_of_real_archives_make_no_noise(tmp_path, caplog):
    # Leading zeros in a UID make pydicom warn and log.
    with pydicom.config.disable_value_validation():
        datasets = stack(2, 2, SeriesInstanceUID="2.16.124.113543.6006.99.08975550791105350405")
        save(tmp_path, datasets)
    caplog.clear()
    assert dicom.read(tmp_path).n_slices == 2 and caplog.records == []


def test_padding_behind_the_pixels_makes_no_noise(tmp_path):
    padded = image(1, 1).PixelData + b"\0" * 16  # pydicom warns, and warnings are errors here
    datasets = stack()
    datasets[5] = image(1, 1, PixelData=padded)
    assert dicom.read(save(tmp_path, datasets)).images[1, 1, 0, 0] == pixel_value(1, 1)


def write_outline(folder, kind, number, points):
    folder.mkdir(parents=True, exist_ok=True)
    text = "\r\n".join(f"{x:.2f} {y:.2f}" for x, y in points)
    (folder / f"IM-0001-{number:04d}-{kind}contour-manual.txt").write_text(text + "\r\n")


SQUARE = [(2, 3), (4, 3), (4, 6), (2, 6)]


def test_outlines_find_their_slice_and_frame_by_instance_number(tmp_path):
    save(tmp_path / "dicom", stack())
    write_outline(tmp_path / "c/i-contours", "i", 103, SQUARE)  # slice 1, frame 2
    write_outline(tmp_path / "c/o-contours", "o", 204, SQUARE)  # slice 2, frame 3
    (tmp_path / "c/notes.txt").write_text("papillary muscles included")
    outlines = dicom.read_outlines(tmp_path / "c", tmp_path / "dicom")
    assert set(outlines.endocardium) == {(1, 2)} and set(outlines.epicardium) == {(2, 3)}
    np.testing.assert_array_equal(outlines.endocardium[1, 2], np.subtract(SQUARE, 1))  # counted from 0


def test_outline_refusals(tmp_path):
    save(tmp_path / "dicom", stack())
    (tmp_path / "empty").mkdir()
    with pytest.raises(CsmriError, match="no outline found"):
        dicom.read_outlines(tmp_path / "empty", tmp_path / "dicom")
    write_outline(tmp_path / "other", "i", 999, SQUARE)
    with pytest.raises(CsmriError, match="instance number 999.*another patient"):
        dicom.read_outlines(tmp_path / "other", tmp_path / "dicom")
    for text in ("", "1 2 3\n4 5 6\n7 8 9\n", "1 2\n3\n4 5", "a b\nc d\ne f"):
        write_outline(tmp_path / "bad", "i", 103, SQUARE)
        (tmp_path / "bad/IM-0001-0103-icontour-manual.txt").write_text(text)
        with pytest.raises(CsmriError, match="IM-0001-0103-icontour-manual.txt: .*expected"):
            dicom.read_outlines(tmp_path / "bad", tmp_path / "dicom")


@pytest.fixture(scope="module")
def sunnybrook():
    root = Path(os.environ.get("CSMRI_DATA", "")) / "sunnybrook"
    if not os.environ.get("CSMRI_DATA") or not root.is_dir():
        pytest.skip("set CSMRI_DATA to a folder with the Sunnybrook patients to run this")
    return root


def test_real_sunnybrook_patient(sunnybrook):
    cine = dicom.read(sunnybrook / "SCD0000101")
    assert cine.images.shape == (12, 20, 256, 256) and cine.subject == "SCD0000101" and cine.notes == ()
    assert cine.spacing_mm == (1.367188, 1.367188)
    np.testing.assert_allclose(cine.slice_spacing_mm, 10, atol=1e-3)
    np.testing.assert_allclose(cine.frame_times_ms[[0, -1]], [18.987, 740.506], atol=0.01)
    # Instance 77 is the 17th image of its slice, and its header holds this position (LPS).
    header = pydicom.dcmread(sunnybrook / "SCD0000101/77.dcm")
    slice_index = 8
    np.testing.assert_array_equal(cine.images[slice_index, 16], header.pixel_array)
    np.testing.assert_allclose(cine.affine @ [0, 0, slice_index, 1], [-182.831, -15.6245, 134.769, 1], atol=0.01)


@pytest.mark.parametrize(
    ("patient", "contours", "n_endo", "n_epi"),
    [("SCD0000101", "SC-HF-I-1", 18, 9), ("SCD0000201", "SC-HF-I-2", 18, 9), ("SCD0000301", "SC-HF-I-4", 20, 10)],
)
def test_real_outlines_hold_blood_and_shrink_in_systole(sunnybrook, patient, contours, n_endo, n_epi):
    from skimage.draw import polygon2mask

    cine = dicom.read(sunnybrook / patient)
    outlines = dicom.read_outlines(sunnybrook / contours, sunnybrook / patient)
    assert (len(outlines.endocardium), len(outlines.epicardium)) == (n_endo, n_epi)
    areas = {}
    for key, points in outlines.endocardium.items():
        areas[key] = polygon2mask(cine.matrix, points[:, ::-1]).sum()
    for slice_index, frame in outlines.epicardium:  # drawn at end-diastole only
        inner = polygon2mask(cine.matrix, outlines.endocardium[slice_index, frame][:, ::-1])
        muscle = polygon2mask(cine.matrix, outlines.epicardium[slice_index, frame][:, ::-1]) & ~inner
        image = cine.magnitude[slice_index, frame]
        # Blood is brighter than muscle; with slices, frames or x and y mixed up it is not, everywhere.
        assert image[inner].mean() > 1.3 * image[muscle].mean()
        assert areas[slice_index, frame] == max(area for key, area in areas.items() if key[0] == slice_index)
