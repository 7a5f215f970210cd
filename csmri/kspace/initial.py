"""From k-t data to the images that need no network: zero-filled and initial reconstruction."""

from __future__ import annotations

import tensorflow as tf

from csmri.kspace.fourier import fft_y, ifft_y
from csmri.kspace.interpolation import interpolate_frames
from csmri.kspace.sampling import undersample


def zero_filled(hybrid: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Magnitude (..., frame, y, x) with zeros where hybrid space (..., frame, ky, x) was not acquired."""
    return tf.abs(ifft_y(undersample(hybrid, mask)))


def initial_reconstruction(hybrid: tf.Tensor, mask: tf.Tensor, *, cyclic: bool = True) -> tf.Tensor:
    """Magnitude (..., frame, y, x) after temporal interpolation of hybrid space (..., frame, ky, x): I of the paper."""
    return tf.abs(ifft_y(interpolate_frames(hybrid, mask, cyclic=cyclic)))


def simulate_initial(images: tf.Tensor, mask: tf.Tensor, *, cyclic: bool = True) -> tf.Tensor:
    """Undersample fully sampled images (..., frame, y, x) with a mask (frame, ky) and reconstruct them initially."""
    return initial_reconstruction(fft_y(images), mask, cyclic=cyclic)
