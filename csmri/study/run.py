"""Runs the plan of a study: what can be refused is refused first, what is done is never done again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from csmri.config import PRETRAIN, ZERO_FILLED, Config, Study, read_study, write_config
from csmri.errors import CsmriError
from csmri.evaluation import evaluate, spread_slices
from csmri.phantom import make_subject
from csmri.provenance import git_revision, versions
from csmri.reconstruction import Images, load_reconstructor
from csmri.records import (
    EXAMPLES,
    RECORDS,
    STUDY,
    Example,
    keep_run,
    read_records,
    write_examples,
    write_records,
)
from csmri.store import Entry, Store, StoreWriter, open_store
from csmri.study.plan import Stage, duration, make_plan, measure_pace, plan_text
from csmri.training import FINAL, MODELS, train

PROVENANCE, WORK = "study.json", "work"
N_EXAMPLE_SLICES = 3


class StudyRun:
    """A study bound to its stores and folders; everything that can be refused is refused on making it.

    Parameters
    ----------
    study : Study
    results : path
        Folder for records, logs and pictures; made if need be. May hold a part of the same study.
    work : path, optional
        Folder for checkpoints, SavedModels and phantoms, by default `results`/work.
    report : callable
        Told, in a line or a table each, what is going on.

    Raises
    ------
    CsmriError
        If a store is missing or lacks a split, a test subject is also trained on, the trainings do not fit the data, or
        `results` holds another study.
    """

    def __init__(
        self,
        study: Study,
        results: str | Path,
        work: str | Path | None = None,
        *,
        report: Callable[[str], None] = print,
    ) -> None:
        self.study, self.results, self.report = study, Path(results), report
        self.work = Path(work) if work else self.results / WORK
        _refuse_other_study(study, self.results)
        self.pretrain_store, self.target_store = self._stores()
        _refuse_shared_subjects(self.pretrain_store, self.target_store)
        tested = [entry.subject for entry in self.target_store.of_split("test")]
        if study.example_subject and study.example_subject not in tested:
            raise CsmriError(f"example_subject = {study.example_subject!r} is no test subject; those are {tested}")
        self.stages = make_plan(study, self.pretrain_store, self.target_store, self.work)

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
        pace = measure_pace(self.study, self.target_store, self.stages)
        self.report(plan_text(str(self.results), self.stages, pace))
        for stage in self.stages:
            if stage.is_done():
                self._keep(stage)
                continue
            begun, left = time.monotonic(), pace.seconds_left(stage)
            self.report(f"\n{self.results}: seed {stage.seed}, {stage.name}, about {duration(left)}")
            self._do(stage)
            self._keep(stage)
            keras.backend.clear_session()
            pace = pace.corrected(stage, left, time.monotonic() - begun)
            self.report(plan_text(str(self.results), self.stages, pace))
        self._merge()
        return True

    # --- plan

    def _stores(self) -> tuple[Store, Store]:
        names = {key: getattr(self.study, key) for key in ("pretrain_store", "target_store")}
        if not any(names.values()):
            path = self.work / "phantoms"
            if not path.exists():
                self.report(f"{path}: making {sum(self.study.phantom_subjects)} phantoms")
                _make_phantoms(self.study, path)
            store = open_store(path)
            return store, store
        paths = {key: Path(os.path.expandvars(name)) for key, name in names.items()}
        for key, path in paths.items():
            if not path.exists():
                raise CsmriError(f"{key} = {names[key]!r}: no such store; `csmri prepare SOURCE... {path}` makes one")
        return open_store(paths["pretrain_store"]), open_store(paths["target_store"])

    def _store(self, config: Config) -> Store:
        return self.pretrain_store if config.train_split == PRETRAIN else self.target_store

    def plan(self) -> str:
        """Tell what there is to do and how long it will take."""
        return plan_text(str(self.results), self.stages, measure_pace(self.study, self.target_store, self.stages))

    # --- work

    def _do(self, stage: Stage) -> None:
        if stage.config:
            train(stage.config, self._store(stage.config), stage.run, init=stage.init, report=self.report)
        else:
            self._evaluate(stage)

    def _evaluate(self, stage: Stage) -> None:
        names = [name for name in self.study.stages() if name != PRETRAIN]
        networks = [load_reconstructor(stage.run.parent / name / MODELS / FINAL, name=name) for name in names]
        tested = self.target_store.of_split("test")
        shown = next((entry for entry in tested if entry.subject == self.study.example_subject), tested[0])
        slices = spread_slices(shown.n_slices, N_EXAMPLE_SLICES)
        hidden = {ZERO_FILLED, *names[1:-1]}
        examples: list[Example] = []

        def keep(entry: Entry, index: int, acceleration: float, reference: Images, methods: dict[str, Images]) -> None:
            if entry is shown and index in slices and stage.seed == self.study.seeds[0]:
                visible = {name: images for name, images in methods.items() if name not in hidden}
                examples.append(Example(entry.subject, index, acceleration, reference, visible, entry.heart_box))

        results = evaluate(
            self.target_store,
            networks,
            accelerations=self.study.evaluation_accelerations,
            seed=self.study.evaluation_seed,
            visit=keep,
        )
        # Zero-filling is no method of the paper's table.
        records = [record for some, _ in results for record in some if record.method != ZERO_FILLED]
        if examples:
            write_examples(examples, self.results / EXAMPLES)
        write_records(records, stage.run.with_suffix(".partial"))
        stage.run.with_suffix(".partial").rename(stage.run)

    def _keep(self, stage: Stage) -> None:
        """Copy what is small of a finished training to the results."""
        if stage.config:
            keep_run(stage.run, self.results, stage.name, stage.seed)

    def _evaluations(self) -> list[Stage]:
        return [stage for stage in self.stages if stage.config is None]

    def _is_merged(self) -> bool:
        merged = self.results / RECORDS
        if not merged.exists():
            return False
        seeds = {record.seed for record in read_records(merged)}
        return seeds >= set(self.study.seeds)

    def _merge(self) -> None:
        """Put the records of all seeds together; methods without training are the same for all and stand once."""
        records = []
        for i, stage in enumerate(self._evaluations()):
            records += [record for record in read_records(stage.run) if i == 0 or record.seed == stage.seed]
        write_records(records, self.results / "records.partial")
        (self.results / "records.partial").rename(self.results / RECORDS)

    def _describe(self) -> None:
        self.results.mkdir(parents=True, exist_ok=True)
        stores = {"pretrain_store": self.pretrain_store.sha256, "target_store": self.target_store.sha256}
        if (self.results / PROVENANCE).exists():
            before = _read_json(self.results / PROVENANCE)["store_sha256"]
            for key, sha256 in stores.items():
                if before.get(key) != sha256:
                    raise CsmriError(f"{self.results}: holds a study on other data in {key}; choose another --out")
        else:
            record = {
                "store_sha256": stores,
                "subjects": {
                    PRETRAIN: [entry.subject for entry in self.pretrain_store.of_split(PRETRAIN)],
                    **{s: [entry.subject for entry in self.target_store.of_split(s)] for s in ("train", "test")},
                },
                "git_revision": git_revision(),
                "versions": versions(),
                "keras_backend": keras.backend.backend(),
                "processors": os.cpu_count(),
            }
            (self.results / PROVENANCE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        write_config(self.study, self.results / STUDY)


def _refuse_other_study(study: Study, results: Path) -> None:
    if results.exists() and not results.is_dir():
        raise CsmriError(f"{results}: is a file; the results need a folder")
    if not (results / STUDY).exists():
        if results.exists() and (results / RECORDS).exists():
            raise CsmriError(f"{results}: holds results that are no study; choose another --out")
        return
    before = read_study(results / STUDY)
    for name, value in study.model_dump().items():
        held = getattr(before, name)
        if name == "seeds" and set(held) <= set(value) and value[0] == held[0]:
            continue  # further seeds go on with the study
        if name not in ("caption", "example_subject") and held != value:
            raise CsmriError(f"{results}: holds a study with {name} = {held!r}, not {value!r}; choose another --out")


def _refuse_shared_subjects(pretrain_store: Store, target_store: Store) -> None:
    """Tested subjects must not be trained on, in whatever store they are."""
    tested = {entry.subject for entry in target_store.of_split("test")}
    for store, split in ((pretrain_store, PRETRAIN), (target_store, "train")):
        for entry in store.of_split(split):
            if entry.subject in tested:
                raise CsmriError(
                    f"{store.path}: subject {entry.subject!r} of split {split!r} is a test subject of "
                    f"{target_store.path}; prepare the stores with disjoint subjects"
                )


def _make_phantoms(study: Study, path: Path) -> None:
    """Make York-like phantoms to pretrain on and K-like ones as the target."""
    n_pretrain, n_train, n_test = study.phantom_subjects
    roles = [("york", i, PRETRAIN) for i in range(n_pretrain)]
    roles += [("k", i, "train" if i < n_train else "test") for i in range(n_train + n_test)]
    with StoreWriter(path) as writer:
        for domain, index, split in roles:
            size, n_slices = study.phantom_size, study.phantom_slices
            writer.add(make_subject(index, domain=domain, size=size, n_slices=n_slices), split)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CsmriError(f"{path}: damaged; remove it and start the study again") from error
    return record
