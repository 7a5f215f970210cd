"""The paper's comparison: pretraining, standalone learning, transfers and their evaluation, seed by seed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from csmri.config import Config, Study, read_study
from csmri.core.errors import CsmriError
from csmri.core.names import PRETRAIN, ZERO_FILLED, transfer_name
from csmri.data.folds import leave_one_out
from csmri.data.records import Item
from csmri.data.runs import LOG
from csmri.data.store import Entry, Store, StoreWriter, open_store
from csmri.evaluation.evaluate import spread_slices
from csmri.learning.stream import training_stream
from csmri.learning.train import FINAL, MODELS
from csmri.phantom import make_subject, subject_shape
from csmri.results.folder import RECORDS, STUDY, run_folder
from csmri.run.comparison import ComparisonRun
from csmri.run.plan import EVALUATE, PHANTOMS, Pace, Stage, measure_pace, n_images, plan_text
from csmri.run.runner import open_named

N_EXAMPLE_SLICES = 3
Made = dict[tuple[str, Path, tuple[str, ...], Path | None], Path]
"""Config, store, subjects and start of a training -> its folder."""


class StudyRun(ComparisonRun):
    """The paper's study bound to its stores and folders; everything that can be refused is refused on making it.

    Where it names no stores, the first stage makes phantoms in `work`. A training that `made` has is not planned in a
    folder of its own; those that it lacks are added to it.

    Raises
    ------
    CsmriError
        If a store is missing or lacks a split, a test subject is also trained on, the trainings do not fit the data, or
        `results` holds another study.
    """

    study: Study
    file, cosmetic = STUDY, ("caption", "example_subject")

    def __init__(
        self,
        study: Study,
        results: str | Path,
        work: str | Path | None = None,
        *,
        report: Callable[[str], None] = print,
        made: Made | None = None,
    ) -> None:
        super().__init__(study, results, work, report=report)
        self._made: Made = {} if made is None else made
        self.phantoms = None if study.target_store else self.work / "phantoms"
        self._open_stores()
        for target in self.targets.values():
            _refuse_shared_subjects(self.pretrain_store, target)
        tested = [entry.subject for entry in self._tested()]
        if study.example_subject and study.example_subject not in tested:
            raise CsmriError(f"example_subject = {study.example_subject!r} is no test subject; those are {tested}")
        self.stages = (*self._plan(), self.drawing())

    def read(self, path: Path) -> Study:
        return read_study(path)

    def plan(self) -> str:
        if self.phantoms is None or self.phantoms.exists():
            return super().plan()
        with tempfile.TemporaryDirectory() as folder:  # one of them tells the pace
            _make_phantoms(self.study, Path(folder) / "store", only="train")
            return plan_text(str(self.results), self.stages, measure_pace(open_store(f"{folder}/store"), self.stages))

    def pace(self) -> Pace:
        return measure_pace(next(iter(self.targets.values())), self.stages)

    def stores(self) -> dict[str, Store]:
        return {"pretrain_store": self.pretrain_store, "target_store": self.target_store}

    def subjects(self) -> dict[str, tuple[Entry, ...]]:
        pretrained = {PRETRAIN: self.pretrain_store.of_split(PRETRAIN)}
        if self.study.fold_subjects:
            trained = {f"train of seed {seed}": store.of_split("train") for seed, store in self.targets.items()}
            return {**pretrained, **trained, "test": self._tested()}
        return pretrained | {split: self.target_store.of_split(split) for split in ("train", "test")}

    def store_of(self, stage: Stage) -> Store:
        if stage.name == PRETRAIN:
            return self.pretrain_store
        assert stage.seed is not None
        return self.targets[stage.seed]

    def do(self, stage: Stage) -> None:
        if stage.name == PHANTOMS:
            assert self.phantoms
            self.report(f"{self.phantoms}: making {sum(self.study.phantom_subjects)} phantoms")
            _make_phantoms(self.study, self.phantoms)
            return self._open_stores()
        assert stage.seed is not None
        names, store = [name for name in self.study.stages() if name != PRETRAIN], self.targets[stage.seed]
        tested = self._tested()
        shown = next((entry for entry in tested if entry.subject == self.study.example_subject), tested[0])
        # One network's images: those of the first seed, or of the fold that the subject is tested in.
        of_seed = next(seed for seed, one in self.targets.items() if shown in one.of_split("test"))
        slices = spread_slices(shown.n_slices, N_EXAMPLE_SLICES)
        hidden = {ZERO_FILLED, *names[1:-1]}

        def is_example(item: Item) -> bool:
            return (
                stage.seed == of_seed
                and item.subject == shown.subject
                and item.slice in slices
                and item.method not in hidden
            )

        models = {
            one.name: one.run / MODELS / FINAL for one in self.stages if one.seed == stage.seed and one.name in names
        }
        return self.evaluate(models, store=store, records=RECORDS, is_example=is_example)

    def _open_stores(self) -> None:
        """Open, or plan, the stores, and the target as every seed sees it: the same for all, or a fold each."""
        if self.phantoms is None:
            self.pretrain_store, self.target_store = (
                open_named(key, getattr(self.study, key)) for key in ("pretrain_store", "target_store")
            )
        else:
            made = self.phantoms.exists()
            self.pretrain_store = self.target_store = (
                open_store(self.phantoms) if made else Store(self.phantoms, tuple(_planned_phantoms(self.study)))
            )
        self.targets: dict[int, Store] = dict.fromkeys(self.study.seeds, self.target_store)
        if self.study.fold_subjects:
            self.targets = dict(
                enumerate(leave_one_out(self.target_store, self.study.fold_subjects), self.study.seeds[0])
            )

    def _tested(self) -> tuple[Entry, ...]:
        """Subjects of all seeds' or folds' tests, each once, in the order of the store."""
        return tuple(dict.fromkeys(entry for store in self.targets.values() for entry in store.of_split("test")))

    def _plan(self) -> Iterator[Stage]:
        """List the stages in order; refuses trainings that do not fit the data."""
        study, configs = self.study, self.study.stages()
        if self.phantoms:
            n_phantoms = n_images(self.target_store.entries)
            yield Stage(PHANTOMS, images=n_phantoms, is_finished=self.phantoms.exists)
        evaluations = {seed: self._evaluation_of(seed) for seed in self.targets}
        for seed, target in self.targets.items():
            fold = evaluations[seed].tested
            own = seed in study.pretraining_seeds
            pretrained = seed if own else study.pretraining_seeds[0]
            saved = self._run(PRETRAIN, configs[PRETRAIN], self.pretrain_store, pretrained) / MODELS
            inits = {transfer_name(epoch): saved / f"epoch_{epoch:03d}" for epoch in study.pretrain_at}
            for name, config in configs.items():
                if name == PRETRAIN and not own:
                    continue
                store = self.pretrain_store if name == PRETRAIN else target
                init, seeded = inits.get(name), config.model_copy(update={"seed": seed})
                images = training_stream(store, config).n_frames
                of_fold = "" if name == PRETRAIN else fold
                run = self._run(name, config, store, seed, init)
                training = Stage(name, seed, seeded, run, init, images, tested=of_fold)
                needed = [evaluations[one] for one in self.seeds_that_need(training)]
                yield replace(training, is_finished=partial(self._is_needless, training, needed))
            yield evaluations[seed]

    def _evaluation_of(self, seed: int) -> Stage:
        """Stage that tests what was trained with a seed, or for a fold."""
        study, store = self.study, self.targets[seed]
        seeds = dict.fromkeys([name for name in study.stages() if name != PRETRAIN], seed)
        tested = store.of_split("test")
        n_tested = n_images(tested) * len(study.evaluation_accelerations) * (1 + len(study.pretrain_at))
        evaluation = self.evaluation(EVALUATE, seed, seeds, store=store, records=RECORDS, images=n_tested)
        return replace(evaluation, tested=tested[0].subject if study.fold_subjects else "")

    def seeds_that_need(self, training: Stage) -> list[int]:
        """Seeds whose evaluation tests a training, or one that starts from it."""
        shared = training.name == PRETRAIN and self.study.pretrain_once
        return list(self.targets) if shared else [seed for seed in self.targets if seed == training.seed]

    def _is_needless(self, training: Stage, evaluations: Sequence[Stage]) -> bool:
        assert training.seed is not None
        kept = run_folder(self.results, training.name, training.seed) / LOG
        return kept.exists() and all(evaluation.is_finished() for evaluation in evaluations)

    def _run(self, name: str, config: Config, store: Store, seed: int, init: Path | None = None) -> Path:
        """Folder of a training."""
        subjects = tuple(entry.subject for entry in store.of_split(config.train_split))
        seeded = config.model_copy(update={"seed": seed})
        training = (seeded.model_dump_json(), store.path, subjects, init)
        return self._made.setdefault(training, self.work / f"seed_{seed}" / name)


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


def _roles(study: Study) -> list[tuple[str, int, str]]:
    """Domain, number and split of every phantom: York-like ones to pretrain on and K-like ones as the target."""
    n_pretrain, n_train, n_test = study.phantom_subjects
    roles = [("york", i, PRETRAIN) for i in range(n_pretrain)]
    return roles + [("k", i, "train" if i < n_train else "test") for i in range(n_train + n_test)]


def _planned_phantoms(study: Study) -> Iterator[Entry]:
    """Entries as the store will have them, but for what is known of images only."""
    for domain, index, split in _roles(study):
        subject, n_slices, n_frames = subject_shape(index, domain=domain, n_slices=study.phantom_slices)
        yield Entry.planned(subject, split, n_slices, n_frames, (study.phantom_size, study.phantom_size))


def _make_phantoms(study: Study, path: Path, only: str = "") -> None:
    """Make the phantoms of a study, or the first of one split."""
    roles = [role for role in _roles(study) if role[2] == (only or role[2])]
    with StoreWriter(path) as writer:
        for domain, index, split in roles[:1] if only else roles:
            size, n_slices = study.phantom_size, study.phantom_slices
            writer.add(make_subject(index, domain=domain, size=size, n_slices=n_slices), split)
