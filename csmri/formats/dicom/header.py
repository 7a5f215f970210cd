"""What one DICOM image says of its place in space and time, and nothing else of it."""

from __future__ import annotations

import contextlib
import datetime
import logging
import math
import re
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

MULTI_FRAME_TAGS = [
    "DimensionIndexSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "FrameTime",
    "FrameTimeVector",
]  # fmt: skip
KEYWORDS = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesDescription", "SeriesNumber",
    "PatientID", "Modality", "InstanceNumber", "ImageType", "ComplexImageComponent", "SequenceName",
    "PulseSequenceName", "ScanningSequence", "EchoTime", "TriggerTime", "TemporalPositionIdentifier",
    "AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime", "NominalInterval",
    "CardiacNumberOfImages", "TemporalResolution", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel",
    "BitsAllocated", "PhotometricInterpretation", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient",
    "SpacingBetweenSlices", "SliceThickness", "RescaleSlope", "RescaleIntercept", *MULTI_FRAME_TAGS,
]  # fmt: skip
GE_TAGS = [0x00430010, 0x0043102F]
TAGS = [*(tag for keyword in KEYWORDS if (tag := tag_for_keyword(keyword))), *GE_TAGS]
VALUE_KINDS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT OB OW PN SH SL SQ SS ST TM UI UL UN US UT".split())
# Elements that a file without preamble begins with.
FIRST_TAGS = {(2, 0), (2, 1), (2, 2), (8, 0), (8, 1), (8, 5), (8, 6), (8, 8), (8, 0x12), (8, 0x16)}
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
COMPONENTS = {
    "phase": {"P", "PHASE", "PHASE MAP", "PHASE_MAP", "V", "VELOCITY", "VELOCITY MAP"},
    "real": {"R", "REAL"},
    "imaginary": {"I", "IMAGINARY"},
}


@dataclass(frozen=True)
class Header:
    """What one DICOM image says of itself; positions and directions in LPS coordinates, None where it is silent.

    An image of a multi-frame file has `frame`, its number in the file counted from 0; `instance` is the file's.
    """

    path: Path
    frame: int | None
    uid: str  # SOPInstanceUID
    patient: str
    study: str
    series: str
    series_number: int | None
    series_name: str
    protocol: tuple[str, ...]  # of two images of one stack the same
    component: str  # "phase", "real", "imaginary"; "" for magnitude
    stack_id: str
    instance: int | None
    trigger_ms: float | None
    temporal: float | None
    acquired_s: float | None
    content_s: float | None
    beat_ms: float | None  # from R wave to R wave
    frames_a_beat: float | None
    frame_step_ms: float | None
    matrix: tuple[int, int]  # (y, x)
    spacing_mm: tuple[float, ...] | None  # (y, x)
    position_mm: tuple[float, ...] | None
    orientation: tuple[float, ...] | None  # direction of x, then of y
    slice_step_mm: float
    thickness_mm: float | None
    slope: float
    intercept: float
    is_inverted: bool  # MONOCHROME1
    is_colour: bool
    is_capture: bool  # of a screen

    @property
    def name(self) -> str:
        """File name, and which frame of it, as messages call the image."""
        return self.path.name if self.frame is None else f"frame {self.frame + 1} of {self.path.name}"

    @property
    def is_placed(self) -> bool:
        """Whether it says where in the body it lies."""
        return self.position_mm is not None and self.orientation is not None


@contextlib.contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Hide pydicom's warnings: archives break DICOM's rules (UIDs with leading zeros) where it does not matter.

    Elements are converted when they are asked for, so that this encloses the asking, too.
    """
    logger = logging.getLogger("pydicom")
    level = logger.level
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore", UserWarning)
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logger.setLevel(level)


def is_dicom(path: Path) -> bool:
    """Tell from the first bytes whether a file is DICOM (and not the index DICOMDIR)."""
    if path.name.upper() == "DICOMDIR":
        return False
    with contextlib.suppress(OSError), path.open("rb") as file:
        return starts_dicom(file)
    return False


def starts_dicom(file: BinaryIO) -> bool:
    """Tell from the first bytes, without trusting the preamble: old exports have none."""
    start = file.read(140)
    file.seek(0)
    if start[128:132] == b"DICM":
        return True
    if len(start) < 16:
        return False
    for order in "<>":
        group, element = struct.unpack(f"{order}HH", start[:4])
        if (group, element) not in FIRST_TAGS:
            continue
        if start[4:6] in VALUE_KINDS or struct.unpack(f"{order}I", start[4:8])[0] <= 64:
            return True
    return False


def transfer_syntax(dataset: Dataset) -> UID:
    """How pixels are stored; of a file that does not tell, how it was parsed."""
    syntax = text(dataset.file_meta, "TransferSyntaxUID")
    if not syntax:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        return ImplicitVRLittleEndian if implicit else explicit
    return UID(syntax, pydicom.config.IGNORE)


def header_of(dataset: Dataset, path: Path, matrix: tuple[int, int]) -> Header:
    """Header of an image that is alone in its file, or what the images of a multi-frame file have in common."""
    step = numbers(dataset, "SpacingBetweenSlices", 1) or numbers(dataset, "SliceThickness", 1) or (1.0,)
    series_number, instance = number(dataset, "SeriesNumber"), number(dataset, "InstanceNumber")
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    acquired = moment(text(dataset, "AcquisitionDateTime"))
    if acquired is None:
        acquired = moment(text(dataset, "AcquisitionDate") + text(dataset, "AcquisitionTime"))
    return Header(
        path=path,
        frame=None,
        uid=text(dataset, "SOPInstanceUID"),
        patient=text(dataset, "PatientID"),
        study=text(dataset, "StudyInstanceUID"),
        series=text(dataset, "SeriesInstanceUID"),
        series_number=None if series_number is None else int(series_number),
        series_name=text(dataset, "SeriesDescription"),
        protocol=_protocol(dataset),
        component=component_of(dataset),
        stack_id="",
        instance=None if instance is None else int(instance),
        trigger_ms=number(dataset, "TriggerTime"),
        temporal=number(dataset, "TemporalPositionIdentifier"),
        acquired_s=acquired,
        content_s=moment(text(dataset, "ContentDate") + text(dataset, "ContentTime")),
        beat_ms=number(dataset, "NominalInterval"),
        frames_a_beat=number(dataset, "CardiacNumberOfImages"),
        frame_step_ms=number(dataset, "TemporalResolution"),
        matrix=matrix,
        spacing_mm=numbers(dataset, "PixelSpacing", 2),
        position_mm=numbers(dataset, "ImagePositionPatient", 3),
        orientation=numbers(dataset, "ImageOrientationPatient", 6),
        slice_step_mm=abs(step[0]) or 1.0,
        thickness_mm=number(dataset, "SliceThickness"),
        slope=1.0 if slope is None else slope,
        intercept=0.0 if intercept is None else intercept,
        is_inverted=text(dataset, "PhotometricInterpretation").upper() == "MONOCHROME1",
        is_colour=(number(dataset, "SamplesPerPixel") or 1.0) != 1,
        is_capture=text(dataset, "SOPClassUID").startswith(SECONDARY_CAPTURE),
    )


def component_of(dataset: Dataset) -> str:
    """Which part of the complex image it is: "phase", "real", "imaginary", or "" for magnitude and unknown."""
    stated = text(dataset, "ComplexImageComponent").lower()
    if stated in ("magnitude", *COMPONENTS):
        return stated.removeprefix("magnitude")
    if text(dataset, 0x00430010).startswith("GEMS_PARM"):
        return {1: "phase", 2: "real", 3: "imaginary"}.get(int(number(dataset, 0x0043102F) or 0), "")
    values = {value.upper() for value in texts(dataset, "FrameType" if "FrameType" in dataset else "ImageType")[2:4]}
    return next((component for component, names in COMPONENTS.items() if values & names), "")


def numbers(dataset: Dataset, keyword: str | int, count: int) -> tuple[float, ...] | None:
    """Finite values of an element, or None where it is missing, empty or malformed."""
    with contextlib.suppress(Exception):  # damaged values raise many things when they are converted
        value = _value(dataset, keyword)
        values = tuple(float(part) for part in ([value] if count == 1 else value))
        if len(values) == count and all(math.isfinite(part) for part in values):
            return values
    return None


def number(dataset: Dataset, keyword: str | int) -> float | None:
    """Finite value of an element, or None where it is missing, empty, malformed or several."""
    found = numbers(dataset, keyword, 1)
    return found[0] if found else None


def text(dataset: Dataset, keyword: str | int) -> str:
    """Value of an element in one line, or an empty text where it is missing or malformed."""
    with contextlib.suppress(Exception):  # decoding unknown character sets raises many things
        value = _value(dataset, keyword)
        return "" if value is None else " ".join(str(value).replace("\0", " ").split())
    return ""


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Values of an element of several values."""
    with contextlib.suppress(Exception):
        value = _value(dataset, keyword)
        return () if value is None else (value,) if isinstance(value, str) else tuple(str(part) for part in value)
    return ()


def sequence(dataset: Dataset, keyword: str | int) -> list[Dataset]:
    """Items of a sequence, none where it is missing or malformed."""
    with contextlib.suppress(Exception):
        value = _value(dataset, keyword)
        return [item for item in value or [] if isinstance(item, Dataset)]
    return []


def moment(stamp: str) -> float | None:
    """Seconds of a DICOM date and time, `20260131134501.25`, or of a time of day, `134501.25`; else None."""
    match = re.match(r"(\d{8})?(\d\d)(\d\d)(\d\d(?:\.\d+)?)", stamp)
    if match is None:
        return None
    seconds = 3600.0 * int(match[2]) + 60.0 * int(match[3]) + float(match[4])
    with contextlib.suppress(ValueError):  # no such day
        return seconds + (86400.0 * datetime.datetime.strptime(match[1], "%Y%m%d").toordinal() if match[1] else 0)
    return None


def _value(dataset: Dataset, keyword: str | int) -> Any:
    if isinstance(keyword, str):
        return dataset.get(keyword)
    element = dataset.get(keyword)
    return None if element is None else element.value


def _protocol(dataset: Dataset) -> tuple[str, ...]:
    # Numbers in a sequence's name count segments, which follow the heart rate of each breath-hold.
    sequence_name = re.sub(r"\d+", "", text(dataset, "SequenceName") or text(dataset, "PulseSequenceName"))
    echo = number(dataset, "EchoTime")
    return (
        sequence_name,
        "\\".join(texts(dataset, "ScanningSequence")),
        "" if echo is None else f"{echo:.1f}",
        "\\".join(texts(dataset, "ImageType")),
    )
