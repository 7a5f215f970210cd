"""Phases that magnitude images do not have: one at rest, and one that moves with what moves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter


def with_phase(images: NDArray[np.float32], *, at_rest: float, moving: float, seed: int) -> NDArray[np.complex64]:
    """Give a magnitude cine (frame, y, x) a smooth phase at rest, and one in proportion to its own change in time.

    Parameters
    ----------
    at_rest, moving : float >= 0
        Largest phase [rad] of what rests, and of what moves.
    seed : int
        Of the phase at rest.
    """
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=images.shape[1:]), images.shape[1] / 4, mode="wrap")
    change = gaussian_filter(images - images.mean(axis=0), (1, 2, 2), mode=("wrap", "nearest", "nearest"))
    phase = at_rest * smooth / np.abs(smooth).max()
    if change.any():
        phase = phase + moving * change / np.abs(change).max()
    return np.asarray(images * np.exp(1j * phase), np.complex64)
