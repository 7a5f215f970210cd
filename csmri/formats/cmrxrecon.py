"""CMRxRecon cines, MATLAB v7.3 files (HDF5) of multi- or single-coil k-space with masks in files of their own.

References
----------
Wang et al., Sci Data 11:687, 2024, doi 10.1038/s41597-024-03525-4; https://cmrxrecon.github.io.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.core.files import replacing
from csmri.data.kspace import KSpace, LazySlices
from csmri.formats.hdf5_file import Array, describe, has_signature, read_array
from csmri.formats.measured import measured
from csmri.formats.parsing import parsing

KIND = "CMRxRecon"
HEADER = b"MATLAB 7.3"
KSPACE = re.compile(r"kspace(_full|_sub\d+)?|kus|kspace_kus", re.IGNORECASE)
MASK = re.compile(r"mask\w*", re.IGNORECASE)
BLOCK = 512
"""Bytes of MATLAB's text before the HDF5 file begins."""


def is_cmrxrecon(path: str | Path) -> bool:
    """Tell from its first bytes whether a file is MATLAB v7.3, of whatever arrays."""
    try:
        path = Path(path)
        with path.open("rb") as file:
            return file.read(len(HEADER)) == HEADER and has_signature(path)
    except OSError:  # nothing that can be opened
        return False


def is_mask(path: str | Path) -> bool:
    """Tell by its name whether a MATLAB v7.3 file is a mask that belongs to another file."""
    return "mask" in Path(path).stem.lower() and is_cmrxrecon(path)


def read(path: str | Path, mask: str | Path | None = None) -> KSpace:
    """Read the k-space of a cine, `kspace_full`, `kspace_sub04`, `kus` or `kspace`.

    Parameters
    ----------
    path : path
        MATLAB's axes (kx, ky, coil, slice, frame), or (kx, ky, slice, frame) of a single coil. The subject is the
        folder `P001`, where it lies in one, else the file's stem.
    mask : path, optional
        Holds one variable `mask...` (kx, ky, frame) or (kx, ky). By default it is looked for beside the file and in the
        challenge's folders; what has none has acquired all lines that are not zero.

    Returns
    -------
    KSpace
        Read slice by slice, when it is asked for. The files hold neither pixel spacing nor frame times.

    Raises
    ------
    CsmriError
        If the file is damaged, holds no such variable, or mask and k-space do not fit.
    """
    path = Path(path)
    arrays = describe(path)
    name, array = _kspace(path, arrays)
    n_frames, n_slices, n_coils, n_ky, n_kx = array.shape if len(array.shape) == 5 else _with_coil(array.shape)

    def read_slice(index: int) -> NDArray[np.complex64]:
        one = read_array(path, name, array, axis=1, index=index)
        one = one.reshape(n_frames, n_coils, n_ky, n_kx).transpose(1, 0, 2, 3)
        with np.errstate(over="ignore"):  # what is too large for complex64 becomes infinite and is refused
            return np.ascontiguousarray(one, np.complex64)

    notes = ["Pixel spacing and frame times are unknown: CMRxRecon's files do not hold them."]
    beside = Path(mask) if mask else _mask_beside(path, name)
    drawn = None
    if beside is not None:
        drawn = read_mask(beside, n_frames)
        notes.append(f"The mask is that of {beside.name}.")
    elif own := [one for one in arrays if MASK.fullmatch(one)]:
        drawn = _as_frames(path, read_array(path, own[0], arrays[own[0]]), n_frames)
    return measured(
        path,
        LazySlices((n_slices, n_coils, n_frames, n_ky, n_kx), read_slice),
        drawn,
        subject=path.parent.name if re.fullmatch(r"P\d+", path.parent.name) else path.stem,
        provenance=f"{path} ({KIND} {name})",
        cyclic=True,
        notes=notes,
    )


def read_mask(path: str | Path, n_frames: int) -> NDArray:
    """Read a mask file, `mask...` (kx, ky, frame) or (kx, ky) in MATLAB's order, to (frame, ky, kx).

    Raises
    ------
    CsmriError
        If the file is damaged or holds no such variable.
    """
    path = Path(path)
    arrays = describe(path)
    names = [name for name in arrays if MASK.fullmatch(name)]
    if len(names) != 1:
        found = ", ".join(list(arrays)[:8]) or "nothing"
        raise CsmriError(f"{path}: expected one variable mask... (kx, ky, frame), found {found}")
    return _as_frames(path, read_array(path, names[0], arrays[names[0]]), n_frames)


def write(path: str | Path, kspace: KSpace) -> None:
    """Write k-space as CMRxRecon does: `kspace_full`, or `kus` with its mask in `..._mask.mat` beside it.

    Spacing, times and position have no place in this format. Slices with masks of their own get no mask file: the
    zeros tell.

    Parameters
    ----------
    path : path
        `.mat`, replaced atomically.
    kspace : KSpace
        Complex single precision, written slice by slice.

    Raises
    ------
    CsmriError
        If the frames are of real time: the files are those of gated cines.
    """
    path = Path(path)
    if kspace.cyclic is False:
        raise CsmriError(
            f"{path}: the frames are of real time, and CMRxRecon's files hold gated ones only; write ISMRMRD (--to "
            "ismrmrd) or csmri's own .npz or HDF5, which tell"
        )
    n_slices, n_coils, n_frames, n_ky, n_kx = kspace.kspace.shape
    name = "kspace_full" if kspace.is_full else "kus"
    with replacing(path) as temporary:
        with h5py.File(temporary, "w", userblock_size=BLOCK) as file:
            shape = (n_frames, n_slices, n_coils, n_ky, n_kx)
            kind = np.dtype([("real", "<f4"), ("imag", "<f4")])
            chunks = (1, 1, n_coils, n_ky, n_kx)
            variable = file.create_dataset(name, shape, kind, chunks=chunks, compression="gzip", compression_opts=3)
            variable.attrs["MATLAB_class"] = np.bytes_("single")
            for index, one in enumerate(kspace.slices()):
                variable[:, index] = (
                    np.ascontiguousarray(one.transpose(1, 0, 2, 3)).view(kind).reshape(n_frames, n_coils, n_ky, n_kx)
                )
        _add_header(temporary)
    if not kspace.is_full and kspace.mask.ndim == 2:
        with replacing(_mask_name(path)) as temporary:
            with h5py.File(temporary, "w", userblock_size=BLOCK) as file:
                lines = np.broadcast_to(kspace.mask[..., None], (n_frames, n_ky, n_kx)).astype(np.float64)
                file.create_dataset("mask", data=lines, compression="gzip").attrs["MATLAB_class"] = np.bytes_("double")
            _add_header(temporary)


def _add_header(path: Path) -> None:
    """Fill the block before the HDF5 file as MATLAB does: 116 characters, 8 bytes, version 2.0 and the byte order."""
    text = f"MATLAB 7.3 MAT-file, Platform: csmri, Created on: {time.asctime(time.gmtime(0))} HDF5 schema 1.00 ."
    with path.open("r+b") as file:
        file.write(text.encode().ljust(116) + bytes(8) + b"\x00\x02IM")


def _kspace(path: Path, arrays: dict[str, Array]) -> tuple[str, Array]:
    """The variable of k-space, the full one if there are several."""
    names = sorted((name for name in arrays if KSPACE.fullmatch(name)), key=lambda name: (name != "kspace_full", name))
    if not names:
        found = ", ".join(f"{name} {one.shape[::-1]}" for name, one in list(arrays.items())[:5]) or "nothing"
        raise CsmriError(
            f"{path}: a MATLAB v7.3 file; expected CMRxRecon's kspace_full, kspace_sub.., kus or kspace (kx, ky, coil, "
            f"slice, frame), found {found}; save other arrays as .npz (images, or kspace and mask), or a York file "
            "with save(..., '-v7')"
        )
    if len(names) > 1 and names[0] != "kspace_full":
        raise CsmriError(f"{path}: holds {len(names)} k-spaces ({', '.join(names)}); give a file with one of them")
    array = arrays[names[0]]
    if len(array.shape) not in (4, 5) or not array.is_complex or 0 in array.shape:
        raise CsmriError(
            f"{path}: expected {names[0]} (kx, ky, coil, slice, frame) or (kx, ky, slice, frame) of complex numbers, "
            f"found {array.shape[::-1]} of {'complex' if array.is_complex else 'other'} numbers"
        )
    return names[0], array


def _with_coil(shape: tuple[int, ...]) -> tuple[int, int, int, int, int]:
    n_frames, n_slices, n_ky, n_kx = shape
    return n_frames, n_slices, 1, n_ky, n_kx


def _as_frames(path: Path, mask: NDArray, n_frames: int) -> NDArray:
    """Mask (frame, ky, kx) from MATLAB's (kx, ky), or (kx, ky, frame), in either reversed."""
    if mask.ndim == 2:
        return np.broadcast_to(mask, (n_frames, *mask.shape))
    if mask.ndim == 3 and mask.shape[0] == 1:
        return np.broadcast_to(mask[0], (n_frames, *mask.shape[1:]))
    if mask.ndim != 3:
        raise CsmriError(f"{path}: expected a mask (kx, ky, frame) or (kx, ky), found shape {mask.shape[::-1]}")
    return mask


def _mask_name(path: Path) -> Path:
    return path.with_name(f"{path.stem}_mask{path.suffix}")


def _mask_beside(path: Path, variable: str) -> Path | None:
    """Where the challenges put the mask of undersampled k-space.

    2023: `cine_sax_mask.mat` beside `cine_sax.mat`; 2024 on: `Mask_TaskN/P001/cine_sax_mask_ktUniform4.mat` for
    `UnderSample_TaskN/P001/cine_sax_kus_ktUniform4.mat`.
    """
    if variable == "kspace_full":
        return None
    names = {path.name.replace("_kus_", "_mask_"), _mask_name(path).name} - {path.name}
    folders = [path.parent]
    parts = path.absolute().parts
    for number, part in enumerate(parts[:-1]):
        if part.lower().startswith("undersample"):
            folders.append(
                Path(*parts[:number], re.sub("(?i)undersample", "Mask", part, count=1), *parts[number + 1 : -1])
            )
    with parsing(path, "a CMRxRecon file", "check its folder"):
        beside = [folder / name for folder in folders for name in sorted(names) if (folder / name).is_file()]
    return beside[0] if beside else None
