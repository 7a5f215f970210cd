"""Files and folders are whole or not there, have one writer, and signals leave nothing partial."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from csmri.core import files, locks, texts
from csmri.core.errors import CsmriError

NOBODY = 999_999_999
"""A process number beyond any that there is."""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "a.nii.gz"
    with files.replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists() and temporary.parent == path.parent and temporary.name.endswith(".nii.gz")
    assert path.read_text() == "new" and names(path.parent) == ["a.nii.gz"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_file_stays_as_it_was_when_writing_fails(tmp_path, error):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises((error, CsmriError)), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise error("disk full")
    assert path.read_text() == "old" and names(tmp_path) == ["a.csv"]


def test_a_folder_is_replaced_when_it_is_whole(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").write_text("old")
    with pytest.raises(RuntimeError), files.replacing_folder(path) as temporary:
        (temporary / "new").write_text("half")
        raise RuntimeError
    assert names(tmp_path) == ["model"] and names(path) == ["old"]
    with files.replacing_folder(path) as temporary:
        (temporary / "new").write_text("new")
        assert names(path) == ["old"]
    assert names(tmp_path) == ["model"] and names(path) == ["new"]


@pytest.mark.parametrize("name", ["a" * 250 + ".csv", "ä" * 120 + ".csv", "a.b.c", ".hidden", "no suffix"])
def test_any_name_can_be_written(tmp_path, name):
    texts.write_text(tmp_path / name, "text")
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("place", ["file/below.txt", "a" * 300, "null\0character"])
def test_a_place_that_cannot_be_is_refused(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(CsmriError, match="could not be written|cannot be the name"):
        texts.write_text(tmp_path / place, "text")
    with pytest.raises(CsmriError, match="could not be written|cannot be"), files.replacing_folder(tmp_path / place):
        pass
    assert names(tmp_path) == ["file"]


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    path = tmp_path / "a.csv"
    dead, alive = files.temporary_name(path, NOBODY), files.temporary_name(path, os.getppid())
    other = files.temporary_name(tmp_path / "b.csv", NOBODY)
    for left in (dead, alive, other):
        left.write_text("half")
    texts.write_text(path, "whole")
    assert not dead.exists() and alive.exists() and other.exists()
    files.remove_partial(tmp_path)
    assert names(tmp_path) == sorted(["a.csv", alive.name])


def test_a_folder_has_one_writer(tmp_path):
    folder = tmp_path / "deep" / "store"
    with locks.locked(folder):
        script = f"from csmri.core import locks\nwith locks.locked({str(folder)!r}): print('in')"
        beside = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert f"store: process {os.getpid()} on " in beside.stderr and "is writing to it; wait" in beside.stderr
        assert "in" not in beside.stdout
    assert names(folder.parent) == []
    with locks.locked(folder):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    run = str(tmp_path / "run")
    script = f"import os; from csmri.core import locks\nwith locks.locked({run!r}): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script], check=False)
    assert names(tmp_path) == [".run.lock"]
    with locks.locked(tmp_path / "run"):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_cleanly(tmp_path, number):
    run, path = str(tmp_path / "run"), str(tmp_path / "a")
    script = f"""
import sys, time
from csmri.core import files, locks, texts
try:
    with locks.ending_cleanly(), locks.locked({run!r}), files.replacing({path!r}) as temporary:
        temporary.write_text("half")
        print("half", flush=True)
        time.sleep(60)
except locks.Stopped as stopped:
    sys.exit(stopped.code)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "half\n"
        assert len(names(tmp_path)) == 2
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    assert names(tmp_path) == []


def test_who_ignores_a_signal_goes_on(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with locks.ending_cleanly():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


TEXTS = ['"quotes" and \\ backslash', "emoji 🫀 and é", "line\nbreak\ttab\x00\x1f\x7f\x85", "$\\alpha$ 'single'", ""]


@pytest.mark.parametrize("text", TEXTS)
def test_toml_comes_back(tmp_path, text):
    fields = {"text": text, "list": [1, 2.5, text], "true": True, "table": {"text": text, "key with blank": 1e-7}}
    texts.write_toml(tmp_path / "a.toml", fields)
    assert texts.read_toml(tmp_path / "a.toml", "config") == fields


def test_toml_of_other_editors(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbfseed = 1\r\n")
    assert texts.read_toml(path, "config") == {"seed": 1}
    path.write_bytes('caption = "Mönch"'.encode("cp1252"))
    with pytest.raises(CsmriError, match="the config is not in UTF-8 .*; save it as UTF-8"):
        texts.read_toml(path, "config")
    path.write_text("a = " + "[" * 5000 + "]" * 5000)
    with pytest.raises(CsmriError, match="nested too deep"):
        texts.read_toml(path, "config")


def test_json_is_read_or_refused(tmp_path):
    path = tmp_path / "a.json"
    assert texts.read_json(path) == {}
    texts.write_json(path, {"a": [1, None]})
    assert texts.read_json(path) == {"a": [1, None]}
    for text in ("[1]", "{", "[" * 100000):
        path.write_text(text)
        with pytest.raises(CsmriError, match=str(path)):
            texts.read_json(path)


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz", "table.csv.xz"])
def test_tables_come_back(tmp_path, name):
    rows = [{"a": "1", "b": 'x, "y"\nz'}, {"a": "é", "b": ""}]
    for path in (tmp_path / name, tmp_path / f"other-{name}"):
        texts.write_csv(path, ("a", "b"), (tuple(row.values()) for row in rows))
        assert texts.read_csv(path) == rows
    # Neither date nor name is in it.
    assert (tmp_path / name).read_bytes() == (tmp_path / f"other-{name}").read_bytes()
    content = (tmp_path / name).read_bytes()
    assert content.startswith(b"\x1f\x8b") == name.endswith(".gz")
    assert content.startswith(b"\xfd7zXZ") == name.endswith(".xz")


@pytest.mark.parametrize("name", ["table.csv.gz", "table.csv.xz"])
@pytest.mark.parametrize("harm", [slice(0, -9), slice(0, 20), "body", "text"])
def test_a_damaged_table_is_an_error_that_the_caller_can_tell(tmp_path, harm, name):
    path = tmp_path / name
    texts.write_csv(path, ("a",), [(str(i),) for i in range(1000)])
    content = bytearray(path.read_bytes())
    if isinstance(harm, slice):
        content = content[harm]
    elif harm == "body":
        content[12:40] = bytes(28)
    else:
        content = b"\xff\xfe"
    path.write_bytes(content)
    with pytest.raises((OSError, EOFError, ValueError)):
        texts.read_csv(path)


def test_a_place_beside_what_is_read_is_outside_of_it(tmp_path, monkeypatch):
    (tmp_path / "read" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "read")
    files.check_outputs(["../beside"], ["."])
    for inside in ("deep/../out", "deep/out", "out"):
        with pytest.raises(CsmriError, match="lies inside"):
            files.check_outputs([inside], ["."])


def test_a_signal_in_an_import_is_told_as_one():
    """What is imported may turn the exception into another one."""
    with pytest.raises(locks.Stopped), locks.ending_cleanly():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error
