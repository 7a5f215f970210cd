"""No command line ends in a traceback: one line says what is wrong, the exit code is 2, nothing half-written stays."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from csmri.cli import _Commands, endings, main
from csmri.config import make_config
from csmri.core.errors import CsmriError
from csmri.core.files import check_outputs
from csmri.data.cine import Cine
from csmri.data.records import UNTRAINED, Record, write_records
from csmri.data.roi import Box
from csmri.formats import write
from csmri.results.folder import Example, write_examples

LONG = "x" * 300
RECONSTRUCT = "reconstruct {w}/cine.npz {o}/out.npz --method initial --acceleration 4"
TRAIN = "train {w}/good.toml --store {w}/store --out {o}/run"
PHANTOM = "phantom {o}/p --domain k --subjects 1"

# Command line after `csmri`, and what standard error must hold. {w} are the files below, {o} an empty folder, ~ is a
# blank inside an argument, {nul} the character NUL, {long} a too long for a file.
REFUSED = {
    # paths that no system has
    "inspect-nul": ("inspect a{nul}b", "NUL"),
    "inspect-long": ("inspect {w}/{long}", "too long"),
    "phantom-nul": ("phantom a{nul}b --domain k --subjects 1", "NUL"),
    "phantom-long": ("phantom {o}/{long} --domain k --subjects 1 --size 32 --slices 1 --frames 2", "too long"),
    "prepare-nul-source": ("prepare a{nul}b {o}/store --split {w}/split.toml", "NUL"),
    "prepare-nul-store": ("prepare {w}/cine.npz {o}/a{nul}b --split {w}/split.toml", "NUL"),
    "prepare-nul-split": ("prepare {w}/cine.npz {o}/store --split a{nul}b", "NUL"),
    "prepare-long-store": ("prepare {w}/cine.npz {o}/{long} --split {w}/split.toml", "too long"),
    "prepare-long-outlines": (
        "prepare {w}/cine.npz {o}/store --split {w}/split.toml --outlines k_phantom_002={w}/{long}",
        f"{LONG}: File name too long",
    ),
    "train-nul-config": ("train a{nul}b --store {w}/store --out {o}/run", "NUL"),
    "train-nul-store": ("train {w}/good.toml --store a{nul}b --out {o}/run", "NUL"),
    "train-long-store": ("train {w}/good.toml --store {w}/{long} --out {o}/run", "too long"),
    "train-long-run": ("train {w}/good.toml --store {w}/store --out {o}/{long}", "too long"),
    "train-nul-init": (f"{TRAIN} --init a{{nul}}b", "NUL"),
    "reconstruct-nul-source": ("reconstruct a{nul}b {o}/out.npz --method initial --acceleration 4", "NUL"),
    "reconstruct-nul-output": (
        "reconstruct {w}/cine.npz {o}/a{nul}b.npz --method initial --acceleration 4",
        "NUL",
    ),
    "reconstruct-long-output": (
        "reconstruct {w}/cine.npz {o}/{long}.npz --method initial --acceleration 4",
        "too long",
    ),
    "reconstruct-long-picture": (f"{RECONSTRUCT} --picture {{o}}/{{long}}.png", "too long"),
    "reconstruct-nul-model": ("reconstruct {w}/cine.npz {o}/out.npz --model a{nul}b --acceleration 4", "NUL"),
    "evaluate-nul-store": ("evaluate a{nul}b --out {o}/results", "NUL"),
    "evaluate-long-out": ("evaluate {w}/store --out {o}/{long}", "too long"),
    "export-nul": ("export a{nul}b {o}/model", "NUL"),
    "export-long": ("export {w}/{long} {o}/model", "too long"),
    "figures-nul": ("figures a{nul}b", "NUL"),
    "figures-long": ("figures {w}/{long}", "too long"),
    "report-long": ("report {w}/{long}", "too long"),
    "report-nul-out": ("report {w}/results --out a{nul}b.html", "NUL"),
    "study-nul": ("study a{nul}b --out {o}/study", "NUL"),
    "study-long-out": ("study {w}/study.toml --out {o}/{long}", "too long"),
    "transfer-long": ("transfer {w}/{long} --out {o}/study", "too long"),
    # a file for a folder, a folder for a file, nothing in a file
    "phantom-below-a-file": ("phantom {w}/notes.txt/p --domain k --subjects 1", "notes.txt is no folder"),
    "prepare-below-a-file": ("prepare {w}/cine.npz {w}/notes.txt/s --split {w}/split.toml", "notes.txt is no folder"),
    "prepare-folder-as-split": ("prepare {w}/cine.npz {o}/store --split {w}", "cannot read the split"),
    "train-below-a-file": ("train {w}/good.toml --store {w}/store --out {w}/notes.txt/run", "notes.txt is no folder"),
    "train-folder-as-config": ("train {w} --store {w}/store --out {o}/run", "cannot read the config"),
    "reconstruct-below-a-file": (
        "reconstruct {w}/cine.npz {w}/notes.txt/out.npz --method initial --acceleration 4",
        "notes.txt is no folder",
    ),
    "reconstruct-picture-below-a-file": (f"{RECONSTRUCT} --picture {{w}}/notes.txt/a.png", "notes.txt is no folder"),
    "reconstruct-onto-a-folder": (
        "reconstruct {w}/cine.npz {w}/folder.npz --method initial --acceleration 4",
        "is a folder",
    ),
    "reconstruct-picture-onto-a-folder": (f"{RECONSTRUCT} --picture {{w}}/folder.png", "folder.png: is a folder"),
    "reconstruct-folder-as-source": ("reconstruct {w} {o}/out.npz --method initial --acceleration 4", "cines"),
    "reconstruct-empty-file": (
        "reconstruct {w}/empty.npz {o}/out.npz --method initial --acceleration 4",
        "empty.npz: ",
    ),
    "inspect-unreadable": ("inspect {w}/loop.npz", "loop.npz"),
    "inspect-empty-file": ("inspect {w}/empty.npz", "empty.npz: the file is empty"),
    "train-empty-config": ("train {w}/empty.toml --store {w}/missing --out {o}/run", "missing: not a prepared store"),
    "study-of-another-kind": ("study {w}/split.toml --out {o}/study", "unknown key 'test'"),
    "transfer-empty": ("transfer {w}/empty.toml --out {o}/study", "store is missing; name a prepared store"),
    "evaluate-below-a-file": ("evaluate {w}/store --out {w}/notes.txt/results", "notes.txt"),
    "export-below-a-file": ("export {w}/run {w}/notes.txt/model", "notes.txt is no folder"),
    "export-onto-a-folder": ("export {w}/run {w}/folder.npz", "exists already"),
    "figures-of-a-file": ("figures {w}/notes.txt", "no such folder"),
    "report-of-a-file": ("report {w}/notes.txt", "notes.txt"),
    "report-below-a-file": ("report {w}/results --out {w}/notes.txt/a.html", "notes.txt is no folder"),
    "report-folder-as-examples": ("report {w}/results --examples {w}", "not the examples"),
    # numbers
    "phantom-huge": (f"{PHANTOM} --size 100000", "size must be at most 2048"),
    "phantom-many-frames": (f"{PHANTOM} --size 32 --slices 1 --frames 999999999", "ask for fewer slices or frames"),
    "phantom-many-slices": (f"{PHANTOM} --size 2048 --slices 99 --frames 99", "ask for fewer slices or frames"),
    "phantom-many-subjects": ("phantom {o}/p --domain k --subjects 99999999999999999999", "--subjects"),
    "phantom-far": (f"{PHANTOM} --first 99999999999999999999", "--first"),
    "phantom-seed": (f"{PHANTOM} --seed 99999999999999999999", "--seed"),
    "phantom-seed-just-too-large": (f"{PHANTOM} --seed {2**31}", "--seed"),
    "reconstruct-seed": (f"{RECONSTRUCT} --seed 9223372036854775808", "--seed"),
    "reconstruct-negative-seed": (f"{RECONSTRUCT} --seed -1", "--seed"),
    "reconstruct-infinite": (
        "reconstruct {w}/cine.npz {o}/out.npz --method initial --acceleration inf",
        "acceleration inf is impossible",
    ),
    "reconstruct-negative": (
        "reconstruct {w}/cine.npz {o}/out.npz --method initial --acceleration=-4",
        "acceleration -4 is impossible",
    ),
    "reconstruct-weight-nan": (
        "reconstruct {w}/cine.npz {o}/out.npz --model {w}/model --consistency soft --consistency-weight nan "
        "--acceleration 4",
        "consistency_weight",
    ),
    "evaluate-nan": ("evaluate {w}/store --out {o}/results --acceleration nan", "acceleration nan is impossible"),
    "evaluate-weight-inf": ("evaluate {w}/model@soft:inf {w}/store --out {o}/results", "consistency_weight"),
    "report-no-slice": ("report {w}/results --slices 0", "--slices"),
    # names
    "line-feed-in-a-name": ("inspect {w}/a{feed}b", r"a\nb: no such file"),
    "letters-of-others": ("inspect {w}/心臓~♥.npz", "心臓 ♥.npz: no such file"),
    "no-text-in-a-name": ("inspect {w}/a\udcffb", r"a\udcffb: no such file"),
    # what is read is not written over
    "reconstruct-onto-itself": ("reconstruct {w}/cine.npz {w}/cine.npz --method initial --acceleration 4", "is read"),
    "reconstruct-onto-itself-by-a-way-round": (
        "reconstruct {w}/cine.npz {w}/folder.npz/../cine.npz --method initial --acceleration 4",
        "is what is read",
    ),
    "reconstruct-onto-a-link": (
        "reconstruct {w}/cine.npz {w}/link.npz --method initial --acceleration 4",
        "is what is read",
    ),
    "reconstruct-onto-a-hard-link": (
        "reconstruct {w}/cine.npz {w}/hard.npz --method initial --acceleration 4",
        "is what is read",
    ),
    "reconstruct-into-its-folder": (
        "reconstruct {w}/dicom {w}/dicom/out.npz --method initial --acceleration 4",
        "lies inside",
    ),
    "reconstruct-into-its-model": (
        "reconstruct {w}/cine.npz {w}/model/out.npz --model {w}/model --acceleration 4",
        "lies inside",
    ),
    "reconstruct-picture-onto-the-input": (f"{RECONSTRUCT} --picture {{w}}/picture.png", "is what is read"),
    "reconstruct-picture-onto-the-output": (
        "reconstruct {w}/cine.npz {w}/other.npz --method initial --acceleration 4 --picture {w}/other.png",
        "written twice",
    ),
    "prepare-into-dicom": ("prepare {w}/dicom {w}/dicom/store --split {w}/split.toml", "lies inside"),
    "train-into-its-store": ("train {w}/good.toml --store {w}/store --out {w}/store/run", "lies inside"),
    "train-into-its-start": (
        "train {w}/good.toml --store {w}/store --out {w}/model/run --init {w}/model",
        "lies inside",
    ),
    "report-onto-its-records": ("report {w}/results --out {w}/results/records.csv", "a page of HTML"),
    "report-onto-its-examples": ("report {w}/results --out {w}/records.html", "is what is read"),
    # options that contradict each other
    "train-source-of-no-blend": (f"{TRAIN} --source {{w}}/store", "--source is blended in by"),
    "reconstruct-weight-without-model": (f"{RECONSTRUCT} --consistency-weight 3", "--consistency is for networks"),
    "evaluate-weight-of-nothing": (
        "evaluate {w}/model {w}/store --out {o}/results --consistency-weight 3",
        "a weight is of soft data consistency",
    ),
    "no-such-option": ("phantom {o}/p --domains k", "No such option"),
    "no-such-command": ("evalute", "No such command"),
    "nothing": ("evaluate", "Missing argument"),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory, cines, store, run) -> Path:
    folder = tmp_path_factory.mktemp("no_traceback")
    (folder / "good.toml").write_text("base_channels = 2\ndepth = 2\nepochs = 1\n")
    (folder / "study.toml").write_text("pretrain_store = 'nowhere'\ntarget_store = 'nowhere'\n")
    (folder / "split.toml").write_text("test = ['k_phantom_002']\n")
    (folder / "notes.txt").write_text("no cine\n")
    for name in ("empty.npz", "empty.toml"):
        (folder / name).write_text("")
    for name in ("folder.npz", "folder.png", "results"):
        (folder / name).mkdir()
    write(folder / "cine.npz", cines["k_phantom_002"])
    write(folder / "second.npz", cines["k_phantom_003"])
    (folder / "link.npz").symlink_to("cine.npz")
    (folder / "loop.npz").symlink_to("loop.npz")
    (folder / "other.png").symlink_to("other.npz")
    for name in ("hard.npz", "picture.png"):
        os.link(folder / "cine.npz", folder / name)
    (folder / "store").symlink_to(store.path)
    (folder / "run").symlink_to(run)
    (folder / "model").symlink_to(run / "models" / "final")
    write(folder / "images", cines["k_phantom_002"], to="dicom")
    (folder / "dicom").symlink_to("images")
    record = Record("k_phantom_002", 0, 0, 4.0, 4.0, "initial", UNTRAINED, 0.1, 0.1, 20.0, 20.0, 0.5, 0.5)
    write_records([record], folder / "results" / "records.csv")
    reference = cines["k_phantom_002"].images[0]
    example = Example("k_phantom_002", 0, 4.0, reference, {"initial": reference}, Box(8, 9, 15, 12))
    write_examples([example], folder / "results" / "examples.npz")
    names = {"$\\foo$": reference, "_b|$x": reference}
    odd = Example("$\\bar{$", 0, 4.0, reference, names, Box(8, 9, 15, 12))
    (folder / "dollars").mkdir()
    write_examples([odd], folder / "dollars" / "examples.npz")
    write_records([replace(record, subject="$\\bar{$", method="$\\foo$")], folder / "dollars" / "records.csv")
    (folder / "records.html").symlink_to("results/examples.npz")
    return folder


def invoke(line: str, world: Path, out: Path):
    arguments = [word.format(w=world, o=out, nul="\0", long=LONG, feed="\n").replace("~", " ") for word in line.split()]
    return CliRunner().invoke(main, arguments)


def state(folder: Path) -> set[tuple[str, int, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(world, tmp_path, case):
    line, expected = REFUSED[case]
    before = state(world)
    result = invoke(line, world, tmp_path)
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == 2, result.output
    usage = result.stderr.startswith("Usage: ")
    *notes, line = result.stderr.splitlines()
    assert usage or line.startswith("csmri: "), result.output
    assert usage or all(note.startswith("note: ") for note in notes), result.stderr
    assert expected in line
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []
    assert state(world) == before


FINE = {
    "seed-at-its-bound": (f"{PHANTOM} --size 32 --slices 1 --frames 2 --seed {2**31 - 1}", "1 subjects"),
    "name-that-is-no-text": (RECONSTRUCT.replace("out.npz", "a\udcffb.npz"), r"a\udcffb.npz: written"),
    "picture-in-a-new-folder": (f"{RECONSTRUCT} --picture {{o}}/new/$\\foo$.png --caption $\\foo$|", "drawn"),
    "many-examples": (
        "evaluate $\\foo$|={w}/model {w}/store --out {o}/$x --acceleration 4 --example-slices 99",
        r"| $\foo$\|",
    ),
    "dollars-in-figures": ("figures {w}/dollars", "fig4_reconstructions.png: written"),
    "dollars-in-the-report": ("report {w}/results --note $\\foo$ --out {o}/new/a.html", "a.html: written"),
}


@pytest.mark.parametrize("case", FINE)
def test_odd_but_fine(world, tmp_path, case):
    line, expected = FINE[case]
    result = invoke(line, world, tmp_path)
    assert result.exception is None, (result.output, result.exception)
    assert all(note.startswith("note: ") for note in result.stderr.splitlines())
    assert expected in result.stdout


def run_command(function, *line: str, name: str = "odd"):
    """Run a command that does whatever `function` does, as one of csmri."""
    group = _Commands("csmri", commands={name: click.Command(name, callback=function)})
    return CliRunner().invoke(group, [name, *line])


def raising(error: BaseException):
    def function() -> None:
        raise error

    return function


ENDINGS = {
    "ours": (CsmriError("a: no"), 2, "csmri: a: no"),
    "several-lines": (CsmriError("a\nb: \x1b[31mno"), 2, r"csmri: a\nb: \x1b[31mno"),
    "interrupt": (KeyboardInterrupt(), 130, "csmri: stopped; nothing half-written is left"),
    "full": (OSError(errno.ENOSPC, "No space left on device", "a"), 2, "csmri: a: no room left on the disk; make room"),
    "full-elsewhere": (RuntimeError("RESOURCE: No space left on device"), 2, "csmri: no room left on the disk"),
    "denied": (PermissionError(errno.EACCES, "Permission denied", "a"), 2, "csmri: a: Permission denied; check the"),
    "without-reason": (OSError("odd"), 2, "csmri: odd; check the path"),
    "memory": (MemoryError("Unable to allocate 1 PiB"), 2, "csmri: not enough memory (Unable to allocate 1 PiB); take"),
    "memory-without-a-word": (MemoryError(), 2, "csmri: not enough memory; take"),
    "no-text": (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates"), 2, r"csmri: a name holds what is no text ("),
    "fault": (
        ValueError("\nodd\nthing"),
        1,
        "csmri: unexpected ValueError: odd; this is a fault of csmri: please report",
    ),
    "fault-without-a-word": (KeyError(), 1, "csmri: unexpected KeyError: ; this is a fault"),
    "broken-pipe": (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, ""),
}


@pytest.mark.parametrize("case", ENDINGS)
def test_every_error_ends_in_one_line(case):
    error, code, expected = ENDINGS[case]
    result = run_command(raising(error))
    assert result.exit_code == code
    assert result.stderr.startswith(expected)
    assert result.stderr.count("\n") == (1 if expected else 0)
    assert "Traceback" not in result.stderr


def test_memory_is_told_for_tensorflow_too():
    error = type("ResourceExhaustedError", (Exception,), {})("OOM when allocating\nmore")
    assert run_command(raising(error)).stderr.startswith("csmri: not enough memory (OOM when allocating); take")


def test_traceback_is_there_for_who_asks(monkeypatch):
    monkeypatch.setenv(endings.TRACEBACK, "1")
    result = run_command(raising(ValueError("odd")))
    assert "Traceback" in result.stderr and "in function" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("csmri: unexpected ValueError: odd")


@pytest.mark.parametrize(
    ("name", "told"),
    [("train", "the same command goes on where it was"), ("phantom", "nothing half-written is left")],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_command_cleanly(name, told, number):
    cleaned = []

    def function() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        finally:
            cleaned.append(True)

    before = signal.getsignal(number)
    result = run_command(function, name=name)
    assert (result.exit_code, result.stderr) == (128 + number, f"csmri: stopped; {told}\n")
    assert cleaned == [True]
    assert signal.getsignal(number) is before


def test_commands_run_outside_the_main_thread_too():
    results = []
    thread = threading.Thread(target=lambda: results.append(run_command(lambda: click.echo("done"))))
    thread.start()
    thread.join()
    assert [(result.exit_code, result.stdout) for result in results] == [(0, "done\n")]


def test_click_ends_as_ever():
    assert run_command(lambda: click.get_current_context().exit(3)).exit_code == 3
    assert run_command(raising(click.Abort())).exit_code == 1
    assert run_command(lambda: None, "--nothing").exit_code == 2


def test_output_that_the_terminal_cannot_show(tmp_path):
    """Standard output in Latin-1, as of an old locale: letters are written out, nothing breaks."""
    program = "from csmri.cli import main; main()"
    line = ["inspect", str(tmp_path / "Å心.npz")]
    write(tmp_path / "Å心.npz", Cine(np.ones((1, 2, 32, 32), np.float32), "Å心"))
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", program, *line], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\xc5\\u5fc3\n" in done.stdout


def test_a_seed_is_bounded_as_in_a_config():
    for name in ("phantom", "reconstruct"):
        (seed,) = (one for one in main.get_command(None, name).params if one.name == "seed")
        largest = seed.type.max - 1
        assert make_config({"seed": largest}, where="config").seed == largest
        with pytest.raises(CsmriError):
            make_config({"seed": largest + 1}, where="config")


def test_outputs_are_checked_against_inputs(tmp_path):
    source = tmp_path / "in" / "a"
    source.parent.mkdir()
    source.write_text("")
    (tmp_path / "way").symlink_to("in")
    check_outputs([tmp_path / "new" / "b", None], [source, None, tmp_path / "missing", "a\0b", LONG])
    check_outputs([tmp_path / "in" / "b"], [source])
    for output in (source, tmp_path / "way" / "a"):
        with pytest.raises(CsmriError, match="is what is read"):
            check_outputs([output], [source])
    for output in (tmp_path / "way" / "b", tmp_path / "in" / "new" / "b"):
        with pytest.raises(CsmriError, match="lies inside"):
            check_outputs([output], [tmp_path / "in"])
    with pytest.raises(CsmriError, match="written twice"):
        check_outputs([tmp_path / "in" / "b", tmp_path / "way" / "b"])
    with pytest.raises(CsmriError, match="is what is read"):  # also where nothing is yet
        check_outputs([tmp_path / "c"], [tmp_path / "in" / ".." / "c"])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused_before_any_work(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(CsmriError, match="may not be written to"):
        check_outputs([tmp_path / "a"])
