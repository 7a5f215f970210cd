"""Who is who: by the patient ID or file name, and by folders where those do not tell; one stack of each subject."""

from pathlib import Path

import numpy as np
import pytest

from csmri import formats
from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.formats.source import Source
from csmri.formats.subjects import one_each

CINE = Cine(np.ones((3, 2, 6, 5), np.float32), "inside", spacing_mm=(1.5, 1.25), slice_spacing_mm=8.0)
LONG_AXIS = Cine(np.ones((1, 2, 6, 5), np.float32), "inside", spacing_mm=(1.5, 1.25))


def subjects(*places, **options):
    """Name of every source as it is read, and the notes."""
    found = formats.find_cines(*places, **options)
    return [source.read().subject for source in found.sources], found.notes


@pytest.mark.parametrize("subject_id", ["", None])
def test_without_patient_id_the_first_folder_that_differs_names_subjects(tmp_path, make, subject_id):
    for series, name in enumerate(("p1", "p2")):
        images = make.stack(1, 3, series=series, PatientID=subject_id, StudyInstanceUID=make.uid(name))
        make.save(tmp_path / name / "DICOM", images)
    names, notes = subjects(tmp_path)
    assert names == ["p1", "p2"]
    assert notes == ("2 of 2 cines have no patient ID; their subjects are named by folder: p1, p2.",)
    assert subjects(tmp_path / "p1" / "DICOM") == (["p1"], ())  # everybody's folder is called DICOM


def test_one_id_for_two_examinations_is_no_name(tmp_path, make):
    for name in ("p1", "p2"):
        images = make.stack(1, 3, series=name == "p2", PatientID="ANONYMOUS", StudyInstanceUID=make.uid(name))
        make.save(tmp_path / name, images)
    names, (note,) = subjects(tmp_path)
    assert names == ["p1", "p2"]
    assert "'ANONYMOUS' is that of 2 examinations" in note and "--subject-from id" in note
    assert subjects(tmp_path, subject_from="id") == (["ANONYMOUS", "ANONYMOUS"], ())
    assert subjects(tmp_path / "p1")[0] == ["ANONYMOUS"]


def test_one_id_in_one_examination_is_one_person(tmp_path, make):
    make.save(tmp_path / "sax", make.stack(3, 3, series=5))
    make.save(tmp_path / "lax", make.stack(1, 3, series=6, SeriesDescription="4ch"))
    assert subjects(tmp_path) == (["P7", "P7"], ())


def test_ids_that_differ_are_kept_wherever_they_lie(tmp_path, make):
    for name in ("Anna", "Berta"):
        make.save(tmp_path / "all" / name, make.stack(1, 3, series=name == "Anna", PatientID=name))
    assert subjects(tmp_path) == (["Anna", "Berta"], ())


def test_file_names_that_repeat_are_told_by_folder(tmp_path):
    """The layout of UK Biobank: sa, la_4ch and seg_sa in a folder a subject."""
    for name in ("1000011", "1000022"):
        formats.write(tmp_path / name / "sa.nii.gz", CINE)
        formats.write(tmp_path / name / "seg_sa.nii.gz", CINE)
        formats.write(tmp_path / name / "la_4ch.nii.gz", LONG_AXIS)
    found = formats.find_cines(tmp_path)
    assert [left.reason for left in found.left_out] == ["a label map", "a label map"]
    names, (note,) = subjects(tmp_path)
    assert names == ["1000011", "1000011", "1000022", "1000022"]
    assert note == "Files of different folders have the same names; subjects are named by folder: 1000011, 1000022."
    chosen, left_out = one_each(found.sources)
    assert [source.path.name for source in chosen] == ["sa.nii.gz", "sa.nii.gz"]
    assert [(left.path.name, left.is_fault) for left in left_out] == [("la_4ch.nii.gz", False)] * 2
    assert "of 1 slices; the stack of 1000022 has 3" in left_out[1].reason


def test_what_lies_beside_a_shared_name_is_of_the_same_person(tmp_path):
    for name in ("one", "two"):
        formats.write(tmp_path / name / "sa.nii.gz", CINE)
    formats.write(tmp_path / "two" / "la_2ch.nii.gz", LONG_AXIS)
    assert subjects(tmp_path)[0] == ["one", "two", "two"]


def test_file_names_that_differ_name_their_subjects(tmp_path):
    for name in ("patient1", "patient2"):
        formats.write(tmp_path / name / f"{name}_4d.nii.gz", CINE)
    assert subjects(tmp_path) == (["patient1", "patient2"], ())


def test_a_cine_that_knows_its_subject_keeps_it(tmp_path):
    formats.write(tmp_path / "a.npz", CINE)
    assert subjects(tmp_path) == (["inside"], ())


@pytest.mark.parametrize(
    ("subject_from", "expected"),
    [("id", ["inside", "inside"]), ("folder", ["one", "two"]), ("file", ["a", "b"])],
)
def test_a_person_may_say_where_names_come_from(tmp_path, subject_from, expected):
    formats.write(tmp_path / "one/deep/a.npz", CINE)
    formats.write(tmp_path / "two/b.npz", CINE)
    assert subjects(tmp_path, subject_from=subject_from) == (expected, ())


def test_subjects_by_folder_inside_one_folder_are_named_by_file(tmp_path):
    for name in ("a", "b"):
        formats.write(tmp_path / f"all/{name}.npz", CINE)
    assert subjects(tmp_path, subject_from="folder")[0] == ["a", "b"]


def source(name, n_slices, subject="s"):
    return Source(Path(name), (Path(name),), "NIfTI", name, lambda: CINE, n_slices=n_slices, subject=subject)


@pytest.mark.parametrize("n_slices", [(3, 3), (3, 0), (0, 0)])
def test_two_stacks_of_a_subject_are_refused_with_both_places(n_slices):
    with pytest.raises(CsmriError) as caught:
        one_each([source("one/sa.nii", n_slices[0]), source("two/sa.nii", n_slices[1])])
    message = str(caught.value)
    assert "'s' has 2 cines: one/sa.nii and two/sa.nii" in message and "--subject-from folder" in message


def test_the_largest_stack_of_each_is_taken():
    sources = [source("a", 1), source("b", 9), source("c", 2, "other"), source("d", 0, "unknown")]
    chosen, left_out = one_each(sources)
    assert [one.identity for one in chosen] == ["b", "c", "d"]
    assert [str(left.path) for left in left_out] == ["a"]


def test_subjects_that_nobody_asked_for_are_let_be():
    sources = [source("a", 3), source("b", 3), source("c", 1, "other")]
    chosen, left_out = one_each(sources, is_wanted=lambda subject: subject == "other")
    assert len(chosen) == 3 and not left_out


def test_a_file_beside_no_shared_name_keeps_its_own(tmp_path):
    for name in ("x.npz", "y.npz", "sub/x.npz"):
        formats.write(tmp_path / name, CINE)
    found, _ = subjects(tmp_path)
    assert sorted(found) == ["inside", "sub", "x"]  # y.npz, by what it says inside
