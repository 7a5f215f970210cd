"""From measured k-space to an acquisition: whitening, coil compression, maps, and the oversampled readout cut off."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.data.acquisition import Acquisition
from csmri.physics.fourier import ifft_x
from csmri.physics.interpolation import temporal_mean
from csmri.physics.maps import calculating, estimate_maps, size_of
from csmri.physics.sampling import undersample

VIRTUAL_COILS = 8
"""CMRxRecon ships 10, and of arrays of 30 coils 8 keep more than 95 % of the energy."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What is found out about the coils of a slice from the lines that were acquired.

    Parameters
    ----------
    matrix : array (virtual coil, coil), complex64
        Whitens and compresses: noise is independent between virtual coils, and as strong as it was in the mean coil.
    maps : array (virtual coil, y, x), complex64, or None for one coil
    noise : float >= 0
        Standard deviation of the noise in real and imaginary part of virtual coils; 0 where it was not measured.
    kept : float in [0, 1]
        Share of the energy that compression keeps.
    """

    matrix: NDArray[np.complex64]
    maps: NDArray[np.complex64] | None
    noise: float
    kept: float


def calibrate(
    kspace: NDArray[np.complex64],
    mask: NDArray[np.bool_],
    *,
    noise_covariance: NDArray[np.complex64] | None = None,
    virtual_coils: int = VIRTUAL_COILS,
    n_x: int | None = None,
) -> Calibration:
    """Find whitening, compression and sensitivity maps; nothing but acquired lines is read.

    Parameters
    ----------
    kspace : (coil, frame, ky, kx)
    mask : (frame, ky)
    noise_covariance : (coil, coil), optional
        In the squared unit of k-space.
    virtual_coils : int >= 1
        Coils to keep at most.
    n_x : int, optional
        Columns of the image in the middle of those of kx.

    Raises
    ------
    CsmriError
        If the noise covariance is not that of independent coils, or a value outweighs all others so far that nothing
        can be calculated.
    """
    # Of size 1: squares of single precision would overflow or vanish otherwise.
    kspace = kspace / size_of(kspace[:, mask])
    whitening = np.eye(len(kspace)) if noise_covariance is None else _whitening(noise_covariance)
    signal = whitening @ _covariance(kspace, mask) @ whitening.conj().T
    with calculating("the coils cannot be compressed"):
        energies, coils = np.linalg.eigh(signal)
    n_kept = min(virtual_coils, len(kspace))
    compression = coils[:, ::-1][:, :n_kept].conj().T
    matrix = np.asarray(compression @ whitening, np.complex64)
    mean = np.asarray(temporal_mean(hybrid_coils(kspace, matrix, n_x), mask))
    noise = 0.0 if noise_covariance is None else math.sqrt(_mean_noise(noise_covariance) / 2)
    kept = energies[::-1][:n_kept].sum() / max(energies.sum(), np.finfo(np.float64).tiny)
    return Calibration(matrix, estimate_maps(mean), noise, float(kept))


def prepare(
    kspace: NDArray[np.complex64],
    mask: NDArray[np.bool_],
    calibration: Calibration,
    *,
    n_x: int | None = None,
    cyclic: bool = True,
) -> Acquisition:
    """Make an acquisition of the lines (frame, ky) of measured k-space (coil, frame, ky, kx) that a mask marks."""
    data = undersample(hybrid_coils(kspace, calibration.matrix, n_x), mask)
    return Acquisition(data, mask, calibration.maps, calibration.noise, cyclic)


def hybrid_coils(kspace: NDArray[np.complex64], matrix: NDArray[np.complex64], n_x: int | None) -> Any:
    """Virtual coils (virtual coil, frame, ky, x) of k-space, of which the middle `n_x` columns are kept."""
    virtual = ifft_x(np.tensordot(matrix, kspace, axes=1))
    return virtual if n_x is None else virtual[..., middle(virtual.shape[-1], n_x)]


def middle(n: int, kept: int) -> slice:
    """Place of `kept` of `n` samples about the centre, index n // 2 before and kept // 2 after."""
    start = n // 2 - kept // 2
    return slice(start, start + kept)


def _covariance(kspace: NDArray[np.complex64], mask: NDArray[np.bool_]) -> NDArray[np.complex128]:
    total = np.zeros((len(kspace), len(kspace)), np.complex128)
    for frame, lines in enumerate(mask):
        acquired = kspace[:, frame, lines].reshape(len(kspace), -1)
        total += acquired @ acquired.conj().T
    return total


def _whitening(covariance: NDArray[np.complex64]) -> NDArray[np.complex128]:
    try:
        root = np.linalg.cholesky(covariance.astype(np.complex128) / _mean_noise(covariance))
        return np.asarray(np.linalg.inv(root), np.complex128)
    except np.linalg.LinAlgError as error:
        raise CsmriError(
            f"the noise of {len(covariance)} coils is not independent: too few noise samples, or a coil that is "
            "silent; leave the noise out"
        ) from error


def _mean_noise(covariance: NDArray[np.complex64]) -> float:
    """Mean variance of a coil: kept, so that images stay in the unit of the data."""
    return float(np.trace(covariance.astype(np.complex128)).real) / len(covariance) or 1.0
