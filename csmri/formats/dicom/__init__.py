"""DICOM cine folders: classic MR images, one a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from csmri.data.cine import Cine
from csmri.formats.dicom.outlines import read_outlines
from csmri.formats.dicom.pixels import read_pixels
from csmri.formats.dicom.stack import read_stack

__all__ = ["read", "read_outlines"]


def read(folder: str | Path) -> Cine:
    """Read a cine from a folder of DICOM images, nested folders included.

    Slices are sorted by their position along the slice normal, frames by trigger time; file names play no part.

    Parameters
    ----------
    folder : path
        Holds one short-axis series; files that are not DICOM are ignored with a note.

    Returns
    -------
    Cine
        Rescaled magnitude images; frame times are the median over the slices; the subject is the patient ID, or the
        folder's name where there is none.

    Raises
    ------
    CsmriError
        If the folder holds several series, incomplete slices, no geometry, or pixels that cannot be decoded.
    """
    folder = Path(folder)
    stack = read_stack(folder)
    first = stack.headers[0][0]
    images = np.empty((len(stack.headers), len(stack.headers[0]), *first.matrix), np.float32)
    for slice_index, frames in enumerate(stack.headers):
        for frame, header in enumerate(frames):
            images[slice_index, frame] = read_pixels(header)
    return Cine(
        images=images,
        subject=first.patient or folder.resolve().name,
        spacing_mm=stack.spacing_mm,
        slice_spacing_mm=stack.slice_spacing_mm,
        frame_times_ms=stack.frame_times_ms,
        affine=stack.affine,
        provenance=f"{folder} (DICOM)",
        notes=stack.notes,
    )
