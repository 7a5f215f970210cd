"""How far a loop is: a bar on a terminal, and where the output goes to a file some lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import AbstractContextManager
from typing import Generic, Protocol, TypeVar

import click

from csmri.core.texts import duration

SHARE, PAUSE, LONG = 0.1, 2.0, 30.0
"""Without a terminal a line comes after each tenth of the work, but none within so many seconds of the last (`PAUSE`);
and in any case after so many (`LONG`)."""

Item = TypeVar("Item")
Covariant = TypeVar("Covariant", covariant=True)


class Bar(Protocol[Covariant]):
    """What both kinds of progress are: the items, and a label that may change on the way."""

    label: str

    def __iter__(self) -> Iterator[Covariant]: ...

    def render_progress(self) -> None:
        """Show the label as it is now."""


def progress(iterable: Iterable[Item], length: int | None = None, label: str = "") -> AbstractContextManager[Bar[Item]]:
    """Show how far a loop over `iterable` is, `with progress(...) as bar: for item in bar`.

    Parameters
    ----------
    length : int, optional
        Number of items, by default that of `iterable` where it has one.
    label : str
        What is being done, as `preparing store`.
    """
    if sys.stdout.isatty():
        return click.progressbar(iterable, length=length, label=label)
    return Lines(iterable, length, label)


def left(begun: float, n_done: int, n_items: int) -> str:
    """How long the rest will take, to follow a label; nothing at the end.

    Parameters
    ----------
    begun : float
        `time.monotonic()` at the first item.
    n_done : int >= 1
    """
    if n_done == n_items:
        return ""
    return f", about {duration((time.monotonic() - begun) / n_done * (n_items - n_done))} left"


class Lines(Generic[Item]):
    """Lines at the start, now and then, and at the end."""

    def __init__(self, iterable: Iterable[Item], length: int | None, label: str) -> None:
        self.iterable = iterable
        self.length = len(iterable) if length is None and isinstance(iterable, Sized) else length
        self.label = label
        self._end = label
        self._done = 0
        self._shown, self._begun = 0, time.monotonic()
        self._told = self._begun

    def __enter__(self) -> Lines[Item]:
        self._tell(f"{self.label}: {self._count()}")
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if error_type is None:
            seconds = time.monotonic() - self._begun
            self._tell(f"{self._end}: {self._count()}, after {seconds:.0f} s")

    def __iter__(self) -> Iterator[Item]:
        for item in self.iterable:
            yield item
            self._done += 1
            waited = time.monotonic() - self._told
            further = self.length is None or self._done - self._shown >= SHARE * self.length
            if self._done != self.length and (waited >= LONG or (further and waited >= PAUSE)):
                self._tell(f"{self.label}: {self._count()}")

    def render_progress(self) -> None:
        """Show the label as it is now, where nothing was shown for long."""
        if time.monotonic() - self._told >= LONG:
            self._tell(f"{self.label}: {self._count()}")

    def _count(self) -> str:
        return f"{self._done:,}" + ("" if self.length is None else f" of {self.length:,}")

    def _tell(self, line: str) -> None:
        self._shown, self._told = self._done, time.monotonic()
        click.echo(line)
