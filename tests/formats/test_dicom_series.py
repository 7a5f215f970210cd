"""Which DICOM files make one cine: series joined and kept apart, repeats, copies, what is left out, what is damaged."""

import shutil

import nibabel
import numpy as np
import pytest
from pydicom.uid import (
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from csmri.core.errors import CsmriError
from csmri.formats import dicom, nifti


def expected(n_slices, n_frames):
    return [[100 * (s + 1) + f for f in range(n_frames)] for s in range(n_slices)]


def test_a_study_with_several_cines_and_other_things(make, tmp_path):
    make.save(tmp_path / "sax", make.stack())
    make.save(tmp_path / "sax", make.stack(2, 6, series=6, SeriesDescription="SAX cine late"), "B{}")
    long_axis = make.stack(1, 5, series=7, ImageOrientationPatient=[0, 1, 0, 0, 0, -1], SeriesDescription="4ch")
    make.save(tmp_path / "lax", long_axis)
    scout = [make.classic(s, 0, series=1, SeriesDescription="scout") for s in range(3)]
    make.save(tmp_path / "scout", scout)
    picture = make.classic(
        0, 0, 99, SOPClassUID=SecondaryCaptureImageStorage, ImagePositionPatient=None, ImageOrientationPatient=None
    )
    report = make.classic(0, 1, 98, SOPClassUID=EncapsulatedPDFStorage, Rows=None, Columns=None, PixelData=None)
    make.save(tmp_path, [picture, report])
    (tmp_path / "README.txt").write_text("notes of the technician")
    sources, left_out = make.find(tmp_path)
    found = {source.label: (source.path, source.n_slices, source.n_frames, len(source.files)) for source in sources}
    assert found == {
        "series 5 'SAX cine'": (tmp_path / "sax", 3, 4, 12),
        "series 6 'SAX cine late'": (tmp_path / "sax", 2, 6, 12),
        "": (tmp_path / "lax", 1, 5, 5),
    }
    assert all(source.identity == "P7" and source.study and source.kind == "DICOM" for source in sources)
    assert [make.codes(source.load()) for source in sources] == [expected(1, 5), expected(3, 4), expected(2, 6)]
    assert not any(left.is_fault for left in left_out)
    reasons = {left.path.name: left.reason for left in left_out}
    assert "3 single images" in reasons["scout"] and "picture of a screen" in reasons["IM0000"]
    assert reasons["IM0001"] == "a DICOM object without images" and len(reasons) == 3
    with pytest.raises(CsmriError, match="found 3: .*series 5 'SAX cine' .3 slices, 12 images in sax.*; give the"):
        dicom.read(tmp_path)


def test_one_series_of_each_slice_is_joined_whatever_folder_it_lies_in(make, tmp_path):
    for s in range(3):
        make.save(tmp_path / f"cine - {60 + s}", [make.classic(s, f, series=60 + s) for f in range(4)])
    [source], _ = make.find(tmp_path)
    assert (source.path, source.n_slices, source.n_frames, source.label) == (tmp_path, 3, 4, "")
    cine = source.load()
    assert make.codes(cine) == expected(3, 4) and cine.notes == ("Joined 3 series of one slice each to one stack.",)


def test_one_series_of_each_frame_is_joined(make, tmp_path):
    for f in range(4):
        make.save(tmp_path / f"phase{f}", [make.classic(s, f, series=60 + f) for s in range(3)])
    [source], _ = make.find(tmp_path)
    cine = source.load()
    assert make.codes(cine) == expected(3, 4) and "Joined 4 series of one image of each slice" in cine.notes[0]


def test_one_series_of_each_image_is_joined(make, tmp_path):
    images = [make.classic(s, f, series=10 * s + f + 10) for s in range(3) for f in range(4)]
    [source], _ = make.find(make.save(tmp_path, images))
    assert make.codes(source.load()) == expected(3, 4)


def test_a_scout_taken_twice_is_no_cine(make, tmp_path):
    for number in (1, 2):
        scout = [make.classic(s, 0, series=number, TriggerTime=None, SeriesDescription="scout") for s in range(3)]
        make.save(tmp_path / str(number), scout)
    sources, left_out = make.find(tmp_path)
    assert sources == [] and [left.path.name for left in left_out] == ["1", "2"]


@pytest.mark.parametrize(
    "other",
    [
        {"StudyInstanceUID": "1.2.3"},
        {"PatientID": "P8"},
        {"PixelSpacing": [2, 2]},
        {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]},
        {"EchoTime": "9", "SequenceName": "tag"},
        {"ImageType": ["DERIVED", "PRIMARY", "M", "NORM"]},
    ],
    ids=lambda other: next(iter(other)),
)
def test_never_joined_across(make, tmp_path, other):
    images = [make.classic(s, f, series=60 + s, **(other if s == 2 else {})) for s in range(3) for f in range(4)]
    sources, _ = make.find(make.save(tmp_path, images))
    assert sorted((source.n_slices, source.n_frames) for source in sources) == [(1, 4), (2, 4)]


def test_another_number_of_frames_is_told(make, tmp_path):
    images = [make.classic(s, f, series=60 + s) for s in range(4) for f in range(3 if s == 1 else 4)]
    sources, _ = make.find(make.save(tmp_path, images))
    stack, single = sorted(sources, key=lambda source: -source.n_slices)
    assert (stack.n_slices, single.n_slices, single.n_frames) == (3, 1, 3)
    notes = " ".join(stack.load().notes)
    assert "series 61 'SAX cine' (3 frames)" in notes and "16.00 mm between slices 1 and 2" in notes


def test_of_a_repeated_breath_hold_the_later_is_taken(make, tmp_path):
    images = [make.classic(s, f, series=10 + s) for s in range(3) for f in range(4)]
    again = [make.classic(1, f, series=20, ImagePositionPatient=[-10, -20, 8.02]) for f in range(4)]
    for image in again:
        image.PixelData = np.full(make.matrix, 7, np.uint16).tobytes()
    [source], left_out = make.find(make.save(tmp_path, again + images))
    cine = source.load()
    assert make.codes(cine)[1] == [7] * 4 and (cine.n_slices, len(source.files)) == (3, 12)
    assert "series 20 'SAX cine' and not series 11 'SAX cine'" in cine.notes[1]
    assert any("series 11 'SAX cine': the same slice was measured again" in left.reason for left in left_out)
    assert not any("Ignored" in note for note in dicom.read(tmp_path).notes)
    for image in again + images:
        image.SeriesNumber = 10
    [source], _ = make.find(make.save(tmp_path, again + images))
    with pytest.raises(CsmriError, match="two series at the same place.*remove one"):
        source.load()


def test_a_breath_hold_that_was_broken_off_is_left_out(make, tmp_path):
    images = [make.classic(s, f, series=10 + s) for s in range(3) for f in range(4)]
    images += [make.classic(1, f, series=9) for f in range(3)]
    [source], [left] = make.find(make.save(tmp_path, images))
    assert make.codes(source.load()) == expected(3, 4) and "series 9 'SAX cine': the same slice" in left.reason


def test_a_copy_is_taken_once(make, tmp_path):
    folder = make.save(tmp_path / "a", make.stack())
    shutil.copy(folder / "IM0003", folder / "IM0003 (1)")
    shutil.copytree(folder, tmp_path / "b")
    [source], left_out = make.find(tmp_path)
    cine = source.load()
    assert make.codes(cine) == expected(3, 4) and left_out == []
    assert cine.notes[0].startswith("Taken once: 14 images") and len(cine.notes) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [({"TriggerTime": "33"}, "differ .trigger_ms"), ({"PixelData": b"\1" * 60}, "other pixels; remove the one")],
)
def test_one_uid_of_two_images_is_refused(make, tmp_path, change, message):
    folder = make.save(tmp_path, make.stack())
    other = make.classic(1, 1, **change)
    other.SOPInstanceUID = make.classic(1, 1).SOPInstanceUID
    make.save(folder, [other], "other{}")
    [source], _ = make.find(folder)
    with pytest.raises(CsmriError, match=f"IM0005.*other0.*same SOPInstanceUID.*{message}|other0 has the.*{message}"):
        source.load()


def test_emptied_uids_leave_it_to_the_folders(make, tmp_path):
    for person in ("p1", "p2"):
        images = make.stack(StudyInstanceUID=None, SeriesInstanceUID=None, PatientID="", SOPInstanceUID=None)
        make.save(tmp_path / person / "DICOM", images)
    sources, _ = make.find(tmp_path)
    assert [source.path.parent.name for source in sources] == ["p1", "p2"]
    assert [source.load().images.shape[:2] for source in sources] == [(3, 4)] * 2


@pytest.mark.parametrize(
    "phase", [{"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, {"ComplexImageComponent": "PHASE"}]
)
def test_magnitude_is_taken_of_magnitude_and_phase(make, tmp_path, phase):
    magnitude = make.stack(ImageType=["ORIGINAL", "PRIMARY", "M", "ND"])
    phases = [
        make.classic(s, f, RescaleSlope="2", RescaleIntercept="-4096", **phase) for s in range(3) for f in range(4)
    ]
    [source], _ = make.find(make.save(tmp_path, phases + magnitude))
    cine = source.load()
    assert make.codes(cine) == expected(3, 4) and "left out 12 of phase parts" in cine.notes[0]
    assert dicom.read(tmp_path).notes == cine.notes
    only, left_out = make.find(make.save(tmp_path / "only", phases))
    assert only == [] and "phase parts only; expected magnitude" in left_out[0].reason


def test_real_and_imaginary_parts_are_refused_with_advice(make, tmp_path):
    parts = [image for part in ("REAL", "IMAGINARY") for image in make.stack(ComplexImageComponent=part)]
    with pytest.raises(CsmriError, match="24 images of real and imaginary parts only; expected magnitude images, exp"):
        dicom.read(make.save(tmp_path, parts))


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


@pytest.mark.parametrize("share", [0.95, 0.4, 0.2], ids=["pixels", "header", "start"])
@pytest.mark.parametrize("n_slices", [1, 3])
def test_a_damaged_file_that_is_missing_is_named(make, tmp_path, share, n_slices):
    folder = make.save(tmp_path, make.stack(n_slices))
    cut(folder / "IM0003", share)  # the last frame of the first slice, which no gap in the numbers would tell
    [source], left_out = make.find(folder)
    assert left_out == [] and folder / "IM0003" in source.files
    with pytest.raises(CsmriError, match="damaged.*IM0003.*copy"):
        source.load()


def test_a_damaged_file_that_nothing_misses_is_a_fault(make, tmp_path):
    folder = make.save(tmp_path, make.stack())
    shutil.copy(folder / "IM0003", folder / "copy of IM0003.dcm")
    cut(folder / "copy of IM0003.dcm", 0.5)
    (folder / "empty.dcm").touch()
    [source], left_out = make.find(folder)
    assert source.load().n_slices == 3
    assert {left.path.name for left in left_out if left.is_fault} == {"copy of IM0003.dcm", "empty.dcm"}
    assert any("empty.dcm" in note for note in dicom.read(folder).notes)


def test_a_lost_slice_is_not_overlooked(make, tmp_path):
    folder = make.save(tmp_path, make.stack())
    for number in range(4):
        cut(folder / f"IM{number:04d}", 0.3)  # all of the first slice: the others are complete
    [source], _ = make.find(folder)
    with pytest.raises(CsmriError, match="4 damaged files"):
        source.load()


def test_a_damaged_slice_series_does_not_leave_its_stack(make, tmp_path):
    folder = make.save(tmp_path, [make.classic(s, f, series=60 + s) for s in range(3) for f in range(4)])
    cut(folder / "IM0011", 0.95)  # of the last slice, without which two slices look complete
    [source], _ = make.find(folder)
    with pytest.raises(CsmriError, match="IM0011"):
        source.load()


def test_a_gap_between_slices_keeps_the_others_in_their_places(make, tmp_path):
    cine = dicom.read(make.save(tmp_path, [make.classic(s, f) for s in (0, 1, 2, 4) for f in range(4)]))
    assert "16.00 mm between slices 3 and 4" in cine.notes[0] and cine.slice_spacing_mm is None
    np.testing.assert_allclose(cine.affine @ [0, 0, 2, 1], [10, 20, 16, 1])
    nifti.write(tmp_path / "a.nii", cine)
    header = nibabel.load(tmp_path / "a.nii").header
    np.testing.assert_allclose(np.linalg.norm(header.get_sform()[:3, 2]), header["pixdim"][3])


def test_two_slices_left_of_three_with_one_missing(make, tmp_path):
    cine = dicom.read(make.save(tmp_path, [make.classic(s, f) for s in (0, 1, 3) for f in range(4)]))
    np.testing.assert_allclose(cine.affine[2, 2], 8)


def test_a_slice_beside_the_line_is_noted(make, tmp_path):
    images = make.stack(4)
    for image in images[4:8]:
        image.ImagePositionPatient = [-2, -20, 8]
    cine = dicom.read(make.save(tmp_path, images))
    assert "Slice 2 lies 8.0 mm beside the line" in cine.notes[0]


def test_files_without_preamble_and_other_files(make, tmp_path):
    for number, image in enumerate(make.stack()):
        image.file_meta.TransferSyntaxUID = [ImplicitVRLittleEndian, ExplicitVRLittleEndian][number % 2]
        image.save_as(tmp_path / f"{number}", enforce_file_format=True)
        content = (tmp_path / f"{number}").read_bytes()
        (tmp_path / f"{number}").write_bytes(content[content.index(b"\x08\x00\x16\x00") :])
    (tmp_path / "a.bin").write_bytes(b"\x08\x00\x05\x00CS" + bytes(range(200)))
    [source], left_out = make.find(tmp_path)
    assert make.codes(source.load()) == expected(3, 4) and left_out == []


@pytest.mark.parametrize("bits", [12, 16])
def test_low_values_that_are_white_are_inverted(make, tmp_path, bits):
    images = make.stack(PhotometricInterpretation="MONOCHROME1", BitsStored=bits, HighBit=bits - 1)
    top = 4095 if bits == 12 else 900
    for image in images:
        stored = np.frombuffer(image.PixelData, np.uint16).reshape(make.matrix)
        image.PixelData = (top - stored).astype(np.uint16).tobytes()
        image.RescaleSlope, image.RescaleIntercept = "2", "10"
    cine = dicom.read(make.save(tmp_path, images))
    background = 0 if bits == 12 else 100  # nobody knows what 0 was where values stop short of the scale
    np.testing.assert_allclose(cine.images[:, :, 0, 0], 2 * (np.array(expected(3, 4)) - background))
    assert "MONOCHROME1" in cine.notes[0]


def test_padding_becomes_zero(make, tmp_path):
    images = make.stack(PixelPaddingValue=65000)
    for image in images:
        stored = np.frombuffer(image.PixelData, np.uint16).reshape(make.matrix).copy()
        stored[0] = 65000
        image.PixelData = stored.tobytes()
    cine = dicom.read(make.save(tmp_path, images))
    assert (cine.images[..., 0, :] == 0).all() and cine.images[2, 3, 5, 4] == 303 and "PixelPadding" in cine.notes[0]


def test_small_negative_values_are_clipped(make, tmp_path):
    cine = dicom.read(make.save(tmp_path, make.stack(RescaleIntercept="-104")))
    assert cine.images.min() == 0 and "Set to 0" in cine.notes[0]


def wandering(make, depth, n_slices=3, n_frames=4, **changes):
    """Images at `depth(slice, frame)` in mm."""
    return [
        make.classic(s, f, ImagePositionPatient=[-10, -20, depth(s, f)], **changes)
        for s in range(n_slices)
        for f in range(n_frames)
    ]


@pytest.mark.parametrize("thickness", ["6", None])
@pytest.mark.parametrize("steps", [[0, 0.3, 0, 0.3], [0, 0.15, 0.3, 0.45], [0.4, 0, 0.4, 0.4]])
def test_a_slice_may_wander_from_frame_to_frame(make, tmp_path, thickness, steps):
    made = wandering(make, lambda s, f: 8 * s + steps[(f + s) % 4], SliceThickness=thickness)
    cine = dicom.read(make.save(tmp_path, made))
    assert make.codes(cine) == [[100 * (s + 1) + f for f in range(4)] for s in range(3)]
    np.testing.assert_allclose(cine.slice_spacing_mm, 8, atol=0.4)
    assert cine.notes == (
        f"The position of a slice wanders from frame to frame by up to {max(steps):.2f} mm along the normal.",
    )


@pytest.mark.parametrize(
    ("thickness", "gap_mm", "n_slices"), [("1", 0.3, 3), ("6", 0.3, 2), (None, 0.4, 2), (None, 0.4, 6), ("6", 0.7, 2)]
)
def test_thin_slices_stay_apart(make, tmp_path, thickness, gap_mm, n_slices):
    made = wandering(make, lambda s, f: gap_mm * s, n_slices, SliceThickness=thickness)
    cine = dicom.read(make.save(tmp_path, made))
    assert cine.images.shape[:2] == (n_slices, 4) and not cine.notes


def test_a_missing_frame_of_a_slice_that_wanders_is_no_slice(make, tmp_path):
    made = wandering(make, lambda s, f: 8 * s + 0.3 * (f % 2))
    with pytest.raises(CsmriError, match="expected the same number of frames"):
        dicom.read(make.save(tmp_path, made[:-1]))
