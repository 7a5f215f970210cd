"""Which images were acquired as one, and what of each series belongs to a cine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from csmri.formats.dicom.files import Content
from csmri.formats.dicom.geometry import are_parallel, normal_of, planes_of
from csmri.formats.dicom.header import Header
from csmri.formats.parsing import plural
from csmri.formats.source import LeftOut


@dataclass(frozen=True)
class Series:
    """Images that make one cine, or should.

    Parameters
    ----------
    headers : tuple of Header
    name : str
        "series 5 'SAX cine'".
    planes : tuple of tuples of Header, by plane; empty where an image is not placed
    twins : tuple of pairs of Header
        Images kept and left out that claim to be the same.
    damaged : tuple of Content
        Files that seem to be missing here.
    notes : tuple of str
    refusal : str
        Why it cannot be read, empty where nothing is known against it.
    """

    headers: tuple[Header, ...]
    name: str
    planes: tuple[tuple[Header, ...], ...] = ()
    twins: tuple[tuple[Header, Header], ...] = ()
    damaged: tuple[Content, ...] = ()
    notes: tuple[str, ...] = ()
    refusal: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that hold its images."""
        return tuple(dict.fromkeys(header.path for header in self.headers))

    @property
    def uids(self) -> frozenset[str]:
        """SeriesInstanceUIDs of its images."""
        return frozenset(header.series for header in self.headers)

    @property
    def is_still(self) -> bool:
        """Whether there is but one image of most planes."""
        return sum(len(plane) == 1 for plane in self.planes) > len(self.planes) / 2


def series_of(contents: Iterable[Content]) -> tuple[list[Series], list[LeftOut]]:
    """Group the images of files by series, and leave out what shows no heart."""
    groups: dict[tuple[str, str, str], list[Header]] = {}
    for content in contents:
        for header in content.headers:
            # Where an archive has emptied the UIDs, folders have to tell series and examinations apart.
            folder = header.path.parent
            key = (header.patient, header.study or str(folder.parent), header.series or str(folder))
            groups.setdefault(key, []).append(header)
    found, left_out = [], []
    for headers in groups.values():
        series, without = _sort_out(headers)
        found += series
        left_out += without
    return found, left_out


def name_of(headers: Sequence[Header]) -> str:
    """What people call the series of these images, "series 5 to 8 'SAX cine'"."""
    numbers = sorted({header.series_number for header in headers if header.series_number is not None})
    names = list(dict.fromkeys(header.series_name for header in headers if header.series_name))
    counted = f" {numbers[0]}" if len(numbers) == 1 else f" {numbers[0]} to {numbers[-1]}" if numbers else ""
    return f"series{counted}" + (f" '{names[0]}'" if names else "")


def common_folder(paths: Sequence[Path]) -> Path:
    """The deepest folder that holds all of these files."""
    return Path(os.path.commonpath([path.parent for path in paths]))


def _sort_out(headers: list[Header]) -> tuple[list[Series], list[LeftOut]]:
    """What of one series is a cine."""
    left_out = []
    pictures = [header for header in headers if (header.is_capture or header.is_colour) and not header.is_placed]
    if pictures:
        left_out.append(leave_out(pictures, f"{name_of(pictures)}: a picture of a screen, without a place in the body"))
        headers = [header for header in headers if header not in pictures]
    notes: list[str] = []
    headers, twins = _once(headers, notes)
    headers, reason = _magnitudes(headers, notes)
    if reason:
        left_out.append(leave_out(headers, f"{name_of(headers)}: {reason}"))
        return [], left_out
    if len(headers) == 1 and not headers[0].is_placed:
        left_out.append(leave_out(headers, f"{name_of(headers)}: an image without a place in the body"))
        return [], left_out
    return [
        Series(tuple(part), name_of(part), planes_in(part), twins, (), tuple(notes))
        for part in _stacks(headers)
        if part
    ], left_out


def _once(headers: list[Header], notes: list[str]) -> tuple[list[Header], tuple[tuple[Header, Header], ...]]:
    """Each image once, and those that are there more than once."""
    kept: dict[object, Header] = {}
    twins = []
    for header in headers:
        key = (header.uid, header.frame) if header.uid else id(header)
        if key in kept:
            twins.append((kept[key], header))
        else:
            kept[key] = header
    if twins:
        notes.append(
            f"Taken once: {plural(len(twins), 'image')} that the folder holds more than once (the same "
            f"SOPInstanceUID), {twins[0][1].name} is {twins[0][0].name}."
        )
    return list(kept.values()), tuple(twins)


def _magnitudes(headers: list[Header], notes: list[str]) -> tuple[list[Header], str]:
    """The magnitude images; or all, and why they are no cine."""
    kinds = list(dict.fromkeys(header.component for header in headers if header.component))
    magnitude = [header for header in headers if not header.component]
    if not kinds or not headers:
        return headers, ""
    if not magnitude:
        advice = "expected magnitude images, export these"
        return headers, f"{plural(len(headers), 'image')} of {' and '.join(kinds)} parts only; {advice}"
    notes.append(
        f"Took the {plural(len(magnitude), 'magnitude image')} and left out {len(headers) - len(magnitude)} of "
        f"{' and '.join(kinds)} parts of the same series."
    )
    return magnitude, ""


def _stacks(headers: list[Header]) -> list[list[Header]]:
    """The stacks of an enhanced file, where they have different directions; else all as one."""
    stacks: dict[str, list[Header]] = {}
    for header in headers:
        stacks.setdefault(header.stack_id, []).append(header)
    firsts = [stack[0] for stack in stacks.values()]
    if len(firsts) == 1 or not all(header.is_placed for header in headers):
        return [headers]
    if all(are_parallel(firsts[0], first) for first in firsts):
        return [headers]
    return list(stacks.values())


def planes_in(headers: Sequence[Header]) -> tuple[tuple[Header, ...], ...]:
    """Images by plane, empty where one of them is not placed."""
    if not headers or not all(header.is_placed and np.isfinite(normal_of(header)).all() for header in headers):
        return ()
    return tuple(tuple(plane) for plane in planes_of(headers))


def no_cine(series: Series) -> str:
    """Why single images are left out, for people."""
    what = "a single image" if len(series.headers) == 1 else f"{len(series.headers)} single images"
    return f"{series.name}: {what}, a cine needs at least 2 frames of each slice"


def leave_out(headers: Sequence[Header], reason: str) -> LeftOut:
    """Leave out images that are no fault, under the name of their file or folder."""
    paths = list(dict.fromkeys(header.path for header in headers))
    return LeftOut(paths[0] if len(paths) == 1 else common_folder(paths), reason, False)
