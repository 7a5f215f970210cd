"""What the scanner adds: coil shading, the point spread of a truncated k-space, and noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csmri.phantom.anatomy import Anatomy, Quality
from csmri.phantom.drawing import Array


def make_shading(anatomy: Anatomy, y: Array, x: Array) -> Array:
    """Return the sensitivity (y, x) of surface coils on chest and back, 1 at the heart."""
    out = np.array([-np.sin(anatomy.tilt), -np.cos(anatomy.tilt)])
    along = np.array([np.cos(anatomy.tilt), -np.sin(anatomy.tilt)])
    rng = anatomy.generator("coils")
    front = np.array(anatomy.heart) + out * (anatomy.depth + 22)
    back = np.array(anatomy.heart) - out * (2 * anatomy.body[1] - anatomy.depth + 30)
    total = np.zeros(np.broadcast_shapes(y.shape, x.shape), dtype=np.float32)
    heart = 0.0
    for origin, strength in ((front, 1.0), (back, 0.55)):
        for offset in (-95.0, 0.0, 95.0):
            px, py = (origin + along * (offset + rng.uniform(-15, 15))).tolist()
            reach, weight = 75.0, strength * rng.uniform(0.75, 1.15)
            total += weight / (1 + ((x - px) ** 2 + (y - py) ** 2) / reach**2) ** 1.5
            heart += weight / (1 + ((anatomy.heart[0] - px) ** 2 + (anatomy.heart[1] - py) ** 2) / reach**2) ** 1.5
    return np.asarray((total / heart) ** anatomy.quality.shading, dtype=np.float32)


def _measured(quality: Quality, axis: int, size: int, n: int) -> int:
    return max(min(quality.acquired[axis], int(quality.acquired_fraction[axis] * size), n), 8)


def point_spread(n: int, size: int, measured: int, apodization: float) -> Array:
    """Return the matrix (size, n) that measures n samples with a limited k-space and reconstructs `size` pixels.

    Row j holds the point spread function of pixel j: a truncated, slightly damped Fourier series, which rings at sharp
    edges as a scanner's picture does.
    """
    half = (measured - 1) // 2
    k = np.arange(-half, half + 1)
    weight = 1 - apodization * np.sin(0.5 * np.pi * k / (half + 1)) ** 2
    apart = (np.arange(size) - size // 2)[:, None] / size - (np.arange(n) - n // 2)[None, :] / n
    # Dirichlet sums by the recurrence of cosines would be faster; this is built once a subject
    period = np.exp(2j * np.pi * apart)
    total = np.full(apart.shape, weight[half], dtype=np.float64)
    power = np.ones_like(period)
    for i in range(1, half + 1):
        power *= period
        total += 2 * weight[half + i] * power.real
    return np.asarray(total / n, dtype=np.float32)


class Scanner:
    """Turns pictures on the fine grid into what the scanner of a quality shows on `size` x `size` pixels."""

    def __init__(self, quality: Quality, n: int, size: int) -> None:
        counts = [_measured(quality, axis, size, n) for axis in (0, 1)]
        self._y, self._x = (point_spread(n, size, count, quality.apodization) for count in counts)
        self._counts = counts
        self._noise_y, self._noise_x = (point_spread(count, size, count, quality.apodization) for count in counts)

    def measure(self, picture: Array) -> Array:
        """Return the signed image (y, x) of a picture on the fine grid, without noise."""
        return np.asarray(self._y @ picture @ self._x.T, dtype=np.float32)

    def noise(self, rng: np.random.Generator) -> NDArray[np.complex64]:
        """Return complex noise (y, x) of mean power 1 with the correlation that the point spread gives it."""
        white = rng.standard_normal((2, *self._counts), dtype=np.float32)
        real, imaginary = (self._noise_y @ part @ self._noise_x.T for part in white)
        power = 2 * np.sum(self._noise_y**2) * np.sum(self._noise_x**2) / (len(self._noise_y) * len(self._noise_x))
        return np.asarray((real + 1j * imaginary) / np.sqrt(power), dtype=np.complex64)
