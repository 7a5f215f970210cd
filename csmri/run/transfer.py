"""Ways to transfer, with few and with more target subjects, against each other; tested on target and source."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from csmri.config import Network, TransferStudy, read_transfer_study
from csmri.core.errors import CsmriError
from csmri.core.names import PRETRAIN, STANDALONE, split_way
from csmri.data.store import Entry, Store
from csmri.results.folder import RECORDS, SOURCE_RECORDS, TRANSFER_STUDY
from csmri.run.plan import Stage
from csmri.run.runner import PlanRun, open_named, write_whole
from csmri.training import FINAL, MODELS, make_batches
from csmri.weights import describe_saved_model, saved_model_folder

ON_TARGET, ON_SOURCE = "evaluate target", "evaluate source"
SPLITS = {ON_TARGET: "test", ON_SOURCE: "validation"}
"""Evaluation -> split of the store that it tests on."""


class TransferRun(PlanRun):
    """A study of ways to transfer bound to its store and folders; all that can be refused is refused on making it.

    Raises
    ------
    CsmriError
        If store or init is missing or does not fit, trainings do not fit the data, or `results` holds another study.
    """

    study: TransferStudy
    file, merged = TRANSFER_STUDY, {RECORDS: ON_TARGET, SOURCE_RECORDS: ON_SOURCE}

    def __init__(
        self,
        study: TransferStudy,
        results: str | Path,
        work: str | Path | None = None,
        *,
        report: Callable[[str], None] = print,
    ) -> None:
        super().__init__(study, results, work, report=report)
        self.store = open_named("store", study.store)
        self.init = _checked_init(study) if study.init else None
        self.stages = make_transfer_plan(study, self.store, self.work, self.init)

    def read(self, path: Path) -> TransferStudy:
        return read_transfer_study(path)

    def stores(self) -> dict[str, Store]:
        return {"store": self.store}

    def subjects(self) -> dict[str, tuple[Entry, ...]]:
        names = {entry.split for entry in self.store.entries}
        return {split: self.store.of_split(split) for split in sorted(names)}

    def do(self, stage: Stage) -> None:
        first = stage.seed == self.study.seeds[0]
        # The network that all start from is the same for all seeds.
        models = {PRETRAIN: self.init or pretrained(self.study, self.work)} if first else {}
        models |= {name: stage.run.parent / name / MODELS / FINAL for name in self.study.stages() if name != PRETRAIN}
        write_whole(self.evaluated(models, split=SPLITS[stage.name]), stage.run)


def make_transfer_plan(study: TransferStudy, store: Store, work: Path, init: Path | None) -> tuple[Stage, ...]:
    """List the stages of the study in order; refuses trainings that do not fit the data."""
    configs = study.stages()
    images = {name: make_batches(store, config).n_frames for name, config in configs.items()}
    tested = {
        name: sum(entry.n_slices * entry.n_frames for entry in store.of_split(split)) for name, split in SPLITS.items()
    }
    stages = []
    for seed in study.seeds:
        folder = work / f"seed_{seed}"
        for name, config in configs.items():
            if name == PRETRAIN and seed != study.seeds[0]:
                continue
            way = split_way(name)
            start = None if way is None or way[0] == STANDALONE else init or pretrained(study, work)
            seeded = config.model_copy(update={"seed": seed})
            stages.append(Stage(seed, name, seeded, folder / name, start, images[name]))
        for name, file in {ON_TARGET: RECORDS, ON_SOURCE: SOURCE_RECORDS}.items():
            n_tested = tested[name] * len(study.evaluation_accelerations) * len(configs)
            stages.append(Stage(seed, name, None, folder / file, images=n_tested))
    return tuple(stages)


def pretrained(study: TransferStudy, work: Path) -> Path:
    """SavedModel of the study's own pretraining."""
    return work / f"seed_{study.seeds[0]}" / PRETRAIN / MODELS / f"epoch_{study.pretrain.epochs:03d}"


def _checked_init(study: TransferStudy) -> Path:
    path = saved_model_folder(os.path.expandvars(study.init))
    held = describe_saved_model(path).config
    for name in Network.model_fields:
        if getattr(held, name) != getattr(study, name):
            raise CsmriError(
                f"init = {study.init!r}: has {name} = {getattr(held, name)!r}, not {getattr(study, name)!r}"
            )
    return path
