"""An evaluation as work items for `run.executors`: the slices of subjects, each by all methods on the same masks."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from csmri.config import Sampling
from csmri.core.errors import CsmriError
from csmri.core.files import replacing
from csmri.core.names import BEAM
from csmri.core.reasons import reason
from csmri.data.records import Item, Outcome
from csmri.data.store import Store, open_store
from csmri.evaluation.evaluate import Evaluated, evaluate, plan_items, seeds_of
from csmri.methods.limits import Outside
from csmri.methods.reconstruction import MethodSpec, Reconstructor
from csmri.run.executors import Executor

SPOOL = "evaluated.items"
"""Folder in that of the results, where workers elsewhere leave what they have evaluated."""


@dataclass(frozen=True)
class Place:
    """A slice of a subject, and what is to be done there."""

    number: int
    subject: str
    slice: int
    items: tuple[Item, ...]
    examples: tuple[Item, ...] = ()
    """Of which images are kept."""


@dataclass(frozen=True)
class Told:
    """What was evaluated at a place, or why that failed."""

    evaluated: tuple[Evaluated, ...] = ()
    failed: str = ""


@dataclass(frozen=True, kw_only=True)
class EvaluationWork:
    """The work of `run.executors` on places.

    Parameters
    ----------
    store : str
    methods : tuple of MethodSpec
    options : tuple of pairs
        What else `evaluate` takes, but `law` and `skip`.
    law : Sampling
    spool : str
        Folder for what is evaluated on other machines; empty for none.
    """

    store: str
    methods: tuple[MethodSpec, ...]
    options: tuple[tuple[str, Any], ...]
    law: Sampling
    spool: str = ""

    def do(self, place: Place) -> Told:
        """Evaluate all items of a place."""
        try:
            told = Told(tuple(self._evaluated(place)))
        except Exception as error:
            told = Told(failed=reason(error, resumes=True)[0])
        if self.spool:
            _write(self._spooled(place), told)
        return told

    def kept(self, place: Place) -> Told | None:
        """What a worker elsewhere has left of a place."""
        path = self._spooled(place)
        return _read(path, _opened(self.store)) if path.exists() else None

    def lost(self, place: Place, reason: str) -> Told:
        """A place whose process came to an end."""
        return Told(failed=f"{place.subject}, slice {place.slice}: {reason}")

    def _evaluated(self, place: Place) -> Iterator[Evaluated]:
        store, methods, options = _opened(self.store), list(_ready(self.methods)), dict(self.options)
        split, accelerations = options["split"], options["accelerations"]
        planned = plan_items(
            store.of_split(split), seeds_of(methods), accelerations, acquisition=options["acquisition"]
        )
        wanted = {item.as_kept for item in place.items}
        skip = {item.as_kept for item in planned} - wanted
        nothing = np.zeros((0, 0, 0), np.float32)
        for one in evaluate(store, methods, law=self.law, skip=skip, **options):
            if one.outcome.item not in place.examples:
                one = replace(one, reference=nothing, images=nothing)
            yield one

    def _spooled(self, place: Place) -> Path:
        return Path(self.spool) / f"{place.number}.npz"


def evaluated_by(
    executor: Executor,
    work: EvaluationWork,
    left: Sequence[Item],
    *,
    is_example: Callable[[Item], bool],
    folder: Path,
) -> Iterator[Evaluated]:
    """Evaluate what is left by an executor, place by place.

    Raises
    ------
    CsmriError
        After all others are told, if places failed.
    """
    by_place: dict[tuple[str, int], list[Item]] = {}
    for item in left:
        by_place.setdefault((item.subject, item.slice), []).append(item)
    places = [
        Place(number, *where, tuple(items), tuple(filter(is_example, items)))
        for number, (where, items) in enumerate(by_place.items())
    ]
    spool = folder.absolute() / SPOOL
    shutil.rmtree(spool, ignore_errors=True)
    if executor.kind == BEAM:
        work = replace(work, spool=str(spool))
    failed = []
    with closing(executor.run(work, places)) as done:
        for told in done:
            yield from told.evaluated
            failed += [told.failed] if told.failed else []
    shutil.rmtree(spool, ignore_errors=True)
    if failed:
        raise CsmriError(f"{len(failed)} of {len(places)} slices could not be evaluated: {failed[0]}")


@functools.cache
def _opened(path: str) -> Store:
    return open_store(path)


@functools.cache
def _ready(methods: tuple[MethodSpec, ...]) -> tuple[Reconstructor, ...]:
    return tuple(method.load() for method in methods)


def _write(path: Path, told: Told) -> None:
    listed = [
        {"outcome": asdict(one.outcome), "outside": [asdict(outside) for outside in one.outside]}
        for one in told.evaluated
    ]
    arrays: dict[str, Any] = {"told": np.array(json.dumps({"evaluated": listed, "failed": told.failed}))}
    for number, one in enumerate(told.evaluated):
        arrays |= {f"reference{number}": one.reference, f"images{number}": one.images}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _read(path: Path, store: Store) -> Told:
    entries = {entry.subject: entry for entry in store.entries}
    with closing(np.load(path, allow_pickle=False)) as arrays:
        held = json.loads(str(arrays["told"]))
        evaluated = []
        for number, one in enumerate(held["evaluated"]):
            outcome = Outcome.of(one["outcome"])
            outside = tuple(Outside(**fields) for fields in one["outside"])
            images = arrays[f"reference{number}"], arrays[f"images{number}"]
            evaluated.append(Evaluated(outcome, entries[outcome.item.subject], *images, outside))
    return Told(tuple(evaluated), held["failed"])
