"""One record per (subject, slice, frame, acceleration, method); averages are made later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from csmri.config import EVALUATION_ACCELERATIONS, Sampling
from csmri.errors import CsmriError
from csmri.kspace.fourier import fft_y
from csmri.kspace.sampling import check_acceleration
from csmri.reconstruction import (
    INITIAL,
    ZERO_FILLED,
    Corrector,
    Images,
    frame_quality,
    simulate_slice,
)
from csmri.records import UNTRAINED, Record
from csmri.store import Entry, Store


def evaluate(
    store: Store,
    correctors: Sequence[Corrector],
    *,
    split: str = "test",
    law: Sampling | None = None,
    accelerations: Sequence[float] = EVALUATION_ACCELERATIONS,
    seed: int = 0,
    visit: Callable[[Entry, int, float, Images, dict[str, Images]], None] | None = None,
) -> Iterable[list[Record]]:
    """Undersample the subjects of a split, reconstruct them with every method on the same masks, and compare.

    Parameters
    ----------
    law : Sampling, optional
        Defaults to the one that the networks were trained with.
    visit : callable, optional
        Called with (entry, slice, acceleration, reference, images of every method) for whoever wants the images.

    Yields
    ------
    list of Record
        Of one (subject, slice, acceleration) at a time.

    Raises
    ------
    CsmriError
        If two networks have one name, differ in their sampling, or an acceleration is impossible.
    """
    law = law or common_law(correctors)
    check_names(correctors)
    entries = store.of_split(split)
    for entry in entries:
        for acceleration in accelerations:
            check_acceleration(acceleration, entry.matrix[0])
    return _records(store, entries, tuple(correctors), law, accelerations, seed, visit)


def spread_slices(n_slices: int, n_shown: int) -> set[int]:
    """Choose at most so many slices to show, spread from base to apex without the ends; the middle one for 1."""
    return {round(position) for position in np.linspace(0, n_slices - 1, n_shown + 2)[1:-1]}


def check_names(correctors: Sequence[Corrector]) -> None:
    """Refuse networks that have one name, or as a method that needs no network."""
    names = [ZERO_FILLED, INITIAL, *(corrector.name for corrector in correctors)]
    if len(set(names)) < len(names):
        raise CsmriError(f"two methods have one name ({', '.join(names)}); rename the folder or give NAME=PATH")


def common_law(correctors: Sequence[Corrector], **changes: Any) -> Sampling:
    """The sampling that all networks were trained with, but for `changes`; the default where there is no network."""
    trained = [corrector.saved.config.model_dump(include=set(Sampling.model_fields)) for corrector in correctors]
    laws = {Sampling(**{**fields, **changes}) for fields in trained or [{}]}
    if len(laws) > 1:
        raise CsmriError(
            f"the models were trained with different sampling ({' and '.join(str(law) for law in laws)}); "
            "choose one with --mask-law"
        )
    return laws.pop()


def _records(
    store: Store,
    entries: Sequence[Entry],
    correctors: tuple[Corrector, ...],
    law: Sampling,
    accelerations: Sequence[float],
    seed: int,
    visit: Callable[[Entry, int, float, Images, dict[str, Images]], None] | None,
) -> Iterable[list[Record]]:
    seeds = {corrector.name: corrector.saved.config.seed for corrector in correctors}
    for entry in entries:
        for index, reference in enumerate(store.slices(entry)):
            hybrid = fft_y(reference)
            for acceleration in accelerations:
                done = simulate_slice(
                    hybrid,
                    acceleration,
                    seed=seed,
                    subject=entry.subject,
                    slice_index=index,
                    law=law,
                    correctors=correctors,
                )
                if visit:
                    visit(entry, index, acceleration, reference, done.methods)
                yield [
                    Record(
                        entry.subject,
                        index,
                        frame,
                        acceleration,
                        done.achieved,
                        method,
                        seeds.get(method, UNTRAINED),
                        **quality,
                    )
                    for method, images in done.methods.items()
                    for frame, quality in enumerate(frame_quality(reference, images, entry.heart_box))
                ]
