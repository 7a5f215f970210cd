"""The saving against the length of standalone learning, on curves with a known answer and on the committed logs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from csmri.results.folder import Results, read_results, run_folder
from csmri.results.tables import lengths_tables, saving_curves, savings
from csmri.results.tables.lengths import (
    FIRST,
    PAPER,
    SUSTAINED,
    Factor,
    Spread,
    View,
    epochs_needed,
    running_mean,
    shown_lengths,
    spread,
)
from csmri.results.tables.savings import Race, Saving

ACDC = Path(__file__).parents[2] / "results/acdc"
FALLING = [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]


def make_results(path, curves, images=None, init=None):
    """Results with logs {(training, seed): NMSE after every epoch}, `images` an epoch {training: number}."""
    logs = {
        key: [{"epoch": str(epoch), "nmse": str(nmse), "initial_nmse": "1"} for epoch, nmse in enumerate(values, 1)]
        for key, values in curves.items()
    }
    for training, seed in logs if images else ():
        folder = run_folder(path, training, seed)
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"images_per_epoch": images[training], "init": init}))
    return Results(path, None, logs, ())


def needed(curve, reading):
    """N -> epochs that the only seed needs."""
    return {n: saving.races[0].reached for n, saving in curve.readings[reading].items()}


def test_what_is_there_at_once_saves_all_but_an_epoch(tmp_path):
    (curve,) = saving_curves(make_results(tmp_path, {("standalone", 0): FALLING, ("transfer", 0): [1.0] * 9}))
    assert curve.lengths == list(range(1, 10))
    for reading in (FIRST, SUSTAINED):
        assert set(needed(curve, reading).values()) == {1}
        assert [str(spread(curve.readings[reading][n])) for n in (1, 4, 9)] == ["1×", "4×", "9×"]


def test_what_is_never_reached_is_no_number(tmp_path):
    (curve,) = saving_curves(make_results(tmp_path, {("standalone", 0): FALLING, ("transfer", 0): [9.5, 9.5, 9.5]}))
    for savings_at in curve.readings.values():
        assert spread(savings_at[6]) == Spread(*[Factor(2.0, "<")] * 3)  # 6 epochs over the 3 it was trained
        assert str(spread(savings_at[6])) == "<2×"
        assert epochs_needed(savings_at[6]) == ">3"
    assert all(not one.median.known for _, one in View(False, False).points(curve, FIRST))


def test_a_lucky_epoch_counts_as_first_reached_and_not_as_sustained(tmp_path):
    transfer = [9.0, 9.0, 2.0, 9.0, 9.0, 3.0, 3.0, 3.0, 3.0]
    (curve,) = saving_curves(make_results(tmp_path, {("standalone", 0): FALLING, ("transfer", 0): transfer}))
    assert curve.window == 3
    # Means of three: 9, 6.7, 6.7, 6.7, 7, 5, 3, 3, 3 against 8.5, 8, 7, 6, 5, 4, 3, 2, 1.5.
    assert needed(curve, FIRST) == {1: 1, 2: 3, 3: 3, 4: 3, 5: 3, 6: 3, 7: 3, 8: 3, 9: None}
    assert needed(curve, SUSTAINED) == {1: 2, 2: 2, 3: 2, 4: 6, 5: 6, 6: 7, 7: 7, 8: None, 9: None}


def test_a_running_mean_is_centred_and_short_at_the_ends():
    assert running_mean({1: 1.0, 2: 2.0, 3: 6.0, 4: 5.0}, 3) == pytest.approx({1: 1.5, 2: 3, 3: 13 / 3, 4: 5.5})
    assert running_mean({3: 1.0, 5: 3.0, 6: 5.0}, 3) == {3: 1.0, 5: 4.0, 6: 4.0}  # an epoch that is not there is not 0
    assert running_mean({1: 1.0, 2: 2.0}, 1) == {1: 1.0, 2: 2.0}


@pytest.mark.parametrize(("n_epochs", "window"), [(1, 1), (8, 1), (9, 3), (15, 5), (26, 7), (27, 9), (100, 9)])
def test_the_window_fits_the_shortest_log(tmp_path, n_epochs, window):
    curves = {("standalone", 0): [1.0] * 100, ("transfer", 0): [1.0] * n_epochs}
    assert saving_curves(make_results(tmp_path, curves))[0].window == window


def test_images_of_a_pretraining_that_all_seeds_share_are_counted(tmp_path):
    curves = {(name, seed): FALLING for name in ("standalone", "transfer_10") for seed in (0, 1)}
    curves |= {("pretrain", 0): FALLING, ("transfer_10", 0): [9.5, 4.5] + [9.5] * 7, ("transfer_10", 1): [9.5] * 9}
    images = {"standalone": 100, "transfer_10": 50, "pretrain": 200}
    (curve,) = saving_curves(make_results(tmp_path, curves, images))
    reached, missed = curve.readings[FIRST][4].races
    assert (reached.reached, missed.reached) == (2, None)
    assert reached.images_ratio == missed.images_ratio == 400 / 2000
    assert reached.factor_with_pretraining == pytest.approx(400 / (2000 + 2 * 50))
    assert missed.bound_with_pretraining == pytest.approx(400 / (2000 + 9 * 50))
    counted = spread(curve.readings[FIRST][4], counted=True)
    assert not counted.median.known and not counted.low.known and counted.high.known
    assert str(counted) == "<0.16× (<0.16–0.19×)"
    assert View(True, True).points(curve, FIRST)[3][0] == 0.2
    assert lengths_tables([curve])[0].rows[0] == ["N", "TL 10", "TL 10, pretraining counted"]
    row = next(row for row in lengths_tables([curve])[1].rows if row[0] == "4")
    assert row[:5] == ["4", "0.2", ">9 (2–>9)", "<0.44× (<0.44–2×)", "<0.16× (<0.16–0.19×)"]


def test_without_numbers_of_images_none_are_told(tmp_path):
    (curve,) = saving_curves(make_results(tmp_path, {("standalone", 0): FALLING, ("transfer", 0): FALLING}))
    assert spread(curve.readings[FIRST][4], counted=True) is None
    assert View(True, False).points(curve, FIRST) == View(False, True).points(curve, FIRST) == []
    overview, details = lengths_tables([curve])
    assert overview.rows[0] == ["N", "TL"]
    assert {(row[1], row[4], row[7]) for row in details.rows[1:]} == {("–", "–", "–")}
    assert lengths_tables([]) == []


def of_seeds(*races):
    """Saving from pairs (epoch reached or None, epochs trained) against 10 epochs of standalone learning."""
    return Saving(
        "transfer", [Race(s, 1, 10, trained, 1, reached, 10, None) for s, (reached, trained) in enumerate(races)]
    )


@pytest.mark.parametrize(
    ("races", "said", "epochs"),
    [
        ([(5, 10)], "2×", "5"),
        ([(5, 10), (2, 10), (1, 10)], "5× (2–10×)", "2 (1–5)"),
        ([(5, 10), (2, 10)], "3.5× (2–5×)", "4 (2–5)"),
        ([(None, 10), (2, 10), (1, 10)], "5× (<1–10×)", "2 (1–>10)"),
        ([(None, 10), (None, 10), (1, 10)], "<1× (<1–10×)", ">10 (1–>10)"),
        ([(None, 10), (2, 10)], "<1× (<1–5×)", ">10 (2–>10)"),
        ([(None, 10), (None, 5)], "<1× (<1–<2×)", ">10"),
        # One that was trained for an epoch only could save more than all others: only bounds are known.
        ([(None, 1), (5, 10), (2, 10)], "≤5× (≤2–<10×)", "5 (2–>1)"),
    ],
)
def test_seeds_that_fail_lie_anywhere_below_their_bound(races, said, epochs):
    saving = of_seeds(*races)
    assert str(spread(saving)) == said
    assert epochs_needed(saving) == epochs


def test_the_last_length_is_the_table_of_savings(study_results):
    results = read_results(study_results)
    curves = saving_curves(results)
    assert [curve.readings[FIRST][10] for curve in curves] == savings(results)
    assert [curve.training for curve in curves] == ["transfer_2", "transfer_5"]


def test_lengths_go_as_far_as_every_seed(tmp_path):
    curves = {("standalone", 0): FALLING, ("standalone", 1): FALLING[:5]}
    curves |= {("transfer", seed): FALLING for seed in (0, 1, 2)}
    (curve,) = saving_curves(make_results(tmp_path, curves))
    assert curve.lengths == [1, 2, 3, 4, 5]
    assert [race.seed for race in curve.readings[FIRST][5].races] == [0, 1]


@pytest.mark.parametrize(
    ("n", "rows"),
    [(100, [5, 10, 20, 40, 60, 80, 100]), (12, [1, 2, 5, 7, 10, 12]), (1, [1]), (8, [1, 2, 3, 5, 6, 8])],
)
def test_rows_suit_any_length(tmp_path, n, rows):
    curves = {("standalone", 0): [1.0] * n, ("transfer", 0): [1.0]}
    assert shown_lengths(saving_curves(make_results(tmp_path, curves))) == rows


def test_the_paper_s_numbers():
    """Sections 2.1 to 2.4: 100 epochs of 6,624 images; 10, 20, 50 epochs of 6,880."""
    assert [saving.factor for saving in PAPER] == [5, 20, 50]
    assert [round(x, 1) for _, x, _ in View(True, False).paper] == [9.6, 4.8, 1.9]
    by_hand = [662_400 / (epochs * 6_880 + reached * 6_624) for epochs, reached in ((10, 20), (20, 5), (50, 2))]
    assert [factor for *_, factor in View(False, True).paper] == pytest.approx(by_hand)


def test_on_acdc_the_saving_is_as_it_was_read_by_hand():
    """Lowest and highest of three seeds, sustained; read off results/acdc on 2026-11-26 by another program."""
    found = {curve.training: curve for curve in saving_curves(read_results(ACDC))}

    def ends(training, n):
        one = spread(found[training].readings[SUSTAINED][n])
        return tuple(float(f"{end.value:.2g}") if end.known else math.nan for end in (one.low, one.high))

    table = {20: [(2.9, 3.3), (20, 20), (20, 20)], 40: [(1.4, 2.9), (3.1, 40), (40, 40)]}
    table |= {60: [(1.4, 2.3), (2.4, 6), (10, 60)], 100: [(math.nan, 1.7), (1.4, 2.7), (3.7, 10)]}
    for n, rows in table.items():
        for epochs, row in zip((10, 20, 50), rows, strict=True):
            assert ends(f"transfer_{epochs}", n) == pytest.approx(row, nan_ok=True), (n, epochs)
