"""Tools to draw soft shapes on a grid in mm: distances, covers, textures that tissues carry along."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Array = NDArray[np.float32]
Real = NDArray[np.floating[Any]]
PERIOD, STEP = 512, 0.5  # of textures: pixels, and mm a pixel


def make_grid(n: int, fov: float) -> tuple[Array, Array]:
    """Return open grids y (y, 1) and x (1, x) in mm with 0 at pixel n // 2, as in the centred Fourier transform."""
    line = ((np.arange(n) - n // 2) * (fov / n)).astype(np.float32)
    return line[:, None], line[None, :]


def cover(distance: Real, width: float | Real) -> Array:
    """Return how much of a pixel lies inside (0..1), for a signed distance and a soft edge in mm."""
    x = np.clip(0.5 - distance / width, 0, 1)
    return np.asarray(x * x * (3 - 2 * x), dtype=np.float32)


def make_texture(rng: np.random.Generator, grain: float) -> Array:
    """Return a periodic random field (y, x) of unit variance and correlation length `grain` [mm], `STEP` mm a pixel."""
    wave = np.exp(-2 * (np.pi * grain / STEP * fft.fftfreq(PERIOD)) ** 2)
    white = fft.rfft2(rng.standard_normal((PERIOD, PERIOD)))
    field = fft.irfft2(white * wave[:, None] * wave[None, : PERIOD // 2 + 1])
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float32)


def sample_texture(texture: Array, y: Real, x: Real) -> Array:
    """Return a periodic texture at positions in mm: nearest neighbour, for the texture is finer than any pixel."""
    rows = np.rint(y * np.float32(1 / STEP)).astype(np.int32) % PERIOD
    columns = np.rint(x * np.float32(1 / STEP)).astype(np.int32) % PERIOD
    return np.asarray(texture[rows, columns], dtype=np.float32)


def ellipse(x: Real, y: Real, a: float, b: float) -> Array:
    """Return the approximate signed distance from an ellipse with half-axes a and b [mm]."""
    k = np.sqrt((x / a) ** 2 + (y / b) ** 2) + 1e-4
    slope = np.sqrt((x / a**2) ** 2 + (y / b**2) ** 2) + 1e-6
    return np.asarray(k * (k - 1) / slope, dtype=np.float32)


def blunt(x: Real, y: Real, a: Real, b: float) -> Array:
    """Return the approximate signed distance from a box-like ellipse (power 3) with half-axes a and b [mm]."""
    u, v = np.abs(x) / a, np.abs(y) / b
    k = np.cbrt(u * u * u + v * v * v) + 1e-4
    slope = np.sqrt((u * u / a) ** 2 + (v * v / b) ** 2) / (k * k) + 1e-6
    return np.asarray((k - 1) / slope, dtype=np.float32)


def join(a: Real, b: Real, radius: float) -> Array:
    """Return the distance from the union of two outlines with the corner between them filled."""
    h = np.clip(0.5 + 0.5 * (b - a) / radius, 0, 1)
    return np.asarray(b + (a - b) * h - radius * h * (1 - h), dtype=np.float32)


def paint(canvas: Array, part: Real, value: Real | float) -> None:
    """Lay a value over a canvas, in place, where `part` (0..1) covers it."""
    canvas += part * (value - canvas)
