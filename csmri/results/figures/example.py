"""One slice by several methods as the name of the file asks: a still picture, or one that beats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from csmri.data.cine import Cine
from csmri.formats.gif import durations_ms
from csmri.results.figures.beating import render_beating
from csmri.results.figures.pictures import ANIMATED, picture_suffix
from csmri.results.figures.reconstructions import render_reconstructions
from csmri.results.folder import Example


def render_example(
    example: Example, path: str | Path, *, cine: Cine, show: Sequence[str] = (), caption: str = ""
) -> None:
    """Draw an example of a cine, as `render_beating` where `path` ends in .gif, else as `render_reconstructions`."""
    if picture_suffix(path, also=(ANIMATED,)) == ANIMATED:
        times, spacing = durations_ms(cine), cine.spacing_mm
        render_beating(example, path, durations_ms=times, show=show, spacing_mm=spacing, caption=caption)
    else:
        render_reconstructions([example], path, show=show, caption=caption)


def middle_slice(cine: Cine) -> int:
    """Index of the slice with content that is nearest to the middle of a cine."""
    with_content = [index for index, images in enumerate(cine.images) if images.any()]
    return min(with_content, key=lambda index: abs(index - cine.n_slices // 2))
