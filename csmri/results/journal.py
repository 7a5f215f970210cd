"""How the records of an evaluation are kept while they come: every work item is written when it is done.

A line an item is appended to a journal beside the tables; a kill leaves at most half a line, which is dropped. When all
is done, the tables are written whole and the journal goes. What the tables or the journal hold is not done again.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from csmri.core.errors import CsmriError
from csmri.core.files import make_folder, remove_partial, replacing
from csmri.data.records import (
    Item,
    Outcome,
    Record,
    Timing,
    item_of,
    read_records,
    read_timings,
    write_records,
    write_timings,
)
from csmri.data.roi import Box
from csmri.evaluation.evaluate import Evaluated
from csmri.results.folder import (
    EXAMPLES,
    RECORDS,
    TIMINGS,
    Example,
    older_tables,
    read_examples,
    table_path,
    write_examples,
)

PARTS = "examples.items"
"""Folder with the images of single items until `EXAMPLES` is written of them."""
Row = TypeVar("Row", Record, Timing)


class Journal:
    """Records of one experiment in a results folder, item by item.

    Parameters
    ----------
    folder : Path
        Locked by the caller. May hold a part of the same experiment, which goes on.
    records, timings : str
        Names of the tables; no times are kept without the second.

    Raises
    ------
    CsmriError
        If the folder holds a table or a journal that is none.
    """

    def __init__(self, folder: Path, *, records: str = RECORDS, timings: str = TIMINGS) -> None:
        self.folder, self._records, self._timings = folder, records, timings
        self._path = folder / f"{records.partition('.')[0]}.items.jsonl"
        found = table_path(folder, records)
        self._kept = read_records(found) if found.exists() else []
        self._timed = []
        if timings and table_path(folder, timings).exists():
            self._timed = read_timings(table_path(folder, timings))
        self._outcomes = {outcome.item.as_kept: outcome for outcome in self._read()}
        self.in_tables = set(map(item_of, self._kept))
        """Items that the tables hold, `Item.as_kept`."""
        self._shown: set[Item] | None = None

    @property
    def done(self) -> set[Item]:
        """Items that are not to be done again, `Item.as_kept`."""
        return self.in_tables | set(self._outcomes)

    def keep(self, evaluated: Evaluated, *, as_example: bool = False) -> None:
        """Write the outcome of an item, and its images where a figure may show them."""
        outcome = evaluated.outcome
        make_folder(self.folder)
        if as_example:
            self._keep_images(evaluated)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")
        self._outcomes[outcome.item.as_kept] = outcome

    def without_images(self, items: Iterable[Item]) -> set[Item]:
        """Those of the items whose images are not there, `Item.as_kept`."""
        if self._shown is None:
            path = self.folder / EXAMPLES
            self._shown = {
                Item(one.subject, one.slice, one.acceleration, name).as_kept
                for one in (read_examples(path) if path.exists() else ())
                for name in one.methods
            }
        return {
            item.as_kept
            for item in items
            if not self._part(item).exists()
            and Item(item.subject, item.slice, item.acceleration, item.method).as_kept not in self._shown
        }

    def finish(self, plan: Sequence[Item]) -> None:
        """Write the tables of everything that is done, in the order of what they held before and of the plan."""
        order = _Order([*map(item_of, self._kept), *(item.as_kept for item in plan)])
        new = [outcome for item, outcome in self._outcomes.items() if item not in self.in_tables]
        records = sorted([*self._kept, *(r for one in new for r in one.records())], key=order.of_record)
        timings = {order.of_timing(one.timing()): one.timing() for one in self._outcomes.values()}
        timings |= {order.of_timing(one): one for one in self._timed}
        self._join_images(plan)
        if self._timings:
            write_timings([timings[place] for place in sorted(timings)], self.folder / self._timings)
        write_records(records, self.folder / self._records)
        for name in filter(None, (self._records, self._timings)):
            for older in older_tables(self.folder, name):
                older.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)
        shutil.rmtree(self.folder / PARTS, ignore_errors=True)
        remove_partial(self.folder)

    def _read(self) -> list[Outcome]:
        if not self._path.exists():
            return []
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:  # a kill in the middle of a line
            with self._path.open("r+b") as file:
                file.truncate(len(whole))
        try:
            return [Outcome.of(json.loads(line)) for line in whole.decode().splitlines()]
        except (ValueError, KeyError, TypeError) as error:
            raise CsmriError(f"{self._path}: damaged ({error}); remove it, and its items are done again") from error

    # --- images

    def _part(self, item: Item) -> Path:
        return self.folder / PARTS / f"{zlib.crc32(repr(item.as_kept).encode()):08x}.npz"

    def _keep_images(self, evaluated: Evaluated) -> None:
        arrays: dict[str, Any] = {"reference": evaluated.reference, "images": evaluated.images}
        arrays["heart_box"] = np.array(evaluated.entry.heart_box)
        with replacing(self._part(evaluated.outcome.item)) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)

    def _join_images(self, plan: Sequence[Item]) -> None:
        path = self.folder / EXAMPLES
        examples = {}
        if path.exists():
            examples = {(one.subject, one.slice, one.acceleration): one for one in read_examples(path)}
        before = dict(examples)
        for item in plan:
            if not self._part(item).exists():
                continue
            with contextlib.closing(np.load(self._part(item), allow_pickle=False)) as arrays:
                reference, images, box = arrays["reference"], arrays["images"], Box(*map(int, arrays["heart_box"]))
            place = item.subject, item.slice, item.acceleration
            methods = {**examples[place].methods, item.method: images} if place in examples else {item.method: images}
            examples[place] = Example(*place, reference, methods, box)
        if examples != before:
            write_examples(list(examples.values()), path)


class _Order:
    """Every part of an item by its first appearance."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._places: dict[str, dict[object, int]] = {}
        for name in ("acquisition", "subject", "slice", "acceleration", "method", "seed"):
            values = dict.fromkeys(getattr(item, name) for item in items)
            # Slices by number: a subject with fewer of them may come first.
            ordered = sorted(values) if name == "slice" else values
            self._places[name] = {value: i for i, value in enumerate(ordered)}

    def of_record(self, record: Record) -> tuple[int, ...]:
        item = item_of(record).as_kept
        return (*(places[getattr(item, name)] for name, places in self._places.items()), record.frame)

    def of_timing(self, timing: Timing) -> tuple[int, ...]:
        place = Item(timing.subject, timing.slice, timing.acceleration, timing.method, acquisition=timing.acquisition)
        kept = place.as_kept
        return tuple(places[getattr(kept, name)] for name, places in self._places.items() if name != "seed")
