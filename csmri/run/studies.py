"""The studies of a tree: what each is made of, what it is called in the batch's folder, and what became of it."""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from csmri.core.errors import CsmriError
from csmri.formats.discovery import find_among
from csmri.formats.source import Source

TABLE = "studies.csv"
DONE, SKIPPED, FAILED = "done", "skipped", "failed"
LONGEST = 100
"""Letters of one name below the folder; disks take 255 bytes."""


@dataclass(frozen=True)
class Study:
    """One cine or k-space of a tree.

    Parameters
    ----------
    name : str
        Where it lies in the tree, without the suffix of a file; so do its images in the batch's folder.
    files : tuple of str
        All that it is made of, absolute.
    source : str
        What tells it from others of the tree: its first file, seen from the tree's root, and the label of a series.
    subject : str
        Whose it is, where all of the tree decide that; see `formats.subjects`.
    """

    name: str
    files: tuple[str, ...]
    source: str = ""
    subject: str = ""

    def find(self, axes: str | None) -> Source:
        """Find it again, in another process.

        Raises
        ------
        CsmriError
            If it is not there any more.
        """
        files = [Path(path) for path in self.files]
        if missing := [path for path in files if not path.exists()]:
            raise CsmriError(f"{missing[0]}: is no longer there; give the command again")
        found = find_among(files, files[0].parent, axes=axes)
        if len(found.sources) == 1 and len(found.sources[0].files) == len(files):
            return replace(found.sources[0], subject=self.subject)
        fault = next((f": {left.reason}" for left in found.left_out), "")
        raise CsmriError(f"{files[0]}: is not what it was when the tree was walked{fault}; give the command again")


@dataclass(frozen=True)
class Ended:
    """What became of a study; seconds are those of reading, reconstructing and writing."""

    study: str
    status: str
    reason: str = ""
    output: str = ""
    slices: int = 0
    acceleration: float = 0.0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    source: str = ""
    """As `Study` has it."""
    digest: str = ""
    written: tuple[int, int] = (0, 0)
    """Files and bytes."""
    run: str = ""
    """Of the command that did it."""

    @property
    def row(self) -> list[object]:
        """Of the table."""
        numbers = [self.slices, f"{self.acceleration:.4g}", f"{self.seconds:.1f}"] if self.slices else [""] * 3
        return [self.study, self.status, self.reason, self.output, *numbers, " ".join(self.notes)]


COLUMNS = ("study", "status", "reason", "output", "slices", "acceleration", "seconds", "notes")


def plan_studies(sources: Sequence[Source], root: Path, suffix: str = "", records: Iterable[Ended] = ()) -> list[Study]:
    """Name every source of a tree by its place there; no two alike, and none inside another.

    Parameters
    ----------
    suffix : str
        Of what is written.
    records : iterable of Ended
        What was done of the tree before: a source keeps the name that it had, and no other gets it.
    """
    root = Path(os.path.abspath(root))
    before = {ended.source: ended.study for ended in records}
    bare = [_place(source, root, whole=False) for source in sources]
    counts = Counter(str(place).lower() for place in bare)
    taken, above = {TABLE.lower()}, set[str]()

    def is_free(name: str) -> bool:
        output = PurePosixPath(f"{name}{suffix}".lower())
        folders = {str(folder) for folder in output.parents}
        return not {str(output), *folders} & taken and str(output) not in above

    def take(name: str) -> None:
        output = PurePosixPath(f"{name}{suffix}".lower())
        taken.add(str(output))
        above.update(str(folder) for folder in output.parents)

    for name in before.values():
        take(name)
    studies = []
    for source, place in zip(sources, bare, strict=True):
        key = _key(source, root)
        name = before.get(key, "")
        if not name:
            if counts[str(place).lower()] > 1:  # a.mat and a.nii.gz lie beside each other; so may two series
                place = _place(source, root, whole=True)
            name = next(filter(is_free, _numbered(place, taken)))
            take(name)
        files = tuple(os.path.abspath(path) for path in source.files)
        studies.append(Study(name, files, key, source.subject))
    return studies


def _key(source: Source, root: Path) -> str:
    first = os.path.relpath(os.path.abspath(source.files[0]), root)
    return f"{first}, {source.label}" if source.label else first


def _numbered(place: PurePosixPath, taken: Collection[str]) -> Iterator[str]:
    """A name, then others: numbered is the folder that is an output already, or else the last part."""
    yield place.as_posix()
    folders = [str(folder).lower() for folder in reversed(place.parents)][1:]
    part = next((index for index, folder in enumerate(folders) if folder in taken), len(folders))
    for number in itertools.count(2):
        parts = list(place.parts)
        parts[part] += f"_{number}"
        yield "/".join(parts)


def _place(source: Source, root: Path, *, whole: bool) -> PurePosixPath:
    """With the suffix of a file or the label of a series if `whole`; of letters and lengths that every disk takes."""
    *parts, last = Path(os.path.relpath(os.path.abspath(source.path), root)).parts or (root.name,)
    if not whole and not source.path.is_dir():
        last = last.split(".")[0] or last
    parts += [last, source.label] if whole and source.label else [last]
    return PurePosixPath(*(re.sub(r"[^\w .+@=-]+", "_", part)[:LONGEST].strip(" .") or "_" for part in parts))
