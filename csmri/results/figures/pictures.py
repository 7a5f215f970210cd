"""How every picture looks and is saved: colours, sizes, and files that are the same when drawn again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from csmri.core.errors import CsmriError

UNDATED = {".png": ("Software",), ".svg": ("Date",), ".pdf": ("CreationDate", "Creator", "Producer")}
"""Suffixes of pictures, and what matplotlib would write into the file that changes."""
ANIMATED = ".gif"
"""Suffix of a picture that moves."""

WIDTH = 7.16
"""Of a page with two columns, in inches."""
DPI, VECTOR_DPI = 200, 130
"""Of pictures of pixels, and of the images inside vector pictures."""

# Okabe and Ito's colours, told apart by colour-blind people too.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE = (
    *("#000000", "#E69F00", "#56B4E9", "#009E73"),
    *("#F0E442", "#0072B2", "#D55E00", "#CC79A7"),
)
GREY = "#5A5A5A"

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is the same everywhere
    "mathtext.fontset": "dejavusans",
    "font.size": 8,
    "axes.linewidth": 0.7,
    "svg.hashsalt": "csmri",
}


def picture_suffix(path: str | Path, *, animated: bool = False) -> str:
    """Tell the format of a picture from its name, before any work is done; `animated`: it may be one that moves."""
    suffix = Path(path).suffix.lower()
    allowed = [*UNDATED, *([ANIMATED] if animated else [])]
    if suffix not in allowed:
        raise CsmriError(f"{path}: cannot tell the format of the picture; end the name in {', '.join(allowed)}")
    return suffix


@contextmanager
def own_style(changes: dict[Any, Any] | None = None) -> Iterator[None]:
    """Draw in csmri's style, with `changes` to it; no setting of the user reaches the block."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**STYLE, **(changes or {})})
        yield


@contextmanager
def new_figure(path: str | Path, **options: Any) -> Iterator[Figure]:
    """Give an empty figure to draw on, and save it when the block ends; no setting of the user reaches it."""
    suffix = picture_suffix(path)
    with own_style():
        figure = Figure(**options)
        yield figure
        try:
            # Without date, version and random names in it, the same records give the same file.
            dpi = DPI if suffix == ".png" else VECTOR_DPI
            figure.savefig(path, dpi=dpi, metadata=dict.fromkeys(UNDATED[suffix]))
        except OSError as error:
            raise CsmriError(f"{path}: cannot write the picture: {error.strerror}") from error


def caption_size(caption: str, width: float) -> float:
    """Size in points at which a caption fits in one line of so many inches."""
    return min(6.5, 72 * width / (0.6 * max(len(caption), 1)))
