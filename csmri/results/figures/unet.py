"""Figure 1: the network as it is, drawn from the layers of the Keras model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle

from csmri.core.errors import CsmriError
from csmri.results.figures.pictures import BLACK, BLUE, GREEN, GREY, PURPLE, RED, new_figure

if TYPE_CHECKING:
    import keras

COLOURS = {"Conv2D": BLUE, "Head": PURPLE, "MaxPooling2D": RED, "Conv2DTranspose": GREEN, "Concatenate": GREY}
FILL, COPIED = "#CFE3F3", "#FFFFFF"
STEP, DROP, MARGIN = 0.305, 0.3, 0.28
"""Inches: from map to map, from level to level beside the maps' heights, around the drawing."""
SIDE = 1.25
"""Of the largest feature map, in inches; smaller ones shrink by the fifth root of their area."""

LEGEND_STEP, LEGEND_WIDTH, LEAST_WIDTH = 0.165, 2.6, 4.6
"""Inches; under a shallow network, which leaves no room beside it, the legend makes the figure higher."""


class Operation(NamedTuple):
    """One layer of a network: what it does, what comes out, and the layers it takes from."""

    name: str
    kind: str
    """Class of the layer; `Head` for the convolution that makes the output."""
    text: str
    shape: tuple[int, int, int]
    """(y, x, channels)"""
    sources: tuple[str, ...]


def describe_network(model: keras.Model, size: int = 256) -> list[Operation]:
    """Walk the layers of a functional model, in order, for an image of size x size pixels.

    Raises
    ------
    CsmriError
        If the model is not the U-net of `unet.build_unet`: it has a layer that figure 1 has no sign for.
    """
    makers = {id(layer.output): layer.name for layer in model.layers}
    shapes: dict[str, tuple[int | None, ...]] = {}
    operations = []
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "InputLayer":
            sources: tuple[str, ...] = ()
            shapes[layer.name] = (1, size, size, model.input_shape[-1])
        elif kind in COLOURS:
            inputs = layer.input if isinstance(layer.input, list) else [layer.input]
            sources = tuple(makers[id(tensor)] for tensor in inputs)
            given = [shapes[source] for source in sources]
            shapes[layer.name] = layer.compute_output_shape(given if len(given) > 1 else given[0])
        else:
            raise CsmriError(f"{model.name}: layer {layer.name} is a {kind}; figure 1 knows {', '.join(COLOURS)}")
        if layer.output is model.output:
            kind = "Head"
        y, x, channels = shapes[layer.name][1:]
        operations.append(
            Operation(layer.name, kind, _text(layer), (int(y or 0), int(x or 0), int(channels or 0)), sources)
        )
    return operations


def render_unet(model: keras.Model, path: str | Path, *, size: int = 256) -> None:
    """Draw figure 1: every feature map of the network for an image of size x size, and what leads from one to the next.

    Numbers over a map are its channels, beside the first of a level its pixels. White maps are copies.
    """
    operations = describe_network(model, size)
    maps, width, height = _place(operations)
    width = max(width, LEAST_WIDTH)
    with new_figure(path, math=True, figsize=(width, height)) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(-height, 0))
        axes.axis("off")
        for operation in operations:
            _draw_operation(axes, operation, maps)
        _write_sizes(axes, operations, maps)
        _write_legend(axes, operations, model, -height)


class _Map(NamedTuple):
    """Where a feature map stands: left, right, top and bottom in inches, and of a copied part its left."""

    left: float
    right: float
    top: float
    bottom: float
    copy_left: float

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


def _text(layer: Any) -> str:
    kind = type(layer).__name__
    if kind == "MaxPooling2D":
        return f"{layer.pool_size[0]} × {layer.pool_size[1]} max-pooling"
    if kind == "Concatenate":
        return "copy and concatenate"
    if kind == "InputLayer":
        return "input"
    kernel = f"{layer.kernel_size[0]} × {layer.kernel_size[1]}"
    if kind == "Conv2DTranspose":
        return f"{kernel} transpose convolution, stride {layer.strides[0]}"
    name = {"relu": "ReLU"}.get(layer.activation.__name__, layer.activation.__name__)
    return f"{kernel} convolution + {name}"


def _place(operations: Sequence[Operation]) -> tuple[dict[str, _Map], float, float]:
    """Place the maps: one step to the right an operation, one level down a pooling; also the drawing's size."""
    sizes = sorted({operation.shape[0] for operation in operations}, reverse=True)
    heights = {size: SIDE * (size / sizes[0]) ** 0.4 for size in sizes}
    tops, top = {}, -MARGIN
    for size in sizes:
        tops[size] = top
        top -= heights[size] + DROP
    maps: dict[str, _Map] = {}
    x = MARGIN + 0.1
    for operation in operations:
        size, channels = operation.shape[0], operation.shape[2]
        width = _width(channels)
        left = x
        if operation.kind == "MaxPooling2D":  # under the map that it shrinks
            left = maps[operation.sources[0]].left
        elif operation.kind == "Concatenate":  # the copied part stands in front of the other, which is there already
            up = maps[operation.sources[1]]
            maps[operation.name] = up
            continue
        elif operation.kind == "Conv2DTranspose":  # over the map that it enlarges, with room for the copy in front
            left = maps[operation.sources[0]].left + width
        maps[operation.name] = _Map(left, left + width, tops[size], tops[size] - heights[size], left - width)
        x = left + max(STEP, width + 0.17)
    legend_height = LEGEND_STEP * len(COLOURS) if _left_of_lowest(maps) < LEGEND_WIDTH else 0
    return maps, x - 0.1 + MARGIN, -top + 0.22 + legend_height


def _left_of_lowest(maps: dict[str, _Map]) -> float:
    """Room in inches that the lowest level leaves to its left."""
    lowest = min(place.bottom for place in maps.values())
    return min(place.left for place in maps.values() if place.bottom == lowest)


def _width(channels: int) -> float:
    return 0.035 + 0.0105 * math.log2(channels)


def _draw_operation(axes: Axes, operation: Operation, maps: dict[str, _Map]) -> None:
    place = maps[operation.name]
    colour = COLOURS.get(operation.kind, BLACK)
    if operation.kind == "Concatenate":
        skip = maps[operation.sources[0]]
        _draw_map(axes, place.copy_left, place.left, place, COPIED)
        _arrow(axes, (skip.right, skip.middle), (place.copy_left, skip.middle), colour, dashed=True)
        _channels(axes, (place.copy_left + place.right) / 2, place, operation.shape[2])
        return
    _draw_map(axes, place.left, place.right, place, FILL)
    if operation.kind != "Conv2DTranspose":  # its channels are told by the concatenation
        _channels(axes, (place.left + place.right) / 2, place, operation.shape[2])
    if not operation.sources:
        return
    source = maps[operation.sources[0]]
    if operation.kind == "MaxPooling2D":
        x = (source.left + source.right) / 2
        _arrow(axes, (x, source.bottom), (x, place.top + 0.135), colour)
    elif operation.kind == "Conv2DTranspose":
        x = (place.left + place.right) / 2
        _arrow(axes, (x, source.top + 0.135), (x, place.bottom), colour)
    else:
        _arrow(axes, (source.right, place.middle), (place.left, place.middle), colour)


def _draw_map(axes: Axes, left: float, right: float, place: _Map, colour: str) -> None:
    corner = (left, place.bottom)
    axes.add_patch(Rectangle(corner, right - left, place.top - place.bottom, fc=colour, ec=BLACK, lw=0.6, zorder=3))


def _channels(axes: Axes, x: float, place: _Map, channels: int) -> None:
    axes.text(x, place.top + 0.03, str(channels), ha="center", va="bottom", fontsize=6.3, zorder=5)


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, *, dashed: bool = False
) -> None:
    style: dict[str, Any] = {"linestyle": (0, (4, 2))} if dashed else {}
    arrow = FancyArrowPatch(
        start, end, arrowstyle="-|>", mutation_scale=6.5, color=colour, lw=1.1, shrinkA=1, shrinkB=0, zorder=2, **style
    )
    axes.add_patch(arrow)


def _write_sizes(axes: Axes, operations: Sequence[Operation], maps: dict[str, _Map]) -> None:
    """Pixels of each level beside its first map; what goes in and comes out by its symbol in the paper."""
    seen = set()
    for operation in operations:
        y, x, _ = operation.shape
        if y not in seen:
            place = maps[operation.name]
            text = f"{y} × {x}" if place.top - place.bottom > 0.42 else f"{y}²"
            axes.text(
                place.left - 0.035, place.bottom, text, rotation=90, fontsize=6, ha="right", va="bottom", color=GREY
            )
        seen.add(y)
    for operation, symbol in ((operations[0], "$X$"), (operations[-1], r"$\hat{T}$")):
        place = maps[operation.name]
        axes.text((place.left + place.right) / 2, place.bottom - 0.04, symbol, ha="center", va="top", fontsize=9)


def _write_legend(axes: Axes, operations: Sequence[Operation], model: keras.Model, bottom: float) -> None:
    kinds = {operation.kind: operation.text for operation in operations if operation.kind in COLOURS}
    y = bottom + 0.15 + LEGEND_STEP * len(kinds)
    for kind, text in kinds.items():
        _arrow(axes, (MARGIN, y), (MARGIN + 0.3, y), COLOURS[kind], dashed=kind == "Concatenate")
        axes.text(MARGIN + 0.37, y, text, fontsize=7, va="center")
        y -= LEGEND_STEP
    right = axes.get_xlim()[1] - MARGIN
    text = f"{model.count_params():,} parameters\nnumbers: channels, pixels\nwhite: copied from the encoder"
    axes.text(right, bottom + 0.15, text, fontsize=7, ha="right", va="bottom", linespacing=1.4)
