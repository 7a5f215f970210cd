"""A store that is made of its parts: whoever reads the sources, it is the same, and what was stopped goes on.

Parts lie in a hidden folder beside the store until all are there.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from csmri import __version__
from csmri.core.errors import CsmriError
from csmri.core.files import make_folder, remove_partial
from csmri.core.names import BEAM, PROCESSES, THIS
from csmri.data.store import Entry, StoreWriter
from csmri.formats.source import Source
from csmri.results.figures.boxes import View
from csmri.run.executors import Executor
from csmri.run.preparation_work import Item, Part, PreparationWork, Wanted, digest_of, outlines_told, state_of

MOST_NAMES = 6
"""Files that a message names."""
ITEMS = ".items"
"""End of the name of the hidden folder that parts lie in."""
WORTH_PROCESSES = 256 * 2**20
"""Bytes of sources from which on other processes are taken. Each has to import TensorFlow first, which takes as long as
ten subjects do, and one process computes on all cores where it does not read [our choice]."""


class Preparation:
    """Context manager that reads sources by an executor, and makes a store of what they are.

    Left by an interrupt, or where the executor fails, it keeps the parts, to go on with; else it takes them away.

    Parameters
    ----------
    writer : StoreWriter
        Entered already.
    sources : sequence of Source
    wanted : Wanted
    executor : Executor
    axes : str, optional
        That the sources were found with.
    """

    def __init__(
        self,
        writer: StoreWriter,
        sources: Sequence[Source],
        wanted: Wanted,
        executor: Executor,
        *,
        axes: str | None = None,
    ) -> None:
        self.writer, self.executor = writer, executor
        self.store = writer.path
        self.entries: list[Entry] = []
        self.unwanted: list[str] = []
        """Subjects that nobody asks for."""
        self.kspace: list[Path] = []
        """Files of k-space, which is reconstructed first."""
        self.notes: dict[str, list[str]] = {}
        """What was guessed, repaired or is in doubt -> whose data."""
        self.is_doubtful = False
        """Whether a heart box may miss the heart."""
        self._found: dict[str, str] = {}
        self._is_broken = False
        self.folder = items_folder(writer.path)
        self.resumes = wanted.pseudonyms is None
        """Whether, stopped, it goes on where it was. Under pseudonyms nothing is left that tells names."""
        if executor.kind == BEAM and wanted.pseudonyms:
            wanted.pseudonyms.save()
            wanted = replace(wanted, pseudonyms=None, key=str(wanted.pseudonyms.path.absolute()))
        self.work = PreparationWork(
            folder=str(self.folder), wanted=wanted, is_recorded=self.resumes or executor.kind == BEAM
        )
        common = [__version__, axes or "", *outlines_told(wanted)]
        self.items = [Item(number, source, digest_of(source, common)) for number, source in enumerate(sources)]
        if not self.resumes:
            self._clear()
        make_folder(self.folder)
        remove_partial(self.folder)
        if not self.resumes:
            self.folder.chmod(0o700)
        kept = ((item, self.work.kept(item)) for item in self.items)
        self.parts = {item.number: part for item, part in kept if part and self.work.fits(part)}
        self.left = [item for item in self.items if item.number not in self.parts]

    def __enter__(self) -> Preparation:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Refused, a person mends what is wrong first; nothing is left of it.
        is_stopped = kind is not None and issubclass(kind, KeyboardInterrupt)
        if not (self.resumes and (is_stopped or self._is_broken)):
            self._clear()

    def do(self) -> Generator[Part]:
        """Read what is left, and tell each source when it is read, in any order.

        Raises
        ------
        CsmriError
            If no store can be made of a source.
        """
        for item in self.left:
            self.work.forget(item)
        with closing(self._done()) as done:
            for part in done:
                if part.refused:
                    raise CsmriError(part.refused)
                self.parts[part.number] = part
                yield part

    def _done(self) -> Generator[Part]:
        try:
            yield from self.executor.run(self.work, self.left)
        except Exception:  # no machine to be had, a disk that is full: what was read stays read
            self._is_broken = True
            raise

    def take(self) -> None:
        """Put all parts into the store, in the order of the sources.

        Raises
        ------
        CsmriError
            If one subject was read from two sources.
        """
        for number, item in enumerate(self.items):
            part = self.parts[number]
            if part.is_kspace:
                self.kspace.append(item.source.path)
            elif part.entry is None and not part.fault:
                self.unwanted.append(part.subject)
            elif part.entry:
                self._take(part, part.entry)

    def _take(self, part: Part, entry: Entry) -> None:
        wanted, subject = self.work.wanted, part.subject
        name = wanted.name_of(subject)
        assert name is not None
        entry = replace(entry, split=wanted.split_of[name])
        entry = self.writer.take(entry, self.work.shard(part), where=f"{part.provenance}: subject {subject!r}")
        if self.writer.pseudonyms:
            self.writer.pseudonyms.of(subject)
        self.entries.append(entry)
        self._found[name] = subject
        who = subject if entry.subject == subject else f"{subject} ({entry.subject})"
        # Of the reader's too, which the store does not keep under pseudonyms.
        for note in dict.fromkeys((*part.notes, *entry.notes)):
            self.notes.setdefault(note, []).append(who)
        self.is_doubtful |= part.is_doubtful

    def refuse_missing(self, places: Iterable[Path], damaged: Sequence[str]) -> None:
        """Refuse to make a store where somebody who is wanted is not there.

        Parameters
        ----------
        places : paths
            Where the sources were looked for.
        damaged : names of files that could not be read
        """
        wanted = self.work.wanted
        if missing := [name for name in wanted.split_of if name not in self._found]:
            besides = f"; could not be read: {', '.join(damaged[:MOST_NAMES])}" if damaged else ""
            if self.kspace:
                names = ", ".join(path.name for path in self.kspace[:MOST_NAMES])
                besides += f"; holds k-space, which is reconstructed first: {names}"
            held = ", ".join([*self._found.values(), *self.unwanted]) or "no cine"
            raise CsmriError(
                f"{wanted.where}: names {', '.join(missing)}, which {' '.join(map(str, places))} does not hold; "
                f"it holds {held}{besides}"
            )

    def views(self) -> Iterator[View]:
        """What heart_boxes.png shows, in the order of the sources, one at a time."""
        return (self.work.view(part) for _, part in sorted(self.parts.items()) if part.entry)

    def _clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def items_folder(store: Path) -> Path:
    """Where the parts of a store lie."""
    return store.absolute().with_name(f".{store.name[-200:]}{ITEMS}")


def fitting_executor(sources: Sequence[Source]) -> str:
    """Who reads these sources soonest, this process or several beside it."""
    size = sum(state_of(path)[0] for source in sources for path in source.files)
    return PROCESSES if size >= WORTH_PROCESSES and Executor().n_workers(len(sources)) > 1 else THIS
