"""Methods on the same masks, one work item (subject, slice, acceleration, method) at a time; averages come later."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmri.config import EVALUATION_ACCELERATIONS, Sampling
from csmri.config.base import checked
from csmri.core.errors import CsmriError
from csmri.core.names import INITIAL, ZERO_FILLED
from csmri.data.records import UNTRAINED, Item, Outcome
from csmri.data.store import Entry, Store
from csmri.evaluation.metrics import frame_quality
from csmri.methods.limits import Outside, Traits
from csmri.methods.model import trained_on
from csmri.methods.reconstruction import Reconstructor, baseline_reconstructor
from csmri.physics.sampling import check_acceleration
from csmri.physics.simulate import acquire, simulated_mask, simulated_slice

CHOSEN = ("mask_law", "phase", "coils", "snr")
"""Fields of the sampling that commands have an option for."""
HELD_OUT = ("validation", "test")
"""Splits whose subjects no network should have been trained on."""


@dataclass(frozen=True, eq=False)
class Evaluated:
    """The outcome of one work item, and the magnitude images (frame, y, x) that it was judged by."""

    outcome: Outcome
    entry: Entry
    reference: NDArray[np.float32]
    images: NDArray[np.float32]
    outside: tuple[Outside, ...] = ()
    """What the method was not trained or tuned for."""


def evaluate(
    store: Store,
    methods: Sequence[Reconstructor],
    *,
    split: str = "test",
    law: Sampling | None = None,
    accelerations: Sequence[float] = EVALUATION_ACCELERATIONS,
    seed: int = 0,
    slices: Collection[int] = (),
    acquisition: str = "",
    skip: Collection[Item] = (),
    allow_trained_subjects: bool = False,
) -> Iterator[Evaluated]:
    """Undersample the subjects of a split, reconstruct them with every method on the same masks, and compare.

    The first item of every size and method is reconstructed twice, so that no time holds the compilation of a graph.

    Parameters
    ----------
    law : Sampling, optional
        Defaults to the one that the networks were trained with; also what phase, coils and noise are simulated.
    slices : collection of int
        Slices to take, of those that a subject has; all if empty.
    acquisition : str
        Name of law and what else is simulated, where several are compared.
    skip : collection of Item
        What is done already, `Item.as_kept`.
    allow_trained_subjects : bool
        Whether a network may be judged on subjects that it was trained on, of a split that is none of training.

    Raises
    ------
    CsmriError
        If two methods have one name, networks differ in their sampling, an acceleration is impossible, or a network was
        trained on a subject that it is to be judged on.
    """
    law = law or common_law(methods)
    check_evaluation(
        store,
        methods,
        split=split,
        law=law,
        accelerations=accelerations,
        allow_trained_subjects=allow_trained_subjects,
    )
    entries = store.of_split(split)
    items = plan_items(entries, seeds_of(methods), accelerations, slices=slices, acquisition=acquisition)
    left = {item for item in items if item.as_kept not in skip}
    return _evaluated(store, entries, methods, law, accelerations, seed, acquisition, left)


def check_evaluation(
    store: Store,
    methods: Sequence[Reconstructor],
    *,
    split: str,
    law: Sampling,
    accelerations: Sequence[float],
    allow_trained_subjects: bool = False,
) -> None:
    """Refuse what `evaluate` would refuse, before anything is written."""
    check_names(methods)
    subjects = [entry.subject for entry in store.of_split(split)]
    for method in methods if split in HELD_OUT and not allow_trained_subjects else ():
        if method.saved and (known := trained_on(method.saved, subjects)):
            raise CsmriError(
                f"{method.name}: was trained on {', '.join(known)} of split {split!r}, so that its errors there say "
                "nothing; leave these subjects out of the split (csmri evaluate takes --allow-trained-subjects)"
            )
    for entry in store.of_split(split):
        for acceleration in accelerations:
            check_acceleration(acceleration, entry.matrix[0], law)


def with_direct(methods: Sequence[Reconstructor]) -> list[Reconstructor]:
    """Zero-filling and the initial reconstruction, which every comparison has, and these methods."""
    return [*(baseline_reconstructor(name) for name in (ZERO_FILLED, INITIAL)), *methods]


def seeds_of(methods: Sequence[Reconstructor]) -> dict[str, int]:
    """Name of every method -> seed of its training."""
    return {method.name: method.saved.config.seed if method.saved else UNTRAINED for method in methods}


def plan_items(
    entries: Sequence[Entry],
    seeds: dict[str, int],
    accelerations: Sequence[float],
    *,
    slices: Collection[int] = (),
    acquisition: str = "",
) -> list[Item]:
    """List the work items of an evaluation in order; `seeds` as `seeds_of` gives it."""
    return [
        Item(entry.subject, index, acceleration, method, seed, acquisition)
        for entry in entries
        for index in range(entry.n_slices)
        if not slices or index in slices
        for acceleration in accelerations
        for method, seed in seeds.items()
    ]


def spread_slices(n_slices: int, n_shown: int) -> set[int]:
    """Choose at most so many slices to show, spread from base to apex without the ends; the middle one for 1."""
    return {round(position) for position in np.linspace(0, n_slices - 1, min(n_shown, n_slices) + 2)[1:-1]}


def check_names(methods: Sequence[Reconstructor]) -> None:
    """Refuse methods that have one name."""
    names = [method.name for method in methods]
    if len(set(names)) < len(names):
        raise CsmriError(
            f"two methods have one name ({', '.join(names)}); rename the folder or give a name (NAME=PATH, or name=)"
        )


def common_law(methods: Sequence[Reconstructor], **changes: Any) -> Sampling:
    """The sampling that all networks were trained with, but for `changes`; the default where there is no network."""
    trained = [m.saved.config.model_dump(include=set(Sampling.model_fields)) for m in methods if m.saved]
    laws = {checked(Sampling, {**fields, **changes}, "simulation") for fields in trained or [{}]}
    if len(laws) > 1:
        differ = {name: sorted({getattr(law, name) for law in laws}) for name in Sampling.model_fields}
        told = [f"{name} = {' and '.join(map(repr, found))}" for name, found in differ.items() if len(found) > 1]
        options = [f"{n} (--{n.replace('_', '-')})" for n, found in differ.items() if len(found) > 1 and n in CHOSEN]
        advice = f"choose {', '.join(options)}" if len(options) == len(told) else "evaluate them one by one"
        raise CsmriError(f"the models were trained with different sampling: {', '.join(told)}; {advice}")
    return laws.pop()


def _evaluated(
    store: Store,
    entries: Sequence[Entry],
    methods: Sequence[Reconstructor],
    law: Sampling,
    accelerations: Sequence[float],
    seed: int,
    acquisition: str,
    left: set[Item],
) -> Iterator[Evaluated]:
    compiled = set()
    seeds, places = seeds_of(methods), {(item.subject, item.slice) for item in left}
    for entry in entries:
        if not any(subject == entry.subject for subject, _ in places):
            continue  # without reading it
        for index, images in enumerate(store.slices(entry)):
            if (entry.subject, index) not in places:
                continue
            reference = np.abs(images)
            place: dict[str, Any] = {"seed": seed, "subject": entry.subject, "slice_index": index}
            full = simulated_slice(images, law, **place)
            for acceleration in accelerations:
                mask = simulated_mask(law, shape=images.shape[:2], acceleration=acceleration, **place)
                sampled = acquire(full, mask)
                achieved, traits = float(mask.size / mask.sum()), Traits(sampled, law.mask_law)
                for method in methods:
                    item = Item(entry.subject, index, acceleration, method.name, seeds[method.name], acquisition)
                    if item not in left:
                        continue
                    if (method.name, images.shape) not in compiled:
                        compiled.add((method.name, images.shape))
                        method.reconstruct(sampled)
                    begun = time.perf_counter()
                    reconstructed = method.magnitude(sampled)
                    seconds = time.perf_counter() - begun
                    quality = frame_quality(reference, reconstructed, entry.heart_box)
                    outcome = Outcome(item, achieved, seconds, images.shape[1:], quality)
                    yield Evaluated(outcome, entry, reference, reconstructed, tuple(method.outside(traits)))
