"""The preparation of a store as work items for `run.executors`: every source is read and written as a part of it."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from csmri.core.errors import CsmriError
from csmri.core.files import replacing
from csmri.core.texts import read_json, write_json
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace
from csmri.data.pseudonyms import Pseudonyms
from csmri.data.roi import heart_box_notes, motion_map
from csmri.data.store import Entry, write_subject
from csmri.formats import outlines_beside, read_outlines
from csmri.formats.source import Source
from csmri.physics.extent import measure_lines
from csmri.results.figures.boxes import View


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Who is to be in a store, by the subjects' own names or by their pseudonyms.

    Parameters
    ----------
    where : str
        What names the subjects, for messages.
    split_of : mapping
        Name of a subject -> its split.
    outlines_of : mapping
        Name of a subject -> its manual outlines.
    pseudonyms : Pseudonyms, optional
        Which the subjects get.
    key : str
        File to read the pseudonyms from instead: secrets are not sent to other machines.
    """

    where: str
    split_of: Mapping[str, str]
    outlines_of: Mapping[str, Path] = field(default_factory=dict)
    pseudonyms: Pseudonyms | None = None
    key: str = ""

    @property
    def named(self) -> Pseudonyms | None:
        """The pseudonyms, where there are some."""
        return _pseudonyms_of(self.key) if self.key else self.pseudonyms

    def name_of(self, subject: str) -> str | None:
        """Name by which a subject is asked for, if it is.

        Raises
        ------
        CsmriError
            If it is asked for by both.
        """
        names = [subject, *([self.named.peek(subject)] if self.named else [])]
        found = [name for name in dict.fromkeys(names) if name in self.split_of]
        if len(found) > 1:
            raise CsmriError(f"{self.where}: names {' and '.join(found)}, which are one subject; name it once")
        return found[0] if found else None


@dataclass(frozen=True)
class Item:
    """A source that is to be read, and the digest that its part is known again by."""

    number: int
    source: Source
    digest: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """What became of a source: a shard and two images beside it where there is an entry, otherwise nothing."""

    number: int
    digest: str
    subject: str = ""
    """Its own name; empty where it could not be read."""
    fault: str = ""
    """Why it could not be read: it is left out."""
    refused: str = ""
    """Why no store can be made of it."""
    is_kspace: bool = False
    provenance: str = ""
    notes: tuple[str, ...] = ()
    """Of the reader."""
    entry: Entry | None = None
    """None for who is not wanted, too."""
    is_doubtful: bool = False
    """Whether the heart box may miss the heart."""

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Part:
        """Part of its fields, as JSON has them."""
        entry = Entry.of(fields["entry"]) if fields["entry"] else None
        return cls(**{**fields, "notes": tuple(fields["notes"]), "entry": entry})


@dataclass(frozen=True, kw_only=True)
class PreparationWork:
    """The work of `run.executors` on items.

    Parameters
    ----------
    folder : str
        Of the parts.
    wanted : Wanted
    is_recorded : bool
        Whether what became of a source is also left in the folder. It tells names of persons: under pseudonyms only
        where another machine has no other way to tell.
    """

    folder: str
    wanted: Wanted
    is_recorded: bool = True

    def do(self, item: Item) -> Part:
        """Read a source, and write its part where it is wanted."""
        part = Part(number=item.number, digest=item.digest)
        try:
            record = item.source.read()
        except CsmriError as error:
            part = replace(part, fault=str(error))
        else:
            try:
                part = self._read(part, item.source, record)
            except CsmriError as error:
                part = replace(part, refused=str(error))
        if self.is_recorded:
            write_json(self._place(item, ".json"), asdict(part))
        return part

    def kept(self, item: Item) -> Part | None:
        """What was left of a source; nothing where it is of another one, or damaged."""
        with suppress(CsmriError, KeyError, TypeError):
            if fields := read_json(self._place(item, ".json")):
                part = Part.of(fields)
                is_whole = part.entry is None or all(self._place(item, end).exists() for end in (".tfrecord", ".npz"))
                return part if part.digest == item.digest and is_whole else None
        return None

    def lost(self, item: Item, reason: str) -> Part:
        """A source whose process came to an end."""
        return Part(number=item.number, digest=item.digest, fault=f"{item.source.path}: {reason}")

    def forget(self, item: Item) -> None:
        """Take away what is known of a source from before."""
        self._place(item, ".json").unlink(missing_ok=True)

    def fits(self, part: Part) -> bool:
        """Whether a part of a preparation before is what this one would make; what failed is tried again."""
        if part.fault or part.refused:
            return False
        return part.is_kspace or (part.entry is None) == (self.wanted.name_of(part.subject) is None)

    def shard(self, part: Part) -> Path:
        """Where the shard of a part lies."""
        return self._place(part, ".tfrecord")

    def view(self, part: Part) -> View:
        """What heart_boxes.png shows of a part with an entry."""
        assert part.entry
        with closing(np.load(self._place(part, ".npz"), allow_pickle=False)) as arrays:
            return part.entry.subject, arrays["middle"], arrays["motion"], part.entry.heart_box

    def _read(self, part: Part, source: Source, record: Cine | KSpace) -> Part:
        part = replace(part, subject=record.subject, provenance=record.provenance, notes=record.notes)
        if isinstance(record, KSpace):
            return replace(part, is_kspace=True)
        name = self.wanted.name_of(record.subject)
        if name is None:
            return part
        hidden = self.wanted.named
        with replacing(self.shard(part)) as temporary:
            entry = write_subject(
                temporary,
                record,
                self.wanted.split_of[name],
                read_outlines(source.path, self.wanted.outlines_of.get(name)),
                subject=hidden.peek(record.subject) if hidden else record.subject,
                extent=measure_lines(record.images),
                is_hidden=hidden is not None,
            )
        magnitude = record.magnitude
        middle = magnitude[record.n_slices // 2].mean(axis=0)
        with replacing(self._place(part, ".npz")) as temporary, temporary.open("wb") as file:
            np.savez(file, middle=middle, motion=motion_map(magnitude))
        doubts = heart_box_notes(entry.heart_box, magnitude)
        return replace(part, entry=entry, is_doubtful=any(note in entry.notes for note in doubts))

    def _place(self, one: Item | Part, end: str) -> Path:
        return Path(self.folder) / f"{one.digest[:32]}{end}"


@functools.cache
def _pseudonyms_of(key: str) -> Pseudonyms:
    return Pseudonyms(key)


def digest_of(source: Source, common: Sequence[str]) -> str:
    """What the part of a source is known again by; `common` is what else decides of all parts."""
    told = [*common, source.kind, source.label, source.subject, str(source.path.absolute())]
    beside = outlines_beside(source.path)
    files = map(_told, [*source.files, *([beside] if beside else [])])
    return hashlib.sha256(json.dumps([*told, *files]).encode()).hexdigest()


def outlines_told(wanted: Wanted) -> Iterator[str]:
    """What decides of the heart boxes of all."""
    for name, path in wanted.outlines_of.items():
        yield name
        yield from map(_told, sorted(path.rglob("*")) if path.is_dir() else [path])


def _told(path: Path) -> str:
    """Place, size and time: a preparation that goes on trusts that so a file is as it was."""
    size, time = state_of(path)
    return f"{path.absolute()} {size} {time}"


def state_of(path: Path) -> tuple[int, int]:
    """Bytes, and the time of the last change [ns]; reading tells what is wrong with a file that has none."""
    try:
        state = path.stat()
    except OSError:
        return 0, 0
    return state.st_size, state.st_mtime_ns
