"""Arrays whose file does not name their axes: which one is slice, frame, y and x."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError

NAMES = {"z": "slice", "t": "frame", "y": "y", "x": "x"}
NUMPY_ORDERS = ("tyx", "yxt"), ("ztyx", "yxzt")
MATLAB_ORDERS = ("yxt", "tyx"), ("yxzt", "ztyx")
"""Usual orders of three and of four axes, the likeliest first."""


def check_axes(axes: str | None) -> None:
    """Refuse what does not name the axes of a cine.

    Raises
    ------
    CsmriError
    """
    if axes is not None and (len(set(axes)) != len(axes) or not set("tyx") <= set(axes) <= set(NAMES)):
        raise CsmriError(
            f"--axes {axes}: expected the axes in the order of the file, each once: t (frame), y (row), x (column) "
            "and, where there are several, z (slice); for example yxzt"
        )


def as_stack(
    path: Path, array: NDArray, axes: str | None, orders: tuple[Sequence[str], Sequence[str]], notes: list[str]
) -> NDArray:
    """Bring an array to (slice, frame, y, x): by the axes that a person names, else by the likeliest usual order.

    Parameters
    ----------
    orders : of three axes, of four axes
    notes : list of str
        Is told which axes were taken where nobody named them.

    Raises
    ------
    CsmriError
        If the array has not the axes named, or neither three nor four.
    """
    found = array.shape
    if axes is None and array.ndim > 4:
        array = array.squeeze()
    if axes is None and array.ndim not in (3, 4):
        raise CsmriError(
            f"{path}: expected an array (slice, frame, y, x), or (frame, y, x) of one slice, found {len(found)} axes: "
            f"{found}; leave out the others, or name them with --axes"
        )
    if axes is not None and len(axes) != array.ndim:
        raise CsmriError(f"{path}: --axes {axes} names {len(axes)} axes, the array has {array.ndim}: {found}")
    if axes is None:
        usual = orders[array.ndim - 3]
        axes = next((order for order in usual if _is_plausible(array.shape, order)), usual[0])
        named = ", ".join(NAMES[name] for name in axes)
        notes.append(f"The axes {array.shape} were taken as ({named}); if they are others, name them with --axes.")
    stack = array.transpose([axes.index(name) for name in "ztyx" if name in axes])
    return stack if "z" in axes else stack[np.newaxis]


def _is_plausible(shape: tuple[int, ...], order: str) -> bool:
    """Whether every image would have more rows and columns than there are frames and slices."""
    size = dict(zip(order, shape, strict=True))
    return min(size["y"], size["x"]) > max(size["t"], size.get("z", 1))
