"""What one DICOM image says of its place in space and time, and nothing else of it."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from csmri.core.errors import CsmriError
from csmri.formats.parsing import parsing

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
TAGS = [
    "SOPClassUID", "SeriesInstanceUID", "SeriesDescription", "SeriesNumber", "PatientID", "InstanceNumber",
    "TriggerTime", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PixelSpacing", "ImagePositionPatient",
    "ImageOrientationPatient", "SpacingBetweenSlices", "SliceThickness",
]  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What one DICOM image says of itself; positions and directions in LPS coordinates, None where it is silent."""

    path: Path
    series: str
    series_name: str
    patient: str
    instance: int | None
    trigger_ms: float | None
    matrix: tuple[int, int]  # (y, x)
    spacing_mm: tuple[float, ...] | None  # (y, x)
    position_mm: tuple[float, ...] | None
    orientation: tuple[float, ...] | None  # direction of x, then of y
    slice_step_mm: float


@contextlib.contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Hide pydicom's warnings: archives break DICOM's rules (UIDs with leading zeros) where it does not matter."""
    # Twice, because checks of values are logged as well, while complaints about padding are only warned of.
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore", UserWarning)
        yield


def is_dicom(path: Path) -> bool:
    """Tell from the first bytes whether a file is DICOM (and not the index DICOMDIR)."""
    if path.name.upper() == "DICOMDIR":
        return False
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"
    return False


def series_of(folder: Path) -> str:
    """Series UID of the first DICOM image directly inside a folder, or an empty text."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and is_dicom(path):
            with quiet_pydicom(), contextlib.suppress(Exception):  # a damaged file belongs to no series
                return _text(pydicom.dcmread(path, specific_tags=["SeriesInstanceUID"]), "SeriesInstanceUID")
    return ""


def read_header(path: Path) -> Header | None:
    """Header of one image, or None for DICOM objects without pixels (reports, presentation states)."""
    with quiet_pydicom(), parsing(path, "a DICOM file", "remove it or export it again"):
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
    rows, columns = _numbers(dataset, "Rows", 1), _numbers(dataset, "Columns", 1)
    if rows is None or columns is None:
        return None
    n_frames = _numbers(dataset, "NumberOfFrames", 1) or (1.0,)
    if _text(dataset, "SOPClassUID") == ENHANCED_MR or n_frames[0] > 1:
        raise CsmriError(
            f"{path}: multi-frame (enhanced) DICOM is not supported; convert it to NIfTI, or export the series "
            "as one classic MR image a file"
        )
    if (_numbers(dataset, "SamplesPerPixel", 1) or (1.0,))[0] != 1:
        raise CsmriError(f"{path}: a colour image among the cine frames; expected greyscale MR images, remove it")
    instance, trigger = _numbers(dataset, "InstanceNumber", 1), _numbers(dataset, "TriggerTime", 1)
    step = _numbers(dataset, "SpacingBetweenSlices", 1) or _numbers(dataset, "SliceThickness", 1) or (1.0,)
    return Header(
        path=path,
        series=_text(dataset, "SeriesInstanceUID"),
        series_name=_text(dataset, "SeriesDescription") or f"series {_text(dataset, 'SeriesNumber')}",
        patient=_text(dataset, "PatientID"),
        instance=int(instance[0]) if instance else None,
        trigger_ms=trigger[0] if trigger else None,
        matrix=(int(rows[0]), int(columns[0])),
        spacing_mm=_numbers(dataset, "PixelSpacing", 2),
        position_mm=_numbers(dataset, "ImagePositionPatient", 3),
        orientation=_numbers(dataset, "ImageOrientationPatient", 6),
        slice_step_mm=abs(step[0]) or 1.0,
    )


def _numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Finite values of an element, or None where it is missing, empty or malformed."""
    with quiet_pydicom(), contextlib.suppress(TypeError, ValueError, OverflowError):
        value = dataset.get(keyword)
        values = tuple(float(part) for part in ([value] if count == 1 else value))
        if len(values) == count and all(math.isfinite(part) for part in values):
            return values
    return None


def _text(dataset: Dataset, keyword: str) -> str:
    """Value of an element in one line, or an empty text where it is missing or malformed."""
    with quiet_pydicom(), contextlib.suppress(Exception):  # decoding unknown character sets raises many things
        return " ".join(str(dataset.get(keyword) or "").split())
    return ""
