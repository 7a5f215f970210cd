"""What a NIfTI header says of space and time, and whether its parts agree with each other."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    fitting = {
        name: form
        for name, form in forms.items()
        if np.isfinite(form).all()
        and np.allclose(np.linalg.norm(form[:3, :3], axis=0), spacing, rtol=SAME_LENGTH, atol=0)
    }
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


def frame_times_ms(header: Any, own: dict[str, Any], n_frames: int, notes: list[str]) -> NDArray[np.float32] | None:
    """Times (frame,) in ms, or None where the header does not tell."""
    exact = own.get("frame_times_ms")
    if isinstance(exact, list) and len(exact) == n_frames:
        with contextlib.suppress(TypeError, ValueError):  # edited by hand: fall back on the interval
            return np.asarray(exact, np.float32)
    unit = unit_of(header, 1)
    step, offset = float(header["pixdim"][4]), float(header["toffset"])
    if unit in MS and PLAUSIBLE_FRAME_MS[0] <= step * MS[unit] <= PLAUSIBLE_FRAME_MS[1] and math.isfinite(offset):
        return ((offset + step * np.arange(n_frames)) * MS[unit]).astype(np.float32)
    notes.append(f"Frame times are unknown: the header says {step:g} with the unit {unit}.")
    return None


def unit_of(header: Any, which: int) -> str:
    """Unit of space (0) or time (1), "unknown" where the header names none."""
    with contextlib.suppress(KeyError):  # nibabel knows no more codes than the standard
        return str(header.get_xyzt_units()[which])
    return "unknown"
