"""Examples and manual outlines -> curves of blood-pool area, their file area.csv.xz, and the table of what they say.

The file holds numbers only, no pixels: from it figure and table are made again without the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from csmri.core.errors import CsmriError
from csmri.core.names import GROUND_TRUTH, method_label
from csmri.core.texts import read_csv, write_csv
from csmri.data.area import Beat, Ventricle, blood_area, blood_in_outlines, find_ventricle, measure_beat
from csmri.data.cine import Cine, Outlines
from csmri.results.folder import Example
from csmri.results.tables.text import MISSING, Table

OUTLINE, BLOOD_IN_OUTLINE = "manual outline", "blood in the manual outline"
TOLERANCE = 0.1
"""By which the ground truth's curve may differ from the blood inside the outlines at end-diastole and end-systole."""
COLUMNS = ("subject", "slice", "acceleration", "curve", "frame", "time_ms", "area_mm2")


@dataclass(frozen=True, eq=False)
class Areas:
    """Blood-pool areas of one slice at one acceleration [mm^2]."""

    subject: str
    slice: int
    acceleration: float
    times_ms: NDArray[np.float64]
    """(frame,)"""
    curves: Mapping[str, NDArray[np.float64]]
    """Ground truth first, then the methods, each (frame,)."""
    outlined: Mapping[int, tuple[float, float]]
    """Frame -> area of the manual outline and of the blood in it; end-diastole first, then end-systole."""

    @property
    def reference(self) -> NDArray[np.float64]:
        """Curve of the ground truth."""
        return self.curves[GROUND_TRUTH]

    @property
    def outlined_ejection(self) -> float:
        """Ejected fraction by the manual outlines."""
        (diastolic, _), (systolic, _) = self.outlined.values()
        return 1 - systolic / diastolic

    @property
    def sound(self) -> bool:
        """Whether the ground truth's curve agrees with the outlines; where the outflow tract opens it does not."""
        return all(abs(self.reference[frame] / blood - 1) <= TOLERANCE for frame, (_, blood) in self.outlined.items())

    def beat(self, curve: NDArray[np.float64]) -> Beat:
        """Read off a curve what `area.measure_beat` does, at the outlined frames."""
        diastole, systole = self.outlined
        frame_ms = float(np.median(np.diff(self.times_ms)))
        return measure_beat(curve, end_diastole=diastole, end_systole=systole, frame_ms=frame_ms)

    def rms_error(self, name: str) -> float:
        """Root mean squared difference of a method's curve from that of the ground truth."""
        return float(np.sqrt(np.mean((self.curves[name] - self.reference) ** 2)))


def measure_areas(examples: Sequence[Example], cine: Cine, outlines: Outlines) -> list[Areas]:
    """Measure the slices of one subject in all images that the examples hold of it.

    Parameters
    ----------
    cine : Cine
        The same subject as it was read; tells millimetres and milliseconds.

    Raises
    ------
    CsmriError
        If the cine does not tell them, there is no example of its subject, or a slice has too few outlines.
    """
    if cine.spacing_mm is None or cine.frame_times_ms is None:
        raise CsmriError(f"{cine.provenance}: tells no pixel spacing or no frame times; areas are in mm² over ms")
    shown = [example for example in examples if example.subject == cine.subject]
    if not shown:
        raise CsmriError(f"no examples of {cine.subject}; `csmri evaluate` keeps those of the first subject it tests")
    pixel, times = float(np.prod(cine.spacing_mm)), cine.frame_times_ms.astype(np.float64)
    return [
        _measure(example, find_ventricle(example.reference, outlines, example.slice), pixel, times) for example in shown
    ]


def _measure(example: Example, ventricle: Ventricle, pixel: float, times: NDArray[np.float64]) -> Areas:
    images = {GROUND_TRUTH: example.reference, **example.methods}
    bright = blood_in_outlines(example.reference, ventricle)
    return Areas(
        example.subject,
        example.slice,
        example.acceleration,
        times,
        {name: pixel * blood_area(values, ventricle) for name, values in images.items()},
        {frame: (pixel * area, pixel * bright[frame]) for frame, area in ventricle.outlined_area.items()},
    )


def write_areas(areas: Sequence[Areas], path: Path) -> None:
    """Write one line a frame and curve, and two for every manual outline; compressed where the name ends in .xz."""
    write_csv(path, COLUMNS, (line for one in areas for line in _lines(one)))


def _lines(one: Areas) -> Iterator[tuple[object, ...]]:
    def line(curve: str, frame: int, area: float) -> tuple[object, ...]:
        place = (one.subject, one.slice, f"{one.acceleration:g}", curve, frame)
        return *place, f"{one.times_ms[frame]:g}", f"{area:.5g}"

    for frame, pair in one.outlined.items():
        for name, area in zip((OUTLINE, BLOOD_IN_OUTLINE), pair, strict=True):
            yield line(name, frame, area)
    for name, curve in one.curves.items():
        for frame, area in enumerate(curve):
            yield line(name, frame, float(area))


def read_areas(path: Path) -> list[Areas]:
    """Read what `write_areas` wrote."""
    try:
        rows = read_csv(path)
        groups: dict[tuple[str, int, float], list[dict[str, str]]] = {}
        for row in rows:
            groups.setdefault((row["subject"], int(row["slice"]), float(row["acceleration"])), []).append(row)
        areas = [_areas(*place, some) for place, some in groups.items()]
        if not areas:
            raise ValueError("it is empty")
    except (OSError, EOFError, KeyError, TypeError, ValueError) as error:
        raise CsmriError(f"{path}: not the areas that `csmri figures --only area` measures ({error})") from error
    return areas


def _areas(subject: str, slice_index: int, acceleration: float, rows: list[dict[str, str]]) -> Areas:
    curves: dict[str, dict[int, float]] = {}
    for row in rows:
        curves.setdefault(row["curve"], {})[int(row["frame"])] = float(row["area_mm2"])
    if missing := {GROUND_TRUTH, OUTLINE, BLOOD_IN_OUTLINE} - set(curves):
        raise ValueError(f"no {' and no '.join(sorted(missing))} of slice {slice_index}")
    outlined, bright = curves.pop(OUTLINE), curves.pop(BLOOD_IN_OUTLINE)
    times = {int(row["frame"]): float(row["time_ms"]) for row in rows}
    frames = range(len(times))
    return Areas(
        subject,
        slice_index,
        acceleration,
        np.array([times[frame] for frame in frames]),
        {name: np.array([curve[frame] for frame in frames]) for name, curve in curves.items()},
        {frame: (area, bright[frame]) for frame, area in outlined.items()},
    )


def sound_areas(areas: Sequence[Areas]) -> list[Areas]:
    """Slices that may be judged, which ground truth and outlines decide; all where none may."""
    return [one for one in areas if one.sound] or list(areas)


def area_tables(areas: Sequence[Areas]) -> list[Table]:
    """Make a table an acceleration: what the curves say, mean over slices, and how the truth fits the outlines."""
    left_out = sorted({one.slice for one in areas} - {one.slice for one in sound_areas(areas)})
    return [
        _table(acceleration, [one for one in sound_areas(areas) if one.acceleration == acceleration], left_out)
        for acceleration in sorted({one.acceleration for one in sound_areas(areas)})
    ]


def _table(acceleration: float, areas: Sequence[Areas], left_out: Sequence[int]) -> Table:
    head = ("curve", "error, mm²", "ED, mm²", "ES, mm²", "ejected, %", "emptying, mm²/s", "filling, mm²/s")
    rows = [list(head)]
    for name in areas[0].curves:
        error = "0" if name == GROUND_TRUTH else f"{np.mean([one.rms_error(name) for one in areas]):.1f}"
        rows.append([method_label(name), error, *_cells(_mean([one.beat(one.curves[name]) for one in areas]))])
    for i, name in enumerate((OUTLINE, BLOOD_IN_OUTLINE)):
        diastolic, systolic = np.array([[pair[i] for pair in one.outlined.values()] for one in areas]).T
        fraction = float(np.mean(1 - systolic / diastolic))
        rows.append([name, MISSING, *_cells(Beat(diastolic.mean(), systolic.mean(), fraction, np.nan, np.nan))])
    slices = sorted({one.slice for one in areas})
    where = f"Mean over slices {', '.join(map(str, slices))}" if len(slices) > 1 else f"Slice {slices[0]}"
    notes = [
        f"{where} of {areas[0].subject}. Error: root mean squared difference from the ground truth's curve over the "
        "cycle. ED, ES: area at the frames outlined at end-diastole and end-systole; ejected: their difference over "
        "the first. Emptying, filling: steepest fall and rise between the frame before and the frame after.",
        agreement(areas),
    ]
    if left_out:
        notes.append(
            f"Left out: {', '.join(map(str, left_out))}, where the ground truth's curve differs by more than "
            f"{100 * TOLERANCE:.0f} % from the blood inside an outline: another bright part joins the pool."
        )
    return Table(f"area_R{acceleration:g}", f"Blood-pool area at R = {acceleration:g}", rows, notes)


def agreement(areas: Sequence[Areas]) -> str:
    """Say in two sentences how the curve of the ground truth fits the manual outlines."""
    measured = np.array([[one.reference[frame] for frame in one.outlined] for one in areas])
    outlined, bright = np.array([list(one.outlined.values()) for one in areas]).transpose(2, 0, 1)
    return (
        "Manual outlines run around papillary muscles, which the curves leave out: that of the ground truth has "
        f"{_percent(measured / outlined)} of the outlined area and {_percent(measured / bright)} of the blood inside "
        "the outlines (mean, lowest to highest over slices, ED and ES)."
    )


def _percent(ratios: NDArray[np.float64]) -> str:
    return f"{100 * ratios.mean():.0f} % ({100 * ratios.min():.0f} to {100 * ratios.max():.0f})"


def _mean(beats: Sequence[Beat]) -> Beat:
    return Beat(*np.mean([astuple(beat) for beat in beats], axis=0))


def _cells(beat: Beat) -> list[str]:
    numbers = [f"{beat.end_diastolic:.0f}", f"{beat.end_systolic:.0f}", f"{100 * beat.ejected_fraction:.1f}"]
    rates = [MISSING if np.isnan(rate) else f"{rate:.0f}" for rate in (beat.emptying, beat.filling)]
    return [*numbers, *rates]
