"""Blood-pool area of the left ventricle over the cycle of a slice: temporal blur shows in it and hides in an NMSE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon2mask
from skimage.morphology import disk

from csmri.core.errors import CsmriError
from csmri.data.cine import Outlines

MARGIN = 2
"""Pixels by which the end-diastolic outline is widened. The heart shifts over the cycle and blur spreads the pool, but
the blood of the right ventricle, a septum of five pixels and more away, must stay outside."""
EDGE = 2
"""Pixels at the edge of an outline where no signal is estimated: they hold both tissues."""
CROSSED = 0.5
"""Fraction of blood from which on pixels can join the pool."""

Region = NDArray[np.bool_]
Curve = NDArray[np.float64]
"""Area of every frame (frame,), in pixels unless told otherwise."""


@dataclass(frozen=True, eq=False)
class Ventricle:
    """What the areas of one slice are measured with, the same for all methods; regions (y, x)."""

    region: Region
    """Where blood counts: inside the end-diastolic outline and a margin."""
    pool: Region
    """Inside the end-systolic outline, where blood is in every frame."""
    blood: float
    muscle: float
    """Signals, in the unit of the reference."""
    outlined: Mapping[int, Region]
    """Inside of the outline at its frame: end-diastole, end-systole."""
    outlined_area: Mapping[int, float]
    """Area within the same outlines [pixels]."""

    @property
    def end_diastole(self) -> int:
        """Frame of the larger outline."""
        return max(self.outlined_area, key=self.outlined_area.__getitem__)

    @property
    def end_systole(self) -> int:
        """Frame of the smaller outline."""
        return min(self.outlined_area, key=self.outlined_area.__getitem__)


@dataclass(frozen=True)
class Beat:
    """What an area curve says; areas in its unit, rates in its unit per second."""

    end_diastolic: float
    end_systolic: float
    ejected_fraction: float
    """Of the end-diastolic area."""
    emptying: float
    filling: float
    """Largest rates, both positive."""


def find_ventricle(reference: NDArray[np.float32], outlines: Outlines, slice_index: int) -> Ventricle:
    """Prepare to measure a slice, from its reference and its outlines alone.

    End-diastole and end-systole are the frames of the largest and of the smallest endocardial outline. The signal of
    blood is the median over all frames inside the end-systolic outline, that of muscle the median at end-diastole
    between endocardium and epicardium.

    Parameters
    ----------
    reference : (frame, y, x), magnitude
    outlines : Outlines
        In pixels of the same images.

    Raises
    ------
    CsmriError
        If the slice lacks an endocardial outline at two frames or an epicardial one at end-diastole, or if blood is
        not brighter than muscle.
    """
    points = {frame: p for (index, frame), p in outlines.endocardium.items() if index == slice_index}
    areas = {frame: outline_area(p) for frame, p in points.items()}
    frames = sorted(areas, key=areas.__getitem__)
    if len(frames) < 2 or (slice_index, frames[-1]) not in outlines.epicardium:
        raise CsmriError(
            f"slice {slice_index} cannot be measured: expected endocardial outlines at two frames or more and an "
            f"epicardial one at end-diastole, found {len(frames)} endocardial"
        )
    ends = frames[-1], frames[0]
    matrix = reference.shape[1:]
    outlined = {frame: _inside(points[frame], matrix) for frame in ends}
    diastolic, systolic = (outlined[frame] for frame in ends)
    pool = systolic & diastolic
    wall = _inside(outlines.epicardium[slice_index, ends[0]], matrix) & ~ndimage.binary_dilation(diastolic)
    blood = np.median(reference[:, _without_edge(pool)])
    muscle = np.median(reference[ends[0], wall]) if wall.any() else np.inf
    if not blood > muscle:
        raise CsmriError(f"slice {slice_index}: blood ({blood:.3g}) is not brighter than muscle ({muscle:.3g})")
    region = ndimage.binary_dilation(diastolic, disk(MARGIN))
    return Ventricle(region, pool, float(blood), float(muscle), outlined, {frame: areas[frame] for frame in ends})


def blood_fraction(images: NDArray[np.float32], ventricle: Ventricle) -> NDArray[np.float64]:
    """Part of every pixel (..., y, x) that is blood, 0 to 1, by its signal between those of muscle and blood."""
    return np.clip((images - ventricle.muscle) / (ventricle.blood - ventricle.muscle), 0, 1, dtype=np.float64)


def blood_area(images: NDArray[np.float32], ventricle: Ventricle) -> Curve:
    """Blood-pool area (frame,) in pixels of images (frame, y, x) in the unit of the reference.

    In every frame the largest connected part that is mostly blood and reaches into the end-systolic pool, with the
    partly filled pixels around it; each pixel counts by its fraction of blood. Papillary muscles do not count, other
    than in manual outlines, which run around them.
    """
    return np.array([_frame_area(fraction, ventricle) for fraction in blood_fraction(images, ventricle)])


def blood_in_outlines(reference: NDArray[np.float32], ventricle: Ventricle) -> dict[int, float]:
    """Blood inside the outlines in pixels, by frame: what is left of their area without papillary muscles."""
    return {
        frame: float(blood_fraction(reference[frame], ventricle)[inside].sum())
        for frame, inside in ventricle.outlined.items()
    }


def measure_beat(areas: Curve, *, end_diastole: int, end_systole: int, frame_ms: float) -> Beat:
    """Read end-diastole and end-systole off a curve at given frames, and its steepest fall and rise.

    Frames are given, so that noise does not choose them. Rates are central differences of the beat closed to a ring of
    equally long frames.
    """
    rates = (np.roll(areas, -1) - np.roll(areas, 1)) / (2e-3 * frame_ms)
    first, last = float(areas[end_diastole]), float(areas[end_systole])
    fraction = 1 - last / first if first > 0 else np.nan
    return Beat(first, last, fraction, float(-rates.min()), float(rates.max()))


def outline_area(points: NDArray[np.float32]) -> float:
    """Area inside a closed outline (point, 2) in pixels, by the shoelace formula."""
    x, y = (points - points.mean(axis=0)).T.astype(np.float64)
    return float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2)


def _inside(points: NDArray[np.float32], matrix: tuple[int, ...]) -> Region:
    return polygon2mask(matrix, points[:, ::-1])


def _without_edge(region: Region) -> Region:
    core = ndimage.binary_erosion(region, disk(EDGE))
    return core if core.any() else region


def _frame_area(fraction: NDArray[np.float64], ventricle: Ventricle) -> float:
    parts, _ = ndimage.label((fraction >= CROSSED) & ventricle.region)
    sizes = np.bincount(parts.ravel())
    reaching = np.setdiff1d(parts[ventricle.pool], 0)
    if not reaching.size:
        return 0.0
    largest = parts == reaching[sizes[reaching].argmax()]
    return float(fraction[ndimage.binary_dilation(largest) & ventricle.region].sum())
