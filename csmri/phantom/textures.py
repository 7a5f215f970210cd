"""Natural pictures, moved about: cines that are like hearts in nothing but that a part of them moves in a cycle."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from scipy import ndimage
from skimage import color, data

from csmri.phantom.drawing import Array

N_SLICES, N_FRAMES = 8, 24
LEVEL = 300.0
"""Of the brightest pixels, about what scanners write."""
NOISE = 0.01
"""Standard deviation of real and imaginary part, of the mean signal [our choice]."""
FOV_MM = 350.0
PICTURES = ("astronaut", "brick", "camera", "cell", "chelsea", "coffee", "coins", "grass", "gravel", "moon", "rocket")
"""Of scikit-image, those that come with its package."""


def make_textures(index: int, *, size: int, n_slices: int, n_frames: int, seed: int) -> Array:
    """Return a cine of natural pictures, another one a slice, windows of them turned and enlarged at random.

    Inside a disc about where a heart would be, the picture is pushed about and drawn together in a cycle, smoothly less
    towards its edge; outside it rests.

    Parameters
    ----------
    index, seed : int >= 0
        Decide about everything.
    size : int
        Matrix (y, x) of the square images.

    Returns
    -------
    array (slice, frame, y, x), float32, about 0..300
    """
    images = np.empty((n_slices, n_frames, size, size), np.float32)
    for i in range(n_slices):
        rng = np.random.default_rng([seed, index, i])
        still = _window(_picture(PICTURES[int(rng.integers(len(PICTURES)))]), size, rng)
        for j, moved in enumerate(_moved(still, n_frames, rng)):
            noise = rng.standard_normal((2, size, size)) * NOISE * float(still.mean())
            images[i, j] = LEVEL * np.hypot(moved + noise[0], noise[1])
    return images


@cache
def _picture(name: str) -> Array:
    """Grey values (y, x) from 0 to 1."""
    found = np.asarray(getattr(data, name)())
    grey = color.rgb2gray(found) if found.ndim == 3 else found.astype(float)
    return np.asarray((grey - grey.min()) / (grey.max() - grey.min()), np.float32)


def _window(picture: Array, size: int, rng: np.random.Generator) -> Array:
    """Square window (size, size) of a picture at a random place, turned, and at a scale of 1 to 2.5 pixels."""
    pixel = min(rng.uniform(1.0, 2.5), 0.7 * min(picture.shape) / size)
    angle = rng.uniform(0, 2 * np.pi)
    margin = 0.71 * size * pixel
    centre = [rng.uniform(min(margin, n / 2), max(n - margin, n / 2)) for n in picture.shape]
    offset = (np.arange(size) - size / 2) * pixel
    y, x = offset[:, None], offset[None, :]
    smooth = ndimage.gaussian_filter(picture, 0.4 * pixel)  # what is finer than a pixel would alias
    rows = centre[0] + y * np.cos(angle) - x * np.sin(angle)
    columns = centre[1] + y * np.sin(angle) + x * np.cos(angle)
    return np.asarray(ndimage.map_coordinates(smooth, [rows, columns], order=1, mode="reflect"), np.float32)


def _moved(still: Array, n_frames: int, rng: np.random.Generator) -> Iterator[Array]:
    size = len(still)
    grid = np.arange(size, dtype=np.float32)
    middle = size * rng.uniform(0.4, 0.6, 2)
    dy, dx = grid[:, None] - middle[0], grid[None, :] - middle[1]
    fade = np.exp(-((np.hypot(dy, dx) / (size * rng.uniform(0.12, 0.22))) ** 4))
    push = size * rng.normal(0, 0.02, (2, 2))  # (harmonic, axis)
    squeeze = rng.uniform(0.05, 0.35)
    lag = rng.uniform(0, 2 * np.pi, 2)
    for frame in range(n_frames):
        turn = 2 * np.pi * frame / n_frames
        waves = np.sin(np.array([1, 2]) * turn + lag)
        drawn = squeeze * (1 - np.cos(turn)) / 2
        rows = grid[:, None] + fade * (dy * drawn + waves @ push[:, 0])
        columns = grid[None, :] + fade * (dx * drawn + waves @ push[:, 1])
        yield np.asarray(ndimage.map_coordinates(still, [rows, columns], order=1, mode="nearest"), np.float32)
