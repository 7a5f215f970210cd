"""A training that has lost what it had learnt is told of once; one that goes astray is ended."""

from __future__ import annotations

import csv

import pytest

from csmri.config import Config
from csmri.core.errors import CsmriError
from csmri.learning import collapse
from csmri.learning.collapse import Watch
from csmri.learning.train import train


def watched(tmp_path, lefts, *, first_epoch=0, kind="nmse"):
    """What is said in a training that leaves so much of an initial error of 0.02, with the log that it writes."""
    said, rows = [], []
    watch = Watch(tmp_path / "log.csv", "run", said.append)
    for epoch, left in enumerate(lefts):
        logs = {kind: 0.02 * left, f"initial_{kind}": 0.02, "loss": 1e-4}
        if epoch >= first_epoch:
            watch.on_epoch_end(epoch, logs)
        rows.append({"epoch": epoch + 1, **logs})
        with watch.log.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return said


@pytest.mark.parametrize("kind", ["nmse", "held_out"])
@pytest.mark.parametrize("first_epoch", [0, 3])
def test_what_was_learnt_and_is_lost_is_told_once(tmp_path, kind, first_epoch):
    (line,) = watched(tmp_path, [1.0, 0.93, 0.86, 0.995, 1.0, 0.999, 1.0], first_epoch=first_epoch, kind=kind)
    assert line.startswith(
        "run: corrects nothing any more: 0.860 of the initial error were left in epoch 3, 1.000 are now."
    )
    assert "another folder with a lower learning_rate" in line


@pytest.mark.parametrize(
    "lefts",
    [
        [1.0, 1.0, 0.999, 1.0],  # has not begun to learn
        [1.0, 0.86, 1.0, 0.87, 1.0, 0.86],  # odd epochs
        [1.0, 0.96, 0.995, 1.0, 0.999],  # had learnt next to nothing
        [1.0, 0.86, 0.98, 0.97],  # worse, not lost
    ],
)
def test_a_training_that_learns_is_left_alone(tmp_path, lefts):
    assert watched(tmp_path, lefts) == []


def test_a_log_of_epochs_that_are_done_again_is_not_counted(tmp_path):
    watched(tmp_path, [1.0, 0.86, 0.85])
    said = []
    Watch(tmp_path / "log.csv", "run", said.append).on_epoch_end(0, {"nmse": 0.02, "initial_nmse": 0.02})
    assert said == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_refused(tmp_path, value):
    watch = Watch(tmp_path / "log.csv", "run", print)
    with pytest.raises(CsmriError, match="run: the loss is not a number after epoch 3; train into another folder"):
        watch.on_epoch_end(2, {"loss": value, "nmse": 0.01, "initial_nmse": 0.02})


def test_an_epoch_that_is_refused_is_not_kept(store, tmp_path, monkeypatch):
    monkeypatch.setattr(collapse.math, "isfinite", lambda value: False)
    with pytest.raises(CsmriError, match="the loss is not a number after epoch 1"):
        train(Config(base_channels=2, depth=1, passes=1, epochs=2), store, tmp_path / "run", report=print)
    assert not {"log.csv", "checkpoint.keras"} & {path.name for path in (tmp_path / "run").iterdir()}
