"""Figure 2: block diagrams of (a) learning and (b) reconstruction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Ellipse, FancyArrowPatch, FancyBboxPatch, Rectangle

from csmri.results.figures.pictures import BLACK, GREY, RED, WIDTH, new_figure

DATA, PHYSICS, SCALING, NETWORK, LOSS = "#FFFFFF", "#DCEBF7", "#FDF0D5", "#D5EFE5", "#FADBD0"
"""Fills: images, what the scanner's mathematics do, normalisation, network, loss."""

BOX, TALL, PITCH, LEFT = 0.82, 0.84, 1.04, 0.05
"""Width and height of a block, distance of columns, left margin; inches."""
HEIGHT = 4.2

Draw = Callable[[Axes, float, float], None]


def render_blocks(path: str | Path) -> None:
    """Draw figure 2; G ground truth, I initial reconstruction, X input, T target, E error image (equations 1 to 3)."""
    with new_figure(path, math=True, figsize=(WIDTH, HEIGHT)) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT), aspect="equal")
        axes.axis("off")
        _draw_learning(axes, HEIGHT - 0.72)
        _draw_reconstruction(axes, 0.78)


def _draw_learning(axes: Axes, y: float) -> None:
    _heading(axes, y, "(a) learning")
    chain = [
        (DATA, "fully sampled\ncine $G$", _cine),
        (PHYSICS, "Fourier\ntransform", _symbol(r"$\mathcal{F}$", 15)),
        (PHYSICS, "undersampling\nin ky and time", _sampling(filled=False)),
        (PHYSICS, "temporal\ninterpolation", _sampling(filled=True)),
        (PHYSICS, "inverse transf.,\nmagnitude", _symbol(r"$|\mathcal{F}^{-1}|$", 12)),
        (SCALING, "normalisation", _symbol(r"$\frac{I}{\max\,I}$", 13)),
        (NETWORK, "U-net", _unet),
    ]
    _draw_chain(axes, y, chain, ["", "", "", "", "$I$", "$X$"])
    below = y - 1.3
    _block(axes, 5, below, SCALING, "normalisation", _symbol(r"$\frac{1}{2}\left(\frac{E}{\max\,I}+1\right)$", 8.5))
    _block(axes, 6, below, LOSS, "loss", _symbol(r"$\overline{(\hat{T}-T)^2}$", 9.5))
    # The ground truth runs below the chain to the difference, the initial reconstruction falls onto it.
    joint = _middle(4)
    _line(axes, [(_middle(0), y - TALL / 2), (_middle(0), below), (joint - 0.1, below)])
    start = (_right(4) + _left(5)) / 2
    _line(axes, [(start, y), (start, y - 0.68), (joint, y - 0.68), (joint, below + 0.1)])
    axes.add_patch(Circle((start, y), 0.022, color=BLACK, zorder=6))
    _junction(axes, joint, below, "Σ", (("+", -0.17, 0.08), ("−", 0.09, 0.17)))
    _line(axes, [(joint + 0.1, below), (_left(5), below)])
    axes.text((joint + 0.1 + _left(5)) / 2, below + 0.05, "$E$", ha="center", va="bottom", fontsize=8.5)
    _arrow_with(axes, 5, below, "$T$")
    x = _middle(6)
    _line(axes, [(x + 0.14, y - TALL / 2), (x + 0.14, below + TALL / 2)])
    axes.text(x + 0.18, y - 0.68, r"$\hat{T}$", ha="left", va="center", fontsize=8.5)
    _line(axes, [(x - 0.14, below + TALL / 2), (x - 0.14, y - TALL / 2)], colour=RED, dashed=True)
    axes.text(x - 0.19, y - 0.68, "update of\nweights", ha="right", va="center", fontsize=6.3, color=RED)
    axes.text((_middle(0) + joint) / 2, below + 0.05, "$G$", ha="center", va="bottom", fontsize=8.5)


def _draw_reconstruction(axes: Axes, y: float) -> None:
    _heading(axes, y, "(b) reconstruction")
    chain = [
        (DATA, "undersampled\nk-space", _sampling(filled=False)),
        (PHYSICS, "temporal\ninterpolation", _sampling(filled=True)),
        (PHYSICS, "inverse transf.,\nmagnitude", _symbol(r"$|\mathcal{F}^{-1}|$", 12)),
        (SCALING, "normalisation", _symbol(r"$\frac{I}{\max\,I}$", 13)),
        (NETWORK, "trained U-net", _unet),
        (SCALING, "inverse\nnormalisation", _symbol(r"$(2\hat{T}-1)\,\max\,I$", 7.5)),
    ]
    _draw_chain(axes, y, chain, ["", "", "$I$", "$X$", r"$\hat{T}$"])
    _block(axes, 6, y, DATA, "improved cine\n" r"$\max(I+\hat{E},\,0)$", _cine)
    joint = (_right(5) + _left(6)) / 2
    _line(axes, [(_right(5), y), (joint - 0.075, y)], head=3.5)
    _line(axes, [(joint + 0.075, y), (_left(6), y)], head=3.5)
    start = (_right(2) + _left(3)) / 2
    _line(axes, [(start, y), (start, y - 0.66), (joint, y - 0.66), (joint, y - 0.075)])
    axes.add_patch(Circle((start, y), 0.022, color=BLACK, zorder=6))
    _junction(axes, joint, y, "Σ", (), radius=0.075)
    axes.text((start + joint) / 2, y - 0.63, "$I$", ha="center", va="bottom", fontsize=8.5)
    axes.text(joint, y + 0.12, r"$\hat{E}$", ha="center", va="bottom", fontsize=8.5)


def _heading(axes: Axes, y: float, text: str) -> None:
    axes.text(LEFT, y + TALL / 2 + 0.12, text, fontsize=9, fontweight="bold", va="bottom")


def _left(column: int) -> float:
    return LEFT + column * PITCH


def _middle(column: int) -> float:
    return _left(column) + BOX / 2


def _right(column: int) -> float:
    return _left(column) + BOX


def _draw_chain(axes: Axes, y: float, blocks: Sequence[tuple[str, str, Draw]], signals: Sequence[str]) -> None:
    for column, (colour, text, draw) in enumerate(blocks):
        _block(axes, column, y, colour, text, draw)
    for column, signal in enumerate(signals):
        _arrow_with(axes, column, y, signal)


def _block(axes: Axes, column: int, y: float, colour: str, text: str, draw: Draw) -> None:
    style = "round,pad=0,rounding_size=0.06"
    corner = (_left(column), y - TALL / 2)
    axes.add_patch(FancyBboxPatch(corner, BOX, TALL, boxstyle=style, fc=colour, ec=BLACK, lw=0.8, zorder=3))
    axes.text(_middle(column), y - 0.23, text, fontsize=6.5, ha="center", va="center", linespacing=1.15, zorder=5)
    draw(axes, _middle(column), y + 0.16)


def _arrow_with(axes: Axes, column: int, y: float, signal: str) -> None:
    """Arrow from a column to the next, its signal above it."""
    _line(axes, [(_right(column), y), (_left(column + 1), y)])
    axes.text((_right(column) + _left(column + 1)) / 2, y + 0.05, signal, ha="center", va="bottom", fontsize=8.5)


def _line(
    axes: Axes, points: Sequence[tuple[float, float]], *, colour: str = BLACK, dashed: bool = False, head: float = 6
) -> None:
    """Line through points, with an arrow's head at the last."""
    style: dict[str, Any] = {"linestyle": (0, (3, 1.5))} if dashed else {}
    xs, ys = zip(*points[:-1], strict=True)
    axes.plot(xs, ys, color=colour, lw=0.9, zorder=2, solid_joinstyle="miter", **style)
    axes.add_patch(
        FancyArrowPatch(
            points[-2], points[-1], arrowstyle="-|>", mutation_scale=head, color=colour, lw=0.9, shrinkA=0, shrinkB=0,
            zorder=2, **style,
        )
    )  # fmt: skip


def _junction(
    axes: Axes, x: float, y: float, sign: str, marks: Sequence[tuple[str, float, float]], *, radius: float = 0.1
) -> None:
    axes.add_patch(Circle((x, y), radius, fc="white", ec=BLACK, lw=0.9, zorder=4))
    axes.text(x, y - 0.004, sign, ha="center", va="center", fontsize=90 * radius, zorder=5)
    for text, dx, dy in marks:
        axes.text(x + dx, y + dy, text, ha="center", va="center", fontsize=6.5)


def _symbol(text: str, size: float) -> Draw:
    def draw(axes: Axes, x: float, y: float) -> None:
        axes.text(x, y, text, fontsize=size, ha="center", va="center", zorder=5)

    return draw


def _cine(axes: Axes, x: float, y: float) -> None:
    """Frames behind each other, the heart in the first."""
    side = 0.3
    for i in (3, 2, 1, 0):
        corner = (x - side / 2 - 0.06 + 0.045 * i, y - side / 2 - 0.04 + 0.035 * i)
        axes.add_patch(Rectangle(corner, side, side, fc="#3A3A3A", ec="white", lw=0.6, zorder=5))
    centre = (x - 0.06, y - 0.04)
    axes.add_patch(Ellipse((centre[0] - 0.055, centre[1]), 0.12, 0.16, fc="#BBBBBB", lw=0, zorder=6))
    axes.add_patch(Circle(centre, 0.085, fc="#777777", lw=0, zorder=6))
    axes.add_patch(Circle(centre, 0.05, fc="#F4F4F4", lw=0, zorder=6))


def _sampling(*, filled: bool) -> Draw:
    """Lines drawn in every frame, densest at the centre; `filled`: others of a ky drawn in some frame, in gray."""

    def draw(axes: Axes, x: float, y: float) -> None:
        n_ky, n_frames, cell = 13, 11, 0.034
        distance = np.abs(np.arange(n_ky) - n_ky // 2)
        rng = np.random.default_rng(4)
        acquired = rng.random((n_ky, n_frames)) < 0.8 * np.exp(-((distance / 3.6) ** 2))[:, None]
        left, bottom = x - n_frames * cell / 2, y - n_ky * cell / 2
        size = (n_frames * cell, n_ky * cell)
        axes.add_patch(Rectangle((left, bottom), *size, fc="white", ec=GREY, lw=0.5, zorder=5))
        for row in np.flatnonzero(acquired.any(axis=1)) if filled else ():
            axes.add_patch(Rectangle((left, bottom + row * cell), size[0], cell, fc="#A9A9A9", lw=0, zorder=5.5))
        for row, column in np.argwhere(acquired):
            corner = (left + column * cell, bottom + row * cell)
            axes.add_patch(Rectangle(corner, cell, cell, fc=BLACK, lw=0, zorder=6))
        axes.text(left - 0.03, y, "ky", rotation=90, fontsize=5, ha="right", va="center", zorder=5)
        axes.text(x + size[0] / 2 + 0.03, bottom, "t", fontsize=5, ha="left", va="bottom", zorder=5)

    return draw


def _unet(axes: Axes, x: float, y: float) -> None:
    heights = (0.36, 0.26, 0.17, 0.1, 0.17, 0.26, 0.36)
    for i, height in enumerate(heights):
        corner = (x - 0.26 + 0.08 * i, y + 0.18 - height - (0.36 - height) * 0.55)
        axes.add_patch(Rectangle(corner, 0.045, height, fc="#009E73", lw=0, zorder=5))
