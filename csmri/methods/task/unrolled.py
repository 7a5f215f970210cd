"""The tasks of the unrolled network: learning from images, and from undersampled data alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import keras
import numpy as np
import tensorflow as tf

from csmri.core.names import TENSORFLOW
from csmri.data.acquisition import Acquisition
from csmri.methods.losses import Additive, CineError, CineMean, HeldOutError, HeldOutMean
from csmri.methods.runtime import Results, Serve, compiled
from csmri.methods.task.base import Example, Task
from csmri.methods.unrolled import build_unrolled
from csmri.physics.encoding import columns, in_columns
from csmri.physics.fourier import as_pair
from csmri.physics.initial import initial_images
from csmri.physics.simulate import Conditions, Crop, acquire, measure


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
