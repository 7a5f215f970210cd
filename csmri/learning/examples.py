"""One example of a training: a cine augmented, acquired and undersampled, every draw derived from its item.

Draws come from (seed, epoch, subject, slice, acceleration, pass), whatever the number of threads and TensorFlow's
global seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum

import tensorflow as tf

from csmri.config import Config
from csmri.core.names import SELF_SUPERVISED
from csmri.core.seeds import derive_seed
from csmri.learning.conditions import draw_conditions
from csmri.methods.task import Example, Task
from csmri.physics.fourier import image_to_kspace, kspace_to_image
from csmri.physics.sampling import hold_out, make_mask
from csmri.physics.simulate import Conditions, acquire, measure, with_phase_of

Item = dict[str, tf.Tensor]
"""One (slice, acceleration, pass): what its draws are derived from, and where its record lies."""


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
