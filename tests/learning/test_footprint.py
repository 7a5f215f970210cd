"""Buffers fit the memory there is and change no number; what a training takes is said before it begins."""

from __future__ import annotations

import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from csmri.config import Config, write_config
from csmri.core.memory import LIMIT, peak_memory
from csmri.data.store import StoreWriter
from csmri.learning import clock
from csmri.learning.clock import Clock
from csmri.learning.footprint import MOST_BATCHES, Buffers, Footprint, estimate, fitting_buffers, too_little
from csmri.learning.stream import training_stream
from csmri.learning.train import compiled_network, train
from csmri.methods.task import task_of
from csmri.phantom import make_subject

SMALL = {"base_channels": 2, "depth": 1, "passes": 1}
UNROLLED = {"network": "unrolled", "base_channels": 2, "cascades": 1, "batch_size": 1}


def of(store, **fields):
    config = Config(**{**SMALL, **fields})
    return estimate(compiled_network(config, 1), task_of(config), store.of_split("train"), Buffers(1, 1, 1))


def test_buffers_fit_the_memory(store, monkeypatch):
    task, entries = task_of(Config(**SMALL)), store.of_split("train")
    monkeypatch.setenv(LIMIT, "0.001")
    assert fitting_buffers(task, entries) == Buffers(1, 1, 2**20)
    monkeypatch.setenv(LIMIT, "1000")
    monkeypatch.setattr("csmri.core.workers.cores", lambda: 5)
    plenty = fitting_buffers(task, entries)
    assert (plenty.parallel, plenty.batches) == (5, MOST_BATCHES) and 2**37 < plenty.budget < 2**38


@pytest.mark.parametrize("fields", [{}, UNROLLED])
def test_whatever_the_memory_examples_and_order_are_the_same(store, fields, monkeypatch):
    config = Config(**{**SMALL, **fields, "shuffle_frames": 8, "epochs": 2})

    def drawn(gib):
        monkeypatch.setenv(LIMIT, gib)
        return [keras.tree.flatten(one) for one in training_stream(store, config).dataset.as_numpy_iterator()]

    little, plenty = drawn("0.001"), drawn("1000")
    assert len(little) == len(plenty) > 4
    for one, other in zip(little, plenty, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_estimate_follows_what_is_computed(store):
    small = of(store)
    assert of(store, batch_size=16).step > 1.5 * small.step
    assert of(store, base_channels=8).step > 2 * small.step
    assert of(store, shuffle_frames=5).examples < small.examples
    told = of(store, acceleration_input=True)
    assert told.examples > small.examples and told.step > small.step
    one, several = of(store, **UNROLLED), of(store, **UNROLLED, coils=8)
    assert several.step > 1.5 * one.step and several.examples > 2 * one.examples
    assert of(store, **UNROLLED, crop_columns=8).step < one.step / 2


def test_what_does_not_fit_is_said_before_the_training_with_what_to_do(store, tmp_path, monkeypatch):
    class Begun(Exception):
        pass

    def begin(*_: object, **__: object) -> None:
        raise Begun

    monkeypatch.setattr(keras.Model, "fit", begin)
    for gib, is_enough in (("0.001", False), ("1000", True)):
        monkeypatch.setenv(LIMIT, gib)
        said: list[str] = []
        with pytest.raises(Begun):
            train(Config(**SMALL), store, tmp_path / gib, report=said.append)
        (line,) = [one for one in said if "of memory by an estimate" in one]
        assert line.startswith(f"{tmp_path / gib}: takes about ")
        warned = [one for one in said if "it may become slow or be killed" in one]
        assert bool(warned) is not is_enough
        assert is_enough or ("a batch_size below 8" in warned[0] and "shuffle_frames below 512" in warned[0])


def test_advice_is_of_what_takes_the_memory(monkeypatch):
    monkeypatch.setenv(LIMIT, "0.001")
    task = task_of(Config(batch_size=1, crop_columns=40))
    told = too_little(Footprint(0, step=2**30, examples=2**20, compiled=0), task)
    assert "1 MiB of memory are free" in told and "crop_columns = 20" in told
    assert "batch_size" not in told and "shuffle_frames" not in told


def test_pace_is_told_once_and_without_the_first_step(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: now[0])
    said: list[str] = []
    watch = Clock("run", 100, 30, 10, said.append)

    def steps(*seconds):
        for number, one in enumerate(seconds):
            watch.on_train_batch_begin(number)
            now[0] += one
            watch.on_train_batch_end(number)

    watch.on_epoch_begin(4)
    steps(500.0, *[3.0] * 9)
    assert said == []
    steps(3.0, 3.0)
    assert len(said) == 1 and said[0].startswith(
        "run: by 10 steps an epoch takes about 6 min, 6 of them 33 min; so far "
    )
    steps(100.0, 100.0)
    watch.on_epoch_end(4)
    assert len(said) == 1


def test_pace_of_short_epochs(monkeypatch):
    said: list[str] = []
    watch = Clock("run", 1, 0, 3, said.append)
    for epoch in range(3):
        watch.on_epoch_begin(epoch)
        watch.on_train_batch_begin(0)
        watch.on_train_batch_end(0)
        watch.on_epoch_end(epoch)
    assert len(said) == 1 and "by 1 step an epoch takes about 1 s, 2 of them 1 s" in said[0]
    assert re.search(r"so far [\d.]+ [MG]iB of memory taken", said[0]) and peak_memory() > 2**20


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"base_channels": 16, "images_per_epoch": 64},
        {"network": "unrolled", "base_channels": 12, "batch_size": 1, "images_per_epoch": 4},
    ],
    ids=["unet", "unrolled"],
)
def test_the_estimate_is_near_what_a_training_takes(fields, tmp_path):
    """Of the whole process, as the system counts it."""
    with StoreWriter(tmp_path / "store") as writer:
        for index in range(4):
            writer.add(make_subject(index, domain="k", size=128, n_slices=4, n_frames=20), "train")
    write_config(Config(**fields, epochs=1), tmp_path / "config.toml")
    script = (
        "import sys\nfrom csmri.cli import main\nfrom csmri.core.memory import peak_memory\n"
        "try: main(sys.argv[1:])\n"
        "finally: print('peak', peak_memory())\n"
    )
    words = ["train", tmp_path / "config.toml", "--store", tmp_path / "store", "--out", tmp_path / "run"]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    said = re.search(r"takes about ([\d.]+) GiB of memory by an estimate", done.stdout)
    peak = re.search(r"^peak (\d+)$", done.stdout, re.M)
    assert said and peak
    assert 0.75 < float(said[1]) * 2**30 / int(peak[1]) < 1.33
