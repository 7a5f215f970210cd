"""From a store to the examples of one training, whatever the network: simulated acquisitions, in an order drawn anew.

What is shuffled are numbers; a slice is read when its turn comes. Every random draw, the order too, is derived from
(seed, epoch, subject, slice, acceleration, pass), so a restart at epoch n continues exactly as an uninterrupted run
would have, whatever the number of threads and TensorFlow's global seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import tensorflow as tf

from csmri.config import BLENDED, Config
from csmri.core.errors import CsmriError
from csmri.core.names import PRETRAIN
from csmri.core.seeds import derive_seed, subject_key
from csmri.data.shard import parse_slice, record_at
from csmri.data.store import Entry, Store
from csmri.learning.examples import Draw, Item, item_seed, make_example
from csmri.learning.footprint import Buffers, fitting_buffers
from csmri.learning.sizes import check_sizes, count, mean_frames
from csmri.methods.task import Example, Task, task_of

VALIDATION_EPOCH = -1

plain = tf.autograph.experimental.do_not_convert
"""Traces a function as it stands: there is no Python `if` of a tensor here, and looking for one takes seconds."""


@dataclass(frozen=True)
class Part:
    """What one of several workers takes of a stream: whole cines, every `n_workers`th of an epoch.

    Disjoint and complete, whatever the number of workers, and chosen by number, so that no worker reads or simulates
    what another takes.
    """

    worker: int = 0
    n_workers: int = 1

    def has(self, number: tf.Tensor | int) -> tf.Tensor | bool:
        """Whether the item with this number in its epoch is of this part."""
        return number % self.n_workers == self.worker

    def n_cines(self, batch: int, batch_size: int, n_cines: int) -> int:
        """Count the cines of this part in a batch of an epoch of so many."""
        return sum(bool(self.has(one)) for one in range(batch * batch_size, min((batch + 1) * batch_size, n_cines)))


WHOLE = Part()


@dataclass(frozen=True)
class Stream:
    """A data set of a task's examples, (inputs, target): batches of frames, or single cines.

    Of a part of a stream, batches have those frames that fall to it, perhaps none.
    """

    make: Callable[[], tf.data.Dataset]
    n_batches: int
    """Per epoch."""
    n_frames: int
    """Images per epoch; of whole cines drawn at random, what is to be expected."""
    n_cines: int = 0
    """Examples per epoch where they are cines, of which a step takes `batch_size`."""
    by_matrix: tuple[int, ...] = ()
    """Images per epoch of each padded matrix; batches are of one. None of cines."""
    part: Part = WHOLE

    @cached_property
    def dataset(self) -> tf.data.Dataset:
        """Made when asked for: TensorFlow takes seconds to trace it, and a plan needs but the numbers."""
        return self.make()


def training_stream(
    store: Store, config: Config, *, source: Store | None = None, first_epoch: int = 0, part: Part = WHOLE
) -> Stream:
    """Batches of all epochs from `first_epoch` on, one after the other.

    Parameters
    ----------
    source : Store, optional
        Whose split `pretrain` is blended in where that is the way to transfer, by default that of `store`. An epoch has
        as many images then as of the target alone.
    part : Part
        What is taken of it, by default all.
    """
    entries, sources = training_subjects(store, config, source)
    task = task_of(config)
    check_sizes(task, entries, sources)
    n_batches, n_frames, n_examples, by_matrix = count(task, entries)
    # Items of target and source are blended, so that they must be of one kind.
    as_complex = any(entry.complex for entry in (*entries, *sources))
    turns = max(1, round(config.shuffle_frames / mean_frames(entries)))
    buffers = fitting_buffers(task, (*entries, *sources))

    def every_epoch() -> tf.data.Dataset:
        target, origin = table_of(store, entries), table_of(source or store, sources)

        @plain
        def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            items = shuffled_items(target, config, epoch)
            if sources:
                blend_in = shuffled_items(origin, config, epoch)
                items = blended(items, blend_in, config.source_share(epoch), config.seed, epoch)
            examples = examples_of(
                items.take(n_examples), epoch, task, as_complex=as_complex, turns=turns, buffers=buffers, part=part
            )
            return batched(examples.take(n_examples), task, entries)

        return buffers.at_the_end(tf.data.Dataset.range(first_epoch, config.epochs).flat_map(of_epoch))

    return Stream(every_epoch, n_batches, n_frames, n_examples if task.takes_cines else 0, by_matrix, part)


def validation_stream(store: Store, config: Config, *, part: Part = WHOLE) -> Stream:
    """Batches of the validation split: whole, no augmentation, one pass, the same masks every time, in order."""
    assert config.validation_split
    entries = store.of_split(config.validation_split)
    config = config.model_copy(update={"augment": False, "passes": 1, "images_per_epoch": 0, "crop_columns": 0})
    task, epoch = task_of(config), tf.constant(VALIDATION_EPOCH, tf.int64)
    check_sizes(task, entries)
    n_batches, n_frames, n_examples, by_matrix = count(task, entries)

    def whole() -> tf.data.Dataset:
        table = table_of(store, entries)
        numbers = tf.data.Dataset.range(n_items(table, config))
        items = numbers.map(plain(lambda number: item_of(number, table, config)))
        as_complex = any(entry.complex for entry in entries)
        buffers = fitting_buffers(task, entries)
        examples = examples_of(items, epoch, task, as_complex=as_complex, turns=0, buffers=buffers, part=part)
        return buffers.at_the_end(batched(examples, task, entries))

    return Stream(whole, n_batches, n_frames, n_examples if task.takes_cines else 0, by_matrix, part)


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
    """Every slice of these subjects: whose it is, where its record lies, and its size."""
    rows = [
        (store.shard(entry), subject_key(entry.subject), index, offset, entry.n_frames, *entry.matrix)
        for entry in entries
        for index, offset in enumerate(store.offsets(entry))
    ]
    names = ("subject_key", "slice", "offset", "n_frames", "n_y", "n_x")
    shards, *numbers = zip(*rows, strict=True) if rows else [()] * (1 + len(names))
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
    items: tf.data.Dataset,
    epoch: tf.Tensor,
    task: Task,
    *,
    as_complex: bool,
    turns: int,
    buffers: Buffers,
    part: Part = WHOLE,
) -> tf.data.Dataset:
    """Examples of items, a cine each, or frame by frame where the task takes frames.

    `turns` cines take turns then, each with its frames in random order; 0 leaves all frames as they follow each other.
    Of a part, cines of others are left out; their frames are kept as blanks, so that every frame stays in its batch,
    and a third component tells which are none.
    """

    def example(item: Item) -> Example:
        record = record_at(item["shard"], item["offset"])
        made = make_example(parse_slice(record, as_complex=as_complex), item, epoch, task)
        if task.takes_cines or not turns:
            return made
        order = permutation(tf.shape(made[1])[0], item_seed(Draw.FRAME_ORDER, item, epoch, task.config))
        return tf.nest.map_structure(lambda frames: tf.gather(frames, order), made)

    def example_or_blank(number: tf.Tensor, item: Item) -> tuple[tf.Tensor, ...]:
        taken, n_frames = part.has(number), item["n_frames"]
        made = tf.cond(taken, lambda: example(item), lambda: task.blank(n_frames, (item["n_y"], item["n_x"])))
        return *made, tf.repeat(taken, n_frames)

    function: Callable[..., tuple[Any, ...]] = example
    if part != WHOLE and task.takes_cines:
        items = items.enumerate().filter(plain(lambda number, item: part.has(number)))
        items = items.map(plain(lambda number, item: item))
    elif part != WHOLE:
        items, function = items.enumerate(), example_or_blank
    examples = items.map(plain(function), num_parallel_calls=buffers.parallel, deterministic=True)
    if task.takes_cines:
        return examples
    return examples.interleave(plain(lambda *example: tf.data.Dataset.from_tensor_slices(example)), max(1, turns))


def batched(examples: tf.data.Dataset, task: Task, entries: Sequence[Entry]) -> tf.data.Dataset:
    """Batches of examples of one size, which TensorFlow is told where it is that of all subjects.

    Cines, each of a size of its own, stay one by one. Blanks are taken out of the batches that they held a place in.
    """
    if task.takes_cines:
        return examples.batch(1, drop_remainder=True)
    batch_size, matrices = task.config.batch_size, {task.matrix(*entry.matrix) for entry in entries}
    if len(matrices) == 1:
        (matrix,) = matrices
        batches = examples.map(
            lambda inputs, target, *taken: (
                tf.ensure_shape(inputs, (*matrix, inputs.shape[-1])),
                tf.ensure_shape(target, (*matrix, target.shape[-1])),
                *taken,
            )
        ).batch(batch_size)
    else:
        batches = examples.group_by_window(
            key_func=lambda inputs, target, *_: tf.cast(tf.shape(target)[0] * 65536 + tf.shape(target)[1], tf.int64),
            reduce_func=lambda key, bucket: bucket.batch(batch_size),
            window_size=batch_size,
        )
    if len(batches.element_spec) == 2:
        return batches
    return batches.map(
        lambda inputs, target, taken: (tf.boolean_mask(inputs, taken), tf.boolean_mask(target, taken)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
