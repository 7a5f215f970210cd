"""A study of ways to transfer: quality against the number of subjects, target against source, and learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import MaxNLocator

from csmri.core.names import PRETRAIN, STANDALONE, WAY_LABELS, method_label, split_way, way_name
from csmri.results.figures.curves import COLOURS, LINES, draw_level, draw_training, finish_curves, mark_goal
from csmri.results.figures.pictures import BLACK, GREY, WIDTH, caption_size, new_figure
from csmri.results.tables import Ratios, Sweep, ratios

MARKERS = "osD^vPX"
Points = dict[int, str]
"""Number of target subjects -> training."""


def render_transfer(sweep: Sweep, path: str | Path, *, caption: str = "") -> None:
    """Draw what is left of the initial error: on the left against the number of target subjects, on the right on the
    source against on the target.

    Points are means over seeds, bars reach from the lowest to the highest. On the right, a way that was tried with
    several numbers of subjects is a line from few (small points) to many; above the dashed level of the pretrained
    network lies what was forgotten.
    """
    target, source = ratios(sweep.results.records), ratios(sweep.source_records)
    with new_figure(path, figsize=(WIDTH, 3.4), layout="constrained") as figure:
        left, right = figure.subplots(1, 2)
        for i, (way, points) in enumerate(_ways(target).items()):
            colour, marker = _colour(way, i), MARKERS[i % len(MARKERS)]
            _draw_numbers(left, points, target, colour, marker, WAY_LABELS[way])
            _draw_domains(right, points, target, source, colour, marker)
        if PRETRAIN in source:
            _draw_pretrained(left, right, fmean(target[PRETRAIN]), fmean(source[PRETRAIN]))
        left.set(xlabel="target subjects trained on", ylabel="target: NMSE of heart box,\nrelative to initial")
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        right.set(xlabel="target: NMSE, relative to initial", ylabel="source: NMSE, relative to initial")
        for axes in (left, right):
            axes.grid(alpha=0.25, lw=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside upper center", ncols=4, fontsize=7.5, frameon=False)
        if caption:
            figure.supxlabel(caption, fontsize=caption_size(caption, WIDTH), color=GREY)


def render_transfer_curves(sweep: Sweep, path: str | Path, *, caption: str = "") -> None:
    """Draw figure 3 for every number of target subjects: standalone learning and all transfers to as many."""
    numbers = sweep.n_subjects
    n_columns = min(2, len(numbers))
    n_rows = -(-len(numbers) // n_columns)
    ways = list(_ways(ratios(sweep.results.records)))
    with new_figure(path, figsize=(WIDTH / 2 * n_columns + 0.5, 3.6 * n_rows), layout="constrained") as figure:
        panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).flat
        for axes, n_subjects in zip(panels, numbers, strict=False):
            _draw_curves(axes, sweep, n_subjects, ways)
        for axes in list(panels)[len(numbers) :]:
            axes.set_axis_off()
        if caption:
            figure.supxlabel(caption, fontsize=caption_size(caption, WIDTH), color=GREY)


def _ways(found: Ratios) -> dict[str, Points]:
    """Ways in the order of the records, each with the numbers of subjects that it was tried with."""
    ways: dict[str, Points] = {}
    for training in found:
        if way := split_way(training):
            ways.setdefault(way[0], {})[way[1]] = training
    return {way: dict(sorted(points.items())) for way, points in ways.items()}


def _colour(way: str, index: int) -> str:
    return BLACK if way == STANDALONE else COLOURS[(index - 1) % len(COLOURS)]


def _spread(values: Sequence[float]) -> tuple[float, list[list[float]]]:
    """Mean, and how far below and above it the seeds reach."""
    mean = fmean(values)
    return mean, [[mean - min(values)], [max(values) - mean]]


def _draw_numbers(axes: Axes, points: Points, target: Ratios, colour: str, marker: str, label: str) -> None:
    means = []
    for n, training in points.items():
        mean, bars = _spread(target[training])
        axes.errorbar(n, mean, yerr=bars, color=colour, lw=0.9, capsize=2)
        means.append(mean)
    axes.plot(list(points), means, color=colour, marker=marker, ms=4.5, lw=1.4, label=label)


def _draw_domains(axes: Axes, points: Points, target: Ratios, source: Ratios, colour: str, marker: str) -> None:
    places = []
    for n, training in points.items():
        (x, x_bars), (y, y_bars) = _spread(target[training]), _spread(source[training])
        axes.errorbar(x, y, xerr=x_bars, yerr=y_bars, color=colour, lw=0.9, capsize=2)
        axes.plot(x, y, color=colour, marker=marker, ms=3 + n, alpha=0.9)
        places.append((x, y))
    axes.plot(*zip(*places, strict=True), color=colour, lw=0.8, alpha=0.6)


def _draw_pretrained(left: Axes, right: Axes, target: float, source: float) -> None:
    left.axhline(target, color=GREY, linestyle=":", lw=0.9)
    right.axhline(source, color=GREY, linestyle="--", lw=0.9)
    right.plot(target, source, color=GREY, marker="*", ms=9, linestyle="none", label=method_label(PRETRAIN))


def _draw_curves(axes: Axes, sweep: Sweep, n_subjects: int, ways: Sequence[str]) -> None:
    logs = sweep.results.logs
    standalone = way_name(STANDALONE, n_subjects)
    found = {saving.training: saving for saving in sweep.savings(n_subjects)}
    n_seeds = 0
    for name in [standalone, *sweep.trainings(n_subjects)]:
        own = [log for (training, _), log in logs.items() if training == name]
        way = split_way(name)
        if not own or not way:
            continue
        n_seeds = max(n_seeds, len(own))
        i = ways.index(way[0])
        colour = _colour(way[0], i)
        label = WAY_LABELS[way[0]] + (f": {found[name]}" if name in found else "")
        curve = draw_training(axes, own, colour, "-" if name == standalone else LINES[(i - 1) % len(LINES)], label)
        if name in found:
            mark_goal(axes, found[name], curve, colour)
    if any(name == standalone for name, _ in logs):
        draw_level(axes, [log for (name, _), log in logs.items() if name == standalone])
    finish_curves(axes, n_seeds)
    axes.label_outer()
    # Above the panel: seven ways would hide the curves.
    legend = axes.get_legend()
    assert legend
    legend.set_loc("lower left")
    legend.set_bbox_to_anchor((0, 1.02), axes.transAxes)
    text = f"{n_subjects} target subject{'s' if n_subjects > 1 else ''}"
    text += f", mean of {n_seeds} seeds" if n_seeds > 1 else ""
    legend.set_title(text, FontProperties(size=7.5, weight="bold"))
