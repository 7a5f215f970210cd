"""Coil sensitivity maps of measured data: ESPIRiT on what was acquired, averaged over time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.physics.fourier import fft_x, ifft_y
from csmri.physics.phase import PHASE_WIDTH, unit
from csmri.physics.smoothing import gaussian

KERNEL, CALIBRATION = 6, 24
"""Side of the kernels and of the square in the centre of k-space that they are learnt from [samples], as in BART."""
NULL_SPACE = 0.03
"""Singular values below this part of the largest are noise; in BART the root of 0.001."""
SUPPORT = 0.8
"""Eigenvalue above which a pixel has signal, as in BART; it is 1 where the kernels explain all of it."""
ROWS_AT_ONCE = 32


def estimate_maps(mean: NDArray[np.complex64]) -> NDArray[np.complex64] | None:
    """Estimate coil sensitivity maps by ESPIRiT from the temporal mean of the acquired lines.

    Every line near the centre is seen in some frame, so that no calibration scan is needed. The maps carry the resting
    phase of the cine: with them, the combined image is nearly real where nothing moves.

    Parameters
    ----------
    mean : (coil, ky, x), complex64
        Hybrid data averaged over the frames that acquired a line, DC at index n_ky // 2; 0 where none did.

    Returns
    -------
    array (coil, y, x), complex64, or None
        Root sum of squares 1 where there is signal, else 0; None for one coil.

    Raises
    ------
    CsmriError
        If a value outweighs all others so far that no maps can be calculated.

    References
    ----------
    Uecker et al., Magn Reson Med 2014, doi 10.1002/mrm.24751.
    """
    n_coils, n_ky, n_x = mean.shape
    if n_coils == 1:
        return None
    mean = mean / size_of(mean)
    calibration = _centre(fft_x(mean).numpy())
    with calculating("the coil sensitivity maps cannot be found"):
        maps, values = _dominant(_correlations(calibration), (n_ky, n_x))
    maps *= values >= SUPPORT * values.max()
    # Smoothed coil by coil: the phase of an eigenvector is any, from pixel to pixel.
    smooth = np.asarray(gaussian(ifft_y(mean), PHASE_WIDTH))
    return maps * np.asarray(unit(np.sum(maps.conj() * smooth, axis=0)))


def size_of(values: NDArray[np.complex64]) -> np.float32:
    """Power of two near the largest real or imaginary part, to divide by without rounding; 1 for zeros and nothing."""
    largest = max((float(np.abs(part).max(initial=0)) for part in (values.real, values.imag)), default=0.0)
    # Not the smallest and largest powers, by which single precision cannot divide.
    return np.float32(2.0 ** np.clip(np.frexp(largest)[1], -120, 120)) if largest else np.float32(1)


@contextlib.contextmanager
def calculating(what: str) -> Iterator[None]:
    """Turn linear algebra that finds no end into one line for people.

    Raises
    ------
    CsmriError
    """
    try:
        yield
    except np.linalg.LinAlgError as error:
        raise CsmriError(
            f"{what} ({error}): some values of k-space are far out of proportion to the others; look for damaged "
            "samples, and export the data again or leave the frame out"
        ) from error


def _centre(kspace: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Calibration data (coil, ky, kx): the block about the centre that was seen, of at most `CALIBRATION` lines."""
    _, n_ky, n_kx = kspace.shape
    middle = n_ky // 2
    gaps = np.flatnonzero(~np.any(kspace, axis=(0, 2)))
    below, above = gaps[gaps < middle], gaps[gaps >= middle]
    reach = min(middle - (below.max() + 1 if below.size else 0), (above.min() if above.size else n_ky) - middle)
    half_y, half_x = (max(1, min(CALIBRATION // 2, n)) for n in (reach, n_kx // 2))
    return kspace[:, middle - half_y : middle + half_y, n_kx // 2 - half_x : n_kx // 2 + half_x]


def _correlations(calibration: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Correlate the kernels of the calibration data with each other, (coil, coil, shift ky, shift kx)."""
    n_coils = calibration.shape[0]
    size = tuple(min(KERNEL, n) for n in calibration.shape[1:])
    patches = np.lib.stride_tricks.sliding_window_view(calibration, size, axis=(1, 2))
    patches = patches.transpose(1, 2, 0, 3, 4).reshape(-1, n_coils * size[0] * size[1])
    _, singular, kernels = np.linalg.svd(patches, full_matrices=False)
    kernels = kernels[singular > NULL_SPACE * singular[0]]
    projection = (kernels.T @ kernels.conj()).reshape(n_coils, *size, n_coils, *size)
    total = np.zeros((n_coils, n_coils, 2 * size[0] - 1, 2 * size[1] - 1), np.complex64)
    for y in range(size[0]):
        for x in range(size[1]):
            place = slice(size[0] - 1 - y, 2 * size[0] - 1 - y), slice(size[1] - 1 - x, 2 * size[1] - 1 - x)
            total[:, :, *place] += projection[:, y, x]
    return total / (size[0] * size[1])


def _dominant(
    correlations: NDArray[np.complex64], matrix: tuple[int, int]
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """Largest eigenvector (coil, y, x) and eigenvalue (y, x) of the correlations of every pixel."""
    n_coils = correlations.shape[0]
    maps = np.zeros((n_coils, *matrix), np.complex64)
    values = np.zeros(matrix, np.float32)
    shift_y, shift_x = (np.arange(n) - n // 2 for n in correlations.shape[2:])
    y, x = ((np.arange(n) - n // 2) / n for n in matrix)
    along_y = np.exp(-2j * np.pi * np.outer(y, shift_y)).astype(np.complex64)
    along_x = np.exp(-2j * np.pi * np.outer(shift_x, x)).astype(np.complex64)
    partly = correlations @ along_x
    for start in range(0, matrix[0], ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        found = np.einsum("ys,abst->ytab", along_y[rows], partly, optimize=True)
        eigenvalues, vectors = np.linalg.eigh(found)
        maps[:, rows], values[rows] = np.moveaxis(vectors[..., -1], -1, 0), eigenvalues[..., -1]
    return maps, values
