"""Records of a sweep -> what every method leaves of the initial reconstruction's error, acquisition by acquisition."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from csmri.core.names import INITIAL, ZERO_FILLED
from csmri.data.records import Record, Timing, mean_over_subjects, with_quality
from csmri.results.tables.overview import median_seconds
from csmri.results.tables.quality import about_heads, acceleration_head, accelerations_of, left_out
from csmri.results.tables.text import MISSING, Table


@dataclass(frozen=True)
class Ratios:
    """NMSE in the heart box over that of the initial reconstruction, means over subjects, for one acquisition."""

    acquisition: str
    accelerations: Sequence[float]
    of_method: dict[str, dict[float, float]]
    """Method -> acceleration -> ratio; NaN where there is none."""

    def mean(self, method: str) -> float:
        """Geometric mean over accelerations."""
        values = list(self.of_method[method].values())
        return math.exp(sum(map(math.log, values)) / len(values)) if all(v > 0 for v in values) else math.nan


def sweep_ratios(records: Sequence[Record]) -> list[Ratios]:
    """Ratios of every acquisition, in the order of the records."""
    found = []
    for acquisition in dict.fromkeys(record.acquisition for record in records):
        own = [record for record in records if record.acquisition == acquisition]
        means, accelerations = mean_over_subjects(own, "nmse_heart"), accelerations_of(own)
        methods = [m for m in dict.fromkeys(record.method for record in own) if m not in (INITIAL, ZERO_FILLED)]
        ratios = {
            method: {
                a: means.get((method, a), (math.nan, 0))[0] / means.get((INITIAL, a), (math.nan, 0))[0]
                for a in accelerations
            }
            for method in methods
        }
        found.append(Ratios(acquisition, accelerations, ratios))
    return found


def worst_ratios(records: Sequence[Record]) -> dict[str, dict[float, float]]:
    """Of one acquisition: method -> acceleration -> the largest ratio that a slice has, its frames averaged first."""
    of_slice: defaultdict[tuple[str, float, str, int], list[float]] = defaultdict(list)
    for record in with_quality(records, "nmse_heart")[0]:
        of_slice[record.method, record.acceleration, record.subject, record.slice].append(record.nmse_heart)
    worst: defaultdict[str, dict[float, float]] = defaultdict(dict)
    for (method, acceleration, subject, index), values in of_slice.items():
        initial = of_slice.get((INITIAL, acceleration, subject, index))
        if method not in (INITIAL, ZERO_FILLED) and initial and sum(initial):
            ratio = fmean(values) / fmean(initial)
            worst[method][acceleration] = max(ratio, worst[method].get(acceleration, ratio))
    return dict(worst)


def sweep_tables(records: Sequence[Record], timings: Sequence[Timing]) -> list[Table]:
    """Two tables an acquisition, means and the worst slice: a row a method, a column an acceleration; least in bold."""
    tables = []
    for ratios in sweep_ratios(records):
        own = [record for record in records if record.acquisition == ratios.acquisition]
        seconds = median_seconds([timing for timing in timings if timing.acquisition == ratios.acquisition])
        rows = [["method", *(acceleration_head(own, a) for a in ratios.accelerations), "mean", "seconds"]]
        columns = [{method: ratio[a] for method, ratio in ratios.of_method.items()} for a in ratios.accelerations]
        columns.append({method: ratios.mean(method) for method in ratios.of_method})
        for method in ratios.of_method:
            cells = [_cell(column[method], column) for column in columns]
            rows.append([method, *cells, f"{seconds[method]:.2g}" if method in seconds else MISSING])
        n = len({record.subject for record in own})
        note = (
            "NMSE in the heart box over that of temporal interpolation of the same data, means over "
            f"{n} subject{'s' * (n > 1)}; geometric mean over accelerations; seconds are medians over slices."
        )
        title = f"{ratios.acquisition}: error left of the initial reconstruction's"
        notes = [" ".join([note, *about_heads(own)]), *left_out(own, "nmse_heart")]
        tables.append(Table(f"sweep_{ratios.acquisition}", title, rows, notes))
        tables.append(_worst_table(ratios, own))
    return tables


def _worst_table(ratios: Ratios, own: Sequence[Record]) -> Table:
    worst = worst_ratios(own)
    columns = [{m: worst.get(m, {}).get(a, math.nan) for m in ratios.of_method} for a in ratios.accelerations]
    rows = [["method", *(acceleration_head(own, a) for a in ratios.accelerations)]]
    rows += [[method, *(_cell(column[method], column) for column in columns)] for method in ratios.of_method]
    n = len({(record.subject, record.slice) for record in own})
    note = f"NMSE in the heart box over that of temporal interpolation, the worst of {n} slices; beyond 1 it is worse."
    title = f"{ratios.acquisition}: the slice with most of the initial reconstruction's error left"
    return Table(f"sweep_{ratios.acquisition}_worst", title, rows, [" ".join([note, *about_heads(own)])])


def _cell(value: float, column: dict[str, float]) -> str:
    if math.isnan(value):
        return MISSING
    known = [one for one in column.values() if not math.isnan(one)]
    return f"**{value:.3f}**" if value == min(known) and len(known) > 1 else f"{value:.3f}"
