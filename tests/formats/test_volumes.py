"""NIfTI files of a folder: cines, volumes that are the frames of one, label maps, and volumes alone."""

import nibabel
import numpy as np
import pytest

from csmri import formats
from csmri.core.errors import CsmriError

AFFINE = np.diag([1.3, 1.4, 8.0, 1.0])
CODES = 100.0 * np.arange(1, 4) + np.arange(8)[:, None]
"""What the pixels of an image hold, (frame, slice)."""


def volume(frame, n_slices=3):
    return np.broadcast_to(CODES[frame, :n_slices], (5, 6, n_slices)).astype(np.float32)


def save(path, array, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def save_cine(path, n_frames=8):
    return save(path, np.stack([volume(frame) for frame in range(n_frames)], axis=-1))


def left_out(found):
    return {left.path.name: left.reason for left in found.left_out}


@pytest.mark.parametrize(
    ("names", "subject"),
    [
        ("frame{:02d}.nii.gz", "patient7"),
        ("vol_{}.nii", "patient7"),
        ("anna_phase{:03d}.nii.gz", "anna_phase"),
        ("p3_t{}.nii.gz", None),
    ],
)
@pytest.mark.parametrize("first", [0, 1])
def test_one_volume_a_frame_is_joined(tmp_path, names, subject, first):
    for frame in range(8):  # 10 after 9, as it counts
        save(tmp_path / "patient7" / names.format(frame + first), volume(frame))
    found = formats.find_cines(tmp_path)
    (source,) = found.sources
    assert (source.n_slices, source.n_frames, len(source.files)) == (3, 8, 8) and not found.left_out
    cine = source.read()
    np.testing.assert_array_equal(cine.images[:, :, 0, 0], CODES.T)
    first, last = (names.format(frame + first) for frame in (0, 7))
    assert f"Joined 8 volumes, one a frame, in the order of their names, from {first} to {last}." in cine.notes
    np.testing.assert_allclose(cine.affine, AFFINE)
    assert subject is None or cine.subject == subject


def test_twelve_frames_count_on_after_nine(tmp_path):
    for frame in range(12):
        save(tmp_path / f"phase{frame}.nii.gz", np.full((5, 6, 2), frame, np.float32))
    assert formats.read(tmp_path).images[0, :, 0, 0].tolist() == list(range(12))


def test_a_frame_that_is_missing_or_of_another_size_joins_nothing(tmp_path):
    for frame in (0, 1, 3):
        save(tmp_path / f"a/frame{frame}.nii.gz", volume(frame))
    with pytest.raises(CsmriError, match="no cine among 3 files; 3 files: a single volume without frames"):
        formats.find_cines(tmp_path / "a")
    for frame in (4, 5):  # of a cine, but not from its beginning
        save(tmp_path / f"c/frame{frame}.nii.gz", volume(frame))
    with pytest.raises(CsmriError, match="a single volume without frames"):
        formats.find_cines(tmp_path / "c")
    save(tmp_path / "b/frame0.nii.gz", volume(0))
    save(tmp_path / "b/frame1.nii.gz", volume(1, n_slices=2))
    with pytest.raises(CsmriError, match="a single volume without frames"):
        formats.find_cines(tmp_path / "b")


def test_volumes_of_two_subjects_in_one_folder_are_two_cines(tmp_path):
    for subject in ("anna", "berta"):
        for frame in range(4):
            save(tmp_path / f"{subject}_t{frame}.nii.gz", volume(frame))
    found = formats.find_cines(tmp_path)
    assert [source.read().subject for source in found.sources] == ["anna_t", "berta_t"]


@pytest.mark.parametrize(
    "names", ["patient{}", "patient{}_ED", "slice_{}", "sub-{:02d}", "anna_{}", "format{}", "p_t{}"]
)
def test_numbers_of_patients_and_slices_join_nothing(tmp_path, names):
    for number in (1, 2):
        save(tmp_path / f"{names.format(number)}.nii.gz", volume(number))
    save_cine(tmp_path / "other.nii.gz")
    found = formats.find_cines(tmp_path)
    assert [source.path.name for source in found.sources] == ["other.nii.gz"]
    assert len(found.left_out) == 2
    assert all("name them frame01, frame02, ..." in reason for reason in left_out(found).values())


@pytest.mark.parametrize("names", ["{}", "{:02d}", "p1_vol{}", "sub-01_cine-{:03d}", "dyn {}", "frames_{}_sax", "Ph{}"])
def test_numbers_of_frames_join(tmp_path, names):
    for frame in range(4):
        save(tmp_path / f"{names.format(frame)}.nii.gz", volume(frame))
    (source,) = formats.find_cines(tmp_path).sources
    first, last = (f"{names.format(frame)}.nii.gz" for frame in (0, 3))
    assert source.n_frames == 4 and any(note.endswith(f"from {first} to {last}.") for note in source.read().notes)


def test_volumes_beside_the_cine_are_left_out(tmp_path):
    """As in ACDC: the cine, its end-diastolic and end-systolic frame, and their label maps."""
    save_cine(tmp_path / "patient001_4d.nii.gz")
    for name in ("frame01", "frame01_gt", "frame12", "frame12_gt"):
        save(tmp_path / f"patient001_{name}.nii.gz", volume(0))
    found = formats.find_cines(tmp_path)
    assert [source.path.name for source in found.sources] == ["patient001_4d.nii.gz"]
    assert left_out(found) == {
        "patient001_frame01.nii.gz": "a single volume without frames",
        "patient001_frame01_gt.nii.gz": "a label map",
        "patient001_frame12.nii.gz": "a single volume without frames",
        "patient001_frame12_gt.nii.gz": "a label map",
    }


@pytest.mark.parametrize("name", ["seg_sa", "sa_seg", "label", "p1-mask", "p1.labels", "Segmentation_p1", "p1_GT"])
def test_label_maps_are_told_by_name(tmp_path, name):
    save_cine(tmp_path / f"{name}.nii.gz")
    save_cine(tmp_path / "sa.nii.gz")
    found = formats.find_cines(tmp_path)
    assert [source.path.name for source in found.sources] == ["sa.nii.gz"]
    assert left_out(found) == {f"{name}.nii.gz": "a label map"}


@pytest.mark.parametrize("name", ["segal", "masked", "labelle"])
def test_names_that_only_begin_so_are_cines(tmp_path, name):
    save_cine(tmp_path / f"{name}.nii.gz")
    assert len(formats.find_cines(tmp_path).sources) == 1


def test_a_single_volume_alone_may_be_frames(tmp_path):
    save(tmp_path / "sub01.nii.gz", np.stack([np.full((5, 6), frame, np.float32) for frame in range(8)], axis=-1))
    for place in (tmp_path, tmp_path / "sub01.nii.gz"):
        cine = formats.read(place)
        assert cine.images[0, :, 0, 0].tolist() == list(range(8))
        assert any("taken as (x, y, frame) of a single slice" in note for note in cine.notes)


def test_a_fifth_axis_of_length_one_is_no_axis(tmp_path):
    save(tmp_path / "a.nii.gz", np.stack([volume(frame) for frame in range(8)], axis=-1)[:, :, :, np.newaxis])
    (source,) = formats.find_cines(tmp_path).sources
    assert (source.n_slices, source.n_frames) == (3, 8)
    np.testing.assert_array_equal(source.read().images[:, :, 0, 0], CODES.T)
