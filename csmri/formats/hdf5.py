"""HDF5 in csmri's own layout: the names and axes of the NPZ archive, read and written slice by slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.core.files import replacing
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace, LazySlices
from csmri.formats.fields import DATA, NUMBERS, TEXTS, arrays_of, record_of
from csmri.formats.hdf5_file import Array, describe, has_signature, read_array, read_texts

KIND = "HDF5"
FASTMRI = ("reconstruction_rss", "reconstruction_esc", "ismrmrd_header")
"""What stands beside `kspace` in a file of fastMRI, and of those who took over its layout."""
LAYOUT = (
    "`images` (slice, frame, y, x), or `kspace` (slice, coil, frame, ky, kx) and `mask` (frame, ky), as in csmri's .npz"
)


def is_hdf5(path: str | Path) -> bool:
    """Tell from its first bytes whether a file is HDF5, of whatever layout: ask the other formats first."""
    try:
        return has_signature(Path(path))
    except OSError:  # nothing that can be opened
        return False


def read(path: str | Path) -> Cine | KSpace:
    """Read a cine or k-space under the names of NPZ archives, see `npz.read`.

    Parameters
    ----------
    path : path
        `kspace` must have all five axes. The subject is the file's stem where none is given.

    Returns
    -------
    Cine or KSpace
        K-space is read slice by slice, when it is asked for.

    Raises
    ------
    CsmriError
        If the file is damaged, or of another layout: says what it holds and what is missing.
    """
    path = Path(path)
    described = describe(path)
    if "kspace" in described and "mask" not in described and (seen := [one for one in FASTMRI if one in described]):
        raise CsmriError(_about_fastmri(path, described["kspace"], seen[0]))
    if "images" not in described and "kspace" not in described:
        found = ", ".join(f"{name} {one.shape}" for name, one in list(described.items())[:6]) or "no array"
        raise CsmriError(f"{path}: HDF5 of a layout that csmri does not know ({found}); expected {LAYOUT}")
    arrays: dict[str, Any] = {}
    for name in (*DATA, *NUMBERS, *TEXTS):
        if name in described:
            arrays[name] = _read(path, name, described[name])
    return record_of(path, arrays, list(described), KIND)


def write(path: str | Path, record: Cine | KSpace, *, compression: str | None = "lzf") -> None:
    """Write a cine or k-space, a slice at a time; `read` gives back every field as it was.

    Parameters
    ----------
    path : path
        `.h5`, replaced atomically.
    record : Cine or KSpace
    compression : "lzf", "gzip" or None
        lzf is fast and leaves zeros out, gzip is smaller.
    """
    with replacing(Path(path)) as temporary, h5py.File(temporary, "w") as file:
        for name, array in arrays_of(record).items():
            if array.dtype.kind == "U":
                file.create_dataset(name, data=array.astype(object), dtype=h5py.string_dtype())
            else:
                file.create_dataset(name, data=array)
        is_cine = isinstance(record, Cine)
        data: Any = record.images if isinstance(record, Cine) else record.kspace
        slices = iter(record.images) if isinstance(record, Cine) else record.slices()
        stored = file.create_dataset(
            "images" if is_cine else "kspace",
            tuple(data.shape),
            data.dtype,
            # A frame of a coil at a time: a chunk of a whole slice can be larger than HDF5 keeps in its cache.
            chunks=(1,) * (len(data.shape) - 2) + tuple(data.shape[-2:]),
            compression=compression,
        )
        for index, one in enumerate(slices):
            stored[index] = one


def _read(path: Path, name: str, array: Array) -> Any:
    if name in TEXTS:
        # An array without elements is how "no notes" is stored.
        return np.array(read_texts(path, name, array) if array.shape != (0,) else [], np.str_)
    if name != "kspace":
        return read_array(path, name, array)
    if len(array.shape) != 5 or not array.is_complex:
        what = "complex numbers" if array.is_complex else "other than complex numbers"
        raise CsmriError(f"{path}: expected {LAYOUT}; found kspace of shape {array.shape}, {what}")

    def read_slice(index: int) -> NDArray[np.complex64]:
        with np.errstate(over="ignore"):  # what is too large for complex64 becomes infinite and is refused
            return np.ascontiguousarray(read_array(path, name, array, axis=0, index=index), np.complex64)

    n_slices, n_coils, n_frames, n_ky, n_kx = array.shape
    return LazySlices((n_slices, n_coils, n_frames, n_ky, n_kx), read_slice)


def _about_fastmri(path: Path, array: Array, beside: str) -> str:
    what = f"{path}: a file in the manner of fastMRI (kspace {array.shape} beside {beside})"
    if len(array.shape) < 5:
        return (
            f"{what}, which has no frames; a cine needs k-space (slice, coil, frame, ky, kx) with a mask (frame, ky); "
            "give the raw data of a cine"
        )
    return (
        f"{what}, whose {len(array.shape)} axes nothing names; expected {LAYOUT}: put the axes in this order "
        "(such files are often (frame, slice, coil, ky, kx)) and save it with a mask"
    )
