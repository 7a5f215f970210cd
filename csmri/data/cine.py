"""The record `Cine` (images) with its axes and units, and manual outlines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.data.checks import check_frame_times, check_geometry

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
        Rising from frame to frame.
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
        values, negative magnitudes, or nothing but zeros. If times do not rise, a spacing is not above 0, the affine
        is singular, or affine and spacing contradict each other.
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
            raise CsmriError(
                f"{where}: magnitude images must not be negative, but {(images < 0).mean():.1%} of the values are, "
                f"down to {images.min():g}; if an offset was subtracted, add it; if this is phase or velocity, give "
                "the magnitude"
            )
        if not images.any():
            raise CsmriError(f"{where}: every pixel is zero")
        object.__setattr__(self, "images", images)
        check_frame_times(where, self.frame_times_ms, images.shape[1])
        check_geometry(where, self)

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


@dataclass(frozen=True)
class Outlines:
    """Manual outlines of the left ventricle, as far as a reader drew them.

    Each maps (slice, frame) to points (point, 2) in pixels, columns x and y, (0, 0) = centre of the first pixel.
    """

    endocardium: Contours = field(default_factory=dict)
    epicardium: Contours = field(default_factory=dict)
