"""Keras layers that csmri adds, in `keras.ops` alone, so that they train on every backend."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import KerasTensor, ops

from csmri.errors import CsmriError


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
