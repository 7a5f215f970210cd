"""Records, times and sizes -> one table of all methods for the heart box and one for the whole image."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from csmri.core.names import INITIAL, method_label
from csmri.data.records import Timing, mean_over_subjects
from csmri.results.folder import Results
from csmri.results.tables.quality import (
    RANGE,
    SCALES,
    about_heads,
    acceleration_head,
    accelerations_of,
    best_method,
    left_out,
    n_counted_subjects,
    number,
)
from csmri.results.tables.text import MISSING, Table

REGIONS = {"_heart": "in the heart box", "": "over the whole image"}


def methods_tables(results: Results) -> list[Table]:
    """One table a region: quality of every method at every acceleration, its seconds and parameters."""
    seconds = median_seconds(results.timings)
    labels = {method: method_label(method) for method in dict.fromkeys(r.method for r in results.records)}
    tables = []
    for suffix, region in REGIONS.items():
        columns = [
            _column(results, quality, suffix, acceleration, list(labels))
            for acceleration in accelerations_of(results.records)
            for quality in SCALES
        ]
        columns.append(["seconds", *(f"{seconds[m]:.3g}" if m in seconds else MISSING for m in labels)])
        columns.append(["parameters", *(f"{n:,}" if (n := results.parameters.get(m)) else MISSING for m in labels)])
        rows = zip(["method", *labels.values()], *columns, strict=True)
        tables.append(
            Table(f"methods{suffix}", f"All methods {region}", [list(row) for row in rows], _notes(results, suffix))
        )
    return tables


def _notes(results: Results, suffix: str) -> list[str]:
    n_subjects = n_counted_subjects(results.records, f"nmse{suffix}")
    means = (
        f"Means over {n_subjects} test subject{'s' * (n_subjects > 1)}, each first averaged over slices, frames and "
        "seeds; best in bold. NMSE × 10⁻³, in brackets relative to that of the initial reconstruction; PSNR in dB. "
        f"{RANGE}"
    )
    return [
        " ".join([means, *about_heads(results.records)]),
        _about_seconds(results.timings, results.processor),
        *left_out(results.records, f"ssim{suffix}"),
    ]


def median_seconds(timings: Iterable[Timing]) -> dict[str, float]:
    """Median over all slices and accelerations of the time that a method takes for the cine of one slice [s]."""
    taken: defaultdict[str, list[float]] = defaultdict(list)
    for timing in timings:
        taken[timing.method].append(timing.seconds)
    return {method: float(np.median(values)) for method, values in taken.items()}


def _column(results: Results, quality: str, suffix: str, acceleration: float, methods: list[str]) -> list[str]:
    means = mean_over_subjects(results.records, f"{quality}{suffix}")
    best = best_method(means, acceleration, least=quality == "nmse")
    initial = means.get((INITIAL, acceleration), (math.nan, 0.0))[0]
    column = [f"{acceleration_head(results.records, acceleration)}: {quality.upper()}"]
    for method in methods:
        mean = means.get((method, acceleration), (math.nan, 0.0))[0]
        cell = number(quality, mean)
        if quality == "nmse" and initial > 0 and not math.isnan(mean):
            cell += f" ({mean / initial:.3f})"
        column.append(f"**{cell}**" if method == best else cell)
    return column


def _about_seconds(timings: Iterable[Timing], processor: str) -> str:
    sizes = sorted({(t.n_frames, t.n_y, t.n_x) for t in timings})
    least, most = ("{} frames of {} × {}".format(*size) for size in (sizes[0], sizes[-1]))
    span = least if least == most else f"{least} to {most}"
    return (
        f"Seconds are the median wall time of the reconstruction alone, of the cine of one slice ({span}), "
        f"on {processor or 'the machine of the evaluation'}; classical methods have no trained parameters."
    )
