"""Phantoms drawn beside other cines, from the command line too."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from csmri.cli import main
from csmri.data.cine import Cine
from csmri.formats import write
from csmri.results.figures import render_phantoms
from csmri.results.figures.phantoms import base_first, dynamic_fraction, most_contracted

SMALL = ["--size", "32", "--slices", "2", "--frames", "4"]


def make_cine(subject="somebody", n_slices=4, matrix=(20, 16)):
    images = np.full((n_slices, 6, *matrix), 0.5, np.float32)
    images[: n_slices // 2, :, 5:12, 4:10] += np.array([1, 0.7, 0.3, 0, 0.4, 0.9], np.float32)[:, None, None]
    return Cine(images, subject)


def test_base_is_where_more_moves():
    images = make_cine().images
    np.testing.assert_array_equal(base_first(images), images)
    np.testing.assert_array_equal(base_first(images[::-1]), images)
    assert base_first(images[:1]).shape == images[:1].shape


def test_the_most_contracted_frame_is_least_like_the_first():
    assert most_contracted(make_cine().images[0]) == 3


def test_share_of_the_energy_that_varies():
    images = np.array([3.0, 1.0], np.float32).reshape(1, 2, 1, 1)
    assert dynamic_fraction(images) == pytest.approx(0.2)  # 2 of 10
    assert dynamic_fraction(np.zeros_like(images)) == 0


def test_picture_has_a_row_a_cine(tmp_path):
    cines = [make_cine("real $x_1$"), make_cine("a phantom", n_slices=1, matrix=(15, 21))]
    render_phantoms(cines, tmp_path / "two.svg", caption="whose images")
    text = (tmp_path / "two.svg").read_text()
    for line in ("real $x_1$", "a phantom", "towards the apex", "% of the energy varies"):
        assert line in text
    assert "Phantoms show no real person. whose images -->" in text


def test_command_draws_its_phantoms_beside_a_cine(tmp_path):
    write(tmp_path / "real.npz", make_cine())
    command = ["phantom", str(tmp_path / "out"), "--domain", "k", "--subjects", "4", *SMALL]
    options = ["--picture", str(tmp_path / "all.svg"), "--beside", str(tmp_path / "real.npz"), "--caption", "mine"]
    done = CliRunner().invoke(main, [*command, *options])
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    assert f"{tmp_path}/all.svg: written" in done.stdout
    text = (tmp_path / "all.svg").read_text()
    shown = [name for name in ("somebody", *(f"k_phantom_00{i}" for i in range(4))) if f"<!-- {name}" in text]
    assert shown == ["somebody", "k_phantom_000", "k_phantom_001", "k_phantom_002"]
    assert "mine" in text
    assert len(list((tmp_path / "out").iterdir())) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--beside", "real.npz"], "--beside and --caption are for the picture"),
        (["--picture", "all.xyz"], "all.xyz: cannot tell the format of the picture"),
        (["--picture", "all.png", "--beside", "none.npz"], "none.npz: "),
        (["--picture", "real.png", "--beside", "real.png"], "real.png: is what is read"),
    ],
)
def test_command_refuses_before_it_works(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real.png").write_bytes(b"")
    done = CliRunner().invoke(main, ["phantom", "out", "--domain", "k", "--subjects", "1", *SMALL, *options])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
    assert message in done.stderr
    assert not (tmp_path / "out").exists()
