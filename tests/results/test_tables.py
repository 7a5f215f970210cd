"""Tables: form, best in bold, hand-checked tests of TL against SL, hyper-parameters, LaTeX that compiles."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from csmri.config import Study
from csmri.core.errors import CsmriError
from csmri.core.names import method_label, shown_methods
from csmri.data.extent import Extent
from csmri.data.records import QUALITIES, UNTRAINED, Record
from csmri.results.draw import draw
from csmri.results.folder import read_results
from csmri.results.tables import (
    Table,
    compare,
    latex,
    markdown,
    quality_tables,
    savings,
    savings_table,
    spread_over_seeds,
    table1,
    table2,
    write_tables,
)
from csmri.results.tables.paired import (
    least_sign_flip,
    paired_t_test,
    shown_difference,
    shown_effect,
    sign_flip_test,
    t_test_power,
)
from csmri.results.tables.quality import acceleration_head

NMSE = {"standalone": [4.0, 5.0, 6.0, 9.0], "transfer_10": [3.0, 4.5, 5.5, 8.0]}
"""x 1e-3, of four subjects; differences -1, -0.5, -0.5, -1."""


def make_record(**fields):
    quality = dict.fromkeys(QUALITIES, 0.5)
    common = {
        **{"subject": "a", "slice": 0, "frame": 0, "acceleration": 4.0, "achieved": 4.0},
        **{"method": "initial", "seed": UNTRAINED},
    }
    return Record(**{**common, **quality, **fields})


def make_records(values=NMSE, **fields):
    return [
        make_record(method=method, subject=subject, nmse_heart=nmse * 1e-3, **{"seed": 0, **fields})
        for method, some in values.items()
        for subject, nmse in zip("abcdefghijklmnopqrst", some, strict=False)
    ]


# --- table 2


@pytest.fixture
def unequal():
    """Subject `a` has 1 frame with NMSE 0.1, `b` has 3 with 0.2, 0.3, 0.4: over frames 0.25, over subjects 0.2."""
    values = [("a", 0, 0.1), ("b", 0, 0.2), ("b", 1, 0.3), ("b", 2, 0.4)]
    return [make_record(subject=subject, frame=frame, nmse_heart=value) for subject, frame, value in values]


def test_table_2_has_the_form_of_the_paper(unequal):
    better = [replace(record, method="transfer", nmse_heart=record.nmse_heart / 10) for record in unequal]
    faster = [
        replace(record, acceleration=8.0, achieved=8.0, nmse_heart=record.nmse_heart * 2)
        for record in [*unequal, *better]
    ]
    assert table2([*faster, *unequal, *better]).splitlines() == [
        "| nmse_heart x 1e-3 |             R = 4 |             R = 8 |",
        "|-------------------|------------------:|------------------:|",
        "| initial (IR)      |   200.00 ± 141.42 |   400.00 ± 282.84 |",
        "| transfer (TL)     | **20.00 ± 14.14** | **40.00 ± 28.28** |",
    ]


def test_table_of_psnr_is_not_scaled_and_more_is_better(unequal):
    assert table2(unequal, "psnr_heart").splitlines()[-1].split("|")[2].strip() == "0.50 ± 0.00"
    assert table2(unequal, "ssim").splitlines()[-1].split("|")[2].strip() == "0.5000 ± 0.0000"
    other = [replace(record, method="other", ssim=0.6) for record in unequal]
    assert table2([*unequal, *other], "ssim").splitlines()[-1].split("|")[2].strip() == "**0.6000 ± 0.0000**"


@pytest.mark.parametrize(
    ("achieved", "head"),
    [
        ({"a": 8.0}, "R = 8"),
        ({"a": 8.001}, "R = 8"),
        ({"a": 8.6364}, "R = 8 (8.64)"),
        ({"a": 7.9167, "b": 7.9167}, "R = 8 (7.92)"),
        ({"a": 7.9, "b": 8.4}, "R = 8 (8.2)"),  # the mean is 8.15
        ({"a": 7.8, "b": 8.2}, "R = 8"),
    ],
)
def test_heads_tell_the_acceleration_achieved(achieved, head):
    records = [
        make_record(subject=subject, acceleration=8.0, achieved=value, frame=frame)
        for subject, value in achieved.items()
        for frame in range(3 if subject == "a" else 1)
    ]
    assert acceleration_head(records, 8.0) == head
    for table in quality_tables(records):
        assert table.rows[0][1] == head
        assert ("in brackets the one achieved" in table.notes[0]) == ("(" in head)
    assert head in table2(records).splitlines()[0]
    assert head in latex(quality_tables(records)[0])


# --- images without content


@pytest.fixture
def with_blank():
    """Two subjects of two images, one of them blank, and a third subject of nothing but one."""
    nothing = dict.fromkeys(QUALITIES, math.nan)
    images = {("a", 0): 0.1, ("a", 1): None, ("b", 0): 0.3, ("b", 1): 0.5, ("c", 0): None}
    return [
        make_record(subject=s, frame=i, method=method, seed=0, **(nothing if v is None else {"nmse_heart": factor * v}))
        for (s, i), v in images.items()
        for method, factor in {"standalone": 1.0, "transfer_10": 0.5}.items()
    ]


NOTE = "2 of 5 images without content are left out."


def test_images_without_content_are_left_out_and_told_under_every_table(with_blank):
    tables = quality_tables([*with_blank, *(replace(record, seed=1) for record in with_blank)])
    assert [table.name for table in tables] == ["nmse_heart", "seeds", *[t.name for t in tables[2:]]]
    assert all(table.notes[-1] == NOTE for table in tables)
    assert all("nan" not in cell and "inf" not in cell for table in tables for row in table.rows for cell in row)
    rows = {row[0]: row[1] for row in tables[0].rows}
    assert rows["standalone (SL)"] == "250.00 ± 212.13" and rows["transfer 10 (TL10)"] == "**125.00 ± 106.07**"
    assert "over 2 test subjects" in tables[0].notes[0] and "paired over 2 subjects" in tables[0].notes[1]
    assert table2(with_blank).splitlines()[-2:] == ["", NOTE]
    assert NOTE not in table2([record for record in with_blank if record.frame == 0 and record.subject != "c"])


def test_a_subject_without_content_does_not_make_two_of_one(with_blank):
    records = [record for record in with_blank if record.subject != "b"]
    assert "of one test subject" in quality_tables(records)[0].notes[0]
    assert "±" not in table2(records)
    assert [one.n_subjects for one in compare(records, "standalone", "transfer_10")] == [1]


def test_a_psnr_of_a_blank_image_does_not_win():
    older = [
        make_record(method=method, frame=frame, psnr=psnr, nmse=math.nan if frame else 0.5)
        for method, values in {"one": (30.0, 35.0), "other": (20.0, math.inf)}.items()
        for frame, psnr in enumerate(values)
    ]
    assert [line.split("|")[2].strip() for line in table2(older, "psnr").splitlines()[2:4]] == ["**30.00**", "20.00"]


def test_a_method_without_an_acceleration_has_an_empty_cell():
    lines = table2([*make_records(), make_record(method="mine", acceleration=2.0)]).splitlines()
    assert [cell.strip() for cell in lines[-1].split("|")[1:-1]] == ["mine", "500.00 ± 0.00", "–"]


def test_methods_are_called_as_in_the_paper():
    names = ["initial", "standalone", "transfer_50", "transfer", "transfer_x", "mine"]
    called = ["initial (IR)", "standalone (SL)", "transfer 50 (TL50)", "transfer (TL)", "transfer_x", "mine"]
    assert list(map(method_label, names)) == called


@pytest.mark.parametrize(
    ("methods", "shown"),
    [
        (["standalone", "transfer_2", "transfer_10", "transfer_5"], ["standalone", "transfer_10"]),
        (["zero-filled", "initial", "mine", "transfer"], ["initial", "mine", "transfer"]),
        (["a", "b"], ["a", "b"]),
    ],
)  # fmt: skip
def test_of_the_transfers_only_the_last_is_shown(methods, shown):
    assert shown_methods(methods) == shown


# --- TL against SL


def test_comparison_by_hand():
    (comparison,) = compare(make_records(), "standalone", "transfer_10")
    # Mean difference -0.75, standard deviation sqrt(1/12): t = -0.75 / (sqrt(1/12) / 2) = -5.196 with 3 degrees.
    assert comparison.n_subjects == 4
    assert comparison.change == pytest.approx(21 / 24 - 1)
    assert comparison.t_test == pytest.approx(2 * stats.t.sf(0.75 * 2 * math.sqrt(12), 3))
    assert comparison.t_test == pytest.approx(stats.ttest_rel(*NMSE.values()).pvalue)
    # All four differences have one sign: of 16 sign flips only the two with equal signs reach their sum.
    assert comparison.sign_flip == comparison.least_sign_flip == 2 / 16
    # 2.128 standard deviations of the differences in four subjects; SL's mean is 6.
    assert comparison.shown == pytest.approx(2.128 * math.sqrt(1 / 12) / 6, rel=1e-3)


def test_sign_flips_by_hand():
    # |3 - 1| = 2; the sums of +-3 +-1 are 4, 2, -2, -4, all at least 2 away from zero.
    assert sign_flip_test(np.array([3.0, -1.0])) == 1
    # |1 + 2 + 4 - 3| = 4: 10, 4, 4, -2, 6, 0, 2, -6 and, in mirror image, 8 more... counted below.
    differences = np.array([1.0, 2.0, 4.0, -3.0])
    sums = [a + 2 * b + 4 * c + 3 * d for a in (1, -1) for b in (1, -1) for c in (1, -1) for d in (1, -1)]
    assert sign_flip_test(differences) == sum(abs(total) >= 4 for total in sums) / 16
    assert math.isnan(sign_flip_test(np.ones(17)))


def test_where_nothing_can_be_tested():
    assert math.isnan(paired_t_test(np.array([1.0])))
    assert math.isnan(paired_t_test(np.array([1.0, 1.0])))
    assert compare(make_records(), "standalone", "absent") == []

    assert math.isnan(shown_difference(np.array([1.0])))
    assert math.isnan(shown_difference(np.array([1.0, 1.0])))
    assert math.isnan(shown_difference(np.array([1.0, math.nan])))
    one = make_records({"standalone": [4.0], "transfer_10": [3.0]})
    (comparison,) = compare(one, "standalone", "transfer_10")
    assert math.isnan(comparison.t_test) and math.isnan(comparison.shown) and comparison.sign_flip == 1
    table = quality_tables(one)[0]
    assert table.rows[-3:] == [["p, paired t-test", "–"], ["shown with 80 %, %", "–"], ["p, sign-flip test", "1.000"]]
    assert "1 subject has both, and no difference can be tested" in table.notes[1]
    # Nothing is shown of differences that are the same in all subjects, and none is infinite.
    same = make_records({"standalone": [4.0, 4.0, 4.0], "transfer_10": [3.0, 3.0, 3.0]})
    assert quality_tables(same)[0].rows[-2] == ["shown with 80 %, %", "–"]


def test_power_is_the_published_one_and_that_of_an_experiment():
    # Faul et al., Behav Res Methods 2007, doi 10.3758/BF03193146: G*Power gives 34 pairs for d_z = 0.5 and a power of
    # 0.8, then 0.8078.
    assert t_test_power(0.5, 34) == pytest.approx(0.8078, abs=1e-4)
    assert t_test_power(0.5, 33) < 0.8 < t_test_power(0.5, 34)
    assert t_test_power(0.0, 8) == pytest.approx(0.05)
    assert shown_effect(8) == pytest.approx(1.156, abs=1e-3)
    rng = np.random.default_rng(0)
    for n in (2, 4, 8):
        drawn = rng.normal(shown_effect(n), 1, (20_000, n))
        assert np.mean(stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.01), n


def test_what_can_be_shown_scales_with_the_scatter_and_falls_with_the_subjects():
    differences = np.array([1.0, -2.0, 4.0, 0.5])
    assert shown_difference(10 * differences) == pytest.approx(10 * shown_difference(differences))
    assert shown_difference(differences + 7) == pytest.approx(shown_difference(differences))
    assert all(shown_effect(n) > shown_effect(n + 1) for n in (2, 3, 8, 16, 1000))
    assert shown_effect(10_000) == pytest.approx(0.028, abs=1e-4)  # (1.96 + 0.84) / 100
    for n in (1, 4, 8):
        assert least_sign_flip(n) == sign_flip_test(np.arange(1.0, n + 1))


def test_seeds_are_averaged_before_subjects_are_compared():
    shifted = make_records({"standalone": NMSE["standalone"], "transfer_10": [1.0, 2.5, 3.5, 6.0]}, seed=1)
    (comparison,) = compare([*make_records(), *shifted], "standalone", "transfer_10")
    assert comparison.n_subjects == 4
    assert comparison.change == pytest.approx((24 - 4 - 3) / 24 - 1)  # mean of -3 and -11 over the sum of 24


def test_tests_are_rows_below_table_2_and_small_samples_are_named():
    table = quality_tables(make_records())[0]
    assert table.rows[-4:] == [
        ["TL against SL, %", "−12.5"],
        ["p, paired t-test", "0.014"],
        ["shown with 80 %, %", "10.2"],
        ["p, sign-flip test", "0.125"],
    ]
    assert "over 4 test subjects" in table.notes[0]
    assert "TL is transfer 10 (TL10)" in table.notes[1]
    assert "cannot fall below p = 0.125 with 4. So few subjects cannot show" in table.notes[1]
    many = {method: [value + i / 7 * i for i, value in enumerate(values * 2)] for method, values in NMSE.items()}
    table = quality_tables(make_records(many))[0]
    assert "So few" not in table.notes[1] and "cannot fall below p = 0.00781 with 8" in table.notes[1]
    assert "in 8 subjects whose differences scatter as here" in table.notes[1]
    more = {method: [value + i / 7 * i for i, value in enumerate(values * 5)] for method, values in NMSE.items()}
    table = quality_tables(make_records(more))[0]
    assert table.rows[-1] == ["p, sign-flip test", "–"] and table.rows[-2][1] not in ("–", "nan")
    assert "(left out beyond 16 subjects)" in table.notes[1] and "in 20 subjects" in table.notes[1]


def test_without_sl_and_tl_there_is_no_test():
    table = quality_tables(make_records({"mine": [1, 2], "yours": [2, 3]}))[0]
    assert [row[0] for row in table.rows] == ["method", "mine", "yours"]


def test_spread_over_seeds_is_that_of_the_means():
    higher = make_records({method: [value + 2 for value in values] for method, values in NMSE.items()}, seed=1)
    records = [*make_records(), *higher, make_record()]
    spread = spread_over_seeds(records)
    assert spread == {(method, 4.0): pytest.approx(1e-3 * math.sqrt(2)) for method in NMSE}
    table = next(table for table in quality_tables(records) if table.name == "seeds")
    assert table.rows[1:] == [["standalone (SL)", "1.41"], ["transfer 10 (TL10)", "1.41"]]
    assert "seeds" not in [table.name for table in quality_tables(make_records())]


def test_folds_are_no_seeds():
    """Their means differ because their subjects do, and every subject counts once in mean and test."""
    folds = [replace(record, seed=ord(record.subject)) for record in make_records()]
    assert spread_over_seeds(folds) == {}
    assert table2(folds) == table2(make_records())
    assert compare(folds, "standalone", "transfer_10") == compare(make_records(), "standalone", "transfer_10")
    tables = {table.name: table for table in quality_tables(folds, 2)}
    assert "seeds" not in tables
    for table in tables.values():
        assert "4 test subjects, each tested by networks trained on 2 others and first averaged" in table.notes[0]
        assert "seed" not in " ".join(table.notes)
    assert "share training subjects" in tables["nmse_heart"].notes[2]
    assert "trained on 1 other and" in quality_tables(folds, 1)[0].notes[0]


def test_range_of_psnr_and_ssim_is_stated(study_results):
    tables = {table.name: table for table in quality_tables(read_results(study_results).records)}
    assert list(tables) == ["nmse_heart", "seeds", "nmse", "psnr_heart", "psnr", "ssim_heart", "ssim"]
    for name in ("psnr_heart", "psnr", "ssim_heart", "ssim"):
        assert "maximum of the slice's reference over all frames" in tables[name].notes[0]


def test_ssim_that_could_not_be_told_has_no_table():
    tables = quality_tables([make_record(ssim_heart=math.nan)])
    assert "ssim_heart" not in [table.name for table in tables]


# --- table 1

TUNING = """stage,optimizer,learning_rate,schedule,batch_size,images,initial_nmse,nmse_half_way,nmse,seconds
target,adam,0.001,constant,8,10752,0.007,0.0065,0.006,100
target,adam,0.003,constant,8,10752,0.007,,0.0061,100
pretraining,adam,0.01,constant,8,10752,0.007,0.0065,0.006,100
"""


def test_table_1_has_the_fields_of_the_study(tmp_path):
    study = Study(
        optimizer="sgd", learning_rate=0.5, pretrain={"learning_rate": 0.25}, schedule="cosine", batch_size=16
    )
    (table,) = table1(study, tmp_path)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["optimiser"] == ["SGD, Nesterov momentum 0.9"] * 2
    assert rows["learning rate"] == ["0.25", "0.5"]
    assert rows["schedule"] == ["cosine to 0"] * 2
    assert rows["batch size"] == ["16 images"] * 2
    assert rows["epochs"] == ["50", "SL 100, TL 100"]
    assert rows["initialisation"][1] == "SL Glorot uniform, TL pretrained for 10, 20, 50 epochs"
    assert rows["augmentation"] == ["none", "flips, 90° rotation"]
    assert rows["channels, depth"] == ["64, 4"] * 2
    assert rows["part of an image"] == ["all"] * 2
    (table,) = table1(Study(loss="relative", crop_columns=32), tmp_path)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["loss"] == ["mean squared error of T over that of I"] * 2
    assert rows["part of an image"] == ["32 columns at random"] * 2


def test_table_1_tells_standalone_and_transfer_apart_where_they_differ(tmp_path):
    study = Study(standalone={"epochs": 40}, transfer={"epochs": 30, "learning_rate": 1e-4, "augment": False})
    (table,) = table1(study, tmp_path)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["epochs"] == ["50", "SL 40, TL 30"]
    assert rows["learning rate"] == ["0.001", "SL 0.001, TL 0.0001"]
    assert rows["augmentation"] == ["none", "SL flips, 90° rotation, TL none"]
    assert rows["batch size"] == ["8 images"] * 2


def test_subjects_of_folds_are_not_said_to_be_untested(tmp_path):
    (tmp_path / "tuning.csv").write_text(TUNING)
    sizes, tried = table1(Study(seeds=(3,), pretrain_once=True, fold_subjects=4), tmp_path)
    assert sizes.rows[-2:] == [
        ["seeds", "3", "3, 4, ..., one a fold"],
        ["subjects of a fold", "–", "4, and another to test"],
    ]
    assert "none of them tested on" not in tried.notes[0]
    assert "none of them tested on" in table1(Study(), tmp_path)[1].notes[0]


def test_what_was_tried_stands_below_with_the_chosen_in_bold(tmp_path):
    (tmp_path / "tuning.csv").write_text(TUNING)
    table = table1(Study(), tmp_path)[1]
    assert [row[2] for row in table.rows[1:]] == ["**0.001**", "0.003", "0.01"]
    assert table.rows[2][6:] == ["7.000", "–", "6.100"]
    assert table.notes[1:] == ["The study's setting is not among those tried for stage pretraining."]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a table of tuning; expected rows"),
        ("a,b\n1,2\n", "not a table of tuning; expected rows"),
        (TUNING + "target,adam\n", "not a table of tuning"),
        (TUNING.replace("pretraining", "guessing"), "unknown stage 'guessing'"),
        (TUNING.replace("10752", "many"), "invalid literal .* in stage 'target'"),
    ],
)
def test_what_is_no_tuning_is_refused(tmp_path, text, message):
    (tmp_path / "tuning.csv").write_text(text)
    with pytest.raises(CsmriError, match=rf"tuning\.csv: {message}"):
        table1(Study(), tmp_path)


# --- Markdown and LaTeX


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a|b", r"a\|b"),
        (r"a\|b", r"a\\\|b"),
        (r"a\b", r"a\b"),
        ("||", r"\|\|"),
        ("a\nb", "a b"),
        ("**a|b**", r"**a\|b**"),
    ],
)
def test_a_cell_of_markdown_stays_one(text, cell):
    """What follows from GitHub's rules: a pipe is text after an odd number of backslashes, of which pairs are one."""
    lines = markdown([["head", text], [text, "1"]]).splitlines()
    assert [line.count("|") - line.count("\\|") for line in lines] == [3, 3, 3]
    assert f" {cell} |" in lines[0] and f"| {cell} " in lines[2]
    assert len(set(map(len, lines))) == 1


def test_markdown_is_aligned():
    assert markdown([["a", "b"], ["long", "1"]]) == "| a    | b |\n|------|--:|\n| long | 1 |"


def test_latex_is_escaped():
    rows = [["a_b & 50 %", "R = 4"], [r"x\y{z}~^#$", "**1 ± 2**"], ["n × 10⁻³", "−3 – <4°"]]
    text = latex(Table("x", "50 % & more", rows, ["a_note"]))
    assert r"a\_b \& 50 \% & R = 4 \\" in text
    assert r"x\textbackslash{}y\{z\}\textasciitilde{}\textasciicircum{}\#\$ & \textbf{1 $\pm$ 2} \\" in text
    assert r"n $\times$ 10$^{-3}$ & $-$3 -- $<$4$^\circ$ \\" in text
    assert r"\caption{50 \% \& more}" in text
    assert r"a\_note" in text


def test_tables_of_a_study_are_latex(study_results):
    """Balanced braces and environments, as many columns as cells, and no character that LaTeX does not know."""
    results = read_results(study_results)
    tables = [*quality_tables(results.records), savings_table(savings(results)), *table1(results.study, study_results)]
    for path in write_tables(tables, study_results / "all.md"):
        assert path.read_text(encoding="utf-8").endswith("\n")
    text = Path(study_results / "all.tex").read_text(encoding="utf-8")
    assert text.isascii()
    bare = re.sub(r"\\[{}%$&_#]", "", text)
    assert bare.count("{") == bare.count("}") > 0
    assert bare.count("$") % 2 == 0
    assert text.count(r"\begin{") == text.count(r"\end{") == 2 * len(tables)
    for part in text.split(r"\begin{tabular}{")[1:]:
        columns, _, body = part.partition("}")
        for line in body.partition(r"\end{tabular}")[0].splitlines():
            if line.endswith(r"\\"):
                assert re.sub(r"\\&", "", line).count("&") == len(columns) - 1
    both = (study_results / "all.md").read_text(encoding="utf-8")
    assert both.count("\n|--") == len(tables)
    assert "**1." in both


def test_a_table_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CsmriError, match=r"table\.md: could not be written .*file is no folder"):
        write_tables([], tmp_path / "file" / "table.md")


def test_a_study_tells_how_far_the_signal_reaches(study_results):
    narrow = asdict(Extent(256, 0.003, 0.05, 171))
    (study_results / "study.json").write_text(json.dumps({"extents": {"k_phantom_003": narrow, "trained": narrow}}))
    draw(study_results, ["table2"])
    assert "Of 256 lines about 171 carry signal, as in images" in (study_results / "table2_nmse.tex").read_text()
