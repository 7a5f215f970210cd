"""One record per (subject, slice, frame, acceleration, method), one time per method and cine; averages come later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from csmri.config import EVALUATION_ACCELERATIONS, Sampling
from csmri.core.errors import CsmriError
from csmri.core.names import INITIAL, ZERO_FILLED
from csmri.data.records import UNTRAINED, Record, Timing
from csmri.data.store import Entry, Store
from csmri.evaluation.metrics import frame_quality
from csmri.kspace.fourier import fft_y
from csmri.kspace.sampling import check_acceleration
from csmri.reconstruction import Images, Reconstructor, simulate_slice


def evaluate(
    store: Store,
    reconstructors: Sequence[Reconstructor],
    *,
    split: str = "test",
    law: Sampling | None = None,
    accelerations: Sequence[float] = EVALUATION_ACCELERATIONS,
    seed: int = 0,
    visit: Callable[[Entry, int, float, Images, dict[str, Images]], None] | None = None,
) -> Iterator[tuple[list[Record], list[Timing]]]:
    """Undersample the subjects of a split, reconstruct them with every method on the same masks, and compare.

    Zero-filling and the initial reconstruction take part always. The first slice of every size is reconstructed once
    more, so that no time holds the compilation of a graph.

    Parameters
    ----------
    law : Sampling, optional
        Defaults to the one that the networks were trained with.
    visit : callable, optional
        Called with (entry, slice, acceleration, reference, images of every method) for whoever wants the images.

    Yields
    ------
    list of Record, list of Timing
        Of one (subject, slice, acceleration) at a time.

    Raises
    ------
    CsmriError
        If two methods have one name, networks differ in their sampling, or an acceleration is impossible.
    """
    law = law or common_law(reconstructors)
    check_names(reconstructors)
    entries = store.of_split(split)
    for entry in entries:
        for acceleration in accelerations:
            check_acceleration(acceleration, entry.matrix[0])
    return _measured(store, entries, reconstructors, law, accelerations, seed, visit)


def spread_slices(n_slices: int, n_shown: int) -> set[int]:
    """Choose at most so many slices to show, spread from base to apex without the ends; the middle one for 1."""
    return {round(position) for position in np.linspace(0, n_slices - 1, n_shown + 2)[1:-1]}


def check_names(reconstructors: Sequence[Reconstructor]) -> None:
    """Refuse methods that have one name, or that of a method which every comparison has."""
    names = [ZERO_FILLED, INITIAL, *(method.name for method in reconstructors)]
    if len(set(names)) < len(names):
        raise CsmriError(f"two methods have one name ({', '.join(names)}); rename the folder or give NAME=PATH")


def common_law(reconstructors: Sequence[Reconstructor], **changes: Any) -> Sampling:
    """The sampling that all networks were trained with, but for `changes`; the default where there is no network."""
    trained = [m.saved.config.model_dump(include=set(Sampling.model_fields)) for m in reconstructors if m.saved]
    laws = {Sampling(**{**fields, **changes}) for fields in trained or [{}]}
    if len(laws) > 1:
        raise CsmriError(
            f"the models were trained with different sampling ({' and '.join(str(law) for law in laws)}); "
            "choose one with --mask-law"
        )
    return laws.pop()


def _measured(
    store: Store,
    entries: Sequence[Entry],
    reconstructors: Sequence[Reconstructor],
    law: Sampling,
    accelerations: Sequence[float],
    seed: int,
    visit: Callable[[Entry, int, float, Images, dict[str, Images]], None] | None,
) -> Iterator[tuple[list[Record], list[Timing]]]:
    seeds = {method.name: method.saved.config.seed for method in reconstructors if method.saved}
    compiled = set()
    for entry in entries:
        for index, reference in enumerate(store.slices(entry)):
            simulate = partial(
                simulate_slice,
                fft_y(reference),
                seed=seed,
                subject=entry.subject,
                slice_index=index,
                law=law,
                reconstructors=reconstructors,
            )
            if reference.shape not in compiled:
                compiled.add(reference.shape)
                simulate(accelerations[0])
            for acceleration in accelerations:
                done = simulate(acceleration)
                if visit:
                    visit(entry, index, acceleration, reference, done.methods)
                records = [
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
                n_frames, n_y, n_x = reference.shape
                timings = [
                    Timing(entry.subject, index, acceleration, method, n_frames, n_y, n_x, seconds)
                    for method, seconds in done.seconds.items()
                ]
                yield records, timings
