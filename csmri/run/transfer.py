"""Ways to transfer, with few and with more target subjects, against each other; tested on target and source."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from csmri.config import Network, TransferStudy, read_transfer_study
from csmri.core.errors import CsmriError
from csmri.core.names import PRETRAIN, STANDALONE, split_way
from csmri.data.store import Entry, Store
from csmri.learning.stream import training_stream
from csmri.learning.train import FINAL, MODELS
from csmri.methods.model import describe_saved_model, saved_model_folder, saved_model_sha256
from csmri.results.folder import RECORDS, SOURCE_RECORDS, TRANSFER_STUDY
from csmri.run.comparison import ComparisonRun
from csmri.run.plan import Stage, n_images
from csmri.run.runner import open_named

ON_TARGET, ON_SOURCE = "evaluate target", "evaluate source"
TESTS = {ON_TARGET: ("test", RECORDS), ON_SOURCE: ("validation", SOURCE_RECORDS)}
"""Evaluation -> split of the store that it tests on, and table of its records."""


class TransferRun(ComparisonRun):
    """A study of ways to transfer bound to its store and folders; all that can be refused is refused on making it.

    Raises
    ------
    CsmriError
        If store or init is missing or does not fit, trainings do not fit the data, or `results` holds another study.
    """

    study: TransferStudy
    file = TRANSFER_STUDY

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
        self.stages = (*self._plan(), self.drawing())

    def read(self, path: Path) -> TransferStudy:
        return read_transfer_study(path)

    def stores(self) -> dict[str, Store]:
        return {"store": self.store}

    def subjects(self) -> dict[str, tuple[Entry, ...]]:
        names = {entry.split for entry in self.store.entries}
        return {split: self.store.of_split(split) for split in sorted(names)}

    def made_of(self) -> dict[str, Any]:
        return super().made_of() | ({"weights of init": saved_model_sha256(self.init)} if self.init else {})

    def do(self, stage: Stage) -> None:
        # The network that all start from is the same for all seeds.
        models = {PRETRAIN: self._pretrained()} if stage.seed == self.study.seeds[0] else {}
        folder = self.work / f"seed_{stage.seed}"
        models |= {name: folder / name / MODELS / FINAL for name in self.study.stages() if name != PRETRAIN}
        split, records = TESTS[stage.name]
        self.evaluate(models, split=split, records=records)

    def _plan(self) -> Iterator[Stage]:
        """List the stages in order; refuses trainings that do not fit the data."""
        study, configs = self.study, self.study.stages()
        images = {name: training_stream(self.store, config).n_frames for name, config in configs.items()}
        tested = {name: n_images(self.store.of_split(split)) for name, (split, _) in TESTS.items()}
        first = study.seeds[0]
        for seed in study.seeds:
            folder = self.work / f"seed_{seed}"
            for name, config in configs.items():
                if name == PRETRAIN and seed != first:
                    continue
                way = split_way(name)
                start = None if way is None or way[0] == STANDALONE else self._pretrained()
                seeded = config.model_copy(update={"seed": seed})
                yield Stage(name, seed, seeded, folder / name, start, images[name])
            of_pretrained = describe_saved_model(self.init).config.seed if self.init else first
            seeds = {PRETRAIN: of_pretrained} if seed == first else {}
            seeds |= dict.fromkeys([name for name in configs if name != PRETRAIN], seed)
            for name, (split, records) in TESTS.items():
                n_tested = tested[name] * len(study.evaluation_accelerations) * len(configs)
                yield self.evaluation(name, seed, seeds, split=split, records=records, images=n_tested)

    def _pretrained(self) -> Path:
        """SavedModel that all transfers start from: the one named, or of the study's own pretraining."""
        if self.init:
            return self.init
        epochs = self.study.stages()[PRETRAIN].epochs
        return self.work / f"seed_{self.study.seeds[0]}" / PRETRAIN / MODELS / f"epoch_{epochs:03d}"


def _checked_init(study: TransferStudy) -> Path:
    path = saved_model_folder(os.path.expandvars(study.init))
    held = describe_saved_model(path).config
    for name in Network.model_fields:
        if getattr(held, name) != getattr(study, name):
            raise CsmriError(
                f"init = {study.init!r}: has {name} = {getattr(held, name)!r}, not {getattr(study, name)!r}"
            )
    return path
