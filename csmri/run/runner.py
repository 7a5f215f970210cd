"""A plan of stages in a results folder: what can be refused is refused first, what is done is never done again."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras

from csmri.config import BLENDED, Comparison, Config, Sweep, by_key, make_config, write_config
from csmri.core.errors import CsmriError
from csmri.core.files import make_folder, remove_partial
from csmri.core.locks import locked
from csmri.core.provenance import git_revision, processor, versions
from csmri.core.texts import duration, read_json, write_json
from csmri.data.records import Item, item_of, read_records
from csmri.data.runs import RECORD
from csmri.data.store import Entry, Store, extents_of, open_store
from csmri.learning.record import refuse_other_run
from csmri.learning.train import train
from csmri.results.draw import draw_all, is_drawn
from csmri.results.folder import PROVENANCE, keep_run, refuse_other_experiment
from csmri.run.evaluation import EvaluationRun
from csmri.run.plan import DRAW, PHANTOMS, Pace, Stage, plan_text

WORK = "work"
REPORT_SECONDS = 10.0
"""Between two lines of a long evaluation."""


class PlanRun(ABC):
    """Stages bound to stores and folders.

    Parameters
    ----------
    study : Comparison or Sweep
    results : path
        Folder for records, logs and pictures; made if need be. May hold a part of the same study.
    work : path, optional
        Folder for checkpoints and SavedModels, by default `results`/work.
    report : callable
        Told, in a line or a table each, what is going on.

    Raises
    ------
    CsmriError
        If `results` holds another study or other results.
    """

    file: str
    """What the study is called in a results folder."""
    cosmetic: Sequence[str] = ("caption",)
    """Fields that may change when a study goes on."""
    growing: Sequence[str] = ()
    """Tables that may have further entries then."""
    stages: tuple[Stage, ...]

    def __init__(
        self, study: Comparison | Sweep, results: str | Path, work: str | Path | None, *, report: Callable[[str], None]
    ) -> None:
        self.study, self.results, self.report = study, Path(results), report
        self.work = Path(work) if work else self.results / WORK
        self._refuse_other_study()

    @abstractmethod
    def read(self, path: Path) -> Comparison | Sweep:
        """Read the study that a results folder holds."""

    @abstractmethod
    def stores(self) -> Mapping[str, Store]:
        """Name of every store in the config -> the store; the last has the target."""

    @abstractmethod
    def subjects(self) -> Mapping[str, Sequence[Entry]]:
        """Split -> its subjects, for the record."""

    @abstractmethod
    def do(self, stage: Stage) -> None:
        """Do a stage that is neither a training nor the drawing."""

    def run(self) -> bool:
        """Do what is left of the plan.

        Returns
        -------
        bool
            False if nothing was left to do.
        """
        with locked(self.results):
            self.refuse_changes()
            if all(stage.is_done() for stage in self.stages):
                self.report(f"{self.results}: all {len(self.stages)} stages are done, nothing to do")
                return False
            for folder in (self.results, self.work):
                remove_partial(folder)
            # What a plan needs from the data is known before, their digest and the pace of a training are not.
            for stage in [stage for stage in self.stages if stage.name == PHANTOMS and not stage.is_done()]:
                make_folder(self.results)
                write_config(self.study, self.results / self.file)
                self.do(stage)
            self._describe()
            pace = self.pace()
            self.report(plan_text(str(self.results), self.stages, pace))
            for stage in self.stages:
                if stage.is_done():
                    self._keep(stage)
                    continue
                begun, left = time.monotonic(), pace.seconds_left(stage)
                what = f"{stage.repeat}, {stage.name}" if stage.repeat else stage.name
                self.report(f"\n{self.results}: {what}, about {duration(left)}")
                self._do(stage)
                keras.backend.clear_session()
                pace = pace.corrected(stage, left, time.monotonic() - begun)
                self.report(plan_text(str(self.results), self.stages, pace))
        return True

    def plan(self) -> str:
        """Tell what there is to do and how long it will take; writes nothing."""
        self.refuse_changes()
        return plan_text(str(self.results), self.stages, self.pace())

    @abstractmethod
    def pace(self) -> Pace:
        """How long things take on this machine."""

    def made_of(self) -> dict[str, Any]:
        """What records depend on besides config and images, by names for messages: heart boxes, other networks."""
        return {"heart boxes": {entry.subject: list(entry.heart_box) for entry in self._target().entries}}

    def refuse_changes(self) -> None:
        """Refuse data, networks or trainings that are not those that results or work folder were made with."""
        before = read_json(self.results / PROVENANCE, advice="remove it and start the study again")
        for key, store in self.stores().items() if before else ():
            if before.get("store_sha256", {}).get(key) != store.sha256:
                raise CsmriError(f"{self.results}: holds a study on other data in {key}; choose another --out")
        for key, value in self.made_of().items():
            if key in before.get("made_of", {}) and _as_now(before["made_of"][key], value) != value:
                raise CsmriError(f"{self.results}: holds results with other {key}; choose another --out")
        for stage in self.stages:
            if stage.config and (stage.run / RECORD).exists():
                store = self.store_of(stage)
                blend = store if stage.config.transfer == BLENDED else None
                refuse_other_run(stage.run, stage.config, store, stage.init, blend)

    def store_of(self, stage: Stage) -> Store:
        """Store that a training learns from."""
        return self._target()

    def drawing(self) -> Stage:
        """The last stage of every plan: figures, tables and report of what the folder holds then."""
        return Stage(DRAW, is_finished=lambda: is_drawn(self.results))

    def follow(self, run: EvaluationRun) -> None:
        """Do what is left of an evaluation, and tell now and then where it is."""
        told = time.monotonic()
        for number, item in enumerate(run.do(), len(run.items) - len(run.left) + 1):
            if time.monotonic() - told > REPORT_SECONDS:
                told = time.monotonic()
                self.report(f"{self.results}: {number} of {len(run.items)} items, {item.subject} slice {item.slice}")

    # --- results

    def _target(self) -> Store:
        return list(self.stores().values())[-1]

    def _do(self, stage: Stage) -> None:
        if stage.config:
            train(stage.config, self.store_of(stage), stage.run, init=stage.init, report=self.report)
            self._keep(stage)
        elif stage.name == DRAW:
            for drawn in draw_all(self.results):
                for line in [*drawn.lines, *(f"{path}: written" for path in drawn.paths)]:
                    self.report(line)
        else:
            self.do(stage)

    def _keep(self, stage: Stage) -> None:
        """Copy what is small of a finished training to the results."""
        if stage.config and stage.is_trained():
            keep_run(stage.run, self.results, stage.name, stage.config.seed)

    def _describe(self) -> None:
        make_folder(self.results)
        made_with = {"git_revision": git_revision(), "versions": versions(), "processor": processor()}
        # Where phantoms are made, what is known of the store comes with them.
        if (self.results / PROVENANCE).exists():
            before = read_json(self.results / PROVENANCE)
            record = {**before}
            if self.growing:  # an older folder does not tell all that its records depend on, and may not learn it now
                record["made_of"] = {**self.made_of(), **record.get("made_of", {})}
            others = record.get("continued_with", [])
            if made_with != {name: record.get(name) for name in made_with} and made_with not in others:
                record["continued_with"] = [*others, made_with]
            if record != before:
                write_json(self.results / PROVENANCE, record)
        else:
            record = {
                "store_sha256": {name: store.sha256 for name, store in self.stores().items()},
                "made_of": self.made_of(),
                "subjects": {split: [e.subject for e in entries] for split, entries in self.subjects().items()},
                "extents": extents_of(self._target().entries),
                **made_with,
                "keras_backend": keras.backend.backend(),
            }
            write_json(self.results / PROVENANCE, record)
        write_config(self.study, self.results / self.file)

    def _refuse_other_study(self) -> None:
        study, results = self.study, self.results
        refuse_other_experiment(results, self.file)
        if not (results / self.file).exists():
            return
        before, now = by_key(self.read(results / self.file)), by_key(study)
        for name in now | before:
            held: Any = before.get(name)
            value: Any = now.get(name)
            if name == "seeds" and set(held) <= set(value) and value[0] == held[0]:
                continue  # further seeds go on with the study
            if held is None and name.partition(" ")[0] in self.growing:
                continue
            if name not in self.cosmetic and held != value:
                told = f"{name} = {_listed(held)!r}, not {_listed(value)!r}; choose another --out"
                if value is None:
                    told = f"{name}, which this one lacks; put it back, or choose another --out"
                raise CsmriError(f"{results}: holds a study with {told}")


def items_in(table: Path) -> frozenset[Item]:
    """Work items that a table holds, read again only when the file has changed."""
    return _items_of(table, table.stat().st_mtime_ns) if table.exists() else frozenset()


@lru_cache(maxsize=8)
def _items_of(table: Path, changed: int) -> frozenset[Item]:
    return frozenset(map(item_of, read_records(table)))


def _as_now(held: Any, value: Any) -> Any:
    """Config of a network with the fields that are newer than the folder, by their defaults; all else as it is."""
    is_config = isinstance(value, dict) and value.keys() == Config.model_fields.keys()
    return make_config(held, where=PROVENANCE).model_dump(mode="json") if is_config else held


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value  # as a TOML file has it


def open_named(key: str, name: str) -> Store:
    """Open the store that a study names under a key; environment variables are expanded."""
    if not name:
        raise CsmriError(f'{key} is missing; name a prepared store, {key} = "STORE"')
    path = Path(os.path.expandvars(name))
    if not path.exists():
        raise CsmriError(f"{key} = {name!r}: no such store; `csmri prepare SOURCE... {path}` makes one")
    return open_store(path)
