"""Variants of a study: savings and errors are told variant by variant, in the order of the study."""

from __future__ import annotations

from dataclasses import replace

import pytest

from csmri.config import Study, write_config
from csmri.core.errors import CsmriError
from csmri.data.records import UNTRAINED, Record
from csmri.results.draw import draw
from csmri.results.folder import VARIANTS
from csmri.results.tables.variants import variant_rows, variants_table
from csmri.results.variants import Variant, make_variant, read_variants, variant_path, write_variant

STUDY = Study(
    seeds=(0, 1),
    pretrain_store="somewhere",
    target_store="somewhere",
    pretrain_at=(10,),
    standalone={"epochs": 30},
    transfer={"epochs": 15},
    variants={"slow": {"learning_rate": 1e-5}, "not done": {"learning_rate": 1e-4}},
    caption="Numerical data",
)
FALLING = [1 - 0.02 * epoch for epoch in range(1, 31)]
"""Standalone learning: 0.98 after an epoch, 0.4 after 30."""


def variant(name, seed, *, ahead):
    """A transfer that is `ahead` epochs ahead of standalone learning."""
    curves = {"standalone": FALLING, "transfer_10": [1 - 0.02 * (epoch + ahead) for epoch in range(1, 16)]}
    errors = {
        "initial": {"4": {"a": 2.0, "b": 4.0}, "8": {"a": 10.0, "b": 10.0}},
        "standalone": {"4": {"a": 1.0, "b": 2.0}, "8": {"a": 7.0, "b": 8.0 + seed}},
        "transfer_10": {"4": {"a": 1.0, "b": 2.0}, "8": {"a": 5.0, "b": 5.0}},
    }
    return Variant(name, seed, curves, {"standalone": 320, "transfer_10": 320}, errors, {})


@pytest.fixture
def results(tmp_path):
    write_config(STUDY, tmp_path / VARIANTS)
    for name, ahead in (("slow", 20), ("as it is", 16)):
        for seed in (0, 1):
            write_variant(variant(name, seed, ahead=ahead), variant_path(tmp_path, name, seed))
    return tmp_path


def test_what_is_written_reads_back(results):
    found = {(one.name, one.seed): one for one in read_variants(results)}
    assert found["slow", 1].curves == variant("slow", 1, ahead=20).curves
    assert found["slow", 1].errors == variant("slow", 1, ahead=20).errors


def test_a_row_tells_savings_and_errors_over_the_seeds(results):
    rows = variant_rows(results, STUDY)
    assert [row.name for row in rows] == ["as it is", "slow"]
    assert rows[0].errors["standalone"] == [pytest.approx((0.5 + 0.75) / 2), pytest.approx((0.5 + 0.8) / 2)]
    assert rows[0].errors["transfer_10"] == [0.5, 0.5]
    assert "initial" not in rows[0].errors
    assert rows[0].left["standalone"] == [pytest.approx(0.42)] * 2  # mean of 0.44, 0.42, 0.40
    (curve,) = rows[0].savings
    # Running means over five epochs at the ends are means over three: of 0.66 to 0.62 in the first of the transfer.
    assert curve.window == 5
    assert {race.reached for race in curve.readings["first reached"][20].races} == {4}


def test_the_table_is_what_the_rows_say(results):
    table = variants_table(variant_rows(results, STUDY))
    head, as_it_is, slow = table.rows
    assert head == [
        *["variant", "TL 10, N = 12", "TL 10, N = 30"],
        *["SL, training", "TL 10, training", "SL, test", "TL 10, test"],
    ]
    assert (
        as_it_is[0] == "as it is" and as_it_is[1] == "12×" and as_it_is[2].startswith("2.") and slow[2] != as_it_is[2]
    )
    assert as_it_is[-2:] == ["0.637", "0.500"]


def test_records_become_means_of_subjects():
    values = {"achieved": 4.0, "nmse": 9.0, "psnr": 1.0, "psnr_heart": 1.0, "ssim": 1.0, "ssim_heart": 1.0}
    records = [
        Record(subject, 0, frame, 4.0, method=method, seed=seed, nmse_heart=error, **values)
        for subject, frame, method, seed, error in (
            ("a", 0, "initial", UNTRAINED, 1.0),
            ("a", 1, "initial", UNTRAINED, 3.0),
            ("b", 0, "initial", UNTRAINED, 7.0),
            ("a", 0, "standalone", 5, 0.5),
        )
    ]
    log = [{"epoch": "1", "nmse": "0.5", "initial_nmse": "2", "seconds": "3.4"}]
    made = make_variant("slow", 5, {"standalone": log}, {"standalone": {"images_per_epoch": 7}}, records)
    assert made.errors == {"initial": {"4": {"a": 2.0, "b": 7.0}}, "standalone": {"4": {"a": 0.5}}}
    assert made.curves == {"standalone": [0.25]} and made.images_per_epoch == {"standalone": 7}
    assert made.made_with["standalone"]["seconds"] == 3


def test_csmri_figures_draws_and_tabulates(results):
    drawn = draw(results)
    assert {path.name for one in drawn for path in one.paths} == {"variants.md", "variants.tex", "variants.png"}
    assert any("as it is" in line for one in drawn for line in one.lines)
    assert "not done" not in (results / "variants.md").read_text()


def test_a_folder_without_variants_that_are_done_is_told_so(tmp_path):
    write_config(STUDY, tmp_path / VARIANTS)
    with pytest.raises(CsmriError, match="holds a study with variants that was stopped before it had results"):
        draw(tmp_path)


def test_a_damaged_variant_is_named(results):
    variant_path(results, "slow", 0).write_text('{"name": "slow"}')
    with pytest.raises(CsmriError, match="seed_0.json: not what `csmri study` keeps of a variant"):
        read_variants(results)


def test_a_transfer_that_never_gets_there_is_drawn_and_told(results):
    lost = replace(variant("slow", 0, ahead=0), curves={"standalone": FALLING, "transfer_10": [0.99] * 15})
    for seed in (0, 1):
        write_variant(replace(lost, seed=seed), variant_path(results, "slow", seed))
    draw(results)
    assert "<2×" in variants_table(variant_rows(results, STUDY)).rows[2][2]
