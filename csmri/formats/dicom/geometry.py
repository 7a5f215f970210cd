"""Where images lie: parallel planes, the slices they make, and the affine from voxels to the patient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.formats.dicom.header import Header
from csmri.formats.geometry import LPS_TO_RAS
from csmri.formats.parsing import plural

# Projections on the slice normal closer than this are the same slice: headers round to 0.001 mm.
SAME_SLICE_MM = 0.1
# A slice may wander from frame to frame by this share of its thickness, or by so much where that is unknown, at most.
WANDER_SHARE, WANDER_MM = 0.1, 0.5
# Slices are parallel if their direction cosines agree to this; a stack's own jitter is about 1e-6.
SAME_DIRECTION = 1e-3
# Gaps between slices that differ by less than this share are the same.
SAME_GAP = 0.05


def normal_of(header: Header) -> NDArray[np.float64]:
    """Unit vector along which slices follow each other, NaN where the directions are nonsense."""
    normal = np.cross(*np.array(header.orientation, np.float64).reshape(2, 3))
    with np.errstate(all="ignore"):
        return normal / np.linalg.norm(normal)


def are_parallel(one: Header, other: Header) -> bool:
    """Whether two images that are placed have the same directions."""
    difference = np.subtract(one.orientation, other.orientation)  # type: ignore[arg-type]
    return bool(np.abs(difference).max() <= SAME_DIRECTION)


def slices_of(headers: Sequence[Header]) -> list[list[Header]]:
    """Parallel images by slice, in the direction of the slice normal.

    A slice whose position wanders from frame to frame is one slice, if all have the same number of frames, then.
    """
    strict = _cut(headers, SAME_SLICE_MM)
    thickness = headers[0].thickness_mm
    most_mm = WANDER_SHARE * thickness if thickness and thickness > 0 else WANDER_MM
    wide = _cut(headers, most_mm) if most_mm > SAME_SLICE_MM else strict
    is_one = len({len(images) for images in wide}) == 1 and wander_of(wide) <= most_mm
    return wide if is_one and not any(map(_shows_times_again, wide)) else strict


def _cut(headers: Sequence[Header], gap_mm: float) -> list[list[Header]]:
    """Images by depth, apart wherever there is a larger gap."""
    depths = _depths(headers)
    order = np.argsort(depths, kind="stable")
    cuts = np.flatnonzero(np.diff(depths[order]) > gap_mm) + 1
    return [[headers[index] for index in part] for part in np.split(order, cuts)]


def _depths(headers: Sequence[Header]) -> NDArray[np.float64]:
    """Projections (image,) in mm of the positions on the slice normal."""
    return np.array([header.position_mm for header in headers]) @ normal_of(headers[0])


def wander_of(slices: Sequence[Sequence[Header]]) -> float:
    """How far in mm the images of one slice lie apart along the normal, at most."""
    return max(float(np.ptp(_depths(frames))) for frames in slices)


def _shows_times_again(frames: Sequence[Header]) -> bool:
    """Whether every trigger time is there several times: then these are several thin slices."""
    counts = Counter(header.trigger_ms for header in frames if header.trigger_ms is not None)
    return len(counts) > 1 and min(counts.values()) > 1


def planes_of(headers: Sequence[Header]) -> list[list[Header]]:
    """Images by plane, whatever their directions; all of them must be placed."""
    by_direction: list[list[Header]] = []
    for header in headers:
        group = next((group for group in by_direction if are_parallel(group[0], header)), None)
        if group is None:
            by_direction.append([header])
        else:
            group.append(header)
    return [plane for group in by_direction for plane in slices_of(group)]


def check_geometry(where: str, headers: Sequence[Header]) -> None:
    """Refuse images that are not placed, not parallel, or of different size."""
    for name, keyword in [
        ("position_mm", "ImagePositionPatient"),
        ("orientation", "ImageOrientationPatient"),
        ("spacing_mm", "PixelSpacing"),
    ]:
        silent = [header.name for header in headers if getattr(header, name) is None]
        if silent:
            raise CsmriError(
                f"{where}: {len(silent)} of {plural(len(headers), 'image')} have no valid {keyword}, the first is "
                f"{silent[0]}; slices cannot be sorted without it, export the series again or convert it to NIfTI"
            )
    sizes = Counter(header.matrix for header in headers)
    if len(sizes) > 1:
        found = ", ".join(f"{plural(count, 'image')} of {y}x{x}" for (y, x), count in sizes.most_common(4))
        odd = next(header.name for header in headers if header.matrix == sizes.most_common()[-1][0])
        raise CsmriError(
            f"{where}: expected one matrix size (y, x), found {found}, {odd} for example; keep the short-axis cine only"
        )
    _check_spacing(where, headers)
    _check_directions(where, headers)


def _check_spacing(where: str, headers: Sequence[Header]) -> None:
    spacings = np.array([header.spacing_mm for header in headers])
    if spacings.min() <= 0 or not np.allclose(spacings, spacings[0], rtol=1e-4, atol=0):
        raise CsmriError(
            f"{where}: expected one positive pixel spacing, found {spacings.min():g} to {spacings.max():g} mm; "
            "keep the short-axis cine only"
        )


def _check_directions(where: str, headers: Sequence[Header]) -> None:
    directions = np.array([header.orientation for header in headers])
    gram = directions[0].reshape(2, 3) @ directions[0].reshape(2, 3).T
    if not np.allclose(gram, np.eye(2), atol=SAME_DIRECTION * 10):
        raise CsmriError(f"{where}: ImageOrientationPatient holds no two perpendicular unit vectors; export it again")
    turned = np.abs(directions - directions[0]).max(axis=1) > SAME_DIRECTION
    if turned.any():
        other = headers[int(np.flatnonzero(turned)[0])].name
        raise CsmriError(
            f"{where}: slices are not parallel ({headers[0].name} and {other} differ); expected one short-axis "
            "stack, remove long-axis views and localizers"
        )


def check_counts(where: str, slices: Sequence[Sequence[Header]]) -> None:
    """Refuse slices of different numbers of frames."""
    counts = Counter(len(frames) for frames in slices)
    if len(counts) == 1:
        return
    usual = counts.most_common(1)[0][0]
    odd = [f"{len(frames)} in slice {index + 1}" for index, frames in enumerate(slices) if len(frames) != usual]
    more = f" and {len(odd) - 4} more" if len(odd) > 4 else ""
    raise CsmriError(
        f"{where}: expected the same number of frames in all {len(slices)} slices, found {usual} in most and "
        f"{', '.join(odd[:4])}{more}; complete the folder or remove these slices"
    )


def gaps_of(slices: Sequence[Sequence[Header]]) -> NDArray[np.float64]:
    """Distance (gap,) in mm from each slice to the next along the normal."""
    return np.diff(_places(slices) @ normal_of(slices[0][0]))


def _places(slices: Sequence[Sequence[Header]]) -> NDArray[np.float64]:
    """Positions (slice, 3) in mm, the median over the frames, which may wander."""
    return np.array([np.median([header.position_mm for header in frames], axis=0) for frames in slices])


def regular_gap(gaps: NDArray[np.float64]) -> float:
    """The gap that most slices have; of two that are equally frequent, the smaller."""
    near = np.abs(gaps[:, None] - gaps) <= SAME_GAP * gaps
    usual = gaps[np.lexsort((gaps, -near.sum(axis=0)))[0]]
    return float(np.median(gaps[np.abs(gaps - usual) <= SAME_GAP * usual]))


def slice_step(slices: Sequence[Sequence[Header]], notes: list[str]) -> tuple[NDArray[np.float64], float | None]:
    """Vector from slice to slice in mm; and the slice spacing, or None for a slice alone and uneven slices."""
    first = slices[0][0]
    if len(slices) == 1:
        return normal_of(first) * first.slice_step_mm, None
    positions = _places(slices)
    gaps = gaps_of(slices)
    if np.ptp(gaps) <= SAME_GAP * float(np.median(gaps)):
        _note_shifts(positions, (positions[-1] - positions[0]) / (len(positions) - 1), first, notes)
        return (positions[-1] - positions[0]) / (len(positions) - 1), float(np.median(gaps))
    usual = regular_gap(gaps)
    regular = np.abs(gaps - usual) <= SAME_GAP * usual
    odd = [
        f"{gap:.2f} mm between slices {index + 1} and {index + 2}"
        for index, gap in enumerate(gaps)
        if not regular[index]
    ]
    more = f" and {len(odd) - 4} more" if len(odd) > 4 else ""
    notes.append(
        f"Slices are not evenly spaced: {gaps.min():.2f} to {gaps.max():.2f} mm, {usual:.2f} mm in most, but "
        f"{', '.join(odd[:4])}{more}; slices behind the first such gap lie elsewhere than the affine says, and the "
        "slice spacing was left open."
    )
    return np.diff(positions, axis=0)[regular].mean(axis=0), None


def _note_shifts(positions: NDArray[np.float64], step: NDArray[np.float64], first: Header, notes: list[str]) -> None:
    """Note slices that lie a pixel or more beside the line that the affine draws."""
    off = np.linalg.norm(positions - positions[0] - np.arange(len(positions))[:, None] * step, axis=1)
    assert first.spacing_mm is not None  # check_geometry refuses it
    if off.max() > min(first.spacing_mm):
        notes.append(
            f"Slice {int(off.argmax()) + 1} lies {off.max():.1f} mm beside the line through the first and the last "
            "slice, where the affine has it."
        )


def affine_of(first: Header, step: NDArray[np.float64]) -> NDArray[np.float64]:
    """Affine (4, 4) from (x, y, slice, 1) to RAS coordinates in mm, of the first image and the slice step."""
    direction = np.array(first.orientation, np.float64).reshape(2, 3)
    assert first.spacing_mm is not None and first.position_mm is not None  # check_geometry refuses it
    y_mm, x_mm = first.spacing_mm
    lps = np.eye(4)
    lps[:3] = np.column_stack([direction[0] * x_mm, direction[1] * y_mm, step, first.position_mm])
    return LPS_TO_RAS @ lps
