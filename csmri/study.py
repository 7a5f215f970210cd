"""The paper's whole experiment from one config, as a plan of stages that can be stopped and continued at any point."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from csmri.config import PRETRAIN, STANDALONE, Config, Study, read_study, transfer_name, write_config
from csmri.errors import CsmriError
from csmri.evaluation import evaluate
from csmri.phantom import make_subject
from csmri.pipeline import training_batches, training_matrix
from csmri.provenance import git_revision, versions
from csmri.reconstruction import ZERO_FILLED, Images, frame_quality, load_corrector
from csmri.records import (
    EXAMPLES,
    LOG,
    RECORDS,
    STUDY,
    Example,
    read_log,
    read_records,
    run_folder,
    write_examples,
    write_records,
)
from csmri.store import Entry, Store, StoreWriter, open_store
from csmri.training import CONFIG, FINAL, MODELS, RECORD, compiled_unet, train

PROVENANCE, WORK, EVALUATE = "study.json", "work", "evaluate"
N_EXAMPLE_SLICES = 3
DONE, RUNNING, LEFT = "done", "running", "left"


@dataclass(frozen=True)
class Stage:
    """One step of the plan: a training, or the evaluation of all trainings of a seed (`config` is None)."""

    seed: int
    name: str
    config: Config | None
    run: Path
    """Folder of the training, or file of the evaluation's records."""
    init: Path | None = None
    images: int = 0
    """Shown to the network an epoch; for the evaluation, altogether."""

    def epochs_done(self) -> int:
        """Epochs behind a training, by its log."""
        return int(read_log(self.run / LOG)[-1]["epoch"]) if (self.run / LOG).exists() else 0

    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return (self.run / MODELS / FINAL).exists() if self.config else self.run.exists()


@dataclass(frozen=True)
class Pace:
    """How long things take on this machine [s]."""

    image: float
    """One image through one step of training."""
    quality: float
    """Metrics of one image."""

    def seconds_left(self, stage: Stage) -> float:
        """Estimate the time that a stage still needs."""
        if stage.is_done():
            return 0.0
        if stage.config is None:
            # A forward pass is a third of a training step.
            return stage.images * (self.image / 3 + self.quality)
        return (stage.config.epochs - stage.epochs_done()) * stage.images * self.image


class StudyRun:
    """A study bound to its stores and folders; everything that can be refused is refused on making it.

    Parameters
    ----------
    study : Study
    results : path
        Folder for records, logs and pictures; made if need be. May hold a part of the same study.
    work : path, optional
        Folder for checkpoints, SavedModels and phantoms, by default `results`/work.

    Raises
    ------
    CsmriError
        If a store is missing or lacks a split, a test subject is also trained on, the trainings do not fit the data, or
        `results` holds another study.
    """

    def __init__(self, study: Study, results: str | Path, work: str | Path | None = None) -> None:
        self.study, self.results = study, Path(results)
        self.work = Path(work) if work else self.results / WORK
        _refuse_other_study(study, self.results)
        self.pretrain_store, self.target_store = self._stores()
        _refuse_shared_subjects(self.pretrain_store, self.target_store)
        tested = [entry.subject for entry in self.target_store.of_split("test")]
        if study.example_subject and study.example_subject not in tested:
            raise CsmriError(f"example_subject = {study.example_subject!r} is no test subject; those are {tested}")
        self.stages = self._plan()

    def run(self, report: Callable[[str], None] = print) -> bool:
        """Do what is left of the plan.

        Returns
        -------
        bool
            False if nothing was left to do.
        """
        if self._is_merged():
            report(f"{self.results}: all {len(self.stages)} stages are done, nothing to do")
            return False
        self._describe()
        pace = self.measure_pace()
        report(self.plan_text(pace))
        for stage in self.stages:
            if stage.is_done():
                self._keep(stage)
                continue
            begun, left = time.monotonic(), pace.seconds_left(stage)
            report(f"\n{self.results}: seed {stage.seed}, {stage.name}, about {_duration(left)}")
            self._do(stage, report)
            self._keep(stage)
            keras.backend.clear_session()
            pace = self.corrected_pace(pace, stage, left, time.monotonic() - begun)
            report(self.plan_text(pace))
        self._merge()
        return True

    def measure_pace(self) -> Pace:
        """Time a few steps on noise of the right size, or read it from the log of a training that went before."""
        entry = self.target_store.of_split("train")[0]
        rng = np.random.default_rng(0)
        images = rng.random((1, *entry.matrix), np.float32)
        begun = time.monotonic()
        frame_quality(images, images + 0.01, entry.heart_box)
        quality = time.monotonic() - begun
        for stage in self.stages:
            if stage.config and stage.epochs_done():
                seconds = np.median([float(row["seconds"]) for row in read_log(stage.run / LOG)])
                return Pace(float(seconds) / stage.images, quality)
        config = self.study.stages()[STANDALONE]
        network = compiled_unet(config, 1)
        matrix = training_matrix(entry.matrix, config)
        batch = rng.random((config.batch_size, *matrix, 1), np.float32)
        arguments = batch, np.concatenate([batch, batch], axis=-1), np.ones_like(batch[..., 0])
        seconds = []
        for _ in range(4):
            begun = time.monotonic()
            network.train_on_batch(*arguments)
            seconds.append(time.monotonic() - begun)
        return Pace(min(seconds) / config.batch_size, quality)

    @staticmethod
    def corrected_pace(pace: Pace, stage: Stage, expected: float, took: float) -> Pace:
        """Learn from how long a training took; one that had hardly anything left tells nothing."""
        if stage.config is None or expected < 1:
            return pace
        return Pace(pace.image * took / expected, pace.quality)

    def plan_text(self, pace: Pace) -> str:
        """Tell every stage as done, running or left, and how long is left."""
        left = [pace.seconds_left(stage) for stage in self.stages]
        n_done = sum(stage.is_done() for stage in self.stages)
        head = f"{self.results}: {n_done} of {len(self.stages)} stages done"
        lines = [head + (f", about {_duration(sum(left))} left" if sum(left) else "")]
        for stage, seconds in zip(self.stages, left, strict=True):
            epochs = stage.epochs_done() if stage.config else 0
            state = DONE if stage.is_done() else RUNNING if epochs else LEFT
            amount = f"{stage.images:,} images"
            if stage.config:
                amount = f"{epochs} of {stage.config.epochs} epochs" if epochs else f"{stage.config.epochs} epochs"
            remaining = "" if state == DONE else f"about {_duration(seconds)}"
            lines.append(f"  {state:<8} seed {stage.seed:<3} {stage.name:<14} {amount:>18}  {remaining}".rstrip())
        return "\n".join(lines)

    # --- plan

    def _stores(self) -> tuple[Store, Store]:
        names = {key: getattr(self.study, key) for key in ("pretrain_store", "target_store")}
        if not any(names.values()):
            store = _phantom_store(self.study, self.work / "phantoms")
            return store, store
        paths = {key: Path(os.path.expandvars(name)) for key, name in names.items()}
        for key, path in paths.items():
            if not path.exists():
                raise CsmriError(f"{key} = {names[key]!r}: no such store; `csmri prepare SOURCE... {path}` makes one")
        return open_store(paths["pretrain_store"]), open_store(paths["target_store"])

    def _plan(self) -> tuple[Stage, ...]:
        stages = []
        n_tested = sum(entry.n_slices * entry.n_frames for entry in self.target_store.of_split("test"))
        n_tested *= len(self.study.evaluation_accelerations) * (1 + len(self.study.pretrain_at))
        configs = self.study.stages()
        images = {name: training_batches(self._store(config), config).n_frames for name, config in configs.items()}
        for seed in self.study.seeds:
            folder = self.work / f"seed_{seed}"
            origin = self.work / f"seed_{self.study.seeds[0]}" if self.study.pretrain_once else folder
            saved = origin / PRETRAIN / MODELS
            inits = {transfer_name(epoch): saved / f"epoch_{epoch:03d}" for epoch in self.study.pretrain_at}
            for name, config in configs.items():
                if name == PRETRAIN and origin != folder:
                    continue
                seeded = config.model_copy(update={"seed": seed})
                stages.append(Stage(seed, name, seeded, folder / name, inits.get(name), images[name]))
            stages.append(Stage(seed, EVALUATE, None, folder / RECORDS, images=n_tested))
        return tuple(stages)

    def _store(self, config: Config) -> Store:
        return self.pretrain_store if config.train_split == PRETRAIN else self.target_store

    # --- work

    def _do(self, stage: Stage, report: Callable[[str], None]) -> None:
        if stage.config:
            train(stage.config, self._store(stage.config), stage.run, init=stage.init, report=report)
        else:
            self._evaluate(stage)

    def _evaluate(self, stage: Stage) -> None:
        names = [name for name in self.study.stages() if name != PRETRAIN]
        correctors = [load_corrector(stage.run.parent / name / MODELS / FINAL, name=name) for name in names]
        tested = self.target_store.of_split("test")
        shown = next((entry for entry in tested if entry.subject == self.study.example_subject), tested[0])
        thirds = np.linspace(0, shown.n_slices - 1, N_EXAMPLE_SLICES + 2)[1:-1]
        slices = {round(position) for position in thirds}
        hidden = {ZERO_FILLED, *names[1:-1]}
        examples: list[Example] = []

        def keep(entry: Entry, index: int, acceleration: float, reference: Images, methods: dict[str, Images]) -> None:
            if entry is shown and index in slices and stage.seed == self.study.seeds[0]:
                visible = {name: images for name, images in methods.items() if name not in hidden}
                examples.append(Example(entry.subject, index, acceleration, reference, visible, entry.heart_box))

        results = evaluate(
            self.target_store,
            correctors,
            accelerations=self.study.evaluation_accelerations,
            seed=self.study.evaluation_seed,
            visit=keep,
        )
        # Zero-filling is no method of the paper's table.
        records = [record for some in results for record in some if record.method != ZERO_FILLED]
        if examples:
            write_examples(examples, self.results / EXAMPLES)
        write_records(records, stage.run.with_suffix(".partial"))
        stage.run.with_suffix(".partial").rename(stage.run)

    def _keep(self, stage: Stage) -> None:
        """Copy what is small of a finished training to the results."""
        if stage.config:
            destination = run_folder(self.results, stage.name, stage.seed)
            destination.mkdir(parents=True, exist_ok=True)
            for name in (LOG, CONFIG, RECORD):
                shutil.copyfile(stage.run / name, destination / name)

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


def _phantom_store(study: Study, path: Path) -> Store:
    """Open the phantoms of the study, or make them: York-like ones to pretrain on, K-like ones as the target."""
    if not path.exists():
        with StoreWriter(path) as writer:
            n_pretrain, n_train, n_test = study.phantom_subjects
            roles = [("york", i, PRETRAIN) for i in range(n_pretrain)]
            roles += [("k", i, "train" if i < n_train else "test") for i in range(n_train + n_test)]
            for domain, index, split in roles:
                size, n_slices = study.phantom_size, study.phantom_slices
                writer.add(make_subject(index, domain=domain, size=size, n_slices=n_slices), split)
    return open_store(path)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CsmriError(f"{path}: damaged; remove it and start the study again") from error
    return record


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes == 0:
        return f"{max(round(seconds), 1)} s"
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
