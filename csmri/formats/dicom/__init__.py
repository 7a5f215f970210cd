"""DICOM cines as hospitals have them: classic MR images, one a file, and multi-frame files."""

from __future__ import annotations

from pathlib import Path

from csmri.data.cine import Cine
from csmri.formats.dicom.outlines import read_outlines
from csmri.formats.dicom.sources import find_sources, load, only_series

__all__ = ["find_sources", "read", "read_outlines"]


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
