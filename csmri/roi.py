"""The heart box: the part of the image in which quality is judged, found from motion or from outlines."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from csmri.cine import Outlines

BOX_FRACTION = (120 / 256, 100 / 256)
"""The paper's 120 x 100 pixels of a 256 x 256 image, as fractions of the matrix (y, x)."""


class Box(NamedTuple):
    """A rectangle of pixels: rows y to y + height, columns x to x + width."""

    y: int
    x: int
    height: int
    width: int

    def crop(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cut the box out of images (..., y, x)."""
        return images[..., self.y : self.y + self.height, self.x : self.x + self.width]


def heart_box(images: NDArray[np.float32], outlines: Outlines | None = None) -> Box:
    """Place a box of 120/256 of the rows and 100/256 of the columns round the heart, one for all slices.

    Its centre is the mean of the outlines' points where there are some. Otherwise it is the centroid of the 2 % of
    pixels that move most: the temporal variance, averaged over slices after each was divided by its maximum and
    smoothed over 2 % of the matrix, so that a bright vessel in one slice does not outweigh the ventricles.
    The box is shifted, never cut, at the image border.

    Parameters
    ----------
    images : (slice, frame, y, x), magnitude
    outlines : Outlines, optional
        In pixels of the same images.
    """
    matrix = images.shape[-2:]
    points = [*outlines.endocardium.values(), *outlines.epicardium.values()] if outlines else []
    centre_y, centre_x = np.concatenate(points).mean(axis=0)[::-1] if points else _centre_of_motion(images)
    height, width = (max(1, round(fraction * n)) for fraction, n in zip(BOX_FRACTION, matrix, strict=True))
    y = int(np.clip(round(centre_y - height / 2), 0, matrix[0] - height))
    x = int(np.clip(round(centre_x - width / 2), 0, matrix[1] - width))
    return Box(y, x, height, width)


def _centre_of_motion(images: NDArray[np.float32]) -> tuple[float, float]:
    sigma = [0.02 * n for n in images.shape[-2:]]
    motion = np.zeros(images.shape[-2:])
    for variance in images.var(axis=1):
        smooth = ndimage.gaussian_filter(variance.astype(np.float64), sigma)
        motion += smooth / max(smooth.max(), np.finfo(float).tiny)
    y, x = np.nonzero(motion >= np.quantile(motion, 0.98))
    return float(y.mean()), float(x.mean())
