"""Learning curves as a small SVG with a logarithmic epoch axis, on which a saving factor is a distance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from csmri.core.names import short
from csmri.results.report.findings import Curve, times
from csmri.results.tables.savings import Saving

SIZES = {"wide": (1140, 430), "medium": (720, 400), "narrow": (340, 320)}
"""Pixels of the pictures for desktop, tablet and phone: letters keep their size."""
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 14, 40
INITIAL_ERROR = 1.0
"""Of the initial reconstruction, relative to itself."""
LOG_FROM = 5.0
"""Ratio of largest to smallest error from which on the error axis is logarithmic."""


@dataclass(frozen=True)
class Axes:
    """Maps epoch and error to pixels."""

    width: int
    height: int
    last_epoch: int
    low: float
    high: float

    @property
    def logarithmic(self) -> bool:
        """Whether the error axis is."""
        return self.high / self.low >= LOG_FROM

    def x(self, epoch: float) -> float:
        """Pixel of an epoch."""
        share = math.log(epoch) / math.log(self.last_epoch) if self.last_epoch > 1 else 0.5
        return LEFT + share * (self.width - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Pixel of an error."""
        of = math.log if self.logarithmic else float
        share = (of(value) - of(self.low)) / (of(self.high) - of(self.low))
        return TOP + (1 - share) * (self.height - TOP - BOTTOM)


def curves_svg(
    curves: Sequence[Curve], savings: Sequence[Saving], classes: Mapping[str, str], size: tuple[int, int], name: str
) -> str:
    """Draw mean and range over seeds of every training, standalone's last error dashed, crossings marked.

    Parameters
    ----------
    classes : training -> CSS class of its colour
    size : (width, height) in pixels
    name : CSS class of the picture
    """
    axes = _axes(curves, savings, size)
    parts = [_grid(axes)]
    if axes.low < INITIAL_ERROR < axes.high:
        y = axes.y(INITIAL_ERROR)
        parts.append(f'<line class="level" x1="{LEFT}" x2="{axes.width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="note" x="{axes.width - RIGHT}" y="{y - 6:.1f}" text-anchor="end">before: IR</text>')
    parts += [_band(curve, axes, classes[curve.training]) for curve in curves if len(curve.of_seed) > 1]
    parts += [_line(curve, axes, classes[curve.training]) for curve in curves]
    parts += _crossings(savings, axes, classes)
    parts.append(f'<line class="cross" x1="0" x2="0" y1="{TOP}" y2="{axes.height - BOTTOM}" visibility="hidden"/>')
    width, height = size
    pixels = f'data-left="{LEFT}" data-right="{width - RIGHT}" data-last="{axes.last_epoch}"'
    return (
        f'<svg class="curves {name}" viewBox="0 0 {width} {height}" width="{width}" height="{height}" {pixels} '
        f'role="img" aria-label="Learning curves; the table of epochs saved holds their reading">{"".join(parts)}</svg>'
    )


def curves_data(curves: Sequence[Curve], classes: Mapping[str, str]) -> list[dict[str, Any]]:
    """What the read-out under the pointer needs."""
    return [
        {
            "name": short(curve.training),
            "colour": classes[curve.training],
            "epochs": list(curve.epochs),
            **{key: [float(f"{v:.4g}") for v in getattr(curve, key)] for key in ("mean", "low", "high")},
        }
        for curve in curves
    ]


def _axes(curves: Sequence[Curve], savings: Sequence[Saving], size: tuple[int, int]) -> Axes:
    low = min(min(curve.low) for curve in curves)
    high = max(INITIAL_ERROR, *(max(curve.high) for curve in curves))
    low, high = max(low, high * 1e-6), max(high, 1e-12)
    # Room under the curves for the marks of the crossings.
    room = 0.08 + 0.07 * sum(saving.reached is not None for saving in savings)
    if high / low >= LOG_FROM:
        low, high = low * (low / high) ** room, high * 1.08
    else:
        spread = (high - low) or high / 2
        low, high = max(low - room * spread, low / 2), high + 0.06 * spread
    return Axes(*size, max(curve.epochs[-1] for curve in curves), low, high)


def ticks(low: float, high: float, *, logarithmic: bool) -> list[float]:
    """Round numbers between two values: 1, 2, 5 of every power of ten, or evenly spaced."""
    if logarithmic:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        return [tick for p in powers for m in (1, 2, 5) if low <= (tick := float(f"{m}e{p}")) <= high]
    raw = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw * 0.999)
    return [float(f"{i * step:.12g}") for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _grid(axes: Axes) -> str:
    parts = []
    bottom = axes.height - BOTTOM
    for tick in ticks(axes.low, axes.high, logarithmic=axes.logarithmic):
        y = axes.y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{axes.width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    epochs = [int(tick) for tick in ticks(1, max(axes.last_epoch, 2), logarithmic=True) if tick <= axes.last_epoch]
    if axes.last_epoch > 1.4 * epochs[-1]:
        epochs.append(axes.last_epoch)
    for epoch in epochs:
        x = axes.x(epoch)
        parts.append(f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 19}" text-anchor="middle">{epoch}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{axes.width - RIGHT}" y1="{bottom}" y2="{bottom}"/>')
    middle = (LEFT + axes.width - RIGHT) / 2
    parts.append(f'<text x="{middle:.1f}" y="{axes.height - 4}" text-anchor="middle">epoch</text>')
    return "".join(parts)


def _points(epochs: Sequence[int], values: Sequence[float], axes: Axes) -> str:
    return " ".join(
        f"{axes.x(epoch):.1f},{axes.y(max(value, axes.low)):.1f}" for epoch, value in zip(epochs, values, strict=True)
    )


def _band(curve: Curve, axes: Axes, colour: str) -> str:
    back = _points(curve.epochs[::-1], curve.low[::-1], axes)
    return f'<polygon class="band {colour}" points="{_points(curve.epochs, curve.high, axes)} {back}"/>'


def _line(curve: Curve, axes: Axes, colour: str) -> str:
    line = f'<polyline class="line {colour}" points="{_points(curve.epochs, curve.mean, axes)}"/>'
    x, y = axes.x(curve.epochs[-1]), axes.y(max(curve.mean[-1], axes.low))
    return f'{line}<circle class="dot {colour}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'


def _crossings(savings: Sequence[Saving], axes: Axes, classes: Mapping[str, str]) -> list[str]:
    if not savings:
        return []
    y, bottom = axes.y(max(savings[0].goal, axes.low)), axes.height - BOTTOM
    parts = [f'<line class="goal" x1="{LEFT}" x2="{axes.width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>']
    length = max(saving.standalone_epochs for saving in savings)
    parts.append(f'<text x="{LEFT + 6}" y="{y - 6:.1f}">standalone after N = {length} epochs</text>')
    reached = sorted((saving for saving in savings if saving.reached), key=lambda saving: saving.reached or 0)
    for i, saving in enumerate(reversed(reached)):
        x, colour = axes.x(saving.reached or 1), classes[saving.training]
        label = f"{short(saving.training)}: {times(saving.factor or 1)}×"
        # Labels stand on stairs, so that crossings at near or equal epochs do not cover each other.
        text_y = bottom - 7 - 16 * i
        inward = x > axes.width - 90
        parts.append(f'<line class="drop {colour}" x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{bottom}"/>')
        parts.append(f'<circle class="mark {colour}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
        parts.append(
            f'<text class="factor {colour}" x="{x + (-6 if inward else 6):.1f}" y="{text_y}" '
            f'text-anchor="{"end" if inward else "start"}">{escape(label)}</text>'
        )
    return parts
