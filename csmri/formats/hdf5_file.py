"""HDF5 files from outside, read so that a damaged one cannot end this process; see `child` for why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.formats.isolated import ask
from csmri.formats.measured import check_size
from csmri.formats.parsing import parsing

SIGNATURE = b"\x89HDF\r\n\x1a\n"
STARTS = (0, 512, 1024, 2048)
"""Bytes at which the signature may stand, behind a block of somebody else's."""
ADVICE = "copy or convert it again"


@dataclass(frozen=True)
class Array:
    """An array in a file, as its metadata promise it.

    Parameters
    ----------
    shape : tuple of int
    kind : str
        "text", "lines" (of changing length), or a NumPy kind: "f", "c", "V" (fields), ...
    fields : tuple of str
    itemsize, stored : int [bytes]
        Of an element, and of what the file holds of all of them, compressed.
    chunk : int or None [bytes]
        What is unpacked at once.
    """

    shape: tuple[int, ...]
    kind: str
    fields: tuple[str, ...]
    itemsize: int
    stored: int
    chunk: int | None

    @property
    def is_complex(self) -> bool:
        """Whether these are complex numbers, also as MATLAB stores them."""
        return self.kind == "c" or set(self.fields) == {"real", "imag"}


def has_signature(path: Path) -> bool:
    """Tell from its first bytes whether a file is HDF5."""
    with path.open("rb") as file:
        start = file.read(STARTS[-1] + len(SIGNATURE))
    return any(start[at : at + len(SIGNATURE)] == SIGNATURE for at in STARTS)


def describe(path: Path) -> dict[str, Array]:
    """All arrays of a file by name, "group/name".

    Raises
    ------
    CsmriError
        If the file is damaged or no HDF5.
    """
    with parsing(path, "an HDF5 file", ADVICE):
        if not has_signature(path):
            raise CsmriError(f"{path}: is no HDF5 file; {ADVICE}")
        found, _ = ask(path, "describe")
        return {
            name: Array(tuple(one.pop("shape") or ()), fields=tuple(one.pop("fields")), **one)
            for name, one in found.items()
        }


def read_array(path: Path, name: str, array: Array, *, axis: int = -1, index: int = 0) -> NDArray[Any]:
    """Read an array, or what stands at an index of one of its axes; complex numbers as such.

    Raises
    ------
    CsmriError
        If the file is damaged, or promises more than it holds.
    """
    n_parts = array.shape[axis] if axis >= 0 else 1
    check_stored(path, name, array, n_parts=n_parts)
    with parsing(path, "an HDF5 file", ADVICE):
        values = ask(path, "part", name, axis, index)[1][0]
        if array.is_complex and values.dtype.names:
            return _as_complex(values)
        return values


def read_texts(path: Path, name: str, array: Array) -> list[str]:
    """Read an array of texts.

    Raises
    ------
    CsmriError
    """
    if array.kind != "text":
        raise CsmriError(f"{path}: expected {name} as text, found {array.kind} of shape {array.shape}")
    check_stored(path, name, array)
    with parsing(path, "an HDF5 file", ADVICE):
        return [str(one) for one in ask(path, "text", name)[0]]


def read_field(path: Path, name: str, array: Array, field: str) -> NDArray[Any]:
    """Read one field of all elements.

    Raises
    ------
    CsmriError
    """
    check_stored(path, name, array)
    with parsing(path, "an HDF5 file", ADVICE):
        return ask(path, "field", name, field)[1][0]


def read_lines(path: Path, name: str, field: str, rows: NDArray[np.intp]) -> list[NDArray[np.float32]]:
    """Read a field of changing length of the elements `rows`, which rise.

    Raises
    ------
    CsmriError
    """
    with parsing(path, "an HDF5 file", ADVICE):
        _, (lengths, values) = ask(path, "lines", name, field, rows.tolist())
        return np.split(values, np.cumsum(lengths)[:-1])


def check_stored(path: Path, name: str, array: Array, *, n_parts: int = 1) -> None:
    """Refuse an array that promises more than its file can hold, or was announced and never written.

    Raises
    ------
    CsmriError
    """
    size = math.prod(array.shape)
    if size and not array.stored:
        raise CsmriError(f"{path}: the array {name} was announced but never written; copy the file again")
    check_size(path, size * array.itemsize // max(n_parts, 1), name)
    check_size(path, array.chunk or 0, f"{name} in one piece")


def _as_complex(values: NDArray[Any]) -> NDArray[Any]:
    kind = values.dtype
    part = kind["real"]
    if kind.names == ("real", "imag") and part == kind["imag"] and kind.itemsize == 2 * part.itemsize:
        if part in (np.float32, np.float64):
            return values.view(np.complex64 if part == np.float32 else np.complex128)
    return values["real"] + 1j * values["imag"]
