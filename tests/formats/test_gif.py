"""Animated GIF: panels where they belong, window, and the time of each frame."""

import numpy as np
import pytest
from PIL import Image

from csmri.data.cine import Cine
from csmri.formats import gif


def make_cine(n_slices=5, n_frames=4, matrix=(6, 8), times=None):
    images = np.zeros((n_slices, n_frames, *matrix), np.float32)
    for slice_index in range(n_slices):
        for frame in range(n_frames):
            images[slice_index, frame] = 1 + slice_index * n_frames + frame
    return Cine(images=images, subject="s", frame_times_ms=times)


@pytest.mark.parametrize(
    ("n_slices", "rows", "columns"), [(1, 1, 1), (2, 1, 2), (3, 2, 2), (10, 3, 4), (12, 3, 4), (13, 4, 4)]
)
def test_grid_shows_every_slice_once(n_slices, rows, columns):
    cine = make_cine(n_slices)
    pages = gif.grid(cine)
    assert pages.shape == (4, rows * 6 + (rows - 1) * gif.GAP, columns * 8 + (columns - 1) * gif.GAP)
    white = np.percentile(cine.magnitude, 99.5)
    for slice_index in range(n_slices):
        top, left = slice_index // columns * (6 + gif.GAP), slice_index % columns * (8 + gif.GAP)
        panel = pages[2, top : top + 6, left : left + 8]
        assert (panel == round(min(1.0, cine.images[slice_index, 2, 0, 0] / white) * 255)).all()


def test_panels_are_not_turned():
    images = np.zeros((2, 2, 6, 8), np.float32)
    images[1, 0, 1, 6] = 1
    assert np.argwhere(gif.grid(Cine(images=images, subject="s"))[0] == 255).tolist() == [[1, 8 + gif.GAP + 6]]


def test_almost_black_cine_still_shows():
    images = np.zeros((1, 2, 40, 40), np.float32)
    images[0, 0, 3, 4] = 7
    assert gif.grid(Cine(images=images, subject="s"))[0, 3, 4] == 255


def test_file_loops_for_ever_at_the_heart_rate(tmp_path):
    times = (19.2 + 38.46 * np.arange(20)).astype(np.float32)
    cine = make_cine(2, 20, times=times)
    gif.write(tmp_path / "a.gif", cine)
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.n_frames == 20 and animation.info["loop"] == 0
        shown = []
        for frame in range(20):
            animation.seek(frame)
            shown.append(animation.info["duration"])
            np.testing.assert_allclose(np.asarray(animation.convert("L")), gif.grid(cine)[frame], atol=1)
    assert set(shown) == {30, 40} and sum(shown) == 770  # 20 x 38.46 ms, in hundredths of a second


def test_unknown_or_very_short_times():
    assert gif.durations_ms(make_cine()) == [50] * 4
    assert gif.durations_ms(make_cine(times=np.float32([0, 5, 10, 15]))) == [20] * 4
