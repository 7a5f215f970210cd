"""The methods that fill missing lines without iterating: with zeros, from the nearest frame, between two frames.

All take an `Acquisition` and return complex images (frame, y, x), the coils combined by the maps.
"""

from __future__ import annotations

import tensorflow as tf

from csmri.data.acquisition import Acquisition
from csmri.physics.encoding import encoding_of
from csmri.physics.initial import initial_images
from csmri.physics.interpolation import nearest_acquired
from csmri.physics.sampling import undersample


def zero_filled(acquisition: Acquisition) -> tf.Tensor:
    """Leave zeros where nothing was acquired."""
    return encoding_of(acquisition).adjoint(acquisition.data)


def view_sharing(acquisition: Acquisition) -> tf.Tensor:
    """Take every missing line from the nearest frame that acquired it, the earlier of two equally near.

    References
    ----------
    Foo et al., Radiology 1995;195:471-478 [view sharing in cine MRI].
    """
    data = undersample(acquisition.data, acquisition.mask)  # of a line that no frame acquired nothing is read
    before, after, weight = nearest_acquired(acquisition.mask, cyclic=acquisition.cyclic)
    frame = tf.where(weight > 0.5, after, before)
    lines = tf.stack([frame, tf.broadcast_to(tf.range(frame.shape[1]), frame.shape)], axis=-1)
    shared = tf.stack([tf.gather_nd(coil, lines) for coil in data])
    encoding = encoding_of(acquisition)
    return encoding.combine(encoding.inverse(shared))


def temporal_interpolation(acquisition: Acquisition) -> tf.Tensor:
    """Interpolate missing lines linearly in time: the initial reconstruction that all other methods start from."""
    return initial_images(acquisition)
