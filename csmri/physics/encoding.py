"""What a scanner does to an image, E = mask . F_y . maps, its adjoint and its normal operator.

In `keras.ops` and operators alone, so that the same lines run eagerly, in `tf.data`, inside networks and on other
backends.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from keras import ops

from csmri.data.acquisition import Acquisition
from csmri.physics.fourier import fft, fft_y, ifft, ifft_y
from csmri.physics.linear import conjugate_gradient_step

Transform = Callable[[Any], Any]
PROXIMAL_STEPS = 2
"""Of conjugate gradients for one proximal step of several coils; four change heart-box errors by 2 % at most."""


@dataclass(frozen=True, eq=False)
class Encoding:
    """The encoding of one acquisition, in either of two layouts.

    As `encoding_of` makes it, images are (frame, y, x) and data (coil, frame, ky, x). In the layout of iterations,
    which is the default, y is the last axis, images (..., frame, x, y) and data (coil, ..., frame, x, ky), so that
    the transform needs no transposition, and it is the library's plain one: its shifts are unitary and diagonal in
    ky, and cancel between an image and its data.

    Parameters
    ----------
    mask : complex64, 1 = acquired; has the axes of an image
    maps : (coil, 1, y, x) or (coil, 1, x, y), complex64, or None for one coil of sensitivity 1
    forward, inverse : callable
        The transform along y, and its inverse.
    """

    mask: Any
    maps: Any = None
    forward: Transform = fft
    inverse: Transform = ifft

    def encode(self, image: Any) -> Any:
        """E: image to data, zero where not acquired."""
        return self.mask * self.forward(self.to_coils(image))

    def adjoint(self, data: Any) -> Any:
        """Map data to an image, the adjoint of `encode` (up to n_ky where `forward` is not unitary)."""
        return self.combine(self.inverse(self.mask * data))

    def normal(self, image: Any) -> Any:
        """Apply the adjoint to what `encode` gives; its norm is at most 1 where the maps' root sum of squares is.

        As `adjoint_residual`, of a complex image in tensors of the Keras backend where there are several coils.
        """
        return self._coil_by_coil(
            lambda of_coil, through_map: self.mask * self.forward(through_map(image)), image
        )  # the mask a second time would change nothing

    def adjoint_residual(self, image: Any, data: Any) -> Any:
        """E^H (data - E image), of data that are zero where not acquired."""
        return self._coil_by_coil(
            lambda of_coil, through_map: of_coil(data) - self.mask * self.forward(through_map(image)), image
        )

    def _coil_by_coil(self, encoded: Callable[[Transform, Transform], Any], image: Any) -> Any:
        """Sum of conj(map) F^-1 encoded over the coils, which the mask must have been on.

        All at once, the images of several coils do not fit into a processor's cache, and take twice as long.
        """
        if self.maps is None:
            return self.inverse(encoded(lambda values: values[0], lambda values: values))

        def seen_by(coil: Any) -> Any:
            sensitivity = self.maps[coil]
            seen = encoded(lambda values: values[coil], lambda values: sensitivity * values)
            return ops.conj(sensitivity) * self.inverse(seen)

        if self.maps.shape[0] == 1:
            return seen_by(0)
        n_coils = ops.shape(self.maps)[0]
        return ops.fori_loop(0, n_coils, lambda coil, total: total + seen_by(coil), ops.zeros_like(image))

    def to_coils(self, image: Any) -> Any:
        """Image as every coil sees it."""
        return image[None] if self.maps is None else self.maps * image[None]

    def combine(self, coils: Any) -> Any:
        """Combine coil images by the conjugate maps, the adjoint of `to_coils`."""
        if self.maps is None:
            return tf.squeeze(coils, 0) if tf.is_tensor(coils) else ops.squeeze(coils, 0)
        if tf.is_tensor(coils):  # also where Keras has another backend: what `tf.data` simulates
            return tf.reduce_sum(tf.math.conj(self.maps) * coils, axis=0)
        return ops.sum(ops.conj(self.maps) * coils, axis=0)

    def consistent(self, image: Any, data: Any, share: Any = 1.0, *, phase: Any = None) -> Any:
        """Bring an image closer to the measured data: image - E^H share (E image - data).

        With one coil and a share of 1 the acquired lines are put back, and weight / (1 + weight) averages them with
        the image's, `weight` being the trust in the measurement over the image (Schlemper et al., IEEE TMI 2018, doi
        10.1109/TMI.2017.2760978, equation 8). On noise-free data the error of the complex image never grows; that of
        the magnitude may.

        Parameters
        ----------
        share : float, or real or complex array of the mask's shape
        phase : complex array, optional
            Unit numbers; the image is real then, and stands for image x phase.
        """
        whole = image if phase is None else with_phase(image, phase)
        missed = ops.cast(share, "complex64") * self.mask * (self.forward(self.to_coils(whole)) - data)
        change = self.combine(self.inverse(missed))
        return image - (change if phase is None else in_phase(change, phase))

    def proximal(self, image: Any, data: Any, step: Any, *, phase: Any = None, share: Any = 1.0) -> Any:
        """Minimise half the squared distance to an image plus `step` times half the squared misfit to the data.

        With one coil in one step, whatever the mask: E^H E is a projection. With several by `PROXIMAL_STEPS` steps of
        conjugate gradients.

        Parameters
        ----------
        step : float
        phase : complex array, optional
            As for `consistent`.
        share : real array, optional
            Of one coil with a phase, `mirrored_share`; of no meaning for several.
        """
        if self.maps is None:
            return self.consistent(image, data, step / (1 + step) * share, phase=phase)
        length = ops.cast(step, image.dtype)

        def whole(values: Any) -> Any:
            return values if phase is None else with_phase(values, phase)

        def of_image(values: Any) -> Any:
            return length * (values if phase is None else in_phase(values, phase))

        def apply(values: Any) -> Any:
            return values + of_image(self.normal(whole(values)))

        remainder = of_image(self.adjoint_residual(whole(image), data))
        change, direction = ops.zeros_like(image), remainder
        for _ in range(PROXIMAL_STEPS):
            change, remainder, direction, _ = conjugate_gradient_step(apply, change, remainder, direction)
        return image + change


def with_phase(image: Any, phase: Any) -> Any:
    """Complex image of a real one and unit numbers."""
    return ops.cast(image, "complex64") * phase


def in_phase(image: Any, phase: Any) -> Any:
    """Real part of a complex image turned back by unit numbers; adjoint of `with_phase`."""
    return ops.real(image) * ops.real(phase) + ops.imag(image) * ops.imag(phase)


def encoding_of(acquisition: Acquisition) -> Encoding:
    """Encoding of images (frame, y, x) to data (coil, frame, ky, x), DC at index n_ky // 2."""
    maps = None if acquisition.maps is None else tf.convert_to_tensor(acquisition.maps)[:, tf.newaxis]
    return Encoding(as_weights(acquisition.mask)[..., tf.newaxis], maps, fft_y, ifft_y)


def in_columns(acquisition: Acquisition) -> tuple[tf.Tensor, tf.Tensor]:
    """Bring an acquisition to the layout of iterations, in TensorFlow.

    Returns
    -------
    data : (coil, frame, x, ky), complex64
        In the order and unit of the plain transform of an image (frame, x, y).
    mask : (frame, ky), bool
        In the same order, DC first.
    """
    data = columns(tf.convert_to_tensor(acquisition.data))
    n = tf.shape(data)[-1]
    # A shift of the image by n // 2 rows is a ramp of its transform; the orthonormal one is smaller by the root of n.
    turn = tf.cast(tf.range(n) * (n // 2) % n, tf.float32) * (-2 * math.pi / tf.cast(n, tf.float32))
    ramp = tf.complex(tf.cos(turn), tf.sin(turn)) * tf.cast(tf.sqrt(tf.cast(n, tf.float32)), tf.complex64)
    return tf.signal.ifftshift(data, axes=-1) * ramp, tf.signal.ifftshift(acquisition.mask, axes=-1)


def mirrored_share(mask: Any) -> Any:
    """Weight of acquired lines (..., ky), DC first, in the data of an image with a known phase, of one coil.

    A line tells of its mirror image, too, half each where both were acquired.
    """
    real = ops.real(mask)
    return real * (2 - ops.roll(ops.flip(real, axis=-1), 1, axis=-1))


def columns(image: Any) -> Any:
    """(..., y, x) to (..., x, y), the layout of iterations, and back."""
    if tf.is_tensor(image):  # also where Keras has another backend: what `tf.data` simulates
        return tf.linalg.matrix_transpose(image)
    return ops.swapaxes(image, -1, -2)


def as_weights(mask: Any) -> tf.Tensor:
    """Boolean mask as complex 0 and 1."""
    return tf.cast(tf.convert_to_tensor(mask), tf.complex64)


def share_of(weight: float) -> float:
    """Share of the measurement in the average with an image, of its weight: weight / (1 + weight), 1 for infinity."""
    return 1 - 1 / (1 + weight)
