"""De-identification: nothing that the Basic Profile names is left, and the same UID stays the same other one."""

import numpy as np
import pydicom
import pytest
from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.formats.dicom import header
from csmri.formats.dicom.anonymise import ACTIONS, Anonymiser
from csmri.formats.dicom.derivation import Derivation
from csmri.formats.dicom.sources import read_stack
from csmri.formats.dicom.write import write

SALT = "0123456789abcdef"
ANONYMISER = Anonymiser("subject-1234", salt=SALT)
TEXTS = "AE CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT AS".split()
BYTES = "OB OW UN".split()
NUMBERS = {"US": 54321, "UL": 3141592653, "FD": 2.718281828459045, "FL": 1.5}
NOT_IN_DATA = {tag for tag in ACTIONS if tag[0] in (0, 2)}
"""Commands, which no file holds, and the file meta information."""


def make_input(folder):
    images = np.random.default_rng(0).uniform(0, 900, (2, 2, 6, 5)).astype(np.float32)
    affine = np.diag([-1.25, -1.5, 8, 1])
    cine = Cine(images, "Jane Doe", frame_times_ms=np.float32([20, 60]), affine=affine)
    write(folder, cine)
    return cine


class Markers:
    """Puts something unique into every element, and finds what is left of it."""

    def __init__(self):
        self.texts = []

    def value(self, vr):
        if vr in NUMBERS:
            return NUMBERS[vr]
        number = len(self.texts) + 100000
        kinds = {"UI": f"9.{number}.77", "DS": f"{number}.75", "IS": f"{number}75"}
        self.texts.append(kinds.get(vr, f"Q{number}"))
        return self.texts[-1].encode() if vr in BYTES else self.texts[-1]

    def element(self, tag, nested=True):
        vr = dictionary_VR(tag).split(" or ")[0]
        if vr == "SQ":
            item = Dataset()
            # As the outermost elements, what is nested: named ones, private ones and sequences.
            for keyword in ("PatientName", "PatientID", "ReferencedSOPInstanceUID", "StudyDate", "InstitutionName"):
                item.add(self.element(tag_for_keyword(keyword)))
            item.private_block(0x0029, "MAKER", create=True).add_new(1, "LO", self.value("LO"))
            if nested:
                item.add(self.element(tag_for_keyword("RequestAttributesSequence"), nested=False))
                item.add(self.element(tag_for_keyword("ReferencedImageSequence"), nested=False))
                item.add(self.element(tag_for_keyword("PurposeOfReferenceCodeSequence"), nested=False))
            return DataElement(tag, "SQ", [item])
        many = dictionary_VM(tag) in ("1-n", "2-n", "2")
        return DataElement(tag, vr, [self.value(vr), self.value(vr)] if many and vr in TEXTS else self.value(vr))

    def left_in(self, path):
        content = path.read_bytes()
        return [text for text in self.texts if text.encode() in content]


def filled(dataset, markers):
    """Every element that the profile names with a marker, also nested, private and repeating ones."""
    for tag in sorted(set(ACTIONS) - NOT_IN_DATA):
        if keyword_for_tag(tag):
            dataset.add(markers.element(tag))
    dataset.add(DataElement(0x50020010, "CS", markers.value("CS")))  # of curves, 50xx
    dataset.add(DataElement(0x60024000, "LT", markers.value("LT")))  # of overlays, 60xx
    dataset.add(DataElement(0x60023000, "OW", markers.value("OW")))
    dataset.add(DataElement(0x00189999, "LO", markers.value("LO")))  # nobody knows it
    dataset.private_block(0x0029, "MAKER", create=True).add_new(1, "LO", markers.value("LO"))
    dataset.file_meta.SourceApplicationEntityTitle = markers.value("AE")
    dataset.file_meta.PrivateInformationCreatorUID = markers.value("UI")
    dataset.file_meta.PrivateInformation = markers.value("OB")
    return dataset


def empty():
    dataset = Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    return dataset


def save(dataset, path):
    with header.quiet_pydicom():
        dataset.save_as(path)
    return path


@pytest.fixture(scope="module")
def full_input(tmp_path_factory):
    """A folder of images with everything that the profile names, still one stack, and what marks it; not to change."""
    folder = tmp_path_factory.mktemp("full") / "in"
    cine, markers = make_input(folder), Markers()
    with header.quiet_pydicom():
        everything = filled(empty(), markers)
        study, place = markers.value("UI"), markers.value("UI")
        for path in sorted(folder.iterdir()):
            dataset = pydicom.dcmread(path)
            dataset.update(everything)
            dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = study, place
            dataset.SeriesInstanceUID, dataset.SOPInstanceUID = "9.42.1", markers.value("UI")
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID

            save(dataset, path)
    assert len(markers.left_in(path)) > 600
    return folder, cine, markers


def test_markers_are_in_every_named_element():
    markers = Markers()
    with header.quiet_pydicom():
        dataset = filled(empty(), markers)
    named = {tag for tag in set(ACTIONS) - NOT_IN_DATA if keyword_for_tag(tag)}
    assert named <= {(element.tag.group, element.tag.element) for element in dataset} and len(named) > 600


@pytest.mark.parametrize("enhanced", [False, True])
def test_nothing_that_the_profile_names_is_in_what_is_written(tmp_path, full_input, enhanced):
    folder, cine, markers = full_input
    named = write(tmp_path / "named", cine, like=read_stack(folder), enhanced=enhanced)
    assert len(markers.left_in(named[0])) > 20  # there is something to take out
    derivation = Derivation("unrolled", 4.0, "the folder of Jane Doe")
    paths = write(
        tmp_path / "out",
        cine,
        like=read_stack(folder),
        derivation=derivation,
        enhanced=enhanced,
        anonymiser=ANONYMISER,
    )
    for path in paths:
        assert markers.left_in(path) == []
        content = path.read_bytes()
        for word in (b"Jane", b"Doe", b"MAKER", b"9.42.1", b"secret"):
            assert word not in content
        image = pydicom.dcmread(path)
        assert (image.PatientID, image.PatientName) == ("subject-1234", "subject-1234")
        assert image.PatientIdentityRemoved == "YES" and "Basic Profile" in image.DeidentificationMethod
        assert image.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
        assert image.LongitudinalTemporalInformationModified == "REMOVED"
        assert image.SeriesDescription == "csmri unrolled R = 4.00"
        assert image.DerivationDescription.endswith("R = 4.00. Not for diagnosis.")
        assert image.StudyDate == image.StudyTime == image.PatientBirthDate == image.PatientSex == ""
        assert not any(element.tag.is_private for element in image.iterall())


@pytest.mark.parametrize("needed", [(), ("ContentDate", "DeviceSerialNumber", "AcquisitionContextSequence")])
def test_nothing_is_left_of_a_dataset_with_everything(tmp_path, needed):
    make_input(tmp_path / "in")
    path, markers = sorted((tmp_path / "in").iterdir())[0], Markers()
    with header.quiet_pydicom():
        dataset = filled(pydicom.dcmread(path), markers)
        save(dataset, path)
        assert set(markers.left_in(path)) == set(markers.texts)
        dataset = pydicom.dcmread(path)
        ANONYMISER.apply(dataset, needed=needed)
        save(dataset, path)
        assert markers.left_in(path) == []
        again = pydicom.dcmread(path)
        for element in again.iterall():
            for vr, number in NUMBERS.items():
                assert element.VR != vr or element.value != number, element
    assert not {"AcquisitionDate", "InstitutionName", "SeriesDescription"} & set(again.dir())
    assert again.ContentDate == ("19000101" if needed else "")
    assert again.get("DeviceSerialNumber") == ("ANONYMISED" if needed else None)
    assert again.get("AcquisitionContextSequence") == ([] if needed else None)


def test_names_and_dates_that_the_table_does_not_know_are_taken_out_too():
    markers = Markers()
    unnamed = {(tag >> 16, tag & 0xFFFF): entry[0] for tag, entry in DicomDictionary.items() if tag >> 16 > 2}
    unnamed = {tag for tag, vr in unnamed.items() if vr in ("PN", "DA", "DT") and tag not in ACTIONS}
    assert len(unnamed) > 10
    with header.quiet_pydicom():
        dataset = empty()
        for tag in unnamed:
            dataset.add(markers.element(tag))
        ANONYMISER.apply(dataset)
    assert not unnamed & {(element.tag.group, element.tag.element) for element in dataset}


def test_uids_stay_consistent(tmp_path, full_input):
    folder, cine, _ = full_input
    like = read_stack(folder)
    named = [pydicom.dcmread(path) for path in write(tmp_path / "named", cine, like=like)]
    for name, anonymiser in (("one", ANONYMISER), ("again", Anonymiser("other", salt=SALT))):
        images = [pydicom.dcmread(path) for path in write(tmp_path / name, cine, like=like, anonymiser=anonymiser)]
        for before, after in zip(named, images, strict=True):
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID"):
                assert after[keyword].value == ANONYMISER.uid(before[keyword].value) != before[keyword].value
            assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
            source = before.SourceImageSequence[0].ReferencedSOPInstanceUID
            assert after.SourceImageSequence[0].ReferencedSOPInstanceUID == ANONYMISER.uid(source)
            assert after.SOPClassUID == before.SOPClassUID
            assert after.SourceImageSequence[0].ReferencedSOPClassUID == before.SOPClassUID
            for keyword in ("ImagePositionPatient", "TriggerTime", "InstanceNumber", "PixelData"):
                assert after[keyword].value == before[keyword].value
    stranger = Anonymiser("subject-1234", salt="fedcba9876543210")
    assert stranger.uid("1.2.3") != ANONYMISER.uid("1.2.3")


def test_uids_are_valid_and_standard_ones_stay():
    found = {ANONYMISER.uid(generate_uid(entropy_srcs=[str(number)])) for number in range(200)}
    assert len(found) == 200
    assert all(pydicom.uid.UID(uid).is_valid and uid.startswith("2.25.") for uid in found)
    assert ANONYMISER.uid("1.2.840.10008.5.1.4.1.1.4") == "1.2.840.10008.5.1.4.1.1.4" and ANONYMISER.uid("") == ""


@pytest.mark.parametrize(
    ("subject", "salt", "message"), [(" ", SALT, "pseudonym"), ("a\\b", SALT, "pseudonym"), ("a", "short", "salt of 5")]
)
def test_refusals(subject, salt, message):
    with pytest.raises(CsmriError, match=f"{message}.*expected"):
        Anonymiser(subject, salt=salt)
