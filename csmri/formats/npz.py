"""NumPy archives: everything a `Cine` or `KSpace` holds, under the names of its fields; never pickles."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from csmri.core.files import replacing
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace, LazySlices
from csmri.formats.axes import NUMPY_ORDERS, as_stack
from csmri.formats.fields import DATA, NUMBERS, TEXTS, arrays_of, record_of
from csmri.formats.measured import check_size
from csmri.formats.parsing import parsing

KIND = "NPZ"


def is_npz(path: str | Path) -> bool:
    """Tell from its content whether a file is a NumPy archive, of whatever arrays."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except Exception:  # no archive, a damaged one, or nothing that can be opened
        return False


def provenance_of(path: str | Path) -> str:
    """What an archive says of where it comes from, without reading its arrays; empty where it says nothing."""
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return str(archive["provenance"])
    except Exception:  # no archive, a damaged one, or one without
        return ""


def read(path: str | Path, *, axes: str | None = None) -> Cine | KSpace:
    """Read a cine or k-space from an archive that `write` or a person made.

    Parameters
    ----------
    path : path
        Holds `images` (slice, frame, y, x) or (frame, y, x), or `kspace` (slice, coil, frame, ky, kx), leading axes
        optional, with `mask` (ky,), (frame, ky), (slice, frame, ky), or these with kx where it is constant along it.
        The other fields of the records are optional; the subject is the file's stem where none is given.
    axes : str, optional
        Axes of `images` where they are others, see `axes.as_stack`.

    Returns
    -------
    Cine or KSpace

    Raises
    ------
    CsmriError
        If the archive is damaged, holds neither or both, holds pickled objects, a field has the wrong shape, or mask
        and zeros of k-space disagree.
    """
    path = Path(path)
    with parsing(path, "a NumPy archive (.npz)", "save plain arrays again with numpy.savez"):
        # Opened here, because np.load leaves a damaged file open when it fails.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = list(archive.files)
            check_size(path, sum(member.file_size for member in archive.zip.infolist()), "arrays")
            arrays = {name: archive[name] for name in (*DATA, *NUMBERS, *TEXTS) if name in names}
    if axes is not None and "images" in arrays:
        arrays["images"] = as_stack(path, arrays["images"], axes, NUMPY_ORDERS, [])
    return record_of(path, arrays, names, KIND)


def write(path: str | Path, record: Cine | KSpace) -> None:
    """Write a cine or k-space; `read` gives back every field as it was.

    Parameters
    ----------
    path : path
        `.npz`, replaced atomically.
    record : Cine or KSpace
        `LazySlices` are read whole; `formats.hdf5` writes them slice by slice.
    """
    arrays = arrays_of(record)
    if isinstance(record, Cine):
        arrays["images"] = record.images
    else:
        arrays["kspace"] = (
            np.stack(list(record.slices())) if isinstance(record.kspace, LazySlices) else np.asarray(record.kspace)
        )
    # Compressed: zeros of unacquired lines and integers in float32 shrink a lot.
    with replacing(Path(path)) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
