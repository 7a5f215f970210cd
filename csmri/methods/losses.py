"""What the training minimises of the normalised error, and what it logs of the reconstructed images."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from csmri.methods.scaling import NO_ERROR

LEAST_ERROR = 1e-7
"""Mean square of the normalised error that the relative loss takes an initial reconstruction to have at least."""


@keras.saving.register_keras_serializable("csmri")
class TargetError(keras.losses.Loss):
    """Mean squared error between predicted and true normalised error, over the image without its padding.

    `relative` divides it, image by image, by that of the initial reconstruction (of the prediction 1/2), so that
    images at a low acceleration count as much as others.
    """

    def __init__(self, relative: bool = False, name: str = "target_error", **kwargs: Any) -> None:
        super().__init__(name=name, **{**kwargs, "reduction": "mean_with_sample_weight"})
        self.relative = relative

    def call(self, y_true: Any, y_pred: Any) -> Any:
        error = ops.square(y_true[..., 0] - y_pred[..., 0])
        if not self.relative:
            return error
        # Of a blank or static image nothing is to be learnt; the floor keeps it from being divided by nothing.
        initial = ops.mean(ops.square(y_true[..., 0] - NO_ERROR), axis=(1, 2), keepdims=True)
        return error / ops.maximum(initial, LEAST_ERROR)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "relative": self.relative}


@keras.saving.register_keras_serializable("csmri")
class CineError(keras.losses.Loss):
    """Mean squared error of complex images, (batch, frame, y, x, 2) against the reference in `cines.cine_example`.

    `relative` divides it, cine by cine, by that of the initial reconstruction; else it is in units of the square of the
    initial reconstruction's maximum.
    """

    def __init__(self, relative: bool = False, name: str = "cine_error", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.relative = relative

    def call(self, y_true: Any, y_pred: Any) -> Any:
        reference, initial = y_true[..., :1], y_true[..., 1:]
        reference = ops.concatenate([reference, ops.zeros_like(reference)], axis=-1)
        peak = ops.max(ops.square(initial), axis=(1, 2, 3, 4))

        def error(images: Any) -> Any:
            return ops.mean(ops.sum(ops.square(images - reference), axis=-1), axis=(1, 2, 3))

        peak = ops.where(peak > 0, peak, 1.0)
        return error(y_pred) / (ops.maximum(error(initial), LEAST_ERROR * peak) if self.relative else peak)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "relative": self.relative}


@keras.saving.register_keras_serializable("csmri")
class ImageMean(keras.metrics.Mean):
    """Mean over images of a quantity of the reconstructed image, in units of the initial reconstruction's maximum.

    `quantity` is "nmse" (of max(I + E, 0) against G, what figure 3 plots), "initial_nmse" (of I against G) or "bias"
    (mean of reconstructed minus reference).
    """

    def __init__(self, quantity: str, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(name=name or quantity, **kwargs)
        self.quantity = quantity

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        initial, reference, reconstructed = _images(y_true, y_pred)
        difference = (initial if self.quantity == "initial_nmse" else reconstructed) - reference
        weight = ops.ones_like(initial) if sample_weight is None else sample_weight

        def over_image(values: Any) -> Any:
            return ops.sum(values * weight, axis=(-2, -1))

        if self.quantity == "bias":
            return super().update_state(over_image(difference) / ops.sum(weight, axis=(-2, -1)))
        energy = over_image(ops.square(reference))
        # A blank frame (real data has them) has no NMSE; it gets no weight in the mean.
        present = energy > 0
        nmse = over_image(ops.square(difference)) / ops.where(present, energy, 1.0)
        return super().update_state(nmse, sample_weight=ops.cast(present, nmse.dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "quantity": self.quantity}


def _images(y_true: Any, y_pred: Any) -> tuple[Any, Any, Any]:
    """Magnitudes (..., frame, y, x) initial, reference and reconstructed, of the U-net or of the unrolled network."""
    if y_pred.shape[-1] == 2:
        peak = ops.max(ops.abs(y_true[..., 1:]), axis=(1, 2, 3, 4), keepdims=True)
        peak = ops.where(peak > 0, peak, 1.0)
        reference = y_true[..., 0] / peak[..., 0]
        return ops.norm(y_true[..., 1:] / peak, axis=-1), reference, ops.norm(y_pred / peak, axis=-1)
    initial = y_true[..., 1]
    reference = initial + 2.0 * y_true[..., 0] - 1.0
    return initial, reference, ops.maximum(initial + 2.0 * y_pred[..., 0] - 1.0, 0.0)
