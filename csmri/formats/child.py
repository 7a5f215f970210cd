"""Read HDF5 and twix files in a process of its own; `isolated` starts it. Imports nothing of csmri.

The HDF5 library (1.14) does not survive every damaged file: one wrong byte in its metadata can end the whole process
with a segmentation fault or a double free, fill the memory, or go round in a circle; twixtools (0.24) does the last.
Here it ends this process only.

A request is a line of JSON on standard input, [seconds, command, path, argument, ...]. The answer on standard output is
a line of JSON, {"value": ..., "arrays": [[dtype, shape], ...]} with the bytes of the arrays behind it, or {"error":
"one line"}. Where the system can, a copy of this process answers, and after an error another copy: nobody knows what
the file has done to its memory. If a copy dies, all ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import Any

import h5py
import numpy as np

try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]

MEMORY = 3 * 2**30
N_OBJECTS = 1000
NO_MORE, DIED = 9, 128
"""Exit codes: nothing was asked any more; and, with the number of its signal added, a copy did not survive."""

Arrays = list[np.ndarray]


def limit(what: str, most: float) -> None:
    """Let the system refuse this process what would take the resources of others, for ever if it is alone."""
    if resource is not None:
        number = getattr(resource, what)
        _, allowed = resource.getrlimit(number)
        most = int(most)
        resource.setrlimit(number, (most if allowed == resource.RLIM_INFINITY else min(most, allowed), allowed))


def describe(file: h5py.File) -> dict[str, Any]:
    """Every array by name: shape, kind ("text", "lines" of changing length, or NumPy's), fields, and sizes in bytes."""
    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and len(found) < N_OBJECTS:
            kind = item.dtype
            text = h5py.check_string_dtype(kind) is not None
            found[name] = {
                "shape": item.shape,
                "kind": "text" if text else "lines" if h5py.check_vlen_dtype(kind) is not None else kind.kind,
                "fields": list(kind.names or ()),
                "itemsize": kind.itemsize,
                "stored": item.id.get_storage_size(),
                "chunk": None if item.chunks is None else int(np.prod(item.chunks, dtype=object)) * kind.itemsize,
            }

    file.visititems(visit)
    return found


def text(file: h5py.File, name: str) -> list[str]:
    """Texts of an array, or of a single one."""
    return [str(value) for value in np.ravel(file[name].asstr("utf-8", "replace")[()])[:N_OBJECTS]]


def part(file: h5py.File, name: str, axis: int, index: int) -> Arrays:
    """What stands at an index of an axis; everything with axis -1."""
    return [np.asarray(file[name][(slice(None),) * axis + (index,)] if axis >= 0 else file[name][()])]


def field(file: h5py.File, name: str, of: str) -> Arrays:
    """One field of all elements."""
    return [np.asarray(file[name].fields(of)[()])]


def lines(file: h5py.File, name: str, of: str, rows: list[int]) -> Arrays:
    """A field of changing length in some elements: lengths, and all values in a row."""
    values = file[name].fields(of)[rows]
    return [np.array([len(one) for one in values], np.int64), np.concatenate(list(values)).astype(np.float32)]


def twix(path: str) -> tuple[dict[str, Any], Arrays]:
    """Protocol (MeasYaps) and names of a Siemens file, and a table of its readouts in all of its scans."""
    import twixtools  # stands here because it is an extra

    with contextlib.redirect_stdout(sys.stderr):  # it prints warnings, where the answer goes
        scans = twixtools.read_twix(path, parse_pmu=False, parse_geometry=False, verbose=False)
    if not scans:
        raise ValueError("it holds no scan")
    header = scans[-1]["hdr"]
    told = {
        "protocol": header["MeasYaps"],
        "oversampling": header["Meas"].get("flReadoutOSFactor") if isinstance(header["Meas"], dict) else None,
        "patient": header["Config"].get("PatientID") if isinstance(header["Config"], dict) else None,
    }
    table = [_readout(block, number == len(scans) - 1) for number, scan in enumerate(scans) for block in scan["mdb"]]
    return json.loads(json.dumps(told, default=str)), [np.array([row for row in table if row is not None], TWIX)]


def _readout(block: Any, is_last: bool) -> tuple[Any, ...] | None:
    noise = block.is_flag_set("NOISEADJSCAN")
    image = is_last and block.is_image_scan() and not any(block.is_flag_set(flag) for flag in NO_IMAGE)
    if not noise and not image:
        return None
    head, count = block.mdh, block.mdh.Counter
    counters = (count.Lin, count.Par, count.Ave, count.Sli, count.Eco, count.Phs, count.Rep, count.Set)
    centres = (head.CenterCol, head.CenterLin, head.CutOff.Pre, head.CutOff.Post, head.TimeStamp, head.PMUTimeStamp)
    place = head.SliceData.SlicePos
    where = ((place.Sag, place.Cor, place.Tra), tuple(float(one) for one in head.SliceData.Quaternion))
    sizes = (block.mem_pos, block.version_is_ve, head.SamplesInScan, head.UsedChannels)
    return (*sizes, *counters, *centres, *where, noise, block.is_flag_set("REFLECT"))


NO_IMAGE = ("RETRO_DUMMYSCAN", "RETRO_LASTHEARTBEAT", "SLICE_ACCEL_REFSCAN", "SLICE_ACCEL_PHASCOR")
TWIX = [
    *((name, "<i8") for name in ("at", "is_ve", "n_samples", "n_coils")),
    *((name, "<i8") for name in ("line", "partition", "average", "slice", "contrast", "phase", "repetition", "set")),
    *((name, "<i8") for name in ("centre", "centre_line", "before", "after", "time", "after_r")),
    ("position", "<f8", (3,)),
    ("quaternion", "<f8", (4,)),
    *((name, "?") for name in ("is_noise", "is_reversed")),
]
"""Fields of a readout; `at` is the byte of its head."""


def answer(command: str, path: str, *arguments: Any) -> tuple[dict[str, Any], Arrays]:
    """Do one request."""
    value: Any = None
    arrays: Arrays = []
    if command == "twix":
        value, arrays = twix(path)
    else:
        with h5py.File(path, "r", locking=False) as file:
            if command in VALUES:
                value = VALUES[command](file, *arguments)
            else:
                arrays = [np.asarray(array, order="C") for array in ARRAYS[command](file, *arguments)]
    if any(array.dtype.hasobject for array in arrays):
        raise ValueError("expected numbers, found text or references")
    described = [[np.lib.format.dtype_to_descr(array.dtype), array.shape] for array in arrays]
    return {"value": value, "arrays": described}, arrays


VALUES: dict[str, Any] = {"describe": describe, "text": text}
ARRAYS: dict[str, Any] = {"part": part, "field": field, "lines": lines}


def serve() -> None:
    """Answer one request after the other until there is none or one fails."""
    out = sys.stdout.buffer
    for line in sys.stdin.buffer:
        try:
            seconds, *request = json.loads(line)
            limit("RLIMIT_CPU", time.process_time() + seconds + 1)
            head, arrays = answer(*request)
        except BaseException as error:  # whatever a damaged file lets a library raise, MemoryError too
            head, arrays = {"error": " ".join(str(error).split())[:300] or type(error).__name__}, []
        out.write(json.dumps(head).encode() + b"\n")
        for array in arrays:
            out.write(array.reshape(-1).view(np.uint8).data)
        out.flush()
        if "error" in head:
            return
    os._exit(NO_MORE)


def main() -> None:
    """Let copies of this process serve, each until a request fails; starting Python for each would take longer."""
    limit("RLIMIT_DATA", MEMORY)
    limit("RLIMIT_CORE", 0)
    if not hasattr(os, "fork"):
        serve()
        return
    while True:
        copy = os.fork()
        if not copy:
            serve()
            os._exit(0)
        _, status = os.waitpid(copy, 0)
        if code := os.waitstatus_to_exitcode(status):
            sys.exit(0 if code == NO_MORE else DIED - code)


if __name__ == "__main__":
    main()
