"""Keras layers that csmri adds, in `keras.ops` alone, so that they train on every backend."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops

from csmri.core.errors import CsmriError

PHASE_WIDTH = 2.0
"""Standard deviation [pixels] of the Gaussian that the resting phase is smoothed with; real phases are smoother."""
GAIN = 10.0
"""What moves is a tenth of what rests, or less: multiplied by this it is of the order of one."""


@keras.saving.register_keras_serializable(package="csmri")
class DataConsistency(keras.layers.Layer):
    """Bring the acquired k-space lines of an image back to those of its initial reconstruction; float32 always.

    The layer is called with a list of three: `image` and `initial` (batch, frame, y, x, 2), real and imaginary part
    last, and `mask` (batch, frame, ky), True or 1 = acquired, DC at n_ky // 2. `initial` stands for the measurement:
    its acquired lines must be the measured ones, as temporal interpolation keeps them. The result is that of
    `kspace.consistency.enforce`, which takes the measured lines themselves.

    Parameters
    ----------
    weight : float >= 0
        Trust in the measurement over the image, as in `kspace.consistency.soft`; infinity puts the lines back.
    """

    def __init__(self, weight: float = math.inf, **options: Any) -> None:
        if not weight >= 0:
            raise CsmriError(f"data consistency: the weight of the measurement must be 0 or more, got {weight:g}")
        # Under mixed precision, too: half the digits of a k-space line are half of the measurement.
        super().__init__(**{**options, "dtype": "float32"})
        self.weight = float(weight)
        self.share = 1.0 if math.isinf(weight) else weight / (1 + weight)

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        image, initial, mask = inputs
        n_ky = ops.shape(mask)[-1]
        # Of the centred transform's shifts only that of the mask is left: an image's is a phase that is diagonal in ky.
        kept = 1 - self.share * ops.roll(ops.cast(mask, "float32"), -(n_ky // 2), axis=-1)[:, :, None]
        difference = ops.swapaxes(image - initial, 2, 3)
        real, imaginary = ops.fft((difference[..., 0], difference[..., 1]))
        # The inverse transform is the forward one with real and imaginary part exchanged, over n_ky.
        imaginary, real = ops.fft((imaginary * kept, real * kept))
        change = ops.stack([real, imaginary], axis=-1) / ops.cast(n_ky, "float32")
        return initial + ops.swapaxes(change, 2, 3)

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight}


@keras.saving.register_keras_serializable(package="csmri")
class RestingPhase(keras.layers.Layer):
    """Phase of what rests: temporal mean (batch, 1, y, x, 2) -> cosine and sine (batch, 1, y, x, 2).

    The mean is smoothed first (`PHASE_WIDTH`): its phase carries noise and aliasing, that of an image is smooth.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "dtype": "float32"})

    def call(self, rest: KerasTensor) -> KerasTensor:
        reach = int(3 * PHASE_WIDTH)
        taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / PHASE_WIDTH) ** 2)
        kernel = ops.convert_to_tensor(taps[:, None, None] * np.eye(2), "float32")
        smooth = rest[:, 0]
        for axis in (0, 1):
            smooth = ops.conv(smooth, ops.expand_dims(kernel, 1 - axis), padding="same")
        magnitude = ops.sqrt(ops.sum(ops.square(smooth), axis=-1, keepdims=True))
        present = magnitude > 0
        unit = smooth / ops.where(present, magnitude, 1.0)
        return ops.where(present, unit, ops.convert_to_tensor([1.0, 0.0], "float32"))[:, None]


@keras.saving.register_keras_serializable(package="csmri")
class TotalVariation(keras.layers.Layer):
    """Phase-constrained total variation in time and space: [initial, phase, mask] -> image, nothing in it is trained.

    Of images with that phase, so many iterations towards the one of least misfit to the acquired lines plus
    weighted temporal and spatial differences: Chambolle and Pock's algorithm, as in `baselines.tv`, on real numbers.
    No gradient passes.

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
        temporal: float = 4e-3,
        spatial: float = 8e-4,
        step: float = 0.14,
        growth: float = 1.7,
        cyclic: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**{**options, "dtype": "float32"})
        self.iterations, self.temporal, self.spatial = iterations, temporal, spatial
        self.step, self.growth, self.cyclic = step, growth, cyclic

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        # Rows last, so that the transforms of all iterations need no transposition.
        initial, phase = (ops.stop_gradient(ops.transpose(pair, (4, 0, 1, 3, 2))) for pair in inputs[:2])
        cosine, sine = phase[0], phase[1]
        mask = ops.stop_gradient(ops.cast(inputs[2], "float32"))
        acceleration = 1 / ops.maximum(ops.mean(mask, axis=(1, 2)), 1e-6)[:, None, None, None]
        primal = self.step * acceleration**self.growth
        dual = 1 / (12 * primal)  # 12 is the largest squared norm of the differences: 4 along each axis
        n_ky = ops.shape(mask)[-1]
        acquired = ops.roll(mask, -(n_ky // 2), axis=-1)
        # Of an image with a resting phase a line tells of its mirror image too, half each where both were acquired.
        mirrored = ops.roll(ops.flip(acquired, axis=-1), 1, axis=-1)
        share = primal / (1 + primal) * (acquired * (2 - mirrored))[:, :, None]

        def consistent(image: KerasTensor) -> KerasTensor:
            missed = (initial[0] - image * cosine, initial[1] - image * sine)
            real, imaginary = ops.fft(missed)
            imaginary, real = ops.fft((imaginary * share, real * share))
            return image + (real * cosine + imaginary * sine) / ops.cast(n_ky, "float32")

        def iterate(_: KerasTensor, state: tuple[KerasTensor, ...]) -> tuple[KerasTensor, ...]:
            image, differences, duals = state[0], state[1:4], state[4:]
            image = consistent(image - primal * self._adjoint(*duals))
            new = self._differences(image)
            t, x, y = (q + dual * (2 * now - was) for q, now, was in zip(duals, new, differences, strict=True))
            t = ops.clip(t, -self.temporal, self.temporal)
            shorter = self.spatial / ops.maximum(ops.sqrt(ops.square(x) + ops.square(y)), self.spatial + 1e-20)
            return (image, *new, t, x * shorter, y * shorter)

        image = initial[0] * cosine + initial[1] * sine
        differences = self._differences(image)
        state = (image, *differences, *(ops.zeros_like(one) for one in differences))
        image = ops.fori_loop(0, self.iterations, iterate, state)[0]
        return ops.transpose(ops.stack([image * cosine, image * sine], axis=-1), (0, 1, 3, 2, 4))

    def _differences(self, image: KerasTensor) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
        """Forward differences of (batch, frame, x, y) in time, x and y; none leads beyond an end that has no beyond."""
        following = ops.roll(image, -1, axis=1)
        if not self.cyclic:
            following = ops.concatenate([following[:, :-1], image[:, -1:]], axis=1)
        x = ops.pad(image[:, :, 1:] - image[:, :, :-1], ((0, 0), (0, 0), (0, 1), (0, 0)))
        y = ops.pad(image[..., 1:] - image[..., :-1], ((0, 0), (0, 0), (0, 0), (0, 1)))
        return following - image, x, y

    def _adjoint(self, t: KerasTensor, x: KerasTensor, y: KerasTensor) -> KerasTensor:
        """Adjoint of `_differences`; the last dual in x and y is always zero, in time too unless `cyclic`."""
        return ops.roll(t, 1, axis=1) - t + ops.roll(x, 1, axis=2) - x + ops.roll(y, 1, axis=3) - y

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
