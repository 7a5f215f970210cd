"""How images that are written say what they were made of, and by what."""

from __future__ import annotations

import contextlib
import hashlib
import unicodedata
from dataclasses import dataclass

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from csmri import __version__
from csmri.formats.dicom.anonymise import Anonymiser
from csmri.formats.dicom.origin import Origin, copied, uid_of
from csmri.formats.dicom.values import Scale

NOT_FOR_DIAGNOSIS = "Not for diagnosis."
# PS3.16 has no code for it (context group 7203, which may be extended).
RECONSTRUCTION = ("KT-RECON", "99CSMRI", "Reconstruction of undersampled k-space")
SOURCE_IMAGE = ("121322", "DCM", "Source image for image processing operation")
PROCESSING_EQUIPMENT = ("109102", "DCM", "Processing Equipment")
LONGEST_LO, LONGEST_ST = 64, 1024
LARGEST_IS = 2**31 - 1


@dataclass(frozen=True)
class Derivation:
    """How the images were made, as people read it.

    Parameters
    ----------
    method : str
        Name of the method or network; it is kept in de-identified images, so it names no person.
    acceleration : float or None
        Achieved acceleration R, None where nothing was undersampled or nobody knows.
    of : str
        What the images were made of, with "of" in front of it; left out of de-identified images.
    """

    method: str = ""
    acceleration: float | None = None
    of: str = ""

    @property
    def name(self) -> str:
        """Method and acceleration in a few words."""
        speed = "" if self.acceleration is None else f"R = {self.acceleration:.2f}"
        return " ".join(part for part in ("csmri", self.method, speed) if part)

    def text(self, *, anonymous: bool) -> str:
        """Whole sentences, at most 1024 characters."""
        speed = "" if self.acceleration is None else f", acceleration R = {self.acceleration:.2f}"
        source = f", of {self.of}" if self.of and not anonymous else ""
        start = _plain(f"csmri {__version__}: {self.method or 'images'}{speed}{source}")
        return f"{start[: LONGEST_ST - len(NOT_FOR_DIAGNOSIS) - 2].rstrip('.')}. {NOT_FOR_DIAGNOSIS}"


@dataclass(frozen=True)
class Series:
    """What all images of the new series have in common.

    Parameters
    ----------
    origins : slices of frames
    scale : Scale
    derivation : Derivation
    content : str
        Hash of all that goes in, which UIDs are made of: the same input and options give the same UIDs.
    anonymiser : Anonymiser or None
    """

    origins: list[list[Origin]]
    scale: Scale
    derivation: Derivation
    content: str
    anonymiser: Anonymiser | None

    def uid(self, *parts: str) -> str:
        """UID of something in the series."""
        return uid_of(self.content, *parts)

    @property
    def number(self) -> int:
        """Series number: that of the input and two digits of the acceleration, 300 at R = 4 is 30004."""
        first = self.origins[0][0].source
        speed = max(1, min(99, round(self.derivation.acceleration or 1)))
        with contextlib.suppress(TypeError, ValueError):
            before = abs(int(first.get("SeriesNumber") or 0))
            if 100 * before + speed <= LARGEST_IS:
                return 100 * before + speed
        return speed

    def anonymise(self, dataset: Dataset, *, needed: tuple[str, ...] = ()) -> None:
        """De-identify a finished dataset if that was asked for."""
        if self.anonymiser is not None:
            self.anonymiser.apply(dataset, needed=needed)
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID


def content_of(origins: list[list[Origin]], derivation: Derivation, scale: Scale, pixels: bytes, kind: str) -> str:
    """Hash of the sources, the options and the pixels."""
    digest = hashlib.sha256(pixels)
    sources = [str(origin.source.get("SOPInstanceUID", "")) for frames in origins for origin in frames]
    study = origins[0][0].kept.StudyInstanceUID
    for part in (study, *sources, derivation.text(anonymous=False), scale.slope, scale.intercept, kind):
        digest.update(f"{part}\0".encode())
    return digest.hexdigest()


def new_file(kept: Dataset, sop_class: str, uid: str) -> Dataset:
    """Dataset with what is kept of its origin, ready to be a file of its own."""
    dataset = Dataset()
    for element in kept:
        dataset.add(copied(element))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = UID(sop_class)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = UID(uid)
    dataset.Modality, dataset.ContentQualification = "MR", "RESEARCH"
    return dataset


def add_derivation(dataset: Dataset, series: Series) -> None:
    """Say what was done; after de-identification, because these are no words of the input."""
    anonymous = series.anonymiser is not None
    before = "" if anonymous else _words(series.origins[0][0].source, "SeriesDescription")
    name = _plain(series.derivation.name)
    dataset.SeriesDescription = (f"{name}, {before}" if before else name)[:LONGEST_LO].rstrip(" ,")
    dataset.DerivationDescription = series.derivation.text(anonymous=anonymous)
    dataset.DerivationCodeSequence = [coded(RECONSTRUCTION)]
    equipment = Dataset()
    equipment.PurposeOfReferenceCodeSequence = [coded(PROCESSING_EQUIPMENT)]
    equipment.Manufacturer, equipment.SoftwareVersions = "csmri", __version__
    dataset.ContributingEquipmentSequence = [equipment]


def source_image(origin: Origin) -> Dataset:
    """Reference to the image of the input at the same place and time; a method may have used others of the slice."""
    item = reference(origin)
    if origin.frame is not None:
        item.ReferencedFrameNumber = origin.frame + 1
    item.PurposeOfReferenceCodeSequence = [coded(SOURCE_IMAGE)]
    return item


def reference(origin: Origin) -> Dataset:
    """Reference to the file of the input."""
    item = Dataset()
    item.ReferencedSOPClassUID = origin.source.SOPClassUID
    item.ReferencedSOPInstanceUID = origin.source.SOPInstanceUID
    return item


def coded(code: tuple[str, str, str]) -> Dataset:
    """Item of a code sequence: value, scheme, meaning."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return item


def _words(source: Dataset, keyword: str) -> str:
    with contextlib.suppress(Exception):  # decoding unknown character sets raises many things
        return " ".join(str(source.get(keyword) or "").split())
    return ""


def _plain(text: str) -> str:
    """Text in the characters that every character set of DICOM has, in one line."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join(ascii_only.replace("\\", "/").split())
