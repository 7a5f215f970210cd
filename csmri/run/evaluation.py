"""An evaluation in a results folder: what is done is kept at once and never done again, nothing else is replaced."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from csmri.config import Sampling
from csmri.core.errors import CsmriError
from csmri.core.files import make_folder
from csmri.core.names import INITIAL, THIS, ZERO_FILLED
from csmri.core.provenance import git_revision, processor, published_path, versions
from csmri.core.texts import read_json, write_json
from csmri.data.records import Item
from csmri.data.store import Store, extents_of
from csmri.evaluation.evaluate import evaluate, plan_items, seeds_of
from csmri.methods.classical import find_method
from csmri.methods.limits import Tally
from csmri.methods.model import saved_model_name, saved_model_sha256
from csmri.methods.reconstruction import MethodSpec, Reconstructor
from csmri.results.folder import EVALUATION, refuse_other_experiment
from csmri.results.journal import Journal
from csmri.run.evaluation_work import EvaluationWork, evaluated_by
from csmri.run.executors import Executor

IDENTITY = ("store_sha256", "split", "sampling", "seed", "heart_boxes")
"""What all records of an evaluation have in common."""


def describe_evaluation(
    store: Store, methods: Sequence[Reconstructor], *, split: str, law: Sampling, seed: int
) -> dict[str, Any]:
    """Tell what an evaluation is of: data, masks, every method, and the machine that times are of."""
    models = {}
    for method in methods:
        if method.saved is None:
            continue
        config = method.saved.config
        models[method.name] = {
            "path": published_path(saved_model_name(method.saved.path)),
            "weights_sha256": saved_model_sha256(method.saved.path),
            "epoch": method.saved.epoch,
            "network": config.network,
            "consistency": config.consistency,
        }
        if config.consistency == "soft":
            models[method.name]["consistency_weight"] = config.consistency_weight
    # Those that every comparison has take no settings.
    classical = [m.name for m in methods if m.saved is None and m.name not in (ZERO_FILLED, INITIAL)]
    return {
        "git_revision": git_revision(),
        "versions": versions(),
        "processor": processor(),
        "models": models,
        "baselines": {name: asdict(own) if (own := find_method(name).settings) else {} for name in classical},
        "parameters": {method.name: method.n_parameters for method in methods},
        "store": published_path(store.path),
        "store_sha256": store.sha256,
        "split": split,
        "subjects": [entry.subject for entry in store.of_split(split)],
        "heart_boxes": [list(entry.heart_box) for entry in store.of_split(split)],
        "extents": extents_of(store.of_split(split)),
        "sampling": law.model_dump(),
        "seed": seed,
    }


def begin_evaluation(folder: Path, description: Mapping[str, Any]) -> None:
    """Write what an evaluation is of, or add methods to the evaluation of the same that a folder holds.

    Raises
    ------
    CsmriError
        If the folder holds another experiment, or another method by one of these names.
    """
    refuse_other_experiment(folder, EVALUATION)
    before = read_json(folder / EVALUATION)
    description = json.loads(json.dumps(description))  # as it will be read back
    for name in IDENTITY:
        if name == "sampling" and name in before:
            # An older csmri did not simulate what it does not name.
            before[name] = Sampling(**before[name]).model_dump()
        held, given = (_that_matters(name, one.get(name)) for one in (before, description))
        if name in before and held != given:
            told = _difference(name, held, given)
            raise CsmriError(f"{folder}: holds an evaluation with {told}; choose another --out")
    for kind in ("models", "baselines"):
        for method, what in before.get(kind, {}).items():
            given = description[kind].get(method, what)
            # Where it lies is no matter, and an older csmri did not have what it does not name.
            if any(given.get(name) != value for name, value in what.items() if name != "path"):
                raise CsmriError(
                    f"{folder}: holds records of another {method!r}; give this one another name (NAME=MODEL), "
                    "or choose another --out"
                )
    merged = {**description, **before}
    for kind in ("models", "baselines", "parameters"):
        merged[kind] = {**before.get(kind, {}), **description[kind]}
    made_with = {name: description[name] for name in ("git_revision", "versions", "processor")}
    if before and any(before.get(name) != value for name, value in made_with.items()):
        others = before.get("continued_with", [])
        merged["continued_with"] = others if made_with in others else [*others, made_with]
    make_folder(folder)
    write_json(folder / EVALUATION, merged)


def _that_matters(name: str, value: Any) -> Any:
    """Leave out of a sampling how strong a phase would be that is not simulated; networks bring other numbers along."""
    if name != "sampling" or not isinstance(value, dict) or value.get("phase", "none") != "none":
        return value
    return {key: one for key, one in value.items() if not key.startswith("phase_")}


def _difference(name: str, held: Any, given: Any) -> str:
    """Tell what differs, of a table its fields alone."""
    if isinstance(held, dict) and isinstance(given, dict):
        fields = [key for key in {**held, **given} if held.get(key) != given.get(key)]
        return ", ".join(_difference(f"{name} {key}", held.get(key), given.get(key)) for key in fields)
    return f"{name} = {held!r}, not {given!r}"


class EvaluationRun:
    """Work items of some methods on one acquisition, and the journal that keeps them.

    Parameters
    ----------
    journal : Journal
    store, methods, split, law, accelerations, seed, slices, acquisition, allow_trained_subjects
        As for `evaluation.evaluate`.
    is_example : callable
        Tells the items whose images are kept for figures.
    executor : Executor, optional
        Who does the work, by `specs`, the methods as data; by default this process, whose seconds alone are those of a
        machine that does nothing else.

    Raises
    ------
    CsmriError
        As `evaluation.evaluate`.
    """

    def __init__(
        self,
        journal: Journal,
        store: Store,
        methods: Sequence[Reconstructor],
        *,
        split: str,
        law: Sampling,
        accelerations: Sequence[float],
        seed: int,
        slices: Collection[int] = (),
        acquisition: str = "",
        is_example: Callable[[Item], bool] = lambda item: False,
        allow_trained_subjects: bool = False,
        executor: Executor | None = None,
        specs: Sequence[MethodSpec] = (),
    ) -> None:
        self.journal, self._tally = journal, Tally()
        self._is_example = is_example
        self.items = plan_items(
            store.of_split(split), seeds_of(methods), accelerations, slices=slices, acquisition=acquisition
        )
        done = journal.done - journal.without_images(filter(is_example, self.items))
        self.left = [item for item in self.items if item.as_kept not in done]
        options: dict[str, Any] = {
            "split": split,
            "accelerations": tuple(accelerations),
            "seed": seed,
            "slices": tuple(slices),
            "acquisition": acquisition,
            "allow_trained_subjects": allow_trained_subjects,
        }
        if executor is None or executor.kind == THIS:
            self._evaluated = evaluate(store, methods, law=law, skip=done, **options)
        else:
            work = EvaluationWork(
                store=os.path.abspath(store.path), methods=tuple(specs), options=tuple(options.items()), law=law
            )
            self._evaluated = evaluated_by(executor, work, self.left, is_example=is_example, folder=journal.folder)

    def do(self) -> Iterator[Item]:
        """Do what is left, keep each item when it is done, and tell it."""
        for evaluated in self._evaluated:
            item = evaluated.outcome.item
            self.journal.keep(evaluated, as_example=self._is_example(item))
            self._tally.add((item.subject, item.slice), evaluated.outside)
            yield item

    def notes(self) -> list[str]:
        """What methods were not trained or tuned for, of the items done here; those kept before do not tell."""
        return self._tally.notes()
