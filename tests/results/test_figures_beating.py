"""The beating comparison shows every frame, in one palette, with true grays, true errors and nothing clipped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from csmri.core.errors import CsmriError
from csmri.data.roi import Box
from csmri.evaluation.metrics import nmse
from csmri.results.figures import beating, picture_suffix, render_beating
from csmri.results.figures.panels import error_scale, white_level
from csmri.results.folder import Example

TIMES = [40, 30, 50, 40]


def make_example(**fields):
    rng = np.random.default_rng(0)
    reference = rng.random((4, 20, 24), np.float32)
    methods = {name: rng.random((4, 20, 24), np.float32) for name in ("zero-filled", "initial", "transfer")}
    common = {"subject": "a", "slice": 1, "acceleration": 8.0, "heart_box": Box(4, 5, 8, 9)}
    return Example(**{**common, "reference": reference, "methods": methods, **fields})


def beat(path, example, **options):
    """Frames (frame, y, x, 3) of the animation."""
    render_beating(example, path, durations_ms=TIMES[: len(example.reference)], **options)
    frames = []
    with Image.open(path) as animation:
        for frame in range(animation.n_frames):
            animation.seek(frame)
            frames.append(np.asarray(animation.convert("RGB")).astype(int))
    return np.stack(frames)


def panel(frames, column, row, side=beating.TILE):
    """Pixels inside a panel, a few off its edge."""
    left = beating.MARGIN + column * (beating.TILE + beating.GAP)
    top = beating.TITLE + beating.HEADS + row * (side + beating.GAP)
    y, x = (slice(round(100 * a) + 4, round(100 * (a + size)) - 4) for a, size in ((top, side), (left, beating.TILE)))
    return frames[:, y, x]


def film(example, show=(), caption=""):
    with beating.own_style(**beating.DARK):
        return beating._Film(example, beating.shown_methods(example.methods, show), None, caption)


def test_every_frame_is_shown_for_its_time_and_for_ever(tmp_path):
    assert len(beat(tmp_path / "a.gif", make_example())) == 4
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.info["loop"] == 0
        shown = []
        for frame in range(animation.n_frames):
            animation.seek(frame)
            shown.append(animation.info["duration"])
    assert shown == TIMES


def test_all_frames_have_one_palette(tmp_path):
    frames = beat(tmp_path / "a.gif", make_example())
    palette = beating._palette()
    assert len(palette) < 256  # one is left for what does not change
    assert {tuple(colour) for colour in np.unique(frames.reshape(-1, 3), axis=0)} <= {
        tuple(c) for c in palette.tolist()
    }
    same = np.concatenate([frames, frames[:1]])  # letters and colour bar stand still
    below = round(100 * (beating.TITLE + beating.HEADS))
    assert (np.diff(same[:, :below], axis=0) == 0).all()


@pytest.mark.parametrize("level", [0.0, 0.25, 0.5, 1.0])
def test_grays_and_errors_are_to_scale(tmp_path, level):
    """One error of all pixels in a frame, another in the next."""
    reference = np.ones((4, 32, 32), np.float32)
    reference[:, 10, 10] = 2
    off = np.float32([0, 0.02, 0.04, 0.08]) + np.float32(0.1 * level)
    example = make_example(
        reference=reference * 200,
        methods={"initial": (reference + off[:, None, None]) * 200},
        heart_box=Box(4, 4, 20, 20),
    )
    frames = beat(tmp_path / "a.gif", example)
    percent = error_scale([100 * np.broadcast_to(off[:, None, None] / 2, (4, 32, 32))])
    for frame, error in enumerate(off):
        # A step of the palette is 255 / 111 grays; half of one is rounded, and one more may be held back.
        gray = min(1, (1 + error) * 200 / white_level(example)) * 255
        assert abs(np.median(panel(frames, 1, 0)[frame]) - gray) < 1.5 * 255 / 111 + 0.5
        place = round(min(1, 50 * error / percent) * (beating.N_ERRORS - 1))
        colour = np.median(panel(frames, 1, 1)[frame], axis=(0, 1))
        near = beating._palette()[beating.N_GRAYS :][max(0, place - 1) : place + 2][: beating.N_ERRORS]
        assert min(np.abs(near.astype(int) - colour).max(axis=1)) <= 1


def test_what_is_equal_looks_equal(tmp_path):
    example = make_example()
    example = replace(example, methods={"initial": example.reference, "transfer": example.methods["transfer"]})
    frames = beat(tmp_path / "a.gif", example)
    inside = (slice(None), slice(60, 160), slice(60, 160))  # off the heart box
    assert np.array_equal(panel(frames, 0, 0)[:, 100:120, 100:120], panel(frames, 1, 0)[:, 100:120, 100:120])
    assert panel(frames, 1, 1)[inside].max() < 10  # no error
    assert panel(frames, 2, 1)[inside].max() > 100


def test_what_is_held_back_never_adds_up(monkeypatch):
    slow = np.linspace(0, 0.1, 12, dtype=np.float32)[:, None, None] * np.ones((1, 20, 24), np.float32)
    slow[:, 0, 0] = 1
    example = make_example(reference=slow, methods={"initial": slow[::-1]})
    held = np.stack([np.asarray(page) for page in film(example).pages()]).astype(int)
    monkeypatch.setattr(beating, "_differ", lambda page, before: np.ones(page.shape, bool))
    drawn = np.stack([np.asarray(page) for page in film(example).pages()]).astype(int)
    assert np.abs(held - drawn).max() == 1


@pytest.mark.parametrize(
    ("methods", "show", "labels"),
    [
        (["zero-filled", "initial", "transfer_10"], (), ["initial (IR)", "transfer 10 (TL10)"]),
        (["zero-filled", "initial"], ("initial", "zero-filled"), ["initial (IR)", "zero-filled"]),
        (["zero-filled", "initial"], ("initial", "initial"), ["initial (IR)"]),
        (["initial", "a", "b", "c"], (), ["initial (IR)", "a", "b", "c"]),
        (["initial", "a_rather_long_name_of_a_network_of_ones_own@soft:10"], (), None),
    ],
)
@pytest.mark.parametrize("caption", ["", "Someone (2020), a data set with a long name and an address, " * 2])
def test_heads_tell_names_and_errors_and_fit(methods, show, labels, caption):
    rng = np.random.default_rng(1)
    example = make_example(methods={name: rng.random((4, 20, 24), np.float32) for name in methods})
    drawn = film(example, show, caption)
    drawn.canvas.draw()
    texts = [text.get_text() for text in drawn.figure.texts]
    assert "R = 8 · a, slice 1" in texts and "ground truth" in texts and (caption in texts) == bool(caption)
    for label, name in zip(labels or [], show or [name for name in methods if name != "zero-filled"], strict=False):
        heart = [
            nmse(example.heart_box.crop(a), example.heart_box.crop(b))
            for a, b in zip(example.reference, example.methods[name], strict=True)
        ]
        assert texts[texts.index(label) + 1] == f"heart-box NMSE {1e3 * np.mean(heart):.2f} × 10⁻³"
    width, height = drawn.figure.bbox.size
    every = [*drawn.figure.texts, *(text for axes in drawn.figure.axes for text in axes.texts)]
    every += [label for axes in drawn.figure.axes for child in axes.child_axes for label in child.get_yticklabels()]
    for text in every:
        place = text.get_window_extent()
        assert place.x0 >= 0 and place.y0 >= 0 and place.x1 <= width and place.y1 <= height, text.get_text()
    heads = drawn.figure.texts[1 + bool(caption) :]
    assert all(text.get_window_extent().width <= 100 * (beating.TILE + beating.GAP) for text in heads)


def test_blank_frames_have_no_error():
    example = make_example()
    blank = example.reference.copy()
    blank[1:3] = 0
    heads = [text.get_text() for text in film(replace(example, reference=blank)).figure.texts]
    box = example.heart_box
    wanted = np.mean([nmse(box.crop(example.reference[i]), box.crop(example.methods["initial"][i])) for i in (0, 3)])
    assert heads[heads.index("initial (IR)") + 1] == f"heart-box NMSE {1e3 * wanted:.2f} × 10⁻³"
    assert film(replace(example, reference=0 * blank)).figure.texts[-1].get_text() == "heart-box NMSE –"


def test_text_of_the_user_is_no_mathematics(tmp_path):
    assert len(beat(tmp_path / "a.gif", make_example(subject="$a$ 心"), caption="$x_$ 心")) == 4


def test_frames_are_counted():
    drawn = film(make_example())
    drawn.pages()
    assert drawn.counter.get_text() == "4 / 4"


def test_pixels_need_not_be_square(tmp_path):
    example = make_example()
    square, flat = beat(tmp_path / "a.gif", example), beat(tmp_path / "b.gif", example, spacing_mm=(1.0, 2.0))
    above = 100 * (beating.TITLE + beating.HEADS)
    assert flat.shape[2] == square.shape[2]
    assert (flat.shape[1] - above) / (square.shape[1] - above) == pytest.approx(0.5, abs=0.04)


def test_only_what_can_move_is_written_as_gif(tmp_path):
    assert picture_suffix("a.GIF", also=(".gif",)) == ".gif"
    with pytest.raises(CsmriError, match=r"end the name in \.png, \.svg, \.pdf$"):
        picture_suffix("a.gif")
    with pytest.raises(CsmriError, match=r"\.pdf, \.gif$"):
        picture_suffix("a.jpg", also=(".gif",))
    (tmp_path / "file").touch()
    with pytest.raises(CsmriError, match="could not be written"):
        beat(tmp_path / "file" / "a.gif", make_example())
