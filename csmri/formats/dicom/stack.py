"""Which image shows which slice and frame: headers sorted by geometry and time, never by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.formats.dicom.geometry import (
    SAME_SLICE_MM,
    affine_of,
    check_counts,
    check_geometry,
    gaps_of,
    regular_gap,
    slice_step,
    slices_of,
    wander_of,
)
from csmri.formats.dicom.header import Header
from csmri.formats.dicom.order import sort_frames
from csmri.formats.dicom.series import Series
from csmri.formats.parsing import plural


@dataclass(frozen=True)
class Stack:
    """The images of one cine in their places.

    Parameters
    ----------
    headers : tuple (slice) of tuples (frame)
        Slices in the direction of the slice normal, frames in the order of their times.
    spacing_mm : (y, x) in mm
    slice_spacing_mm : float in mm, or None for a single slice and for slices that are not evenly spaced
    frame_times_ms : array (frame,) in ms, or None
        Median over the slices, which were acquired in different heart beats.
    affine : array (4, 4)
        From (x, y, slice, 1) to RAS coordinates in mm.
    notes : tuple of str
    twins : tuple of pairs of Header
        Images taken and left out that claim to be the same.
    """

    headers: tuple[tuple[Header, ...], ...]
    spacing_mm: tuple[float, float]
    slice_spacing_mm: float | None
    frame_times_ms: NDArray[np.float32] | None
    affine: NDArray[np.float64]
    notes: tuple[str, ...]
    twins: tuple[tuple[Header, Header], ...] = ()


def arrange(where: str | Path, series: Series) -> Stack:
    """Put the images of a series in their places.

    Raises
    ------
    CsmriError
        If they are not one stack of parallel slices with the same frames; says what was found and what to do.
    """
    where = str(where)
    if series.damaged:
        names = ", ".join(content.path.name for content in series.damaged[:4])
        raise CsmriError(
            f"{where}: {series.name} is incomplete, with {plural(len(series.damaged), 'damaged file')}: {names} "
            f"({series.damaged[0].reason}); copy the folder again"
        )
    if series.refusal:
        raise CsmriError(f"{where}: {series.refusal}")
    _check_colours(where, series)
    _check_twins(where, series)
    check_geometry(where, series.headers)
    slices = slices_of(series.headers)
    check_counts(where, slices)
    notes = list(series.notes)
    if (wander := wander_of(slices)) > SAME_SLICE_MM:
        notes.append(f"The position of a slice wanders from frame to frame by up to {wander:.2f} mm along the normal.")
    ordered, times = sort_frames(where, slices, notes)
    step, spacing = slice_step(ordered, notes)
    first = ordered[0][0]
    assert first.spacing_mm is not None  # check_geometry refuses it
    y_mm, x_mm = first.spacing_mm
    return Stack(ordered, (y_mm, x_mm), spacing, times, affine_of(first, step), tuple(notes), series.twins)


def may_miss(planes: Sequence[Sequence[Header]], n_lost: int) -> bool:
    """Whether so many lost images could belong to a stack that has these.

    They do where slices have different numbers of frames, or a gap lies between slices or between instance numbers,
    and they may where they are enough to be a whole slice, or one frame of all slices, which nothing else would tell.
    """
    if not n_lost:
        return False
    counts = {len(plane) for plane in planes}  # none where an image is not placed
    if len(counts) != 1 or n_lost >= min(len(planes), *counts):
        return True
    gaps = gaps_of(planes)
    if len(gaps) and gaps.max() > 1.5 * regular_gap(gaps):
        return True
    instances = [[header.instance for header in plane if header.frame is None] for plane in planes]
    steps = {step for told in instances if None not in told for step in np.diff(np.sort(np.array(told, float)))}
    return len(steps) > 1


def _check_colours(where: str, series: Series) -> None:
    colour = [header.name for header in series.headers if header.is_colour]
    if colour:
        raise CsmriError(
            f"{where}: a colour image among the cine frames, {colour[0]}; expected greyscale MR images, remove it"
        )


def _check_twins(where: str, series: Series) -> None:
    for kept, other in series.twins:
        differing = [
            field
            for field in vars(kept)
            if field not in ("path", "series_name") and vars(kept)[field] != vars(other)[field]
        ]
        if differing:
            raise CsmriError(
                f"{where}: {kept.name} and {other.name} have the same SOPInstanceUID and differ ({differing[0]}); "
                "remove the one that is not wanted"
            )
