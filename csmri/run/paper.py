"""The paper's comparison: pretraining, standalone learning, transfers and their evaluation, seed by seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from csmri.config import Study, read_study
from csmri.core.errors import CsmriError
from csmri.core.names import PRETRAIN, ZERO_FILLED
from csmri.data.store import Entry, Store, StoreWriter, open_store
from csmri.evaluation.evaluate import spread_slices
from csmri.phantom import make_subject
from csmri.reconstruction import Images
from csmri.results.folder import EXAMPLES, RECORDS, STUDY, Example, write_examples
from csmri.run.plan import EVALUATE, Stage, make_plan
from csmri.run.runner import PlanRun, open_named, write_whole
from csmri.training import FINAL, MODELS

N_EXAMPLE_SLICES = 3


class StudyRun(PlanRun):
    """The paper's study bound to its stores and folders; everything that can be refused is refused on making it.

    Where it names no stores, phantoms are made in `work`.

    Raises
    ------
    CsmriError
        If a store is missing or lacks a split, a test subject is also trained on, the trainings do not fit the data, or
        `results` holds another study.
    """

    study: Study
    file, merged, cosmetic = STUDY, {RECORDS: EVALUATE}, ("caption", "example_subject")

    def __init__(
        self,
        study: Study,
        results: str | Path,
        work: str | Path | None = None,
        *,
        report: Callable[[str], None] = print,
    ) -> None:
        super().__init__(study, results, work, report=report)
        self.pretrain_store, self.target_store = self._open_stores()
        _refuse_shared_subjects(self.pretrain_store, self.target_store)
        tested = [entry.subject for entry in self.target_store.of_split("test")]
        if study.example_subject and study.example_subject not in tested:
            raise CsmriError(f"example_subject = {study.example_subject!r} is no test subject; those are {tested}")
        self.stages = make_plan(study, self.pretrain_store, self.target_store, self.work)

    def read(self, path: Path) -> Study:
        return read_study(path)

    def stores(self) -> dict[str, Store]:
        return {"pretrain_store": self.pretrain_store, "target_store": self.target_store}

    def subjects(self) -> dict[str, tuple[Entry, ...]]:
        splits = {split: self.target_store.of_split(split) for split in ("train", "test")}
        return {PRETRAIN: self.pretrain_store.of_split(PRETRAIN), **splits}

    def store_of(self, stage: Stage) -> Store:
        return self.pretrain_store if stage.name == PRETRAIN else self.target_store

    def do(self, stage: Stage) -> None:
        names = [name for name in self.study.stages() if name != PRETRAIN]
        tested = self.target_store.of_split("test")
        shown = next((entry for entry in tested if entry.subject == self.study.example_subject), tested[0])
        slices = spread_slices(shown.n_slices, N_EXAMPLE_SLICES)
        hidden = {ZERO_FILLED, *names[1:-1]}
        examples: list[Example] = []

        def keep(entry: Entry, index: int, acceleration: float, reference: Images, methods: dict[str, Images]) -> None:
            if entry is shown and index in slices and stage.seed == self.study.seeds[0]:
                visible = {name: images for name, images in methods.items() if name not in hidden}
                examples.append(Example(entry.subject, index, acceleration, reference, visible, entry.heart_box))

        records = self.evaluated({name: stage.run.parent / name / MODELS / FINAL for name in names}, visit=keep)
        if examples:
            write_examples(examples, self.results / EXAMPLES)
        write_whole(records, stage.run)

    def _open_stores(self) -> tuple[Store, Store]:
        names = {key: getattr(self.study, key) for key in ("pretrain_store", "target_store")}
        if not any(names.values()):
            path = self.work / "phantoms"
            if not path.exists():
                self.report(f"{path}: making {sum(self.study.phantom_subjects)} phantoms")
                _make_phantoms(self.study, path)
            store = open_store(path)
            return store, store
        pretrain, target = (open_named(key, name) for key, name in names.items())
        return pretrain, target


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
