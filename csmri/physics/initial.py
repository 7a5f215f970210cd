"""From k-t data to the initial reconstruction, which needs no network."""

from __future__ import annotations

import tensorflow as tf

from csmri.physics.fourier import fft_y, ifft_y
from csmri.physics.interpolation import interpolate_frames


def initial_images(hybrid: tf.Tensor, mask: tf.Tensor, *, cyclic: bool = True) -> tf.Tensor:
    """Complex images (..., frame, y, x) after temporal interpolation of hybrid space (..., frame, ky, x)."""
    return ifft_y(interpolate_frames(hybrid, mask, cyclic=cyclic))


def initial_reconstruction(hybrid: tf.Tensor, mask: tf.Tensor, *, cyclic: bool = True) -> tf.Tensor:
    """Magnitude of `initial_images`: I of the paper."""
    return tf.abs(initial_images(hybrid, mask, cyclic=cyclic))


def simulate_initial(images: tf.Tensor, mask: tf.Tensor, *, cyclic: bool = True) -> tf.Tensor:
    """Undersample fully sampled images (..., frame, y, x) with a mask (frame, ky) and reconstruct them initially."""
    return initial_reconstruction(fft_y(images), mask, cyclic=cyclic)
