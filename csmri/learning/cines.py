"""From a store to whole undersampled cines, one a step, for the unrolled network.

The counterpart of `pipeline`, which makes single images for the U-net: the same items, augmentation, masks and seeds.
"""

from __future__ import annotations

import tensorflow as tf

from csmri.config import Config
from csmri.core.errors import CsmriError
from csmri.data.store import Store
from csmri.learning.pipeline import (
    VALIDATION_EPOCH,
    Batches,
    augmented,
    check_sizes,
    drawn_mask,
    magnitude,
    plain,
    random_columns,
    slice_items,
    training_items,
)
from csmri.physics.fourier import as_pair, fft_y
from csmri.physics.initial import initial_images

Example = tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor]


def training_cines(store: Store, config: Config, *, source: Store | None = None, first_epoch: int = 0) -> Batches:
    """Cines of all epochs from `first_epoch` on, one after the other, each as `cine_example` makes it.

    `source` as in `pipeline.training_items`.
    """
    entries, sources, items = training_items(store, config, source)
    check_sizes(config, [*entries, *sources])
    n_cines = sum(entry.n_slices for entry in entries) * len(config.accelerations) * config.passes
    if config.images_per_epoch > n_cines:
        raise CsmriError(f"images_per_epoch = {config.images_per_epoch} is more than the {n_cines} cines of an epoch")
    n_cines = config.images_per_epoch or n_cines
    images = sum(entry.n_slices * entry.n_frames for entry in entries) / sum(entry.n_slices for entry in entries)

    @plain
    def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        return (
            items(epoch)
            .take(n_cines)
            .map(
                lambda item: cine_example(item, epoch, config), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
            )
        )

    def every_epoch() -> tf.data.Dataset:
        return tf.data.Dataset.range(first_epoch, config.epochs).flat_map(of_epoch).prefetch(2)

    return Batches(every_epoch, n_cines, round(n_cines * images))


def validation_cines(store: Store, config: Config) -> Batches:
    """Cines of the validation split: whole, not augmented, one pass, the same masks every time."""
    assert config.validation_split
    entries = store.of_split(config.validation_split)
    config = config.model_copy(update={"augment": False, "passes": 1, "crop_columns": 0})
    check_sizes(config, entries)
    n_cines = sum(entry.n_slices for entry in entries) * len(config.accelerations)
    epoch = tf.constant(VALIDATION_EPOCH, tf.int64)
    n_images = sum(entry.n_slices * entry.n_frames for entry in entries) * len(config.accelerations)

    def whole() -> tf.data.Dataset:
        items = slice_items(store, entries, config)
        return items.map(plain(lambda item: cine_example(item, epoch, config))).prefetch(2)

    return Batches(whole, n_cines, n_images)


def cine_example(item: dict[str, tf.Tensor], epoch: tf.Tensor, config: Config) -> Example:
    """Simulate one undersampled cine, in a batch of one.

    Returns
    -------
    inputs : ((1, frame, y, x, 2), (1, frame, ky))
        Initial reconstruction, complex as a pair, and mask, 1 = acquired; what `unrolled.build_unrolled` takes.
    truth : (1, frame, y, x, 3)
        Reference magnitude and again the pair, from which loss and metrics compare before with after.
    """
    images = augmented(item, epoch, config)
    if config.crop_columns:
        # Columns are independent: kx is fully read.
        images = random_columns(images, item, epoch, config)
    mask = drawn_mask(images, item, epoch, config)
    initial = as_pair(initial_images(fft_y(images), mask, cyclic=config.cyclic))
    truth = tf.concat([magnitude(images)[..., tf.newaxis], initial], axis=-1)
    return (initial[tf.newaxis], tf.cast(mask, tf.float32)[tf.newaxis]), truth[tf.newaxis]
