"""Work items are all done and told, by whomever; one that brings its process down is told as lost, alone."""

from __future__ import annotations

import importlib.util
import os
import sys
import time

import pytest

from csmri.core.errors import CsmriError
from csmri.core.names import BEAM, PROCESSES, THIS
from csmri.run.executors import Executor

WORK = """
import os, signal, sys, time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Work:
    folder: str

    def do(self, item):
        place = Path(self.folder, str(item))
        if item == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if item == "waits":
            place.write_text(str(os.getpid()))
            try:
                time.sleep(60)
            finally:
                place.unlink()
        place.write_text(f"done by {os.getpid()} with {os.environ.get('OMP_NUM_THREADS')}")
        return self.kept(item)

    def kept(self, item):
        place = Path(self.folder, str(item))
        return (item, place.read_text()) if place.exists() else None

    def lost(self, item, reason):
        return item, reason
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Of a module that other processes can import, too."""
    name = f"work_of_{os.getpid()}"
    (tmp_path / f"{name}.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    (tmp_path / "kept").mkdir()
    yield __import__(name).Work(str(tmp_path / "kept"))
    del sys.modules[name]


def test_this_process_does_all_items_in_order(work):
    done = list(Executor(THIS).run(work, ["a", "b"]))
    assert [item for item, _ in done] == ["a", "b"] and all(f"done by {os.getpid()} " in told for _, told in done)


def test_other_processes_do_all_items_one_alone_is_lost(work):
    items = ["a", "b", "dies", "c", "d"]
    done = dict(Executor(PROCESSES, 2).run(work, items))
    assert set(done) == set(items) and "its process came to an end" in done.pop("dies")
    assert all(told.startswith("done by ") and f"done by {os.getpid()} " not in told for told in done.values())
    assert all(told.endswith(("with 1", "with 2", "with 4", "with 8")) for told in done.values()), done


def test_who_stops_listening_ends_the_workers_and_they_clean_up(work, tmp_path):
    ended = Executor(PROCESSES, 2).run(work, ["a", "waits"])
    assert next(ended)[0] == "a"
    waits = tmp_path / "kept" / "waits"
    until = time.monotonic() + 30
    while not waits.exists() and time.monotonic() < until:
        time.sleep(0.05)
    process = int(waits.read_text())
    ended.close()
    assert not waits.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_number_of_processes():
    assert Executor(workers=3).n_workers(2) == 2 and Executor(workers=3).n_workers(9) == 3
    assert Executor().n_workers(0) == 1 <= Executor().n_workers(100)


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        (Executor(THIS, 2), "--workers: is for --executor processes, not this"),
        (Executor(BEAM, 2), "say it in --beam-options"),
        (Executor(PROCESSES, None, ("--runner=X",)), "--beam-options: is for --executor beam, not processes"),
    ],
)
def test_options_of_another_executor_are_refused(executor, message):
    with pytest.raises(CsmriError, match=message):
        executor.check()


@pytest.mark.skipif(importlib.util.find_spec("apache_beam") is not None, reason="with Apache Beam")
def test_without_beam_it_is_told_how_to_get_it():
    with pytest.raises(CsmriError, match=r"pip install 'csmri\[beam\]'"):
        Executor(BEAM).check()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("apache_beam") is None, reason="without Apache Beam")
def test_beam_does_all_items_in_several_processes(work):
    options = ("--runner=DirectRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2")
    items = [f"item{number}" for number in range(8)]
    done = dict(Executor(BEAM, None, options).run(work, items))
    assert set(done) == set(items) and not any(f"done by {os.getpid()} " in told for told in done.values())
    for given, told in [
        ("--runer=DirectRunner", "knows no such option"),
        ("runner=DirectRunner", "belongs to no option"),
        ("--runner=FooRunner", "no such runner"),
        ("--direct_num_workers=x", "does not take them .*invalid int value"),
    ]:
        with pytest.raises(CsmriError, match=told):
            Executor(BEAM, None, (given,)).check()
