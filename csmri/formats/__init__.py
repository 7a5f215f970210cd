"""Read and write cines: what a path holds is told by its content, how it is written by its suffix."""

from __future__ import annotations

from pathlib import Path

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine, Outlines
from csmri.data.kspace import KSpace
from csmri.formats import dicom, gif, nifti, npz, york
from csmri.formats.discovery import EXPECTED, find_cines, kind_of

__all__ = ["SUFFIXES", "check_suffix", "find_cines", "read", "read_cine", "read_outlines", "write"]

SUFFIXES = (".npz", ".nii", ".nii.gz", ".gif")


def read(path: str | Path) -> Cine | KSpace:
    """Read one cine or one measured k-space.

    Parameters
    ----------
    path : path
        A DICOM folder, a folder with one file that can be read, or a NIfTI, York .mat or .npz file; the name's
        suffix does not matter.

    Returns
    -------
    Cine or KSpace

    Raises
    ------
    CsmriError
        If there is nothing, several cines, or nothing that can be read. No other exception.
    """
    path = Path(path)
    if path.is_dir():
        cines = find_cines(path)
        if all(cine.is_dir() for cine in cines):
            # Several folders below may still be one stack; if not, the DICOM reader names the series.
            return dicom.read(path)
        if len(cines) > 1:
            raise CsmriError(f"{path}: holds {len(cines)} cines; give one of them, for example {cines[0]}")
        path = cines[0]
    if not path.exists():
        raise CsmriError(f"{path}: no such file or folder; expected {EXPECTED}")
    readers = {"nifti": nifti.read, "york": york.read, "npz": npz.read}
    return readers[kind_of(path)](path)


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
        beside = york.outlines_beside(cine)
        return york.read_outlines(beside) if beside else None
    if not Path(outlines).exists():
        raise CsmriError(f"{outlines}: no such file or folder; expected outlines of {cine}")
    return dicom.read_outlines(outlines, cine) if Path(outlines).is_dir() else york.read_outlines(outlines)


def check_suffix(path: str | Path) -> str:
    """Tell how a path would be written, before any work is done.

    Returns
    -------
    str
        One of `SUFFIXES`.

    Raises
    ------
    CsmriError
        If the suffix is unknown or the path is a folder.
    """
    name = Path(path).name.lower()
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.endswith(suffix) and name != suffix:
            if Path(path).is_dir():
                raise CsmriError(f"{path}: is a folder; give the name of a file to write")
            return suffix
    raise CsmriError(f"{path}: cannot tell the format to write; end the name in {', '.join(SUFFIXES)}")


def write(path: str | Path, record: Cine | KSpace) -> None:
    """Write a record in the format of the suffix; the file appears whole or not at all.

    Parameters
    ----------
    path : path
        Ends in `.npz` (everything), `.nii` or `.nii.gz` (magnitude and geometry), or `.gif` (to look at). Missing
        folders are created.
    record : Cine or KSpace
        K-space can be written as `.npz` only.

    Raises
    ------
    CsmriError
        If the suffix is unknown, does not fit the record, or the place cannot be written to.
    """
    suffix = check_suffix(path)
    if not isinstance(record, Cine | KSpace):
        raise CsmriError(
            f"{path}: expected a Cine or a KSpace to write, got {type(record).__name__}; make one of arrays"
        )
    if suffix == ".npz":
        npz.write(path, record)
    elif isinstance(record, KSpace):
        raise CsmriError(f"{path}: k-space can be written as .npz only; reconstruct it to write images")
    elif suffix == ".gif":
        gif.write(path, record)
    else:
        nifti.write(path, record)
