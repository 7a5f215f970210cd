"""Figures are files, the same records give the same bytes, and examples come back as they were."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import warnings
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from PIL import Image

from csmri.core.errors import CsmriError
from csmri.data.roi import Box
from csmri.results.figures import picture_suffix, render_blocks, render_learning_curves, render_reconstructions
from csmri.results.figures.boxes import render_heart_boxes
from csmri.results.figures.pictures import legend_label, new_figure
from csmri.results.folder import Example, Results, read_examples, read_results, write_examples

SUFFIXES = [".png", ".svg", ".pdf"]


def make_example(seed=0, **fields):
    rng = np.random.default_rng(seed)
    reference = rng.random((4, 20, 24), np.float32)
    reference[2, 5:10, 6:12] += 3  # the frame that differs most
    methods = {name: rng.random((4, 20, 24), np.float32) for name in ("zero-filled", "initial", "transfer")}
    common = {"subject": "a", "slice": 1, "acceleration": 8.0, "heart_box": Box(4, 5, 8, 9)}
    return Example(**{**common, "reference": reference, "methods": methods, **fields})


def make_results(path, factor=1.0, names=("standalone", "transfer"), seeds=(0,)):
    logs = {
        (name, seed): [
            {
                "epoch": str(i),
                "nmse": str(factor * 0.01 / i / (number + 1) + seed * 1e-3),
                "val_nmse": "0.02",
                **dict.fromkeys(("initial_nmse", "val_initial_nmse"), "0.04"),
            }
            for i in (1, 2, 3)
        ]
        for number, name in enumerate(names)
        for seed in seeds
    }
    return Results(path, None, logs, ())


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_same_records_give_the_same_bytes(tmp_path, suffix):
    names = [tmp_path / f"{name}{suffix}" for name in ("one", "two", "other")]
    for path, factor in zip(names, (1.0, 1.0, 1.5), strict=True):
        with matplotlib.rc_context({"font.size": 20 * factor, "svg.fonttype": "none"}):  # whoever draws
            render_learning_curves(make_results(tmp_path, factor if path is names[2] else 1.0), path)
    assert digest(names[0]) == digest(names[1]) != digest(names[2])
    for path, seed in zip(names, (0, 0, 1), strict=True):
        render_reconstructions([make_example(seed)], path, caption="numbers at random")
    assert digest(names[0]) == digest(names[1]) != digest(names[2])
    for path in names[:2]:
        render_blocks(path)
    assert digest(names[0]) == digest(names[1])


def test_settings_of_the_user_do_not_reach_a_figure_nor_a_figure_the_settings(tmp_path):
    render_blocks(tmp_path / "one.png")
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 5, "figure.facecolor": "red"}):
        render_blocks(tmp_path / "two.png")
        assert matplotlib.rcParams["font.size"] == 20
    assert digest(tmp_path / "one.png") == digest(tmp_path / "two.png")


def test_pictures_can_be_opened_and_are_not_empty(tmp_path):
    render_learning_curves(make_results(tmp_path), tmp_path / "curves.png")
    render_reconstructions([make_example(), make_example(1)], tmp_path / "images.png")
    render_blocks(tmp_path / "blocks.png")
    for name in ("curves.png", "images.png", "blocks.png"):
        with Image.open(tmp_path / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert min(pixels.shape[:2]) > 300
        assert len(np.unique(pixels)) > 50


def test_no_figure_needs_tensorflow():
    script = (
        "import sys, csmri.results.figures, csmri.results.tables; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


# --- figure 2


def test_block_diagrams_name_every_step(tmp_path):
    render_blocks(tmp_path / "blocks.svg")
    text = (tmp_path / "blocks.svg").read_text()
    steps = ("(a) learning", "(b) reconstruction", "Fourier", "undersampling", "interpolation", "magnitude", "U-net")
    for name in (*steps, "normalisation", "loss", "inverse", r"$(2\hat{T}-1)\,\max\,I$", r"$\frac{I}{\max\,I}$"):
        assert f"<!-- {name}" in text or f"{name} -->" in text, name


# --- figure 3


def comments(path):
    return [line.split("<!-- ")[1].split(" -->")[0] for line in path.read_text().splitlines() if "<!-- " in line]


def test_curves_name_their_runs(tmp_path):
    results = make_results(tmp_path, names=("pretrain", "standalone", "transfer", "mine"))
    for row in results.logs["transfer", 0]:
        del row["val_nmse"]
    render_learning_curves(results, tmp_path / "curves.svg")
    found = comments(tmp_path / "curves.svg")
    for name in ("standalone", "standalone, validation", "transfer: 1.5×, epoch 2", "mine", "mine, validation"):
        assert name in found
    assert "standalone after 3 epochs: 0.0417" in found
    assert not [name for name in found if name.startswith(("pretrain", "transfer, validation"))]


def test_pretraining_alone_is_drawn(tmp_path):
    render_learning_curves(make_results(tmp_path, names=("pretrain",)), tmp_path / "curves.svg")
    assert "pretrain" in comments(tmp_path / "curves.svg")


def test_curves_of_a_study_carry_savings_and_seeds(study_results, tmp_path):
    render_learning_curves(read_results(study_results), tmp_path / "curves.svg", caption="whose data")
    found = comments(tmp_path / "curves.svg")
    assert "mean, lowest and highest of 2 seeds" in found
    for name in (
        "transfer 2: 2×, epoch 5",
        "transfer 5: 5×, epoch 2",
        "standalone after 10 epochs: 0.1",
        "whose data",
    ):
        assert name in found
    marks = re.findall(r"fill: #ffffff; stroke: #[0-9a-f]{6}; stroke-width: 1.6", (tmp_path / "curves.svg").read_text())
    assert len(set(marks)) == 2  # one a transfer, in its colour


# --- examples and pictures


def test_examples_come_back(tmp_path):
    examples = [make_example(), make_example(1, subject="b", slice=0, acceleration=4.5)]
    write_examples(examples, tmp_path / "examples.npz")
    back = read_examples(tmp_path / "examples.npz")
    assert len(back) == 2
    for one, other in zip(examples, back, strict=True):
        for name in ("subject", "slice", "acceleration", "heart_box"):
            assert getattr(other, name) == getattr(one, name)
        np.testing.assert_array_equal(other.reference, one.reference)
        assert list(other.methods) == list(one.methods)
        for name in one.methods:
            np.testing.assert_array_equal(other.methods[name], one.methods[name])


@pytest.mark.parametrize("content", [None, b"", b"text", b"PK\x03\x04 cut"])
def test_damaged_examples_are_refused(tmp_path, content):
    path = tmp_path / "examples.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CsmriError, match=r"examples\.npz: not the examples"):
        read_examples(path)


def test_examples_of_something_else_are_refused(tmp_path):
    np.savez(tmp_path / "examples.npz", **{"0/reference": np.ones(3)})
    with pytest.raises(CsmriError, match="not the examples"):
        read_examples(tmp_path / "examples.npz")


def test_unknown_picture_is_refused(tmp_path):
    assert [picture_suffix(f"dir.x/a{suffix.upper()}") for suffix in SUFFIXES] == SUFFIXES
    for path in ("a.jpg", "a", "png"):
        with pytest.raises(CsmriError, match="cannot tell the format of the picture"):
            picture_suffix(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(CsmriError, match=r"blocks\.png: could not be written \(.*file is no folder\)"):
        render_blocks(tmp_path / "file" / "blocks.png")


def test_text_of_the_user_is_drawn_as_it_is(tmp_path, study_results):
    """Dollar signs make no mathematics of names and captions, and an underscore hides none from a legend."""
    odd = "$\\foo$ a|b _c"
    text = []
    with new_figure(tmp_path / "a.svg") as figure:
        axes = figure.subplots()
        axes.plot([0, 1], label=legend_label(f"_{odd}"))
        text += [axes.set_title(odd), figure.text(0.5, 0.5, odd), axes.annotate(odd, (0, 0))]
        text += axes.legend().get_texts()
        axes.set_xlabel(odd)
    assert [one.get_text() for one in text] == [odd, odd, odd, f" _{odd}"]
    (study_results / "runs" / "seed_0" / "standalone").rename(study_results / "runs" / "seed_0" / odd)
    render_learning_curves(read_results(study_results), tmp_path / "curves.png", caption=odd)
    example = read_results(study_results).examples[0]
    methods = {odd: example.reference, f"_{odd}": example.reference}
    render_reconstructions([replace(example, subject=odd, methods=methods)], tmp_path / "images.png", caption=odd)
    render_heart_boxes([(odd, example.reference[0], example.reference[0], Box(8, 9, 15, 12))], tmp_path / "boxes.png")


def test_letters_that_the_font_lacks_are_no_warning(tmp_path):
    with new_figure(tmp_path / "a.png") as figure, warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.text(0.5, 0.5, "心臓")


def test_mathematics_is_for_figures_without_text_of_the_user(tmp_path):
    with new_figure(tmp_path / "a.png", math=True) as figure:
        assert figure.text(0, 0, "$x$").get_parse_math()
    with new_figure(tmp_path / "a.png") as figure:
        assert not figure.text(0, 0, "$x$").get_parse_math()
