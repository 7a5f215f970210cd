"""What a network is fed, told, scored and served as: the only place that knows which network it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from csmri.config import Config
from csmri.data.acquisition import Acquisition
from csmri.methods import scaling
from csmri.methods.losses import CineError, CineMean, ImageMean, TargetError
from csmri.methods.unet import build_unet
from csmri.methods.unrolled import build_unrolled
from csmri.physics.encoding import encoding_of, share_of
from csmri.physics.fourier import as_pair
from csmri.physics.initial import initial_images
from csmri.physics.phase import unit
from csmri.physics.simulate import acquire, measure

Crop = Callable[[tf.Tensor], tf.Tensor]
"""Cuts the same columns out of everything whose last axis is x; columns are independent, since kx is fully read."""
Serve = tuple[Callable[..., dict[str, tf.Tensor]], list[tf.TensorSpec]]
"""What a SavedModel's default signature computes, and the names and shapes of its inputs."""
Example = tuple[Any, tf.Tensor]
"""Inputs of a network and the target of its loss."""


class Task(ABC):
    """What one network does, in training and after it; `task_of` finds the one of a config."""

    takes_cines: ClassVar[bool]
    """Whether a step of training takes whole cines, one at a time, instead of batches of single frames."""
    is_consistent: ClassVar[bool]
    """Whether data consistency is inside the network; otherwise `reconstructor` applies that of the config."""
    expects_rest: ClassVar[bool]
    """Whether the phase of the images is taken to rest in time."""
    clip_norm: ClassVar[float | None] = None
    """Largest norm of all gradients of a step."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @abstractmethod
    def build(self) -> keras.Model:
        """Build the network, untrained."""

    def matrix(self, y: Any, x: Any) -> tuple[Any, Any]:
        """Rows and columns of the examples of a subject of so many; integers, or tensors in `tf.data`."""
        return y, self.config.crop_columns or x

    @abstractmethod
    def example(self, full: Acquisition, mask: tf.Tensor, reference: tf.Tensor, *, crop: Crop) -> Example:
        """Make what the network is trained on, in TensorFlow, for `tf.data`.

        Parameters
        ----------
        full : Acquisition
            With every line, of which `mask` (frame, ky) keeps some.
        reference : (frame, y, x), float32 or complex64
            Images that are to be reconstructed, with the phase that they were acquired with.

        Returns
        -------
        inputs, target
            Of all frames, frame by frame along the first axis.
        """

    @abstractmethod
    def loss(self) -> keras.losses.Loss:
        """Loss of the targets that `example` makes."""

    @abstractmethod
    def metrics(self) -> list[keras.metrics.Metric]:
        """What is logged of the reconstructed images."""

    @abstractmethod
    def serve(self, network: keras.Model) -> Serve:
        """What a SavedModel of the network computes; its result is named `improved`."""

    @abstractmethod
    def sample(self, seed: int) -> dict[str, tf.Tensor]:
        """Draw inputs of what `serve` gives, of an odd size."""

    @abstractmethod
    def reconstructor(self, network: keras.Model) -> Callable[[Acquisition], tf.Tensor]:
        """Make the network reconstruct: from an acquisition to complex images (frame, y, x)."""


class UNet(Task):
    """The paper's U-net: it corrects the magnitude of the initial reconstruction, frame by frame."""

    takes_cines, is_consistent, expects_rest = False, False, False

    def build(self) -> keras.Model:
        config = self.config
        return build_unet(
            base_channels=config.base_channels,
            depth=config.depth,
            frames=config.frames,
            seed=config.seed,
            precision=config.precision,
        )

    def matrix(self, y: Any, x: Any) -> tuple[Any, Any]:
        depth, columns = self.config.depth, self.config.crop_columns
        y, x = scaling.padded_size(y, depth), scaling.padded_size(x, depth)
        if self.config.augment:  # turned by 90 degrees or not, all images of a subject have one size
            y = x = tf.maximum(y, x) if tf.is_tensor(y) else max(y, x)
        return y, scaling.padded_size(columns, depth) if columns else x

    def example(self, full: Acquisition, mask: tf.Tensor, reference: tf.Tensor, *, crop: Crop) -> Example:
        config = self.config
        initial = tf.abs(initial_images(acquire(full, mask)))
        peak = scaling.frame_peak(initial)  # of the whole image, as it is after the training
        target = scaling.normalise_error(tf.abs(reference) - initial, peak)
        matrix = self.matrix(*tf.unstack(tf.shape(initial)[1:]))
        initial, target = crop(initial), crop(target)
        weight = scaling.pad(tf.ones_like(initial), matrix)
        initial, target = scaling.pad(initial, matrix), scaling.pad(target, matrix, scaling.NO_ERROR)
        inputs = scaling.network_input(initial, peak, frames=config.frames, cyclic=config.cyclic)
        return inputs, tf.stack([target, inputs[..., config.frames // 2], weight], axis=-1)

    def loss(self) -> keras.losses.Loss:
        return TargetError(relative=self.config.loss == "relative")

    def metrics(self) -> list[keras.metrics.Metric]:
        return [ImageMean(quantity) for quantity in ("nmse", "initial_nmse", "bias")]

    def serve(self, network: keras.Model) -> Serve:
        config = self.config

        def improve(initial: tf.Tensor) -> dict[str, tf.Tensor]:
            peak = scaling.frame_peak(initial)
            y, x = tf.unstack(tf.shape(initial)[1:])
            padded = scaling.pad(initial, [scaling.padded_size(n, config.depth) for n in (y, x)])
            window = scaling.network_input(padded, peak, frames=config.frames, cyclic=config.cyclic)
            target = tf.convert_to_tensor(network(window, training=False))[:, :y, :x, 0]
            return {"improved": scaling.corrected(initial, target, peak)}

        return improve, [tf.TensorSpec((None, None, None), tf.float32, name="initial")]

    def sample(self, seed: int) -> dict[str, tf.Tensor]:
        multiple = 2**self.config.depth
        shape = (3, 3 * multiple - 1, 2 * multiple + 1)  # both padded to 3 multiples
        return {"initial": tf.constant(np.random.default_rng(seed).gamma(2.0, 100.0, shape), tf.float32)}

    def reconstructor(self, network: keras.Model) -> Callable[[Acquisition], tf.Tensor]:
        improve, weight = _compiled(self.serve(network)), self.config.measurement_weight

        def reconstruct(acquisition: Acquisition) -> tf.Tensor:
            initial = initial_images(acquisition)
            improved = improve(initial=tf.abs(initial))["improved"]
            image = tf.cast(improved, tf.complex64) * unit(initial)  # a magnitude has no k-space to compare
            if not weight:
                return image
            return encoding_of(acquisition).consistent(image, acquisition.data, share_of(weight))

        return reconstruct


class Unrolled(Task):
    """`csmri.methods.unrolled`: it reconstructs the complex images of a cine from its k-space, coil by coil."""

    takes_cines, is_consistent, expects_rest = True, True, True
    clip_norm = 1.0  # with one cine a step, an odd one must not throw the network off

    def build(self) -> keras.Model:
        config = self.config
        return build_unrolled(
            base_channels=config.base_channels,
            cascades=config.cascades,
            weight=config.measurement_weight,
            cyclic=config.cyclic,
            seed=config.seed,
            precision=config.precision,
        )

    def example(self, full: Acquisition, mask: tf.Tensor, reference: tf.Tensor, *, crop: Crop) -> Example:
        if full.maps is not None:  # the first of several coils, which stands elsewhere each time
            reference = full.maps[0] * tf.cast(reference, tf.complex64)
            full = full.of_coil(0)
        full = replace(full, data=crop(full.data))
        initial = as_pair(initial_images(acquire(full, mask)))
        truth = tf.concat([as_pair(tf.cast(crop(reference), tf.complex64)), initial], axis=-1)
        return (initial, tf.cast(mask, tf.float32)), truth

    def loss(self) -> keras.losses.Loss:
        return CineError(relative=self.config.loss == "relative")

    def metrics(self) -> list[keras.metrics.Metric]:
        return [CineMean(quantity) for quantity in ("nmse", "initial_nmse", "bias")]

    def serve(self, network: keras.Model) -> Serve:
        cyclic = self.config.cyclic

        def improve(hybrid: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
            acquisition = Acquisition(hybrid[tf.newaxis], mask, cyclic=cyclic)
            initial = as_pair(initial_images(acquisition))[tf.newaxis]
            improved = network([initial, tf.cast(mask, tf.float32)[tf.newaxis]], training=False)
            return {"improved": tf.complex(*tf.unstack(tf.convert_to_tensor(improved)[0], axis=-1))}

        hybrid = tf.TensorSpec((None, None, None), tf.complex64, name="hybrid")
        return improve, [hybrid, tf.TensorSpec((None, None), tf.bool, name="mask")]

    def sample(self, seed: int) -> dict[str, tf.Tensor]:
        rng = np.random.default_rng(seed)
        images = rng.gamma(2.0, 100.0, (3, 23, 17)).astype(np.float32)
        mask = tf.constant(rng.random(images.shape[:2]) < 0.5)
        full = measure(images, self.config, seed=tf.constant([seed, 0], tf.int64))
        return {"hybrid": acquire(full, mask).data[0], "mask": mask}

    def reconstructor(self, network: keras.Model) -> Callable[[Acquisition], tf.Tensor]:
        improve = _compiled(self.serve(network))

        def reconstruct(acquisition: Acquisition) -> tf.Tensor:
            coils = [improve(hybrid=coil, mask=acquisition.mask)["improved"] for coil in acquisition.data]
            return encoding_of(acquisition).combine(tf.stack(coils))

        return reconstruct


def _compiled(serve: Serve) -> Callable[..., dict[str, tf.Tensor]]:
    """Trace what is served once for cines of all sizes."""
    function, signature = serve
    if keras.backend.backend() != "tensorflow":
        return function
    traced = tf.function(function, input_signature=signature, autograph=False)
    return traced.get_concrete_function()


TASKS: dict[str, type[Task]] = {"unet": UNet, "unrolled": Unrolled}


def task_of(config: Config) -> Task:
    """Find what the network of a config does."""
    return TASKS[config.network](config)
