"""The fields of `Cine` and `KSpace` by name, as NPZ and HDF5 files hold them: checked, both ways."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace, LazySlices
from csmri.formats.measured import measured
from csmri.formats.parsing import as_images

DATA = ("images", "kspace", "mask")
NUMBERS: dict[str, tuple[int | None, ...]] = {
    "spacing_mm": (2,),
    "slice_spacing_mm": (),
    "frame_times_ms": (None,),
    "affine": (4, 4),
    "matrix": (2,),
    "noise_covariance": (None, None),
    "cyclic": (),
}
OF_KSPACE = ("matrix", "noise_covariance", "cyclic")
TEXTS = ("subject", "provenance", "notes")


def record_of(path: Path, arrays: dict[str, Any], names: list[str], kind: str) -> Cine | KSpace:
    """Make the record that a file holds.

    Parameters
    ----------
    path : Path
    arrays : dict
        What was read of `DATA`, `NUMBERS` and `TEXTS`; `kspace` may be `LazySlices`.
    names : list of str
        All that the file holds.
    kind : str
        The format, as provenance names it.

    Raises
    ------
    CsmriError
        If there is neither or both of images and k-space, or a field has the wrong shape or kind.
    """
    if ("images" in arrays) == ("kspace" in arrays):
        found = ", ".join(sorted(names)[:8]) or "nothing"
        raise CsmriError(f"{path}: expected either `images` or `kspace` and `mask`, found {found}")
    fields = _fields(path, arrays)
    notes = list(fields.pop("notes"))
    unknown = sorted(set(names) - set(arrays))
    if unknown:
        notes.append(f"Ignored the arrays {', '.join(unknown[:8])}.")
    provenance = fields.pop("provenance") or f"{path} ({kind})"
    if "kspace" in arrays:
        kspace = arrays["kspace"]
        if not isinstance(kspace, LazySlices):
            kspace = with_axes(path, kspace, "kspace", 5).astype(np.complex64, copy=False)
        return measured(path, kspace, arrays.get("mask"), notes=notes, provenance=provenance, **fields)
    for name in OF_KSPACE:
        fields.pop(name, None)
    images = with_axes(path, arrays["images"], "images", 4)
    if images.ndim == 4 and images.shape[1] > min(images.shape[2:]):
        notes.append(
            f"There are more frames ({images.shape[1]}) than rows or columns {images.shape[2:]}: the axes must be "
            "(slice, frame, y, x), transpose the array if they are not."
        )
    # First with the path, so that a complaint names this file, then with the provenance that was stored.
    cine = Cine(images, provenance=str(path), **fields)
    return replace(cine, provenance=provenance, notes=tuple(notes))


def arrays_of(record: Cine | KSpace) -> dict[str, NDArray]:
    """Every field but images and k-space that a record has, as an array; notes and other text as Unicode."""
    arrays = {name: np.asarray(getattr(record, name)) for name in ("subject", "provenance")}
    arrays["notes"] = np.array(record.notes, dtype=np.str_)
    if isinstance(record, KSpace):
        arrays["mask"] = record.mask
    for name in NUMBERS:
        if getattr(record, name, None) is not None:
            arrays[name] = np.asarray(getattr(record, name))
    return arrays


def with_axes(path: Path, array: NDArray, name: str, n_axes: int) -> NDArray:
    """Add the leading axes (slice, coil) that a file made by hand may leave out."""
    array = as_images(array, f"{path}: {name}")
    if array.ndim >= 3:
        array = array.reshape((1,) * (n_axes - array.ndim) + array.shape)
    return array


def _fields(path: Path, arrays: dict[str, Any]) -> dict[str, Any]:
    """Optional fields of the records as Python values, shapes and kinds checked."""
    fields: dict[str, Any] = {"subject": path.stem, "provenance": "", "notes": ()}
    for name, shape in NUMBERS.items():
        if name in arrays:
            fields[name] = _number(path, name, arrays[name], shape)
    for name in TEXTS:
        if name in arrays:
            if arrays[name].dtype.kind != "U" and arrays[name].size:
                raise CsmriError(f"{path}: expected {name} as text, found {arrays[name].dtype}")
            many = tuple(str(text) for text in np.ravel(arrays[name]))
            fields[name] = many if name == "notes" else " ".join(many) or fields[name]
    return fields


def _number(path: Path, name: str, value: NDArray, shape: tuple[int | None, ...]) -> Any:
    fits = value.ndim == len(shape) and all(want in (None, n) for want, n in zip(shape, value.shape, strict=True))
    kinds = {"cyclic": "b", "matrix": "ui", "noise_covariance": "uifc"}.get(name, "uif")
    is_number = value.dtype.kind in kinds
    if not fits or not is_number or not np.isfinite(value).all():
        names = {"frame_times_ms": "frame", "noise_covariance": "coil"}
        expected = " x ".join(names[name] if want is None else str(want) for want in shape) or (
            "a single number" if name != "cyclic" else "true or false"
        )
        found = f"{value.dtype} of shape {value.shape}" if not fits or not is_number else "NaN or infinite values"
        raise CsmriError(f"{path}: expected {name} ({expected}), found {found}; correct it, or leave it out")
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused where it is used
        if name == "spacing_mm":
            return float(value[0]), float(value[1])
        if name == "matrix":
            return int(value[0]), int(value[1])
        if name == "slice_spacing_mm":
            return float(value)
        if name == "cyclic":
            return bool(value)
        return value.astype({"frame_times_ms": np.float32, "noise_covariance": np.complex64}.get(name, np.float64))
