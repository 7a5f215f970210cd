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
MEASURED_AGAIN = "the same slice was measured again later, and the later series was taken"


def join(found: Sequence[Series], losses: dict[str, int]) -> tuple[list[Series], list[LeftOut]]:
    """Join series of one examination that are one stack, and leave out single images.

    Parameters
    ----------
    found : sequence of Series
    losses : dict
        Number of damaged files by SeriesInstanceUID, which count as images that a series has.
    """
    joined, alone = _join_frames([series for series in found if series.is_still])
    cines, repeated = _join_slices([series for series in found if not series.is_still], losses)
    left_out = [leave_out(series.headers, no_cine(series)) for series in alone]
    left_out += [leave_out(series.headers, f"{series.name}: {MEASURED_AGAIN}") for series in repeated]
    return cines + joined, left_out


def _fit(one: Header, other: Header) -> bool:
    """Whether two placed images could be of one stack."""
    if (one.patient, one.study, one.matrix, one.protocol) != (other.patient, other.study, other.matrix, other.protocol):
        return False
    if not one.study and one.path.parent.parent != other.path.parent.parent:
        return False
    if one.spacing_mm is None or other.spacing_mm is None:
        return False
    return are_parallel(one, other) and bool(np.allclose(one.spacing_mm, other.spacing_mm, rtol=1e-4, atol=0))


def _join_slices(found: list[Series], losses: dict[str, int]) -> tuple[list[Series], list[Series]]:
    """Join series of one slice each that lie at different places of one stack; and those that were measured again."""
    done = [series for series in found if len(series.planes) != 1]
    again: list[Series] = []
    for group in _groups([series for series in found if len(series.planes) == 1]):
        by_count: dict[int, list[Series]] = {}
        for series in group:
            lost = sum(losses.get(uid, 0) for uid in series.uids if uid)
            by_count.setdefault(len(series.headers) + lost, []).append(series)
        largest, *smaller = sorted(by_count.values(), key=len, reverse=True)
        stack, repeated = _one_stack(largest, [series for part in smaller for series in part])
        again += repeated
        rest = [part for part in ([one for one in part if one not in repeated] for part in smaller) if part]
        parts = [_one_stack(part) for part in rest]
        if parts:
            names = ", ".join(f"{part.name} ({len(part.planes[0])} frames)" for part, _ in parts)
            note = f"Parallel series with another number of frames were left cines of their own: {names}."
            stack = replace(stack, notes=(*stack.notes, note))
        done += [stack, *(part for part, _ in parts)]
        again += [series for _, repeated in parts for series in repeated]
    return done, again


def _groups(found: Sequence[Series]) -> list[list[Series]]:
    """Series that could be of one stack, told by their first images."""
    groups: list[list[Series]] = []
    for series in found:
        group = next((group for group in groups if _fit(group[0].headers[0], series.headers[0])), None)
        if group is None:
            groups.append([series])
        else:
            group.append(series)
    return groups


def _one_stack(group: list[Series], others: Sequence[Series] = ()) -> tuple[Series, list[Series]]:
    """Join series of one slice each with the same number of frames; of two at one place, the later is taken.

    Of `others`, which have another number of frames, those at a place that the group has later are left out as well.
    """
    normal = normal_of(group[0].headers[0])
    group = sorted(group, key=lambda series: _depth(series, normal))
    kept: list[Series] = []
    again, refusal = [], ""
    for series in group:
        if kept and _at_one_place(kept[-1], series, normal):
            earlier, later = sorted([kept[-1], series], key=_number)
            if _number(earlier) == _number(later):
                refusal = (
                    f"two series at the same place, {earlier.name} ({earlier.files[0].name} ...) and {later.name} "
                    f"({later.files[0].name} ...), and no series number tells the later; remove one of them"
                )
            again.append((earlier, later))
            kept[-1] = later
        else:
            kept.append(series)
    for other in others:
        again += [
            (other, series)
            for series in kept
            if _at_one_place(series, other, normal) and _number(other) < _number(series)
        ]
    if len(kept) == 1 and not again:
        return kept[0], []
    headers = tuple(header for series in kept for header in series.headers)
    notes = [note for series in kept for note in series.notes]
    if len(kept) > 1:
        notes.append(f"Joined {len(kept)} series of one slice each to one stack.")
    if again:
        pairs = ", ".join(f"{later.name} and not {earlier.name}" for earlier, later in again)
        notes.append(f"Slices were measured again, the later series was taken: {pairs}.")
    twins = tuple(twin for series in kept for twin in series.twins)
    stack = Series(headers, name_of(headers), planes_in(headers), twins, (), tuple(notes), refusal)
    return stack, [earlier for earlier, _ in again]


def _at_one_place(one: Series, other: Series, normal: NDArray[np.float64]) -> bool:
    return abs(_depth(one, normal) - _depth(other, normal)) <= _spread(one, other, normal)


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
    alone: list[Series] = []
    level: list[Series] = []
    for series in stills:
        is_level = all(are_parallel(series.headers[0], header) for header in series.headers)
        (level if is_level else alone).append(series)
    joined = []
    for group in _groups(level):
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
