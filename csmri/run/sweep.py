"""Methods x settings x acquisitions: trainings where a method has some, then one evaluation of everything."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from csmri.config import Config, Setting, Sweep, SweptMethod, make_config, read_config, read_sweep_config
from csmri.core.errors import CsmriError
from csmri.core.names import INITIAL, ZERO_FILLED
from csmri.data.records import UNTRAINED
from csmri.data.store import Entry, Store
from csmri.evaluation.evaluate import plan_items, with_direct
from csmri.learning.stream import training_stream
from csmri.learning.train import FINAL, MODELS
from csmri.methods.classical import find_method
from csmri.methods.model import (
    Origin,
    describe_saved_model,
    saved_model_folder,
    saved_model_sha256,
    write_saved_model,
)
from csmri.methods.reconstruction import Reconstructor, baseline_reconstructor, load_reconstructor, with_consistency
from csmri.methods.task import task_of
from csmri.physics.sampling import check_acceleration
from csmri.results.folder import RECORDS, SWEEP, table_path
from csmri.results.journal import Journal
from csmri.run.evaluation import EvaluationRun
from csmri.run.plan import EVALUATE, Pace, Stage, measure_pace
from csmri.run.runner import PlanRun, items_in, open_named


@dataclass(frozen=True)
class _Trained:
    """A method of the sweep whose network is made in the work folder; several trials may share one."""

    name: str
    config: Config
    run: Path
    init: Path | None
    is_trained: bool
    after: Mapping[str, Any] = field(default_factory=dict)
    """Data consistency of the trial, which is no part of its training."""


class SweepRun(PlanRun):
    """A sweep bound to its store and folders; everything that can be refused is refused on making it.

    Raises
    ------
    CsmriError
        If store, model or config is missing, a method has no such setting, trainings do not fit the data, or `results`
        holds another sweep.
    """

    study: Sweep
    file = SWEEP
    growing = ("[acquisitions]", "[methods]")

    def __init__(
        self,
        sweep: Sweep,
        results: str | Path,
        work: str | Path | None = None,
        *,
        report: Callable[[str], None] = print,
    ) -> None:
        super().__init__(sweep, results, work, report=report)
        self.store = open_named("store", sweep.store)
        self.entries = self.store.of_split(sweep.split)
        for entry in self.entries:
            for acceleration in sweep.accelerations:
                for acquisition in sweep.acquisitions.values():
                    check_acceleration(acceleration, entry.matrix[0], acquisition)
        self._trained = {name: self._training(name, *trial) for name, trial in sweep.trials().items()}
        self._seeds = {ZERO_FILLED: UNTRAINED, INITIAL: UNTRAINED}
        self._seeds |= {name: self._seed(name, method) for name, (method, _) in sweep.trials().items()}
        self.items = [
            item
            for acquisition in sweep.acquisitions
            for item in plan_items(
                self.entries, self._seeds, sweep.accelerations, slices=sweep.slices, acquisition=acquisition
            )
        ]
        if not self.items:
            raise CsmriError(f"slices = {list(sweep.slices)}: no subject of {self.store.path} has one of them")
        self.stages = (*self._plan(), self.drawing())

    def read(self, path: Path) -> Sweep:
        return read_sweep_config(path)

    def stores(self) -> dict[str, Store]:
        return {"store": self.store}

    def subjects(self) -> dict[str, Sequence[Entry]]:
        return {self.study.split: self.entries}

    def made_of(self) -> dict[str, Any]:
        """Networks that the sweep does not train itself; the trainings' own folders tell what they were."""
        networks: dict[str, Any] = {}
        for name, (method, _) in self.study.trials().items():
            made = self._trained[name]
            if method.model:
                networks[f"weights of {name}"] = saved_model_sha256(os.path.expandvars(method.model))
            elif made and not made.is_trained:
                networks[f"network of {name}"] = made.config.model_dump(mode="json")
        return super().made_of() | networks

    def pace(self) -> Pace:
        trains = any(stage.config for stage in self.stages)
        return measure_pace(self.store, self.stages) if trains else Pace(0.0, 0.0)

    def do(self, stage: Stage) -> None:
        journal, methods = Journal(self.results), list(self._methods())
        for name, acquisition in self.study.acquisitions.items():
            run = EvaluationRun(
                journal,
                self.store,
                with_direct(methods),
                split=self.study.split,
                law=acquisition,
                accelerations=self.study.accelerations,
                seed=self.study.seed,
                slices=self.study.slices,
                acquisition=name,
            )
            self.follow(run)
            for note in run.notes():
                self.report(f"note: {name}: {note}")
        journal.finish(self.items)

    def _plan(self) -> Iterator[Stage]:
        for one in {one.name: one for one in self._trained.values() if one and one.is_trained}.values():
            images = training_stream(self.store, one.config).n_frames
            yield Stage(one.name, one.config.seed, one.config, one.run, one.init, images)
        n_frames = {entry.subject: entry.n_frames for entry in self.entries}
        n_judged = sum(n_frames[item.subject] for item in self.items)
        yield Stage(EVALUATE, images=n_judged, is_finished=self._is_evaluated)

    def _is_evaluated(self) -> bool:
        return {item.as_kept for item in self.items} <= items_in(table_path(self.results, RECORDS))

    def _training(self, name: str, method: SweptMethod, own: Mapping[str, Setting]) -> _Trained | None:
        path = method.train or method.untrained
        if not path:
            if not method.model:
                find_method(method.method or name.split(" ")[0]).changed(own)
            return None
        where, config = f"[methods.{name}]", read_config(os.path.expandvars(path))
        _refuse_values_of_lists(config, own, where=where)
        later = {key: value for key, value in own.items() if key in method.after_training}
        trained = {key: value for key, value in own.items() if key not in later}
        config = make_config({**config.model_dump(), **trained}, where=where)
        with_consistency(config, where, **later)  # refused now, not after the training
        init = saved_model_folder(os.path.expandvars(method.init)) if method.init else None
        method_name = name.removesuffix(method.suffix(own)).rstrip()
        name = f"{method_name} {method.suffix(own, without=later)}".rstrip()
        run = self.work / re.sub(r"[^\w.@+=-]", "_", name)
        return _Trained(name, config, run, init, bool(method.train), later)

    def _seed(self, name: str, method: SweptMethod) -> int:
        if made := self._trained[name]:
            return made.config.seed
        return describe_saved_model(os.path.expandvars(method.model)).config.seed if method.model else UNTRAINED

    def _methods(self) -> Iterator[Reconstructor]:
        for name, (method, own) in self.study.trials().items():
            if made := self._trained[name]:
                folder = made.run / MODELS / FINAL
                if not made.is_trained and not folder.exists():
                    network = task_of(made.config).build()
                    write_saved_model(network, folder, config=made.config, epoch=0, origin=Origin(is_complete=True))
                yield load_reconstructor(folder, name=name, **made.after)
            elif method.model:
                yield load_reconstructor(os.path.expandvars(method.model), name=name, **own)  # type: ignore[arg-type]
            else:
                yield baseline_reconstructor(method.method or name.split(" ")[0], settings=own, label=name)


def _refuse_values_of_lists(config: Config, own: Mapping[str, Setting], *, where: str) -> None:
    for key, value in own.items():
        if isinstance(getattr(config, key, None), tuple) and not isinstance(value, list):
            raise CsmriError(
                f"{where}: {key} = {value!r} is one value, and {key} is a list; in settings a list is tried value by "
                f"value, so that one of lists is needed: {key} = [[{value!r}, ...]]"
            )
