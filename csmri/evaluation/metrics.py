"""NMSE, PSNR and SSIM of magnitude images; reference first, no I/O."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.metrics import structural_similarity

from csmri.data.roi import Box


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
    reference: NDArray[np.float32], reconstructed: NDArray[np.float32], box: Box
) -> list[dict[str, float]]:
    """Quality of every frame of one slice, over the whole image and over the heart box.

    Returns
    -------
    list of dict
        Per frame `nmse`, `psnr` (dB), `ssim` and the same with suffix `_heart`. The data range of PSNR and SSIM is the
        maximum of the slice's reference over all frames. SSIM is NaN where the box is smaller than its 7x7 window.
    """
    peak = float(reference.max())
    rows = []
    for truth, image in zip(reference, reconstructed, strict=True):
        row = {}
        for suffix, (a, b) in {"": (truth, image), "_heart": (box.crop(truth), box.crop(image))}.items():
            row[f"nmse{suffix}"] = nmse(a, b)
            row[f"psnr{suffix}"] = psnr(a, b, data_range=peak) if peak else float("nan")
            row[f"ssim{suffix}"] = ssim(a, b, data_range=peak) if min(a.shape) >= 7 and peak else float("nan")
        rows.append(row)
    return rows
