"""What the benchmarks say of numbers; the numbers themselves are no matter of a test."""

import csv
import importlib
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = ("inference", "training", "simulation", "methods", "growth", "startup", "batch")


@pytest.fixture(scope="module")
def load():
    """Import a script of `benchmarks/`, which lie beside each other and are no package."""
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))


def test_make_bench_asks_every_question(load):
    (line,) = [line for line in (FOLDER.parent / "Makefile").read_text().splitlines() if "for question in" in line]
    assert set(line.split(" in ")[1].split(";")[0].split()) == set(load("goals").QUESTIONS)
    assert {path.stem for path in FOLDER.glob("*.py")} == {*SCRIPTS, "goals", "harness", "peers"}


def test_contenders_take_turns_and_who_is_slow_runs_once(load, tmp_path, monkeypatch):
    harness = load("harness")
    clock, called = [0.0], []
    monkeypatch.setattr(harness.time, "perf_counter", lambda: clock[0])

    def contender(name, seconds):
        def run():
            called.append(name)
            clock[0] += seconds
            return name

        return run

    records = harness.Records("question")
    contenders = {"a": contender("a", 1.0), "slow": contender("slow", 30.0), "b": contender("b", 2.0)}
    assert records.time("case", contenders, rounds=2, per=2, patience=12) == {"a": "a", "slow": "slow", "b": "b"}
    assert called == ["a", "slow", "b", "a", "b", "a", "b"]
    records.skip("c", "not installed")
    records.write(tmp_path)
    with (tmp_path / "question.csv").open(newline="") as file:
        rows = [(row["contender"], row["round"], float(row["value"])) for row in csv.DictReader(file)]
    assert rows == [("a", "0", 0.5), ("a", "1", 0.5), ("slow", "0", 15.0), ("b", "0", 1.0), ("b", "1", 1.0)]
    assert '"c": "not installed"' in (tmp_path / "question.json").read_text()


def test_the_front_are_those_that_nobody_beats_in_both(load):
    points = {"fast": (1.0, 0.9), "good": (9.0, 0.2), "between": (2.0, 0.5), "beaten": (3.0, 0.6), "worse": (9.0, 0.3)}
    assert load("goals").front(points) == ["fast", "good", "between"]


def write(folder, question, rows):
    with (folder / f"{question}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("case", "contender", "quantity", "round", "value"))
        writer.writerows((*row[:3], 0, row[3]) for row in rows)


def test_goals_are_met_or_missed_by_the_records(load, tmp_path):
    goals = load("goals")
    case = "64 channels, float32"
    work = [("float32", goals.CEILING, "GFLOP/s", 100.0), (case, goals.KERAS, "GFLOP", 90.0)]
    seconds = {goals.KERAS: 1.0, goals.RUNTIMES[0]: 1.2, goals.RUNTIMES[1]: 0.9, "PyTorch": 0.8, "OpenVINO": 0.95}
    write(tmp_path, "inference", [*work, *((case, name, "seconds", value) for name, value in seconds.items())])
    one, peer, ceiling = goals.inference_goals(goals.Found(tmp_path, "inference"))
    assert (one.is_met, peer.is_met, ceiling.is_met) == (False, False, True)
    assert one.found.startswith("1.20") and peer.found.startswith("1.12 of PyTorch's 800 ms (openvino)")
    write(tmp_path, "training", [("U-net", goals.STREAM, "seconds", 1.0), ("U-net", goals.KEPT, "seconds", 0.96)])
    (pipeline,) = goals.training_goals(goals.Found(tmp_path, "training"))
    assert pipeline.is_met and pipeline.found.startswith("4.0 %")
    points = {goals.NETWORK: (1.1, 0.4), "initial": (0.1, 1.0)}
    rows = [("1 coil, R = 4", name, "seconds", both[0]) for name, both in points.items()]
    rows += [("1 coil, R = 4", name, goals.RATIO, both[1]) for name, both in points.items()]
    write(tmp_path, "methods", rows)
    found = goals.Found(tmp_path, "methods")
    speed, front = goals.method_goals(found)
    assert (speed.is_met, front.is_met) == (False, True)
    text = goals.table([speed, front], {"methods": found})
    assert "| at most 1 s | 1.10 s, error 0.400 | **missed** |" in text and "| met |" in text
    goals.draw(found, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000
    assert list(goals.startup_goals(goals.Found(tmp_path, "startup"))) == []


def test_operations_are_those_of_the_convolutions(load):
    layers = keras.layers
    inputs = keras.Input((None, None, 1))
    features = layers.Conv2D(4, 3, padding="same", name="encoder0_conv0")(inputs)
    features = layers.MaxPooling2D(2, name="encoder0_pool")(features)
    features = layers.Conv2D(8, 3, padding="same", name="bottom_conv0")(features)
    features = layers.Conv2DTranspose(4, 2, strides=2, name="decoder0_up")(features)
    network = keras.Model(inputs, layers.Conv2D(1, 1, name="normalised_error")(features))
    by_hand = 2 * (9 * 4 * 64 + 9 * 4 * 8 * 16 + 4 * 8 * 64 + 4 * 64)
    assert load("inference").operations(network, 8) == by_hand


def test_a_peer_computes_the_same_unet(load):
    pytest.importorskip("torch")
    from csmri.methods.unet import build_unet

    network, frames = build_unet(base_channels=4, depth=2), np.random.default_rng(0).random((1, 16, 12, 1), np.float32)
    np.testing.assert_allclose(load("peers").run_torch(network, frames)(), np.asarray(network(frames)), atol=1e-6)
