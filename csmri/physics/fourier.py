"""Centred orthonormal Fourier transforms between image, hybrid (ky, x) and k-space."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def fft_y(image: tf.Tensor) -> tf.Tensor:
    """Image (..., y, x) to hybrid space (..., ky, x); complex64, DC at index n_ky // 2."""
    return tf.linalg.matrix_transpose(fft_x(tf.linalg.matrix_transpose(image)))


def ifft_y(hybrid: tf.Tensor) -> tf.Tensor:
    """Hybrid space (..., ky, x) to image (..., y, x); inverse and adjoint of `fft_y`."""
    return tf.linalg.matrix_transpose(ifft_x(tf.linalg.matrix_transpose(hybrid)))


def fft_x(values: tf.Tensor) -> tf.Tensor:
    """Transform the last axis, x to kx; complex64, DC at index n // 2."""
    # TensorFlow's ifft divides by n and its fft does not: dividing here and multiplying there makes both orthonormal.
    return _centred(tf.signal.fft, values) / _root_of_length(values)


def ifft_x(values: tf.Tensor) -> tf.Tensor:
    """Transform the last axis back, kx to x; inverse and adjoint of `fft_x`."""
    return _centred(tf.signal.ifft, values) * _root_of_length(values)


def image_to_kspace(image: tf.Tensor) -> tf.Tensor:
    """Image (..., y, x) to k-space (..., ky, kx), complex64."""
    return fft_x(fft_y(image))


def kspace_to_image(kspace: tf.Tensor) -> tf.Tensor:
    """K-space (..., ky, kx) to image (..., y, x), complex64."""
    return ifft_y(ifft_x(kspace))


def as_pair(values: tf.Tensor) -> tf.Tensor:
    """Complex values (...) as real and imaginary part (..., 2), as networks take them."""
    return tf.stack([tf.math.real(values), tf.math.imag(values)], axis=-1)


def _centred(transform: Callable[[tf.Tensor], tf.Tensor], values: tf.Tensor) -> tf.Tensor:
    return tf.signal.fftshift(transform(tf.signal.ifftshift(tf.cast(values, tf.complex64), axes=-1)), axes=-1)


def _root_of_length(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.sqrt(tf.cast(tf.shape(values)[-1], tf.float32)), tf.complex64)
