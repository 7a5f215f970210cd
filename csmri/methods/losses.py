"""What the training minimises, and what it logs of the reconstructed images, of targets as tasks make them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from csmri.methods.scaling import NO_ERROR
from csmri.physics.encoding import Encoding
from csmri.physics.fourier import as_complex, from_pair
from csmri.physics.linear import squared

LEAST_ERROR = 1e-7
"""Mean square of the normalised error that a relative loss takes an initial reconstruction to have at least: of a blank
or static image nothing is to be learnt, and nothing must be divided by."""

SMALLEST = 1e-4
"""Of the maximum: a magnitude below it counts as nothing."""

LEAST_ENERGY = 1e-12
"""Of the held-out lines: an error below it counts as none."""
COILS_AND_LINES = (0, 2, 3, 4)
"""All axes but the batch of data (coil, batch, frame, x, ky)."""


class Additive(keras.losses.Loss):
    """A loss of a batch that is a total over an amount, both of which add up over parts of the batch.

    So that devices that have parts of a batch, of whatever size, find the loss of the whole.
    """

    def total_and_amount(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Total error of a part and how much it counts, two float32 scalars; by default as many cines as it has."""
        errors = self.call(y_true, y_pred)
        return ops.sum(errors), ops.cast(ops.shape(errors)[0], errors.dtype)


class _Relative(Additive):
    """A loss that may be `relative`: divided, image by image or cine by cine, by that of the initial reconstruction."""

    def __init__(self, relative: bool = False, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.relative = relative

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "relative": self.relative}


@keras.saving.register_keras_serializable("csmri")
class TargetError(_Relative):
    """Mean squared error between predicted and true normalised error, over the images without their padding.

    The target (batch, y, x, 3) is the normalised error of equation (2), the normalised initial reconstruction, and 1 on
    the image, 0 on its padding. Of the initial reconstruction the prediction is 1/2.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        total, amount = self.total_and_amount(y_true, y_pred)
        return total / amount

    def total_and_amount(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        target, weight = y_true[..., 0], y_true[..., 2]
        error = weight * ops.square(target - y_pred[..., 0])
        if self.relative:
            initial = ops.sum(weight * ops.square(target - NO_ERROR), axis=(1, 2), keepdims=True)
            error = error / ops.maximum(initial / ops.sum(weight, axis=(1, 2), keepdims=True), LEAST_ERROR)
        return ops.sum(error), ops.sum(weight)


@keras.saving.register_keras_serializable("csmri")
class CineError(_Relative):
    """Mean squared error of complex images (batch, frame, y, x, 2) against a target (batch, frame, y, x, 4).

    The target is the reference and the initial reconstruction, each as a pair. Unless relative, the error is in
    units of the square of the initial reconstruction's maximum.

    Parameters
    ----------
    magnitude_share : float in [0, 1]
        How much the error of the magnitude counts beside that of the complex image.
    """

    def __init__(self, relative: bool = False, magnitude_share: float = 0.0, **options: Any) -> None:
        super().__init__(relative, **options)
        self.magnitude_share = magnitude_share

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "magnitude_share": self.magnitude_share}

    def call(self, y_true: Any, y_pred: Any) -> Any:
        reference, initial = y_true[..., :2], y_true[..., 2:]
        peak = ops.max(ops.square(initial), axis=(1, 2, 3, 4))

        peak = ops.where(peak > 0, peak, 1.0)

        def mean(squares: Any) -> Any:
            return ops.mean(ops.sum(squares, axis=-1), axis=(1, 2, 3))

        def magnitude(images: Any) -> Any:
            # Not the root alone, whose gradient is infinite where nothing is.
            squares = ops.sum(ops.square(images), axis=-1, keepdims=True)
            return ops.sqrt(squares + SMALLEST**2 * peak[:, None, None, None, None])

        def error(of: Callable[[Any], Any]) -> Any:
            ours, start = (mean(ops.square(of(images) - of(reference))) for images in (y_pred, initial))
            return ours / (ops.maximum(start, LEAST_ERROR * peak) if self.relative else peak)

        share = self.magnitude_share
        return (1 - share) * error(lambda images: images) + (share * error(magnitude) if share else 0.0)


@keras.saving.register_keras_serializable("csmri")
class ImageMean(keras.metrics.Mean):
    """Mean over images of a quantity of the reconstructed image, in units of the initial reconstruction's maximum.

    `quantity` is "nmse" (of max(I + E, 0) against G, what figure 3 plots), "initial_nmse" (of I against G) or "bias"
    (mean of reconstructed minus reference). Targets are those of `TargetError`.
    """

    def __init__(self, quantity: str, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(name=name or quantity, **kwargs)
        self.quantity = quantity

    def images(self, y_true: Any, y_pred: Any) -> tuple[Any, Any, Any, Any]:
        """Magnitudes (..., y, x) initial, reference and reconstructed, and 1 on the image, 0 on its padding."""
        initial, weight = y_true[..., 1], y_true[..., 2]
        reference = initial + 2.0 * y_true[..., 0] - 1.0
        return initial, reference, ops.maximum(initial + 2.0 * y_pred[..., 0] - 1.0, 0.0), weight

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        initial, reference, reconstructed, weight = self.images(y_true, y_pred)
        difference = (initial if self.quantity == "initial_nmse" else reconstructed) - reference

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


@keras.saving.register_keras_serializable("csmri")
class CineMean(ImageMean):
    """The same of complex images and the targets of `CineError`."""

    def images(self, y_true: Any, y_pred: Any) -> tuple[Any, Any, Any, Any]:
        peak = ops.max(ops.abs(y_true[..., 2:]), axis=(1, 2, 3, 4), keepdims=True)
        pairs = (y_true[..., 2:], y_true[..., :2], y_pred)
        initial, reference, reconstructed = (ops.norm(pair / ops.where(peak > 0, peak, 1.0), axis=-1) for pair in pairs)
        return initial, reference, reconstructed, ops.ones_like(reference)


# --- self-supervised: of k-space lines that were acquired, and held out from the network


@keras.saving.register_keras_serializable("csmri")
class HeldOutError(Additive):
    """Error of held-out lines of all coils, as complex images (batch, frame, x, y, 2) predict them.

    Half of the norm of the error over that of the data, and half of the same in the 1-norm of real and imaginary parts
    (Yaman et al., Magn Reson Med 2020, doi 10.1002/mrm.28378, equation 8): 1 for an empty image, 0 for the true one
    without noise. It needs no true image.

    The target (batch, 2 + coil, frame + 1, x, y, 2) has pairs of real and imaginary part: the initial reconstruction,
    which only metrics look at; the mask, 1 on held-out lines; then coil by coil the data, zero on all other lines. Data
    and mask are of the plain transform, DC first, see `physics.encoding`. The last frame is that of the coil's
    sensitivity map.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        data, _, missed = _held_out(y_true, y_pred)
        energy = ops.sum(squared(missed), axis=COILS_AND_LINES) / _energy(data)
        size = _size(missed) / ops.where(_size(data) > 0, _size(data), 1.0)
        # Not the root alone, whose gradient is infinite where nothing is missed.
        return (ops.sqrt(energy + LEAST_ENERGY) + size) / 2


@keras.saving.register_keras_serializable("csmri")
class HeldOutMean(keras.metrics.Mean):
    """Mean over cines of the squared error of held-out lines over their energy; targets are those of `HeldOutError`.

    `quantity` is "held_out" (of the network's images) or "initial_held_out" (of the initial reconstruction).
    """

    def __init__(self, quantity: str, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(name=name or quantity, **kwargs)
        self.quantity = quantity

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        data, missed_initial, missed = _held_out(y_true, y_pred)
        chosen = missed_initial if self.quantity == "initial_held_out" else missed
        return super().update_state(ops.sum(squared(chosen), axis=COILS_AND_LINES) / _energy(data))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "quantity": self.quantity}


def _held_out(target: Any, predicted: Any) -> tuple[Any, Any, Any]:
    """Held-out data (coil, batch, frame, x, ky), and what the initial and the predicted images miss of them."""
    initial, mask = target[:, 0, :-1], as_complex(target[:, 1, :-1, ..., 0])
    coils = from_pair(ops.swapaxes(target[:, 2:], 0, 1))
    data, maps = coils[:, :, :-1], coils[:, :, -1:]
    encoding = Encoding(mask, maps)
    return data, *(encoding.encode(from_pair(images)) - data for images in (initial, predicted))


def _energy(data: Any) -> Any:
    energy = ops.sum(squared(data), axis=COILS_AND_LINES)
    return ops.where(energy > 0, energy, 1.0)  # where nothing is held out, nothing is missed


def _size(data: Any) -> Any:
    return ops.sum(ops.abs(ops.real(data)) + ops.abs(ops.imag(data)), axis=COILS_AND_LINES)
