"""Read and write cines and k-space: what a path holds is told by its content, how it is written by its suffix."""

from __future__ import annotations

from pathlib import Path

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine, Outlines
from csmri.data.kspace import KSpace
from csmri.formats import dicom, npz, york
from csmri.formats.discovery import EXPECTED, TRUTH, find_cines, only, read_only
from csmri.formats.output import output_of, write

__all__ = [
    "EXPECTED",
    "find_cines",
    "only",
    "outlines_beside",
    "output_of",
    "read",
    "read_cine",
    "read_outlines",
    "is_truth_of",
    "truth_beside",
    "truth_of",
    "truth_told",
    "write",
]


def read(path: str | Path, *, axes: str | None = None) -> Cine | KSpace:
    """Read one cine or one measured k-space.

    Parameters
    ----------
    path : path
        A file, a DICOM folder, or a folder with one file that can be read; content decides, not the name.
    axes : str, optional
        Axes of an array whose file does not name them, in its order: "yxzt" for (y, x, slice, frame).

    Returns
    -------
    Cine or KSpace

    Raises
    ------
    CsmriError
        If there is nothing, several cines, or nothing that can be read. No other exception.
    """
    return read_only(Path(path), axes=axes)


def read_cine(path: str | Path) -> Cine:
    """Read one cine, and refuse measured k-space.

    Raises
    ------
    CsmriError
        As `read`, and if the path holds k-space.
    """
    record = read(path)
    if isinstance(record, KSpace):
        raise CsmriError(f"{path}: holds k-space, expected images; reconstruct it first")
    return record


def read_outlines(cine: str | Path, outlines: str | Path | None = None) -> Outlines | None:
    """Read the manual outlines of a cine.

    Parameters
    ----------
    cine : path
        As given to `read`.
    outlines : path, optional
        Sunnybrook contour folder of a DICOM folder, or York file; by default the York file that belongs to `cine`, if
        it lies beside it.

    Returns
    -------
    Outlines or None
        None if none were named and none lie beside the cine.

    Raises
    ------
    CsmriError
        If there is nothing at `outlines`, or nothing that belongs to this cine.
    """
    cine = Path(cine)
    if outlines is None:
        beside = outlines_beside(cine)
        return york.read_outlines(beside) if beside else None
    if not Path(outlines).exists():
        raise CsmriError(f"{outlines}: no such file or folder; expected outlines of {cine}")
    return dicom.read_outlines(outlines, cine) if Path(outlines).is_dir() else york.read_outlines(outlines)


def outlines_beside(cine: str | Path) -> Path | None:
    """Path of the manual outlines that `read_outlines` finds beside a cine by itself."""
    return york.outlines_beside(Path(cine))


def truth_beside(path: str | Path) -> Path | None:
    """Path of the truth that `csmri simulate` wrote beside k-space, if it is there and of that k-space."""
    truth = truth_of(path)
    return truth if truth.is_file() and is_truth_of(truth, path) else None


def truth_of(path: str | Path) -> Path:
    """Path of the truth of simulated k-space: NAME_truth.npz beside NAME.h5."""
    path = Path(path)
    return path.with_name(f"{path.name.split('.')[0]}{TRUTH}")


def truth_told(path: str | Path, cine: Cine) -> str:
    """Provenance of the truth of simulated k-space, by which it is known again."""
    return f"the truth of {Path(path).name}: {cine.provenance or cine.subject}"


def is_truth_of(truth: str | Path, path: str | Path) -> bool:
    """Whether a file says that it is the truth of this k-space, and not of another of the same name."""
    told = npz.provenance_of(truth)
    # Of BART either file of the pair, or none of the suffixes, may be given.
    return told.removeprefix("the truth of ").split(":")[0].split(".")[0] == Path(path).name.split(".")[0] and (
        not Path(path).suffix or Path(path).suffix == ".hdr" or told.startswith(f"the truth of {Path(path).name}:")
    )
