"""A plan of stages in a results folder: what can be refused is refused first, what is done is never done again."""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from csmri.config import Comparison, by_key, write_config
from csmri.core.errors import CsmriError
from csmri.core.names import PRETRAIN, ZERO_FILLED
from csmri.core.provenance import git_revision, processor, versions
from csmri.data.records import Record, read_records, write_records
from csmri.data.store import Entry, Store, open_store
from csmri.evaluation.evaluate import evaluate
from csmri.reconstruction import Images, load_reconstructor
from csmri.results.folder import RECORDS, keep_run
from csmri.run.plan import Stage, duration, measure_pace, plan_text
from csmri.training import train

PROVENANCE, WORK = "study.json", "work"


class PlanRun(ABC):
    """Stages bound to stores and folders.

    Parameters
    ----------
    study : Comparison
    results : path
        Folder for records, logs and pictures; made if need be. May hold a part of the same study.
    work : path, optional
        Folder for checkpoints and SavedModels, by default `results`/work.
    report : callable
        Told, in a line or a table each, what is going on.

    Raises
    ------
    CsmriError
        If `results` holds another study.
    """

    file: str
    """What the study is called in a results folder."""
    merged: Mapping[str, str]
    """File of records in the results folder -> the evaluations, by name, whose records it holds of all seeds."""
    cosmetic: Sequence[str] = ("caption",)
    """Fields that may change when a study goes on."""
    stages: tuple[Stage, ...]

    def __init__(
        self, study: Comparison, results: str | Path, work: str | Path | None, *, report: Callable[[str], None]
    ) -> None:
        self.study, self.results, self.report = study, Path(results), report
        self.work = Path(work) if work else self.results / WORK
        self._refuse_other_study()

    @abstractmethod
    def read(self, path: Path) -> Comparison:
        """Read the study that a results folder holds."""

    @abstractmethod
    def stores(self) -> Mapping[str, Store]:
        """Name of every store in the config -> the store; the last has the target."""

    @abstractmethod
    def subjects(self) -> Mapping[str, Sequence[Entry]]:
        """Split -> its subjects, for the record."""

    @abstractmethod
    def do(self, stage: Stage) -> None:
        """Evaluate."""

    def run(self) -> bool:
        """Do what is left of the plan.

        Returns
        -------
        bool
            False if nothing was left to do.
        """
        if self._is_merged():
            self.report(f"{self.results}: all {len(self.stages)} stages are done, nothing to do")
            return False
        self._describe()
        pace = measure_pace(self._target(), self.stages)
        self.report(plan_text(str(self.results), self.stages, pace))
        for stage in self.stages:
            if stage.is_done():
                self._keep(stage)
                continue
            begun, left = time.monotonic(), pace.seconds_left(stage)
            self.report(f"\n{self.results}: seed {stage.seed}, {stage.name}, about {duration(left)}")
            if stage.config:
                train(stage.config, self.store_of(stage), stage.run, init=stage.init, report=self.report)
            else:
                self.do(stage)
            self._keep(stage)
            keras.backend.clear_session()
            pace = pace.corrected(stage, left, time.monotonic() - begun)
            self.report(plan_text(str(self.results), self.stages, pace))
        self._merge()
        return True

    def plan(self) -> str:
        """Tell what there is to do and how long it will take."""
        return plan_text(str(self.results), self.stages, measure_pace(self._target(), self.stages))

    def store_of(self, stage: Stage) -> Store:
        """Store that a training learns from."""
        return self._target()

    def evaluated(
        self,
        models: Mapping[str, Path],
        *,
        split: str = "test",
        visit: Callable[[Entry, int, float, Images, dict[str, Images]], None] | None = None,
    ) -> list[Record]:
        """Evaluate SavedModels, by name, on a split of the target's store."""
        results = evaluate(
            self._target(),
            [load_reconstructor(model, name=name) for name, model in models.items()],
            split=split,
            accelerations=self.study.evaluation_accelerations,
            seed=self.study.evaluation_seed,
            visit=visit,
        )
        # Zero-filling is no method of the paper's table.
        return [record for some, _ in results for record in some if record.method != ZERO_FILLED]

    # --- results

    def _target(self) -> Store:
        return list(self.stores().values())[-1]

    def _keep(self, stage: Stage) -> None:
        """Copy what is small of a finished training to the results."""
        if stage.config:
            keep_run(stage.run, self.results, stage.name, stage.seed)

    def _is_merged(self) -> bool:
        for name in self.merged:
            if not (self.results / name).exists():
                return False
            # A pretrained network may have a seed of its own.
            seeds = {record.seed for record in read_records(self.results / name) if record.method != PRETRAIN}
            if not seeds >= set(self.study.seeds):
                return False
        return True

    def _merge(self) -> None:
        """Put the records of all seeds together; methods without training are the same for all and stand once."""
        for name, evaluation in self.merged.items():
            records: list[Record] = []
            for i, stage in enumerate(stage for stage in self.stages if stage.name == evaluation):
                records += [record for record in read_records(stage.run) if i == 0 or record.seed == stage.seed]
            write_whole(records, self.results / name)

    def _describe(self) -> None:
        self.results.mkdir(parents=True, exist_ok=True)
        stores = {name: store.sha256 for name, store in self.stores().items()}
        if (self.results / PROVENANCE).exists():
            before = _read_json(self.results / PROVENANCE)["store_sha256"]
            for key, sha256 in stores.items():
                if before.get(key) != sha256:
                    raise CsmriError(f"{self.results}: holds a study on other data in {key}; choose another --out")
        else:
            record = {
                "store_sha256": stores,
                "subjects": {split: [e.subject for e in entries] for split, entries in self.subjects().items()},
                "git_revision": git_revision(),
                "versions": versions(),
                "keras_backend": keras.backend.backend(),
                "processor": processor(),
            }
            (self.results / PROVENANCE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        write_config(self.study, self.results / self.file)

    def _refuse_other_study(self) -> None:
        study, results = self.study, self.results
        if results.exists() and not results.is_dir():
            raise CsmriError(f"{results}: is a file; the results need a folder")
        if not (results / self.file).exists():
            if results.exists() and (results / RECORDS).exists():
                raise CsmriError(f"{results}: holds results that are no study; choose another --out")
            return
        before, now = by_key(self.read(results / self.file)), by_key(study)
        for name in now | before:
            held: Any = before.get(name)
            value: Any = now.get(name)
            if name == "seeds" and set(held) <= set(value) and value[0] == held[0]:
                continue  # further seeds go on with the study
            if name not in self.cosmetic and held != value:
                raise CsmriError(
                    f"{results}: holds a study with {name} = {held!r}, not {value!r}; choose another --out"
                )


def open_named(key: str, name: str) -> Store:
    """Open the store that a study names under a key; environment variables are expanded."""
    path = Path(os.path.expandvars(name))
    if not path.exists():
        raise CsmriError(f"{key} = {name!r}: no such store; `csmri prepare SOURCE... {path}` makes one")
    return open_store(path)


def write_whole(records: Sequence[Record], path: Path) -> None:
    """Write records so that there are all of them or none."""
    partial = path.with_suffix(".partial")
    write_records(records, partial)
    partial.rename(path)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CsmriError(f"{path}: damaged; remove it and start the study again") from error
    return record
