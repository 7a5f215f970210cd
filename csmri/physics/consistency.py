"""Data consistency: what was measured overrules what was reconstructed, on hybrid (..., frame, ky, x) data.

kx is fully read, so the transform along x cancels, here as everywhere in csmri.
"""

from __future__ import annotations

import math

import tensorflow as tf

from csmri.core.errors import CsmriError
from csmri.physics.fourier import fft_y, ifft_y
from csmri.physics.initial import initial_images


def hard(hybrid: tf.Tensor, measured: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Put the acquired lines back, bit for bit.

    Parameters
    ----------
    hybrid, measured : (..., frame, ky, x), complex64
        Reconstructed and measured; `measured` is read only where the mask marks a line.
    mask : (frame, ky), bool

    Returns
    -------
    tf.Tensor (..., frame, ky, x), complex64
    """
    return tf.where(tf.convert_to_tensor(mask)[..., tf.newaxis], measured, hybrid)


def soft(hybrid: tf.Tensor, measured: tf.Tensor, mask: tf.Tensor, *, weight: float) -> tf.Tensor:
    """Average reconstructed and measured data on the acquired lines: (reconstructed + weight measured) / (1 + weight).

    Parameters
    ----------
    hybrid, measured, mask
        As for `hard`.
    weight : float >= 0
        Trust in the measurement over the reconstruction, the ratio of the inverses of their error variances; 0 leaves
        everything as it is and infinity is `hard`.

    References
    ----------
    Schlemper et al., IEEE TMI 2018, doi 10.1109/TMI.2017.2760978, equation (8).
    """
    if not weight >= 0:
        raise CsmriError(f"data consistency: the weight of the measurement must be 0 or more, got {weight:g}")
    if math.isinf(weight):
        return hard(hybrid, measured, mask)
    hybrid = tf.convert_to_tensor(hybrid)
    share = tf.constant(weight / (1 + weight), hybrid.dtype)
    return hard(hybrid, hybrid + share * (measured - hybrid), mask)


def enforce(image: tf.Tensor, measured: tf.Tensor, mask: tf.Tensor, *, weight: float = math.inf) -> tf.Tensor:
    """Make complex images (..., frame, y, x) consistent with measured hybrid data (..., frame, ky, x).

    On noise-free data the error of the complex image, in every coil and frame, never grows: the errors of the acquired
    lines shrink by 1 + weight and the others stay. That of the magnitude image may.
    """
    return ifft_y(soft(fft_y(image), measured, mask, weight=weight))


def enforce_magnitude(
    magnitude: tf.Tensor, measured: tf.Tensor, mask: tf.Tensor, *, cyclic: bool = True, weight: float = math.inf
) -> tf.Tensor:
    """Make the magnitude images of a network consistent with the measured data.

    A magnitude has no k-space to compare. It is given the phase of the initial reconstruction (temporal
    interpolation) of the same data and, with several coils, the initial reconstruction's distribution over coils.

    Parameters
    ----------
    magnitude : (frame, y, x), float32 >= 0
        In the unit of `measured`; the root of the sum of squares over coils where there are several.
    measured : (frame, ky, x) or (coil, frame, ky, x), complex64
        Hybrid data; read only where the mask marks a line.
    mask : (frame, ky), bool
    cyclic : bool
        Whether the last frame neighbours the first in the initial reconstruction.
    weight : float >= 0
        As for `soft`; infinity puts the acquired lines back.

    Returns
    -------
    tf.Tensor, complex64
        Images with the axes of `measured`; `combine` makes one magnitude of them.
    """
    initial = initial_images(measured, mask, cyclic=cyclic)
    return enforce(tf.cast(magnitude, tf.complex64) * _direction(initial), measured, mask, weight=weight)


def combine(images: tf.Tensor) -> tf.Tensor:
    """Magnitude (frame, y, x) of complex images (frame, y, x), or root of the sum of squares of (coil, frame, y, x)."""
    images = tf.convert_to_tensor(images)
    return tf.norm(tf.abs(images), axis=0) if images.shape.rank == 4 else tf.abs(images)


def _direction(initial: tf.Tensor) -> tf.Tensor:
    """Unit vector over coils (a unit phase, where there is one) of every pixel; real and equal where nothing is."""
    total = tf.cast(combine(initial), tf.complex64)
    n_coils = initial.shape[0] if initial.shape.rank == 4 else 1
    return tf.where(tf.abs(total) > 0, tf.math.divide_no_nan(initial, total), tf.constant(n_coils**-0.5, tf.complex64))
