"""What numbers of a record must be, whoever made it: times that rise, lengths above 0, an affine that fits them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError

SINGULAR = 1e-6
"""Volume spanned by the axes of an affine, as unit vectors, at which they do not span space."""
SAME_LENGTH = 0.02
"""Pixel spacing and affine are the same numbers, rounded twice."""
SAME_DISTANCE = 0.05
"""Distances of slices vary a little along a stack, and the one is their mean, the other their median."""
HERMITIAN = 1e-3
"""Part of its largest value by which a covariance in single precision may differ from its conjugate transpose."""


def check_frame_times(where: str, frame_times_ms: NDArray[np.float32] | None, n_frames: int) -> None:
    """Refuse times (frame,) that do not fit the frames, are not finite, or do not rise."""
    if frame_times_ms is None:
        return
    times = np.asarray(frame_times_ms)
    if times.shape != (n_frames,):
        raise CsmriError(f"{where}: frame times of shape {times.shape} do not fit {n_frames} frames")
    advice = "correct the times (in ms) with their frames, or leave them out"
    if not np.isfinite(times).all():
        raise CsmriError(f"{where}: expected finite frame times, found NaN or infinite ones; {advice}")
    falls = np.flatnonzero(np.diff(times) <= 0)
    if falls.size:
        at = int(falls[0])
        raise CsmriError(
            f"{where}: frame times must rise, but frame {at + 2} is at {times[at + 1]:g} ms and frame {at + 1} at "
            f"{times[at]:g} ms; {advice}"
        )


def check_geometry(where: str, record: Any) -> None:
    """Refuse a `Cine` or `KSpace` whose spacing, slice spacing or affine cannot be, or contradict each other."""
    advice = "correct it, or leave it out"
    spacing, slice_spacing, affine = record.spacing_mm, record.slice_spacing_mm, record.affine
    if spacing is not None and not (np.shape(spacing) == (2,) and _are_lengths(spacing)):
        raise CsmriError(f"{where}: expected a pixel spacing (y, x) in mm above 0, found {spacing}; {advice}")
    if slice_spacing is not None and not (np.shape(slice_spacing) == () and _are_lengths(slice_spacing)):
        raise CsmriError(f"{where}: expected a slice spacing in mm above 0, found {slice_spacing}; {advice}")
    if affine is None:
        return
    if np.shape(affine) != (4, 4) or not np.isfinite(affine).all():
        found = f"shape {np.shape(affine)}" if np.shape(affine) != (4, 4) else "NaN or infinite values"
        raise CsmriError(f"{where}: expected an affine (4, 4) of finite numbers, found {found}; {advice}")
    if not np.allclose(affine[3], (0, 0, 0, 1)):
        row = [float(value) for value in affine[3]]
        raise CsmriError(
            f"{where}: the last row of the affine must be 0, 0, 0, 1, found {row}; transpose it, or leave it out"
        )
    if not is_invertible(affine):
        raise CsmriError(f"{where}: the affine is singular, its axes x, y and slice do not span space; {advice}")
    _check_lengths(where, record)


def is_invertible(affine: NDArray[np.float64]) -> bool:
    """Whether an affine (4, 4) is finite and its axes x, y and slice span space."""
    axes = np.asarray(affine, np.float64)[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    if not (np.isfinite(affine).all() and np.isfinite(lengths).all() and lengths.min() > 0):
        return False
    return bool(abs(np.linalg.det(axes / lengths)) > SINGULAR)


def check_noise_covariance(where: str, covariance: NDArray[np.complex64] | None, n_coils: int) -> None:
    """Refuse a matrix that is no covariance (coil, coil)."""
    if covariance is None:
        return
    covariance = np.asarray(covariance)
    if covariance.shape != (n_coils, n_coils):
        raise CsmriError(f"{where}: a noise covariance of shape {covariance.shape} does not fit {n_coils} coils")
    fault = ""
    if not np.isfinite(covariance).all():
        fault = "it holds NaN or infinite values"
    elif np.abs(covariance - covariance.conj().T).max() > HERMITIAN * np.abs(covariance).max():
        fault = "it is not Hermitian"
    elif (np.diagonal(covariance).real < 0).any():
        fault = "a coil has a negative variance"
    if fault:
        raise CsmriError(f"{where}: this is no noise covariance, {fault}; calculate it anew, or leave it out")


def _are_lengths(values: Any) -> bool:
    values = np.asarray(values, np.float64)
    return bool(np.isfinite(values).all() and (values > 0).all())


def _check_lengths(where: str, record: Any) -> None:
    x, y, step = np.asarray(record.affine, np.float64)[:3, :3].T
    told = []
    if record.spacing_mm is not None:
        told += [("columns (x)", record.spacing_mm[1], [x]), ("rows (y)", record.spacing_mm[0], [y])]
    if record.slice_spacing_mm is not None and record.n_slices > 1:
        normal = np.cross(x, y)
        # Of slices that are offset sideways the way from one to the next is longer than their distance.
        told.append(("slices", record.slice_spacing_mm, [step, normal * (step @ normal) / (normal @ normal)]))
    for what, spacing, vectors in told:
        lengths = [float(np.linalg.norm(vector)) for vector in vectors]
        tolerance = SAME_DISTANCE if what == "slices" else SAME_LENGTH
        if not any(abs(length - spacing) <= tolerance * spacing for length in lengths):
            raise CsmriError(
                f"{where}: spacing and affine contradict each other: {what} lie {spacing:g} mm apart by the one and "
                f"{lengths[0]:g} mm by the other; correct one of them, or leave it out"
            )
