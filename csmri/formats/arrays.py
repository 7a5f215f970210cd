"""Bare arrays of images: NumPy's .npy, and MATLAB files with one array that can be a cine."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import scipy.io
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.formats.axes import MATLAB_ORDERS, NUMPY_ORDERS, as_stack
from csmri.formats.hdf5_file import describe, read_array
from csmri.formats.mat5 import sound_variables
from csmri.formats.measured import check_size
from csmri.formats.parsing import as_images, parsing, with_sound_surroundings

FEWEST_VALUES = 2 * 8 * 8
"""Values of the smallest cine that a bare array is taken for: two frames of 8 x 8 pixels."""
UNKNOWN = "Pixel spacing and frame times are unknown: an array does not hold them."


def read_npy(path: str | Path, *, axes: str | None = None) -> Cine:
    """Read a NumPy array of images, (slice, frame, y, x) or (frame, y, x) unless `axes` names others.

    Raises
    ------
    CsmriError
        If the file is damaged, holds objects, or cannot be a cine.
    """
    path = Path(path)
    with parsing(path, "a NumPy array (.npy)", "save a plain array again with numpy.save"):
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        check_size(path, mapped.nbytes, "images")
        array = np.array(mapped)
    return _cine(path, array, axes, NUMPY_ORDERS, "NumPy array")


def read_matlab(path: str | Path, *, axes: str | None = None) -> Cine:
    """Read a MATLAB v5 or v7 file with one array that can be a cine, (y, x, slice, frame) or (y, x, frame) by default.

    Raises
    ------
    CsmriError
        If the file is damaged, or holds none or several such arrays.
    """
    path = Path(path)
    with parsing(path, "a MATLAB v5 file", "export it again with MATLAB's save(..., '-v7')"):
        content = path.read_bytes()
        sound = sound_variables(content)
        shapes = {name: shape for name, shape, _ in scipy.io.whosmat(io.BytesIO(content)) if name in sound}
        name = _only(path, shapes)
        array = np.asarray(scipy.io.loadmat(io.BytesIO(content), variable_names=[name])[name])
    return _cine(path, array, axes, MATLAB_ORDERS, f"MATLAB {name}")


def read_matlab73(path: str | Path, *, axes: str | None = None) -> Cine:
    """Read a MATLAB v7.3 file with one array that can be a cine; as `read_matlab`."""
    path = Path(path)
    described = {name: one for name, one in describe(path).items() if one.kind in "uif" or one.is_complex}
    # HDF5 tells the axes from the slowest on, MATLAB from the fastest.
    name = _only(path, {name: one.shape[::-1] for name, one in described.items()})
    array = read_array(path, name, described[name]).transpose()
    return _cine(path, array, axes, MATLAB_ORDERS, f"MATLAB {name}")


def _only(path: Path, shapes: dict[str, tuple[int, ...]]) -> str:
    """Name of the one array that can be a cine."""
    large = [
        name
        for name, shape in shapes.items()
        if 3 <= sum(n > 1 for n in shape) <= 4 and math.prod(shape) >= FEWEST_VALUES
    ]
    if len(large) == 1:
        return large[0]
    found = ", ".join(f"{name} {shape}" for name, shape in list(shapes.items())[:6]) or "no array"
    how = "none of them" if not large else "more than one of them"
    raise CsmriError(
        f"{path}: found {found}; {how} can be the cine, expected one array (y, x, slice, frame): save the images alone"
    )


def _cine(
    path: Path, array: NDArray, axes: str | None, orders: tuple[tuple[str, ...], tuple[str, ...]], kind: str
) -> Cine:
    notes: list[str] = []
    stack = as_images(as_stack(path, array, axes, orders, notes), str(path))
    return Cine(
        with_sound_surroundings(stack, notes),
        path.stem,
        provenance=f"{path} ({kind})",
        notes=(*notes, UNKNOWN),
    )
