"""Where the samples of a readout lie along kx: its echo, reversed readouts, samples to leave out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.formats.parsing import plural

Heads = NDArray[np.void]
"""Heads (readout,) of `readouts.HEAD`."""


def first_samples(path: Path, heads: Heads, n_kx: int, notes: list[str]) -> NDArray[np.int64]:
    """Place of the first sample of every readout along kx, from its echo, reversed ones as they are after turning."""
    n_samples = int(heads["n_samples"][0])
    centre = _echoes(heads, n_kx, notes)
    if not heads["centre"].any() and n_samples == n_kx:
        notes.append("No readout tells its echo; it was taken to be in the middle.")
        centre = np.full_like(centre, n_kx // 2)
    start = n_kx // 2 - centre
    before, after = cut_off(heads)
    outside = np.flatnonzero((start + before < 0) | (start + n_samples - after > n_kx) | (before + after >= n_samples))
    if len(outside):
        number = int(outside[0])
        raise CsmriError(
            f"{path}: imaging readout {number + 1} has {n_samples} samples with the echo at "
            f"{int(heads['centre'][number]) + 1}, which does not fit a matrix of {n_kx} (kx); the header is wrong"
        )
    if n_samples - int((before + after).max()) < n_kx:
        notes.append(
            f"The echo is asymmetric: {n_samples - int((before + after).max())} of {n_kx} samples were measured, the "
            "others are zero."
        )
    return start


def _echoes(heads: Heads, n_kx: int, notes: list[str]) -> NDArray[np.int64]:
    """The sample of the echo of every readout, of reversed ones after turning.

    The echo of a reversed readout is told as it is stored, as it is after turning, or as its distance from the end:
    whichever puts it where the readouts that are not reversed have it.
    """
    told, turned = heads["centre"], heads["is_reversed"]
    n_samples = int(heads["n_samples"][0])
    as_stored = n_samples - 1 - told
    if not turned.any():
        return told
    forward = np.unique(told[~turned])
    # A full readout has but one place in the matrix.
    expected = int(forward[0]) if len(forward) == 1 else n_kx // 2 if n_samples == n_kx else -1
    agrees = (as_stored == expected) | (told == expected) | (n_samples - told == expected)
    if (turned & ~agrees).any():
        notes.append(
            f"{plural(int((turned & ~agrees).sum()), 'reversed readout')} could not be compared with others that are "
            "not: their echo was taken to be the sample that is told, as it is stored."
        )
    return np.where(turned, np.where(agrees, expected, as_stored), told)


def cut_off(heads: Heads) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Samples to leave out at the start and the end of every readout, after turning reversed ones."""
    turned = heads["is_reversed"]
    before, after = heads["before"], heads["after"]
    return np.where(turned, after, before), np.where(turned, before, after)
