"""How every picture looks and is saved: colours, sizes, and files that are the same when drawn again."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from csmri.core.errors import CsmriError
from csmri.core.files import replacing

UNDATED = {".png": ("Software",), ".svg": ("Date",), ".pdf": ("CreationDate", "Creator", "Producer")}
"""Suffixes of pictures, and what matplotlib would write into the file that changes."""
ANIMATED = ".gif"
"""Suffix of a picture that moves."""
PAGE = ".html"
"""Suffix of a page on which pictures move."""

WIDTH = 7.16
"""Of a page with two columns, in inches."""
DPI, VECTOR_DPI = 180, 130
"""Of pictures of pixels, and of the images inside vector pictures."""
GREYS, COLOURS = 64, 192
"""Of pictures of pixels: a third of the size in full colour, and the eye sees no difference."""

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


def picture_suffix(path: str | Path, *, also: Sequence[str] = ()) -> str:
    """Tell the format of a picture from its name, before any work is done; `also`: suffixes that it may have, too."""
    suffix = Path(path).suffix.lower()
    allowed = [*UNDATED, *also]
    if suffix not in allowed:
        raise CsmriError(f"{path}: cannot tell the format of the picture; end the name in {', '.join(allowed)}")
    if Path(path).is_dir():
        raise CsmriError(f"{path}: is a folder; give the name of a file to write")
    return suffix


@contextmanager
def own_style(**changes: Any) -> Iterator[None]:
    """Draw in csmri's style, with `changes` to it; no setting of the user reaches the block."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        settings: dict[Any, Any] = {**STYLE, "text.parse_math": False, **changes}
        matplotlib.rcParams.update(settings)
        # A letter that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        yield


@contextmanager
def new_figure(path: str | Path, *, math: bool = False, **options: Any) -> Iterator[Figure]:
    """Give an empty figure to draw on, and save it when the block ends; no setting of the user reaches it.

    Parameters
    ----------
    path : path
        Appears whole or not at all; missing folders are created.
    math : bool
        Whether text between dollar signs is mathematics: only in a figure without any text of the user.
    options
        Of the figure, such as its size.
    """
    suffix = picture_suffix(path)
    with own_style(**{"text.parse_math": math}):
        figure = Figure(**options)
        yield figure
        with replacing(path) as temporary:
            # Without date, version and random names in it, the same records give the same file.
            undated: dict[str, Any] = {"format": suffix[1:], "metadata": dict.fromkeys(UNDATED[suffix])}
            if suffix == ".png":
                pixels = io.BytesIO()
                figure.savefig(pixels, dpi=DPI, pil_kwargs={"compress_level": 1}, **undated)
                save_png(Image.open(pixels), temporary)
            else:
                figure.savefig(temporary, dpi=VECTOR_DPI, **undated)


def save_png(picture: Image.Image, path: Path) -> None:
    """Save a picture with a palette: the same pixels give the same file."""
    with_palette(picture).save(path, format="PNG", optimize=True, dpi=(DPI, DPI))


def with_palette(picture: Image.Image) -> Image.Image:
    """Reduce a picture to 256 colours at most; exact where it has no more.

    Otherwise grey takes the nearest of an even scale, so that images keep their contrast everywhere, and colour the
    nearest of those that cover the colours of this picture best. There is no dithering, which would be noise.
    """
    pixels = np.asarray(picture.convert("RGB"))
    packed = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    found, places = np.unique(packed, return_inverse=True)
    places = places.reshape(packed.shape)
    colours = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=-1)
    palette = colours if len(colours) <= 256 else _palette(pixels, colours, places)
    # The squared distance but for the square of the colour itself, which does not matter.
    distances = (palette**2).sum(axis=1) - 2 * colours @ palette.T
    distances[np.ix_(_is_grey(colours), ~_is_grey(palette))] = np.iinfo(np.int32).max
    reduced = Image.fromarray(distances.argmin(axis=1).astype(np.uint8)[places])
    reduced.putpalette(palette.astype(np.uint8).tobytes())
    return reduced


def _palette(pixels: NDArray[np.uint8], colours: NDArray[np.int32], places: NDArray[np.intp]) -> NDArray[np.int32]:
    """Colours that stand for those (colour, RGB) of the pixels (y, x, RGB); `places` (y, x) tells which has which."""
    greys = np.round(np.linspace(0, 255, GREYS)).astype(np.int32)[:, np.newaxis].repeat(3, axis=1)
    # Pillow reduces images: this one has one row, of the pixels with a colour. Some have: there are but 256 greys.
    row = Image.fromarray(pixels[~_is_grey(colours)[places]][np.newaxis])
    kept = row.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE).convert("RGB")
    return np.concatenate([greys, np.unique(np.asarray(kept).reshape(-1, 3), axis=0).astype(np.int32)])


def _is_grey(colours: NDArray[np.int32]) -> NDArray[np.bool_]:
    return (colours == colours[:, :1]).all(axis=1)


def legend_label(text: str) -> str:
    """Text of the user as a label in a legend, which leaves out those that start with an underscore."""
    return f" {text}" if text.startswith("_") else text


def caption_size(caption: str, width: float) -> float:
    """Size in points at which a caption fits in one line of so many inches."""
    return min(6.5, 72 * width / (0.6 * max(len(caption), 1)))
