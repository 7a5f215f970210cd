"""The records `Cine` (reconstructed images) and `KSpace` (measured data), their axes and units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError

Contours = Mapping[tuple[int, int], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Cine:
    """A stack of fully sampled or reconstructed cine images of one subject.

    Parameters
    ----------
    images : array (slice, frame, y, x), float32 magnitude >= 0 or complex64
        Arbitrary scanner units. At least two frames, every value finite.
    subject : str
        Name of the person (or phantom) the images show; the unit of every train/test split.
    spacing_mm : (y, x) in mm, or None where the file does not tell
        Distance between pixel centres.
    slice_spacing_mm : float in mm, or None
        Distance between slice centres.
    frame_times_ms : array (frame,) in ms after the R wave, or None
    affine : array (4, 4), or None
        Maps voxel indices (x, y, slice, 1) to NIfTI (right, anterior, superior) coordinates in mm.
    provenance : str
        What was read, and from where.
    notes : tuple of str
        What the reader had to guess or repair, one sentence each.

    Raises
    ------
    CsmriError
        If the images are not a cine: wrong number of axes, fewer than two frames, NaN or infinite
        values, negative magnitudes, or nothing but zeros.
    """

    images: NDArray[np.float32] | NDArray[np.complex64]
    subject: str
    spacing_mm: tuple[float, float] | None = None
    slice_spacing_mm: float | None = None
    frame_times_ms: NDArray[np.float32] | None = None
    affine: NDArray[np.float64] | None = None
    provenance: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = self.provenance or f"subject {self.subject}"
        images = np.asarray(self.images)
        if images.ndim != 4:
            raise CsmriError(
                f"{where}: expected images (slice, frame, y, x), got {images.ndim} axes of shape {images.shape}"
            )
        if 0 in images.shape:
            raise CsmriError(f"{where}: the images are empty, shape {images.shape} (slice, frame, y, x)")
        if images.shape[1] < 2:
            raise CsmriError(f"{where}: a cine needs at least 2 frames, this has {images.shape[1]}")
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite and is refused below
            images = images.astype(np.complex64 if np.iscomplexobj(images) else np.float32, copy=False)
        if not np.isfinite(images).all():
            slice_index, frame, *_ = np.argwhere(~np.isfinite(images))[0]
            raise CsmriError(
                f"{where}: NaN or infinite values, the first in slice {slice_index}, frame {frame}; "
                "repair or leave out these images"
            )
        if not np.iscomplexobj(images) and images.min() < 0:
            raise CsmriError(f"{where}: magnitude images must not be negative, the smallest value is {images.min():g}")
        if not images.any():
            raise CsmriError(f"{where}: every pixel is zero")
        _check_frame_times(where, self.frame_times_ms, images.shape[1])
        object.__setattr__(self, "images", images)

    @property
    def magnitude(self) -> NDArray[np.float32]:
        """Magnitude images (slice, frame, y, x), float32 >= 0."""
        return np.abs(self.images)

    @property
    def is_complex(self) -> bool:
        """Whether the images have a phase."""
        return bool(np.iscomplexobj(self.images))

    @property
    def n_slices(self) -> int:
        return self.images.shape[0]

    @property
    def n_frames(self) -> int:
        return self.images.shape[1]

    @property
    def matrix(self) -> tuple[int, int]:
        """Number of pixels (y, x)."""
        return self.images.shape[2], self.images.shape[3]


def _check_frame_times(where: str, frame_times_ms: NDArray[np.float32] | None, n_frames: int) -> None:
    if frame_times_ms is not None and np.shape(frame_times_ms) != (n_frames,):
        raise CsmriError(f"{where}: frame times of shape {np.shape(frame_times_ms)} do not fit {n_frames} frames")


@dataclass(frozen=True, eq=False)
class KSpace:
    """Measured Cartesian k-t data of one subject: kx fully read, ky lines acquired where `mask` is True.

    Parameters
    ----------
    kspace : array (slice, coil, frame, ky, kx), complex64
        DC in the centre (index n // 2) of ky and kx; zero where not acquired.
    mask : array (frame, ky) or (slice, frame, ky), bool
        True = acquired, in all coils; without the axis of slices, in all of them.
    subject, spacing_mm, slice_spacing_mm, frame_times_ms, affine, provenance, notes
        As in `Cine`.

    Raises
    ------
    CsmriError
        If the axes of k-space and mask do not fit, a value is not finite, or no line was acquired.
    """

    kspace: NDArray[np.complex64]
    mask: NDArray[np.bool_]
    subject: str
    spacing_mm: tuple[float, float] | None = None
    slice_spacing_mm: float | None = None
    frame_times_ms: NDArray[np.float32] | None = None
    affine: NDArray[np.float64] | None = None
    provenance: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = self.provenance or f"subject {self.subject}"
        kspace, mask = np.asarray(self.kspace), np.asarray(self.mask)
        if kspace.ndim != 5:
            raise CsmriError(
                f"{where}: expected k-space (slice, coil, frame, ky, kx), got {kspace.ndim} axes: {kspace.shape}"
            )
        if 0 in kspace.shape:
            raise CsmriError(f"{where}: the k-space is empty, shape {kspace.shape} (slice, coil, frame, ky, kx)")
        frames_and_lines = kspace.shape[2:4]
        if mask.dtype != np.bool_ or mask.shape not in (frames_and_lines, (kspace.shape[0], *frames_and_lines)):
            raise CsmriError(
                f"{where}: expected a boolean mask (frame, ky) of shape {frames_and_lines}, or one for each of "
                f"{kspace.shape[0]} slices, got {mask.dtype} of shape {mask.shape}"
            )
        if kspace.shape[2] < 2:
            raise CsmriError(f"{where}: a cine needs at least 2 frames, this has {kspace.shape[2]}")
        if not np.isfinite(kspace).all():
            raise CsmriError(f"{where}: k-space holds NaN or infinite values")
        if not np.all(mask.any(axis=(-2, -1))):
            raise CsmriError(f"{where}: the mask marks no k-space line as acquired")
        _check_frame_times(where, self.frame_times_ms, kspace.shape[2])
        object.__setattr__(self, "kspace", kspace.astype(np.complex64, copy=False))
        object.__setattr__(self, "mask", mask)

    @property
    def n_slices(self) -> int:
        return self.kspace.shape[0]

    def mask_of(self, slice_index: int) -> NDArray[np.bool_]:
        """Mask (frame, ky) of a slice."""
        return self.mask if self.mask.ndim == 2 else self.mask[slice_index]


@dataclass(frozen=True)
class Outlines:
    """Manual outlines of the left ventricle, as far as a reader drew them.

    Each maps (slice, frame) to points (point, 2) in pixels, columns x and y, (0, 0) = centre of the first pixel.
    """

    endocardium: Contours = field(default_factory=dict)
    epicardium: Contours = field(default_factory=dict)
