"""NMSE, PSNR and SSIM of magnitude images; reference first, no I/O."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from skimage.metrics import structural_similarity


def nmse(reference: ArrayLike, reconstructed: ArrayLike) -> float:
    """Normalised mean square error ||reconstructed - reference||^2 / ||reference||^2 (paper section 2.5).

    Over all given pixels at once; 0 is perfect, 1 as bad as an empty image. NaN for a reference of zeros.
    """
    truth = np.asarray(reference, np.float64)
    energy = np.sum(truth**2)
    return float(np.sum((np.asarray(reconstructed, np.float64) - truth) ** 2) / energy) if energy else float("nan")


def psnr(reference: ArrayLike, reconstructed: ArrayLike, *, data_range: float) -> float:
    """Peak signal-to-noise ratio in dB; `data_range` is the peak. Infinite for equal images."""
    error = np.mean((np.asarray(reconstructed, np.float64) - np.asarray(reference, np.float64)) ** 2)
    return float(10 * np.log10(data_range**2 / error)) if error else float("inf")


def ssim(reference: ArrayLike, reconstructed: ArrayLike, *, data_range: float) -> float:
    """Structural similarity of two images (y, x), 7x7 uniform window, both sides at least 7 pixels."""
    return float(structural_similarity(np.asarray(reference), np.asarray(reconstructed), data_range=data_range))
