"""The cines among files: one decider of which DICOM files belong together, for every command."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.formats.dicom.files import NO_IMAGES, Content, read_files
from csmri.formats.dicom.joining import MEASURED_AGAIN, join
from csmri.formats.dicom.pixels import read_images
from csmri.formats.dicom.series import Series, common_folder, series_of
from csmri.formats.dicom.stack import Stack, arrange, may_miss
from csmri.formats.parsing import natural_key, parsing, plural, with_sound_surroundings
from csmri.formats.source import LeftOut, Source


def find_sources(files: Sequence[Path], root: Path) -> tuple[list[Source], list[LeftOut]]:
    """Find the cines among files, whatever folders they lie in.

    Every file that is DICOM by its content, with or without preamble, is read once, without pixels. A series that is
    a stack is a cine of its own; series of one slice each, or of one frame each, are joined where patient,
    examination, directions, matrix and spacing are the same.

    Parameters
    ----------
    files : sequence of Path
        Of any kind; what is not DICOM is passed over.
    root : Path
        The folder that a person gave; all files lie below it.

    Returns
    -------
    sources : list of Source
        `load` raises CsmriError where the images do not make a cine. `label` is set where another cine lies at or
        below the same path.
    left_out : list of LeftOut
        DICOM files that are no cine, and damaged ones that no cine misses.
    """
    found, left_out = find_series(read_files(sorted(files, key=natural_key)))
    parents = [{path.parent for path in series.files} for series in found]
    sources: list[Source] = []
    taken: Counter[tuple[Path, str]] = Counter()
    for series in found:
        folder = common_folder(series.files)
        sharing = sum(any(parent.is_relative_to(folder) for parent in others) for others in parents)
        label = series.name if sharing > 1 else ""
        taken[folder, label] += 1
        again = f" ({taken[folder, label]})" if taken[folder, label] > 1 else ""
        sources.append(_source(series, folder, f"{label}{again}"))
    return sources, left_out


def find_series(contents: Sequence[Content]) -> tuple[list[Series], list[LeftOut]]:
    """The series that are cines or should be, and what was left out; as `find_sources`."""
    damaged = [content for content in contents if content.is_fault]
    left_out = [
        LeftOut(content.path, content.reason, False)
        for content in contents
        if not content.headers and not content.is_fault
    ]
    found, without = series_of(contents)
    losses: dict[str, int] = {}
    for content in damaged:
        losses[content.series] = losses.get(content.series, 0) + 1
    found, alone = join(found, losses)
    found = [_with_damaged(series, found, damaged) for series in found]
    missed = {content.path for series in found for content in series.damaged}
    left_out += without + alone
    left_out += [LeftOut(content.path, content.reason, True) for content in damaged if content.path not in missed]
    return sorted(found, key=_place), left_out


def _place(series: Series) -> tuple[Any, ...]:
    """Sort key of folder, then number."""
    number = series.headers[0].series_number
    return natural_key(common_folder(series.files)), -1 if number is None else number, natural_key(series.files[0])


def read_stack(folder: Path) -> Stack:
    """Put the images of the one cine under a folder in their places.

    Raises
    ------
    CsmriError
        As `read`.
    """
    return arrange(folder, only_series(folder)[0])


def only_series(folder: Path) -> tuple[Series, list[str]]:
    """The one series under a folder that is a cine, and notes of what else lies there.

    Raises
    ------
    CsmriError
        If there is none, or several; they are listed, with what to do.
    """
    with parsing(folder, "a DICOM folder", "check the path and its permissions"):
        paths = [folder] if folder.is_file() else folder.rglob("*")
        files = sorted((path for path in paths if path.is_file()), key=natural_key)
    contents = read_files(files)
    found, left_out = find_series(contents)
    if not found:
        reasons = "".join(f"; {left.path.name}: {left.reason}" for left in left_out[:3])
        raise CsmriError(
            f"{folder}: no DICOM cine among {plural(len(files), 'file')}{reasons}; expected the images of one "
            "short-axis cine"
        )
    if len(found) > 1:
        raise CsmriError(_several(folder, found))
    images = {content.path for content in contents if content.headers or content.is_fault}
    return found[0], _notes([path for path in files if path not in images], left_out)


def load(series: Series, path: Path, label: str = "", notes: Sequence[str] = ()) -> Cine:
    """Read the pixels of a series.

    Raises
    ------
    CsmriError
        If the images are not one stack, or cannot be decoded.
    """
    stack = arrange(f"{path}, {label}" if label else path, series)
    told = [*notes, *stack.notes]
    images = with_sound_surroundings(read_images(stack, told), told)
    return Cine(
        images=images,
        subject=stack.headers[0][0].patient or path.resolve().name,
        spacing_mm=stack.spacing_mm,
        slice_spacing_mm=stack.slice_spacing_mm,
        frame_times_ms=stack.frame_times_ms,
        affine=stack.affine,
        provenance=f"{path} (DICOM, {label})" if label else f"{path} (DICOM)",
        notes=tuple(told),
    )


def _source(series: Series, folder: Path, label: str) -> Source:
    first = series.headers[0]
    files = series.files + tuple(content.path for content in series.damaged)
    return Source(
        path=folder,
        files=files,
        kind="DICOM",
        identity=first.patient,
        load=functools.partial(load, series, folder, label),
        study=first.study,
        label=label,
        n_slices=len(series.planes),
        n_frames=max(map(len, series.planes), default=0),
    )


def _several(folder: Path, found: Sequence[Series]) -> str:
    described = [
        f"{series.name} ({plural(len(series.planes), 'slice')}, {plural(len(series.headers), 'image')} in "
        f"{os.path.relpath(common_folder(series.files), folder)})"
        for series in found
    ]
    stacks = [text for series, text in zip(found, described, strict=True) if len(series.planes) > 1]
    hint = f"; the short-axis stack is probably {stacks[0]}" if len(stacks) == 1 else ""
    more = f" and {len(described) - 4} more" if len(described) > 4 else ""
    return (
        f"{folder}: expected one cine series, found {len(found)}: {', '.join(described[:4])}{more}{hint}; "
        "give the folder of the short-axis series, or copy its files to a folder of their own"
    )


def _notes(ignored: Sequence[Path], left_out: Sequence[LeftOut]) -> list[str]:
    """What lies beside the cine in its folder, for people; the cine itself tells of slices that were measured again."""
    notes = [
        f"Left out {left.path.name}: {left.reason}."
        for left in left_out
        if left.reason != NO_IMAGES and not left.reason.endswith(MEASURED_AGAIN)
    ]
    if ignored:
        notes.append(f"Ignored {plural(len(ignored), 'file')} without a DICOM image, the first is {ignored[0].name}.")
    return notes


def _with_damaged(series: Series, found: Sequence[Series], damaged: Sequence[Content]) -> Series:
    """Give a series the damaged files that it may miss: those of its UID, and in its folders those of unknown UID."""
    known = frozenset().union(*(other.uids for other in found))
    folders = {path.parent for path in series.files}
    near = [
        content
        for content in damaged
        if (content.series in series.uids if content.series in known else content.path.parent in folders)
    ]
    return replace(series, damaged=tuple(near)) if may_miss(series.planes, len(near)) else series
