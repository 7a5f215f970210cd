"""Gaussian smoothing of complex images."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from csmri.physics.fourier import from_pair


def gaussian(images: Any, width: float) -> Any:
    """Smooth complex images (image, y, x) by a Gaussian of a standard deviation in pixels; zeros surround them."""
    reach = int(3 * width)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    kernel = ops.convert_to_tensor(taps[:, None, None] * np.eye(2), "float32")
    smooth = ops.stack([ops.real(images), ops.imag(images)], axis=-1)
    for axis in (0, 1):
        smooth = ops.conv(smooth, ops.expand_dims(kernel, 1 - axis), padding="same")
    return from_pair(smooth)
