"""What every command that reads has in common: options, notes told once, and what was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from csmri.core.errors import CsmriError

if TYPE_CHECKING:
    from csmri.data.cine import Cine
    from csmri.data.kspace import KSpace
    from csmri.formats.source import Found, LeftOut, Source

INCOMPLETE = 3
"""Exit code of a command that did what it could, and left out what was damaged."""
MOST_NAMED = 6


def axes_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --axes to a command."""
    return click.option(
        "--axes",
        metavar="ORDER",
        help="Axes of an array whose file does not name them, in its order: yxzt is (y, x, slice, frame).",
    )(command)


def subject_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --subject-from to a command."""
    return click.option(
        "--subject-from",
        type=click.Choice(("auto", "id", "folder", "file")),
        default="auto",
        show_default=True,
        help="What subjects are called by: the patient ID or file name (id), the first folder that differs, or the "
        "file; auto is id, and folder where that is empty or shared.",
    )(command)


@dataclass
class Reading:
    """What a command has been told while it read; every note is printed once."""

    told: set[str] = field(default_factory=set)
    faults: list[LeftOut] = field(default_factory=list)

    def find(self, *places: Path, axes: str | None = None, subject_from: str = "auto") -> Found:
        """Find what lies at the places; says what was left out."""
        from csmri.formats import find_cines

        found = find_cines(*places, axes=axes, subject_from=subject_from)
        self.tell(found.notes)
        if not found.sources:
            fault = next(left for left in found.left_out if left.is_fault)
            raise CsmriError(f"{fault.path}: {fault.reason}")
        self.leave_out(found.left_out)
        return found

    def leave_out(self, left_out: Iterable[LeftOut]) -> None:
        """Say what was left out: damaged files one by one, others by reason."""
        others: dict[str, list[str]] = {}
        for left in left_out:
            if left.is_fault:
                self.faults.append(left)
                click.echo(f"left out: {left.path}: {left.reason}", err=True)
            else:
                others.setdefault(left.reason, []).append(left.path.name)
        for reason, names in others.items():
            self.tell([f"Left out {_named(names)}: {reason}."])

    def tell(self, notes: Iterable[str], of: str = "") -> None:
        """Print notes that were not printed yet, on standard error."""
        for note in notes:
            text = f"{of}: {note}" if of else note
            if text not in self.told:
                self.told.add(text)
                click.echo(f"note: {text}", err=True)

    def records(self, sources: Iterable[Source]) -> Iterator[tuple[Source, Cine | KSpace]]:
        """Read one source after the other; of several, one that cannot be read is named and left out."""
        sources = tuple(sources)
        for source in sources:
            try:
                record = source.read()
            except CsmriError as error:
                self.leave_out_fault(source, str(error), n_sources=len(sources))
                continue
            yield source, record

    def leave_out_fault(self, source: Source, fault: str, *, n_sources: int) -> None:
        """Name one of several sources that cannot be read, and leave it out.

        Raises
        ------
        CsmriError
            If there is no other.
        """
        from csmri.formats.source import LeftOut

        if n_sources == 1 and not self.faults:
            raise CsmriError(fault)
        self.leave_out([LeftOut(source.path, fault.removeprefix(f"{source.path}").lstrip(":, "), True)])

    def one(self, place: Path, *, axes: str | None = None) -> tuple[Source, Cine | KSpace]:
        """Read the one record of a place; says its notes, and what else lies there."""
        from csmri.formats import find_cines

        return self.only(find_cines(place, axes=axes), place)

    def only(self, found: Found, place: Path) -> tuple[Source, Cine | KSpace]:
        """Read the one record that was found at a place, as `one` does."""
        from csmri.formats import only

        source = only(found, place)
        record = source.read()
        # Only now: who is refused need not know what else lies there.
        self.tell(found.notes)
        self.leave_out(found.left_out)
        self.tell(record.notes)
        return source, record

    def end(self) -> None:
        """Say in a last line what is missing, and end the command so that scripts notice."""
        if self.faults:
            names = _named([str(left.path) for left in self.faults])
            click.echo(f"incomplete: {names} could not be read, see above", err=True)
            raise click.exceptions.Exit(INCOMPLETE)


def read_cine(place: Path, *, axes: str | None = None) -> Cine:
    """Read the one cine of a place and print its notes; refuses k-space."""
    from csmri.data.cine import Cine

    _, record = Reading().one(place, axes=axes)
    if not isinstance(record, Cine):
        raise CsmriError(f"{place}: holds k-space, expected images; reconstruct it first")
    return record


def _named(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
