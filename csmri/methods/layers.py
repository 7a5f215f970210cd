"""Keras layers that csmri adds, in `keras.ops` alone, so that they train on every backend."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import KerasTensor, ops

from csmri.core.errors import CsmriError
from csmri.methods.total_variation import PHASE_CONSTRAINED
from csmri.physics.differences import difference, primal_dual
from csmri.physics.encoding import Encoding, columns, in_phase, mirrored_share, share_of, with_phase
from csmri.physics.fourier import from_pair
from csmri.physics.phase import resting_phase

GAIN = 10.0
"""What moves is a tenth of what rests, or less: multiplied by this it is of the order of one."""


@keras.saving.register_keras_serializable(package="csmri")
class DataConsistency(keras.layers.Layer):
    """Bring the acquired k-space lines of an image back to those of its initial reconstruction; float32 always.

    The layer is called with a list of three: `image` and `initial` (batch, frame, y, x, 2), real and imaginary part
    last, and `mask` (batch, frame, ky), True or 1 = acquired, DC at n_ky // 2. `initial` stands for the measurement:
    its acquired lines must be the measured ones, as temporal interpolation keeps them. See
    `physics.encoding.Encoding.consistent`.

    Parameters
    ----------
    weight : float >= 0
        Trust in the measurement over the image; infinity puts the lines back.
    """

    def __init__(self, weight: float = math.inf, **options: Any) -> None:
        if not weight >= 0:
            raise CsmriError(f"data consistency: the weight of the measurement must be 0 or more, got {weight:g}")
        # Under mixed precision, too: half the digits of a k-space line are half of the measurement.
        super().__init__(**{**options, "dtype": "float32"})
        self.weight = float(weight)

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        image, initial, mask = inputs
        missed = columns(from_pair(image - initial))
        # The data of the difference are zero where they were acquired.
        kept = columns(_encoding(mask).consistent(missed, 0.0, share_of(self.weight)))
        return initial + ops.view_as_real(kept)

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight}


@keras.saving.register_keras_serializable(package="csmri")
class RestingPhase(keras.layers.Layer):
    """Phase of what rests: temporal mean (batch, 1, y, x, 2) -> cosine and sine (batch, 1, y, x, 2)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "dtype": "float32"})

    def call(self, rest: KerasTensor) -> KerasTensor:
        return ops.view_as_real(resting_phase(from_pair(rest[:, 0])))[:, None]


@keras.saving.register_keras_serializable(package="csmri")
class TotalVariation(keras.layers.Layer):
    """Phase-constrained total variation in time and space: [initial, phase, mask] -> image, nothing in it is trained.

    Of images with that phase, so many iterations towards the one of least misfit to the acquired lines plus
    weighted temporal and spatial differences, by `physics.differences.primal_dual`. No gradient passes.

    Parameters
    ----------
    iterations : int >= 0
    temporal, spatial : float >= 0
        Weights of the differences, for images with a maximum of the order of one.
    step, growth : float > 0
        The primal step is step R^growth, R the acceleration.
    cyclic : bool
        Whether the last frame neighbours the first.

    References
    ----------
    Chambolle and Pock, J Math Imaging Vis 2011, doi 10.1007/s10851-010-0251-1 [algorithm 1, theta = 1].
    """

    def __init__(
        self,
        iterations: int,
        *,
        temporal: float = PHASE_CONSTRAINED.strength,
        spatial: float = PHASE_CONSTRAINED.strength * PHASE_CONSTRAINED.spatial_share,
        step: float = PHASE_CONSTRAINED.step,
        growth: float = PHASE_CONSTRAINED.growth,
        cyclic: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**{**options, "dtype": "float32"})
        self.iterations, self.temporal, self.spatial = iterations, temporal, spatial
        self.step, self.growth, self.cyclic = step, growth, cyclic

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        initial, phase = (columns(from_pair(ops.stop_gradient(pair))) for pair in inputs[:2])
        mask = ops.stop_gradient(ops.cast(inputs[2], "float32"))
        acceleration = 1 / ops.maximum(ops.mean(mask, axis=(1, 2)), 1e-6)[:, None, None, None]
        primal = self.step * acceleration**self.growth
        encoding = _encoding(mask)
        data, share = encoding.encode(initial), primal / (1 + primal) * mirrored_share(encoding.mask)

        def fit(image: KerasTensor) -> KerasTensor:
            return encoding.consistent(image, data, share, phase=phase)

        def iterate(_: KerasTensor, state: tuple[Any, ...]) -> tuple[Any, ...]:
            image, differences, duals = state[0], state[1:4], state[4:]
            image, differences, duals = primal_dual(
                image,
                differences,
                duals,
                fit,
                primal=primal,
                dual=1 / (12 * primal),  # 12 is the largest squared norm of the differences: 4 along each axis
                weights=(self.temporal, self.spatial),
                cyclic=self.cyclic,
            )
            return (image, *differences, *duals)

        image = in_phase(initial, phase)
        differences = difference(image, cyclic=self.cyclic)
        state = (image, *differences, *(ops.zeros_like(one) for one in differences))
        image = ops.fori_loop(0, self.iterations, iterate, state)[0]
        return ops.view_as_real(columns(with_phase(image, phase)))

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        names = ("iterations", "temporal", "spatial", "step", "growth", "cyclic")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="csmri")
class CineConvolution(keras.layers.Conv3D):
    """3-D convolution over (frame, y, x), zero-padded in y and x and wrapped around in time.

    A stride of 2 makes ceil(n / 2) of n rows or columns, odd ones too.

    Parameters
    ----------
    cyclic : bool
        Whether the last frame neighbours the first; otherwise the first and the last are held beyond the ends.
    """

    def __init__(self, filters: int, kernel_size: Any, *, cyclic: bool = True, **options: Any) -> None:
        super().__init__(filters, kernel_size, **{**options, "padding": "valid"})
        self.cyclic = cyclic

    def call(self, inputs: KerasTensor) -> KerasTensor:
        frames, y, x = (size // 2 for size in self.kernel_size)
        if frames:
            inputs = _continued(inputs, frames, cyclic=self.cyclic)
        return super().call(_enclosed(_enclosed(inputs, y, axis=2), x, axis=3))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, *sizes, _ = input_shape
        strided = (None if n is None else -(-n // step) for n, step in zip(sizes, self.strides, strict=True))
        return (batch, *strided, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cyclic": self.cyclic}


@keras.saving.register_keras_serializable(package="csmri")
class Motion(keras.layers.Layer):
    """What a cascade looks at: [image (batch, frame, y, x, 2), rest and phase (batch, 1, y, x, 2)] -> (..., 3).

    Real and imaginary part of what moves, image - rest, in that phase and times `GAIN`; and the magnitude of what
    rests. With the phase gone, images of any phase look alike.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "dtype": "float32"})

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        image, rest, phase = inputs
        cosine, sine = phase[..., 0], phase[..., 1]
        moving = (image - rest) * GAIN
        real, imaginary = moving[..., 0], moving[..., 1]
        turned = (real * cosine + imaginary * sine, imaginary * cosine - real * sine)
        magnitude = ops.sqrt(ops.sum(ops.square(rest), axis=-1))
        return ops.stack([*turned, ops.zeros_like(real) + magnitude], axis=-1)

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return (*input_shape[0][:-1], 3)


@keras.saving.register_keras_serializable(package="csmri")
class AddCorrection(keras.layers.Layer):
    """Add a cascade's correction to what has the resting phase: [image, phase, correction] -> image.

    What is out of phase is dropped: an image whose phase does not move has nothing there but errors (Haacke et al., J
    Magn Reson 1991, doi 10.1016/0022-2364(91)90253-P), and a correction may give it back where that is wrong. The
    correction is in the gain and phase of `Motion`; a row or a column too many is cut off.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "dtype": "float32"})

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        image, phase, correction = inputs
        cosine, sine = phase[..., 0], phase[..., 1]
        correction = _cropped(correction, image) / GAIN
        real = image[..., 0] * cosine + image[..., 1] * sine + correction[..., 0]
        imaginary = correction[..., 1]
        return ops.stack([real * cosine - imaginary * sine, imaginary * cosine + real * sine], axis=-1)

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return input_shape[0]


@keras.saving.register_keras_serializable(package="csmri")
class CropLike(keras.layers.Layer):
    """Cut (batch, frame, y, x, channel) to the rows and columns of another: [features, other] -> features."""

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        return _cropped(*inputs)

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        features, other = input_shape
        return (*other[:-1], features[-1])


def _encoding(mask: KerasTensor) -> Encoding:
    """Encoding of one coil for images (batch, frame, x, y), of masks (batch, frame, ky) with DC in the centre."""
    shifted = ops.roll(ops.stop_gradient(mask), -(ops.shape(mask)[-1] // 2), axis=-1)
    return Encoding(ops.cast(shifted, "complex64")[:, :, None])


def _cropped(features: KerasTensor, other: KerasTensor) -> KerasTensor:
    batch, frames, _, _, channels = ops.shape(features)
    _, _, n_y, n_x, _ = ops.shape(other)
    return ops.slice(features, (0, 0, 0, 0, 0), (batch, frames, n_y, n_x, channels))


def _continued(inputs: KerasTensor, n: int, *, cyclic: bool) -> KerasTensor:
    """Continue (batch, frame, y, x, channel) by n frames on either side."""
    batch, n_frames, *others = ops.shape(inputs)

    # Not inputs[:, first:last], whose gradient costs TensorFlow as much as a convolution.
    def frames(first: int, number: int) -> KerasTensor:
        return ops.slice(inputs, (0, first, 0, 0, 0), (batch, number, *others))

    if cyclic:
        before, after = frames(n_frames - n, n), frames(0, n)
    else:
        before, after = (ops.repeat(frames(first, 1), n, axis=1) for first in (0, n_frames - 1))
    return ops.concatenate([before, inputs, after], axis=1)


def _enclosed(inputs: KerasTensor, n: int, *, axis: int) -> KerasTensor:
    """Put n rows or columns of zeros on either side.

    Not `ops.pad`: TensorFlow cannot fuse that with the convolution in a training step, and says so for every network.
    """
    if not n:
        return inputs
    sizes = list(ops.shape(inputs))
    sizes[axis] = n
    zeros = ops.zeros(sizes, inputs.dtype)
    return ops.concatenate([zeros, inputs, zeros], axis=axis)
