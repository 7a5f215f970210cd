"""Figure 4: images, temporal profiles and error maps of the methods beside the ground truth."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from csmri.core.names import GROUND_TRUTH, method_label
from csmri.results.figures.panels import Panels, make_panels
from csmri.results.figures.pictures import GREY, ORANGE, SKY, WIDTH, caption_size, new_figure
from csmri.results.folder import Example

GAP, TITLE, HEADS, CAPTION, LEFT, PROFILE = 0.06, 0.24, 0.19, 0.24, 0.24, 0.36
"""Inches: between panels, for a title, a line of heads, the caption, the rows' names; profile: over width."""
LARGEST, SMALLEST = 1.55, 1.1
"""Width of a panel in inches; with more than five methods the figure outgrows a page, to be laid on its side."""


def render_reconstructions(
    examples: Sequence[Example], path: str | Path, *, show: Sequence[str] = (), caption: str = ""
) -> None:
    """Draw figure 4 from images: one block an example; see `panels.make_panels` for what is shown of it."""
    render_panels(make_panels(examples, show), path, caption=caption)


def render_panels(panels: Sequence[Panels], path: str | Path, *, caption: str = "") -> None:
    """Draw figure 4 from its panels.

    Columns: the methods, then the ground truth with the heart box and the line of the profile on it. Rows: images of
    one frame in one gray window, the profile of the line with time running downwards, absolute errors on one scale for
    all blocks. Over each error map stands the NMSE x 10^3 of the shown frame in the heart box.
    """
    n_columns = max(len(one.methods) for one in panels) + 1
    tile = max(SMALLEST, min(LARGEST, (WIDTH - LEFT - GAP * n_columns) / n_columns))
    heights = [_block_height(one, tile) for one in panels]
    total = sum(heights) + (CAPTION if caption else 0.06)
    width = LEFT + n_columns * (tile + GAP)
    with new_figure(path, figsize=(width, total)) as figure:
        top = total
        for one, height in zip(panels, heights, strict=True):
            _draw_block(figure, one, top, tile)
            top -= height
        if caption:
            figure.text(0.5, 0.07 / total, caption, ha="center", fontsize=caption_size(caption, width), color=GREY)


def _block_height(panels: Panels, tile: float) -> float:
    return TITLE + _heads_height(panels, tile) + tile * (2 * _aspect(panels) + PROFILE) + 3 * GAP


def _heads(panels: Panels, tile: float) -> list[str]:
    """Labels of the columns; where one is too long for its panel, in two lines."""
    return [_broken(method_label(name), tile) for name in (*panels.methods, GROUND_TRUTH)]


def _heads_height(panels: Panels, tile: float) -> float:
    n_lines = 1 + max(head.count("\n") for head in _heads(panels, tile))
    return HEADS + (n_lines - 1) * 0.13


def _broken(label: str, width: float) -> str:
    """Break a label of 8 points at the space or hyphen nearest to its middle if it is longer than so many inches."""
    places = [match.end() for match in re.finditer("[ -]", label)]
    if 0.06 * len(label) <= width or not places:
        return label
    place = min(places, key=lambda place: abs(2 * place - len(label)))
    return f"{label[:place].rstrip()}\n{label[place:]}"


def _aspect(panels: Panels) -> float:
    return panels.images.shape[1] / panels.images.shape[2]


def _draw_block(figure: Figure, panels: Panels, top: float, tile: float) -> None:
    width, total = figure.get_size_inches()

    def axes_at(column: int, y: float, height: float, *, w: float = tile) -> Axes:
        axes = figure.add_axes(((LEFT + column * (tile + GAP)) / width, y / total, w / width, height / total))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        return axes

    title = f"R = {panels.acceleration:g} · {panels.subject}, slice {panels.slice}, frame {panels.frame}"
    figure.text(LEFT / width, (top - 0.17) / total, title, fontsize=8.5, fontweight="bold")
    side = tile * _aspect(panels)
    y_image = top - TITLE - _heads_height(panels, tile) - side
    y_profile = y_image - GAP - tile * PROFILE
    y_error = y_profile - GAP - side
    for column, (name, head) in enumerate(zip([*panels.methods, GROUND_TRUTH], _heads(panels, tile), strict=True)):
        gray = {"cmap": "gray", "vmin": 0, "vmax": 255, "interpolation": "bilinear", "aspect": "auto"}
        gray["interpolation_stage"] = "data"  # between errors, not between their colours: all are of the scale
        image = axes_at(column, y_image, side)
        image.imshow(panels.images[column], **gray)  # type: ignore[arg-type]
        image.set_title(head, fontsize=8, pad=3, linespacing=1.1)
        axes_at(column, y_profile, tile * PROFILE).imshow(panels.profiles[column], **gray)  # type: ignore[arg-type]
        if name == GROUND_TRUTH:
            _mark(image, panels)
            _draw_scale(axes_at(column, y_error, side), panels.error_percent, min(6, 4.3 * tile))
        else:
            error = axes_at(column, y_error, side)
            error.imshow(panels.errors[column], **{**gray, "cmap": "inferno"})  # type: ignore[arg-type]
            value = panels.nmse_heart[column]
            text = "–" if math.isnan(value) else f"{1e3 * value:.2f}"
            error.text(0.04, 0.96, text, color="white", fontsize=7, va="top", transform=error.transAxes)
    for y, height, label in (
        (y_image, side, "image"),
        (y_profile, tile * PROFILE, "← time"),
        (y_error, side, "error"),
    ):
        place = ((LEFT - 0.06) / width, (y + height / 2) / total)
        figure.text(*place, label, rotation=90, ha="right", va="center", fontsize=7.5)


def _mark(image: Axes, panels: Panels) -> None:
    box = panels.box
    corner = (box.x - 0.5, box.y - 0.5)
    image.add_patch(Rectangle(corner, box.width, box.height, fill=False, ec=ORANGE, lw=1.1))
    image.axhline(panels.line, color=SKY, lw=1, linestyle=(0, (4, 2)))


def _draw_scale(axes: Axes, error_percent: float, size: float) -> None:
    """Colour bar of the error maps, and what the numbers and lines are, in the place under the ground truth."""
    bar = axes.inset_axes((0.06, 0.06, 0.09, 0.88))
    bar.imshow([[i] for i in range(255, -1, -1)], cmap="inferno", aspect="auto", extent=(0, 1, 0, error_percent))
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.set_yticks([0, error_percent / 2, error_percent], [f"{v:g} %" for v in (0, error_percent / 2, error_percent)])
    bar.tick_params(labelsize=min(7, 1.2 * size), length=2, pad=2)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    note = {"fontsize": size, "va": "center", "linespacing": 1.15}
    axes.text(0.4, 0.86, "absolute error,\n% of the slice's\nmaximum", **note)  # type: ignore[arg-type]
    axes.text(0.4, 0.55, "numbers: heart-box\nNMSE × 10³ of\nthis frame", **note)  # type: ignore[arg-type]
    axes.add_patch(Rectangle((0.4, 0.25), 0.13, 0.09, fill=False, ec=ORANGE, lw=1.1))
    axes.text(0.58, 0.295, "heart box", **note)  # type: ignore[arg-type]
    axes.plot([0.4, 0.53], [0.13, 0.13], color=SKY, lw=1.2, linestyle=(0, (3, 1.2)))
    axes.text(0.58, 0.13, "profile's line", **note)  # type: ignore[arg-type]
