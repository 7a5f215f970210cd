"""The saving against the length of standalone learning as two small SVG pictures and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from csmri.core.names import short
from csmri.results.report.curves import ticks
from csmri.results.report.fragments import details
from csmri.results.tables.lengths import FIRST, SUSTAINED, SavingCurve, Spread, View, lengths_tables, repeats
from csmri.results.tables.text import html

SIZES = {"half": (555, 400), "narrow": (340, 330)}
"""Pixels of a picture for desktop and phone: letters keep their size."""
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 12, 42
MAX_POINTS = 45
"""Of a line: more make the page larger and look the same."""
VIEWS = {
    View(by_images=False, counted=False): ("N, epochs of standalone learning", "Saving in epochs of transfer"),
    View(by_images=True, counted=True): (
        "images of N standalone epochs / of pretraining",
        "Saving in images, those of the pretraining counted",
    ),
}
"""What is shown -> text under the horizontal axis, heading."""
NOTHING = 1.0
"""Factor from which on downwards nothing is saved."""


def lengths_html(curves: Sequence[SavingCurve], classes: Mapping[str, str]) -> str:
    """Tell in words, pictures and tables what transfer saves against standalone learning of every length.

    Parameters
    ----------
    classes : training -> CSS class of its colour
    """
    window = max(curve.window for curve in curves)
    n_repeats, repeat = repeats(curves)
    of = f"running means over {window} epochs" if window > 1 else "single epochs"
    over = f"median of {n_repeats} {repeat}s, band from the lowest to the highest" if n_repeats > 1 else f"one {repeat}"
    text = (
        '<p class="prose">How many times fewer epochs a transfer needs to be as good as standalone learning after N '
        f"epochs. A factor is no constant: it goes with N. Lines compare {of}, {over}; dots the first epoch that is "
        "as good, which may be a lucky one. Where a line ends at an arrow the transfer was never as good while it was "
        "trained. Diamonds are the paper’s, at its N = 100. In the grey nothing is saved.</p>"
    )
    legend = "".join(
        f'<li class="{classes[curve.training]}"><i class="swatch"></i>{escape(short(curve.training))}</li>'
        for curve in curves
    )
    pictures = "".join(
        f"<figure><figcaption>{heading}</figcaption>"
        + "".join(_svg(curves, classes, view, size, name) for name, size in SIZES.items())
        + "</figure>"
        for view, (_, heading) in VIEWS.items()
        if any(view.points(curve, SUSTAINED) for curve in curves)
    )
    overview, *both = lengths_tables(curves)
    folded = details("Both readings, with the epochs needed", "".join(html(one, name="savings") for one in both))
    plot = f'<ul class="legend">{legend}</ul><div class="halves">{pictures}</div>'
    return text + plot + html(overview, name="savings") + folded


@dataclass(frozen=True)
class Axes:
    """Maps where a saving stands, and the saving, to pixels."""

    width: int
    height: int
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    logarithmic: bool
    """Whether the horizontal axis is; the vertical one is always."""

    def x(self, value: float) -> float:
        """Pixel of where a saving stands."""
        return LEFT + _share(value, self.x_range, logarithmic=self.logarithmic) * (self.width - LEFT - RIGHT)

    def y(self, factor: float) -> float:
        """Pixel of a saving; those below the picture stand on its lower edge."""
        share = _share(max(factor, self.y_range[0]), self.y_range, logarithmic=True)
        return TOP + (1 - share) * (self.height - TOP - BOTTOM)

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        """Points as an SVG attribute."""
        return " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)


def _share(value: float, ends: tuple[float, float], *, logarithmic: bool) -> float:
    low, high = ends
    return math.log(value / low) / math.log(high / low) if logarithmic else (value - low) / (high - low)


def _svg(
    curves: Sequence[SavingCurve], classes: Mapping[str, str], view: View, size: tuple[int, int], name: str
) -> str:
    axes = _axes(curves, view, size)
    label, heading = VIEWS[view]
    parts = [_grid(axes, label)]
    for curve in curves:
        parts += _curve(axes, view, curve, classes[curve.training])
    parts += _paper(axes, view, classes)
    return (
        f'<svg class="curves {name}" viewBox="0 0 {axes.width} {axes.height}" width="{axes.width}" '
        f'height="{axes.height}" role="img" aria-label="{escape(heading)}; the table below holds its reading">'
        f"{''.join(parts)}</svg>"
    )


def _axes(curves: Sequence[SavingCurve], view: View, size: tuple[int, int]) -> Axes:
    points = [point for curve in curves for reading in curve.readings for point in view.points(curve, reading)]
    xs = [*(x for x, _ in points), *(x for _, x, _ in view.paper)]
    factors = [factor.value for _, one in points for factor in (one.low, one.high)]
    factors += [factor for *_, factor in view.paper]
    x_range = (min(xs) / 1.15, max(xs) * 1.6) if view.by_images else (0.0, 1.12 * max(xs))
    return Axes(*size, x_range, (min(0.6, min(factors) / 1.3), 1.5 * max(factors)), view.by_images)


def _grid(axes: Axes, label: str) -> str:
    left, right, bottom = LEFT, axes.width - RIGHT, axes.height - BOTTOM
    y = axes.y(NOTHING)
    parts = [f'<rect class="nothing" x="{left}" y="{y:.1f}" width="{right - left}" height="{bottom - y:.1f}"/>']
    for tick in ticks(*axes.y_range, logarithmic=True):
        y = axes.y(tick)
        kind = "axis" if tick == NOTHING else "grid"
        parts.append(f'<line class="{kind}" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}×</text>')
    for tick in ticks(*axes.x_range, logarithmic=axes.logarithmic):
        x = axes.x(tick)
        parts.append(f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 19}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(f'<text x="{(left + right) / 2:.1f}" y="{axes.height - 4}" text-anchor="middle">{label}</text>')
    parts.append(f'<text x="{right - 6}" y="{bottom - 8}" text-anchor="end">saves nothing</text>')
    return "".join(parts)


def _curve(axes: Axes, view: View, curve: SavingCurve, colour: str) -> list[str]:
    first, sustained = (_thinned(view.points(curve, reading)) for reading in (FIRST, SUSTAINED))
    dots = "".join(f"M{axes.x(x):.0f} {axes.y(one.median.value):.0f}h0" for x, one in first if one.median.known)
    # A seed that was never as good lies anywhere below: the band is open to the lower edge.
    lowest = [(x, one.low.value if one.low.known else axes.y_range[0]) for x, one in sustained]
    band = [*((x, one.high.value) for x, one in sustained), *reversed(lowest)]
    parts = [f'<polygon class="band {colour}" points="{axes.path(band)}"/>'] if len(band) > 2 else []
    parts.append(f'<path class="dots {colour}" d="{dots}"/>')
    for part in _known(sustained):
        parts.append(f'<polyline class="line {colour}" points="{axes.path(part)}"/>')
    missed = next(((x, one.median.value) for x, one in sustained if not one.median.known), None)
    if missed:
        x, y = axes.x(missed[0]), axes.y(missed[1])
        parts.append(f'<path class="arrow {colour}" d="M{x:.1f} {y:.1f}v14m-4 -5l4 5l4 -5"/>')
    return parts


def _known(points: Sequence[tuple[float, Spread]]) -> list[list[tuple[float, float]]]:
    """Medians that are known, in pieces without a gap."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, one in points:
        if one.median.known:
            pieces[-1].append((x, one.median.value))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _thinned(points: Sequence[tuple[float, Spread]]) -> list[tuple[float, Spread]]:
    """Every so many-th point, counted from the last, which says most."""
    step = -(-len(points) // MAX_POINTS) or 1
    return list(points[::-1][::step][::-1])


def _paper(axes: Axes, view: View, classes: Mapping[str, str]) -> list[str]:
    parts = []
    for i, (training, x, factor) in enumerate(view.paper):
        colour = classes.get(training, "c-ir")
        left, top = axes.x(x), axes.y(factor)
        # At N = 100 they stand one above the other, so the second label goes to the other side.
        side, anchor = (0, "middle") if view.by_images else (9, "start") if i % 2 else (-9, "end")
        lift = -10 if view.by_images else 4
        parts.append(f'<path class="mark {colour}" d="M{left:.1f} {top - 6:.1f}l6 6l-6 6l-6 -6z"/>')
        parts.append(
            f'<text class="factor {colour}" x="{left + side:.1f}" y="{top + lift:.1f}" text-anchor="{anchor}">'
            f"{factor:.2g}×</text>"
        )
    return parts
