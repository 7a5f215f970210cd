"""Studies of trainings: networks are tested seed by seed, beside the initial reconstruction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from csmri.config import Comparison
from csmri.core.names import INITIAL
from csmri.data.records import UNTRAINED, Item
from csmri.data.store import Store
from csmri.evaluation.evaluate import common_law, plan_items
from csmri.methods.reconstruction import baseline_reconstructor, load_reconstructor
from csmri.results.folder import table_path
from csmri.results.journal import Journal
from csmri.run.evaluation import EvaluationRun
from csmri.run.plan import Pace, Stage, measure_pace
from csmri.run.runner import PlanRun, items_in


class ComparisonRun(PlanRun):
    """What the studies of trainings share: networks are tested seed by seed, beside the initial reconstruction."""

    study: Comparison

    def pace(self) -> Pace:
        return measure_pace(self._target(), self.stages)

    def evaluation(
        self,
        name: str,
        seed: int,
        seeds: Mapping[str, int],
        *,
        store: Store | None = None,
        split: str = "test",
        records: str,
        images: int,
    ) -> Stage:
        """Stage that tests trained networks, by name with the seeds of their trainings, on a split of the target.

        `store` is the target as a fold sees it.
        """
        entries = (store or self._target()).of_split(split)
        items = plan_items(entries, {INITIAL: UNTRAINED, **seeds}, self.study.evaluation_accelerations)

        def is_finished() -> bool:
            return {item.as_kept for item in items} <= items_in(table_path(self.results, records))

        return Stage(name, seed, images=images, is_finished=is_finished)

    def evaluate(
        self,
        models: Mapping[str, Path],
        *,
        store: Store | None = None,
        split: str = "test",
        records: str,
        is_example: Callable[[Item], bool] = lambda item: False,
    ) -> None:
        """Evaluate SavedModels, by name, on a split of the target's store, and keep every item when it is done.

        `store` is the target as a fold sees it.
        """
        networks = [load_reconstructor(model, name=name) for name, model in models.items()]
        law = common_law(networks)
        journal = Journal(self.results, records=records, timings="")
        run = EvaluationRun(
            journal,
            store or self._target(),
            # Zero-filling is no method of the paper's table.
            [baseline_reconstructor(INITIAL), *networks],
            split=split,
            law=law,
            accelerations=self.study.evaluation_accelerations,
            seed=self.study.evaluation_seed,
            is_example=is_example,
        )
        self.follow(run)
        journal.finish(run.items)
