"""A store is the same whoever reads its sources; a preparation that was stopped reads what is left, and no more."""

from __future__ import annotations

import importlib.util
import pickle
from dataclasses import replace

import pytest
from click.testing import CliRunner

from csmri.cli import main
from csmri.core.errors import CsmriError
from csmri.core.names import BEAM, PROCESSES, THIS
from csmri.data.pseudonyms import Pseudonyms
from csmri.data.store import StoreWriter, open_store
from csmri.formats import find_cines, write
from csmri.formats.source import Source
from csmri.run.executors import Executor
from csmri.run.preparation import Preparation, fitting_executor, items_folder
from csmri.run.preparation_work import Wanted

SPLIT = {"k_phantom_000": "train", "k_phantom_001": "test", "york_phantom_000": "pretrain"}


class Elsewhere:
    """As Apache Beam: work is pickled, and what is done is known from what is left alone."""

    kind = BEAM

    def __init__(self):
        self.sent = b""

    def run(self, work, items):
        self.sent = pickle.dumps((work, items))
        work, items = pickle.loads(self.sent)
        for item in items:
            work.do(item)
            yield work.kept(item) or work.lost(item, "gone")


class Shuffled:
    """As other processes: what is done comes back by pickle, in another order."""

    kind = PROCESSES

    def run(self, work, items):
        for item in reversed(items):
            yield pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(work)).do(item)))


@pytest.fixture
def folder(cines, tmp_path):
    for name in ("k_phantom_000", "k_phantom_001", "k_phantom_002", "york_phantom_000"):
        write(tmp_path / "cines" / f"{name}.npz", cines[name])
    text = "".join(f'{split} = ["{name}"]\n' for name, split in SPLIT.items())
    (tmp_path / "split.toml").write_text(text)
    return tmp_path


@pytest.fixture
def read(monkeypatch):
    """Names of the files that are read."""
    names = []
    original = Source.read
    monkeypatch.setattr(Source, "read", lambda self: names.append(self.path.name) or original(self))
    return names


def prepared(folder, name="store", *, executor=None, wanted=None, stop=None):
    """Prepare a store, or stop after so many sources; what was told of it."""
    executor, wanted = executor or Executor(THIS), wanted or Wanted(where="split", split_of=SPLIT)
    sources = find_cines(folder / "cines").sources
    with StoreWriter(folder / name, wanted.pseudonyms) as writer:
        with Preparation(writer, sources, wanted, executor) as preparation:
            for number, _ in enumerate(preparation.do(), 1):
                if number == stop:
                    raise KeyboardInterrupt
            preparation.take()
            preparation.refuse_missing([folder], [])
            views = list(preparation.views())
    assert [view[0] for view in views] == [entry.subject for entry in preparation.entries]
    return preparation


def contents(store):
    return {path.name: path.read_bytes() for path in store.iterdir()}


def run(*words, code=0):
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.mark.slow
def test_two_processes_write_the_store_that_one_does(folder):
    for name, options in (("one", ["--executor", "this"]), ("two", ["--workers", "2"])):
        told = run("prepare", folder / "cines", folder / name, "--split", folder / "split.toml", *options).stdout
        assert "3 subjects (1 train, 1 test, 1 pretrain)" in told and "left out: k_phantom_002\n" in told
    assert contents(folder / "one") == contents(folder / "two") and len(contents(folder / "one")) == 5
    assert sorted(path.name for path in folder.iterdir()) == ["cines", "one", "split.toml", "two"]


def test_the_manifest_is_that_of_a_writer_that_reads_by_itself(folder, cines):
    prepared(folder)
    with StoreWriter(folder / "other") as writer:
        for entry in open_store(folder / "store").entries:
            cine = replace(cines[entry.subject], provenance=entry.provenance)
            writer.add(cine, entry.split, extent=entry.extent)
    assert contents(folder / "store") == contents(folder / "other")


def test_what_was_stopped_goes_on_and_ends_with_the_same_bytes(folder, read):
    prepared(folder, "whole")
    everything, read[:] = list(read), []
    with pytest.raises(KeyboardInterrupt):
        prepared(folder, stop=2)
    assert read == everything[:2] and items_folder(folder / "store").is_dir() and not (folder / "store").exists()
    prepared(folder)
    assert read == everything
    assert contents(folder / "store") == contents(folder / "whole") and not items_folder(folder / "store").exists()


def test_an_executor_that_fails_costs_nothing_that_was_read(folder, read):
    class Failing(Elsewhere):
        def run(self, work, items):
            yield work.do(items[0])
            raise CsmriError("Apache Beam's pipeline failed")

    with pytest.raises(CsmriError, match="pipeline failed"):
        prepared(folder, executor=Failing())
    assert len(read) == 1
    prepared(folder)
    assert len(read) == 4


def test_what_has_changed_or_is_asked_for_anew_is_read_again(folder, read, cines):
    with pytest.raises(KeyboardInterrupt):
        prepared(folder, stop=4)
    write(folder / "cines" / "k_phantom_000.npz", replace(cines["k_phantom_000"], notes=("Another one.",)))
    read.clear()
    wanted = Wanted(where="split", split_of={**SPLIT, "k_phantom_001": "train", "k_phantom_002": "test"})
    prepared(folder, wanted=wanted)
    assert sorted(read) == ["k_phantom_000.npz", "k_phantom_002.npz"]
    entries = {entry.subject: entry for entry in open_store(folder / "store").entries}
    assert {name: entry.split for name, entry in entries.items()} == wanted.split_of
    assert "Another one." in entries["k_phantom_000"].notes


def test_refused_it_leaves_nothing(folder):
    wanted = Wanted(where="split", split_of={**SPLIT, "nobody": "test"})
    with pytest.raises(CsmriError, match="names nobody, which .* it holds k_phantom_000, k_phantom_001, york_phantom"):
        prepared(folder, wanted=wanted)
    assert sorted(path.name for path in folder.iterdir()) == ["cines", "split.toml"]


@pytest.mark.parametrize("executor", [Shuffled(), Elsewhere()])
def test_what_others_read_makes_the_same_store(folder, executor):
    prepared(folder, "one")
    prepared(folder, "two", executor=executor)
    assert contents(folder / "one") == contents(folder / "two")


@pytest.mark.parametrize("executor", [Executor(THIS), Elsewhere()])
def test_pseudonyms_leave_no_name_behind_and_their_secret_goes_nowhere(folder, executor):
    wanted = Wanted(where="split", split_of=SPLIT, pseudonyms=Pseudonyms(folder / "key.json"))
    salt = wanted.pseudonyms.salt
    with pytest.raises(KeyboardInterrupt):
        prepared(folder, executor=executor, wanted=wanted, stop=2)
    assert not items_folder(folder / "store").exists()
    prepared(folder, executor=executor, wanted=wanted)
    assert {entry.subject for entry in open_store(folder / "store").entries} == {
        wanted.pseudonyms.peek(name) for name in SPLIT
    }
    assert salt.encode() not in getattr(executor, "sent", b"")


def test_a_source_whose_process_ends_is_left_out(folder, monkeypatch):
    class Dying(Elsewhere):
        def run(self, work, items):
            for item in items:
                is_lost = item.source.path.name.startswith("k_phantom_002")
                yield work.lost(item, "its process came to an end") if is_lost else work.do(item)

    monkeypatch.setattr("csmri.cli.prepare.executor_of", lambda *_: Dying())
    result = run(
        "prepare", folder / "cines", folder / "store", "--split", folder / "split.toml", "--executor", "this", code=3
    )
    assert "k_phantom_002.npz: its process came to an end" in result.stderr
    assert len(open_store(folder / "store").entries) == 3


def test_little_is_read_by_this_process(folder, monkeypatch):
    sources = find_cines(folder / "cines").sources
    monkeypatch.setattr("csmri.core.workers.cores", lambda: 8)
    assert fitting_executor(sources) == THIS
    monkeypatch.setattr("csmri.run.preparation.WORTH_PROCESSES", 1)
    assert fitting_executor(sources) == "processes" and fitting_executor(sources[:1]) == THIS


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("apache_beam") is None, reason="without Apache Beam")
def test_beam_writes_the_store_that_one_process_does(folder):
    options = "--runner=DirectRunner --direct_running_mode=multi_processing --direct_num_workers=2"
    for name, how in (("one", ["--executor", "this"]), ("two", ["--executor", "beam", "--beam-options", options])):
        run("prepare", folder / "cines", folder / name, "--split", folder / "split.toml", *how)
    assert contents(folder / "one") == contents(folder / "two")
    key = ["--pseudonyms", folder / "key.json"]
    run("prepare", folder / "cines", folder / "three", "--split", folder / "split.toml", *key, *how)
    assert sorted(one.split for one in open_store(folder / "three").entries) == sorted(SPLIT.values())
    assert b"k_phantom" not in b"".join(contents(folder / "three").values())
