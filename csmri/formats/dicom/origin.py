"""What an image that is written keeps of the image it was made of: person, study, scanner, place and time.

Kept are named elements of the modules that PS3.3 has for an MR image, no more: no private elements, nothing that
describes the pixels of the input. Without a DICOM input they are made of what the cine tells.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pydicom.valuerep import format_number_as_ds, validate_value

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace
from csmri.formats.dicom.geometry import SAME_DIRECTION
from csmri.formats.dicom.header import Header, quiet_pydicom
from csmri.formats.dicom.stack import Stack
from csmri.formats.geometry import LPS_TO_RAS
from csmri.formats.gif import edges_ms
from csmri.formats.parsing import parsing

PERSON = """
    SpecificCharacterSet PatientName PatientID IssuerOfPatientID TypeOfPatientID PatientBirthDate PatientBirthTime
    PatientSex OtherPatientNames EthnicGroup PatientComments PatientSpeciesDescription PatientSpeciesCodeSequence
    PatientBreedDescription PatientBreedCodeSequence BreedRegistrationSequence PatientSexNeutered ResponsiblePerson
    ResponsiblePersonRole ResponsibleOrganization PatientIdentityRemoved DeidentificationMethod
    DeidentificationMethodCodeSequence ClinicalTrialSponsorName ClinicalTrialProtocolID ClinicalTrialProtocolName
    ClinicalTrialSiteID ClinicalTrialSiteName ClinicalTrialSubjectID ClinicalTrialSubjectReadingID
    ClinicalTrialTimePointID ClinicalTrialTimePointDescription ClinicalTrialCoordinatingCenterName"""
STUDY = """
    StudyInstanceUID StudyDate StudyTime ReferringPhysicianName StudyID AccessionNumber StudyDescription
    IssuerOfAccessionNumberSequence PhysiciansOfRecord NameOfPhysiciansReadingStudy ProcedureCodeSequence
    AdmittingDiagnosesDescription PatientAge PatientSize PatientWeight MedicalAlerts Allergies PregnancyStatus
    Occupation SmokingStatus AdditionalPatientHistory LongitudinalTemporalInformationModified"""
SERIES = """
    SeriesDate SeriesTime PatientPosition ProtocolName PerformingPhysicianName
    OperatorsName AnatomicalOrientationType FrameOfReferenceUID PositionReferenceIndicator"""
SCANNER = """
    Manufacturer InstitutionName InstitutionAddress StationName InstitutionalDepartmentName ManufacturerModelName
    DeviceSerialNumber SoftwareVersions GantryID DateOfLastCalibration TimeOfLastCalibration"""
PLACE = "PixelSpacing ImagePositionPatient ImageOrientationPatient SliceThickness SpacingBetweenSlices SliceLocation"
MOMENT = """
    AcquisitionNumber AcquisitionDate AcquisitionTime AcquisitionDateTime ContentDate ContentTime TriggerTime
    NominalInterval BeatRejectionFlag LowRRValue HighRRValue IntervalsAcquired IntervalsRejected PVCRejection SkipBeats
    HeartRate CardiacNumberOfImages TriggerWindow"""
SEQUENCE = """
    ScanningSequence SequenceVariant ScanOptions MRAcquisitionType SequenceName AngioFlag NumberOfAverages
    ImagingFrequency ImagedNucleus EchoNumbers MagneticFieldStrength NumberOfPhaseEncodingSteps EchoTrainLength
    PercentSampling PercentPhaseFieldOfView PixelBandwidth RepetitionTime EchoTime InversionTime ReconstructionDiameter
    ReceiveCoilName TransmitCoilName AcquisitionMatrix InPlanePhaseEncodingDirection FlipAngle SAR VariableFlipAngleFlag
    dBdt B1rms TemporalResolution ContrastBolusAgent ContrastBolusRoute ContrastBolusVolume
    LossyImageCompression LossyImageCompressionRatio LossyImageCompressionMethod BurnedInAnnotation"""
KEPT = " ".join((PERSON, STUDY, SERIES, SCANNER, PLACE, MOMENT, SEQUENCE)).split()
TYPE_2 = """
    PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime ReferringPhysicianName StudyID AccessionNumber
    PatientPosition PositionReferenceIndicator Manufacturer ContentDate ContentTime SliceThickness ScanOptions
    MRAcquisitionType EchoTime EchoTrainLength RepetitionTime""".split()
"""Elements that an MR image has to have, if need be without a value."""


GATED = {"CG", "PPG"}


@dataclass(frozen=True)
class Origin:
    """The image that an image was made of.

    Parameters
    ----------
    kept : Dataset
        What is kept of it, complete with place, time and the elements that must be there.
    source : Dataset
        All of its header; empty where there is no DICOM input.
    instance : int
        Number of the image in its series.
    frame : int or None
        Its number in a multi-frame file, from 0.
    """

    kept: Dataset
    source: Dataset
    instance: int
    frame: int | None = None

    @property
    def is_citable(self) -> bool:
        """Whether the input has the UIDs that tell which image it is."""
        return all(self.source.get(name) for name in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"))

    def layers(self) -> Iterator[Dataset]:
        """The header, and for a frame of a multi-frame file the items of its functional groups."""
        return _layers(self.source, self.frame)


def origins(cine: Cine, like: Stack | None) -> list[list[Origin]]:
    """Origin of every image, slices of frames, in the order of the cine.

    Raises
    ------
    CsmriError
        If `like` has other slices, frames or pixels than the cine, a file cannot be read again, or, without `like`, the
        cine does not tell its geometry.
    """
    with quiet_pydicom():
        found = _made(cine) if like is None else _read(cine, like)
        for slice_index, frames in enumerate(found):
            for frame, origin in enumerate(frames):
                _complete(origin.kept, cine, slice_index, frame)
    return found


def uid_of(*parts: str) -> str:
    """UID that the same parts give again."""
    return generate_uid(entropy_srcs=["csmri", *parts])


def _read(cine: Cine, like: Stack) -> list[list[Origin]]:
    where = f"{like.headers[0][0].path.parent}"
    shape = (len(like.headers), len(like.headers[0]), *like.headers[0][0].matrix)
    if shape != cine.images.shape or any(len(frames) != shape[1] for frames in like.headers):
        raise CsmriError(
            f"{where}: expected the DICOM images that the cine was made of, {cine.images.shape} (slice, frame, y, x), "
            f"found {shape}; give the folder that was reconstructed"
        )
    headers = [header for frames in like.headers for header in frames]
    numbers = [header.instance for header in headers]
    is_numbered = len({number for number in numbers if number is not None}) == len(numbers)
    files: dict[Path, Dataset] = {}
    found: list[Origin] = []
    for count, header in enumerate(headers):
        if header.path not in files:
            with parsing(header.path, "a DICOM file", "it was read before; do not change the folder meanwhile"):
                files[header.path] = pydicom.dcmread(header.path, stop_before_pixels=True, force=True)
        source, frame = files[header.path], getattr(header, "frame", None)
        instance = header.instance if is_numbered and header.instance is not None else count + 1
        found.append(Origin(_kept(source, frame, header), source, instance, frame))
    return [found[start : start + shape[1]] for start in range(0, len(found), shape[1])]


def _kept(source: Dataset, frame: int | None, header: Header) -> Dataset:
    kept = Dataset()
    for layer in _layers(source, frame):
        for keyword in KEPT:
            # What a vendor wrote wrongly raises anything when it is decoded, and is not kept.
            with contextlib.suppress(Exception):
                if keyword not in kept and keyword in layer and (element := _sound(layer[keyword])) is not None:
                    kept.add(element)
    # What is of one image in a multi-frame file, and what a reader had to repair, is told by the header.
    geometry = {
        "ImagePositionPatient": header.position_mm,
        "ImageOrientationPatient": header.orientation,
        "PixelSpacing": header.spacing_mm,
    }
    for keyword, values in geometry.items():
        if values is not None and not _agree(kept.get(keyword), values):
            setattr(kept, keyword, _ds(values))
    if header.trigger_ms is not None and not _agree(kept.get("TriggerTime"), [header.trigger_ms]):
        kept.TriggerTime = _ds([header.trigger_ms])[0]
    return kept


def _layers(source: Dataset, frame: int | None) -> Iterator[Dataset]:
    """The dataset, and for a frame of a multi-frame file its functional groups."""
    yield source
    if frame is None:
        return
    for owner, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        with contextlib.suppress(IndexError, KeyError, TypeError, ValueError):
            for group in source[owner].value[index]:
                if group.VR == "SQ" and group.value:
                    yield group.value[0]


def _agree(element: object, values: tuple[float, ...] | list[float]) -> bool:
    with contextlib.suppress(TypeError, ValueError):
        found = np.atleast_1d(np.array(element, np.float64))
        return found.shape == (len(values),) and bool(np.allclose(found, values, rtol=1e-6, atol=1e-6))
    return False


def copied(element: DataElement) -> DataElement:
    """Copy of an element whose value, and what is nested in it, can be replaced."""
    # Deep copies of all took most of the time of writing.
    return copy.deepcopy(element) if element.VR == "SQ" else copy.copy(element)


def _sound(element: DataElement) -> DataElement | None:
    """Copy of an element without private parts, or None where it is empty or breaks DICOM's rules of writing.

    Names and numbers of the person and the study stay as they are: changed, nobody would find the series again.
    """
    if element.is_empty:
        return None
    element = copied(element)
    if element.VR == "SQ":
        for item in element.value:
            item.remove_private_tags()
    elif element.VR in ("AS", "CS", "DA", "DS", "DT", "IS", "TM"):
        parts = [element.value] if element.VM == 1 else element.value
        for part in parts:
            validate_value(element.VR, str(getattr(part, "original_string", part)), pydicom.config.RAISE)
            if element.VR == "DA":
                datetime.datetime.strptime(str(part), "%Y%m%d")
    return element


def _made(cine: Cine) -> list[list[Origin]]:
    """Origins of a cine that was not read from DICOM."""
    affine = affine_lps(cine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    directions = affine[:3, :2] / spacing[:2]
    place = hashlib.sha256(np.round(affine, 4).tobytes()).hexdigest()
    times = "" if cine.frame_times_ms is None else np.asarray(cine.frame_times_ms, np.float32).tobytes().hex()
    named = (cine.subject, place, times, str(cine.images.shape))
    made = []
    for slice_index in range(cine.n_slices):
        kept = Dataset()
        kept.SpecificCharacterSet = "ISO_IR 192"
        kept.PatientID = re.sub(r"[\\\x00-\x1f\x7f]", "_", cine.subject)[:64]
        # Methods and accelerations of one cine come to lie in one study.
        kept.StudyInstanceUID, kept.FrameOfReferenceUID = uid_of("study", *named), uid_of("place", *named)
        kept.ImagePositionPatient = _ds(affine[:3] @ [0, 0, slice_index, 1])
        kept.ImageOrientationPatient = _ds(directions.T.ravel())
        kept.PixelSpacing = _ds(spacing[1::-1])
        kept.SpacingBetweenSlices = _ds(spacing[2:])[0]
        start = slice_index * cine.n_frames + 1
        made.append([Origin(copy.deepcopy(kept), Dataset(), start + frame) for frame in range(cine.n_frames)])
    return made


def affine_lps(cine: Cine | KSpace) -> np.ndarray:
    """From (x, y, slice, 1) to LPS coordinates in mm; axes along the patient's where only the spacing is known."""
    where = cine.provenance or f"subject {cine.subject}"
    advice = "write .nii.gz or .npz"
    if cine.affine is None:
        if cine.spacing_mm is None or (cine.slice_spacing_mm is None and cine.n_slices > 1):
            raise CsmriError(f"{where}: the spacing of pixels and slices is unknown, and DICOM needs it; {advice}")
        return np.diag([cine.spacing_mm[1], cine.spacing_mm[0], cine.slice_spacing_mm or 1.0, 1.0])
    affine = LPS_TO_RAS @ np.asarray(cine.affine, np.float64)
    x, y, step = affine[:3, :3].T
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or lengths.min() <= 0:
        raise CsmriError(f"{where}: the affine has an axis without length, and DICOM needs all; {advice}")
    if abs(x @ y) > SAME_DIRECTION * lengths[0] * lengths[1] or abs(np.cross(x, y) @ step) < 1e-3 * lengths.prod():
        raise CsmriError(f"{where}: the affine is sheared, and rows of DICOM are perpendicular to columns; {advice}")
    return affine


def _complete(kept: Dataset, cine: Cine, slice_index: int, frame: int) -> None:
    """Fill in what an MR image has to have, and what the cine tells of the time."""
    if cine.frame_times_ms is not None:
        beat_ms = float(edges_ms(cine)[-1])
        timing: dict[str, object] = {"TriggerTime": _ds([float(cine.frame_times_ms[frame])])[0]}
        if beat_ms > 0:
            timing |= {"NominalInterval": round(beat_ms), "HeartRate": round(60_000 / beat_ms)}
        for keyword, value in timing.items():
            if keyword not in kept:
                setattr(kept, keyword, value)
    kept.setdefault("StudyInstanceUID", uid_of("study", cine.subject, cine.provenance))
    kept.setdefault("FrameOfReferenceUID", uid_of("place", kept.StudyInstanceUID))
    # Said so, because what scanners are told ("WHOLE BODY") asks for a laterality.
    kept.BodyPartExamined = "HEART"
    # Text of files that name no character set was read as this one.
    kept.setdefault("SpecificCharacterSet", "ISO_IR 100")
    # "Research mode" is the only one that claims nothing of the pulses.
    kept.setdefault("ScanningSequence", "RM")
    kept.setdefault("SequenceVariant", "NONE")
    kept.CardiacNumberOfImages = cine.n_frames
    kept.NumberOfTemporalPositions, kept.TemporalPositionIdentifier = cine.n_frames, frame + 1
    if kept.get("TriggerTime") is not None:
        # Times after the R wave belong to images that were gated with it, and are told of no others.
        options = np.atleast_1d(kept.get("ScanOptions") or []).tolist()
        kept.ScanOptions = options if GATED & set(options) else [*options, "CG"]
    for keyword in TYPE_2:
        if keyword not in kept:
            setattr(kept, keyword, None)


def _ds(values: np.ndarray | tuple[float, ...] | list[float]) -> list[str]:
    """Numbers as DICOM writes them, at most 16 characters each."""
    return [format_number_as_ds(round(float(value), 9) + 0.0) for value in values]
