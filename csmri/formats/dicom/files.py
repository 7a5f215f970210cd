"""Which files are DICOM, told by content, and the headers of the images in each."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import FileDataset
from pydicom.uid import UID

from csmri.core.errors import CsmriError
from csmri.formats.dicom.enhanced import frame_headers
from csmri.formats.dicom.header import (
    TAGS,
    Header,
    header_of,
    number,
    quiet_pydicom,
    sequence,
    starts_dicom,
    text,
    transfer_syntax,
)
from csmri.formats.parsing import parsing

DICOM_NAMES = (".dcm", ".ima", ".dicom")
DICOMDIR = "1.2.840.10008.1.3.10"
# Objects of DICOM without images begin so: reports, presentation states, raw data, waveforms, documents, spectra.
STANDARD = "1.2.840.10008."
STORAGE = "1.2.840.10008.5.1.4.1.1."
WITHOUT_IMAGES = tuple(STORAGE + part for part in ("9.", "11.", "66", "88.", "104.", "481.3", "481.5", "481.8", "4.2"))
NO_IMAGES = "a DICOM object without images"
# Deflating makes nothing smaller than by this factor.
DEFLATED = 1032
# More pixels (y, x) than any cine has; what says more is damaged, and decoding it would take all memory.
MAX_PIXELS = 1 << 24


@dataclass(frozen=True)
class Content:
    """What one file holds.

    Parameters
    ----------
    path : Path
    headers : list of Header
        One for each image; none where there is no image.
    reason : str
        Why there is no image.
    is_fault : bool
        Whether there should have been one.
    series : str
        SeriesInstanceUID, as far as a damaged file still tells.
    """

    path: Path
    headers: list[Header]
    reason: str = ""
    is_fault: bool = False
    series: str = ""


def read_files(paths: Iterable[Path]) -> list[Content]:
    """Read the headers of all images in files, and pass over what is not DICOM.

    A file that is called like the images in its folder, IM12 beside IM11, and is not DICOM is taken for a damaged one.
    """
    contents = {path: read_file(path) for path in paths}
    names = {_without_number(path) for path, content in contents.items() if content is not None and content.headers}
    strange = "it is called like the DICOM images beside it, but it is not DICOM; copy or export it again"
    return [
        content or Content(path, [], strange, True)
        for path, content in contents.items()
        if content is not None or (_without_number(path) in names)
    ]


def _without_number(path: Path) -> tuple[Path, str]:
    return path.parent, re.sub(r"\d+", "#", path.name)


def read_file(path: Path) -> Content | None:
    """Read the headers of all images in a file, once and without pixels; None if it is not DICOM."""
    if path.name.upper() == "DICOMDIR":
        return None
    try:
        with parsing(path, "a DICOM file", "copy or export it again"), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not starts_dicom(file):
                return _damaged_by_name(path, size)
            with quiet_pydicom():
                dataset = pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=TAGS)
            left = size - file.tell()  # pydicom stops where the pixels begin
            file.seek(128)
            has_preamble = file.read(4) == b"DICM"
        with quiet_pydicom():
            return _content(path, dataset, left, has_preamble)
    except CsmriError as error:
        if isinstance(error.__cause__, OSError) and not path.name.lower().endswith(DICOM_NAMES):
            return None  # what cannot be opened may be anything
        return Content(path, [], str(error).removeprefix(f"{path}: "), True, _series_in(path))


def _content(path: Path, dataset: FileDataset, left: int, has_preamble: bool) -> Content | None:
    sop_class = text(dataset, "SOPClassUID")
    if not has_preamble and not sop_class.startswith(STANDARD):
        return None  # began like DICOM by chance
    kept = text(dataset.file_meta, "MediaStorageSOPClassUID")
    if DICOMDIR in (sop_class, kept):
        return None
    rows, columns = number(dataset, "Rows") or 0, number(dataset, "Columns") or 0
    is_image = rows >= 1 and columns >= 1
    if _is_other_object(sop_class or kept, kept or sop_class, is_image):
        return Content(path, [], NO_IMAGES)
    if not is_image:
        raise CsmriError(f"{path}: no Rows and Columns, it is incomplete; copy or export it again")
    n_frames = int(number(dataset, "NumberOfFrames") or 1)
    matrix = (int(rows), int(columns))
    _check_size(path, dataset, matrix, n_frames, left)
    common = header_of(dataset, path, matrix)
    if n_frames == 1 and not sequence(dataset, "PerFrameFunctionalGroupsSequence"):
        return Content(path, [common])
    return Content(path, frame_headers(dataset, common, n_frames))


def _is_other_object(sop_class: str, kept: str, is_image: bool) -> bool:
    """Whether it is a DICOM object that has no images, and no damaged image."""
    if sop_class.startswith(WITHOUT_IMAGES) or (not sop_class.startswith(STORAGE) and not is_image):
        is_known = UID(sop_class, pydicom.config.IGNORE).name != sop_class
        return is_known or (sop_class == kept and re.fullmatch(r"[\d.]{10,64}", sop_class) is not None)
    return False


def _check_size(path: Path, dataset: FileDataset, matrix: tuple[int, int], n_frames: int, left: int) -> None:
    """Refuse what the file cannot hold, before anything is allocated for it."""
    found = f"{n_frames} x {matrix[0]} x {matrix[1]} (frame, y, x)"
    if n_frames < 1 or matrix[0] * matrix[1] > MAX_PIXELS:
        raise CsmriError(f"{path}: says that it holds {found} pixels, it is damaged; copy or export it again")
    syntax = transfer_syntax(dataset)
    with contextlib.suppress(ValueError):  # a syntax that nobody knows; decoding tells
        bits = int(number(dataset, "BitsAllocated") or 8) * int(number(dataset, "SamplesPerPixel") or 1)
        needed = n_frames * (8 if syntax.is_encapsulated else -(-matrix[0] * matrix[1] * bits // 8))
        if syntax.is_deflated:
            left = path.stat().st_size * DEFLATED
        if needed > left:
            raise CsmriError(
                f"{path}: expected at least {needed} bytes for {found} pixels, found {left}, the file is incomplete; "
                "copy or export it again"
            )


def _damaged_by_name(path: Path, size: int) -> Content | None:
    if path.name.lower().endswith(DICOM_NAMES):
        what = "the file is empty" if size == 0 else "it is called so, but it is not DICOM"
        return Content(path, [], f"{what}; copy or export it again", True)
    return None


def _series_in(path: Path) -> str:
    """SeriesInstanceUID in the bytes of a file that is too damaged to be parsed, or an empty text."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        match = re.search(rb"\x20\x00\x0e\x00(?:UI)?[\x02-\x40]\x00(?:\x00\x00)?([0-9.]{8,64})", file.read(1 << 16))
        if match:
            return match[1].decode("ascii")
    return ""
