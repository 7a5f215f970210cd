"""From a store to the examples of one training, whatever the network: simulated acquisitions, in an order drawn anew.

What is shuffled are numbers; a slice is read when its turn comes. Every random draw, the order too, is derived from
(seed, epoch, subject, slice, acceleration, pass), so a restart at epoch n continues exactly as an uninterrupted run
would have, whatever the number of threads and TensorFlow's global seed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import tensorflow as tf

from csmri.config import BLENDED, Config
from csmri.core.errors import CsmriError
from csmri.core.names import PRETRAIN, SELF_SUPERVISED
from csmri.core.seeds import derive_seed, subject_key
from csmri.data.store import Entry, Store, parse_slice, record_at
from csmri.learning.conditions import draw_conditions
from csmri.methods.task import Example, Task, task_of
from csmri.physics.fourier import image_to_kspace, kspace_to_image
from csmri.physics.sampling import NEVER_HELD_OUT, check_acceleration, hold_out, lines_per_frame, make_mask
from csmri.physics.simulate import Conditions, acquire, measure, with_phase_of

VALIDATION_EPOCH = -1

Item = dict[str, tf.Tensor]
"""One (slice, acceleration, pass): what its draws are derived from, and where its record lies."""

plain = tf.autograph.experimental.do_not_convert
"""Traces a function as it stands: there is no Python `if` of a tensor here, and looking for one takes seconds."""


class Draw(IntEnum):
    """What a random draw is for; keeps, say, the mask of an item independent of its augmentation."""

    AUGMENTATION = 0
    MASK = 1
    ITEM_ORDER = 2
    FRAME_ORDER = 3
    CROP = 4
    LAW = 5
    BLEND = 6
    ACQUISITION = 7
    CONDITIONS = 8
    RESOLUTION = 9
    HELD_OUT = 10


@dataclass(frozen=True)
class Stream:
    """A data set of batches of a task's examples: (inputs, target), frame by frame or cine by cine."""

    make: Callable[[], tf.data.Dataset]
    n_batches: int
    """Per epoch."""
    n_frames: int
    """Images per epoch; of whole cines drawn at random, what is to be expected."""

    @cached_property
    def dataset(self) -> tf.data.Dataset:
        """Made when asked for: TensorFlow takes seconds to trace it, and a plan needs but the numbers."""
        return self.make()


def training_stream(store: Store, config: Config, *, source: Store | None = None, first_epoch: int = 0) -> Stream:
    """Batches of all epochs from `first_epoch` on, one after the other.

    Parameters
    ----------
    source : Store, optional
        Whose split `pretrain` is blended in where that is the way to transfer, by default that of `store`. An epoch has
        as many images then as of the target alone.
    """
    entries, sources = training_subjects(store, config, source)
    task = task_of(config)
    check_sizes(task, entries, sources)
    n_batches, n_frames, n_examples = count(task, entries)
    # Items of target and source are blended, so that they must be of one kind.
    as_complex = any(entry.complex for entry in (*entries, *sources))
    turns = max(1, round(config.shuffle_frames / mean_frames(entries)))

    def every_epoch() -> tf.data.Dataset:
        target, origin = table_of(store, entries), table_of(source or store, sources)

        @plain
        def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            items = shuffled_items(target, config, epoch)
            if sources:
                blend_in = shuffled_items(origin, config, epoch)
                items = blended(items, blend_in, config.source_share(epoch), config.seed, epoch)
            examples = examples_of(items.take(n_examples), epoch, task, as_complex=as_complex, turns=turns)
            return batched(examples.take(n_examples), task, entries)

        return tf.data.Dataset.range(first_epoch, config.epochs).flat_map(of_epoch).prefetch(tf.data.AUTOTUNE)

    return Stream(every_epoch, n_batches, n_frames)


def validation_stream(store: Store, config: Config) -> Stream:
    """Batches of the validation split: whole, no augmentation, one pass, the same masks every time, in order."""
    assert config.validation_split
    entries = store.of_split(config.validation_split)
    config = config.model_copy(update={"augment": False, "passes": 1, "images_per_epoch": 0, "crop_columns": 0})
    task, epoch = task_of(config), tf.constant(VALIDATION_EPOCH, tf.int64)
    check_sizes(task, entries)
    n_batches, n_frames, _ = count(task, entries)

    def whole() -> tf.data.Dataset:
        table = table_of(store, entries)
        numbers = tf.data.Dataset.range(n_items(table, config))
        items = numbers.map(plain(lambda number: item_of(number, table, config)))
        as_complex = any(entry.complex for entry in entries)
        return batched(examples_of(items, epoch, task, as_complex=as_complex, turns=0), task, entries).prefetch(
            tf.data.AUTOTUNE
        )

    return Stream(whole, n_batches, n_frames)


def training_subjects(
    store: Store, config: Config, source: Store | None = None
) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Choose who is trained on: of the split the first `config.train_subjects` or all; and those blended in, if any."""
    entries = store.of_split(config.train_split)
    if config.train_subjects > len(entries):
        raise CsmriError(
            f"train_subjects = {config.train_subjects} is more than the {len(entries)} of split "
            f"{config.train_split!r} in {store.path}"
        )
    sources = (source or store).of_split(PRETRAIN) if config.transfer == BLENDED else ()
    return entries[: config.train_subjects or None], sources


# --- items: numbers, until their turn comes


def table_of(store: Store, entries: Sequence[Entry]) -> Item:
    """Every slice of these subjects: whose it is, and where its record lies."""
    rows = [
        (store.shard(entry), subject_key(entry.subject), index, offset)
        for entry in entries
        for index, offset in enumerate(store.offsets(entry))
    ]
    shards, *numbers = zip(*rows, strict=True) if rows else [()] * 4
    names = ("subject_key", "slice", "offset")
    columns = {name: tf.constant(column, tf.int64) for name, column in zip(names, numbers, strict=True)}
    return {"shard": tf.constant(shards, tf.string), **columns}


def n_items(table: Item, config: Config) -> int:
    """Count the (slice, pass, acceleration) of an epoch."""
    return int(table["slice"].shape[0]) * config.passes * len(config.accelerations)


def item_of(number: tf.Tensor, table: Item, config: Config) -> Item:
    """Item of a number below `n_items`: accelerations change first, then passes, then slices."""
    n_accelerations = len(config.accelerations)
    index, variant = number // n_accelerations, number % n_accelerations
    return {
        **{name: column[index // config.passes] for name, column in table.items()},
        "pass": index % config.passes,
        "acceleration_index": variant,
        "acceleration": tf.constant(config.accelerations, tf.float32)[variant],
    }


def shuffled_items(table: Item, config: Config, epoch: tf.Tensor) -> tf.data.Dataset:
    """All items of an epoch in random order."""
    order = permutation(n_items(table, config), derive_seed(config.seed, Draw.ITEM_ORDER, epoch))
    return tf.data.Dataset.from_tensor_slices(order).map(plain(lambda number: item_of(number, table, config)))


def permutation(n: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw an order of the numbers below n."""
    drawn = tf.random.stateless_uniform([n], seed, None, None, tf.int64, alg="philox")
    return tf.cast(tf.argsort(drawn, stable=True), tf.int64)


def blended(
    target: tf.data.Dataset, source: tf.data.Dataset, share: tf.Tensor, seed: int, epoch: tf.Tensor
) -> tf.data.Dataset:
    """Endless items of two kinds, each of them the next of the source with probability `share`, else of the target.

    The choice is derived from (seed, epoch, place in the stream); whichever ends first begins again.
    """

    def choice(place: tf.Tensor) -> tf.Tensor:
        drawn = tf.random.stateless_uniform([], derive_seed(seed, Draw.BLEND, epoch, place), alg="philox")
        return tf.cast(drawn < tf.cast(share, tf.float32), tf.int64)

    places = tf.data.Dataset.counter()
    return tf.data.Dataset.choose_from_datasets([target.repeat(), source.repeat()], places.map(choice))


# --- examples


def examples_of(
    items: tf.data.Dataset, epoch: tf.Tensor, task: Task, *, as_complex: bool, turns: int
) -> tf.data.Dataset:
    """Examples of items, a cine each, or frame by frame where the task takes frames.

    `turns` cines take turns then, each with its frames in random order; 0 leaves all frames as they follow each other.
    """

    def example(item: Item) -> Example:
        record = record_at(item["shard"], item["offset"])
        made = make_example(parse_slice(record, as_complex=as_complex), item, epoch, task)
        if task.takes_cines or not turns:
            return made
        order = permutation(tf.shape(made[1])[0], item_seed(Draw.FRAME_ORDER, item, epoch, task.config))
        return tf.nest.map_structure(lambda frames: tf.gather(frames, order), made)

    examples = items.map(plain(example), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    if task.takes_cines:
        return examples
    return examples.interleave(plain(lambda *example: tf.data.Dataset.from_tensor_slices(example)), max(1, turns))


def batched(examples: tf.data.Dataset, task: Task, entries: Sequence[Entry]) -> tf.data.Dataset:
    """Batches of examples of one size, which TensorFlow is told where it is that of all subjects."""
    if task.takes_cines:
        return examples.batch(1, drop_remainder=True)
    batch_size, matrices = task.config.batch_size, {task.matrix(*entry.matrix) for entry in entries}
    if len(matrices) == 1:
        (matrix,) = matrices
        return examples.map(
            lambda inputs, target: (
                tf.ensure_shape(inputs, (*matrix, inputs.shape[-1])),
                tf.ensure_shape(target, (*matrix, target.shape[-1])),
            )
        ).batch(batch_size)
    return examples.group_by_window(
        key_func=lambda inputs, target: tf.cast(tf.shape(target)[0] * 65536 + tf.shape(target)[1], tf.int64),
        reduce_func=lambda key, bucket: bucket.batch(batch_size),
        window_size=batch_size,
    )


def make_example(images: tf.Tensor, item: Item, epoch: tf.Tensor, task: Task) -> Example:
    """Augment a cine (frame, y, x), acquire and undersample it, and make of it what the network is trained on."""
    config = task.config
    if config.loss == SELF_SUPERVISED:
        return split_example(images, item, epoch, task)
    if config.augment:
        images = augment(images, item_seed(Draw.AUGMENTATION, item, epoch, config))
    if config.resolution_range[0] < 1:
        images = resample(images, item_seed(Draw.RESOLUTION, item, epoch, config), config.resolution_range)
    mask, crop = draw_mask(images, item, epoch, config), random_crop(images, item, epoch, config)
    truth, conditions, seed = draw_truth(images, item, epoch, config)
    if not task.takes_cines:  # the U-net is told the maximum of the whole image
        return task.example(measure(truth, conditions, seed=seed), mask, truth, crop=crop)
    full = measure(truth, conditions, seed=seed, crop=crop)
    return task.example(full, mask, crop(truth), crop=tf.identity)


def split_example(images: tf.Tensor, item: Item, epoch: tf.Tensor, task: Task) -> Example:
    """Acquire the lines of one scan, the same in every epoch and pass, and hold out others of them each time.

    Nothing else reaches the network or its loss: neither a line that the scan has not, nor the images. Scans are
    simulated of fully sampled cines, as a store has no others: undersampled ones of a scanner cannot be trained on
    yet. The maps of the coils are the true ones; noise is known or not as the conditions say.
    """
    config = task.config
    scan, always = {**item, "pass": tf.zeros_like(item["pass"])}, tf.zeros_like(epoch)
    mask = draw_mask(images, scan, always, config)
    truth, conditions, seed = draw_truth(images, scan, always, config)
    # Whole, and cropped later, so that a column has the same noise wherever it lies in the crop.
    measured = acquire(measure(truth, conditions, seed=seed), mask)
    held_out = hold_out(mask, config.held_out_share, item_seed(Draw.HELD_OUT, item, epoch, config))
    crop = random_crop(images, item, epoch, config)
    return task.example(measured, mask & ~held_out, None, crop=crop)


def draw_truth(
    images: tf.Tensor, item: Item, epoch: tf.Tensor, config: Config
) -> tuple[tf.Tensor, Conditions, tf.Tensor]:
    """Give a cine (frame, y, x) phase and first frame; with the conditions and the seed of its acquisition."""
    seed = item_seed(Draw.ACQUISITION, item, epoch, config)
    conditions = draw_conditions(config, seed=item_seed(Draw.CONDITIONS, item, epoch, config))
    if config.real_time_share:
        first = tf.random.stateless_uniform([], seed, 0, tf.shape(images)[0], tf.int32, alg="philox")
        images = tf.roll(images, tf.where(conditions.cyclic, 0, first), axis=0)
    return with_phase_of(images, conditions, seed=seed), conditions, seed


def item_seed(purpose: Draw, item: Item, epoch: tf.Tensor, config: Config) -> tf.Tensor:
    """Seed of a draw for one item."""
    parts = epoch, item["subject_key"], item["slice"], item["acceleration_index"], item["pass"]
    return derive_seed(config.seed, purpose, *parts)


def augment(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Flip left-right, flip up-down and rotate by 90 degrees a whole cine (frame, y, x), each with probability 1/2."""
    flip_x, flip_y, rotate = tf.unstack(tf.random.stateless_uniform([3], seed, alg="philox") < 0.5)
    images = tf.cond(flip_x, lambda: tf.reverse(images, [2]), lambda: images)
    images = tf.cond(flip_y, lambda: tf.reverse(images, [1]), lambda: images)
    return tf.cond(rotate, lambda: tf.reverse(tf.linalg.matrix_transpose(images), [1]), lambda: images)


def resample(images: tf.Tensor, seed: tf.Tensor, shares: Sequence[float]) -> tf.Tensor:
    """Keep the middle of k-space of a cine (frame, y, x), a share of it in y and x drawn between two.

    A magnitude stays one. The energy of the kept lines stays, so that the fewer pixels are the brighter.
    """
    least, most = shares
    share = tf.random.stateless_uniform([], seed, least, most, alg="philox")
    matrix = tf.shape(images)[1:]
    # An even number of lines less, so that DC stays where it is.
    less = 2 * tf.cast(tf.cast(matrix, tf.float32) * (1 - share) / 2, tf.int32)
    first = matrix // 2 - (matrix - less) // 2
    kspace = image_to_kspace(tf.cast(images, tf.complex64))
    kept = kspace[:, first[0] : first[0] + matrix[0] - less[0], first[1] : first[1] + matrix[1] - less[1]]
    smaller = kspace_to_image(kept)
    return smaller if images.dtype.is_complex else tf.abs(smaller)


def random_crop(images: tf.Tensor, item: Item, epoch: tf.Tensor, config: Config) -> Callable[[tf.Tensor], tf.Tensor]:
    """Choose `crop_columns` neighbouring columns of a cine (frame, y, x), and how to cut them out."""
    n, seed = config.crop_columns, item_seed(Draw.CROP, item, epoch, config)
    if not n:
        return tf.identity
    first = tf.random.stateless_uniform([], seed, 0, tf.shape(images)[2] - n + 1, tf.int32, alg="philox")
    return lambda values: values[..., first : first + n]


def draw_mask(images: tf.Tensor, item: Item, epoch: tf.Tensor, config: Config) -> tf.Tensor:
    """Mask (frame, ky) for the images of an item, by the config's law or, with `both_laws`, by one of both."""
    n_frames, n_ky = tf.unstack(tf.shape(images)[:2])
    seed = item_seed(Draw.MASK, item, epoch, config)

    def drawn(law: Config) -> tf.Tensor:
        return make_mask(seed, n_frames, n_ky, item["acceleration"], law)

    if not config.both_laws:
        return drawn(config)
    chosen = tf.random.stateless_uniform([], item_seed(Draw.LAW, item, epoch, config), alg="philox") < 0.5
    gaussian, schlemper = laws_of(config)
    return tf.cond(chosen, lambda: drawn(gaussian), lambda: drawn(schlemper))


def laws_of(config: Config) -> list[Config]:
    """The config once for every law that masks are drawn by."""
    names = ("gaussian", "schlemper") if config.both_laws else (config.mask_law,)
    return [config.model_copy(update={"mask_law": name}) for name in names]


# --- numbers of an epoch, and what cannot be


def count(task: Task, entries: Sequence[Entry]) -> tuple[int, int, int]:
    """Count the batches, the images and the examples (images or cines) of an epoch."""
    config = task.config
    variants = len(config.accelerations) * config.passes
    if task.takes_cines:
        n_cines = sum(entry.n_slices for entry in entries) * variants
        if config.images_per_epoch > n_cines:
            raise CsmriError(
                f"images_per_epoch = {config.images_per_epoch} is more than the {n_cines} cines of an epoch"
            )
        n_cines = config.images_per_epoch or n_cines
        return n_cines, round(n_cines * mean_frames(entries)), n_cines
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
    return n_batches, frames_of.total(), frames_of.total()


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
