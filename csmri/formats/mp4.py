"""MP4 of a cine, one panel a slice as in the GIF, for slides and web pages; written, never read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from csmri.core.errors import CsmriError
from csmri.core.files import replacing
from csmri.data.cine import Cine
from csmri.formats.gif import edges_ms, grid
from csmri.formats.parsing import plural

N_BEATS = 5
QUALITY = "18"
"""Constant rate factor of H.264; 18 is taken for visually lossless."""
SHORTEST_MS = 4
"""Players show no more than 250 frames a second."""
CLOCK = Fraction(1, 1000)


def write(path: str | Path, cine: Cine, *, n_beats: int = N_BEATS) -> None:
    """Write the magnitude as H.264 video (yuv420p): all slices in a grid, at the heart's own rate, some beats long.

    Parameters
    ----------
    path : path
        `.mp4`, replaced atomically.
    cine : Cine
        White is the 99.5th percentile of the whole cine. Frames without known times last 50 ms.
    n_beats : int
        How often the cine is played, at least once.

    Raises
    ------
    CsmriError
        If the library `av` is missing, `n_beats` is below 1, or the place cannot be written to.
    """
    try:
        import av
    except ImportError as error:
        raise CsmriError(f"{path}: MP4 needs the library av; install it with: pip install 'csmri[mp4]'") from error
    if n_beats < 1:
        raise CsmriError(f"{path}: expected at least 1 beat to write, got {plural(n_beats, 'beat')}")
    pages = grid(cine)
    # The colour of yuv420p is stored for 2 x 2 pixels: black rows and columns make the size even.
    pages = np.pad(pages, [(0, 0), (0, pages.shape[1] % 2), (0, pages.shape[2] % 2)])
    durations = np.maximum(SHORTEST_MS, np.diff(np.round(edges_ms(cine)).astype(int))).tolist()
    with replacing(path) as temporary, av.open(str(temporary), "w", options={"movflags": "faststart"}) as video:
        # Without B-frames frames are stored in the order they are shown, and the first is shown at 0.
        stream = video.add_stream("libx264", rate=1000, options={"crf": QUALITY, "bf": "0"})
        stream.height, stream.width = pages.shape[1:]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = CLOCK
        ends = dict(_times(durations * n_beats))
        for number, start in enumerate(ends):
            frame = av.VideoFrame.from_ndarray(pages[number % len(pages)], format="gray")
            frame.pts, frame.time_base = start, CLOCK
            _store(video, stream.encode(frame), ends)
        _store(video, stream.encode(None), ends)


def _times(durations: list[int]) -> Iterator[tuple[int, int]]:
    """Begin and end of every frame in ms."""
    return pairwise(accumulate(durations, initial=0))


def _store(video: Any, packets: Iterable[Any], ends: dict[int, int]) -> None:
    for packet in packets:
        # The encoder takes every frame to be one tick long, which would cut the last one off.
        packet.duration = ends[packet.pts] - packet.pts
        video.mux(packet)
