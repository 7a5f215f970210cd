"""Measure how far the signal of a cine reaches in k-space: images are often zero-filled before they are exported."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from csmri.data.extent import SHARE, Extent
from csmri.physics.fourier import fft_x

FALL = 4.0
"""Factor (6 dB) by which the mean energy of the dynamics falls at an edge, over 1/32 of the lines on each side."""
LEAST_EDGE = 0.4
"""Of the matrix: nearer to the centre, the spectrum of a heart itself is as steep."""


def measure_extent(images: NDArray[np.float32] | NDArray[np.complex64]) -> tuple[Extent, Extent]:
    """Measure energy and dynamics over the lines of k-space, along y (phase encoding as it is simulated) and x.

    Parameters
    ----------
    images : (slice, frame, y, x), magnitude or complex

    Returns
    -------
    Extent, Extent
        Along y and along x.
    """
    y, x = (_measure(one) for one in (np.swapaxes(images, -2, -1), images))
    return y, x


def _measure(images: NDArray[np.float32] | NDArray[np.complex64]) -> Extent:
    """Extent along the last axis."""
    n = images.shape[-1]
    energy = np.sum([_line_energy(frames) for frames in images], axis=0)
    dynamics = np.sum([_line_energy(frames - frames.mean(axis=0)) for frames in images], axis=0)
    distance = abs(np.arange(n) - n // 2)
    total = dynamics.sum()
    if not total:
        return Extent(n, _beyond_half(energy), 0.0, n)
    # Both sides together, by distance from the centre: their sum for the band, their mean for the edge.
    counts, sums = np.bincount(distance), np.bincount(distance, dynamics)
    band = int(np.searchsorted(np.cumsum(sums), SHARE * total))
    return Extent(n, _beyond_half(energy), _beyond_half(dynamics), min(n, 2 * band + 1), _edge(sums / counts, n))


def _line_energy(frames: NDArray[np.float32] | NDArray[np.complex64]) -> NDArray[np.float64]:
    kspace = fft_x(frames)
    return tf.reduce_sum(tf.math.real(kspace * tf.math.conj(kspace)), axis=(0, 1)).numpy().astype(np.float64)


def _beyond_half(energy: NDArray[np.float64]) -> float:
    n = len(energy)
    beyond = abs(np.arange(n) - n // 2) > n / 4
    return float(energy[beyond].sum() / energy.sum())


def _edge(profile: NDArray[np.float64], n: int) -> int | None:
    """Central lines inside of the steepest fall of a profile over the distance from the centre, if it is one."""
    width = max(2, round(n / 32))
    # The line next to an edge may be half inside.
    inside = range(int(LEAST_EDGE * n / 2), len(profile) - width - 1)
    floor = 1e-9 * profile.mean()  # below the precision of the transform
    falls = [profile[i - width + 1 : i + 1].mean() / (profile[i + 2 : i + 2 + width].mean() + floor) for i in inside]
    steepest = int(np.argmax(falls)) if falls else 0
    return 2 * inside[steepest] + 1 if falls and falls[steepest] >= FALL else None
