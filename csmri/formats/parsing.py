"""What every format needs: errors of libraries in one line, natural order, numbers of any kind."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from csmri.core.errors import CsmriError

OVERSHOOT = 0.25
"""Share of the largest magnitude that a negative value may have: cubic resampling overshoots by less, and the images of
phases and velocities are as deep as they are high."""
MANY, MANY_DEEP, DEEP = 0.5, 0.25, 0.01
"""Shares of the values that may be negative, and be so by more than `DEEP` of the largest magnitude. Measured on
phantoms: resampling by splines and zero-filling leaves up to 37 and 11 %, an offset (5 % of the largest, the median or
the mean) that was subtracted at least 50 and 42 %."""


@contextlib.contextmanager
def parsing(path: Path, what: str, advice: str) -> Iterator[None]:
    """Turn whatever a library raises while it parses a file into one line for the reader.

    Parameters
    ----------
    path : Path
        The file that is being read.
    what : str
        What it was read as, "a NIfTI file".
    advice : str
        What to do next.

    Raises
    ------
    CsmriError
        Instead of any other exception. Enclose library calls only, so that our own faults stay visible.
    """
    try:
        yield
    except CsmriError:
        raise
    except Exception as error:  # damaged files make parsers raise anything from IndexError to zlib.error
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CsmriError(f"{path}: could not be read as {what} ({reason}); {advice}") from error


def natural_key(path: Path) -> list[tuple[bool, int, str]]:
    """Sort key that puts `pat2` before `pat10`."""
    # re.split gives text and numbers in turn, so that every second part is a number.
    parts = re.split(r"([0-9]+)", str(path))
    return [(index % 2 == 1, int(part) if index % 2 else 0, part) for index, part in enumerate(parts)]


def as_images(array: ArrayLike, where: str) -> NDArray[np.float32] | NDArray[np.complex64]:
    """Copy numbers of any kind to contiguous float32, complex ones to complex64.

    Raises
    ------
    CsmriError
        If the array holds no numbers (text, objects, colours, true/false).
    """
    array = np.asarray(array)
    if array.dtype.kind not in "uifc":
        raise CsmriError(f"{where}: expected images of numbers, found {array.dtype}; save magnitude or complex images")
    with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite, which Cine refuses by name
        if array.dtype.kind == "c":
            return np.ascontiguousarray(array, np.complex64)
        return np.ascontiguousarray(array, np.float32)


def with_sound_surroundings(array: NDArray[Any], notes: list[str]) -> NDArray[Any]:
    """Mend what resampling leaves around images: NaN outside the field of view, small negative overshoots.

    Pixels (slice, y, x) that are NaN in every frame, and magnitudes of at least `-OVERSHOOT` of the largest, become 0,
    with a note. What is worse, or more than `MANY` and `MANY_DEEP`, stays as it is, for `Cine` to refuse by name.

    Parameters
    ----------
    array : (slice, frame, y, x)
    """
    outside = np.isnan(array).all(axis=1, keepdims=True)
    if outside.any() and not outside.all():
        array = np.where(outside, array.dtype.type(0), array)
        notes.append(f"Set to 0: {outside.mean():.1%} of the pixels, which are NaN in every frame.")
    if np.iscomplexobj(array) or not array.size or not np.isfinite(array).all():
        return array
    smallest, largest = float(array.min()), float(array.max())
    are_few = (array < 0).mean() < MANY and (array < -DEEP * largest).mean() < MANY_DEEP
    if -OVERSHOOT * largest <= smallest < 0 and are_few:
        notes.append(
            f"Set to 0: {(array < 0).mean():.1%} of the values, which are negative, down to {smallest:g} (the largest "
            f"is {largest:g}); magnitudes have none, resampling leaves such."
        )
        array = np.maximum(array, 0)
    return array


def plural(count: int, noun: str) -> str:
    """Count and noun, "1 file" or "3 files"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
