"""A study and its variants: what they have in common is trained once, and what each came to is kept in a few lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from csmri.config import AS_IT_IS, Study, read_study, write_config
from csmri.core.errors import CsmriError
from csmri.core.files import make_folder
from csmri.core.texts import read_json
from csmri.data.records import UNTRAINED, read_records
from csmri.data.runs import LOG, RECORD, read_log
from csmri.data.store import Entry, Store
from csmri.results.folder import RECORDS, VARIANTS, table_path
from csmri.results.variants import Variant, make_variant, variant_path, write_variant
from csmri.run.comparison import ComparisonRun
from csmri.run.paper import Made, StudyRun
from csmri.run.plan import Stage


class VariantsRun(ComparisonRun):
    """A study with variants, bound to its stores and folders; everything that can be refused is refused on making it.

    Checkpoints, models and records of every image stay in the work folder; the results are curves and mean errors.

    Raises
    ------
    CsmriError
        If a variant is refused by `StudyRun`, has no stores, or `results` holds another study.
    """

    study: Study
    file, cosmetic, growing = VARIANTS, ("caption", "example_subject"), ("[variants]",)

    def __init__(
        self,
        study: Study,
        results: str | Path,
        work: str | Path | None = None,
        *,
        report: Callable[[str], None] = print,
    ) -> None:
        super().__init__(study, results, work, report=report)
        made: Made = {}
        self._parts: dict[str, StudyRun] = {}
        for name, one in study.with_variants().items():
            if not one.target_store:
                raise CsmriError(f"variant {name!r} names no stores; variants of phantoms need prepared ones, too")
            try:
                self._parts[name] = StudyRun(one, self.work / name, report=report, made=made)
            except CsmriError as error:
                raise CsmriError(f"variant {name!r}: {error}") from error
        self._evaluations: dict[tuple[str, int], tuple[str, Stage]] = {}
        self._store_of_run: dict[Path, Store] = {}
        self.stages = (*self._plan(), self.drawing())

    def read(self, path: Path) -> Study:
        return read_study(path)

    def stores(self) -> Mapping[str, Store]:
        # Those of the study as it is: a further variant may bring others, which the records of its trainings guard.
        return self._parts[AS_IT_IS].stores()

    def subjects(self) -> Mapping[str, Sequence[Entry]]:
        return {f"{name}: {split}": e for name, part in self._parts.items() for split, e in part.subjects().items()}

    def store_of(self, stage: Stage) -> Store:
        return self._store_of_run[stage.run]

    def do(self, stage: Stage) -> None:
        assert stage.seed is not None
        name, own = self._evaluations[stage.name, stage.seed]
        part = self._parts[name]
        make_folder(part.results)
        write_config(part.study, part.results / part.file)
        part.do(own)
        write_variant(self._came_to(name, stage.seed), variant_path(self.results, name, stage.seed))

    def _keep(self, stage: Stage) -> None:
        """Nothing: what counts is kept when a variant has been evaluated."""

    def _came_to(self, name: str, seed: int) -> Variant:
        part = self._parts[name]
        trainings = [one for one in part.stages if one.config and one.seed == seed]
        logs = {one.name: read_log(one.run / LOG) for one in trainings}
        runs = {one.name: read_json(one.run / RECORD) for one in trainings}
        records = read_records(table_path(part.results, RECORDS))
        return make_variant(name, seed, logs, runs, [one for one in records if one.seed in (seed, UNTRAINED)])

    def _plan(self) -> Iterator[Stage]:
        """List all stages seed by seed, so that a study that is stopped has whole seeds."""
        found = [(name, part, stage) for name, part in self._parts.items() for stage in part.stages]
        kept_by = self._kept_by()
        listed = set()
        for seed in self.study.seeds:
            for name, part, stage in found:
                if stage.seed != seed or stage.run in listed:
                    continue
                titled = replace(stage, name=f"{name}: {stage.name}")
                if stage.config:
                    listed.add(stage.run)
                    self._store_of_run[stage.run] = part.store_of(stage)
                    yield replace(titled, is_finished=partial(_all_exist, kept_by[stage.run]))
                else:
                    self._evaluations[titled.name, seed] = name, stage
                    yield replace(titled, is_finished=variant_path(self.results, name, seed).exists)

    def _kept_by(self) -> dict[Path, list[Path]]:
        """Folder of every training -> what is kept of all variants that need it."""
        found: dict[Path, list[Path]] = {}
        for name, part in self._parts.items():
            for stage in part.stages:
                if stage.config:
                    paths = [variant_path(self.results, name, seed) for seed in part.seeds_that_need(stage)]
                    found.setdefault(stage.run, []).extend(paths)
        return found


def _all_exist(paths: Sequence[Path]) -> bool:
    return all(path.exists() for path in paths)
