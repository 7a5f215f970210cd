"""How many examples an epoch of a training has, of what size, and which subjects it cannot take."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from csmri.config import BLENDED, Config
from csmri.core.errors import CsmriError
from csmri.core.names import SELF_SUPERVISED
from csmri.data.store import Entry
from csmri.learning.examples import laws_of
from csmri.methods.task import Task
from csmri.physics.sampling import NEVER_HELD_OUT, check_acceleration, lines_per_frame


def count(task: Task, entries: Sequence[Entry]) -> tuple[int, int, int, tuple[int, ...]]:
    """Count the batches, the images and the examples (images or cines) of an epoch, and the images of each matrix."""
    config = task.config
    variants = len(config.accelerations) * config.passes
    if task.takes_cines:
        n_cines = sum(entry.n_slices for entry in entries) * variants
        if config.images_per_epoch > n_cines:
            raise CsmriError(
                f"images_per_epoch = {config.images_per_epoch} is more than the {n_cines} cines of an epoch"
            )
        n_cines = config.images_per_epoch or n_cines
        return math.ceil(n_cines / config.batch_size), round(n_cines * mean_frames(entries)), n_cines, ()
    frames_of: Counter[tuple[int, int]] = Counter()
    for entry in entries:
        frames_of[task.matrix(*entry.matrix)] += entry.n_slices * entry.n_frames * variants
    if config.images_per_epoch and len(frames_of) > 1:
        raise CsmriError(
            f"images_per_epoch = {config.images_per_epoch} needs subjects of one matrix; padded, these have "
            f"{_listed(frames_of)}"
        )
    if config.images_per_epoch > frames_of.total():
        raise CsmriError(
            f"images_per_epoch = {config.images_per_epoch} is more than the {frames_of.total()} of a whole epoch"
        )
    if config.images_per_epoch:
        frames_of = Counter(dict.fromkeys(frames_of, config.images_per_epoch))
    n_batches = sum(math.ceil(n / config.batch_size) for n in frames_of.values())
    return n_batches, frames_of.total(), frames_of.total(), tuple(frames_of.values())


def mean_frames(entries: Sequence[Entry]) -> float:
    """Mean number of frames of a slice."""
    return sum(entry.n_slices * entry.n_frames for entry in entries) / sum(entry.n_slices for entry in entries)


def sizes_of(entries: Sequence[Entry], config: Config) -> tuple[tuple[int, int], tuple[int, int]]:
    """Least and largest number of frames, and of pixels along a side, of what is trained on; crops do not count."""
    frames = [entry.n_frames for entry in entries]
    sides = [side for entry in entries for side in entry.matrix]
    least, most = config.resolution_range
    return (min(frames), max(frames)), (int(least * min(sides)), int(most * max(sides)))


def check_sizes(task: Task, entries: Sequence[Entry], sources: Sequence[Entry] = ()) -> None:
    """Refuse what the smallest subject is too small for, and sources of another size than the target's."""
    config, everyone = task.config, (*entries, *sources)
    kept = config.resolution_range[0]
    n_ky = int(kept * min(min(entry.matrix) if config.augment else entry.matrix[0] for entry in everyone))
    for law in laws_of(config):
        for acceleration in config.accelerations:
            check_acceleration(acceleration, n_ky, law)
            n_lines = int(lines_per_frame(n_ky, acceleration, law))
            if config.loss == SELF_SUPERVISED and n_lines <= NEVER_HELD_OUT:
                raise CsmriError(
                    f"acceleration {acceleration:g} leaves {n_lines} of {n_ky} lines per frame, and the "
                    f"{NEVER_HELD_OUT} central ones are never held out for the self-supervised loss; lower it"
                )
    n_x = int(kept * min(min(entry.matrix) if config.augment else entry.matrix[1] for entry in everyone))
    if config.crop_columns > n_x:
        raise CsmriError(
            f"crop_columns = {config.crop_columns} is more than the {n_x} columns of the narrowest subject"
        )
    target, origin = ({task.matrix(*entry.matrix) for entry in some} for some in (entries, sources))
    if sources and not task.takes_cines and len(target | origin) > 1:
        raise CsmriError(
            f"transfer = {BLENDED!r} needs source and target of one matrix; padded, the source's are "
            f"{_listed(origin)}, the target's {_listed(target)}"
        )


def _listed(matrices: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"{y}x{x}" for y, x in sorted(matrices))
