"""K-space in MATLAB v5 to v7 files (`save` without '-v7.3'), where a mask beside it tells the axes."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.io
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.data.kspace import KSpace
from csmri.formats.mat5 import sound_variables
from csmri.formats.measured import check_size, mask_of_zeros, measured
from csmri.formats.parsing import parsing

KIND = "MATLAB"
KSPACE = re.compile(r"kspace\w*|kus|kdata|k", re.IGNORECASE)
MASK = re.compile(r"mask\w*|samp\w*", re.IGNORECASE)
INSTEAD = "save it as .npz: numpy.savez(name, kspace=(slice, coil, frame, ky, kx), mask=(frame, ky))"
AXES = ("slice", "coil", "frame", "ky", "kx")


def is_matlab_kspace(path: str | Path) -> bool:
    """Tell cheaply whether a MATLAB v5 to v7 file holds a variable with a name of k-space."""
    try:
        return any(KSPACE.fullmatch(name) for name, *_ in scipy.io.whosmat(path, appendmat=False))
    except Exception:  # not MATLAB v5, damaged beyond its list of variables, or nothing that can be opened
        return False


def read(path: str | Path) -> KSpace:
    """Read `kspace` with its `mask`; their shapes, and the zeros, tell which axis is what.

    Parameters
    ----------
    path : path
        `kspace` has ky and kx, in either order, as its first axes, then coil, slice and frame as far as it has them, in
        any order; `mask` is (frame, ky) or (ky, frame), with or without kx.

    Returns
    -------
    KSpace
        Gated or not is not told. The subject is the file's stem.

    Raises
    ------
    CsmriError
        If the file is damaged, has no such variables, or the axes can be told in no or in several ways.
    """
    path = Path(path)
    with parsing(path, "a MATLAB v5 file", "export it again with MATLAB's save(..., '-v7')"):
        content = path.read_bytes()
        names = sound_variables(content)
        kspaces = [name for name in names if KSPACE.fullmatch(name)]
        masks = [name for name in names if MASK.fullmatch(name)]
        if len(kspaces) != 1 or len(masks) > 1:
            raise CsmriError(
                f"{path}: expected one `kspace` and one `mask`, found {', '.join(names[:8]) or 'no array'}; {INSTEAD}"
            )
        variables = scipy.io.loadmat(io.BytesIO(content), variable_names=kspaces + masks)
    kspace = np.asarray(variables[kspaces[0]])
    check_size(path, 8 * kspace.size, "k-space")
    if kspace.dtype.kind not in "fc" or not 3 <= kspace.ndim <= 5 or 0 in kspace.shape:
        raise CsmriError(f"{path}: found {kspaces[0]} {kspace.shape} of {kspace.dtype}, expected k-space; {INSTEAD}")
    if not masks:
        raise CsmriError(
            f"{path}: found {kspaces[0]} {kspace.shape} without a mask, so that nothing tells its axes; {INSTEAD}"
        )
    with np.errstate(over="ignore"):  # what is too large for complex64 becomes infinite and is refused
        kspace = kspace.astype(np.complex64)
    ordered, mask, how = _told(path, kspace, np.asarray(variables[masks[0]]))
    return measured(
        path,
        ordered,
        mask,
        subject=path.stem,
        provenance=f"{path} ({KIND})",
        notes=[
            f"The axes were told by shape and zeros of the mask: {kspaces[0]} {how}.",
            "Pixel spacing and frame times are unknown: the file does not hold them.",
        ],
    )


def _told(path: Path, kspace: NDArray, mask: NDArray) -> tuple[NDArray, NDArray, str]:
    """K-space and mask in csmri's order, and the names of the axes as they were."""
    found = list(_ways(kspace, mask))
    if not found:
        raise CsmriError(
            f"{path}: kspace {kspace.shape} and mask {mask.shape} do not tell which axis is which, expected a mask "
            f"(frame, ky) that fits the zeros of k-space; {INSTEAD}"
        )
    if len({how for *_, how in found}) > 1:
        ways = " or ".join(sorted({how for *_, how in found})[:3])
        raise CsmriError(f"{path}: kspace {kspace.shape} may be {ways}; {INSTEAD}")
    return found[0]


def _ways(kspace: NDArray, mask: NDArray) -> Iterator[tuple[NDArray, NDArray, str]]:
    """Every order of the axes in which the mask fits shape and zeros."""
    masks = list(_frame_and_line(mask))
    for plane in (("ky", "kx"), ("kx", "ky")):
        for rest in itertools.permutations(("coil", "slice", "frame"), kspace.ndim - 2):
            # Of coil and slice the coil comes first: their order cannot be told.
            if "frame" not in rest or ("slice" in rest and "coil" not in rest) or _swapped(rest):
                continue
            names = (*plane, *rest)
            missing = tuple(range(len(AXES) - kspace.ndim))
            present = [name for name in AXES if name in names]
            # Where there is no coil, or no slice, the axis has length 1.
            ordered = kspace.transpose([names.index(name) for name in present])
            ordered = np.expand_dims(ordered, missing)
            for one in masks:
                if one.shape == (ordered.shape[2], ordered.shape[3]) and (mask_of_zeros(ordered) == one).all():
                    yield ordered, one, f"({', '.join(names)})"


def _swapped(rest: tuple[str, ...]) -> bool:
    return "slice" in rest and rest.index("slice") < rest.index("coil")


def _frame_and_line(mask: NDArray) -> Iterator[NDArray[np.bool_]]:
    """Masks (frame, ky) that this may be, whole lines only."""
    if mask.ndim not in (2, 3) or mask.dtype.kind not in "buif" or not np.isin(mask, (0, 1)).all():
        return
    marked = mask.astype(np.bool_)
    flat = [marked] if mask.ndim == 2 else []
    for axis in range(mask.ndim if mask.ndim == 3 else 0):
        if (marked == marked.take([0], axis)).all():
            flat.append(np.asarray(marked.take(0, axis)))
    for one in flat:
        yield one
        yield one.T
