"""What a NIfTI header says of space and time, and whether its parts agree with each other."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmri.data.checks import is_invertible

MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
MS = {"sec": 1000.0, "msec": 1.0, "usec": 0.001}
# A cine frame lasts 10 to 100 ms; beyond these bounds the fourth zoom is a default and no time.
PLAUSIBLE_FRAME_MS = (2.0, 500.0)
# Column norms of an affine and zooms are the same numbers, in float32 and through a quaternion.
SAME_LENGTH = 0.01
SCANNER = 1


def spacing_mm(header: Any, own: dict[str, Any], notes: list[str]) -> tuple[float, float, float] | None:
    """(x, y, slice) in mm, or None where the header was lost."""
    zooms = [float(zoom) for zoom in header.get_zooms()[:3]]
    unit = unit_of(header, 0)
    if not all(math.isfinite(zoom) and zoom > 0 for zoom in zooms):
        notes.append(f"Pixel spacing is unknown: the header says {zooms}.")
        return None
    # What lost the header leaves the code of "aligned" at best; a scanner's coordinates were written on purpose.
    is_told = unit != "unknown" and SCANNER in (header["qform_code"], header["sform_code"])
    if zooms == [1.0, 1.0, 1.0] and "slice_spacing" not in own and not is_told:
        notes.append("Pixel spacing and orientation are unknown: the header was lost (all zooms are 1).")
        return None
    if unit == "unknown":
        notes.append("The header names no unit of length; the pixel spacing was taken to be in mm.")
    x, y, z = (zoom * MM[unit] for zoom in zooms)
    return x, y, z


def affine_mm(header: Any, spacing: tuple[float, float, float], notes: list[str]) -> NDArray[np.float64] | None:
    """Affine (4, 4) to RAS in mm of the form that fits the pixel spacing: sform, else qform, else none, with a note."""
    scale = MM[unit_of(header, 0)]
    forms = {}
    for name in ("sform", "qform"):
        if header[f"{name}_code"] > 0:
            with contextlib.suppress(Exception):  # a quaternion that is none
                form = np.array(getattr(header, f"get_{name}")(), np.float64)
                form[:3] *= scale
                forms[name] = form
    fitting = {name: form for name, form in forms.items() if _fits(form, spacing)}
    wanted = " x ".join(f"{length:.4g}" for length in spacing)
    if not fitting:
        if forms:
            notes.append(f"Orientation is unknown: no form of the header fits its pixel spacing, {wanted} mm.")
        return None
    name, form = next(iter(fitting.items()))
    if other := [one for one in forms if one not in fitting]:
        notes.append(
            f"The {other[0]} contradicts the pixel spacing, {wanted} mm (x, y, slice), and was left out; the {name} "
            "fits."
        )
    elif len(forms) == 2 and not np.allclose(forms["sform"], forms["qform"], atol=0.1 * min(spacing)):
        notes.append("Sform and qform of the header differ in place or direction; the sform was taken.")
    return form


def _fits(form: NDArray[np.float64], spacing: tuple[float, float, float]) -> bool:
    """Whether a form has these lengths; of slices that are offset sideways either that or the distance is told."""
    if not is_invertible(form):
        return False
    lengths = np.linalg.norm(form[:3, :3], axis=0)
    steps = (lengths[2], slice_distance_mm(form))
    return any(np.allclose((*lengths[:2], step), spacing, rtol=SAME_LENGTH, atol=0) for step in steps)


def slice_distance_mm(affine: NDArray[np.float64]) -> float:
    """Distance of neighbouring slices along their normal, which is the length of a step unless it leads sideways."""
    return float(abs(_normal(affine) @ affine[:3, 2]))


def sideways_mm(affine: NDArray[np.float64]) -> float:
    """How far every slice is offset within its plane from the one before."""
    normal = _normal(affine)
    return float(np.linalg.norm(affine[:3, 2] - normal * (normal @ affine[:3, 2])))


def without_shears(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Affine that a quaternion can hold: slices of (x, y, slice) pixels keep their planes, not their sideways offsets.

    The middle of the stack stays where it is, so that what is off elsewhere is least. Where columns are not
    perpendicular to rows, both are turned, to the nearest that are.
    """
    lengths = np.array([*np.linalg.norm(affine[:3, :2], axis=0), _normal(affine) @ affine[:3, 2]])
    left, _, right = np.linalg.svd(np.stack([*(affine[:3, :2] / lengths[:2]).T, _normal(affine)], axis=1))
    straight = np.eye(4)
    straight[:3, :3] = left @ right * lengths
    middle = np.array([*(n - 1 for n in shape), 0]) / 2
    straight[:3, 3] = ((affine - straight) @ middle + affine[:, 3])[:3]
    return straight


def _normal(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    return np.asarray(normal / max(float(np.linalg.norm(normal)), np.finfo(np.float64).tiny), np.float64)


def frame_times_ms(header: Any, own: dict[str, Any], n_frames: int, notes: list[str]) -> NDArray[np.float32] | None:
    """Times (frame,) in ms, or None where the header does not tell."""
    exact = own.get("frame_times_ms")
    if isinstance(exact, list) and len(exact) == n_frames:
        with contextlib.suppress(TypeError, ValueError):  # edited by hand: fall back on the interval
            if _rise(times := np.asarray(exact, np.float32)):
                return times
    unit = unit_of(header, 1)
    step, offset = float(header["pixdim"][4]), float(header["toffset"])
    if unit in MS and PLAUSIBLE_FRAME_MS[0] <= step * MS[unit] <= PLAUSIBLE_FRAME_MS[1] and math.isfinite(offset):
        times = ((offset + step * np.arange(n_frames)) * MS[unit]).astype(np.float32)
        if _rise(times):  # beyond an offset of days there are no milliseconds left
            return times
    notes.append(f"Frame times are unknown: the header says {step:g} with the unit {unit}.")
    return None


def _rise(times: NDArray[np.float32]) -> bool:
    return times.ndim == 1 and bool(np.isfinite(times).all() and (np.diff(times) > 0).all())


def unit_of(header: Any, which: int) -> str:
    """Unit of space (0) or time (1), "unknown" where the header names none."""
    with contextlib.suppress(KeyError):  # nibabel knows no more codes than the standard
        return str(header.get_xyzt_units()[which])
    return "unknown"
