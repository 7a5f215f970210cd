"""Figure 4 shows what its panels hold, and the panels hold no more."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from csmri.core.errors import CsmriError
from csmri.data.roi import Box
from csmri.results.figures import (
    choose_examples,
    make_panels,
    read_panels,
    render_panels,
    render_reconstructions,
    write_panels,
)
from csmri.results.figures.panels import moving_frame, view_around
from csmri.results.figures.pictures import DPI
from csmri.results.folder import Example


def make_example(seed=0, **fields):
    rng = np.random.default_rng(seed)
    reference = rng.random((4, 20, 24), np.float32)
    reference[2, 5:10, 6:12] += 3  # the frame that differs most
    methods = {name: rng.random((4, 20, 24), np.float32) for name in ("zero-filled", "initial", "transfer")}
    common = {"subject": "a", "slice": 1, "acceleration": 8.0, "heart_box": Box(4, 5, 8, 9)}
    return Example(**{**common, "reference": reference, "methods": methods, **fields})


def comments(path):
    return [line.split("<!-- ")[1].split(" -->")[0] for line in path.read_text().splitlines() if "<!-- " in line]


def test_reconstructions_name_methods_and_subject(tmp_path):
    render_reconstructions([make_example()], tmp_path / "images.svg", caption="whose images")
    found = comments(tmp_path / "images.svg")
    for name in ("initial (IR)", "transfer (TL)", "ground truth", "R = 8 · a, slice 1, frame 2", "whose images"):
        assert name in found
    assert "zero-filled" not in found


def test_shown_are_the_moving_frame_and_the_heart_with_a_margin():
    assert moving_frame(make_example()) == 2
    assert view_around(Box(40, 50, 40, 30), (100, 100)) == Box(35, 40, 50, 50)
    assert view_around(Box(0, 70, 40, 30), (100, 100)) == Box(0, 50, 50, 50)  # moved inside
    assert view_around(Box(0, 0, 90, 30), (95, 100)) == Box(0, 0, 95, 100)  # as far as the image goes


def test_panels_are_the_windowed_pixels_of_one_frame_and_one_line():
    example = make_example(heart_box=Box(6, 8, 8, 8))  # seen: rows 5 to 14, columns 7 to 16
    (panels,) = make_panels([example])
    view, frame = np.s_[5:15, 7:17], 2
    assert panels.box == Box(1, 1, 8, 8)
    assert panels.methods == ("initial", "transfer")
    white = np.quantile(example.reference[:, 6:14, 8:16], 0.98)
    assert panels.white == pytest.approx(white, rel=1e-4)
    initial, truth = example.methods["initial"], example.reference
    for column, images in ((0, initial), (2, truth)):
        wanted = 255 * np.clip(images[frame][view] / white, 0, 1)
        np.testing.assert_allclose(panels.images[column], wanted, atol=0.51)
        wanted = 255 * np.clip(images[:, 5 + panels.line, 7:17] / white, 0, 1)
        np.testing.assert_allclose(panels.profiles[column], wanted, atol=0.51)
    percent = 100 * np.abs(initial - truth)[frame][view] / truth.max()
    wanted = 255 * np.clip(percent / panels.error_percent, 0, 1)
    np.testing.assert_allclose(panels.errors[0], wanted, atol=0.51)
    heart = np.s_[frame, 6:14, 8:16]
    nmse = ((initial - truth)[heart] ** 2).sum() / (truth[heart] ** 2).sum()
    assert panels.nmse_heart[0] == pytest.approx(nmse, rel=1e-3)


def test_a_blank_frame_is_not_the_one_shown(tmp_path):
    example = make_example()
    example.reference[0] = 0  # differs most from the others
    assert moving_frame(example) == 2
    (panels,) = make_panels([example])
    assert np.isfinite(panels.nmse_heart).all()


@pytest.mark.parametrize("where", ["heart box", "slice"])
def test_images_without_content_are_drawn_without_a_number(tmp_path, where):
    example = make_example()
    (example.heart_box.crop(example.reference) if where == "heart box" else example.reference)[:] = 0
    before = make_panels([example])
    assert np.isnan(before[0].nmse_heart).all() and before[0].white > 0
    write_panels(before, tmp_path)
    json.loads((tmp_path / "fig4_panels.json").read_text(), parse_constant=pytest.fail)
    after, _ = read_panels(tmp_path)
    np.testing.assert_array_equal(before[0].nmse_heart, after[0].nmse_heart)
    render_panels(after, tmp_path / "images.svg")
    assert "–" in comments(tmp_path / "images.svg") and "nan" not in comments(tmp_path / "images.svg")


def test_methods_can_be_chosen_and_ordered():
    (panels,) = make_panels([make_example()], ("transfer", "zero-filled"))
    assert panels.methods == ("transfer", "zero-filled")
    with pytest.raises(CsmriError, match="cannot show unet: no such method in the examples; zero-filled, initial"):
        make_panels([make_example()], ("initial", "unet"))


def test_many_methods_keep_their_size_and_long_names_are_broken(tmp_path):
    names = ["low-rank-plus-sparse", "transfer_50", *(f"method {i}" for i in range(6))]
    images = make_example().methods["initial"]
    for n_methods in (3, 8):
        example = make_example(methods=dict.fromkeys(names[:n_methods], images))
        render_reconstructions([example], tmp_path / f"{n_methods}.png")
        with Image.open(tmp_path / f"{n_methods}.png") as picture:
            inches = 0.24 + (n_methods + 1) * ((1.1 if n_methods == 8 else 1.55) + 0.06)
            assert picture.width / DPI == pytest.approx(inches, abs=0.02)
    render_reconstructions([example], tmp_path / "many.svg")
    assert {"low-rank-", "plus-sparse", "transfer 50 (TL50)"} <= set(comments(tmp_path / "many.svg"))


def test_error_maps_share_one_scale():
    example = make_example()
    better = replace(example, acceleration=4.0, methods={"initial": example.reference * np.float32(0.99)})
    alone, together = make_panels([better]), make_panels([better, example])
    assert alone[0].error_percent == 1
    assert together[0].error_percent == together[1].error_percent == 100


def test_sheets_hold_the_panels_and_nothing_else(tmp_path):
    example = make_example()
    before = make_panels([replace(example, acceleration=4.0), example])
    write_panels(before, tmp_path, caption="whose images")
    names = ["fig4_panels.json", "fig4_panels_R4.png", "fig4_panels_R8.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    after, caption = read_panels(tmp_path)
    assert caption == "whose images"
    for one, other in zip(before, after, strict=True):
        for name in vars(one):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        shown = sum(part.size for part in (one.images, one.profiles, one.errors))
        with Image.open(tmp_path / f"fig4_panels_R{one.acceleration:g}.png") as sheet:
            assert sheet.mode == "L"
            assert sheet.width * sheet.height == shown + one.errors[0].size  # beside the panels one empty tile
            assert not np.asarray(sheet)[-one.errors.shape[1] :, -one.errors.shape[2] :].any()
    # Pixels of another frame are in no sheet: change all but the shown one, off the line and out of the window.
    line = make_panels([example])[0].line + view_around(example.heart_box, (20, 24)).y
    other = example.methods["initial"].copy()
    other[[0, 1, 3], :line] = other[[0, 1, 3], line + 1 :] = 77
    changed = replace(example, methods={**example.methods, "initial": other}, acceleration=8.0)
    sheet = (tmp_path / "fig4_panels_R8.png").read_bytes()
    write_panels(make_panels([replace(example, acceleration=4.0), changed]), tmp_path)
    assert (tmp_path / "fig4_panels_R8.png").read_bytes() == sheet


def test_sheets_of_an_earlier_study_go(tmp_path):
    write_panels(make_panels([make_example(acceleration=4.0), make_example()]), tmp_path)
    write_panels(make_panels([make_example(acceleration=2.0)]), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fig4_panels.json", "fig4_panels_R2.png"]


def test_a_figure_from_panels_is_that_from_images(tmp_path):
    examples = [make_example(acceleration=4.0), make_example(1)]
    write_panels(make_panels(examples), tmp_path, caption="whose")
    panels, caption = read_panels(tmp_path)
    render_panels(panels, tmp_path / "one.png", caption=caption)
    render_reconstructions(examples, tmp_path / "two.png", caption="whose")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


@pytest.mark.parametrize("harm", ["gone", "sheet gone", "text", "cut", "other size", "not json"])
def test_damaged_panels_are_refused(tmp_path, harm):
    write_panels(make_panels([make_example()]), tmp_path)
    sheet, description = tmp_path / "fig4_panels_R8.png", tmp_path / "fig4_panels.json"
    if harm == "gone":
        description.unlink()
    elif harm == "sheet gone":
        sheet.unlink()
    elif harm == "text":
        sheet.write_text("text")
    elif harm == "cut":
        sheet.write_bytes(sheet.read_bytes()[:-60])
    elif harm == "other size":
        Image.new("L", (3, 3)).save(sheet)
    else:
        description.write_text(json.dumps({"panels": [{}]}) if harm == "text" else "{")
    with pytest.raises(CsmriError, match=r"fig4_panels\.json: not the panels of figure 4.*`csmri figures` writes them"):
        read_panels(tmp_path)


def test_chosen_is_the_middle_slice_of_the_first_subject():
    places = [("a", 0), ("a", 1), ("a", 4), ("b", 1)]
    examples = [make_example(subject=s, slice=i, acceleration=r) for s, i in places for r in (2.0, 8.0, 4.0)]
    chosen = choose_examples(examples)
    assert [(one.subject, one.slice, one.acceleration) for one in chosen] == [("a", 1, 4.0), ("a", 1, 8.0)]
    assert {one.subject for one in choose_examples(examples, "b")} == {"b"}
    with pytest.raises(CsmriError, match="no examples of c; the examples are of a"):
        choose_examples(examples, "c")
    assert [one.acceleration for one in choose_examples([make_example(acceleration=3.0)])] == [3.0]
    with pytest.raises(CsmriError, match="no examples to draw"):
        choose_examples([])


def test_black_images_can_be_drawn(tmp_path):
    black = np.zeros((3, 20, 24), np.float32)
    render_reconstructions([make_example(reference=black, methods={"initial": black})], tmp_path / "black.png")
    assert (tmp_path / "black.png").stat().st_size > 0
