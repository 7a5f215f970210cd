"""From a store to batches of (input, target): augment the cine, undersample, interpolate, transform, scale, shuffle.

Every random draw is derived from (seed, epoch, subject, slice, acceleration, pass), so a restart at epoch n continues
exactly as an uninterrupted run would have, whatever the number of threads.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import tensorflow as tf

from csmri.config import BLENDED, Config
from csmri.core.errors import CsmriError
from csmri.core.names import PRETRAIN
from csmri.core.seeds import derive_seed, subject_key
from csmri.data.store import Entry, Store, parse_slice
from csmri.methods import scaling
from csmri.physics.initial import simulate_initial
from csmri.physics.sampling import check_acceleration, make_mask

SLICE_BUFFER = 1024
"""(slice, acceleration, pass) elements shuffled at once; most studies have fewer, so that any order can occur."""

VALIDATION_EPOCH = -1

plain = tf.autograph.experimental.do_not_convert
"""Traces a function as it stands: there is no Python `if` of a tensor here, and looking for one takes seconds."""


class Draw(IntEnum):
    """What a random draw is for; keeps, say, the mask of an item independent of its augmentation."""

    AUGMENTATION = 0
    MASK = 1
    SLICE_ORDER = 2
    FRAME_ORDER = 3
    CROP = 4
    LAW = 5
    BLEND = 6


@dataclass(frozen=True)
class Batches:
    """A data set of ((frame, y, x, channel) input, (frame, y, x, 2) target and input, (frame, y, x) weight).

    The input's channels are the frames of the window, the middle one is to be corrected. The target's second channel
    repeats the middle one, from which the reconstructed image's NMSE is computed; the weight is 1 on the image and 0 on
    the padding to a multiple of 2**depth.
    """

    make: Callable[[], tf.data.Dataset]
    n_batches: int
    """Per epoch."""
    n_frames: int
    """Images per epoch; of whole cines drawn at random, what is to be expected."""

    @cached_property
    def dataset(self) -> tf.data.Dataset:
        """Made when asked for: TensorFlow takes seconds to trace it, and a plan needs but the numbers."""
        return self.make()


def training_batches(store: Store, config: Config, *, source: Store | None = None, first_epoch: int = 0) -> Batches:
    """Batches of all epochs from `first_epoch` on, one after the other; `source` as in `training_items`.

    Blended, an epoch has as many images as of the target alone.
    """
    entries, sources, items = training_items(store, config, source)
    check_sizes(config, [*entries, *sources])
    padded = [training_matrix(entry.matrix, config) for entry in entries]
    if sources:
        _refuse_other_sizes(padded, [training_matrix(entry.matrix, config) for entry in sources])
        # The stream of blended items has no end of its own.
        whole = sum(map(_n_images, entries)) * len(config.accelerations) * config.passes
        config = config.model_copy(update={"images_per_epoch": config.images_per_epoch or whole})

    @plain
    def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        def example(item: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            return training_example(item, epoch, config)

        return (
            items(epoch)
            .map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .unbatch()
            .shuffle(
                config.shuffle_frames,
                seed=order_seed(config.seed, Draw.FRAME_ORDER, epoch),
                reshuffle_each_iteration=False,
            )
            .take(config.images_per_epoch or -1)
            .apply(lambda frames: _batched(frames, config.batch_size, padded))
        )

    def every_epoch() -> tf.data.Dataset:
        return tf.data.Dataset.range(first_epoch, config.epochs).flat_map(of_epoch).prefetch(tf.data.AUTOTUNE)

    return _counted(every_epoch, entries, padded, config, passes=config.passes)


def validation_batches(store: Store, config: Config) -> Batches:
    """Batches of the validation split: no augmentation, one pass, the same masks every time."""
    assert config.validation_split
    entries = store.of_split(config.validation_split)
    config = config.model_copy(update={"augment": False, "passes": 1, "images_per_epoch": 0, "crop_columns": 0})
    padded = [padded_matrix(entry.matrix, config.depth, square=False) for entry in entries]
    check_sizes(config, entries)
    epoch = tf.constant(VALIDATION_EPOCH, tf.int64)

    def whole() -> tf.data.Dataset:
        return (
            slice_items(store, entries, config)
            .map(plain(lambda item: training_example(item, epoch, config)), num_parallel_calls=tf.data.AUTOTUNE)
            .unbatch()
            .apply(lambda frames: _batched(frames, config.batch_size, padded))
            .prefetch(tf.data.AUTOTUNE)
        )

    return _counted(whole, entries, padded, config, passes=1)


def training_items(
    store: Store, config: Config, source: Store | None = None
) -> tuple[tuple[Entry, ...], tuple[Entry, ...], Callable[[tf.Tensor], tf.data.Dataset]]:
    """Choose what is trained on.

    Parameters
    ----------
    source : Store, optional
        Whose split `pretrain` is blended in where that is the way to transfer, by default that of `store`.

    Returns
    -------
    entries, sources : tuple of Entry
        Subjects of the split, the first `config.train_subjects` of them or all; and those blended in, if any.
    items : callable
        Epoch -> its slice items in random order; without end where they are blended.
    """
    entries = store.of_split(config.train_split)
    if config.train_subjects > len(entries):
        raise CsmriError(
            f"train_subjects = {config.train_subjects} is more than the {len(entries)} of split "
            f"{config.train_split!r} in {store.path}"
        )
    entries = entries[: config.train_subjects or None]
    origin = source or store
    sources = origin.of_split(PRETRAIN) if config.transfer == BLENDED else ()

    # Items of target and source are blended, so that they must be of one kind.
    as_complex = any(entry.complex for entry in (*entries, *sources))

    def shuffled(of: Store, subjects: Sequence[Entry], epoch: tf.Tensor) -> tf.data.Dataset:
        seed = order_seed(config.seed, Draw.SLICE_ORDER, epoch)
        items = slice_items(of, subjects, config, as_complex=as_complex)
        return items.shuffle(SLICE_BUFFER, seed=seed, reshuffle_each_iteration=False)

    def items(epoch: tf.Tensor) -> tf.data.Dataset:
        target = shuffled(store, entries, epoch)
        if not sources:
            return target
        return blended(target, shuffled(origin, sources, epoch), config.source_share(epoch), config.seed, epoch)

    return entries, sources, items


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


def training_example(
    item: dict[str, tf.Tensor], epoch: tf.Tensor, config: Config
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Simulate one undersampled cine: (input, target and input, weight) as in `Batches`, for all its frames."""
    images = augmented(item, epoch, config)
    mask = drawn_mask(images, item, epoch, config)
    initial = simulate_initial(images, mask, cyclic=config.cyclic)
    peak = scaling.frame_peak(initial)
    target = scaling.normalise_error(magnitude(images) - initial, peak)

    padding = [[0, 0], *_padding(images, config.depth, square=config.augment)]
    if config.crop_columns:
        initial, target = (random_columns(images, item, epoch, config) for images in (initial, target))
        padding[2] = [0, -config.crop_columns % 2**config.depth]
    initial, weight = (tf.pad(value, padding) for value in (initial, tf.ones_like(initial)))
    target = tf.pad(target, padding, constant_values=scaling.NO_ERROR)
    inputs = scaling.network_input(initial, peak, frames=config.frames, cyclic=config.cyclic)
    return inputs, tf.stack([target, inputs[..., config.frames // 2]], axis=-1), weight


def item_seed(purpose: Draw, item: dict[str, tf.Tensor], epoch: tf.Tensor, config: Config) -> tf.Tensor:
    """Seed of a draw for one slice item."""
    parts = epoch, item["subject_key"], item["slice"], item["acceleration_index"], item["pass"]
    return derive_seed(config.seed, purpose, *parts)


def augmented(item: dict[str, tf.Tensor], epoch: tf.Tensor, config: Config) -> tf.Tensor:
    """Cine (frame, y, x) of an item, magnitude or complex, augmented if the config says so."""
    if not config.augment:
        return item["images"]
    return augment(item["images"], item_seed(Draw.AUGMENTATION, item, epoch, config))


def augment(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Flip left-right, flip up-down and rotate by 90 degrees a whole cine (frame, y, x), each with probability 1/2."""
    flip_x, flip_y, rotate = tf.unstack(tf.random.stateless_uniform([3], seed, alg="philox") < 0.5)
    images = tf.cond(flip_x, lambda: tf.reverse(images, [2]), lambda: images)
    images = tf.cond(flip_y, lambda: tf.reverse(images, [1]), lambda: images)
    return tf.cond(rotate, lambda: tf.reverse(tf.linalg.matrix_transpose(images), [1]), lambda: images)


def magnitude(images: tf.Tensor) -> tf.Tensor:
    """What a network is to give for the images of an item: the magnitude of complex ones, others as they are."""
    return tf.abs(images) if images.dtype.is_complex else images


def random_columns(images: tf.Tensor, item: dict[str, tf.Tensor], epoch: tf.Tensor, config: Config) -> tf.Tensor:
    """Cut `crop_columns` neighbouring columns out of (frame, y, x), the same for all images of an item."""
    n, seed = config.crop_columns, item_seed(Draw.CROP, item, epoch, config)
    first = tf.random.stateless_uniform([], seed, 0, tf.shape(images)[2] - n + 1, tf.int32, alg="philox")
    return images[..., first : first + n]


def drawn_mask(images: tf.Tensor, item: dict[str, tf.Tensor], epoch: tf.Tensor, config: Config) -> tf.Tensor:
    """Mask (frame, ky) for the images of an item, by the config's law or, with `both_laws`, by one of both."""
    n_frames, n_ky = tf.unstack(tf.shape(images)[:2])
    seed = item_seed(Draw.MASK, item, epoch, config)

    def drawn(law: Config) -> tf.Tensor:
        return make_mask(seed, n_frames, n_ky, item["acceleration"], law)

    if not config.both_laws:
        return drawn(config)
    chosen = tf.random.stateless_uniform([], item_seed(Draw.LAW, item, epoch, config), alg="philox") < 0.5
    gaussian, schlemper = _laws(config)
    return tf.cond(chosen, lambda: drawn(gaussian), lambda: drawn(schlemper))


def _laws(config: Config) -> list[Config]:
    """The config once for every law that masks are drawn by."""
    names = ("gaussian", "schlemper") if config.both_laws else (config.mask_law,)
    return [config.model_copy(update={"mask_law": name}) for name in names]


def padded_matrix(matrix: Sequence[int], depth: int, *, square: bool) -> tuple[int, int]:
    """Smallest multiples of 2**depth that hold a matrix (y, x); the same in both axes if it may be rotated."""
    multiple = 2**depth
    y, x = (math.ceil(n / multiple) * multiple for n in matrix)
    return (max(y, x), max(y, x)) if square else (y, x)


def training_matrix(matrix: Sequence[int], config: Config) -> tuple[int, int]:
    """Rows and columns of the batches that the images of one subject come in."""
    y, x = padded_matrix(matrix, config.depth, square=config.augment)
    multiple = 2**config.depth
    return y, math.ceil(config.crop_columns / multiple) * multiple or x


def _padding(images: tf.Tensor, depth: int, *, square: bool) -> list[list[tf.Tensor | int]]:
    matrix = tf.shape(images)[1:]
    multiple = 2**depth
    padded = -(-matrix // multiple) * multiple
    if square:
        padded = tf.fill([2], tf.reduce_max(padded))
    return [[0, padded[0] - matrix[0]], [0, padded[1] - matrix[1]]]


def slice_items(
    store: Store, entries: Sequence[Entry], config: Config, *, as_complex: bool | None = None
) -> tf.data.Dataset:
    """Every (slice, acceleration, pass) of these subjects, one element each.

    Images are complex where `as_complex` says so, by default where those of any of the subjects are, else magnitudes.
    """
    if as_complex is None:
        as_complex = any(entry.complex for entry in entries)
    indices, values = zip(*enumerate(config.accelerations), strict=True)
    keys = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            [entry.subject for entry in entries],
            tf.constant([subject_key(entry.subject) for entry in entries], tf.int64),
        ),
        default_value=-1,
    )

    @plain
    def variants(record: tf.Tensor) -> tf.data.Dataset:
        features = parse_slice(record, as_complex=as_complex)
        key = keys.lookup(features["subject"])
        passes = tf.data.Dataset.range(config.passes)
        accelerations = tf.data.Dataset.from_tensor_slices(
            (tf.constant(indices, tf.int64), tf.constant(values, tf.float32))
        )
        return passes.flat_map(
            lambda number: accelerations.map(
                lambda index, acceleration: {
                    "images": features["images"],
                    "subject_key": key,
                    "slice": features["slice"],
                    "acceleration_index": index,
                    "acceleration": acceleration,
                    "pass": number,
                }
            )
        )

    return tf.data.TFRecordDataset(store.shards(entries)).flat_map(variants)


def _batched(frames: tf.data.Dataset, batch_size: int, padded: Sequence[tuple[int, int]]) -> tf.data.Dataset:
    if len(set(padded)) == 1:
        y, x = padded[0]
        static = frames.map(
            lambda inputs, target, weight: (
                tf.ensure_shape(inputs, (y, x, inputs.shape[-1])),
                tf.ensure_shape(target, (y, x, 2)),
                tf.ensure_shape(weight, (y, x)),
            )
        )
        return static.batch(batch_size)
    return frames.group_by_window(
        key_func=lambda inputs, target, weight: tf.cast(tf.shape(weight)[0] * 65536 + tf.shape(weight)[1], tf.int64),
        reduce_func=lambda key, bucket: bucket.batch(batch_size),
        window_size=batch_size,
    )


def _counted(
    make: Callable[[], tf.data.Dataset],
    entries: Sequence[Entry],
    padded: Sequence[tuple[int, int]],
    config: Config,
    *,
    passes: int,
) -> Batches:
    variants = len(config.accelerations) * passes
    frames_of_bucket: Counter[tuple[int, int]] = Counter()
    for entry, bucket in zip(entries, padded, strict=True):
        frames_of_bucket[bucket] += _n_images(entry) * variants
    if config.images_per_epoch:
        frames_of_bucket = _cut(frames_of_bucket, config.images_per_epoch)
    n_batches = sum(math.ceil(n / config.batch_size) for n in frames_of_bucket.values())
    return Batches(make, n_batches, frames_of_bucket.total())


def _n_images(entry: Entry) -> int:
    return entry.n_slices * entry.n_frames


def _cut(frames_of_bucket: Counter[tuple[int, int]], images: int) -> Counter[tuple[int, int]]:
    if len(frames_of_bucket) > 1:
        matrices = ", ".join(f"{y}x{x}" for y, x in sorted(frames_of_bucket))
        raise CsmriError(f"images_per_epoch = {images} needs subjects of one matrix; padded, these have {matrices}")
    if images > frames_of_bucket.total():
        raise CsmriError(f"images_per_epoch = {images} is more than the {frames_of_bucket.total()} of a whole epoch")
    return Counter(dict.fromkeys(frames_of_bucket, images))


def _refuse_other_sizes(target: Sequence[tuple[int, int]], source: Sequence[tuple[int, int]]) -> None:
    if len({*target, *source}) > 1:
        of_target, of_source = (", ".join(f"{y}x{x}" for y, x in sorted(set(sizes))) for sizes in (target, source))
        raise CsmriError(
            f"transfer = {BLENDED!r} needs source and target of one matrix; padded, the source's are {of_source}, "
            f"the target's {of_target}"
        )


def check_sizes(config: Config, entries: Sequence[Entry]) -> None:
    """Refuse accelerations and crops that the smallest subject is too small for."""
    n_ky = min(min(entry.matrix) if config.augment else entry.matrix[0] for entry in entries)
    for law in _laws(config):
        for acceleration in config.accelerations:
            check_acceleration(acceleration, n_ky, law)
    n_x = min(min(entry.matrix) if config.augment else entry.matrix[1] for entry in entries)
    if config.crop_columns > n_x:
        raise CsmriError(
            f"crop_columns = {config.crop_columns} is more than the {n_x} columns of the narrowest subject"
        )


def order_seed(seed: int, purpose: Draw, epoch: tf.Tensor) -> tf.Tensor:
    """Seed of an epoch's order, as `tf.data.Dataset.shuffle` takes it."""
    return tf.bitcast(derive_seed(seed, purpose, epoch)[0], tf.int64)
