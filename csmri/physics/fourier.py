"""Centred orthonormal Fourier transforms between image, hybrid (ky, x) and k-space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from keras import ops


def fft(values: Any) -> Any:
    """Transform the last axis, DC first, not normalised, of a complex tensor of TensorFlow or of the Keras backend."""
    if tf.is_tensor(values):  # also where Keras has another backend: what `tf.data` simulates
        return tf.signal.fft(values)
    return from_pair(ops.stack(ops.fft((ops.real(values), ops.imag(values))), axis=-1))


def ifft(values: Any) -> Any:
    """Invert `fft`."""
    if tf.is_tensor(values):
        return tf.signal.ifft(values)
    # The inverse transform is the forward one with real and imaginary part exchanged, over n.
    imaginary, real = ops.fft((ops.imag(values), ops.real(values)))
    return from_pair(ops.stack([real, imaginary], axis=-1)) / values.shape[-1]


def fft_y(image: tf.Tensor) -> tf.Tensor:
    """Image (..., y, x) to hybrid space (..., ky, x); complex64, DC at index n_ky // 2."""
    return tf.linalg.matrix_transpose(fft_x(tf.linalg.matrix_transpose(image)))


def ifft_y(hybrid: tf.Tensor) -> tf.Tensor:
    """Hybrid space (..., ky, x) to image (..., y, x); inverse and adjoint of `fft_y`."""
    return tf.linalg.matrix_transpose(ifft_x(tf.linalg.matrix_transpose(hybrid)))


def fft_x(values: tf.Tensor) -> tf.Tensor:
    """Transform the last axis, x to kx; complex64, DC at index n // 2."""
    # TensorFlow's ifft divides by n and its fft does not: dividing here and multiplying there makes both orthonormal.
    return _centred(fft, values) / _root_of_length(values)


def ifft_x(values: tf.Tensor) -> tf.Tensor:
    """Transform the last axis back, kx to x; inverse and adjoint of `fft_x`."""
    return _centred(ifft, values) * _root_of_length(values)


def image_to_kspace(image: tf.Tensor) -> tf.Tensor:
    """Image (..., y, x) to k-space (..., ky, kx), complex64."""
    return fft_x(fft_y(image))


def kspace_to_image(kspace: tf.Tensor) -> tf.Tensor:
    """K-space (..., ky, kx) to image (..., y, x), complex64."""
    return ifft_y(ifft_x(kspace))


def as_pair(values: tf.Tensor) -> tf.Tensor:
    """Complex values (...) as real and imaginary part (..., 2), as networks take them."""
    return tf.stack([tf.math.real(values), tf.math.imag(values)], axis=-1)


def from_pair(pair: Any) -> Any:
    """Complex values (...) of pairs (..., 2); inverse of `as_pair`."""
    if tf.is_tensor(pair):  # Keras casts both parts, of which TensorFlow warns in every gradient
        return tf.complex(pair[..., 0], pair[..., 1])
    return ops.view_as_complex(pair)


def from_parts(real: Any, imaginary: Any) -> Any:
    """Complex values of their real and imaginary parts."""
    if tf.is_tensor(real):
        return tf.complex(real, imaginary)
    return from_pair(ops.stack([real, imaginary], axis=-1))


def as_complex(real: Any) -> Any:
    """Complex values of real ones; unlike a cast, it has a gradient that TensorFlow does not warn of."""
    return from_parts(real, ops.zeros_like(real))


def _centred(transform: Callable[[tf.Tensor], tf.Tensor], values: tf.Tensor) -> tf.Tensor:
    return tf.signal.fftshift(transform(tf.signal.ifftshift(tf.cast(values, tf.complex64), axes=-1)), axes=-1)


def _root_of_length(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.sqrt(tf.cast(tf.shape(values)[-1], tf.float32)), tf.complex64)
