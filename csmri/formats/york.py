"""York University cardiac MRI: MATLAB v5 files `sol_yxzt_pat<N>.mat` and their manual outlines.

References
----------
Andreopoulos and Tsotsos, Med Image Anal 12:335, 2008, doi 10.1016/j.media.2007.12.003.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import scipy.io
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine, Outlines
from csmri.formats.mat5 import sound_variables
from csmri.formats.parsing import as_images, parsing

IMAGES = "sol_yxzt"
OUTLINES = "manual_seg_32points"
NO_OUTLINE = -99999


def read(path: str | Path) -> Cine:
    """Read the images of one York subject, variable `sol_yxzt` (y, x, slice, frame).

    Parameters
    ----------
    path : path
        `sol_yxzt_pat1.mat` becomes subject `york_pat1`; any other name gives its stem.

    Returns
    -------
    Cine
        Magnitude images in scanner units. The format holds neither pixel spacing nor frame times.

    Raises
    ------
    CsmriError
        If the file is damaged, of another MATLAB version, or holds no such variable.
    """
    path = Path(path)
    volume = _load(path, IMAGES)
    if volume.ndim != 4:
        raise CsmriError(f"{path}: expected {IMAGES} (y, x, slice, frame), found {volume.ndim} axes {volume.shape}")
    match = re.fullmatch(rf"{IMAGES}_(pat\d+)", path.stem)
    return Cine(
        images=as_images(volume.transpose(2, 3, 0, 1), str(path)),
        subject=f"york_{match[1]}" if match else path.stem,
        provenance=f"{path} (York .mat)",
        notes=("Pixel spacing and frame times are unknown: the York format does not hold them.",),
    )


def read_outlines(path: str | Path) -> Outlines:
    """Read the manual outlines of one York subject, cell array `manual_seg_32points{slice, frame}`.

    A cell holds 2n + 1 points (n = 32): endocardium, a row [0 0], epicardium. Column 1 is x, column 2 is y, both
    counted from 1 at the centre of the first pixel: the viewer that comes with the data (`show_segs.m`) names them so
    and draws them over `imshow`. Here they count from 0.

    Parameters
    ----------
    path : path
        `manual_seg_32points_pat1.mat`.

    Returns
    -------
    Outlines
        Points (32, 2), columns x and y, in pixels; slices and frames without an outline are left out.

    Raises
    ------
    CsmriError
        If the file is damaged or its cells are not as described.
    """
    path = Path(path)
    cells = _load(path, OUTLINES)
    if cells.dtype != object or cells.ndim != 2:
        raise CsmriError(f"{path}: expected a cell array {OUTLINES}{{slice, frame}}, found {cells.dtype} {cells.shape}")
    endocardium, epicardium = {}, {}
    for slice_index, frame in np.ndindex(cells.shape):
        points = _points(cells[slice_index, frame], f"{path}: cell {{{slice_index + 1}, {frame + 1}}}")
        if points is not None:
            half = len(points) // 2
            endocardium[slice_index, frame] = points[:half] - np.float32(1)
            epicardium[slice_index, frame] = points[half + 1 :] - np.float32(1)
    return Outlines(endocardium, epicardium)


def outlines_beside(path: Path) -> Path | None:
    """Tell the file of outlines that belongs to `sol_yxzt_pat1.mat`, if it lies beside it."""
    match = re.fullmatch(rf"{IMAGES}(_pat\d+)", path.stem)
    beside = path.with_name(f"{OUTLINES}{match[1]}{path.suffix}") if match else None
    return beside if beside and beside.is_file() else None


def holds_images(path: Path) -> bool:
    """Tell cheaply whether a .mat file holds York images (and not outlines or something else)."""
    if path.name.startswith(IMAGES):
        return True  # even when damaged, so that reading it tells what is wrong
    try:
        return any(name == IMAGES for name, *_ in scipy.io.whosmat(path, appendmat=False))
    except Exception:  # not MATLAB v5, or damaged beyond its variable list
        return False


def holds_outlines(path: Path) -> bool:
    """Tell cheaply whether a .mat file holds York outlines."""
    if path.name.startswith(OUTLINES):
        return True
    try:
        return any(name == OUTLINES for name, *_ in scipy.io.whosmat(path, appendmat=False))
    except Exception:  # damaged: no outlines
        return False


def _load(path: Path, variable: str) -> NDArray:
    with parsing(path, "a MATLAB v5 file", "export it again with MATLAB's save(..., '-v7')"):
        content = path.read_bytes()
        if content.startswith((b"MATLAB 7.3", b"\x89HDF")):
            raise CsmriError(
                f"{path}: this is a MATLAB v7.3 (HDF5) file, expected MATLAB v5; load it in MATLAB and save it "
                f"again with save('{path.name}', '{variable}', '-v7')"
            )
        names = sound_variables(content)
        if variable not in names:
            found = ", ".join(names[:5]) or "no array at all"
            raise CsmriError(f"{path}: expected the variable {variable}, found {found}; is this a York file?")
        return scipy.io.loadmat(io.BytesIO(content), variable_names=[variable])[variable]


def _points(cell: NDArray, where: str) -> NDArray[np.float32] | None:
    """Points (2n + 1, 2) of one cell, or None where nothing was outlined."""
    cell = np.asarray(cell)
    if cell.size == 0 or cell.flat[0] == NO_OUTLINE:
        return None
    odd_pairs = cell.ndim == 2 and cell.shape[1] == 2 and len(cell) >= 3 and len(cell) % 2 == 1
    if odd_pairs and cell.dtype.kind in "uif":
        with np.errstate(over="ignore"):  # what does not fit float32 becomes infinite and is refused
            points = cell.astype(np.float32)
        if np.isfinite(points).all() and not points[len(points) // 2].any():
            return points
    raise CsmriError(
        f"{where}: expected 65x2 points (endocardium, a row [0 0], epicardium) or {NO_OUTLINE}, "
        f"found {cell.dtype} of shape {cell.shape}"
    )
