"""Epochs that transfer learning saves, on curves with a known answer."""

from __future__ import annotations

import json
import shutil

import pytest

from csmri.core.errors import CsmriError
from csmri.results.folder import Results, read_results, run_folder
from csmri.results.tables import savings, savings_table


def make_results(path, curves):
    """Results with logs {(training, seed): NMSE after every epoch}."""
    logs = {
        key: [{"epoch": str(epoch), "nmse": str(nmse), "initial_nmse": "1"} for epoch, nmse in enumerate(values, 1)]
        for key, values in curves.items()
    }
    return Results(path, None, logs, ())


SLOW = [8.0, 6.0, 5.0, 4.0]


def test_savings_of_a_made_up_study(study_results):
    first, second = savings(read_results(study_results))
    assert [saving.training for saving in (first, second)] == ["transfer_2", "transfer_5"]
    assert [(race.seed, race.reached, race.factor) for race in first.races] == [(0, 5, 2), (1, 5, 2)]
    assert [(race.seed, race.reached, race.factor) for race in second.races] == [(0, 2, 5), (1, 2, 5)]
    # Images: standalone 10 x 96; transfer after 2 epochs of 60 images of pretraining 5 x 96, after 5 epochs 2 x 96.
    assert first.factor_with_pretraining == pytest.approx(960 / (120 + 480))
    assert second.factor_with_pretraining == pytest.approx(960 / (300 + 192))
    assert str(second) == "5×, epoch 2"
    assert savings_table([first, second]).rows[1:] == [
        ["transfer 2 (TL2)", "5", "10", "2×", "1.6×"],
        ["transfer 5 (TL5)", "2", "10", "5×", "2×"],
    ]


def test_one_pretraining_counts_for_all_seeds(study_results):
    own = savings(read_results(study_results))[0]
    shutil.rmtree(run_folder(study_results, "pretrain", 1))
    assert savings(read_results(study_results))[0] == own


def test_every_seed_has_its_own_goal(tmp_path):
    curves = {("standalone", 0): SLOW, ("standalone", 1): [4.0, 3.0, 2.0, 1.0]}
    curves |= {("transfer", 0): [4.0, 3, 2, 1], ("transfer", 1): [4.0, 1.0, 1, 1]}
    (saving,) = savings(make_results(tmp_path, curves))
    assert [race.goal for race in saving.races] == [4.0, 1.0]
    assert [race.reached for race in saving.races] == [1, 2]
    assert saving.factor == 3  # median of 4 and 2
    assert saving.reached == 2  # median of 1 and 2, rounded up
    assert str(saving) == "3× (2–4×), epoch 1–2"
    assert saving.factor_with_pretraining is None


def test_what_is_never_reached_is_said(tmp_path):
    curves = {("standalone", seed): SLOW for seed in range(3)}
    curves |= {("transfer_10", seed): [9.0, 9, 9] for seed in range(3)} | {("transfer_10", 1): [4.0]}
    (saving,) = savings(make_results(tmp_path, curves))
    assert saving.factor is None
    assert saving.reached is None
    assert str(saving) == "at most 4×, epoch 1; 2 of 3 seeds not in 3 epochs"
    table = savings_table([saving])
    assert table.rows[1][1:4] == ["not reached by 2 of 3 seeds", "1–3", "at most 4×"]
    assert table.notes[1:] == [f"transfer 10 (TL10) does not reach it in 3 epochs with seed {seed}." for seed in (0, 2)]
    (none,) = savings(make_results(tmp_path, {("standalone", 0): SLOW, ("transfer", 0): [9.0, 8.0]}))
    assert str(none) == "not reached in 2 epochs"


def test_a_seed_that_fails_counts_as_below_all_others(tmp_path):
    curves = {("standalone", seed): SLOW for seed in range(3)}
    curves |= {("transfer", 0): [9.0], ("transfer", 1): [9.0, 4.0], ("transfer", 2): [4.0]}
    (saving,) = savings(make_results(tmp_path, curves))
    assert (saving.factor, saving.reached) == (2, 2)
    assert str(saving) == "2× (2–4×), epoch 1–2; 1 of 3 seeds not in 1 epochs"


def test_standalone_may_have_been_there_before_its_end(tmp_path):
    (saving,) = savings(make_results(tmp_path, {("standalone", 0): [5.0, 3.9, 4.2, 4.0], ("transfer", 0): [4.0]}))
    assert saving.races[0].standalone_reached == 2
    assert "Standalone learning itself is first there at epoch 2." in savings_table([saving]).notes[0]


def test_no_saving_without_both(tmp_path):
    assert savings(make_results(tmp_path, {("standalone", 0): SLOW, ("transfer", 1): SLOW, ("other", 0): SLOW})) == []


def test_pretraining_of_a_plain_transfer_is_that_of_its_weights(tmp_path):
    curves = {("standalone", 0): SLOW, ("pretrain", 0): SLOW, ("transfer", 0): [9.0, 4.0]}
    for name, init in (("standalone", None), ("pretrain", None), ("transfer", "runs/pretrain/models/epoch_010")):
        folder = run_folder(tmp_path, name, 0)
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"images_per_epoch": 100, "init": init}))
    (saving,) = savings(make_results(tmp_path, curves))
    assert saving.factor_with_pretraining == pytest.approx(400 / (1000 + 200))
    (folder / "run.json").write_text("{")
    with pytest.raises(CsmriError, match=r"transfer/run\.json: damaged"):
        savings(make_results(tmp_path, curves))
