"""HDF5 files from outside, read so that a damaged one cannot end this process; see `hdf5_child` for why."""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.formats import hdf5_child
from csmri.formats.measured import check_size
from csmri.formats.parsing import parsing

SIGNATURE = b"\x89HDF\r\n\x1a\n"
STARTS = (0, 512, 1024, 2048)
"""Bytes at which the signature may stand, behind a block of somebody else's."""
ADVICE = "copy or convert it again"
SECONDS = 30
SLOWEST = 5 * 2**20
"""Bytes a second that any machine unpacks; with `SECONDS`, how long a sound file may take."""


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
        found, _ = _child.ask(path, "describe")
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
        values = _child.ask(path, "part", name, axis, index)[1][0]
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
        return [str(one) for one in _child.ask(path, "text", name)[0]]


def read_field(path: Path, name: str, array: Array, field: str) -> NDArray[Any]:
    """Read one field of all elements.

    Raises
    ------
    CsmriError
    """
    check_stored(path, name, array)
    with parsing(path, "an HDF5 file", ADVICE):
        return _child.ask(path, "field", name, field)[1][0]


def read_lines(path: Path, name: str, field: str, rows: NDArray[np.intp]) -> list[NDArray[np.float32]]:
    """Read a field of changing length of the elements `rows`, which rise.

    Raises
    ------
    CsmriError
    """
    with parsing(path, "an HDF5 file", ADVICE):
        _, (lengths, values) = _child.ask(path, "lines", name, field, rows.tolist())
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


class _Child:
    """The process that reads; started when it is needed, anew after a fault."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._served: set[str] = set()
        self._lock = threading.Lock()
        atexit.register(self.end)

    def ask(self, path: Path, command: str, *arguments: Any) -> tuple[Any, list[NDArray[Any]]]:
        """Value and arrays of an answer."""
        with self._lock:
            is_fresh = self._process is None or not self._served - {str(path)}
            try:
                return self._ask(path, command, *arguments)
            except _Died:
                if is_fresh:
                    raise
                # What was read before may have spoilt its memory: a fresh process tells whose fault it is.
                return self._ask(path, command, *arguments)

    def _ask(self, path: Path, command: str, *arguments: Any) -> tuple[Any, list[NDArray[Any]]]:
        process = self._started()
        assert process.stdin and process.stdout
        self._served.add(str(path))
        seconds = SECONDS + path.stat().st_size / SLOWEST
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps([command, str(path.absolute()), *arguments]).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
            head = json.loads(line) if line.endswith(b"\n") else {}
            arrays = [_received(process.stdout, *one) for one in head.get("arrays", ())]
        except (OSError, EOFError):
            head = {}
        finally:
            timer.cancel()
        if not head:
            raise _Died(f"the HDF5 library does not survive it: {self._how_it_ended()}")
        if "error" in head:
            self.end()
            raise ValueError(head["error"])
        return head.get("value"), arrays

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self.end()
            # -P: the modules beside it must not hide others of the same name. A session of its own: an interrupt is
            # for this process, and ends that one by closing its input.
            self._process = subprocess.Popen(
                [sys.executable, "-P", hdf5_child.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._owner, self._served = os.getpid(), set()
        return self._process

    def _how_it_ended(self) -> str:
        assert self._process
        code = self._process.wait()
        self.end()
        if code == -signal.SIGKILL:
            return "it takes too long or too much memory"
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def end(self) -> None:
        """End the process, if it is ours."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()
        process.wait()


class _Died(ValueError):
    pass


_child = _Child()


def _received(stream: IO[bytes], descr: Any, shape: list[int]) -> NDArray[Any]:
    array = np.empty(shape, np.lib.format.descr_to_dtype(_as_descr(descr)))
    rest = array.reshape(-1).view(np.uint8).data
    while len(rest):
        count = stream.readinto(rest)  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        rest = rest[count:]
    return array


def _as_descr(descr: Any) -> Any:
    """What NumPy made of a dtype, with the tuples that JSON has made lists."""
    if not isinstance(descr, list):
        return descr
    return [(name, _as_descr(kind), *(tuple(shape) for shape in more)) for name, kind, *more in descr]


def _as_complex(values: NDArray[Any]) -> NDArray[Any]:
    kind = values.dtype
    part = kind["real"]
    if kind.names == ("real", "imag") and part == kind["imag"] and kind.itemsize == 2 * part.itemsize:
        if part in (np.float32, np.float64):
            return values.view(np.complex64 if part == np.float32 else np.complex128)
    return values["real"] + 1j * values["imag"]
