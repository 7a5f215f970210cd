"""Figures are files, the same records give the same bytes, and examples come back as they were."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from csmri.errors import CsmriError
from csmri.figures import _window, picture_suffix, render_learning_curves, render_reconstructions
from csmri.records import Example, read_examples, write_examples
from csmri.roi import Box

SUFFIXES = [".png", ".svg", ".pdf"]


def make_example(seed=0, **fields):
    rng = np.random.default_rng(seed)
    reference = rng.random((4, 20, 24), np.float32)
    reference[2, 5:10, 6:12] += 3  # the frame that differs most
    methods = {name: rng.random((4, 20, 24), np.float32) for name in ("zero-filled", "initial", "transfer")}
    common = {"subject": "a", "slice": 1, "acceleration": 8.0, "heart_box": Box(4, 5, 8, 9)}
    return Example(**{**common, "reference": reference, "methods": methods, **fields})


def make_logs(factor=1.0):
    return {
        "standalone": [{"epoch": str(i), "nmse": str(factor * 0.01 / i), "val_nmse": str(0.02 / i)} for i in (1, 2, 3)],
        "transfer": [{"epoch": str(i), "nmse": str(0.005 / i)} for i in (1, 2, 3)],
    }


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_same_records_give_the_same_bytes(tmp_path, suffix):
    names = [tmp_path / f"{name}{suffix}" for name in ("one", "two", "other")]
    for path, factor in zip(names, (1.0, 1.0, 1.5), strict=True):
        render_learning_curves(make_logs(factor), path)
    assert digest(names[0]) == digest(names[1]) != digest(names[2])
    for path, seed in zip(names, (0, 0, 1), strict=True):
        render_reconstructions([make_example(seed)], path, caption="numbers at random")
    assert digest(names[0]) == digest(names[1]) != digest(names[2])


def test_pictures_can_be_opened_and_are_not_empty(tmp_path):
    render_learning_curves(make_logs(), tmp_path / "curves.png")
    render_reconstructions([make_example(), make_example(1)], tmp_path / "images.png")
    for name in ("curves.png", "images.png"):
        with Image.open(tmp_path / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert min(pixels.shape[:2]) > 300
        assert len(np.unique(pixels)) > 50


def test_curves_name_their_runs(tmp_path):
    render_learning_curves(make_logs(), tmp_path / "curves.svg")
    text = (tmp_path / "curves.svg").read_text()
    for name in ("<!-- standalone -->", "<!-- standalone, validation -->", "<!-- transfer -->"):
        assert name in text
    assert "<!-- transfer, validation -->" not in text


def test_reconstructions_name_methods_and_subject(tmp_path):
    render_reconstructions([make_example()], tmp_path / "images.svg", caption="whose images")
    text = (tmp_path / "images.svg").read_text()
    for name in ("initial (IR)", "transfer (TL)", "ground truth", "R = 8 · a, slice 1", "whose images"):
        assert f"<!-- {name} -->" in text
    assert "zero-filled" not in text


def test_shown_are_the_moving_frame_and_the_heart_with_a_margin():
    assert _window(make_example()) == (2, Box(0, 1, 16, 17))
    assert _window(make_example(heart_box=Box(12, 15, 8, 9)))[1] == Box(8, 11, 12, 13)  # cut at the border


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


def test_unknown_picture_is_refused():
    assert [picture_suffix(f"dir.x/a{suffix.upper()}") for suffix in SUFFIXES] == SUFFIXES
    for path in ("a.jpg", "a", "png"):
        with pytest.raises(CsmriError, match="cannot tell the format of the picture"):
            picture_suffix(path)
