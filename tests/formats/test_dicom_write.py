"""DICOM that is written: place, time and values of the input, what it says of itself, and whether others read it."""

import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from csmri import __version__
from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.formats import dicom
from csmri.formats.dicom.anonymise import Anonymiser
from csmri.formats.dicom.derivation import Derivation
from csmri.formats.dicom.sources import read_stack
from csmri.formats.dicom.write import write

# Directions of x and y, unit and perpendicular, in LPS.
X_AXIS, Y_AXIS = np.array([2, 1, 2]) / 3, np.array([-2, 2, 1]) / 3
NORMAL = np.cross(X_AXIS, Y_AXIS)
ORIGIN = np.array([-100.0, 30.0, 55.0])
LPS = np.eye(4)
LPS[:3] = np.column_stack([1.25 * X_AXIS, 1.5 * Y_AXIS, 8 * NORMAL, ORIGIN])
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0]) @ LPS
TIMES = (20.5 + 41 * np.arange(4)).astype(np.float32)
UNROLLED = Derivation("unrolled", 4.0, "a folder")
ANONYMOUS = Anonymiser("subject-1234", salt="0123456789abcdef")


def make_cine(scale=900.0, **changes):
    images = np.random.default_rng(0).uniform(0, scale, (3, 4, 6, 5)).astype(np.float32)
    images[0, 0, 0, 0] = scale
    known = {"spacing_mm": (1.5, 1.25), "slice_spacing_mm": 8.0, "frame_times_ms": TIMES, "affine": AFFINE}
    return Cine(images, "P7", **(known | changes))


def change(folder, edit):
    """Edit all images of a folder as if a scanner had written them so."""
    for path in sorted(folder.iterdir()):
        dataset = pydicom.dcmread(path)
        edit(dataset)
        dataset.save_as(path)


def as_scanned(dataset):
    number = int(dataset.InstanceNumber)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    del dataset.DerivationDescription, dataset.DerivationCodeSequence, dataset.ContributingEquipmentSequence
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName, dataset.PatientSex, dataset.PatientAge = "Müller^Zoë", "F", "063Y"
    dataset.PatientBirthDate, dataset.StudyDate, dataset.StudyTime = "19500203", "20200102", "101112"
    dataset.StudyID, dataset.SeriesNumber, dataset.SeriesDescription = "7", 300, "SAX cine"
    dataset.Manufacturer, dataset.DeviceSerialNumber, dataset.EchoTime = "Maker", "S123", "1.50"
    dataset.PixelSpacing = ["1.500", "1.250"]
    dataset.SliceThickness, dataset.SliceLocation = "8.00", f"{number}.0"
    dataset.InstanceNumber = (7 * number) % 13  # 1 to 12, in no order
    dataset.TriggerTime = f"{float(dataset.TriggerTime) + number / 100:.3f}"
    dataset.WindowCenter, dataset.WindowWidth = "400.0", "800.0"
    dataset.private_block(0x0029, "MAKER", create=True).add_new(1, "LO", "secret of the maker")


def make_input(folder, edit=lambda dataset: None):
    """A DICOM folder from a scanner with 12-bit values and no slope."""
    images = make_cine(3000).images.round()
    write(folder, Cine(images, "P7", None, None, TIMES, AFFINE))

    def both(dataset):
        as_scanned(dataset)
        if "RescaleSlope" in dataset:
            stored = dataset.pixel_array * float(dataset.RescaleSlope)
            dataset.PixelData = stored.round().astype("<u2").tobytes()
            del dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType
        edit(dataset)

    change(folder, both)
    return dicom.read(folder), read_stack(folder)


def headers(folder):
    return [[pydicom.dcmread(header.path) for header in frames] for frames in read_stack(folder).headers]


def told(dataset, keyword):
    """An element as it stands in the file."""
    value = dataset.get(keyword)
    parts = value if isinstance(value, pydicom.multival.MultiValue) else [value]
    return [str(getattr(part, "original_string", part)) for part in parts]


def test_person_place_time_and_order_are_those_of_the_input(tmp_path):
    cine, like = make_input(tmp_path / "in")
    paths = write(tmp_path / "out", cine, like=like, derivation=UNROLLED)
    assert sorted(paths) == sorted((tmp_path / "out").iterdir()) and len(paths) == 12
    assert {path.name for path in paths} == {f"IM-0001-{number:04d}.dcm" for number in range(1, 13)}
    kept = (
        "PatientName PatientID PatientSex PatientAge PatientBirthDate StudyInstanceUID StudyDate StudyTime StudyID "
        "FrameOfReferenceUID Manufacturer DeviceSerialNumber EchoTime PixelSpacing SliceThickness SliceLocation "
        "SpacingBetweenSlices ImagePositionPatient ImageOrientationPatient InstanceNumber TriggerTime NominalInterval "
        "HeartRate CardiacNumberOfImages WindowCenter WindowWidth"
    ).split()
    for before, after in zip(sum(headers(tmp_path / "in"), []), sum(headers(tmp_path / "out"), []), strict=True):
        assert {name: told(after, name) for name in kept} == {name: told(before, name) for name in kept}
        assert after.PatientName == "Müller^Zoë"
        source = after.SourceImageSequence[0]
        assert source.ReferencedSOPInstanceUID == before.SOPInstanceUID != after.SOPInstanceUID
        assert (
            after.SeriesInstanceUID != before.SeriesInstanceUID and after.file_meta.TransferSyntaxUID.is_little_endian
        )
        assert not any(element.tag.is_private for element in after.iterall())
        np.testing.assert_array_equal(after.pixel_array, before.pixel_array)
        assert "RescaleSlope" not in after
    again = dicom.read(tmp_path / "out")
    np.testing.assert_array_equal(again.images, cine.images)
    np.testing.assert_array_equal(again.affine, cine.affine)
    np.testing.assert_array_equal(again.frame_times_ms, cine.frame_times_ms)


def test_says_what_it_is(tmp_path):
    cine, like = make_input(tmp_path / "in")
    image = pydicom.dcmread(write(tmp_path / "out", cine, like=like, derivation=UNROLLED)[5])
    assert list(image.ImageType[:2]) == ["DERIVED", "SECONDARY"] and image.Modality == "MR"
    assert image.SeriesNumber == 30004 and image.SeriesDescription == "csmri unrolled R = 4.00, SAX cine"
    assert image.DerivationDescription == (
        f"csmri {__version__}: unrolled, acceleration R = 4.00, of a folder. Not for diagnosis."
    )
    assert image.ContentQualification == "RESEARCH"
    assert image.ContributingEquipmentSequence[0].Manufacturer == "csmri"
    assert (image.TemporalPositionIdentifier, image.NumberOfTemporalPositions) == (2, 4)
    assert image.PreferredPlaybackSequencing == 0 and image.RecommendedDisplayFrameRate == 24
    assert float(image.FrameTime) == pytest.approx(41, abs=0.1)


@pytest.mark.parametrize("method", ["n" * 2000, "ünrolled\\läng\n" * 200])
def test_long_or_strange_names_stay_within_dicom(tmp_path, method):
    path = write(tmp_path / "out", make_cine(), derivation=Derivation(method, 4.0, "of\\what" * 300))[0]
    image = pydicom.dcmread(path)
    assert len(image.SeriesDescription) <= 64 and len(image.DerivationDescription) <= 1024
    assert image.DerivationDescription.endswith(" Not for diagnosis.") and "\\" not in image.DerivationDescription


@pytest.mark.parametrize("scale", [1.0, 900.0, 1e-5, 3e7])
def test_values_come_back_within_half_a_step(tmp_path, scale):
    cine = make_cine(scale)
    paths = write(tmp_path / "out", cine)
    step = float(pydicom.dcmread(paths[0]).RescaleSlope)
    assert step == pytest.approx(scale / 65535, rel=1e-6)
    assert np.abs(dicom.read(tmp_path / "out").images - cine.images).max() <= 0.51 * step


@pytest.mark.parametrize(
    ("slope", "intercept", "factor", "is_kept"),
    [
        ("0.25", "0", 1, True),
        ("0.50", "-7", 1, True),
        ("1", "0", 40, False),
        ("1", "0", 1e-4, False),
        ("1", "3", 1, False),
    ],
)
def test_the_slope_of_the_input_is_kept_where_it_holds_the_values(tmp_path, slope, intercept, factor, is_kept):
    def edit(dataset):
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
        dataset.PixelData = (dataset.pixel_array + np.uint16(20)).tobytes()  # no negative magnitudes

    _, like = make_input(tmp_path / "in", edit)
    cine = make_cine(3000 * factor)
    image = pydicom.dcmread(write(tmp_path / "out", cine, like=like)[0])
    step = float(image.get("RescaleSlope", 1))
    assert (step == float(slope) and float(image.get("RescaleIntercept", 0)) == float(intercept)) == is_kept
    assert np.abs(dicom.read(tmp_path / "out").images - cine.images).max() <= 0.51 * step
    # A window in units of the input is of no use for values of another scale.
    white = np.percentile(cine.magnitude, 99.5)
    assert float(image.WindowWidth) == pytest.approx(800 if is_kept else white, rel=1e-5)
    assert float(image.WindowCenter) == pytest.approx(400 if is_kept else white / 2, rel=1e-5)
    assert image.get("VOILUTFunction", "LINEAR") == ("LINEAR" if white >= 1 else "LINEAR_EXACT")


def test_slopes_that_differ_between_images_become_one(tmp_path):
    def edit(dataset):
        dataset.RescaleSlope, dataset.RescaleIntercept = f"{1 + dataset.InstanceNumber / 100:.2f}", "0"

    cine, like = make_input(tmp_path / "in", edit)
    paths = write(tmp_path / "out", cine, like=like)
    steps = {str(pydicom.dcmread(path).RescaleSlope) for path in paths}
    assert len(steps) == 1 and float(min(steps)) == pytest.approx(cine.images.max() / 65535, rel=1e-6)
    assert np.abs(dicom.read(tmp_path / "out").images - cine.images).max() <= 0.51 * float(steps.pop())


def test_faults_of_the_input_are_not_passed_on(tmp_path):
    def edit(dataset):
        dataset.PatientBirthDate, dataset.ContentDate, dataset.PatientSex = "00000000", "20230229", "female "
        dataset.ScanOptions = None

    with dicom.header.quiet_pydicom():
        cine, like = make_input(tmp_path / "in", edit)
    image = pydicom.dcmread(write(tmp_path / "out", cine, like=like)[0])
    assert (image.PatientBirthDate, image.ContentDate, image.PatientSex) == ("", "", "")
    assert image.ScanOptions == "CG"  # TriggerTime is told of gated images only


def uids(paths):
    images = [pydicom.dcmread(path) for path in paths]
    assert len({image.SOPInstanceUID for image in images}) == len(images)
    assert len({image.SeriesInstanceUID for image in images}) == 1
    return images[0].SeriesInstanceUID, *(image.SOPInstanceUID for image in images)


def test_same_input_and_options_give_the_same_uids(tmp_path):
    cine, like = make_input(tmp_path / "in")
    first = uids(write(tmp_path / "1", cine, like=like, derivation=UNROLLED))
    assert uids(write(tmp_path / "2", cine, like=like, derivation=UNROLLED)) == first
    images = cine.images.copy()
    images[1, 1, 1, 1] += 1
    others = [
        write(tmp_path / "3", cine, like=like, derivation=Derivation("unrolled", 8.0, "a folder")),
        write(tmp_path / "4", Cine(images, "P7", frame_times_ms=TIMES, affine=AFFINE), like=like, derivation=UNROLLED),
        write(tmp_path / "5", cine, like=like, derivation=UNROLLED, enhanced=True),
        write(tmp_path / "6", cine, like=like, derivation=UNROLLED, anonymiser=ANONYMOUS),
    ]
    found = [set(first), *(set(uids(paths)) for paths in others)]
    assert len(set.union(*found)) == sum(map(len, found))


def test_methods_of_one_cine_lie_in_one_study(tmp_path):
    one = pydicom.dcmread(write(tmp_path / "1", make_cine(), derivation=Derivation("ktfocuss", 4.0))[0])
    other = pydicom.dcmread(write(tmp_path / "2", make_cine(7.0), derivation=Derivation("unrolled", 8.0))[0])
    assert one.StudyInstanceUID == other.StudyInstanceUID and one.SeriesInstanceUID != other.SeriesInstanceUID
    assert one.PatientID == "P7" and one.PatientName == ""


def test_geometry_of_the_affine(tmp_path):
    write(tmp_path / "out", make_cine())
    again = dicom.read(tmp_path / "out")
    np.testing.assert_allclose(again.affine, AFFINE, atol=1e-5)
    np.testing.assert_allclose(again.frame_times_ms, TIMES)
    assert again.spacing_mm == (1.5, 1.25) and again.slice_spacing_mm == pytest.approx(8)
    image = headers(tmp_path / "out")[2][1]
    np.testing.assert_allclose(image.ImagePositionPatient, ORIGIN + 2 * 8 * NORMAL, atol=1e-5)
    np.testing.assert_allclose(image.ImageOrientationPatient, [*X_AXIS, *Y_AXIS], atol=1e-9)
    assert (image.NominalInterval, image.HeartRate) == (164, 366)


def test_complex_images_without_affine_or_times(tmp_path):
    images = make_cine().images * np.exp(1j * np.arange(5)).astype(np.complex64)
    cine = Cine(images, "P7", spacing_mm=(1.5, 1.25), slice_spacing_mm=8.0)
    paths = write(tmp_path / "out", cine)
    again = dicom.read(tmp_path / "out")
    np.testing.assert_allclose(again.images, np.abs(images), atol=0.01)
    np.testing.assert_allclose(again.affine, np.diag([-1.25, -1.5, 8, 1]))
    assert again.frame_times_ms is None
    assert "TriggerTime" not in pydicom.dcmread(paths[0])


ENHANCED = [pytest.param(False, id="classic"), pytest.param(True, id="enhanced")]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy of dicom3tools is not installed")
@pytest.mark.parametrize("enhanced", ENHANCED)
@pytest.mark.parametrize("anonymiser", [None, ANONYMOUS], ids=["named", "anonymous"])
@pytest.mark.parametrize("source", ["dicom", "dicom without much", "affine", "no times"])
def test_conforms(tmp_path, enhanced, anonymiser, source):
    if source.startswith("dicom"):

        def edit(dataset):
            if "without" in source:
                del dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID
                del dataset.ScanningSequence, dataset.SequenceVariant, dataset.Manufacturer, dataset.PatientName
                del dataset.SpecificCharacterSet
                dataset.PatientComments, dataset.BodyPartExamined = "für Zoë", "WHOLE BODY"

        cine, like = make_input(tmp_path / "in", edit)
    else:
        cine, like = make_cine(**({"frame_times_ms": None} if source == "no times" else {})), None
    options = {"like": like, "derivation": UNROLLED, "enhanced": enhanced, "anonymiser": anonymiser}
    paths = write(tmp_path / "out", cine, **options)
    for path in paths[:2]:
        done = subprocess.run(["dciodvfy", path], capture_output=True, check=False)
        lines = (done.stdout + done.stderr).decode("latin-1").splitlines()
        assert ("EnhancedMRImage" if enhanced else "MRImage") in lines
        assert [line for line in lines if line.startswith("Error")] == []
        if shutil.which("dcmdump"):
            dump = subprocess.run(["dcmdump", "+L", path], capture_output=True, check=True)
            assert b"Not for diagnosis." in dump.stdout and not dump.stderr


@pytest.mark.parametrize("with_input", [True, False])
def test_enhanced_holds_all_frames_in_one_file(tmp_path, with_input):
    cine, like = make_input(tmp_path / "in") if with_input else (make_cine(), None)
    (path,) = write(tmp_path / "out", cine, like=like, derivation=UNROLLED, enhanced=True)
    image = pydicom.dcmread(path)
    assert (image.NumberOfFrames, image.Rows, image.Columns) == (12, 6, 5)
    shared = image.SharedFunctionalGroupsSequence[0]
    scale = shared.PixelValueTransformationSequence[0]
    values = image.pixel_array * float(scale.RescaleSlope) + float(scale.RescaleIntercept)
    np.testing.assert_allclose(values.reshape(cine.images.shape), cine.images, atol=0.51 * float(scale.RescaleSlope))
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == [1.5, 1.25]
    for number, groups in enumerate(image.PerFrameFunctionalGroupsSequence):
        slice_index, frame = divmod(number, 4)
        content = groups.FrameContentSequence[0]
        assert list(content.DimensionIndexValues) == [1, slice_index + 1, frame + 1]
        assert (content.InStackPositionNumber, content.TemporalPositionIndex) == (slice_index + 1, frame + 1)
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(position, ORIGIN + 8 * slice_index * NORMAL, atol=1e-5)
        delay = groups.CardiacSynchronizationSequence[0].NominalCardiacTriggerDelayTime
        assert delay == pytest.approx(TIMES[frame], abs=0.2)
        if like is not None:
            before = pydicom.dcmread(like.headers[slice_index][frame].path)
            derived = groups.DerivationImageSequence[0]
            assert derived.SourceImageSequence[0].ReferencedSOPInstanceUID == before.SOPInstanceUID
            assert derived.DerivationDescription.endswith("Not for diagnosis.")
            assert delay == float(before.TriggerTime)
    assert image.DerivationDescription.endswith("Not for diagnosis.")


def test_classic_of_a_multi_frame_input(tmp_path):
    cine, like = make_input(tmp_path / "in")
    (path,) = write(tmp_path / "multi", cine, like=like, enhanced=True)
    frames = [
        [
            SimpleNamespace(**vars(header) | {"path": path, "frame": 4 * index + frame, "instance": 1})
            for frame, header in enumerate(headers)
        ]
        for index, headers in enumerate(like.headers)
    ]
    write(tmp_path / "out", cine, like=SimpleNamespace(headers=frames))
    again = dicom.read(tmp_path / "out")
    np.testing.assert_allclose(again.images, cine.images, atol=0.51)
    np.testing.assert_allclose(again.affine, cine.affine, atol=1e-6)
    np.testing.assert_allclose(again.frame_times_ms, cine.frame_times_ms)
    for before, after in zip(sum(headers(tmp_path / "in"), []), sum(headers(tmp_path / "out"), []), strict=True):
        for name in ("ImagePositionPatient", "PixelSpacing", "TriggerTime", "SliceThickness", "PatientName"):
            assert after[name].value == before[name].value, name
        source = after.SourceImageSequence[0]
        assert source.ReferencedSOPInstanceUID == pydicom.dcmread(path).SOPInstanceUID
        assert source.ReferencedFrameNumber == after.InstanceNumber  # the file's own number is no image's


@pytest.mark.parametrize("enhanced", ENHANCED)
def test_simpleitk_reads_the_volume_where_it_was(tmp_path, enhanced):
    sitk = pytest.importorskip("SimpleITK")
    cine = make_cine()
    paths = write(tmp_path / "out", cine, enhanced=enhanced)
    if enhanced:
        assert sitk.ReadImage(str(paths[0])).GetSize() == (5, 6, 12)
        return
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in paths[1::4]])
    volume = reader.Execute()
    np.testing.assert_allclose(volume.GetSpacing(), [1.25, 1.5, 8], atol=1e-5)
    np.testing.assert_allclose(volume.GetOrigin(), ORIGIN, atol=1e-5)
    direction = np.reshape(volume.GetDirection(), (3, 3))
    np.testing.assert_allclose(direction, np.column_stack([X_AXIS, Y_AXIS, NORMAL]), atol=1e-5)
    np.testing.assert_allclose(sitk.GetArrayFromImage(volume), cine.images[:, 1], atol=0.01)


def refusal(folder, cine, **options):
    with pytest.raises(CsmriError) as caught:
        write(folder, cine, **options)
    message = str(caught.value)
    assert "\n" not in message and ";" in message
    return message


def test_refusals(tmp_path):
    _, like = make_input(tmp_path / "in")
    assert "holds files" in refusal(tmp_path / "in", make_cine())
    out = tmp_path / "out"
    smaller = Cine(make_cine().images[:, :3], "P7", affine=AFFINE)
    assert "(3, 3, 6, 5)" in refusal(out, smaller, like=like) and not out.exists()
    assert "spacing" in refusal(out, make_cine(affine=None, spacing_mm=None))
    assert "spacing" in refusal(out, make_cine(affine=None, slice_spacing_mm=None))
    assert "sheared" in refusal(out, make_cine(affine=AFFINE @ (np.eye(4) + np.diag([0.2, 0, 0], 1))))
    assert not out.exists()
    like.headers[1][1].path.unlink()
    assert "could not be read" in refusal(out, make_cine(), like=like)


def test_folder_is_whole_or_not_there(tmp_path, monkeypatch):
    original, count = Dataset.save_as, []

    def fail(self, *args, **options):
        count.append(1)
        if len(count) == 5:
            raise OSError(28, "No space left on device")
        return original(self, *args, **options)

    monkeypatch.setattr(Dataset, "save_as", fail)
    with pytest.raises(CsmriError, match="No space left"):
        write(tmp_path / "out", make_cine())
    assert list(tmp_path.iterdir()) == []


def test_real_sunnybrook_patient(tmp_path):
    root = Path(os.environ.get("CSMRI_DATA", "")) / "sunnybrook"
    if not os.environ.get("CSMRI_DATA") or not root.is_dir():
        pytest.skip("set CSMRI_DATA to a folder with the Sunnybrook patients to run this")
    (tmp_path / "in").mkdir()
    for header in sum(read_stack(root / "SCD0000101").headers[4:7], ()):
        shutil.copy(header.path, tmp_path / "in")
    cine, like = dicom.read(tmp_path / "in"), read_stack(tmp_path / "in")
    write(tmp_path / "out", cine, like=like, derivation=UNROLLED)
    again, stack = dicom.read(tmp_path / "out"), read_stack(tmp_path / "out")
    assert np.abs(again.images - cine.images).max() <= 0.5
    np.testing.assert_array_equal(again.affine, cine.affine)
    np.testing.assert_array_equal(again.frame_times_ms, cine.frame_times_ms)
    assert (again.subject, again.spacing_mm, again.slice_spacing_mm) == (
        cine.subject,
        cine.spacing_mm,
        cine.slice_spacing_mm,
    )
    for before, after in zip(sum(like.headers, ()), sum(stack.headers, ()), strict=True):
        assert (after.instance, after.trigger_ms) == (before.instance, before.trigger_ms)
        assert (after.position_mm, after.orientation) == (before.position_mm, before.orientation)
