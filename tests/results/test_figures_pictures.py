"""PNG files have a palette: small, the same every time, and the eye sees no difference."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from csmri.data.roi import Box
from csmri.results.figures.boxes import render_heart_boxes
from csmri.results.figures.pictures import GREYS, ORANGE, SKY, new_figure, save_png, with_palette


def make_picture(size=64):
    """Grey image of noise beside an error map in colours, with a line of another colour over both."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (size, size, 1)).repeat(3, axis=2)
    colours = (255 * colormaps["inferno"](rng.random((size, size)))[..., :3]).astype(np.uint8)
    pixels = np.concatenate([grey.astype(np.uint8), colours], axis=1)
    pixels[10:13] = [int(SKY[i : i + 2], 16) for i in (1, 3, 5)]
    return pixels


def reduced(pixels):
    picture = with_palette(Image.fromarray(pixels))
    assert picture.mode == "P"
    return np.asarray(picture.convert("RGB"))


def test_few_colours_stay_as_they_are():
    pixels = np.arange(256, dtype=np.uint8).repeat(2).reshape(16, 32)[..., np.newaxis].repeat(3, axis=2)
    pixels[3, 4:6] = 255, 255, 255
    np.testing.assert_array_equal(reduced(pixels), pixels)


def test_many_colours_stay_near_and_grey_stays_grey():
    pixels = make_picture()
    found = reduced(pixels)
    difference = np.abs(found.astype(int) - pixels)
    assert difference.max() <= 12
    np.testing.assert_array_equal(found[20, :64, 0], found[20, :64, 2])
    assert difference[20, :64].max() <= np.ceil(255 / (GREYS - 1) / 2)
    np.testing.assert_allclose(found[11, 0].astype(int), pixels[11, 0], atol=4)


def test_black_and_white_stay_exact():
    pixels = make_picture()
    pixels[:2], pixels[-2:] = 0, 255
    found = reduced(pixels)
    assert (found[:2].max(), found[-2:].min()) == (0, 255)


def test_grey_alone_has_a_palette_too():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (32, 32, 1)).repeat(3, axis=2).astype(np.uint8)
    np.testing.assert_array_equal(reduced(pixels), pixels)


def test_saved_pictures_are_small_and_the_same_every_time(tmp_path):
    picture = Image.fromarray(make_picture(200))
    picture.save(tmp_path / "full.png", optimize=True)
    for name in ("one.png", "two.png"):
        save_png(picture, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "one.png").stat().st_size < 0.7 * (tmp_path / "full.png").stat().st_size


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_only_png_has_a_palette(tmp_path, suffix):
    with new_figure(tmp_path / f"a{suffix}", figsize=(1, 0.5)) as figure:
        figure.add_axes((0, 0, 1, 1)).axhline(0.5, color=ORANGE)
    if suffix == ".png":
        with Image.open(tmp_path / "a.png") as picture:
            assert (picture.mode, picture.size) == ("P", (180, 90))
            assert round(picture.info["dpi"][0]) == 180


def test_more_heart_boxes_than_a_picture_shows_make_several(tmp_path, monkeypatch):
    monkeypatch.setattr("csmri.results.figures.boxes.MOST", 2)
    views = [
        (f"subject {number}", np.ones((8, 8), np.float32), np.ones((8, 8)), Box(2, 2, 4, 4)) for number in range(5)
    ]
    drawn = render_heart_boxes(iter(views), tmp_path / "heart_boxes.png")
    assert [path.name for path in drawn] == ["heart_boxes.png", "heart_boxes_2.png", "heart_boxes_3.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name for path in drawn]
