"""The handed cases of inputs that people have: each with the right value that its README states.

They lie outside of the repository, in ../shared/cases; the same kinds of input are made by the tests beside this one.
"""

from __future__ import annotations

import os
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from csmri import formats
from csmri.core.errors import CsmriError
from csmri.core.texts import read_toml
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace
from csmri.formats.subjects import one_each

PLACES = (Path(__file__).parents[2].parent / "shared", Path(os.environ.get("CSMRI_DATA", ".")).parent)
SHARED = next((place / "cases" for place in PLACES if (place / "cases/README.md").is_file()), None)
pytestmark = pytest.mark.skipif(SHARED is None, reason="the handed cases are not here")

# Geometry of the synthetic cine, as DICOM and as NIfTI have it: spacing (y, x) and of slices, and affine.
AFFINE = [[-1.04, 0, 6, -10], [-0.78, 0, -8, 30], [0, -1.4, 0, 40], [0, 0, 0, 1]]
PLAIN_AFFINE = np.diag([-1.3, -1.4, 10, 1])


def codes(n_slices=3, frames=range(8), slope=1.0, offset=0.0):
    """What pixel (0, 0) of every image holds, (slice, frame)."""
    values = 100.0 * np.arange(1, n_slices + 1)[:, np.newaxis] + np.array(frames)
    return np.maximum(slope * values + offset, 0)


# Cines that must come out exactly: what pixel (0, 0) is, and words of each note in turn.
DICOM = {
    "d_big_endian": (codes(), ()),
    "d_duplicate_copy": (codes(), ("Taken once: 1 image that the folder holds more than once",)),
    "d_jpeg2000_lossless": (codes(), ()),
    "d_monochrome1": (codes(offset=-80), ("MONOCHROME1",)),
    "d_no_preamble": (codes(), ()),
    "d_no_trigger_temporal_position": (codes(), ("sorted by temporal position",)),
    "d_plain": (codes(), ()),
    "d_position_jitter": (codes(), ()),
    "d_private_un": (codes(), ()),
    "d_repeated_breathhold": (codes(), ("Joined 3 series", "series 20 'cine sax' and not series 11")),
    "d_rle": (codes(), ()),
    "d_screenshot": (codes(), ()),
    "d_series_per_slice_folders": (codes(), ("Joined 3 series of one slice each",)),
    "d_signed_negative": (codes(offset=-120), ("Set to 0: 11.9% of the values, which are negative, down to -40",)),
    "d_trigger_all_zero": (codes(), ("sorted by instance number",)),
    "d_trigger_tie": (codes(), ("the same trigger time, 22",)),
    "d_uint16_high": (codes(slope=60), ()),
    "d_unicode_names": (codes(), ()),
}
NO_TIMES = ("d_no_trigger_temporal_position", "d_trigger_all_zero", "d_trigger_tie")
NO_UNIT, NO_TIME = "names no unit of length", "Frame times are unknown"
NIFTI = {
    "n_3d_per_phase": (codes(), ("Joined 8 volumes", NO_UNIT)),
    "n_3d_single_slice": (codes(1), ("taken as (x, y, frame)", NO_TIME, "The sform contradicts the pixel spacing")),
    "n_5d_vector": (codes(), (NO_TIME,)),
    "n_bgzip": (codes(), (NO_UNIT, NO_TIME)),
    "n_complex": (codes(), ()),
    "n_empty_slice": (codes() * [[1], [1], [0]], (NO_UNIT, NO_TIME)),
    "n_ms_in_sec": (codes(), ("the header says 50 with the unit sec",)),
    "n_oblique": (codes(), ()),
    "n_odd": (codes(2, range(6)), ()),
    "n_plain": (codes(), ()),
    "n_qform_sform_conflict": (codes(), ("The sform contradicts the pixel spacing, 1.3 x 1.4 x 10 mm",)),
    "n_resampled_after_csmri": (codes(frames=range(0, 8, 2)), ()),
    "n_scl_nan": (codes(), ()),
    "n_scl_slope": (codes(slope=0.5, offset=10), ()),
    "n_true_1mm": (codes(), ()),
    "n_two_frames": (codes(2, range(2)), ()),
    "n_uint8": (codes() // 4, ()),
    "n_unicode_name": (codes(), ()),
}
FORMS = {
    "n_3d_single_slice": np.diag([-1.3, -1.4, 8, 1]),
    "n_oblique": None,
    "n_resampled_after_csmri": AFFINE,
    "n_true_1mm": [[0, 0, 1, 12], [-1, 0, 0, 30], [0, -1, 0, -7], [0, 0, 0, 1]],
}
ARRAYS = {
    "m_v7_other_name": (codes(), ("were taken as (y, x, slice, frame)", "spacing and frame times are unknown")),
    "x_npy": (codes(), ("were taken as (slice, frame, y, x)", "spacing and frame times are unknown")),
}
# Refused in one line, by `read`.
REFUSED = {
    "d_frames_differ_by_slice": "expected the same number of frames in all 3 slices, found 8 in most and 6 in slice 2",
    "d_truncated_file": "with 1 damaged file: I0005.dcm",
    "d_two_series": "the short-axis stack is probably",
    "d_zip": "a zip of DICOM images",
    "h_fastmri": "a file in the manner of fastMRI",
    "k_npz_coil_frame_swapped": "put the coil before the frame",
    "k_npz_mask_disagrees": "the mask fits when it is shifted by half of ky",
    "n_gz_truncated": "download or convert it again",
    "n_rgb": "expected images of numbers",
    "x_nrrd": "an NRRD file: convert it to .nii.gz",
    "x_png_stack": "8 files: this is a PNG picture: pictures are not read",
}
KSPACE = {
    "h_ismrmrd": ((1, 2, 6, 24, 20), 1.0),
    "k_npz_dc_corner": ((1, 1, 8, 48, 40), 0.5546875),
    "k_npz_mask_2d_per_point": ((1, 1, 8, 48, 40), 0.5546875),
    "k_npz_ok": ((1, 1, 8, 48, 40), 0.5546875),
    "m_v73_cmrxrecon_kspace": ((3, 2, 2, 48, 40), 1.0),
    "m_v7_kspace": ((1, 2, 8, 48, 40), 1.0),
}
APART = (
    *("d_jpegll", "d_missing_slice4", "d_no_patient_id", "d_rescale_per_frame", "d_same_patient_id"),
    *("n_one_bad_in_folder", "n_ukbb_layout", "t_toml_bom", "t_toml_cp1252", "x_npz_torch_axes"),
)
"""With a test of their own below."""


def place(case):
    assert SHARED is not None
    return SHARED / case / "input"


def said(cine, words):
    """Whether the notes are these, in turn, and no others."""
    return len(cine.notes) == len(words) and all(
        one in note for one, note in zip(words, sorted(cine.notes, key=lambda note: order(note, words)), strict=True)
    )


def order(note, words):
    return next((number for number, one in enumerate(words) if one in note), len(words))


def test_every_case_is_here():
    assert SHARED is not None
    names = {path.name for path in SHARED.iterdir() if path.is_dir()}
    assert {*DICOM, *NIFTI, *ARRAYS, *REFUSED, *KSPACE, *APART} == names


@pytest.mark.parametrize("case", DICOM)
def test_dicom(case):
    expected, words = DICOM[case]
    cine = formats.read(place(case))
    np.testing.assert_array_equal(cine.images[:, :, 0, 0], expected)
    assert cine.images.shape[2:] == (48, 40) and cine.subject == "FIELD01"
    assert (cine.spacing_mm, cine.slice_spacing_mm) == ((1.4, 1.3), pytest.approx(10, abs=0.05))
    np.testing.assert_allclose(cine.affine, AFFINE, atol=0.25 if case == "d_position_jitter" else 1e-6)
    times = None if case in NO_TIMES else [100 * frame for frame in range(8)]
    assert (cine.frame_times_ms is None) if times is None else cine.frame_times_ms.tolist() == times
    assert said(cine, words), cine.notes


@pytest.mark.parametrize("case", NIFTI)
def test_nifti(case):
    expected, words = NIFTI[case]
    cine = formats.read(place(case))
    assert (cine.images.dtype.kind == "c") == (case == "n_complex")
    np.testing.assert_allclose(cine.magnitude[:, :, 0, 0], expected, rtol=1e-6)
    form = FORMS.get(case, PLAIN_AFFINE)
    if form is None:
        form = nibabel.load(next(place(case).iterdir())).affine
    np.testing.assert_allclose(cine.affine, form, atol=1e-4)
    lengths = np.linalg.norm(np.asarray(form)[:3, :3], axis=0)
    np.testing.assert_allclose(cine.spacing_mm, lengths[[1, 0]], rtol=1e-4)
    step = 200 if case == "n_resampled_after_csmri" else 50
    if any(NO_TIME in note or "Joined" in note or "unit sec" in note for note in cine.notes):
        assert cine.frame_times_ms is None
    else:
        np.testing.assert_allclose(cine.frame_times_ms, step * np.arange(cine.n_frames), rtol=1e-5)
    assert said(cine, words), cine.notes


@pytest.mark.parametrize("case", ["n_qform_sform_conflict", "n_true_1mm", "d_missing_slice4", "n_oblique"])
def test_nifti_written_of_it_is_consistent(case, tmp_path):
    cine = formats.read(place(case))
    formats.write(tmp_path / "out.nii.gz", cine)
    header = nibabel.load(tmp_path / "out.nii.gz").header
    for form in (header.get_sform(), header.get_qform()):
        np.testing.assert_allclose(np.linalg.norm(form[:3, :3], axis=0), header.get_zooms()[:3], rtol=1e-4)


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays(case):
    expected, words = ARRAYS[case]
    cine = formats.read(place(case))
    np.testing.assert_array_equal(cine.images[:, :, 0, 0], expected)
    assert said(cine, words), cine.notes


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    with pytest.raises(CsmriError) as caught:
        formats.read(place(case))
    message = str(caught.value)
    assert "\n" not in message and str(place(case)) in message and REFUSED[case] in message


@pytest.mark.parametrize("case", KSPACE)
def test_kspace(case):
    shape, share = KSPACE[case]
    record = formats.read(place(case))
    assert isinstance(record, KSpace) and tuple(record.kspace.shape) == shape
    assert record.mask.mean() == share


def test_kspace_with_dc_in_the_corner_is_that_in_the_centre():
    corner, centre = (formats.read(place(case)) for case in ("k_npz_dc_corner", "k_npz_ok"))
    assert [note.split(":")[0] for note in corner.notes] == ["Moved to the centre of ky", "Moved to the centre of kx"]
    np.testing.assert_array_equal(corner.mask_of(0), centre.mask_of(0))
    np.testing.assert_allclose(
        np.abs(corner.slice_of(0)), np.abs(centre.slice_of(0)), atol=1e-4 * np.abs(centre.slice_of(0)).max()
    )
    point = formats.read(place("k_npz_mask_2d_per_point"))
    np.testing.assert_array_equal(point.slice_of(0), centre.slice_of(0))


def test_jpeg_lossless():
    images = formats.read(place("d_jpegll")).images
    assert images.shape == (1, 2, 1024, 256) and (images.min(), images.max()) == (0, 278)
    np.testing.assert_allclose(images.mean(dtype=np.float64), 13.7194, atol=1e-4)


def test_a_missing_slice_is_told_and_nothing_is_moved():
    cine = formats.read(place("d_missing_slice4"))
    np.testing.assert_array_equal(cine.images[:, :, 0, 0], codes(4))
    (note,) = cine.notes
    assert "20.00 mm between slices 3 and 4" in note and cine.slice_spacing_mm is None
    np.testing.assert_allclose(np.linalg.norm(cine.affine[:3, 2]), 10)  # slice 2 at 10 mm, not 13.3


def test_rescaled_by_frame():
    cine = formats.read(place("d_rescale_per_frame"))
    for path in place("d_rescale_per_frame").iterdir():
        dataset = pydicom.dcmread(path)
        value = dataset.pixel_array.astype(np.float32) * dataset.RescaleSlope + dataset.RescaleIntercept
        slice_index, frame = divmod(dataset.InstanceNumber - 1, 8)
        np.testing.assert_allclose(cine.images[slice_index, frame], value, rtol=1e-6)
    np.testing.assert_allclose(cine.images[:, :, 0, 0], codes(), atol=1)


@pytest.mark.parametrize("case", ["d_no_patient_id", "d_same_patient_id"])
def test_subjects_by_folder(case):
    found = formats.find_cines(place(case))
    assert [source.read().subject for source in found.sources] == ["p1", "p2"]
    assert len(found.notes) == 1 and "named by folder: p1, p2." in found.notes[0]


def test_subjects_of_uk_biobank():
    found = formats.find_cines(place("n_ukbb_layout"))
    chosen, left_out = one_each(found.sources)
    assert [(source.subject, source.path.name) for source in chosen] == [
        ("1000011", "sa.nii.gz"),
        ("1000022", "sa.nii.gz"),
    ]
    assert [left.reason for left in found.left_out] == ["a label map", "a label map"] and len(left_out) == 2


def test_one_bad_in_a_folder_is_one_source_that_cannot_be_read():
    read = {}
    for source in formats.find_cines(place("n_one_bad_in_folder")).sources:
        try:
            read[source.identity] = isinstance(source.read(), Cine)
        except CsmriError:
            read[source.identity] = False
    assert read == {"bad": False, "good1": True, "zgood2": True}


def test_more_frames_than_columns_is_told():
    (note,) = formats.read(place("x_npz_torch_axes")).notes
    assert "There are more frames (48) than rows or columns (40, 8)" in note


def test_texts_of_windows():
    for kind in ("split", "config"):
        assert read_toml(place("t_toml_bom") / f"{kind}.toml", kind)
    with pytest.raises(CsmriError, match="UTF-8"):
        read_toml(place("t_toml_cp1252") / "split.toml", "split")
