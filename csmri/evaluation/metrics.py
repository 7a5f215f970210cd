"""NMSE, PSNR and SSIM of magnitude images; reference first, no I/O."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.metrics import structural_similarity

from csmri.data.roi import Box

SSIM_WINDOW = 7
"""Pixels on a side of the window that SSIM is computed in."""


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


def frame_quality(
    reference: NDArray[np.float32] | NDArray[np.complex64], reconstructed: NDArray[np.float32], box: Box
) -> list[dict[str, float]]:
    """Quality of every frame of one slice, over the whole image and over the heart box.

    Parameters
    ----------
    reference : (frame, y, x)
        Of complex images the magnitude is compared.
    reconstructed : (frame, y, x), magnitude

    Returns
    -------
    list of dict
        Per frame `nmse`, `psnr` (dB), `ssim` and the same with suffix `_heart`. The data range of PSNR and SSIM is the
        maximum of the slice's reference over all frames. A reference of zeros, of the frame or of the heart box in it,
        has no quality: all three are NaN. SSIM is NaN where the box is smaller than its 7x7 window. An image with
        values that are not finite is as bad as can be: NMSE infinite, PSNR minus infinite, SSIM -1.
    """
    truths = np.abs(reference)
    peak = float(truths.max())
    return [
        {
            f"{name}{suffix}": value
            for suffix, (truth, image) in {"": (a, b), "_heart": (box.crop(a), box.crop(b))}.items()
            for name, value in zip(("nmse", "psnr", "ssim"), _quality(truth, image, peak), strict=True)
        }
        for a, b in zip(truths, reconstructed, strict=True)
    ]


def _quality(reference: NDArray[np.float32], image: NDArray[np.float32], peak: float) -> tuple[float, float, float]:
    """NMSE, PSNR and SSIM of one image (y, x)."""
    windowed = min(reference.shape) >= SSIM_WINDOW
    if not reference.any():
        return math.nan, math.nan, math.nan
    if not np.isfinite(image).all():
        return math.inf, -math.inf, -1.0 if windowed else math.nan
    similarity = ssim(reference, image, data_range=peak) if windowed else math.nan
    return nmse(reference, image), psnr(reference, image, data_range=peak), similarity
