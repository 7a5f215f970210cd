"""The record `KSpace`: what a scanner measured, read slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.data.checks import check_frame_times, check_geometry, check_noise_covariance

Slice = NDArray[np.complex64]


@dataclass(frozen=True, eq=False)
class LazySlices:
    """K-space that stays in its file until a slice of it is asked for.

    Parameters
    ----------
    shape : (slice, coil, frame, ky, kx)
    read : callable
        Number of a slice -> its k-space (coil, frame, ky, kx), complex64.
    """

    shape: tuple[int, int, int, int, int]
    read: Callable[[int], Slice]
    dtype = np.dtype(np.complex64)
    ndim = 5

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, slice_index: int) -> Slice:
        return self.read(slice_index)


@dataclass(frozen=True, eq=False)
class KSpace:
    """Measured Cartesian k-t data of one subject: kx fully read, ky lines acquired where `mask` is True.

    Parameters
    ----------
    kspace : array (slice, coil, frame, ky, kx), complex64, or LazySlices
        DC in the centre (index n // 2) of ky and kx; zero where not acquired.
    mask : array (frame, ky) or (slice, frame, ky), bool
        True = acquired, in all coils; without the axis of slices, in all of them.
    subject, spacing_mm, slice_spacing_mm, frame_times_ms, affine, provenance, notes
        As in `Cine`; spacing and affine are those of the images that are left of `matrix`.
    matrix : (y, x), or None
        Pixels of the image, cut out around the centre of what the transform of k-space gives: the readout, often ky
        as well, is oversampled. None where nothing is to be cut off.
    noise_covariance : array (coil, coil), complex64, or None
        Of the noise between coils, in the squared unit of k-space; None where no noise was measured.
    cyclic : bool, or None
        Whether the last frame neighbours the first (gated), or not (real time); None where nothing tells.

    Raises
    ------
    CsmriError
        If the axes of k-space and mask do not fit, a value is not finite, or a frame has no line. If times and geometry
        are such as `Cine` refuses, or the noise covariance is none.
    """

    kspace: NDArray[np.complex64] | LazySlices
    mask: NDArray[np.bool_]
    subject: str
    spacing_mm: tuple[float, float] | None = None
    slice_spacing_mm: float | None = None
    frame_times_ms: NDArray[np.float32] | None = None
    affine: NDArray[np.float64] | None = None
    provenance: str = ""
    notes: tuple[str, ...] = ()
    matrix: tuple[int, int] | None = None
    noise_covariance: NDArray[np.complex64] | None = None
    cyclic: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.kspace, LazySlices):
            object.__setattr__(self, "kspace", np.asarray(self.kspace))
        object.__setattr__(self, "mask", np.asarray(self.mask))
        self._check_shapes()
        check_frame_times(self._where, self.frame_times_ms, self.n_frames)
        check_geometry(self._where, self)
        check_noise_covariance(self._where, self.noise_covariance, self.n_coils)
        if isinstance(self.kspace, LazySlices):
            return
        if not np.isfinite(self.kspace).all():
            raise CsmriError(f"{self._where}: k-space holds NaN or infinite values")
        object.__setattr__(self, "kspace", self.kspace.astype(np.complex64, copy=False))

    @property
    def _where(self) -> str:
        return self.provenance or f"subject {self.subject}"

    def _check_shapes(self) -> None:
        where, mask, shape = self._where, self.mask, self.kspace.shape
        if len(shape) != 5:
            raise CsmriError(f"{where}: expected k-space (slice, coil, frame, ky, kx), got {len(shape)} axes: {shape}")
        if 0 in shape:
            raise CsmriError(f"{where}: the k-space is empty, shape {shape} (slice, coil, frame, ky, kx)")
        frames_and_lines = shape[2:4]
        if mask.dtype != np.bool_ or mask.shape not in (frames_and_lines, (shape[0], *frames_and_lines)):
            raise CsmriError(
                f"{where}: expected a boolean mask (frame, ky) of shape {frames_and_lines}, or one for each of "
                f"{shape[0]} slices, got {mask.dtype} of shape {mask.shape}"
            )
        if shape[2] < 2:
            raise CsmriError(f"{where}: a cine needs at least 2 frames, this has {shape[2]}")
        if not mask.any():
            raise CsmriError(f"{where}: the mask marks no k-space line as acquired")
        if not mask.any(axis=-1).all():
            *slice_index, frame = (int(index) + 1 for index in np.argwhere(~mask.any(axis=-1))[0])
            place = f" of slice {slice_index[0]}" if slice_index else ""
            raise CsmriError(
                f"{where}: no line of frame {frame}{place} was acquired; leave the frame out, or complete it"
            )
        matrix = self.matrix
        if matrix is not None and not all(0 < n <= full for n, full in zip(matrix, shape[3:], strict=True)):
            raise CsmriError(f"{where}: an image of {matrix} (y, x) cannot be cut out of k-space {shape[3:]} (ky, kx)")

    @property
    def n_slices(self) -> int:
        return int(self.kspace.shape[0])

    @property
    def n_coils(self) -> int:
        return int(self.kspace.shape[1])

    @property
    def n_frames(self) -> int:
        return int(self.kspace.shape[2])

    @property
    def is_full(self) -> bool:
        """Whether every line of every frame was acquired."""
        return bool(self.mask.all())

    def mask_of(self, slice_index: int) -> NDArray[np.bool_]:
        """Mask (frame, ky) of a slice."""
        return self.mask if self.mask.ndim == 2 else self.mask[slice_index]

    def slice_of(self, slice_index: int) -> Slice:
        """K-space (coil, frame, ky, kx) of a slice, read now where it was not.

        Raises
        ------
        CsmriError
            If it cannot be read, holds values that are not finite, or a coil or all of it is zero.
        """
        kspace = self.kspace[slice_index]
        where = f"{self._where}: slice {slice_index + 1} of {self.n_slices}"
        if kspace.shape != tuple(self.kspace.shape[1:]):
            raise CsmriError(f"{where}: expected k-space {tuple(self.kspace.shape[1:])}, found {kspace.shape}")
        if not np.isfinite(kspace).all():
            raise CsmriError(f"{where}: k-space holds NaN or infinite values")
        silent = [coil + 1 for coil in range(self.n_coils) if not kspace[coil].any()]
        if silent:
            what = "k-space is zero" if len(silent) == self.n_coils else f"coil {silent[0]} of {self.n_coils} is zero"
            raise CsmriError(f"{where}: {what}; the file is cut off, or this was never measured: leave it out")
        return kspace

    def slices(self) -> Iterator[Slice]:
        """K-space of one slice after the other, each freed when the next is asked for."""
        return (self.slice_of(index) for index in range(self.n_slices))
