"""Blood-pool area over the cycle by every method, and its error: the figure in which temporal blur shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from csmri.core.names import GROUND_TRUTH, INITIAL, method_label, shown_methods
from csmri.results.figures.curves import COLOURS, LINES
from csmri.results.figures.pictures import BLACK, GREY, WIDTH, caption_size, legend_label, new_figure
from csmri.results.tables.areas import Areas, sound_areas


def choose_slice(areas: Sequence[Areas]) -> list[Areas]:
    """Choose the sound slice that ejects most by its manual outlines, whatever the methods make of it."""
    most = max(sound_areas(areas), key=lambda one: one.outlined_ejection)
    return sorted(
        (one for one in areas if (one.subject, one.slice) == (most.subject, most.slice)),
        key=lambda one: one.acceleration,
    )


def render_area(areas: Sequence[Areas], path: str | Path, *, caption: str = "") -> None:
    """Draw the curves of one slice, a column an acceleration: areas over the cycle above, their errors below.

    Circles are manual outlines, dots the blood inside them, which leaves papillary muscles out as the curves do.
    """
    shown = choose_slice(areas)
    looks = _looks([name for one in shown for name in one.curves])
    width = min(WIDTH, 1.2 + 3.2 * len(shown))
    with new_figure(path, figsize=(width, 4.4), layout="constrained") as figure:
        axes = figure.subplots(
            2, len(shown), sharex=True, sharey="row", squeeze=False, gridspec_kw={"height_ratios": [2, 1]}
        )
        for column, one in zip(axes.T, shown, strict=True):
            _draw(column[0], column[1], one, looks)
        axes[0, 0].set_ylabel("blood-pool area, mm²")
        axes[1, 0].set_ylabel("error, mm²")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        n_columns = math.ceil(len(labels) / math.ceil(len(labels) / 4))
        place: dict[str, Any] = {"loc": "outside upper center", "ncols": n_columns, "frameon": False, "handlelength": 3}
        figure.legend(handles, labels, fontsize=7.5, **place)
        if caption:
            figure.supxlabel(caption, fontsize=caption_size(caption, width), color=GREY)


def _looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and dashes of every curve; ground truth black, the initial reconstruction gray."""
    looks: dict[str, dict[str, Any]] = {
        GROUND_TRUTH: {"color": BLACK, "lw": 1.8, "zorder": 2},
        INITIAL: {"color": GREY, "lw": 1.2, "linestyle": (0, (1.2, 1))},
    }
    others = [name for name in shown_methods(names) if name not in looks]
    return looks | {
        name: {"color": COLOURS[i % len(COLOURS)], "lw": 1.2, "linestyle": LINES[i % len(LINES)], "zorder": 3}
        for i, name in enumerate(others)
    }


def _draw(above: Axes, below: Axes, one: Areas, looks: dict[str, dict[str, Any]]) -> None:
    for name, look in looks.items():
        if name in one.curves:
            above.plot(one.times_ms, one.curves[name], label=legend_label(method_label(name)), **look)
            below.plot(one.times_ms, one.curves[name] - one.reference, **look)
    points: dict[str, Any] = {"linestyle": "none", "color": BLACK, "ms": 5, "zorder": 4}
    times = one.times_ms[list(one.outlined)]
    outlined, bright = zip(*one.outlined.values(), strict=True)
    above.plot(times, outlined, marker="o", mfc="white", **points)
    above.plot(times, bright, marker="o", **points)
    note: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 7}
    above.annotate("manual outline", (times[1], outlined[1]), (0, 7), **note)
    above.annotate("blood inside it", (times[1], bright[1]), (0, -13), **note)
    above.margins(y=0.12)
    above.yaxis.set_major_locator(MaxNLocator(6))
    title = f"R = {one.acceleration:g} · {one.subject}, slice {one.slice}"
    above.set_title(title, loc="left", fontsize=8.5, fontweight="bold")
    below.set_xlabel("ms after the R wave")
    for axes in (above, below):
        axes.grid(alpha=0.25, lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
