"""Keras layers that csmri adds, in `keras.ops` alone, so that they train on every backend.

Cines are (batch, frame, x, y, channel): y is the last axis of an image, along which the transform of the encoding runs,
and complex images are pairs of real and imaginary part in the last axis.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops

from csmri.physics.differences import difference, primal_dual
from csmri.physics.encoding import Encoding
from csmri.physics.fourier import as_complex, from_pair
from csmri.physics.linear import damped_least_squares
from csmri.physics.phase import resting_phase, unit
from csmri.physics.smoothing import gaussian

GAIN = 10.0
"""What moves is a tenth of what rests, or less: multiplied by this it is of the order of one."""
FRAME_WIDTH = 1.2
"""Standard deviation [pixels] of the Gaussian behind the moving phase: less than a vessel, whose edges are sharp."""
FRAME_TAPS = (0.2, 0.6, 0.2)
"""Weights of the frame before, the frame itself and the one after, behind the moving phase."""
NOISE_GAIN = 30.0
"""The noise of a pixel is a thirtieth of the image's maximum, or less: multiplied by this it is of the order of one."""
LARGEST = 12.0
"""Acceleration beyond which total variation takes no more iterations."""
LEAST_DAMPING = 1e-6
"""Of the trained trust in an image; below it nothing is left to be trained."""


class _Fixed(keras.layers.Layer):
    """A layer in float32 also under mixed precision: half the digits of a k-space line are half of the measurement."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "dtype": "float32"})


class _LikeFirst(_Fixed):
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
class FrameTranspose(_OverFrames, keras.layers.Conv2DTranspose):
    """Conv2DTranspose of every frame (batch, frame, x, y, channel)."""


@keras.saving.register_keras_serializable(package="csmri")
class Neighbours(keras.layers.Layer):
    """Features of `reach` frames before, the frame itself and as many after, side by side in the channels.

    Called with [features (batch, frame, ..., channel), cyclic (batch, 1)]: 1 where the last frame neighbours the
    first, 0 where the first and the last are held beyond the ends. A two-dimensional convolution after it is one over
    (frame, x, y), in a third of its time on a CPU.
    """

    def __init__(self, reach: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.reach = reach

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        features, cyclic = inputs
        before, after = [features], [features]
        for _ in range(self.reach):
            before.append(_moved(before[-1], 1, cyclic))
            after.append(_moved(after[-1], -1, cyclic))
        return ops.concatenate([*reversed(before), *after[1:]], axis=-1)

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        *sizes, channels = input_shape[0]
        return (*sizes, channels and (2 * self.reach + 1) * channels)

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
        return ops.concatenate([_moved(before, 1, cyclic), here, _moved(after, -1, cyclic)], axis=-1)

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return input_shape[0]


def _moved(features: KerasTensor, by: int, cyclic: KerasTensor) -> KerasTensor:
    """Features of the frame before (1) or after (-1)."""
    n_frames = ops.shape(features)[1]
    first, last = _frames(features, 0, 1), _frames(features, n_frames - 1, 1)
    around = ops.cast(ops.reshape(cyclic, (-1,) + (1,) * (len(features.shape) - 1)), features.dtype)
    # Where there is one frame, it is its own neighbour.
    if by == 1:
        return ops.concatenate([first + around * (last - first), _frames(features, 0, n_frames - 1)], axis=1)
    return ops.concatenate([_frames(features, 1, n_frames - 1), last + around * (first - last)], axis=1)


def _frames(features: KerasTensor, first: Any, number: Any) -> KerasTensor:
    # Not features[:, first:last], whose gradient costs TensorFlow as much as a convolution.
    batch, _, *others = ops.shape(features)
    return ops.slice(features, (0, first, *[0] * len(others)), (batch, number, *others))


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


# --- the measurement


@keras.saving.register_keras_serializable(package="csmri")
class DataConsistency(_LikeFirst):
    """Bring an image towards the measured data: [image, data, mask, maps, noise] -> image.

    It minimises |E x - data|^2 + damping |x - image|^2 by conjugate gradients from the image, every frame and column
    on its own. The damping is (noise / trust)^2, the trust in the image being trained: without noise of one coil the
    acquired lines are put back, exactly, in the one step that one coil takes.

    Called with `image` (batch, frame, x, y, 2), `data` (coil, batch, frame, x, ky) and `maps` (coil, batch, 1, x, y)
    complex, `mask` (batch, frame, 1, ky), and `noise` (batch, 1), in the unit of the image.

    Parameters
    ----------
    steps : int >= 1
        Of conjugate gradients for several coils.
    trust : float > 0
        In the image at first: the standard deviation of its error.
    """

    def __init__(self, steps: int, *, trust: float = 0.03, **options: Any) -> None:
        super().__init__(**options)
        self.steps, self.trust = steps, trust

    def build(self, input_shape: Any) -> None:
        start = keras.initializers.Constant(math.log(self.trust))
        self.log_trust = self.add_weight(name="log_trust", shape=(), initializer=start)

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        image, data, mask, maps, noise = inputs
        encoding = Encoding(ops.cast(mask, "complex64"), maps)
        damping = ops.square(ops.reshape(noise, (-1, 1, 1, 1)) / (ops.exp(self.log_trust) + LEAST_DAMPING))
        before = from_pair(image)
        # What is not acquired is zero in the data and in what is encoded.
        wanted = encoding.adjoint(data - encoding.encode(before))

        def one_coil() -> KerasTensor:
            return wanted / as_complex(1 + damping)  # what is acquired is a projection

        def several() -> KerasTensor:
            return damped_least_squares(encoding.normal, wanted, damping, steps=self.steps, axes=(-1,))

        n_coils = ops.shape(data)[0]
        if isinstance(n_coils, int):
            change = one_coil() if n_coils == 1 else several()
        else:
            change = ops.cond(n_coils == 1, one_coil, several)
        return image + ops.view_as_real(change)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "steps": self.steps, "trust": self.trust}


@keras.saving.register_keras_serializable(package="csmri")
class Measured(_Fixed):
    """What all cascades know, divided by the maximum of the initial reconstruction, in its resting phase.

    Called with the inputs of the network but `cyclic`, and the maximum (batch, 1, 1, 1, 1). It gives `image`, turned
    back by `phase` (batch, 1, x, y, 2); `data`, `mask`, `maps`, which carry that phase, and `noise` as
    `DataConsistency` takes them; and `told` (batch, 3): the share of lines that was acquired, the noise, and one over
    the number of coils.
    """

    def call(self, inputs: list[KerasTensor]) -> dict[str, KerasTensor]:
        initial, data, mask, maps, noise, peak = (ops.stop_gradient(one) for one in inputs)
        mask = ops.cast(mask, "float32")
        image = from_pair(initial / peak)
        phase = resting_phase(ops.mean(image, axis=1))[:, None]
        coils = from_pair(ops.swapaxes(maps, 0, 1))[:, :, None]
        noise = noise / peak[:, 0, 0, 0]
        n_coils = ops.cast(ops.shape(data)[1], "float32")
        share = ops.mean(mask, axis=(1, 2))[:, None]
        return {
            "image": ops.view_as_real(image * ops.conj(phase)),
            "phase": ops.view_as_real(phase),
            "data": from_pair(ops.swapaxes(data / peak[:, None], 0, 1)),
            "mask": mask[:, :, None],
            "maps": coils * phase[None],
            "noise": noise,
            "told": ops.concatenate([share, NOISE_GAIN * noise, ops.ones_like(share) / n_coils], axis=1),
        }


# --- total variation, before anything that is trained


@keras.saving.register_keras_serializable(package="csmri")
class SoftTotalVariation(_LikeFirst):
    """Total variation in time and space with more weight on what is out of phase; nothing in it is trained.

    Called with [image, data, mask, maps] as `DataConsistency` and `cyclic` (batch, 1). Half of the iterations are in
    the resting phase; the others in the phase that moves, as it is found then. No gradient passes.

    Parameters
    ----------
    iterations : int >= 1
        For every unit of acceleration, up to `LARGEST` of them.
    temporal, spatial : float >= 0
        Weights of the differences, for images with a maximum of one.
    out_of_phase : (float, float)
        How many times as much the imaginary part weighs, in the resting and in the moving phase.
    step, growth : float > 0
        The primal step is step R^growth, R the acceleration.

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
        out_of_phase: tuple[float, float] = (3.0, 5.0),
        step: float = 0.2,
        growth: float = 1.5,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.iterations, self.temporal, self.spatial = iterations, temporal, spatial
        self.out_of_phase, self.step, self.growth = tuple(out_of_phase), step, growth

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        image, data, mask, maps, cyclic = (ops.stop_gradient(one) for one in inputs)
        encoding = Encoding(ops.cast(mask, "complex64"), maps)
        acceleration = 1 / ops.maximum(ops.mean(mask, axis=(1, 2, 3)), 1e-6)
        primal = (self.step * acceleration**self.growth)[:, None, None, None]
        # Where more is missing, more has to move.
        half = ops.cast(ops.ceil(self.iterations * ops.minimum(ops.max(acceleration), LARGEST) / 2), "int32")
        first, second = self.out_of_phase
        image = self._minimise(image, None, encoding, data, primal, cyclic, first, half)
        phase = MovingPhase()([image, cyclic])
        return ops.stop_gradient(self._minimise(image, phase, encoding, data, primal, cyclic, second, half))

    def _minimise(
        self,
        image: KerasTensor,
        phase: KerasTensor | None,
        encoding: Encoding,
        data: KerasTensor,
        primal: KerasTensor,
        cyclic: KerasTensor,
        out_of_phase: float,
        iterations: Any,
    ) -> KerasTensor:
        frame = None if phase is None else from_pair(phase)
        share = as_complex(primal / (1 + primal))
        heavier: Any = np.array([1.0, out_of_phase], np.float32).reshape(2, 1, 1, 1, 1)

        def fit(parts: KerasTensor) -> KerasTensor:
            values = from_pair(ops.moveaxis(parts, 0, -1))
            whole = values if frame is None else values * frame
            change = share * encoding.adjoint(encoding.encode(whole) - data)
            change = change if frame is None else change * ops.conj(frame)
            return parts - ops.stack([ops.real(change), ops.imag(change)])

        def iterate(_: KerasTensor, state: tuple[Any, ...]) -> tuple[Any, ...]:
            parts, differences, duals = primal_dual(
                state[0],
                state[1:4],
                state[4:],
                fit,
                primal=primal,
                dual=1 / (12 * primal),  # 12 is the largest squared norm of the differences: 4 along each axis
                weights=(self.temporal * heavier, self.spatial * heavier),
                cyclic=cyclic,
            )
            return (parts, *differences, *duals)

        if phase is not None:
            image = InPhase()([image, phase])
        parts = ops.moveaxis(image, -1, 0)
        differences = difference(parts, cyclic=cyclic)
        state = (parts, *differences, *(ops.zeros_like(one) for one in differences))
        image = ops.moveaxis(ops.fori_loop(0, iterations, iterate, state)[0], 0, -1)
        return image if phase is None else WithPhase()([image, phase])

    def get_config(self) -> dict[str, Any]:
        names = ("iterations", "temporal", "spatial", "out_of_phase", "step", "growth")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


# --- the phase


@keras.saving.register_keras_serializable(package="csmri")
class MovingPhase(_LikeFirst):
    """Phase of a cine that moves, as cosine and sine: [image, cyclic] -> (batch, frame, x, y, 2); no gradient passes.

    The image is smoothed a little in time and space first: its phase carries noise and aliasing.
    """

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        image, cyclic = ops.stop_gradient(inputs[0]), inputs[1]
        before, here, after = FRAME_TAPS
        smooth = before * _moved(image, 1, cyclic) + here * image + after * _moved(image, -1, cyclic)
        batch, n_frames, *matrix, _ = ops.shape(smooth)
        frames = gaussian(from_pair(ops.reshape(smooth, (-1, *matrix, 2))), FRAME_WIDTH)
        return ops.stop_gradient(ops.reshape(ops.view_as_real(unit(frames)), (batch, n_frames, *matrix, 2)))


@keras.saving.register_keras_serializable(package="csmri")
class InPhase(_LikeFirst):
    """Turn an image back by a phase: [image, phase], pairs both."""

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        real, imaginary, cosine, sine = _parts(*inputs)
        return ops.stack([real * cosine + imaginary * sine, imaginary * cosine - real * sine], axis=-1)


@keras.saving.register_keras_serializable(package="csmri")
class WithPhase(_LikeFirst):
    """Turn an image by a phase, the inverse of `InPhase`."""

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        real, imaginary, cosine, sine = _parts(*inputs)
        return ops.stack([real * cosine - imaginary * sine, imaginary * cosine + real * sine], axis=-1)


def _parts(image: KerasTensor, phase: KerasTensor) -> tuple[KerasTensor, ...]:
    return image[..., 0], image[..., 1], phase[..., 0], phase[..., 1]


@keras.saving.register_keras_serializable(package="csmri")
class Motion(_Fixed):
    """What a cascade looks at: [image in phase (batch, frame, x, y, 2), phase] -> (..., 4).

    Real and imaginary part of what moves, the image less its temporal mean, times `GAIN`; the temporal mean of the
    real part, and how far the phase swings about its own mean.
    """

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        image, phase = inputs
        rest = ops.mean(image[..., :1], axis=1, keepdims=True)
        moving = ops.concatenate([image[..., :1] - rest, image[..., 1:]], axis=-1) * GAIN
        return ops.concatenate([moving, ops.zeros_like(moving[..., :1]) + rest, phase[..., 1:]], axis=-1)

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return (*input_shape[0][:-1], 4)


@keras.saving.register_keras_serializable(package="csmri")
class Corrected(_LikeFirst):
    """Add a correction to an image in phase and keep some of what is out of phase: [image, correction (..., 2)].

    z becomes Re z + c_0 / g + i (keep Im z + c_1 / g), g being `GAIN` and `keep` trained: 1 keeps all, 0 projects onto
    images in phase, as for one coil a line then tells of its mirror image, too, and -1 puts that in.
    """

    def __init__(self, keep: float = 0.3, **options: Any) -> None:
        super().__init__(**options)
        self.keep_at_first = keep

    def build(self, input_shape: Any) -> None:
        self.keep = self.add_weight(name="keep", shape=(), initializer=keras.initializers.Constant(self.keep_at_first))

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        image, correction = inputs
        # Padded rows and columns are at the end.
        change = ops.cast(ops.slice(correction, (0,) * 5, ops.shape(image)), "float32") / GAIN
        return ops.stack([image[..., 0] + change[..., 0], self.keep * image[..., 1] + change[..., 1]], axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "keep": self.keep_at_first}
