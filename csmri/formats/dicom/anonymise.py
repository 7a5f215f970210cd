"""De-identification by the Basic Profile of DICOM PS3.15 E.1, without any of its options."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections.abc import Collection, Iterator

from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from pydicom.datadict import dictionary_has_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.tag import BaseTag

from csmri import __version__
from csmri.core.errors import CsmriError

STANDARD_UIDS = "1.2.840.10008."
PROFILE = Code("113100", "DCM", "Basic Application Confidentiality Profile")
# Letters of table E.1-1 by the names that dicom-anonymizer gives its lists; "*" is said of sequences that hold UIDs.
LETTERS = {
    "X_TAGS": "X",
    "Z_TAGS": "Z",
    "D_TAGS": "D",
    "U_TAGS": "U",
    "Z_D_TAGS": "ZD",
    "X_Z_TAGS": "XZ",
    "X_D_TAGS": "XD",
    "X_Z_D_TAGS": "XZD",
    "X_Z_U_STAR_TAGS": "*",
}
TABLE = dicom_anonymization_database_selector("dicomfields_2026c")
ACTIONS = {tuple(tag): letters for name, letters in LETTERS.items() for tag in TABLE[name] if len(tag) == 2}
REPEATING = [(tag, letters) for name, letters in LETTERS.items() for tag in TABLE[name] if len(tag) == 4]
DUMMIES = {"DA": "19000101", "TM": "000000", "DT": "19000101000000", "AS": "000Y"}
FILE_META = {0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013}
PERSONAL = {"PN", "DA", "DT"}
"""Kinds of values that are taken out even where the table does not name the element."""


class Anonymiser:
    """Takes out of DICOM images who was scanned, when and where, and gives other UIDs.

    The same UID becomes the same other one wherever it stands, for all images and series with the same salt; without
    the salt nobody can find it out. The rules are those of table E.1-1, in the list that dicom-anonymizer keeps; its
    own functions look at the outermost elements only, and give UIDs that differ from run to run. Dates are taken out,
    not shifted. Pixels are not looked at: a name burnt into them stays.

    Parameters
    ----------
    subject : str
        Pseudonym, for PatientID and PatientName.
    salt : str
        Secret, best the one of the key of pseudonyms; at least 16 characters.

    Raises
    ------
    CsmriError
        If the pseudonym is empty or the salt too short.
    """

    def __init__(self, subject: str, *, salt: str) -> None:
        if not subject.strip() or "\\" in subject:
            raise CsmriError(f"pseudonym {subject!r}: expected a text without backslash for PatientID; choose another")
        if len(salt) < 16:
            raise CsmriError(
                f"salt of {len(salt)} characters: others could guess it; expected at least 16, random ones"
            )
        self.subject = subject
        self._salt = salt.encode("utf-8")

    def uid(self, uid: str) -> str:
        """The UID that stands for another; those that DICOM itself defines stay."""
        if not uid or uid.startswith(STANDARD_UIDS):
            return uid
        digest = hmac.new(self._salt, uid.encode("utf-8"), hashlib.sha256).digest()
        return f"2.25.{int.from_bytes(digest[:16], 'big')}"

    def apply(self, dataset: Dataset, *, needed: Collection[str] = ()) -> None:
        """De-identify a dataset, its file meta information and all that is nested in it, in place.

        Parameters
        ----------
        dataset : Dataset
            Complete, with all elements that its modules demand.
        needed : keywords
            Elements that have to be there, and get a dummy or become empty where the table leaves the choice; others
            go.
        """
        self._clean(dataset, frozenset(needed))
        if hasattr(dataset, "file_meta"):
            self._clean(dataset.file_meta, frozenset())
            # The names of those who sent the file, and what is private, no table names.
            for tag in [tag for tag in dataset.file_meta.keys() if tag not in FILE_META]:
                del dataset.file_meta[tag]
        dataset.PatientID = dataset.PatientName = self.subject
        dataset.PatientIdentityRemoved = "YES"
        dataset.LongitudinalTemporalInformationModified = "REMOVED"
        dataset.DeidentificationMethod = f"csmri {__version__}: DICOM PS3.15 E.1 Basic Profile, no options"
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = PROFILE[:3]
        dataset.DeidentificationMethodCodeSequence = [item]

    def _clean(self, dataset: Dataset, needed: frozenset[str]) -> None:
        for element in _elements(dataset):
            letters = _letters(element)
            if letters == "U" or (element.VR == "UI" and letters == "keep"):
                values = [element.value] if element.VM <= 1 else element.value
                found = [self.uid(str(one)) for one in values if one]
                dataset[element.tag].value = found[0] if len(found) == 1 else found
            elif letters in ("*", "keep"):
                if element.VR == "SQ":
                    for item in element.value:
                        self._clean(item, needed)
            elif "D" in letters and (letters == "D" or element.keyword in needed):
                dataset[element.tag] = _dummy(element)
            elif "Z" in letters and ("X" not in letters or element.keyword in needed):
                dataset[element.tag] = DataElement(element.tag, element.VR, [] if element.VR == "SQ" else None)
            else:
                del dataset[element.tag]


def _elements(dataset: Dataset) -> Iterator[DataElement]:
    """Elements that can be understood; private ones, group lengths and what nobody knows are deleted."""
    for tag in list(dataset.keys()):
        element = None
        with contextlib.suppress(Exception):  # damaged values raise anything when they are decoded
            element = dataset[tag]
        # No private element stands in the dictionary.
        is_known = dictionary_has_tag(tag) or _repeating(BaseTag(tag))
        if element is None or not is_known or not BaseTag(tag).element:
            del dataset[tag]
        else:
            yield element


def _letters(element: DataElement) -> str:
    """Letters of the table, "keep" where it does not name the element."""
    letters = ACTIONS.get((element.tag.group, element.tag.element)) or _repeating(element.tag)
    return letters or ("X" if element.VR in PERSONAL else "keep")


def _repeating(tag: BaseTag) -> str:
    for (group, element, group_bits, element_bits), letters in REPEATING:
        if tag.group & group_bits == group & group_bits and tag.element & element_bits == element & element_bits:
            return letters
    return ""


def _dummy(element: DataElement) -> DataElement:
    """The element with a value that says nothing."""
    if element.VR == "SQ":
        return DataElement(element.tag, "SQ", [])
    if element.VR in ("OB", "OW", "UN"):
        return DataElement(element.tag, element.VR, b"\0\0")
    return DataElement(element.tag, element.VR, DUMMIES.get(element.VR, "ANONYMISED"))
