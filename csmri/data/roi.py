"""The heart box: the part of the image in which quality is judged, found from motion or from outlines."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from csmri.data.cine import Outlines

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


def box_size(matrix: tuple[int, int], spacing_mm: tuple[float, float] | None = None) -> tuple[int, int]:
    """Rows and columns of the heart box in images of this matrix (y, x).

    120/256 of the rows and 100/256 of the columns, as the paper's 120 x 100 of 256 x 256: it follows the field of
    view, whose size the paper does not tell. Where pixels are known not to be square, the box keeps its share of the
    image but is again as high to wide as 120 to 100 in mm.
    """
    stretch = math.sqrt(spacing_mm[1] / spacing_mm[0]) if spacing_mm else 1.0
    fractions = BOX_FRACTION[0] * stretch, BOX_FRACTION[1] / stretch
    height, width = (min(n, max(1, round(fraction * n))) for fraction, n in zip(fractions, matrix, strict=True))
    return height, width


def heart_box(
    images: NDArray[np.float32],
    outlines: Outlines | None = None,
    *,
    spacing_mm: tuple[float, float] | None = None,
) -> Box:
    """Place a box of `box_size` on the heart, one for all slices.

    It is centred on the mean of the outlines' points where there are some. Otherwise it starts where it holds most
    motion and moves to the centre of the motion that it holds until it stays. Motion is the temporal standard
    deviation, summed over slices after each was divided by its norm, so that a bright vessel in one slice does not
    outweigh the ventricles. The box never leaves the image.

    Parameters
    ----------
    images : (slice, frame, y, x), magnitude
    outlines : Outlines, optional
        In pixels of the same images.
    spacing_mm : (y, x), optional
        Of the pixels.
    """
    matrix = images.shape[-2], images.shape[-1]
    height, width = box_size(matrix, spacing_mm)

    def centred_on(y: float, x: float) -> Box:
        top = int(np.clip(round(y - (height - 1) / 2), 0, matrix[0] - height))
        left = int(np.clip(round(x - (width - 1) / 2), 0, matrix[1] - width))
        return Box(top, left, height, width)

    points = [*outlines.endocardium.values(), *outlines.epicardium.values()] if outlines else []
    if points:
        x, y = np.concatenate(points).mean(axis=0)
        return centred_on(y, x)
    motion = motion_map(images)
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


def heart_box_notes(box: Box, images: NDArray[np.float32]) -> list[str]:
    """Say, a sentence each, why a box that motion placed may miss the heart; nothing where there is no doubt.

    Parameters
    ----------
    box : Box
        What `heart_box` found in `images` without outlines.
    images : (slice, frame, y, x), magnitude
    """
    n_moving = int((np.ptp(images, axis=1) > 0).any(axis=(1, 2)).sum())
    notes = []
    if n_moving == 0:
        notes.append("Nothing moves: the heart box stands in the middle of the image.")
    if n_moving == 1:
        notes.append("The heart box comes from the motion of one slice alone, which need not be the heart's.")
    ends = zip((box.y, box.x), (box.height, box.width), images.shape[-2:], strict=True)
    if any(size < n and (first == 0 or first + size == n) for first, size, n in ends):
        notes.append("The heart box lies at the edge of the image and may miss a part of the heart.")
    return notes


def motion_map(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Map (y, x) of what moves in (slice, frame, y, x): temporal standard deviation, every slice with equal weight."""
    deviation = images.std(axis=1, dtype=np.float64)
    norms = np.linalg.norm(deviation, axis=(1, 2), keepdims=True)
    return (deviation / np.where(norms > 0, norms, 1)).sum(axis=0)


def _fullest(motion: NDArray[np.float64], height: int, width: int) -> Box:
    """Box with the largest sum, by differences of cumulative sums."""
    total = np.pad(motion.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    inside = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    y, x = np.unravel_index(inside.argmax(), inside.shape)
    return Box(int(y), int(x), height, width)
