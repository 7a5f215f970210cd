"""NumPy archives: everything a `Cine` or `KSpace` holds, under the names of its fields; never pickles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.core.files import replacing
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace
from csmri.formats.parsing import as_images, parsing

DATA = ("images", "kspace", "mask")
NUMBERS = {"spacing_mm": (2,), "slice_spacing_mm": (), "frame_times_ms": (None,), "affine": (4, 4)}
TEXTS = ("subject", "provenance", "notes")


def read(path: str | Path) -> Cine | KSpace:
    """Read a cine or k-space from an archive that `write` or a person made.

    Parameters
    ----------
    path : path
        Holds `images` (slice, frame, y, x) or (frame, y, x), or `kspace` (slice, coil, frame, ky, kx), leading axes
        optional, with `mask` (frame, ky), or one for every slice. The other fields of the records are optional; the
        subject is the file's stem where none is given.

    Returns
    -------
    Cine or KSpace

    Raises
    ------
    CsmriError
        If the archive is damaged, holds neither or both, holds pickled objects, or a field has the wrong shape.
    """
    path = Path(path)
    with parsing(path, "a NumPy archive (.npz)", "save plain arrays again with numpy.savez"):
        # Opened here, because np.load leaves a damaged file open when it fails.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = list(archive.files)
            arrays = {name: archive[name] for name in (*DATA, *NUMBERS, *TEXTS) if name in names}
    if ("images" in arrays) == ("kspace" in arrays):
        found = ", ".join(sorted(names)[:8]) or "nothing"
        raise CsmriError(f"{path}: expected either `images` or `kspace` and `mask`, found {found}")
    fields = _fields(path, arrays)
    notes = list(fields.pop("notes"))
    unknown = sorted(set(names) - set(arrays))
    if unknown:
        notes.append(f"Ignored the arrays {', '.join(unknown[:8])}.")
    # First with the path, so that a complaint names this file, then with the provenance that was stored.
    provenance = fields.pop("provenance") or f"{path} (NPZ)"
    record: Cine | KSpace
    if "images" in arrays:
        record = Cine(_with_axes(path, arrays["images"], "images", 4), provenance=str(path), **fields)
    else:
        kspace = _with_axes(path, arrays["kspace"], "kspace", 5).astype(np.complex64, copy=False)
        mask = _mask(path, arrays.get("mask"), kspace, notes)
        record = KSpace(kspace, mask, provenance=str(path), **fields)
    return replace(record, provenance=provenance, notes=tuple(notes))


def write(path: str | Path, record: Cine | KSpace) -> None:
    """Write a cine or k-space; `read` gives back every field as it was.

    Parameters
    ----------
    path : path
        `.npz`, replaced atomically.
    record : Cine or KSpace
    """
    names = ("images",) if isinstance(record, Cine) else ("kspace", "mask")
    arrays = {name: np.asarray(getattr(record, name)) for name in (*names, "subject", "provenance")}
    arrays["notes"] = np.array(record.notes, dtype=np.str_)
    for name in NUMBERS:
        if getattr(record, name) is not None:
            arrays[name] = np.asarray(getattr(record, name))
    # Compressed: zeros of unacquired lines and integers in float32 shrink a lot.
    with replacing(Path(path)) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _with_axes(path: Path, array: NDArray, name: str, n_axes: int) -> NDArray:
    """Add the leading axes (slice, coil) that a file made by hand may leave out."""
    array = as_images(array, f"{path}: {name}")
    if array.ndim >= 3:
        array = array.reshape((1,) * (n_axes - array.ndim) + array.shape)
    return array


def _mask(path: Path, mask: NDArray | None, kspace: NDArray, notes: list[str]) -> NDArray[np.bool_]:
    """Mask (frame, ky) or (slice, frame, ky), also of 0 and 1; without one, lines that are not zero were acquired."""
    if mask is None:
        if kspace.ndim != 5:
            raise CsmriError(f"{path}: expected kspace (slice, coil, frame, ky, kx), found shape {kspace.shape}")
        notes.append("There is no mask: every k-space line that is not zero was taken as acquired.")
        return np.asarray(kspace.any(axis=(0, 1, 4)))
    if mask.dtype.kind not in "buif" or not np.isin(mask, (0, 1)).all():
        raise CsmriError(f"{path}: expected a mask (frame, ky) of True and False, found other values ({mask.dtype})")
    return mask.astype(np.bool_)


def _fields(path: Path, arrays: dict[str, NDArray]) -> dict[str, Any]:
    """Optional fields of the records as Python values, shapes and kinds checked."""
    fields: dict[str, Any] = {"subject": path.stem, "provenance": "", "notes": ()}
    for name, shape in NUMBERS.items():
        if name not in arrays:
            continue
        value = arrays[name]
        fits = value.ndim == len(shape) and all(want in (None, n) for want, n in zip(shape, value.shape, strict=True))
        if not fits or value.dtype.kind not in "uif" or not np.isfinite(value).all():
            expected = " x ".join("frame" if want is None else str(want) for want in shape) or "a single number"
            raise CsmriError(f"{path}: expected {name} ({expected}), found {value.dtype} of shape {value.shape}")
        fields[name] = value
    if "spacing_mm" in fields:
        fields["spacing_mm"] = (float(fields["spacing_mm"][0]), float(fields["spacing_mm"][1]))
    if "slice_spacing_mm" in fields:
        fields["slice_spacing_mm"] = float(fields["slice_spacing_mm"])
    if "frame_times_ms" in fields:
        fields["frame_times_ms"] = fields["frame_times_ms"].astype(np.float32)
    if "affine" in fields:
        fields["affine"] = fields["affine"].astype(np.float64)
    for name in TEXTS:
        if name in arrays:
            if arrays[name].dtype.kind != "U" and arrays[name].size:
                raise CsmriError(f"{path}: expected {name} as text, found {arrays[name].dtype}")
            many = tuple(str(text) for text in np.ravel(arrays[name]))
            fields[name] = many if name == "notes" else " ".join(many) or fields[name]
    return fields
