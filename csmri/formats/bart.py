"""BART's pairs of `.cfl` and `.hdr`: k-space of the Berkeley Advanced Reconstruction Toolbox.

References
----------
https://mrirecon.github.io/bart, README "Data Format": complex single precision, the first dimension fastest.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.core.files import replacing
from csmri.data.kspace import KSpace, LazySlices
from csmri.formats.measured import check_size, measured
from csmri.formats.parsing import parsing

KIND = "BART"
NAMES = (
    *("READ", "PHS1", "PHS2", "COIL", "MAPS", "TE", "COEFF", "COEFF2"),
    *("ITER", "CSHIFT", "TIME", "TIME2", "LEVEL", "SLICE", "AVG", "BATCH"),
)
"""Of its dimensions, in order."""
USED = {"READ": "kx", "PHS1": "ky", "COIL": "coil", "TIME": "frame", "SLICE": "slice"}
HEAD = b"# Dimensions"


def is_bart(path: str | Path) -> bool:
    """Tell whether a path is one of a BART pair, with either suffix or none: its header says so."""
    try:
        pair = _pair(Path(path))
        with pair[1].open("rb") as file:
            return pair[0].is_file() and HEAD in file.read(4096)
    except OSError:  # nothing that can be opened
        return False


def read(path: str | Path) -> KSpace:
    """Read the k-space of a cine: dimensions 0 (kx), 1 (ky), 3 (coil), 10 (frame) and 13 (slice), the others 1.

    Parameters
    ----------
    path : path
        Either file of the pair, or the name without suffix, as BART has it; the name is the subject.

    Returns
    -------
    KSpace
        Read slice by slice, when it is asked for. Lines that are zero in all coils were not acquired. The format holds
        neither pixel spacing nor frame times.

    Raises
    ------
    CsmriError
        If a file of the pair is missing or damaged, other dimensions are used, or there are no frames.
    """
    data, header = _pair(Path(path))
    sizes = _sizes(header)
    if others := {name: n for name, n in zip(NAMES, sizes, strict=True) if n > 1 and name not in USED}:
        found = ", ".join(f"{NAMES.index(name)} ({name}) has {n}" for name, n in others.items())
        hint = "; if these are the frames, move them with `bart transpose 11 10`" if "TIME2" in others else ""
        raise CsmriError(
            f"{header}: expected the dimensions 0 (kx), 1 (ky), 3 (coil), 10 (frame) and 13 (slice), but {found}{hint}"
        )
    n_kx, n_ky, n_coils, n_frames, n_slices = (sizes[NAMES.index(name)] for name in USED)
    expected = 8 * math.prod(sizes)
    with parsing(data, "BART's data", "copy both files again"):
        found_bytes = data.stat().st_size
    if found_bytes != expected:
        raise CsmriError(
            f"{data}: has {found_bytes:,} bytes, but {header.name} promises {expected:,}; the pair is damaged or cut "
            "off, copy both files again"
        )
    shape = (n_slices, n_frames, n_coils, n_ky, n_kx)
    check_size(data, expected // n_slices, "k-space in a slice")

    def read_slice(index: int) -> NDArray[np.complex64]:
        with parsing(data, "BART's data", "copy both files again"):
            stored = np.memmap(data, "<c8", "r", shape=shape)
            return np.ascontiguousarray(stored[index].transpose(1, 0, 2, 3), np.complex64)

    return measured(
        data,
        LazySlices((n_slices, n_coils, n_frames, n_ky, n_kx), read_slice),
        None,
        subject=data.stem,
        provenance=f"{data} ({KIND})",
        notes=["Pixel spacing and frame times are unknown: BART's files do not hold them."],
    )


def write(path: str | Path, kspace: KSpace) -> None:
    """Write k-space for BART, slice by slice; it tells acquired lines by their not being zero.

    Spacing, times and position have no place in this format, nor whether the frames are gated or of real time.

    Parameters
    ----------
    path : path
        `.cfl`, or without suffix; the header goes beside it. Each of both is replaced atomically.
    kspace : KSpace
    """
    data, header = _pair(Path(path))
    n_slices, n_coils, n_frames, n_ky, n_kx = kspace.kspace.shape
    of = dict(zip(USED, (n_kx, n_ky, n_coils, n_frames, n_slices), strict=True))
    with replacing(data) as temporary:
        with temporary.open("wb") as file:
            for one in kspace.slices():
                file.write(np.ascontiguousarray(one.transpose(1, 0, 2, 3), "<c8").data)
    with replacing(header) as temporary:
        sizes = " ".join(str(of.get(name, 1)) for name in NAMES)
        temporary.write_text(f"# Dimensions\n{sizes}\n# Creator\ncsmri\n", "ascii")


def _pair(path: Path) -> tuple[Path, Path]:
    """`.cfl` and `.hdr` of a path with either suffix or none; a dot may be part of BART's names."""
    stem = path.with_suffix("") if path.suffix.lower() in (".cfl", ".hdr") else path
    return stem.with_name(f"{stem.name}.cfl"), stem.with_name(f"{stem.name}.hdr")


def _sizes(header: Path) -> tuple[int, ...]:
    with parsing(header, "a header of BART", "copy both files again"):
        with header.open("rb") as file:
            lines = file.read(2**16).decode("utf-8", "replace").splitlines()
        line = lines[lines.index(HEAD.decode()) + 1]
        sizes = [int(size) for size in line.split()]
    if not sizes or len(sizes) > len(NAMES) or min(sizes) < 1:
        raise CsmriError(f"{header}: expected 1 to {len(NAMES)} dimensions of at least 1, found {line[:80]!r}")
    return (*sizes, *(1,) * (len(NAMES) - len(sizes)))
