"""A tree of studies becomes a tree of images: one failing stops no other, and what is done is not done again."""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from click.testing import CliRunner

from csmri.cli import main
from csmri.core.errors import CsmriError
from csmri.core.names import THIS
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace
from csmri.formats import find_cines, read_only, write
from csmri.formats.source import Source
from csmri.run.batch import BEFORE, GONE, HIDDEN, Batch, begin_batch, gone, summary
from csmri.run.executors import Executor
from csmri.run.studies import DONE, FAILED, SKIPPED, Ended, Study, plan_studies

SIZE = 16


def cine(subject, seed=0):
    return Cine(np.random.default_rng(seed).random((1, 4, SIZE, SIZE), np.float32), subject, spacing_mm=(1.5, 1.5))


def kspace(subject, share=0.5):
    rng = np.random.default_rng(1)
    mask = rng.random((1, 4, SIZE)) < share
    mask[..., SIZE // 2] = True
    data = rng.normal(size=(1, 1, 4, SIZE, SIZE)) + 1j * rng.normal(size=(1, 1, 4, SIZE, SIZE))
    return KSpace((data * mask[:, None, :, :, None]).astype(np.complex64), mask, subject)


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    write(root / "ward a" / "p1.npz", cine("p1"))
    write(root / "ward b" / "deep" / "p2.npz", cine("p2", 1))
    write(root / "ward b" / "p3.h5", cine("p3", 2), to="hdf5")
    (root / "ward b" / "broken.npz").write_bytes(b"PK\x03\x04 not an archive")
    (root / "ward b" / "letter.txt").write_text("no cine")
    return root


def make_batch(folder, **options):
    return Batch(folder=str(folder), **{"method": "view-sharing", "to": "npz", "acceleration": 2.0, **options})


def run(batch, root):
    begin_batch(batch, root)
    studies = plan_studies(find_cines(root, axes=batch.axes).sources, root, batch.suffix, batch.records())
    return {one.study: one for one in Executor(THIS).run(batch, studies)}


def images_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.npz"))}


def test_the_tree_keeps_its_shape_and_one_fails_alone(tree, tmp_path):
    ended = run(make_batch(tmp_path / "out"), tree)
    assert {name: one.status for name, one in ended.items()} == {
        "ward a/p1": DONE,
        "ward b/deep/p2": DONE,
        "ward b/p3": DONE,
        "ward b/broken": FAILED,
    }
    assert sorted(images_of(tmp_path / "out")) == ["ward a/p1.npz", "ward b/deep/p2.npz", "ward b/p3.npz"]
    written = read_only(tmp_path / "out/ward b/p3.npz")
    assert written.subject == "p3" and written.magnitude.shape == (1, 4, SIZE, SIZE)
    assert "could not be read as a NumPy archive" in ended["ward b/broken"].reason
    assert ended["ward b/p3"].acceleration == pytest.approx(2, abs=0.3) and ended["ward b/p3"].seconds > 0


def test_what_is_done_is_not_done_again_but_for_other_files(tree, tmp_path):
    folder = tmp_path / "out"
    run(make_batch(folder), tree)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npz")}
    write(tree / "ward a/p1.npz", cine("p1", 7))
    (folder / "ward b/p3.npz").unlink()
    ended = run(make_batch(folder), tree)
    assert (ended["ward b/deep/p2"].status, ended["ward b/deep/p2"].reason) == (SKIPPED, BEFORE)
    assert ended["ward a/p1"].status == ended["ward b/p3"].status == DONE
    assert ended["ward b/broken"].status == FAILED
    changed = {path.name for path in folder.rglob("*.npz") if path.stat().st_mtime_ns != before[path]}
    assert changed == {"p1.npz", "p3.npz"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"acceleration": 4.0}, "acceleration = 2.0, not 4.0"),
        ({"method": "temporal-tv"}, "method = 'view-sharing', not 'temporal-tv'"),
        ({"method": "", "model": {"path": "pretrained-unrolled", "name": "net"}}, "weights_sha256 = None, not"),
        ({"simulated": {"coils": 2}}, "simulated = {}, not"),
        ({"seed": 1}, "seed = 0, not 1"),
        ({"axes": "xyt"}, "axes = None, not 'xyt'"),
    ],
)
def test_another_batch_in_its_folder_is_refused(tmp_path, changes, told):
    first = make_batch(tmp_path / "out")
    begin_batch(first, tmp_path)
    begin_batch(make_batch(tmp_path / "out", **changes), tmp_path)  # of which there is no image
    begin_batch(first, tmp_path)
    study = Study("x", (str(tmp_path / "x.npz"),))
    write(tmp_path / "x.npz", cine("x"))
    assert first.do(study).status == DONE
    begin_batch(make_batch(tmp_path / "out"), tmp_path)  # the same goes on
    with pytest.raises(CsmriError, match=told):
        begin_batch(make_batch(tmp_path / "out", **changes), tmp_path)


def test_a_folder_that_holds_files_is_refused_and_stays(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(CsmriError, match="holds files; choose an empty or new folder"):
        begin_batch(make_batch(tmp_path), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_kspace_is_reconstructed_and_images_are_skipped_where_nothing_is_simulated(tree, tmp_path):
    write(tree / "raw.npz", kspace("raw"))
    ended = run(make_batch(tmp_path / "measured", acceleration=None), tree)
    assert ended.pop("raw").status == DONE and ended.pop("ward b/broken").status == FAILED
    assert {(one.status, "--acceleration simulates" in one.reason) for one in ended.values()} == {(SKIPPED, True)}
    simulated = run(make_batch(tmp_path / "simulated"), tree)["raw"]
    assert simulated.status == SKIPPED and "undersampled as it was measured" in simulated.reason


def source(path, label="", subject=""):
    return Source(path, (path,), "", "", lambda: cine("x"), label=label, subject=subject)


def test_no_two_studies_have_one_place(tmp_path):
    (tmp_path / "series").mkdir()
    places = ["a/one.npz", "a/one.mat", "a/ONE.h5", "two.tar.npz", "a.npz", "a/one.npz.d/x.npz", "a/..strange:name.npz"]
    sources = [source(tmp_path / place) for place in places]
    sources += [source(tmp_path / "series", label) for label in ("series 5 'SAX'", "series 5 /SAX/")]
    names = [study.name for study in plan_studies(sources, tmp_path)]
    assert names[:4] == ["a/one.npz", "a/one.mat", "a/ONE.h5", "two"]
    assert names[4:] == [
        "a_2",
        "a/one.npz.d/x",
        "a/strange_name.npz",
        "series/series 5 _SAX_",
        "series/series 5 _SAX__2",
    ]
    assert plan_studies([source(tmp_path / "series")], tmp_path / "series")[0].name == "series"


@pytest.mark.parametrize("suffix", ["", ".nii.gz"])
def test_no_output_is_inside_another_or_one_of_the_batchs_own(tmp_path, suffix):
    places = ["a.npz", "a.nii.gz/b.npz", "studies.csv.npz", "studies.npz", "x" * 240 + ".npz", "x" * 241 + ".npz"]
    outputs = [f"{one.name}{suffix}" for one in plan_studies([source(tmp_path / p) for p in places], tmp_path, suffix)]
    assert len({*outputs}) == len(places) and "studies.csv" not in outputs
    assert not any(other.startswith(f"{one}/") for one in outputs for other in outputs)
    assert max(map(len, outputs)) < 120


def test_a_further_file_takes_no_name_that_another_has(tree, tmp_path):
    batch = make_batch(tmp_path / "out")
    run(batch, tree)
    write(tree / "ward a" / "p1.h5", cine("p1b", 5), to="hdf5")
    ended = run(make_batch(tmp_path / "out"), tree)
    assert ended["ward a/p1"].reason == BEFORE and ended["ward a/p1.h5"].status == DONE
    (tree / "ward a" / "p1.npz").unlink()
    studies = plan_studies(find_cines(tree).sources, tree, ".npz", batch.records())
    assert [study.name for study in studies if "p1" in study.name] == ["ward a/p1.h5"]
    (row,) = gone(batch.records(), studies)
    assert (row.study, row.status, row.reason) == ("ward a/p1", SKIPPED, GONE)


def test_several_cines_of_one_folder_are_each_their_own(tmp_path):
    """Runs of frames in one folder are joined, and have its path both."""
    for number, name in enumerate(["sax", "lax"]):
        whole = cine(name, number).images
        for frame in range(4):
            image = nibabel.Nifti1Image(whole[0, frame].T[..., None], np.diag([1.5, 1.5, 8, 1]))
            path = tmp_path / "tree" / "run" / f"{name}_frame{frame:02d}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nibabel.save(image, path)
    ended = run(make_batch(tmp_path / "out", method="initial"), tmp_path / "tree")
    assert {one.status for one in ended.values()} == {DONE} and len(ended) == 2
    first, second = (read_only(path).magnitude for path in sorted((tmp_path / "out").rglob("*.npz")))
    assert np.abs(first - second).max() > 0.1


def test_subjects_are_what_the_whole_tree_says(tmp_path):
    for number, name in enumerate(["p1", "p2"]):
        write(tmp_path / "tree" / name / "cine.npz", cine("same", number))
    found = find_cines(tmp_path / "tree", subject_from="folder").sources
    batch = make_batch(tmp_path / "out")
    begin_batch(batch, tmp_path / "tree")
    for study in plan_studies(found, tmp_path / "tree", batch.suffix):
        assert batch.do(study).status == DONE
        assert read_only(tmp_path / "out" / f"{study.name}.npz").subject == study.subject == study.name.split("/")[0]


def test_a_study_that_is_gone_meanwhile_fails_alone(tree, tmp_path):
    batch = make_batch(tmp_path / "out")
    begin_batch(batch, tree)
    lost = Study("gone", (str(tree / "gone.npz"),))
    ended = batch.do(lost)
    assert ended.status == FAILED and "no longer there" in ended.reason
    assert batch.kept(lost) == ended and batch.lost(lost, "why").reason == "why"
    assert replace(batch, run="another").kept(lost).reason == ended.reason


def test_done_by_this_command_is_not_done_before(tree, tmp_path):
    """As where a process dies after it left its record: the study is given out once more."""
    batch = make_batch(tmp_path / "out")
    begin_batch(batch, tree)
    study = Study("p1", (str(tree / "ward a/p1.npz"),))
    assert batch.do(study) == batch.do(study) == batch.kept(study)
    assert replace(batch, run="another").do(study).reason == BEFORE


def test_what_others_put_in_the_way_is_not_replaced(tree, tmp_path):
    batch = make_batch(tmp_path / "out", to="dicom")
    begin_batch(batch, tree)
    study = Study("p1", (str(tree / "ward a/p1.npz"),))
    mine = tmp_path / "out" / "p1" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    ended = batch.do(study)
    assert ended.status == FAILED and "which this study did not write" in ended.reason and mine.exists()


def test_another_tree_in_its_folder_is_refused(tree, tmp_path):
    begin_batch(make_batch(tmp_path / "out"), tree)
    with pytest.raises(CsmriError, match="if that tree has moved, say so in"):
        begin_batch(make_batch(tmp_path / "out"), tmp_path)


def test_a_link_to_nothing_is_told(tree, tmp_path):
    (tree / "ward a" / "dead.npz").symlink_to(tmp_path / "unmounted")
    out = str(tmp_path / "out")
    result = CliRunner().invoke(
        main, ["reconstruct", str(tree), out, "--acceleration", "2", "--method", "initial", "--executor", "this"]
    )
    assert result.exit_code == 3 and "dead.npz: a symbolic link to what is not there" in result.stderr


def test_table_and_summary(tree, tmp_path):
    out = str(tmp_path / "out")
    arguments = ["reconstruct", str(tree), out, "--method", "view-sharing", "--acceleration", "2", "--to", "nifti"]
    result = CliRunner().invoke(main, [*arguments, "--executor", "this"])
    assert result.exit_code == 3, result.output
    assert "failed: ward b/broken:" in result.stderr and "Left out letter.txt" in result.stderr
    assert re.search(r"done +3\nskipped +0\nfailed +1\n", result.stdout)
    rows = list(csv.DictReader((tmp_path / "out/studies.csv").read_text().splitlines()))
    assert [row["study"] for row in rows] == ["ward a/p1", "ward b/broken", "ward b/deep/p2", "ward b/p3"]
    assert rows[0]["output"] == "ward a/p1.nii.gz" and (tmp_path / "out" / rows[0]["output"]).exists()
    again = CliRunner().invoke(main, [*arguments, "--executor", "this"])
    assert again.exit_code == 3 and re.search(r"done +0\nskipped +3\n +3  done before", again.stdout)
    damaged = tmp_path / "out" / HIDDEN / "batch.json"
    damaged.write_text("{")
    again = CliRunner().invoke(main, [*arguments, "--executor", "this"])
    assert again.exit_code == 2 and "choose another folder" in again.stderr


def test_summary_names_who_fails_alone():
    told = summary([Ended("a", DONE), Ended("b", FAILED, "why"), *(Ended(f"c{n}", SKIPPED, BEFORE) for n in "12")])
    assert told.splitlines() == [
        "done          1",
        "skipped       2",
        f"              2  {BEFORE}",
        "failed        1",
        "              1  why (b)",
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--picture", "x.png"], "holds 4 studies; --picture is for one"),
        (["--anonymise", "key"], "--anonymise is for one"),
        (["--executor", "this", "--workers", "2"], "--workers: is for --executor processes"),
        (["--model", "nowhere"], "nowhere"),
        (["--acceleration", "0.5"], "acceleration 0.5 is impossible"),
        (["--beam-options", "--x 'y"], "a quotation mark is not closed"),
    ],
)
def test_what_is_not_for_trees_is_refused_before_any_work(tree, tmp_path, options, told):
    result = CliRunner().invoke(
        main, ["reconstruct", str(tree), str(tmp_path / "out"), "--acceleration", "2", *options]
    )
    assert result.exit_code == 2 and told in result.stderr, result.output
    assert not (tmp_path / "out").exists()


def test_an_output_inside_the_tree_and_one_study_with_workers(tree, tmp_path):
    inside = CliRunner().invoke(main, ["reconstruct", str(tree), str(tree / "out"), "--acceleration", "2"])
    assert inside.exit_code == 2 and "lies inside" in inside.stderr
    one = ["reconstruct", str(tree / "ward a/p1.npz"), str(tmp_path / "o.npz"), "--acceleration", "2", "--workers", "2"]
    result = CliRunner().invoke(main, one)
    assert result.exit_code == 2 and "for a folder of studies" in result.stderr
    wanted = ["reconstruct", str(tree / "ward a"), str(tmp_path / "out"), "--acceleration", "2", "--executor", "this"]
    result = CliRunner().invoke(main, [*wanted, "--method", "initial", "--to", "npz"])
    assert result.exit_code == 0 and (tmp_path / "out/p1.npz").exists(), result.output


@pytest.mark.slow
def test_forty_studies_of_which_five_are_broken_killed_twice(tmp_path):
    """By a signal that cannot be caught; with one process, four, and Apache Beam where it is installed."""
    tree = tmp_path / "tree"
    for number in range(35):
        write(tree / f"ward {number % 3}" / f"p{number}.npz", cine(f"p{number}", number))
    for number in range(5):
        (tree / "ward 1" / f"broken{number}.npz").write_bytes(b"PK\x03\x04 not an archive")

    def command(folder, *options):
        method = ("--method", "temporal-tv", "--acceleration", "2", "--to", "npz")
        return [sys.executable, "-m", "csmri", "reconstruct", str(tree), str(tmp_path / folder), *method, *options]

    def stamps(folder):
        found = [path for path in (tmp_path / folder).rglob("*.npz") if ".partial-" not in path.name]
        return {path: path.stat().st_mtime_ns for path in found}

    done = {}
    for enough in (6, 18):
        killed = command("killed", "--workers", "4")
        with subprocess.Popen(killed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            until = time.monotonic() + 200
            while len(stamps("killed")) < enough and time.monotonic() < until:
                time.sleep(0.005)
            os.kill(process.pid, signal.SIGKILL)
        time.sleep(2.5)  # its workers end by themselves
        before, done = done, stamps("killed")
        assert enough <= len(done) < 35
        assert sum(done.get(path) == stamp for path, stamp in before.items()) >= len(before) - 4, "work was repeated"
    last = subprocess.run(command("killed", "--workers", "4"), capture_output=True, text=True)
    assert last.returncode == 3, last.stderr
    after = stamps("killed")
    # What was written but not yet recorded when a worker died is done again: at most one study a worker.
    assert sum(after[path] == stamp for path, stamp in done.items()) >= len(done) - 4
    with (tmp_path / "killed" / "studies.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["study"] for row in rows if row["status"] == FAILED) == [f"ward 1/broken{n}" for n in range(5)]
    assert all("NumPy archive" in row["reason"] for row in rows if row["status"] == FAILED)
    assert len(after) == 35 == sum(row["status"] in (DONE, SKIPPED) for row in rows)
    assert not [path for path in (tmp_path / "killed").rglob("*") if ".partial-" in path.name]

    ways = {"one": ("--workers", "1"), "this": ("--executor", "this")}
    if importlib.util.find_spec("apache_beam") is not None:
        beam = "--direct_running_mode=multi_processing --direct_num_workers=2"
        ways["beam"] = ("--executor", "beam", "--beam-options", beam)
    for folder, options in ways.items():
        assert subprocess.run(command(folder, *options), capture_output=True).returncode == 3
        assert images_of(tmp_path / folder) == images_of(tmp_path / "killed")
