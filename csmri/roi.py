"""The heart box: the part of the image in which quality is judged, found from motion or from outlines."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from csmri.cine import Outlines

Real = TypeVar("Real", bound=np.floating)

BOX_FRACTION = (120 / 256, 100 / 256)
"""The paper's 120 x 100 pixels of a 256 x 256 image, as fractions of the matrix (y, x)."""


class Box(NamedTuple):
    """A rectangle of pixels: rows y to y + height, columns x to x + width."""

    y: int
    x: int
    height: int
    width: int

    def crop(self, images: NDArray[Real]) -> NDArray[Real]:
        """Cut the box out of images (..., y, x)."""
        return images[..., self.y : self.y + self.height, self.x : self.x + self.width]


def heart_box(images: NDArray[np.float32], outlines: Outlines | None = None) -> Box:
    """Place a box of 120/256 of the rows and 100/256 of the columns on the heart, one for all slices.

    It is centred on the mean of the outlines' points where there are some. Otherwise it starts where it holds most
    motion and moves to the centre of the motion that it holds until it stays. Motion is the temporal standard
    deviation, summed over slices after each was divided by its norm, so that a bright vessel in one slice does not
    outweigh the ventricles. The box never leaves the image.

    Parameters
    ----------
    images : (slice, frame, y, x), magnitude
    outlines : Outlines, optional
        In pixels of the same images.
    """
    matrix = images.shape[-2:]
    height, width = (max(1, round(fraction * n)) for fraction, n in zip(BOX_FRACTION, matrix, strict=True))

    def centred_on(y: float, x: float) -> Box:
        top = int(np.clip(round(y - (height - 1) / 2), 0, matrix[0] - height))
        left = int(np.clip(round(x - (width - 1) / 2), 0, matrix[1] - width))
        return Box(top, left, height, width)

    points = [*outlines.endocardium.values(), *outlines.epicardium.values()] if outlines else []
    if points:
        x, y = np.concatenate(points).mean(axis=0)
        return centred_on(y, x)
    motion = _motion(images)
    if not motion.any():
        return centred_on((matrix[0] - 1) / 2, (matrix[1] - 1) / 2)
    box = _fullest(motion, height, width)
    for _ in range(max(matrix)):  # each move is a pixel or more, and towards more motion
        inside = box.crop(motion)
        moved = centred_on(
            box.y + inside.sum(axis=1) @ np.arange(height) / inside.sum(),
            box.x + inside.sum(axis=0) @ np.arange(width) / inside.sum(),
        )
        if moved == box:
            break
        box = moved
    return box


def _motion(images: NDArray[np.float32]) -> NDArray[np.float64]:
    deviation = images.std(axis=1, dtype=np.float64)
    norms = np.linalg.norm(deviation, axis=(1, 2), keepdims=True)
    return (deviation / np.where(norms > 0, norms, 1)).sum(axis=0)


def _fullest(motion: NDArray[np.float64], height: int, width: int) -> Box:
    """Box with the largest sum, by differences of cumulative sums."""
    total = np.pad(motion.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    inside = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    y, x = np.unravel_index(inside.argmax(), inside.shape)
    return Box(int(y), int(x), height, width)
