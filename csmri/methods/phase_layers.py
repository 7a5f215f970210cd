"""Keras layers of the phase that moves: it is found, taken off and put back, and what is in phase is corrected.

Layouts as in `methods.layers`.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import KerasTensor, ops

from csmri.methods.layers import Fixed, LikeFirst, moved
from csmri.physics.fourier import from_pair
from csmri.physics.phase import unit
from csmri.physics.smoothing import gaussian

GAIN = 10.0
"""What moves is a tenth of what rests, or less: multiplied by this it is of the order of one."""
FRAME_WIDTH = 1.2
"""Standard deviation [pixels] of the Gaussian behind the moving phase: less than a vessel, whose edges are sharp."""
FRAME_TAPS = (0.2, 0.6, 0.2)
"""Weights of the frame before, the frame itself and the one after, behind the moving phase."""


@keras.saving.register_keras_serializable(package="csmri")
class MovingPhase(LikeFirst):
    """Phase of a cine that moves, as cosine and sine: [image, cyclic] -> (batch, frame, x, y, 2); no gradient passes.

    The image is smoothed a little in time and space first: its phase carries noise and aliasing.
    """

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        image, cyclic = ops.stop_gradient(inputs[0]), inputs[1]
        before, here, after = FRAME_TAPS
        smooth = before * moved(image, 1, cyclic) + here * image + after * moved(image, -1, cyclic)
        batch, n_frames, *matrix, _ = ops.shape(smooth)
        frames = gaussian(from_pair(ops.reshape(smooth, (-1, *matrix, 2))), FRAME_WIDTH)
        return ops.stop_gradient(ops.reshape(ops.view_as_real(unit(frames)), (batch, n_frames, *matrix, 2)))


@keras.saving.register_keras_serializable(package="csmri")
class InPhase(LikeFirst):
    """Turn an image back by a phase: [image, phase], pairs both."""

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        real, imaginary, cosine, sine = _parts(*inputs)
        return ops.stack([real * cosine + imaginary * sine, imaginary * cosine - real * sine], axis=-1)


@keras.saving.register_keras_serializable(package="csmri")
class WithPhase(LikeFirst):
    """Turn an image by a phase, the inverse of `InPhase`."""

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        real, imaginary, cosine, sine = _parts(*inputs)
        return ops.stack([real * cosine - imaginary * sine, imaginary * cosine + real * sine], axis=-1)


def _parts(image: KerasTensor, phase: KerasTensor) -> tuple[KerasTensor, ...]:
    return image[..., 0], image[..., 1], phase[..., 0], phase[..., 1]


@keras.saving.register_keras_serializable(package="csmri")
class Motion(Fixed):
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
class Corrected(LikeFirst):
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
