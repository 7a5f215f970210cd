"""Which DICOM file shows which slice and frame: headers sorted by geometry and trigger time, never by name."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.formats.dicom.header import Header, is_dicom, read_header
from csmri.formats.parsing import natural_key, parsing, plural

# Projections on the slice normal closer than this are the same slice: headers round to 0.001 mm.
SAME_SLICE_MM = 0.1
# Slices are parallel if their direction cosines agree to this; a stack's own jitter is about 1e-6.
SAME_DIRECTION = 1e-3
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Stack:
    """The images of one cine in their places.

    Parameters
    ----------
    headers : tuple (slice) of tuples (frame)
        Slices in the direction of the slice normal, frames in the order of their trigger times.
    spacing_mm : (y, x) in mm
    slice_spacing_mm : float in mm, or None for a single slice
    frame_times_ms : array (frame,) in ms, or None
        Median over the slices, which were acquired in different heart beats.
    affine : array (4, 4)
        From (x, y, slice, 1) to RAS coordinates in mm.
    notes : tuple of str
    """

    headers: tuple[tuple[Header, ...], ...]
    spacing_mm: tuple[float, float]
    slice_spacing_mm: float | None
    frame_times_ms: NDArray[np.float32] | None
    affine: NDArray[np.float64]
    notes: tuple[str, ...]


def read_stack(folder: Path) -> Stack:
    """Find all DICOM images under a folder and put them in their places.

    Raises
    ------
    CsmriError
        If they are not one stack of parallel slices with the same frames; says what was found and what to do.
    """
    with parsing(folder, "a DICOM folder", "check the path and its permissions"):
        paths = sorted((path for path in folder.rglob("*") if path.is_file()), key=natural_key)
    images, ignored = [], []
    for path in paths:
        header = read_header(path) if is_dicom(path) else None
        if header is not None:
            images.append(header)
        else:
            ignored.append(path)
    if not images:
        raise CsmriError(
            f"{folder}: no DICOM image among {plural(len(paths), 'file')}; expected the images of one short-axis cine"
        )
    notes = []
    if ignored:
        notes.append(f"Ignored {plural(len(ignored), 'file')} without a DICOM image, the first is {ignored[0].name}.")
    return _arrange(folder, images, notes)


def _arrange(folder: Path, images: list[Header], notes: list[str]) -> Stack:
    _check_series(folder, images, notes)
    _check_geometry(folder, images)
    first = images[0]
    direction = np.array(first.orientation, np.float64).reshape(2, 3)
    normal = np.cross(*direction)
    normal /= np.linalg.norm(normal)
    depths = np.array([header.position_mm for header in images]) @ normal
    order = np.argsort(depths, kind="stable")
    cuts = np.flatnonzero(np.diff(depths[order]) > SAME_SLICE_MM) + 1
    slices = [[images[index] for index in part] for part in np.split(order, cuts)]
    _check_counts(folder, slices)
    ordered, times = _sort_frames(folder, slices, notes)

    positions = np.array([frames[0].position_mm for frames in ordered])
    slice_step, slice_spacing = _slice_step(positions, normal, first.slice_step_mm, notes)
    assert first.spacing_mm is not None  # _check_geometry refuses it
    spacing = (first.spacing_mm[0], first.spacing_mm[1])
    lps = np.eye(4)
    lps[:3] = np.column_stack([direction[0] * spacing[1], direction[1] * spacing[0], slice_step, positions[0]])
    return Stack(ordered, spacing, slice_spacing, times, LPS_TO_RAS @ lps, tuple(notes))


def _check_series(folder: Path, images: list[Header], notes: list[str]) -> None:
    """Refuse a mixture of series, but accept a stack whose every slice is a series of its own."""
    series: dict[str, list[Header]] = {}
    for header in images:
        series.setdefault(header.series, []).append(header)
    if len(series) == 1:
        return
    positions = {uid: {header.position_mm for header in members} for uid, members in series.items()}
    if all(len(places) == 1 for places in positions.values()) and len({len(m) for m in series.values()}) == 1:
        # Some scanners write so; whether the slices are parallel and distinct is checked with the geometry.
        notes.append(f"Joined {len(series)} series of one slice each to one stack.")
        return
    described = [
        f"'{members[0].series_name}' ({plural(len(members), 'file')} in {_common_folder(folder, members)})"
        for members in series.values()
    ]
    stacks = [
        text
        for (uid, members), text in zip(series.items(), described, strict=True)
        if 1 < len(positions[uid]) < len(members)
    ]
    hint = f"; the stack is probably {stacks[0]}" if len(stacks) == 1 else ""
    more = f" and {len(described) - 4} more" if len(described) > 4 else ""
    raise CsmriError(
        f"{folder}: expected one cine series, found {len(series)}: {', '.join(described[:4])}{more}{hint}; "
        "give the folder of the short-axis series, or copy its files to a folder of their own"
    )


def _common_folder(folder: Path, members: list[Header]) -> str:
    parents = {header.path.parent for header in members}
    return str(parents.pop().relative_to(folder)) if len(parents) == 1 else f"{len(parents)} folders"


def _check_geometry(folder: Path, images: list[Header]) -> None:
    for name, keyword in [
        ("position_mm", "ImagePositionPatient"),
        ("orientation", "ImageOrientationPatient"),
        ("spacing_mm", "PixelSpacing"),
    ]:
        silent = [header.path.name for header in images if getattr(header, name) is None]
        if silent:
            raise CsmriError(
                f"{folder}: {len(silent)} of {plural(len(images), 'image')} have no valid {keyword}, the first is "
                f"{silent[0]}; slices cannot be sorted without it, export the series again or convert it to NIfTI"
            )
    sizes = Counter(header.matrix for header in images)
    if len(sizes) > 1:
        found = ", ".join(f"{plural(count, 'image')} of {y}x{x}" for (y, x), count in sizes.most_common(4))
        raise CsmriError(f"{folder}: expected one matrix size (y, x), found {found}; keep the short-axis cine only")
    spacings = np.array([header.spacing_mm for header in images])
    if spacings.min() <= 0 or not np.allclose(spacings, spacings[0], rtol=1e-4, atol=0):
        raise CsmriError(
            f"{folder}: expected one positive pixel spacing, found {spacings.min():g} to {spacings.max():g} mm; "
            "keep the short-axis cine only"
        )
    directions = np.array([header.orientation for header in images])
    gram = directions[0].reshape(2, 3) @ directions[0].reshape(2, 3).T
    if not np.allclose(gram, np.eye(2), atol=SAME_DIRECTION * 10):
        raise CsmriError(f"{folder}: ImageOrientationPatient holds no two perpendicular unit vectors; export it again")
    turned = np.abs(directions - directions[0]).max(axis=1) > SAME_DIRECTION
    if turned.any():
        other = images[int(np.flatnonzero(turned)[0])].path.name
        raise CsmriError(
            f"{folder}: slices are not parallel ({images[0].path.name} and {other} differ); expected one short-axis "
            "stack, remove long-axis views and localizers"
        )


def _check_counts(folder: Path, slices: list[list[Header]]) -> None:
    counts = Counter(len(frames) for frames in slices)
    if len(counts) == 1:
        return
    usual = counts.most_common(1)[0][0]
    odd = [f"{len(frames)} in slice {index + 1}" for index, frames in enumerate(slices) if len(frames) != usual]
    more = f" and {len(odd) - 4} more" if len(odd) > 4 else ""
    raise CsmriError(
        f"{folder}: expected the same number of frames in all {len(slices)} slices, found {usual} in most and "
        f"{', '.join(odd[:4])}{more}; complete the folder or remove these slices"
    )


def _sort_frames(
    folder: Path, slices: list[list[Header]], notes: list[str]
) -> tuple[tuple[tuple[Header, ...], ...], NDArray[np.float32] | None]:
    """Order the frames of each slice by trigger time, or by instance number where no file tells a time."""
    timed = [header.trigger_ms is not None for frames in slices for header in frames]
    if any(timed) and not all(timed):
        raise CsmriError(
            f"{folder}: {len(timed) - sum(timed)} of {len(timed)} images have no TriggerTime; frames cannot be put "
            "in order, export the series again"
        )
    one_time = all(len({header.trigger_ms for header in frames}) == 1 for frames in slices)
    by_instance = one_time and len(slices[0]) > 1
    key = "instance" if by_instance else "trigger_ms"
    for index, frames in enumerate(slices):
        values = Counter(getattr(header, key) for header in frames)
        value, count = values.most_common(1)[0]
        if value is None or count > 1:
            wanted = "instance number (there are no trigger times)" if by_instance else "trigger time"
            twins = [header.path.name for header in frames if getattr(header, key) == value][:2]
            raise CsmriError(
                f"{folder}: slice {index + 1} holds {count} images with the same {wanted}, {value}: "
                f"{' and '.join(twins)}; remove duplicates and phase images"
            )
    ordered = tuple(tuple(sorted(frames, key=lambda header: getattr(header, key))) for frames in slices)
    if by_instance:
        notes.append("There are no trigger times: frames were sorted by instance number and frame times are unknown.")
        return ordered, None
    times = np.array([[header.trigger_ms for header in frames] for frames in ordered], np.float64)
    return ordered, np.median(times, axis=0).astype(np.float32)


def _slice_step(
    positions: NDArray[np.float64], normal: NDArray[np.float64], alone_mm: float, notes: list[str]
) -> tuple[NDArray[np.float64], float | None]:
    """Vector from slice to slice in mm, and the slice spacing, or None for a slice alone."""
    if len(positions) == 1:
        return normal * alone_mm, None
    gaps = np.diff(positions @ normal)
    spacing = float(np.median(gaps))
    if np.ptp(gaps) > 0.05 * spacing:
        notes.append(f"Slices are not evenly spaced: {gaps.min():.2f} to {gaps.max():.2f} mm, the median is kept.")
    return (positions[-1] - positions[0]) / (len(positions) - 1), spacing
