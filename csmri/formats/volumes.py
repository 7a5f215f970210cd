"""NIfTI files of a folder: which are cines, which volumes belong to one, and which are label maps."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Sequence
from pathlib import Path

from csmri.data.cine import Cine
from csmri.formats import nifti
from csmri.formats.parsing import natural_key
from csmri.formats.source import LeftOut, Source

LABELS = re.compile(r"(^|[-_.])(gt|seg|segmentation|label|labels|mask)([-_.]|$)", re.IGNORECASE)
NUMBER = re.compile(r"\d+")
FRAME = re.compile(r"(?:^|[^a-z])(frame|phase|time|vol|volume|t|f|ph|cine|dyn)s?[^a-z0-9]*$", re.IGNORECASE)
"""What stands before the number of a frame; other numbers count patients or slices."""
ALONE = "a single volume without frames"
UNNAMED = "one of several single volumes; if they are the frames of one cine, name them frame01, frame02, ..."


def find_sources(paths: Sequence[Path]) -> tuple[list[Source], list[LeftOut]]:
    """Find the cines among NIfTI files, from their names and headers.

    A file of four axes is a cine. Volumes of one folder that differ only in a number, which counts up and is that of a
    frame (`FRAME`) or all of the name, are the frames of one. A single volume is left out, but for one that is alone in
    its folder: its third axis may be time.
    """
    sources, left_out, volumes = [], [], []
    for path in paths:
        shape = tuple(n for n in nifti.shape_of(path)[:3]), [n for n in nifti.shape_of(path)[3:] if n > 1]
        if LABELS.search(nifti.subject_of(path)):
            left_out.append(LeftOut(path, "a label map", False))
        elif len(shape[0]) == 3 and not shape[1]:
            volumes.append(path)
        else:
            sources.append(_source(path, shape[0][2] if len(shape[0]) == 3 else 0, math.prod(shape[1])))
    for folder in dict.fromkeys(path.parent for path in volumes):
        inside = sorted((path for path in volumes if path.parent == folder), key=natural_key)
        counted, alone = _runs(inside)
        runs = [run for run in counted if _counts_frames(run)]
        unnamed = {path for run in counted if run not in runs for path in run}
        alone += sorted(unnamed, key=natural_key)
        sources += [_joined(run) for run in runs]
        is_only = len(paths) == 1 and not runs
        for path in alone:
            n_third = nifti.shape_of(path)[2]
            if is_only and n_third > 1:
                sources.append(_source(path, 1, n_third))
            else:
                left_out.append(LeftOut(path, UNNAMED if path in unnamed else ALONE, False))
    return sources, left_out


def _runs(volumes: Sequence[Path]) -> tuple[list[list[Path]], list[Path]]:
    """Volumes whose names differ in one number that counts up by one, and the others."""
    groups: dict[tuple[str, tuple[int, ...]], list[tuple[int, Path]]] = {}
    for path in volumes:
        name = nifti.subject_of(path)
        if numbers := list(NUMBER.finditer(name)):
            last = numbers[-1]
            pattern = f"{name[: last.start()]}#{name[last.end() :]}"
            groups.setdefault((pattern, nifti.shape_of(path)), []).append((int(last[0]), path))
    runs = []
    for members in groups.values():
        members.sort()
        counted = [number for number, _ in members]
        if len(members) > 1 and counted == list(range(counted[0], counted[0] + len(members))) and counted[0] in (0, 1):
            runs.append([path for _, path in members])
    joined = {path for run in runs for path in run}
    return runs, [path for path in volumes if path not in joined]


def _counts_frames(run: Sequence[Path]) -> bool:
    """Whether the number that counts up is that of frames, and not of patients or slices."""
    name = nifti.subject_of(run[0])
    *_, last = NUMBER.finditer(name)
    if last[0] == name:
        return True
    found = FRAME.search(name[: last.start()])
    # Two volumes t1 and t2 are weighted by T1 and T2.
    return found is not None and not (found[1].lower() == "t" and len(run) == 2 and int(last[0]) == 1)


def _source(path: Path, n_slices: int, n_frames: int) -> Source:
    load = functools.partial(nifti.read, path)
    return Source(path, (path,), "NIfTI", nifti.subject_of(path), load, n_slices=n_slices, n_frames=n_frames)


def _joined(run: list[Path]) -> Source:
    folder = run[0].parent
    name = NUMBER.sub("", nifti.subject_of(run[0])).strip("-_. ") or folder.name
    # "frame" or "phase" is nobody's name: then the folder's is.
    name = folder.name if FRAME.fullmatch(name) else name
    return Source(
        folder,
        tuple(run),
        "NIfTI",
        name,
        functools.partial(_read_joined, run, name),
        n_slices=nifti.shape_of(run[0])[2],
        n_frames=len(run),
    )


def _read_joined(run: Sequence[Path], name: str) -> Cine:
    """The cine of a run, whose note that it was joined tells the first file and the last."""
    cine = nifti.read_files(run, name)
    notes = [
        f"{note.removesuffix('.')}, from {run[0].name} to {run[-1].name}." if note.startswith("Joined ") else note
        for note in cine.notes
    ]
    return dataclasses.replace(cine, notes=tuple(notes))
