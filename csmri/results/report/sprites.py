"""Example images -> what the cine player plays: 8-bit PNG sprites of the ground truth and of every method's error."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csmri.core.errors import CsmriError
from csmri.core.names import ZERO_FILLED, is_transfer, short, title
from csmri.data.roi import Box
from csmri.evaluation.metrics import nmse
from csmri.results.folder import Example
from csmri.results.report.naming import colours, last_transfer, ordered

PEAK_QUANTILE = 0.995
"""Of the ground truth in the heart box; this brightness, white, is the unit of everything that the player draws."""
CEILING = 1.6
"""Brightest ground truth that is kept, in that unit: fat beside the heart would cost the heart its levels."""
FINEST_STEP = 1 / 400
"""Of the error, in that unit; coarser where an error beyond 127 such steps would be cut."""
MARGIN = 0.2
"""Shown around the heart box on every side, as a fraction of its size."""

Images = NDArray[np.float32]


class Sprite(NamedTuple):
    """All frames of one cine in one picture, in rows of `columns` tiles; value = (level - zero) * step."""

    png: bytes
    columns: int
    zero: int
    step: float

    def describe(self) -> dict[str, Any]:
        """What the player needs to decode it."""
        uri = "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")
        return {"uri": uri, "columns": self.columns, "zero": self.zero, "step": float(f"{self.step:.6g}")}


def encode(images: NDArray[np.floating], *, zero: int, step: float) -> Sprite:
    """Quantise images (frame, y, x) to 8 bits and tile them."""
    step = float(f"{step:.6g}")
    levels = np.clip(np.rint(images / step) + zero, 0, 255).astype(np.uint8)
    n_frames, height, width = levels.shape
    columns = math.ceil(math.sqrt(n_frames * height / width))
    rows = math.ceil(n_frames / columns)
    page = np.full((rows, height, columns, width), zero, np.uint8)
    for frame, picture in enumerate(levels):
        page[frame // columns, :, frame % columns] = picture
    file = io.BytesIO()
    Image.fromarray(page.reshape(rows * height, columns * width)).save(file, "PNG", optimize=True)
    return Sprite(file.getvalue(), columns, zero, step)


def encode_reference(images: NDArray[np.floating]) -> Sprite:
    """Quantise a magnitude from zero to its maximum, or to `CEILING` where that is lower."""
    return encode(images, zero=0, step=min(float(images.max()) or 1.0, CEILING) / 255)


def encode_error(error: NDArray[np.floating]) -> Sprite:
    """Quantise a signed error around level 128, so finely that nothing is cut."""
    return encode(error, zero=128, step=max(FINEST_STEP, float(np.abs(error).max()) / 127))


def decode(sprite: Sprite, n_frames: int, height: int, width: int) -> NDArray[np.float64]:
    """Read images (frame, y, x) back from a sprite, as the player does."""
    with Image.open(io.BytesIO(sprite.png)) as picture:
        levels = np.asarray(picture, np.float64)
    tiles = levels.reshape(-1, height, sprite.columns, width).swapaxes(1, 2).reshape(-1, height, width)
    return (tiles[:n_frames] - sprite.zero) * sprite.step


def player_data(examples: Sequence[Example], *, max_slices: int) -> dict[str, Any]:
    """Everything that the player embeds: sprites, heart boxes and NMSE of every frame.

    Parameters
    ----------
    examples : not empty
        Their slices are thinned out to `max_slices` that spread over the ventricle.
    """
    for example in examples:
        _check(example)
    slices: dict[tuple[object, ...], list[Example]] = {}
    for example in sorted(examples, key=lambda one: one.acceleration):
        # Another reference under the same name is another slice.
        identity = (example.subject, example.slice, example.heart_box, example.reference.tobytes())
        slices.setdefault(identity, []).append(example)
    keys = sorted(slices, key=lambda key: key[:3])
    n = min(max_slices, len(keys))
    shown = [slices[keys[int((i + 0.5) * len(keys) / n)]] for i in range(n)]
    methods = _methods([example for one in shown for example in one])
    height, width = _view_size([one[0] for one in shown])
    classes = colours(methods)
    return {
        "height": height,
        "width": width,
        "cropped": any((height, width) != one[0].reference.shape[1:] for one in shown),
        "left_out": len(keys) - n,
        "methods": [
            {"name": name, "short": short(name), "title": title(name), "colour": classes[name]} for name in methods
        ],
        "slices": [_slice(one, methods, height, width) for one in shown],
    }


def _check(example: Example) -> None:
    where = f"example images of {example.subject}, slice {example.slice}"
    shape = example.reference.shape
    if len(shape) != 3 or 0 in shape:
        raise CsmriError(f"{where}: expected a reference (frame, y, x), found shape {shape}; write the examples again")
    for name, images in example.methods.items():
        if images.shape != shape:
            raise CsmriError(f"{where}: {name} has shape {images.shape}, the reference {shape}; write them again")


def _methods(examples: Sequence[Example]) -> list[str]:
    """Methods that every example has: no zero-filling beside others, and of the transfers only the last."""
    common = set.intersection(*(set(example.methods) for example in examples))
    names = ordered(name for name in examples[0].methods if name in common)
    names = [name for name in names if name != ZERO_FILLED] or names
    last = last_transfer(names)
    return [name for name in names if not is_transfer(name) or name == last]


def _view_size(examples: Sequence[Example]) -> tuple[int, int]:
    """One size (y, x) for all slices, so that nothing moves on the page: the largest heart box and its margin."""
    boxes, shapes = [example.heart_box for example in examples], [example.reference.shape for example in examples]
    height = min(*(shape[1] for shape in shapes), math.ceil(max(box.height for box in boxes) * (1 + 2 * MARGIN)))
    width = min(*(shape[2] for shape in shapes), math.ceil(max(box.width for box in boxes) * (1 + 2 * MARGIN)))
    return max(1, height), max(1, width)


def _view(example: Example, height: int, width: int) -> Box:
    box, (_, n_y, n_x) = example.heart_box, example.reference.shape
    y = min(max(0, box.y + (box.height - height) // 2), n_y - height)
    x = min(max(0, box.x + (box.width - width) // 2), n_x - width)
    return Box(y, x, height, width)


def _slice(examples: Sequence[Example], methods: Sequence[str], height: int, width: int) -> dict[str, Any]:
    first = examples[0]
    view, box = _view(first, height, width), first.heart_box
    reference = np.nan_to_num(view.crop(first.reference).astype(np.float64))
    heart = np.nan_to_num(box.crop(first.reference).astype(np.float64))
    peak = float(np.quantile(heart, PEAK_QUANTILE)) if heart.size else 0.0
    peak = peak or float(reference.max()) or 1.0
    return {
        "subject": first.subject,
        "slice": first.slice,
        "frames": len(reference),
        "box": [box.y - view.y, box.x - view.x, box.height, box.width],
        "reference": encode_reference(np.maximum(reference, 0) / peak).describe(),
        "accelerations": [
            {
                "value": example.acceleration,
                "errors": {
                    name: encode_error(
                        (np.nan_to_num(view.crop(example.methods[name]).astype(np.float64)) - reference) / peak
                    ).describe()
                    for name in methods
                },
                "nmse": {
                    name: [
                        _number(nmse(truth, image))
                        for truth, image in zip(
                            box.crop(example.reference), box.crop(example.methods[name]), strict=True
                        )
                    ]
                    for name in methods
                },
            }
            for example in examples
        ],
    }


def _number(value: float) -> float | None:
    """Four digits, and null for what JSON has no number for."""
    return float(f"{value:.4g}") if math.isfinite(value) else None
