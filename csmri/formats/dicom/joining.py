"""Series that are one stack together: one of each slice, or one of each frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from csmri.formats.dicom.geometry import SAME_SLICE_MM, are_parallel, normal_of
from csmri.formats.dicom.header import Header
from csmri.formats.dicom.series import Series, leave_out, name_of, no_cine, planes_in
from csmri.formats.source import LeftOut

# So many series of one image a slice are the frames of a cine even where no image tells its time.
MANY_SERIES = 5


def join(found: Sequence[Series], losses: dict[str, int]) -> tuple[list[Series], list[LeftOut]]:
    """Join series of one examination that are one stack, and leave out single images.

    Parameters
    ----------
    found : sequence of Series
    losses : dict
        Number of damaged files by SeriesInstanceUID, which count as images that a series has.
    """
    joined, alone = _join_frames([series for series in found if series.is_still])
    cines = _join_slices([series for series in found if not series.is_still], losses)
    return cines + joined, [leave_out(series.headers, no_cine(series)) for series in alone]


def _fit(one: Header, other: Header) -> bool:
    """Whether two placed images could be of one stack."""
    if (one.patient, one.study, one.matrix, one.protocol) != (other.patient, other.study, other.matrix, other.protocol):
        return False
    if not one.study and one.path.parent.parent != other.path.parent.parent:
        return False
    if one.spacing_mm is None or other.spacing_mm is None:
        return False
    return are_parallel(one, other) and bool(np.allclose(one.spacing_mm, other.spacing_mm, rtol=1e-4, atol=0))


def _join_slices(found: list[Series], losses: dict[str, int]) -> list[Series]:
    """Join series of one slice each that lie at different places of one stack."""
    done = [series for series in found if len(series.planes) != 1]
    groups: list[list[Series]] = []
    for series in found:
        if len(series.planes) == 1:
            first = series.headers[0]
            group = next((group for group in groups if _fit(group[0].headers[0], first)), None)
            if group is None:
                groups.append([series])
            else:
                group.append(series)
    for group in groups:
        by_count: dict[int, list[Series]] = {}
        for series in group:
            lost = sum(losses.get(uid, 0) for uid in series.uids if uid)
            by_count.setdefault(len(series.headers) + lost, []).append(series)
        parts = [_one_stack(part) for part in by_count.values()]
        largest = max(range(len(parts)), key=lambda index: len(parts[index].planes))
        if len(parts) > 1:
            others = ", ".join(
                f"{part.name} ({len(part.planes[0])} frames)" for part in parts if part != parts[largest]
            )
            note = f"Parallel series with another number of frames were left cines of their own: {others}."
            parts[largest] = replace(parts[largest], notes=(*parts[largest].notes, note))
        done += parts
    return done


def _one_stack(group: list[Series]) -> Series:
    """Join series of one slice each with the same number of frames; of two at one place, the later is taken."""
    if len(group) == 1:
        return group[0]
    normal = normal_of(group[0].headers[0])
    group = sorted(group, key=lambda series: float(np.dot(normal, series.headers[0].position_mm)))  # type: ignore
    kept: list[Series] = []
    repeated, refusal = [], ""
    for series in group:
        if kept and _depth(series, normal) - _depth(kept[-1], normal) <= _spread(series, kept[-1], normal):
            earlier, later = sorted([kept[-1], series], key=lambda one: _number(one))
            if _number(earlier) == _number(later):
                refusal = (
                    f"two series at the same place, {earlier.name} ({earlier.files[0].name} ...) and {later.name} "
                    f"({later.files[0].name} ...), and no series number tells the later; remove one of them"
                )
            repeated.append(f"{later.name} and not {earlier.name}")
            kept[-1] = later
        else:
            kept.append(series)
    headers = tuple(header for series in kept for header in series.headers)
    notes = [note for series in kept for note in series.notes]
    if len(kept) > 1:
        notes.append(f"Joined {len(kept)} series of one slice each to one stack.")
    if repeated:
        notes.append(f"Slices were measured again, the later series was taken: {', '.join(repeated)}.")
    twins = tuple(twin for series in kept for twin in series.twins)
    return Series(headers, name_of(headers), planes_in(headers), twins, (), tuple(notes), refusal)


def _depth(series: Series, normal: NDArray[np.float64]) -> float:
    return float(np.mean([np.dot(normal, header.position_mm) for header in series.headers]))  # type: ignore[arg-type]


def _spread(one: Series, other: Series, normal: NDArray[np.float64]) -> float:
    """Distance in mm up to which two series are at the same place: their own jitter included."""
    spreads = [np.ptp(np.array([header.position_mm for header in series.headers]) @ normal) for series in (one, other)]
    return max(SAME_SLICE_MM, *map(float, spreads))


def _number(series: Series) -> int:
    return max(-1 if header.series_number is None else header.series_number for header in series.headers)


def _join_frames(stills: list[Series]) -> tuple[list[Series], list[Series]]:
    """Join series that each hold one frame of all slices, or one image; the others stay alone."""
    groups: list[list[Series]] = []
    alone = []
    for series in stills:
        first = series.headers[0]
        if not all(are_parallel(first, header) for header in series.headers):
            alone.append(series)
            continue
        group = next((group for group in groups if _fit(group[0].headers[0], first)), None)
        if group is None:
            groups.append([series])
        else:
            group.append(series)
    joined = []
    for group in groups:
        headers = tuple(header for series in group for header in series.headers)
        planes = planes_in(headers)
        if len(group) > 1 and _are_frames(planes):
            note = f"Joined {len(group)} series of one image of each slice to one cine."
            notes = tuple(dict.fromkeys(note for series in group for note in series.notes))
            twins = tuple(twin for series in group for twin in series.twins)
            joined.append(Series(headers, name_of(headers), planes, twins, (), (*notes, note)))
        else:
            alone += group
    return joined, alone


def _are_frames(planes: Sequence[Sequence[Header]]) -> bool:
    """Whether the images of each plane are frames of a beat, and not repetitions or contrasts."""
    if len({len(plane) for plane in planes}) != 1 or len(planes[0]) < 2:
        return False
    for value_of in (lambda header: header.trigger_ms, lambda header: header.temporal):
        values = [[value_of(header) for header in plane] for plane in planes]
        if all(None not in told and len(set(told)) == len(told) for told in values):
            return True
    names = {re.sub(r"\d+", "", header.series_name) for plane in planes for header in plane}
    return len(planes[0]) >= MANY_SERIES and len(names) == 1
