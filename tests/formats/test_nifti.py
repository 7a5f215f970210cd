"""NIfTI files: axis order, lost headers, units of time, round trips, and what is refused."""

import gzip
import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.formats import find_cines, nifti

AFFINE = np.array([[-1.4, 0.1, 0, 70], [0.2, 1.5, 0.3, -60], [0, 0.1, 9, -30], [0, 0, 0, 1.0]])
SHAPE = (5, 6, 3, 4)  # (x, y, slice, frame)


def save(path, array, affine=AFFINE, *, zooms=None, units=("mm", "msec"), toffset=0.0):
    image = nibabel.Nifti1Image(array, affine)
    if zooms is not None:
        image.header.set_zooms(zooms)
    image.header.set_xyzt_units(*units)
    image.header["toffset"] = toffset
    nibabel.save(image, path)
    return path


def numbers(dtype=np.int16, shape=SHAPE):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def make_cine(**fields):
    rng = np.random.default_rng(3)
    # Odd, even and non-square sizes; values that only bit-for-bit copying keeps.
    images = rng.gamma(2.0, 100.0, (3, 4, 6, 5)).astype(np.float32)
    return Cine(images=images, subject="s1", **fields)


def test_axes_become_slice_frame_y_x(tmp_path):
    array = numbers()
    cine = nifti.read(save(tmp_path / "patient061_4d.nii.gz", array))
    assert cine.images.shape == (3, 4, 6, 5) and cine.subject == "patient061"
    for x, y, slice_index, frame in [(0, 0, 0, 0), (4, 1, 2, 3), (2, 5, 1, 0)]:
        assert cine.images[slice_index, frame, y, x] == array[x, y, slice_index, frame]
    np.testing.assert_allclose(cine.affine, AFFINE, rtol=1e-6)
    lengths = np.linalg.norm(AFFINE[:3, :3], axis=0)
    np.testing.assert_allclose(cine.spacing_mm, (lengths[1], lengths[0]), rtol=1e-6)  # (y, x)
    np.testing.assert_allclose(cine.slice_spacing_mm, lengths[2], rtol=1e-6)


def test_scaled_and_complex_data(tmp_path):
    image = nibabel.Nifti1Image(numbers(), AFFINE)
    image.header.set_slope_inter(0.5, 3.0)
    nibabel.save(image, tmp_path / "scaled.nii")
    raw = numbers()
    np.testing.assert_allclose(
        nifti.read(tmp_path / "scaled.nii").images, nibabel.load(tmp_path / "scaled.nii").get_fdata().T.swapaxes(0, 1)
    )
    complex_cine = nifti.read(save(tmp_path / "c.nii", (raw * (1 - 2j)).astype(np.complex64)))
    assert complex_cine.images.dtype == np.complex64 and complex_cine.images[2, 3, 1, 4] == raw[4, 1, 2, 3] * (1 - 2j)


def test_slope_is_applied(tmp_path):
    path = save(tmp_path / "a.nii", numbers())
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([2.0, 10.0], "<f4").tobytes()  # scl_slope, scl_inter
    path.write_bytes(content)
    assert nifti.read(path).images[0, 0, 0, 1] == 2 * numbers()[1, 0, 0, 0] + 10


def test_nifti2_and_a_wrong_suffix_are_read_by_content(tmp_path):
    nibabel.save(nibabel.Nifti2Image(numbers(), AFFINE), tmp_path / "two.nii.gz")
    assert nifti.read(tmp_path / "two.nii.gz").images.shape == (3, 4, 6, 5)
    (tmp_path / "two.nii.gz").rename(tmp_path / "zipped.nii")
    assert nifti.read(tmp_path / "zipped.nii").images.shape == (3, 4, 6, 5)


@pytest.mark.parametrize(
    ("step", "unit", "offset", "expected"),
    [
        (0.04, "sec", 0.0, [0, 40, 80, 120]),
        (40, "msec", 18.0, [18, 58, 98, 138]),
        (40000, "usec", 0.0, [0, 40, 80, 120]),
        (1.0, "unknown", 0.0, None),
        (40, "unknown", 0.0, None),  # seconds or milliseconds? Not said, not guessed
        (1.0, "sec", 0.0, None),  # what converters write that know nothing
        (0.0, "msec", 0.0, None),
    ],
)
def test_frame_times_need_a_unit_and_a_plausible_step(tmp_path, step, unit, offset, expected):
    path = save(tmp_path / "t.nii", numbers(), zooms=(1.4, 1.4, 8, step), units=("mm", unit), toffset=offset)
    cine = nifti.read(path)
    if expected is None:
        assert cine.frame_times_ms is None and any("Frame times are unknown" in note for note in cine.notes)
    else:
        np.testing.assert_allclose(cine.frame_times_ms, expected, rtol=1e-6)
        assert not any("Frame times" in note for note in cine.notes)


@pytest.mark.parametrize("unit", ["unknown", "mm"])
def test_lost_header_is_read_and_told(tmp_path, unit):
    cine = nifti.read(save(tmp_path / "lost.nii", numbers(np.float32), np.eye(4), units=(unit, "unknown")))
    assert cine.spacing_mm is None and cine.slice_spacing_mm is None and cine.affine is None
    assert any("header was lost" in note for note in cine.notes)


def test_units_of_length(tmp_path):
    cine = nifti.read(save(tmp_path / "m.nii", numbers(), zooms=(0.0014, 0.0015, 0.008, 40), units=("meter", "msec")))
    np.testing.assert_allclose((*cine.spacing_mm, cine.slice_spacing_mm), (1.5, 1.4, 8), rtol=1e-6)
    cine = nifti.read(save(tmp_path / "u.nii", numbers(), zooms=(1.4, 1.5, 8, 40), units=("unknown", "msec")))
    assert cine.spacing_mm is not None and any("no unit of length" in note for note in cine.notes)


@pytest.mark.parametrize("name", ["s1.nii", "s1.nii.gz"])
@pytest.mark.parametrize("times", [None, np.float32([12.5, 50.1, 93.7, 150.2])], ids=["no times", "uneven times"])
@pytest.mark.parametrize(
    ("spacing", "slice_spacing"),
    [(None, None), ((1.3, 1.2), None), ((1.3, 1.2), 8.0), ((1.0, 1.0), None), ((1.0, 1.0), 1.0)],
)
def test_round_trip(tmp_path, name, times, spacing, slice_spacing):
    cine = make_cine(spacing_mm=spacing, slice_spacing_mm=slice_spacing, frame_times_ms=times)
    nifti.write(tmp_path / name, cine)
    again = nifti.read(tmp_path / name)
    np.testing.assert_array_equal(again.images, cine.images)
    assert again.subject == "s1" and again.affine is None
    for field in ("spacing_mm", "slice_spacing_mm", "frame_times_ms"):
        if getattr(cine, field) is None:
            assert getattr(again, field) is None
        else:
            np.testing.assert_allclose(getattr(again, field), getattr(cine, field), rtol=1e-6)
    if times is not None:
        np.testing.assert_array_equal(again.frame_times_ms, times)


def test_round_trip_of_the_affine_and_other_readers_see_geometry(tmp_path):
    lengths = np.linalg.norm(AFFINE[:3, :3], axis=0)
    cine = make_cine(
        spacing_mm=(lengths[1], lengths[0]),
        slice_spacing_mm=lengths[2],
        affine=AFFINE,
        frame_times_ms=np.float32([5, 45, 85, 125]),
    )
    nifti.write(tmp_path / "a.nii.gz", cine)
    np.testing.assert_allclose(nifti.read(tmp_path / "a.nii.gz").affine, AFFINE, rtol=1e-6)
    seen = nibabel.load(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(seen.affine, AFFINE, rtol=1e-6)
    distance = 1 / np.linalg.norm(np.linalg.inv(AFFINE)[2, :3])  # of slices along their normal
    np.testing.assert_allclose(seen.header.get_zooms(), (*lengths[:2], distance, 40), rtol=1e-6)
    assert seen.header.get_xyzt_units() == ("mm", "msec") and seen.header["toffset"] == 5


def test_complex_is_written_as_magnitude_and_twice_the_same(tmp_path):
    cine = make_cine()
    turned = Cine(images=(cine.images * np.exp(0.7j)).astype(np.complex64), subject="s1")
    nifti.write(tmp_path / "a.nii.gz", turned)
    np.testing.assert_allclose(nifti.read(tmp_path / "a.nii.gz").images, cine.images, rtol=1e-6)
    nifti.write(tmp_path / "b.nii.gz", turned)
    assert (tmp_path / "a.nii.gz").read_bytes()[4:8] == b"\0\0\0\0"  # gzip's date
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_a_cropped_copy_does_not_keep_our_old_times(tmp_path):
    nifti.write(tmp_path / "a.nii", make_cine(frame_times_ms=np.float32([0, 30, 80, 120])))
    whole = nibabel.load(tmp_path / "a.nii")
    nibabel.save(whole.slicer[..., :3], tmp_path / "b.nii")  # nibabel copies header extensions
    np.testing.assert_allclose(nifti.read(tmp_path / "b.nii").frame_times_ms, [0, 40, 80], rtol=1e-6)


def test_refusals_are_one_line_with_the_path(tmp_path):
    with pytest.raises(CsmriError, match=r"expected the axes \(x, y, slice, frame\), found 5 axes"):
        nifti.read(save(tmp_path / "volume.nii", numbers(shape=(5, 6, 3, 2, 2))))
    whole = save(tmp_path / "a.nii.gz", numbers(shape=(50, 60, 3, 4))).read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 4):
        (tmp_path / "cut.nii.gz").write_bytes(whole[:length])
        with pytest.raises(CsmriError, match=r"cut\.nii\.gz: ") as caught:
            nifti.read(tmp_path / "cut.nii.gz")
        assert "\n" not in str(caught.value)
    (tmp_path / "short.nii").write_bytes(gzip.decompress(whole)[:5000])
    with pytest.raises(CsmriError, match=r"short\.nii: could not be read as a NIfTI file"):
        nifti.read(tmp_path / "short.nii")
    colours = np.zeros((5, 6, 3, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(CsmriError, match="expected images of numbers"):
        nifti.read(save(tmp_path / "rgb.nii", colours))


def test_acdc_group_is_quoted(tmp_path):
    (tmp_path / "Info.cfg").write_text("ED: 1\nES: 10\nGroup: NOR\n")
    assert "ACDC group NOR" in nifti.read(save(tmp_path / "patient061_4d.nii.gz", numbers())).provenance


@pytest.fixture(scope="module")
def acdc():
    root = Path(os.environ.get("CSMRI_DATA", "")) / "acdc"
    if not os.environ.get("CSMRI_DATA") or not root.is_dir():
        pytest.skip("set CSMRI_DATA to a folder with the ACDC subjects to run this")
    return {source.path.parent.name: source.read() for source in find_cines(root).sources}


def test_real_acdc_subjects_are_all_read(acdc):
    assert len(acdc) == 32 and all(cine.subject == name for name, cine in acdc.items())
    assert {cine.matrix for cine in acdc.values()} == {(95, 100)}
    assert all(5 <= cine.n_slices <= 7 and 13 <= cine.n_frames <= 35 for cine in acdc.values())
    assert acdc["patient061"].images.shape == (7, 30, 95, 100)
    assert acdc["patient061"].spacing_mm == (1.3671875, 1.3671875) and acdc["patient061"].slice_spacing_mm == 10
    assert all(cine.frame_times_ms is None for cine in acdc.values())


def test_real_lost_headers_are_noted(acdc):
    lost = {name for name, cine in acdc.items() if any("header was lost" in note for note in cine.notes)}
    assert lost == {f"patient{number:03d}" for number in (41, 43, 45, 46, 81, 82, 83, 84, 85, 86)}
    assert all((cine.spacing_mm is None) == (name in lost) for name, cine in acdc.items())


# --- headers that contradict themselves


def affine_of(*lengths, turn=0.3):
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    return np.block([[rotation * lengths, np.float64([[5], [-7], [9]])], [np.zeros((1, 3)), np.ones((1, 1))]])


def with_forms(path, sform, qform, zooms):
    image = nibabel.Nifti1Image(numbers(np.int16), None)
    image.set_qform(qform, code=0 if qform is None else 1)
    image.set_sform(sform, code=1)
    image.header["pixdim"][1:5] = (*zooms, 0.05)
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("wrong", ["sform", "alone", "place"])
def test_the_form_that_fits_the_pixel_spacing_is_taken(tmp_path, wrong):
    good, moved = affine_of(1.3, 1.4, 10), affine_of(1.3, 1.4, 10, turn=0.8)
    forms = {
        "sform": (np.eye(4), good),
        "alone": (np.eye(4), None),
        "place": (good, moved),
    }
    cine = nifti.read(with_forms(tmp_path / "a.nii", *forms[wrong], (1.3, 1.4, 10)))
    assert cine.spacing_mm == pytest.approx((1.4, 1.3)) and cine.slice_spacing_mm == pytest.approx(10)
    told = {"sform": "The sform contradicts", "alone": "no form of the header fits"}
    assert any(told.get(wrong, "differ in place or direction") in note for note in cine.notes)
    if wrong == "alone":
        assert cine.affine is None
        return
    np.testing.assert_allclose(cine.affine, good, atol=1e-5)
    nifti.write(tmp_path / "b.nii", cine)
    again = nibabel.load(tmp_path / "b.nii")
    np.testing.assert_allclose(again.header.get_sform(), again.header.get_qform(), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(again.affine[:3, :3], axis=0), again.header.get_zooms()[:3], rtol=1e-5)
    itk = SimpleITK.ReadImage(str(tmp_path / "b.nii"))
    np.testing.assert_allclose(itk.GetSpacing()[:3], (1.3, 1.4, 10), rtol=1e-5)


@pytest.mark.parametrize("slice_spacing", [None, 10.0])
@pytest.mark.parametrize("mirrored", [1, -1])
def test_slices_that_are_offset_sideways(tmp_path, slice_spacing, mirrored):
    """The sform is true; ITK, which knows no shears, has the middle slice in place and the others in their planes."""
    shear = np.array([[1, 0, 2, 0], [0, 1, 1, 0], [0, 0, mirrored, 0], [0, 0, 0, 1]])
    affine = affine_of(1.3, 1.4, 10) @ shear
    cine = make_cine(affine=affine, spacing_mm=(1.4, 1.3), slice_spacing_mm=slice_spacing)
    nifti.write(tmp_path / "a.nii", cine)
    seen = nibabel.load(tmp_path / "a.nii")
    np.testing.assert_allclose(seen.affine, affine, atol=1e-5)
    np.testing.assert_allclose(seen.header.get_zooms()[:3], (1.3, 1.4, 10), rtol=1e-6)
    off = np.hypot(2 * 1.3, 1.4)
    assert nifti.misplaced_mm(cine) == pytest.approx(off)  # of the first and last of three
    assert seen.header["descrip"].item() == b"sheared: sform is exact, qform up to 3 mm off"
    itk = SimpleITK.ReadImage(str(tmp_path / "a.nii"))
    for x, y in np.ndindex(5, 6):
        for slice_index, expected in enumerate((off, 0, off)):
            place = np.array(itk.TransformIndexToPhysicalPoint((x, y, slice_index, 0))[:3]) * (-1, -1, 1)
            wrong = place - (affine @ (x, y, slice_index, 1))[:3]
            assert np.linalg.norm(wrong) == pytest.approx(expected, abs=1e-4)
            assert wrong[2] == pytest.approx(0, abs=1e-4)  # the normal
    again = nifti.read(tmp_path / "a.nii")
    np.testing.assert_allclose(again.affine, affine, atol=1e-5)
    assert again.slice_spacing_mm == (None if slice_spacing is None else pytest.approx(10))


def test_forms_agree_where_nothing_is_sheared(tmp_path):
    cine = make_cine(affine=affine_of(1.3, 1.4, 10), spacing_mm=(1.4, 1.3), slice_spacing_mm=10)
    nifti.write(tmp_path / "a.nii", cine)
    header = nibabel.load(tmp_path / "a.nii").header
    np.testing.assert_allclose(header.get_sform(), header.get_qform(), atol=1e-5)
    assert nifti.misplaced_mm(cine) == pytest.approx(0, abs=1e-9) and header["descrip"].item() == b""


def test_a_millimetre_that_was_meant_is_kept(tmp_path):
    image = nibabel.Nifti1Image(numbers(np.int16), affine_of(1, 1, 1))
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine_of(1, 1, 1), code=1)
    nibabel.save(image, tmp_path / "iso.nii")
    cine = nifti.read(tmp_path / "iso.nii")
    assert cine.spacing_mm == (1, 1) and cine.slice_spacing_mm == 1
    np.testing.assert_allclose(cine.affine, affine_of(1, 1, 1), atol=1e-6)


# --- axes


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 6, 3, 1, 4), (3, 4, 6, 5)),
        ((5, 6, 3, 4, 1), (3, 4, 6, 5)),
        ((5, 6, 1, 4), (1, 4, 6, 5)),
        ((5, 6, 4), (1, 4, 6, 5)),
    ],
)
def test_axes_of_one_come_and_go(tmp_path, shape, expected):
    values = numbers(np.int16, shape=shape)
    cine = nifti.read(save(tmp_path / "a.nii", values))
    assert cine.images.shape == expected
    np.testing.assert_array_equal(
        cine.images.ravel(), values.reshape(5, 6, *expected[:2]).transpose(2, 3, 1, 0).ravel()
    )
    assert any("(x, y, frame) of a single slice" in note for note in cine.notes) == (len(shape) == 3)


def test_volumes_of_one_frame_each_are_joined(tmp_path):
    values = numbers(np.int16)
    paths = [save(tmp_path / f"f{frame}.nii", values[..., frame]) for frame in range(values.shape[3])]
    cine = nifti.read_files(paths, "someone")
    np.testing.assert_array_equal(cine.images, values.transpose(2, 3, 1, 0))
    assert cine.subject == "someone" and any("Joined 4 volumes" in note for note in cine.notes)
    with pytest.raises(CsmriError, match="2 volumes of different sizes or places"):
        nifti.read_files([paths[0], save(tmp_path / "g.nii", numbers(shape=(5, 6, 4)))])


def test_a_label_map_is_no_cine(tmp_path):
    labels = np.zeros((5, 6, 3, 4), np.int16)
    labels[1:3, 1:3] = 3
    with pytest.raises(CsmriError, match="a label map .* and no cine"):
        nifti.read(save(tmp_path / "seg.nii", labels))


# --- what resampling leaves


@pytest.mark.parametrize("outside", [np.nan, -2.0])
def test_surroundings_are_mended_and_told(tmp_path, outside):
    values = numbers(np.float32)
    values[0] = outside
    cine = nifti.read(save(tmp_path / "a.nii", values))
    assert not cine.images[..., 0].any() and cine.images[..., 1:].all()
    assert any(note.startswith("Set to 0: 20.0%") for note in cine.notes)


@pytest.mark.parametrize("spoil", ["one-frame", "deep"])
def test_what_is_worse_is_refused(tmp_path, spoil):
    values = numbers(np.float32)
    values[0, ..., 0] = np.nan if spoil == "one-frame" else -values.max()
    with pytest.raises(CsmriError, match="NaN or infinite values" if spoil == "one-frame" else "must not be negative"):
        nifti.read(save(tmp_path / "a.nii", values))


def signed(share, depth):
    """Images up to 1000, of which a share lies `depth` below 0."""
    values = np.linspace(1, 1000, 2000, dtype=np.float32)
    values[: round(share * len(values))] = -depth
    return values.reshape(10, 10, 5, 4)


@pytest.mark.parametrize(("share", "depth"), [(0.119, 45), (0.45, 9), (0.24, 200)])
def test_few_negative_values_are_mended(tmp_path, share, depth):
    cine = nifti.read(save(tmp_path / "a.nii", signed(share, depth)))
    assert cine.images.min() == 0 and f"Set to 0: {share:.1%} of the values" in " ".join(cine.notes)


@pytest.mark.parametrize(("share", "depth"), [(0.967, 200), (0.55, 5), (0.3, 20), (0.1, 300)])
def test_a_subtracted_offset_is_refused(tmp_path, share, depth):
    with pytest.raises(CsmriError, match=rf"must not be negative, but {share:.1%} .*offset was subtracted, add it"):
        nifti.read(save(tmp_path / "a.nii", signed(share, depth)))
