"""The scripts beside the results redraw what `csmri figures` drew, without the pixels of the data set."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from csmri.cli import main
from csmri.data.records import Timing, write_timings
from csmri.results.draw import draw
from csmri.results.figures import read_panels
from csmri.results.folder import read_results
from csmri.results.products import Wish
from csmri.results.tables import Areas, write_areas

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
SCRIPTS = sorted([*RESULTS.glob("fig*_*.py"), *RESULTS.glob("table*_*.py"), RESULTS / "methods_table.py"])
MADE = {
    **{name: (".png",) for name in ("fig1_unet", "fig2_blocks", "fig3_learning_curves", "fig4_reconstructions")},
    **{name: (".md", ".tex") for name in ("table1_hyperparameters", "table2_nmse", "methods")},
}
PRODUCTS = {**{name.partition("_")[0]: name for name in MADE}, "area": "area"}
PRODUCTS |= {name: name for name in ("savings", "transfer", "transfer_curves")}
OF_SCRIPT = {"methods": "methods_table"}
SUNNYBROOK = "Data: Sunnybrook Cardiac Data, Radau et al., The MIDAS Journal 2009, hdl 10380/3070 (CC0)"
ACDC = "Data: ACDC, Bernard et al., IEEE TMI 2018, doi 10.1109/TMI.2018.2837502 (CC BY-NC-SA 4.0)"
CAPTIONS = {
    "results/beyond": ACDC,
    "results/beyond/transfer_curves": ACDC,
    "results/beyond/sunnybrook": SUNNYBROOK,
    "results/beyond/sunnybrook_coils": SUNNYBROOK,
    "results/pretrained": SUNNYBROOK,
}
"""As in run.sh; other folders keep their caption with study or panels."""


def files_of(folder, names=tuple(MADE)):
    found = [path for name in names for path in folder.glob(f"{name}.*")]
    return {path.name: path for path in found if path.suffix in (".png", ".svg", ".pdf", ".md", ".tex")}


RUNNER = """
import runpy, sys
folder, *scripts = sys.argv[1:]
for script in scripts:
    sys.argv = [script, folder]
    runpy.run_path(script, run_name="__main__")
"""


def run(folder, *scripts):
    """Run scripts, one after the other in a process of their own: importing TensorFlow and matplotlib takes seconds."""
    return subprocess.run(
        [sys.executable, "-c", RUNNER, folder, *scripts], cwd=folder, capture_output=True, text=True, check=False
    )


def test_there_is_a_small_script_a_figure():
    assert [script.stem for script in SCRIPTS] == sorted(OF_SCRIPT.get(name, name) for name in MADE)
    assert all(len(script.read_text().splitlines()) <= 25 for script in SCRIPTS)


def time_methods(results):
    """Add the times that `csmri evaluate` would have measured."""
    records = {(r.subject, r.slice, r.acceleration, r.method) for r in read_results(results).records}
    write_timings([Timing(*cine, 4, 32, 32, 0.5) for cine in sorted(records)], results / "seconds.csv.xz")
    (results / "evaluation.json").write_text(json.dumps({"parameters": {"standalone": 1000}}))


@pytest.mark.slow
def test_command_draws_all_and_scripts_draw_it_again(study_results, tmp_path):
    time_methods(study_results)
    result = CliRunner().invoke(main, ["figures", str(study_results), "--caption", "not used where a study has one"])
    assert result.exit_code == 0, result.output
    made = files_of(study_results)
    assert set(made) == {f"{name}{suffix}" for name, suffixes in MADE.items() for suffix in suffixes}
    for line in (*(f"{path}: written" for path in made.values()), "| p, sign-flip test", "| transfer 5 (TL5)"):
        assert line in result.stdout
    assert "Numerical phantoms of csmri" in (study_results / "fig4_panels.json").read_text()

    clone = shutil.copytree(study_results, tmp_path / "clone")
    (clone / "examples.npz").unlink()
    for path in files_of(clone).values():
        path.unlink()
    done = run(clone, *SCRIPTS)
    assert (done.returncode, done.stderr) == (0, "")
    assert "transfer_5 as good as standalone after N = 10 epochs: 5×, epoch 2" in done.stdout
    again = files_of(clone)
    assert set(again) == set(made)
    assert [name for name in made if again[name].read_bytes() != made[name].read_bytes()] == []


def test_hand_made_results_have_what_their_records_give(study_results):
    for name in ("study.toml", "examples.npz"):
        (study_results / name).unlink()
    shutil.rmtree(study_results / "runs")
    result = CliRunner().invoke(main, ["figures", str(study_results)])
    assert result.exit_code == 0, result.output
    assert {name.partition(".")[0] for name in files_of(study_results)} == {"fig1_unet", "fig2_blocks", "table2_nmse"}
    assert "saving" not in result.stdout


def test_caption_of_hand_made_results_stays_with_the_panels(study_results):
    (study_results / "study.toml").unlink()
    draw(study_results, ["fig4"], Wish(caption="mine"))
    (study_results / "examples.npz").unlink()
    draw(study_results, ["fig4"], Wish(formats=("svg",)))
    assert "<!-- mine -->" in (study_results / "fig4_reconstructions.svg").read_text()


def test_command_shows_the_methods_it_is_told_to(study_results):
    command = ["figures", str(study_results), "--show", "transfer_2", "--show", "initial"]
    assert CliRunner().invoke(main, command).exit_code == 0
    assert read_panels(study_results)[0][0].methods == ("transfer_2", "initial")
    result = CliRunner().invoke(main, [*command, "--show", "unet"])
    assert (result.exit_code, "cannot show unet" in result.stderr) == (2, True)
    (study_results / "examples.npz").unlink()
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, "has no examples.npz" in result.stderr) == (2, True)


@pytest.mark.parametrize("name", ["area.csv.xz", "area.csv.gz", "area.csv"])
def test_areas_are_drawn_again_without_the_data(tmp_path, name):
    wave = np.cos(np.arange(6) * np.pi / 3)
    curves = {"ground truth": 600 + 200 * wave, "mine": 600 + 150 * wave}
    one = Areas("SCD0000301", 8, 8.0, 40.0 * np.arange(6), curves, {0: (900.0, 800.0), 3: (450.0, 400.0)})
    write_areas([one], tmp_path / name)
    command = ["figures", str(tmp_path), "--only", "area"]
    done = CliRunner().invoke(main, command)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "| mine " in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "area.md", "area.png", "area.tex"])
    (tmp_path / name).unlink()
    done = CliRunner().invoke(main, command)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "has no area.csv.xz; `csmri figures --only area --cine CINE --outlines OUTLINES` measures" in done.stderr


@pytest.mark.parametrize(
    ("script", "missing", "message"),
    [
        ("fig3_learning_curves", "runs", "has no logs runs/seed_"),
        ("fig4_reconstructions", "examples.npz", "has neither examples.npz nor fig4_panels.json"),
        ("table1_hyperparameters", "study.toml", "has no study.toml"),
        ("table2_nmse", "records.csv", "has no records.csv.xz"),
        ("methods_table", "seconds.csv.xz", "lacks records.csv.xz or seconds.csv.xz"),
    ],
)
def test_scripts_say_what_is_missing(study_results, script, missing, message):
    path = study_results / missing
    if path.exists():
        (shutil.rmtree if path.is_dir() else Path.unlink)(path)
    done = run(study_results, RESULTS / f"{script}.py")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"{script}.py: {study_results}" in done.stderr
    assert message in done.stderr


def committed(*patterns):
    """Paths of the repository that are committed; none outside a git checkout."""
    try:
        command = ["git", "ls-files", "-z", *patterns]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [Path(name) for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


def committed_results():
    """Folders with figures or tables that can be drawn again."""
    return sorted(
        {
            path.parent.as_posix()
            for path in committed("results")
            if path.suffix == ".png" and path.stem in PRODUCTS.values()
        }
    )


def is_the_same(one, other):
    """Tables to the byte; of pictures what does not depend on the versions of matplotlib, FreeType and Pillow.

    That is the pixels but for a few at the edges of letters and lines.
    """
    if one.suffix != ".png":
        return one.read_bytes() == other.read_bytes()
    a, b = pixels(one), pixels(other)
    return a.shape == b.shape and float(np.mean(np.abs(a - b) > 32)) < 5e-3


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), np.int16)


@pytest.mark.parametrize(
    "folder",
    # One of them draws nearly all there is.
    [pytest.param(one, marks=[] if one == "results/acdc" else pytest.mark.slow) for one in committed_results() or [""]],
)
def test_committed_figures_are_those_of_their_records(folder, tmp_path):
    """In a fresh clone: without the images of the data set."""
    if not folder:
        pytest.skip("no results are committed")
    kept = [path for path in committed(folder) if path.name != "report.html"]
    copy = tmp_path / "copy"
    for path in kept:
        place = copy / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, place)
    before = {name: shutil.move(path, tmp_path / name) for name, path in files_of(copy, PRODUCTS.values()).items()}
    names = [name for name, stem in PRODUCTS.items() if any(file.startswith(f"{stem}.") for file in before)]
    draw(copy, names, Wish(CAPTIONS.get(folder, "")))
    again = files_of(copy, PRODUCTS.values())
    assert set(again) == set(before)
    assert [name for name in before if not is_the_same(before[name], again[name])] == []


def test_committed_results_are_small():
    """Tables are compressed, and what can be drawn again in another format is not kept."""
    files = committed("results")
    if not files:
        pytest.skip("no results are committed")
    assert sum((ROOT / path).stat().st_size for path in files) < 12e6
    plain = {"records.csv", "source_records.csv", "seconds.csv", "area.csv"}
    assert [path for path in files if path.suffix in (".svg", ".pdf", ".npz") or path.name in plain] == []
    assert {path for path in files if path.suffix == ".py"} == {path.relative_to(ROOT) for path in SCRIPTS}
