"""The order of the frames of each slice, and when they were acquired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.formats.dicom.header import Header


def _instance(header: Header) -> tuple[int, int] | None:
    if header.instance is None and header.frame is None:
        return None
    return header.instance or 0, header.frame or 0


# What tells the order, the best first.
KEYS: dict[str, Callable[[Header], Any]] = {
    "trigger time": lambda header: header.trigger_ms,
    "temporal position": lambda header: header.temporal,
    "acquisition time": lambda header: header.acquired_s,
    "content time": lambda header: header.content_s,
    "instance number": _instance,
    "series number": lambda header: header.series_number,
}
# Clocks, which start again at midnight where no date stands by them, or the date of the series.
CLOCKS = ("acquisition time", "content time")
DAY_S = 86400.0
# Of these, a value that several images have means several sets of images and no rounding.
OF_THE_BEAT = ("trigger time", "temporal position")
# Lengths of a heart beat that are believed, in ms.
BEAT_MS = (200.0, 3000.0)
# An hour, beyond which no time of a cine is.
MAX_MS = 3.6e6


def sort_frames(
    where: str, slices: Sequence[Sequence[Header]], notes: list[str]
) -> tuple[tuple[tuple[Header, ...], ...], NDArray[np.float32] | None]:
    """Put the frames of each slice in the order of the best that all of them tell.

    Returns
    -------
    headers : tuple (slice) of tuples (frame)
    times : array (frame,) in ms, or None
        Median over the slices of their trigger times, or computed from the length of the beat.

    Raises
    ------
    CsmriError
        If nothing tells the frames of a slice apart.
    """
    ordered = []
    reasons: dict[tuple[str, str], list[int]] = {}
    for index, frames in enumerate(slices):
        found, key, remark = _sorted(f"{where}: slice {index + 1}", frames)
        ordered.append(found)
        if remark:
            reasons.setdefault((key, remark), []).append(index + 1)
    times, origin = _times(ordered, frozenset(key for key, _ in reasons))
    for (key, remark), numbers in reasons.items():
        which = "" if len(numbers) == len(slices) else f" of slice {_listed(numbers)}"
        notes.append(f"{remark}: frames{which} were sorted by {key} and {origin}.")
    if times is None and not reasons and len(slices[0]) > 1:
        notes.append(f"The trigger times of the slices do not fit together: {origin}.")
    _note_contradictions(ordered, notes)
    return tuple(ordered), times


def _sorted(where: str, frames: Sequence[Header]) -> tuple[tuple[Header, ...], str, str]:
    """The frames in order, what told it, and why it was not the trigger time alone."""
    remark, several = "", ""
    keys = KEYS | {key: _over_midnight(frames, KEYS[key]) for key in CLOCKS}
    for key, value_of in keys.items():
        values = [value_of(header) for header in frames]
        told = [value for value in values if value is not None]
        counts = Counter(told)
        if len(told) == len(frames) == len(counts):
            if several and key not in OF_THE_BEAT:
                break
            return tuple(sorted(frames, key=value_of)), key, remark
        if len(told) == len(frames) and 1 < len(counts) and key in OF_THE_BEAT:
            if len(set(counts.values())) == 1:
                several = several or _several(frames, key, value_of)
            elif (settled := _settled(frames, key, keys)) is not None:
                value, count = counts.most_common(1)[0]
                rounded = f"{count} images of a slice have the same {key}, {value:g}"
                return settled[0], f"{key} and then {settled[1]}", remark or rounded
        if key == "trigger time":
            remark = _why_not(told, len(frames))
    if several:
        raise CsmriError(f"{where} holds {several}")
    names = [header.name for header in frames][:2]
    raise CsmriError(
        f"{where} holds {len(frames)} images that no time and no instance number puts in order, the same instance "
        f"number or none, {' and '.join(names)} for example; remove duplicates and phase images"
    )


def _over_midnight(frames: Sequence[Header], seconds_of: Callable[[Header], Any]) -> Callable[[Header], Any]:
    """Seconds of images of one slice; of more than half a day, those before noon belong to the next day."""
    told = [seconds for header in frames if (seconds := seconds_of(header)) is not None]
    if not told or len({seconds // DAY_S for seconds in told}) > 1 or max(told) - min(told) <= DAY_S / 2:
        return seconds_of

    def later(header: Header) -> float | None:
        seconds = seconds_of(header)
        return seconds + DAY_S if seconds is not None and seconds % DAY_S < DAY_S / 2 else seconds

    return later


def _settled(
    frames: Sequence[Header], key: str, keys: Mapping[str, Callable[[Header], Any]]
) -> tuple[tuple[Header, ...], str] | None:
    """Frames by a key that few of them have in common, and by the next that tells these apart."""
    value_of = keys[key]
    for other, second in list(keys.items())[list(keys).index(key) + 1 :]:
        if all(second(header) is not None for header in frames):
            pairs = [(value_of(header), second(header)) for header in frames]
            if len(set(pairs)) == len(frames):
                return tuple(sorted(frames, key=lambda header: (value_of(header), second(header)))), other
    return None


def _several(frames: Sequence[Header], key: str, value_of: Callable[[Header], Any]) -> str:
    value = value_of(frames[0])
    twins = [header.name for header in frames if value_of(header) == value]
    return (
        f"{len(twins)} images with the same {key}, {value:g}: {' and '.join(twins[:2])}; remove duplicates and phase "
        "images, or whichever of two series, echoes or reconstructions is not wanted"
    )


def _why_not(told: Sequence[float], n_frames: int) -> str:
    if not told:
        return "There are no trigger times"
    if len(told) < n_frames:
        return f"{n_frames - len(told)} of {n_frames} images of a slice have no trigger time"
    return "All trigger times are the same" if len(set(told)) == 1 else "Several images have the same trigger time"


def _times(ordered: Sequence[Sequence[Header]], keys: frozenset[str]) -> tuple[NDArray[np.float32] | None, str]:
    """Frame times in ms, and a word on them."""
    n_frames = len(ordered[0])
    headers = [header for frames in ordered for header in frames]
    if all(key.startswith("trigger time") for key in keys) and all(header.trigger_ms is not None for header in headers):
        times = np.median([[header.trigger_ms for header in frames] for frames in ordered], axis=0)
        if (n_frames == 1 or np.diff(times).min() > 0) and np.abs(times).max() < MAX_MS:
            return times.astype(np.float32), "frame times are the median over the slices"
    beats = [header.beat_ms / header.frames_a_beat for header in headers if header.beat_ms and header.frames_a_beat]
    steps = [header.frame_step_ms for header in headers if header.frame_step_ms]
    for step, origin in [(beats, "NominalInterval / CardiacNumberOfImages"), (steps, "TemporalResolution")]:
        if len(step) == len(headers):
            interval = float(np.median(step))
            if 0 < interval and BEAT_MS[0] / 10 <= interval * n_frames <= BEAT_MS[1] * 10:
                times = interval * np.arange(n_frames)
                return times.astype(np.float32), f"frame times are steps of {interval:g} ms ({origin})"
    return None, "frame times are unknown"


def _note_contradictions(ordered: Sequence[Sequence[Header]], notes: list[str]) -> None:
    against = []
    for index, frames in enumerate(ordered):
        triggers, positions = [header.trigger_ms for header in frames], [header.temporal for header in frames]
        told = [value for value in positions if value is not None]
        if None in triggers or len(set(triggers)) != len(frames) or len(set(told)) != len(frames):
            continue
        if told != sorted(told):
            against.append(index + 1)
    if against:
        notes.append(
            f"Trigger times and temporal positions tell different orders of the frames in slice {_listed(against)}; "
            "the trigger times were believed."
        )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:6])) + (" and others" if len(numbers) > 6 else "")
