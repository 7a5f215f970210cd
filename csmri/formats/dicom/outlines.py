"""The outlines of Sunnybrook, which refer to DICOM images by their instance numbers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.data.cine import Outlines
from csmri.formats.dicom.sources import read_stack
from csmri.formats.dicom.stack import Stack
from csmri.formats.parsing import parsing

CONTOUR_NAME = re.compile(r"IM-\d+-(\d+)-([io])contour-\w+\.txt", re.IGNORECASE)


def read_outlines(contour_folder: str | Path, dicom_folder: str | Path) -> Outlines:
    """Read Sunnybrook outlines, `IM-0001-0159-icontour-manual.txt`, for a DICOM folder.

    The number in the name is the DICOM instance number; `i` is endocardium, `o` epicardium; each line holds x and y
    in pixels, counted from 1 as in MATLAB. That is measured, not documented: on three patients the contrast between
    blood and muscle across the outline is sharpest when it is moved by (-1, -1) pixels, (-0.5 to -1.5) for each.

    Parameters
    ----------
    contour_folder : path
        Searched with its nested folders (`i-contours`, `o-contours`).
    dicom_folder : path
        The images of the same patient, which tell the slice and frame of an instance number.

    Returns
    -------
    Outlines
        Keys are (slice, frame) as in the Cine that `read` makes of `dicom_folder`.

    Raises
    ------
    CsmriError
        If there are no outlines, a number belongs to no image, or a file is not a list of points.
    """
    contour_folder, dicom_folder = Path(contour_folder), Path(dicom_folder)
    places = _places(read_stack(dicom_folder), dicom_folder)
    found: dict[str, dict[tuple[int, int], NDArray[np.float32]]] = {"i": {}, "o": {}}
    for path in sorted(contour_folder.rglob("*.txt")):
        match = CONTOUR_NAME.fullmatch(path.name)
        if match is None:
            continue
        instance = int(match[1])
        if instance not in places:
            raise CsmriError(
                f"{path}: no image in {dicom_folder} has the instance number {instance}; "
                "these outlines belong to another patient"
            )
        found[match[2].lower()][places[instance]] = _points(path)
    if not (found["i"] or found["o"]):
        raise CsmriError(f"{contour_folder}: no outline found; expected files named IM-0001-0159-icontour-manual.txt")
    return Outlines(endocardium=found["i"], epicardium=found["o"])


def _places(stack: Stack, folder: Path) -> dict[int, tuple[int, int]]:
    """(slice, frame) of every instance number."""
    places = {
        header.instance: (slice_index, frame)
        for slice_index, frames in enumerate(stack.headers)
        for frame, header in enumerate(frames)
        if header.instance is not None
    }
    if len(places) != sum(map(len, stack.headers)):
        raise CsmriError(f"{folder}: instance numbers are missing or not unique; outlines cannot be matched to images")
    return places


def _points(path: Path) -> NDArray[np.float32]:
    with parsing(path, "an outline", "expected two numbers (x y, in pixels) on every line"):
        points = np.array([line.split() for line in path.read_text("utf-8").splitlines() if line.strip()], np.float32)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise CsmriError(f"{path}: expected at least 3 lines with two numbers (x y), found an array {points.shape}")
    return points - np.float32(1)
