"""Keras layers that csmri adds, in `keras.ops` alone, so that they train on every backend: convolutions of cines.

Cines are (batch, frame, x, y, channel): y is the last axis of an image, along which the transform of the encoding runs,
and complex images are pairs of real and imaginary part in the last axis.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import KerasTensor, ops


class Fixed(keras.layers.Layer):
    """A layer in float32 also under mixed precision: half the digits of a k-space line are half of the measurement."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "dtype": "float32"})


class LikeFirst(Fixed):
    """One whose output has the shape of its first input."""

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return input_shape[0]


# --- convolutions, frame by frame, and what brings in the other frames


class _OverFrames:
    """Of a convolution in two dimensions: it takes cines, frame by frame."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build((None, *input_shape[2:]))  # type: ignore[misc]
        self.input_spec = None

    def call(self, cine: KerasTensor) -> KerasTensor:
        batch, n_frames, *image = ops.shape(cine)
        frames = super().call(ops.reshape(cine, (-1, *image)))  # type: ignore[misc]
        return ops.reshape(frames, (batch, n_frames, *ops.shape(frames)[1:]))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        if len(input_shape) == 4:  # `build` asks for that of a frame
            return super().compute_output_shape(input_shape)  # type: ignore[misc]
        _, *image = super().compute_output_shape((None, *input_shape[2:]))  # type: ignore[misc]
        return (*input_shape[:2], *image)


@keras.saving.register_keras_serializable(package="csmri")
class FrameConvolution(_OverFrames, keras.layers.Conv2D):
    """Conv2D of every frame (batch, frame, x, y, channel), zero-padded; a stride of 2 makes ceil(n / 2) of n."""


@keras.saving.register_keras_serializable(package="csmri")
class JointConvolution(FrameConvolution):
    """One of features that lie apart, [cine, cine, ...]: as of their channels side by side, which are not copied."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.input_spec = None  # of one input

    def build(self, input_shape: Any) -> None:
        super().build(_side_by_side(input_shape))

    def call(self, cines: list[KerasTensor]) -> KerasTensor:
        batch, n_frames, *_ = ops.shape(cines[0])
        first, parts = 0, []
        for cine in cines:
            _, _, *image = ops.shape(cine)
            kernel = ops.cast(self.kernel[:, :, first : first + cine.shape[-1]], cine.dtype)
            parts.append(ops.conv(ops.reshape(cine, (-1, *image)), kernel, self.strides, self.padding))
            first += cine.shape[-1]
        total = sum(parts[1:], parts[0])
        frames = self.activation(total + ops.cast(self.bias, total.dtype))
        return ops.reshape(frames, (batch, n_frames, *ops.shape(frames)[1:]))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return super().compute_output_shape(_side_by_side(input_shape))


def _side_by_side(shapes: Any) -> tuple[int | None, ...]:
    if not isinstance(shapes[0], list | tuple):  # `build` asks for that of a frame
        return shapes
    return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))


@keras.saving.register_keras_serializable(package="csmri")
class FrameTranspose(_OverFrames, keras.layers.Conv2DTranspose):
    """Conv2DTranspose of every frame (batch, frame, x, y, channel)."""


@keras.saving.register_keras_serializable(package="csmri")
class Neighbours(keras.layers.Layer):
    """Features of `reach` frames before, the frame itself and as many after, side by side in the channels.

    Called with [features (batch, frame, ..., channel), cyclic (batch, 1)]: 1 where the last frame neighbours the
    first, 0 where the first and the last are held beyond the ends; a third input is put behind, of the frame alone. A
    two-dimensional convolution after it is one over (frame, x, y), in a third of its time on a CPU.
    """

    def __init__(self, reach: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.reach = reach

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        features, cyclic, *others = inputs
        before, after = [features], [features]
        for _ in range(self.reach):
            before.append(moved(before[-1], 1, cyclic))
            after.append(moved(after[-1], -1, cyclic))
        return ops.concatenate([*reversed(before), *after[1:], *others], axis=-1)

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        (*sizes, channels), _, *others = input_shape
        return (*sizes, channels and (2 * self.reach + 1) * channels + sum(other[-1] or 0 for other in others))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "reach": self.reach}


@keras.saving.register_keras_serializable(package="csmri")
class TemporalShift(keras.layers.Layer):
    """A third of the channels from the frame before, a third from the one after: [features, cyclic] as `Neighbours`.

    References
    ----------
    Lin et al., ICCV 2019, doi 10.1109/ICCV.2019.00718 [temporal shift].
    """

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        features, cyclic = inputs
        n = features.shape[-1] // 3
        before, here, after = ops.split(features, [n, features.shape[-1] - n], axis=-1)
        return ops.concatenate([moved(before, 1, cyclic), here, moved(after, -1, cyclic)], axis=-1)

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return input_shape[0]


@keras.saving.register_keras_serializable(package="csmri")
class TemporalSpectrum(Fixed):
    """A linear map of channels, the same at every temporal frequency but zero: it sees all frames at once.

    (batch, frame, x, y, channel) -> the same: of the channels' spectra over the frames, real and imaginary part side by
    side, one matrix makes others, and the cine of these is real. Frames count as cyclic.

    Parameters
    ----------
    channels : int
        As many as the input has.
    kernel_initializer : keras.Initializer
        Of the matrix (2 channels, 2 channels).

    References
    ----------
    Qin et al., Magn Reson Med 2021, doi 10.1002/mrm.28917 [networks over temporal frequencies].
    """

    def __init__(self, channels: int, *, kernel_initializer: Any = "glorot_uniform", **options: Any) -> None:
        super().__init__(**options)
        self.channels = channels
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Any) -> None:
        shape = (2 * self.channels, 2 * self.channels)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)

    def call(self, cine: KerasTensor) -> KerasTensor:
        n_frames = ops.shape(cine)[1]
        cosine, sine = _waves(n_frames)
        real, imaginary = (ops.einsum("fg,bgxyc->bfxyc", wave, cine) for wave in (cosine, sine))
        spectrum = ops.einsum("bfxyc,cd->bfxyd", ops.concatenate([real, imaginary], axis=-1), self.kernel)
        real, imaginary = ops.split(spectrum, 2, axis=-1)
        return ops.einsum("gf,bgxyc->bfxyc", cosine, real) + ops.einsum("gf,bgxyc->bfxyc", sine, imaginary)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), "channels": self.channels, "kernel_initializer": initializer}


def _waves(n_frames: Any) -> tuple[KerasTensor, KerasTensor]:
    """Cosines and sines (frequency, frame) of an orthonormal transform, without the frequency zero."""
    numbers = ops.cast(ops.arange(n_frames), "float32")
    number = ops.cast(n_frames, "float32")
    angles = 2 * math.pi / number * ops.mod(numbers[:, None] * numbers, number)
    moving = ops.cast(numbers[:, None] > 0, "float32") / ops.sqrt(number)
    return moving * ops.cos(angles), moving * ops.sin(angles)


def moved(features: KerasTensor, by: int, cyclic: KerasTensor) -> KerasTensor:
    """Features of the frame before (1) or after (-1)."""
    batch, n_frames, *others = ops.shape(features)

    def frames(first: Any, number: Any) -> KerasTensor:
        # Not features[:, first:last], whose gradient costs TensorFlow as much as a convolution.
        return ops.slice(features, (0, first, *[0] * len(others)), (batch, number, *others))

    first, last = frames(0, 1), frames(n_frames - 1, 1)
    around = ops.cast(ops.reshape(cyclic, (-1,) + (1,) * (len(features.shape) - 1)), features.dtype)
    # Where there is one frame, it is its own neighbour.
    if by == 1:
        return ops.concatenate([first + around * (last - first), frames(0, n_frames - 1)], axis=1)
    return ops.concatenate([frames(1, n_frames - 1), last + around * (first - last)], axis=1)


@keras.saving.register_keras_serializable(package="csmri")
class PadTo(keras.layers.Layer):
    """Append zeros to (batch, frame, x, y, channel), so that x and y are multiples of a number."""

    def __init__(self, multiple: int, **options: Any) -> None:
        super().__init__(**options)
        self.multiple = multiple

    def call(self, cine: KerasTensor) -> KerasTensor:
        for axis in (2, 3):
            sizes = list(ops.shape(cine))
            sizes[axis] = -sizes[axis] % self.multiple
            if not isinstance(sizes[axis], int) or sizes[axis]:
                cine = ops.concatenate([cine, ops.zeros(sizes, cine.dtype)], axis=axis)
        return cine

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, frame, *sizes, channels = input_shape
        padded = (None if n is None else -(-n // self.multiple) * self.multiple for n in sizes)
        return (batch, frame, *padded, channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "multiple": self.multiple}
