"""DICOM cines as hospitals have them: classic MR images, one a file, and multi-frame files."""

from __future__ import annotations

from pathlib import Path

import pydicom

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.formats.dicom.files import read_files
from csmri.formats.dicom.header import quiet_pydicom, text
from csmri.formats.dicom.origin import affine_lps
from csmri.formats.dicom.outlines import read_outlines
from csmri.formats.dicom.sources import find_series, find_sources, load, only_series
from csmri.formats.dicom.stack import Stack, arrange
from csmri.formats.dicom.write import write
from csmri.formats.parsing import parsing
from csmri.formats.source import Source

__all__ = ["affine_lps", "find_sources", "person_of", "read", "read_outlines", "stack_of", "write"]


def stack_of(source: Source) -> Stack:
    """Put the images of a source in their places, as its cine has them.

    Raises
    ------
    CsmriError
        If its files are no longer what they were when it was found.
    """
    found, _ = find_series(read_files(source.files))
    if len(found) != 1:
        raise CsmriError(f"{source.place}: its files have changed since they were found; give the command again")
    return arrange(source.place, found[0])


def person_of(source: Source) -> str:
    """Who the images are of: PatientID, or PatientName where that is empty; empty where neither is told.

    Raises
    ------
    CsmriError
        If the first file cannot be read.
    """
    path = source.files[0]
    with quiet_pydicom(), parsing(path, "a DICOM file", "remove it or export it again"):
        dataset = pydicom.dcmread(path, specific_tags=["PatientID", "PatientName"], stop_before_pixels=True, force=True)
        return text(dataset, "PatientID") or text(dataset, "PatientName")


def read(folder: str | Path) -> Cine:
    """Read the one cine in a folder of DICOM images, nested folders included.

    Slices are sorted by their position along the slice normal, frames by trigger time or the next best that the
    images tell; file names play no part.

    Parameters
    ----------
    folder : path
        Holds one cine, or is a multi-frame file; scouts, single images, reports, and files that are not DICOM are
        left out with a note.

    Returns
    -------
    Cine
        Rescaled magnitude images; frame times are the median over the slices; the subject is the patient ID, or the
        folder's name where there is none.

    Raises
    ------
    CsmriError
        If the folder holds several cines, incomplete slices, no geometry, or pixels that cannot be decoded.
    """
    folder = Path(folder)
    series, notes = only_series(folder)
    return load(series, folder, notes=notes)
