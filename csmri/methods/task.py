"""What a network is fed, told, scored and served as: the only place that knows which network it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from csmri.config import Config
from csmri.core.memory import available_memory
from csmri.core.names import OPENVINO, SELF_SUPERVISED, TENSORFLOW
from csmri.data.acquisition import Acquisition
from csmri.methods import scaling
from csmri.methods.footprint import activations, in_parts
from csmri.methods.losses import Additive, CineError, CineMean, HeldOutError, HeldOutMean, ImageMean, TargetError
from csmri.methods.runtime import Results, Serve, compiled
from csmri.methods.unet import build_unet
from csmri.methods.unrolled import build_unrolled
from csmri.physics.encoding import columns, encoding_of, in_columns, share_of
from csmri.physics.fourier import as_pair
from csmri.physics.initial import initial_images
from csmri.physics.phase import unit
from csmri.physics.sampling import acceleration_factor
from csmri.physics.simulate import Conditions, Crop, acquire, measure

Example = tuple[Any, tf.Tensor]
"""Inputs of a network and the target of its loss."""


class Task(ABC):
    """What one network does, in training and after it; `task_of` finds the one of a config."""

    takes_cines: ClassVar[bool]
    """Whether an example is a whole cine, of a size of its own, instead of a single frame of a batch."""
    is_consistent: ClassVar[bool]
    """Whether data consistency is inside the network; otherwise `reconstructor` applies that of the config."""
    clip_norm: ClassVar[float | None] = None
    """Largest norm of all gradients of a step."""
    runtimes: ClassVar[tuple[str, ...]] = (TENSORFLOW,)
    """What its reconstructor may compute in, the fastest first."""
    kept_share: ClassVar[float]
    """Of all that the layers give: memory that a step of training takes at once, measured."""
    coil_bytes: ClassVar[int] = 0
    """Memory that a step of training takes for a pixel of each coil after the first, measured."""

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
            With every line that was measured, of which `mask` (frame, ky) keeps some.
        reference : (frame, y, x), float32 or complex64, or None
            Images that are to be reconstructed, with the phase that they were acquired with; None where nobody knows
            them, with the self-supervised loss.

        Returns
        -------
        inputs, target
            Of all frames, frame by frame along the first axis.
        """

    def blank(self, n_frames: tf.Tensor, matrix: tuple[Any, Any]) -> Example:
        """Ones of the shapes that `example` gives, for the frames of a cine (rows, columns) that another worker takes.

        Where `takes_cines`, there is no need of them: whole examples are left out.
        """
        raise NotImplementedError

    @abstractmethod
    def loss(self) -> Additive:
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
    def shapes(self, matrix: tuple[int, int], *, n_frames: int, n_coils: int = 1) -> list[tuple[int, ...]]:
        """Shapes of the network's inputs for so many frames of a matrix (y, x)."""

    @abstractmethod
    def reconstructor(self, network: keras.Model, *, runtime: str = TENSORFLOW) -> Callable[[Acquisition], tf.Tensor]:
        """Make the network reconstruct, in one of `runtimes`: from an acquisition to complex images (frame, y, x)."""


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


class Unrolled(Task):
    """`csmri.methods.unrolled`: it reconstructs the complex images of a cine from the k-space of all coils.

    It runs in TensorFlow alone: OpenVINO does not read its loops of transforms, and takes as long for the convolutions
    between (`benchmarks/inference.py`).
    """

    takes_cines, is_consistent = True, True
    clip_norm = 1.0  # with a cine or a few a step, an odd one must not throw the network off
    kept_share, coil_bytes = 0.71, 260

    def build(self) -> keras.Model:
        config = self.config
        return build_unrolled(
            base_channels=config.base_channels,
            cascades=config.cascades,
            cg_steps=config.cg_steps,
            moving_frame=config.moving_frame,
            temporal=config.temporal,
            start_iterations=config.start_iterations,
            seed=config.seed,
            precision=config.precision,
        )

    def example(self, full: Acquisition, mask: tf.Tensor, reference: tf.Tensor, *, crop: Crop) -> Example:
        inputs = _inputs(acquire(_cropped(full, crop), mask))
        truth = as_pair(columns(tf.cast(crop(reference), tf.complex64)))
        return inputs, tf.concat([truth, inputs[0]], axis=-1)

    def loss(self) -> Additive:
        return CineError(relative=self.config.loss == "relative", magnitude_share=self.config.magnitude_share)

    def metrics(self) -> list[keras.metrics.Metric]:
        return [CineMean(quantity) for quantity in ("nmse", "initial_nmse", "bias")]

    def serve(self, network: keras.Model) -> Serve:
        return self._serve(network, n_coils=None)

    def _serve(self, network: keras.Model, *, n_coils: int | None) -> Serve:
        def improve(data: tf.Tensor, mask: tf.Tensor, maps: tf.Tensor, noise: tf.Tensor, cyclic: tf.Tensor) -> Results:
            inputs = _inputs(Acquisition(data, mask, maps, noise, cyclic))
            improved = tf.convert_to_tensor(network([one[tf.newaxis] for one in inputs], training=False))[0]
            return {"improved": columns(tf.complex(*tf.unstack(improved, axis=-1)))}

        return improve, [
            tf.TensorSpec((n_coils, None, None, None), tf.complex64, name="data"),
            tf.TensorSpec((None, None), tf.bool, name="mask"),
            tf.TensorSpec((n_coils, None, None), tf.complex64, name="maps"),
            tf.TensorSpec((), tf.float32, name="noise"),
            tf.TensorSpec((), tf.bool, name="cyclic"),
        ]

    def shapes(self, matrix: tuple[int, int], *, n_frames: int, n_coils: int = 1) -> list[tuple[int, ...]]:
        y, x = matrix
        image, data = (1, n_frames, x, y, 2), (1, n_coils, n_frames, x, y, 2)
        return [image, data, (1, n_frames, y), (1, n_coils, x, y, 2), (1, 1), (1, 1)]

    def sample(self, seed: int) -> dict[str, tf.Tensor]:
        rng = np.random.default_rng(seed)
        images = rng.gamma(2.0, 100.0, (3, 23, 17)).astype(np.float32)
        mask = tf.constant(rng.random(images.shape[:2]) < 0.5)
        conditions = Conditions(phase=None, coils=2, snr=30.0, cyclic=True)
        one = acquire(measure(images, conditions, seed=tf.constant([seed, 0], tf.int64)), mask)
        return {"data": one.data, "mask": mask, "maps": one.maps, "noise": one.noise, "cyclic": tf.constant(True)}

    def reconstructor(self, network: keras.Model, *, runtime: str = TENSORFLOW) -> Callable[[Acquisition], tf.Tensor]:
        # A graph of its own for one coil: it knows that one step of conjugate gradients is exact.
        graphs = {n_coils: cache(lambda n=n_coils: compiled(self._serve(network, n_coils=n))) for n_coils in (1, None)}

        def reconstruct(acquisition: Acquisition) -> tf.Tensor:
            return graphs[1 if acquisition.n_coils == 1 else None]()(
                data=tf.convert_to_tensor(acquisition.data),
                mask=tf.convert_to_tensor(acquisition.mask),
                maps=_maps(acquisition),
                noise=tf.cast(acquisition.noise, tf.float32),
                cyclic=tf.convert_to_tensor(acquisition.cyclic),
            )["improved"]

        return reconstruct


class SelfSupervised(Unrolled):
    """The same, trained on undersampled acquisitions alone, by lines that are held out from it.

    An acquisition here has but the lines of one scan. What `mask` keeps of them, is the network's input; the others
    are what its images are compared with.

    References
    ----------
    Yaman et al., Magn Reson Med 2020, doi 10.1002/mrm.28378 [self-supervision via data undersampling].
    """

    def example(self, full: Acquisition, mask: tf.Tensor, reference: tf.Tensor, *, crop: Crop) -> Example:
        scan = _cropped(full, crop)
        inputs = _inputs(acquire(scan, mask))
        initial, _, _, maps, *_ = inputs
        data, held_out = in_columns(acquire(scan, full.mask & ~mask))
        in_every_column = tf.cast(held_out, tf.float32)[:, tf.newaxis, :, tf.newaxis] * tf.ones_like(initial)
        coils = tf.concat([as_pair(data), maps[:, tf.newaxis]], axis=1)
        common = tf.pad(tf.stack([initial, in_every_column]), [(0, 0), (0, 1), (0, 0), (0, 0), (0, 0)])
        return inputs, tf.concat([common, coils], axis=0)

    def loss(self) -> Additive:
        return HeldOutError()

    def metrics(self) -> list[keras.metrics.Metric]:
        return [HeldOutMean(quantity) for quantity in ("held_out", "initial_held_out")]


def _cropped(full: Acquisition, crop: Crop) -> Acquisition:
    return replace(full, data=crop(full.data), maps=None if full.maps is None else crop(full.maps))


def _inputs(acquisition: Acquisition) -> tuple[tf.Tensor, ...]:
    """Inputs of `build_unrolled` without their batch, in TensorFlow."""
    data, mask = in_columns(acquisition)
    pairs = [as_pair(values) for values in (columns(initial_images(acquisition)), data)]
    numbers = [tf.reshape(tf.cast(number, tf.float32), [1]) for number in (acquisition.noise, acquisition.cyclic)]
    return *pairs, tf.cast(mask, tf.float32), as_pair(columns(_maps(acquisition))), *numbers


def _maps(acquisition: Acquisition) -> tf.Tensor:
    """Sensitivity maps (coil, y, x), of one coil without them 1 everywhere."""
    if acquisition.maps is not None:
        return tf.convert_to_tensor(acquisition.maps)
    return tf.ones(tf.concat([[1], tf.shape(acquisition.data)[2:]], axis=0), tf.complex64)


TASKS: dict[str, type[Task]] = {"unet": UNet, "unrolled": Unrolled}


def task_of(config: Config) -> Task:
    """Find what the network of a config does."""
    kind = SelfSupervised if config.loss == SELF_SUPERVISED else TASKS[config.network]
    return kind(config)
