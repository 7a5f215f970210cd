"""The U-net's task."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from csmri.core.memory import available_memory
from csmri.core.names import OPENVINO, TENSORFLOW
from csmri.data.acquisition import Acquisition
from csmri.methods import scaling
from csmri.methods.footprint import activations, in_parts
from csmri.methods.losses import Additive, ImageMean, TargetError
from csmri.methods.runtime import Results, Serve, compiled
from csmri.methods.task.base import Example, Task
from csmri.methods.unet import build_unet
from csmri.physics.encoding import encoding_of, share_of
from csmri.physics.initial import initial_images
from csmri.physics.phase import unit
from csmri.physics.sampling import acceleration_factor
from csmri.physics.simulate import Crop, acquire


class UNet(Task):
    """The paper's U-net: it corrects the magnitude of the initial reconstruction, frame by frame."""

    takes_cines, is_consistent = False, False
    runtimes = (OPENVINO, TENSORFLOW)
    kept_share = 1.25

    def build(self) -> keras.Model:
        config = self.config
        return build_unet(
            base_channels=config.base_channels,
            depth=config.depth,
            frames=config.frames,
            initial_output=config.initial_output,
            acceleration_input=config.acceleration_input,
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
        inputs = self._input(initial, peak, acceleration_factor(mask))
        return inputs, tf.stack([target, inputs[..., config.frames // 2], weight], axis=-1)

    def blank(self, n_frames: tf.Tensor, matrix: tuple[Any, Any]) -> Example:
        shape = [n_frames, *self.matrix(*matrix)]
        return tf.ones([*shape, self.config.input_channels]), tf.ones([*shape, 3])

    def loss(self) -> Additive:
        return TargetError(relative=self.config.loss == "relative")

    def metrics(self) -> list[keras.metrics.Metric]:
        return [ImageMean(quantity) for quantity in ("nmse", "initial_nmse", "bias")]

    def serve(self, network: keras.Model) -> Serve:
        def corrected(initial: tf.Tensor, factor: tf.Tensor | None) -> Results:
            peak = scaling.frame_peak(initial)
            y, x = tf.unstack(tf.shape(initial)[1:])
            padded = scaling.pad(initial, [scaling.padded_size(n, self.config.depth) for n in (y, x)])
            target = tf.convert_to_tensor(network(self._input(padded, peak, factor), training=False))[:, :y, :x, 0]
            return {"improved": scaling.corrected(initial, target, peak)}

        def improve(initial: tf.Tensor) -> Results:
            return corrected(initial, None)

        def improve_at(initial: tf.Tensor, acceleration_factor: tf.Tensor) -> Results:
            return corrected(initial, acceleration_factor)

        images = tf.TensorSpec((None, None, None), tf.float32, name="initial")
        if not self.config.acceleration_input:
            return improve, [images]
        return improve_at, [images, tf.TensorSpec((), tf.float32, name="acceleration_factor")]

    def _input(self, initial: tf.Tensor, peak: tf.Tensor, factor: tf.Tensor | None) -> tf.Tensor:
        config = self.config
        return scaling.network_input(
            initial,
            peak,
            frames=config.frames,
            cyclic=config.cyclic,
            acceleration_factor=factor if config.acceleration_input else None,
        )

    def _further_inputs(self, factor: tf.Tensor) -> dict[str, tf.Tensor]:
        """What `serve` takes besides the images."""
        return {"acceleration_factor": factor} if self.config.acceleration_input else {}

    def sample(self, seed: int) -> dict[str, tf.Tensor]:
        multiple = 2**self.config.depth
        shape = (3, 3 * multiple - 1, 2 * multiple + 1)  # both padded to 3 multiples
        initial = tf.constant(np.random.default_rng(seed).gamma(2.0, 100.0, shape), tf.float32)
        return {"initial": initial, **self._further_inputs(tf.constant(4.0))}

    def shapes(self, matrix: tuple[int, int], *, n_frames: int, n_coils: int = 1) -> list[tuple[int, ...]]:
        return [(n_frames, *(scaling.padded_size(n, self.config.depth) for n in matrix), self.config.input_channels)]

    def reconstructor(self, network: keras.Model, *, runtime: str = TENSORFLOW) -> Callable[[Acquisition], tf.Tensor]:
        if runtime == OPENVINO:  # which rounds to fewer digits by itself, as it is asked to
            network = self._with_all_digits(network)
        improve = compiled(self.serve(network), runtime=runtime, precision=self.config.precision)
        weight = self.config.measurement_weight

        @cache
        def bytes_of_a_frame(y: int, x: int) -> int:
            return activations(network, self.shapes((y, x), n_frames=1))

        def reconstruct(acquisition: Acquisition) -> tf.Tensor:
            initial = initial_images(acquisition)
            further = self._further_inputs(acceleration_factor(acquisition.mask))
            improved = in_parts(
                lambda frames: improve(initial=frames, **further)["improved"],
                tf.abs(initial),
                n_at_once=max(1, available_memory() // 2 // bytes_of_a_frame(*initial.shape[1:])),
                beside=self.config.frames // 2,
                cyclic=self.config.cyclic,
            )
            image = tf.cast(improved, tf.complex64) * unit(initial)  # a magnitude has no k-space to compare
            if not weight:
                return image
            return encoding_of(acquisition).consistent(image, acquisition.data, share_of(weight))

        return reconstruct

    def _with_all_digits(self, network: keras.Model) -> keras.Model:
        """Build the same network in float32."""
        plain = UNet(self.config.model_copy(update={"precision": "float32"})).build()
        plain.set_weights(network.get_weights())
        return plain
