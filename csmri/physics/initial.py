"""The initial reconstruction, which needs no network: temporal interpolation of what was not acquired."""

from __future__ import annotations

import tensorflow as tf

from csmri.data.acquisition import Acquisition
from csmri.physics.encoding import encoding_of
from csmri.physics.fourier import ifft_y
from csmri.physics.interpolation import interpolate_frames


def initial_images(acquisition: Acquisition) -> tf.Tensor:
    """Complex images (frame, y, x) after temporal interpolation; its magnitude is I of the paper."""
    filled = interpolate_frames(acquisition.data, acquisition.mask, cyclic=acquisition.cyclic)
    return encoding_of(acquisition).combine(ifft_y(filled))
