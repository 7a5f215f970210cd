"""A study with folds: nobody is tested by a network that saw them, all are tested once, and a stop costs nothing."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from csmri.config import Study
from csmri.core.errors import CsmriError
from csmri.data.records import read_records
from csmri.data.store import StoreWriter
from csmri.learning.record import origin_of
from csmri.methods.model import describe_saved_model, hash_subject
from csmri.results.folder import read_results
from csmri.results.tables import compare, quality_tables
from csmri.run import StudyRun, runner

STUDY = Study(
    seeds=(5,),
    pretrain_once=True,
    fold_subjects=2,
    phantom_subjects=(1, 2, 1),
    phantom_size=32,
    phantom_slices=1,
    base_channels=1,
    depth=1,
    passes=1,
    pretrain_at=(1,),
    example_subject="k_phantom_001",
    evaluation_accelerations=(4.0,),
    standalone={"epochs": 1},
    transfer={"epochs": 1},
)
FOLDS = {
    5: ("k_phantom_000", ["k_phantom_001", "k_phantom_002"]),
    6: ("k_phantom_001", ["k_phantom_000", "k_phantom_002"]),
    7: ("k_phantom_002", ["k_phantom_000", "k_phantom_001"]),
}
"""Seed -> who is tested and trained on."""
TRAININGS = ["standalone", "transfer_1"]


def changed(**fields):
    return Study(**{**STUDY.model_dump(), **fields})


@pytest.fixture(scope="module")
def lines():
    return []


@pytest.fixture(scope="module")
def results(lines, tmp_path_factory):
    """The study stopped in the middle of the second fold, and gone on with."""
    path = tmp_path_factory.mktemp("folds") / "results"

    def stop(line):
        lines.append(line)
        if re.search("seed 6, k_phantom_001 left out, transfer_1, about", line):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        StudyRun(STUDY, path, report=stop).run()
    assert {record.subject for record in read_records(path / "records.csv.xz")} == {"k_phantom_000"}
    assert StudyRun(STUDY, path, report=lines.append).run()
    return path


def test_plan_names_who_is_left_out_and_trains_once_on_the_source(tmp_path):
    run = StudyRun(STUDY, tmp_path / "results")
    assert [(stage.name, stage.repeat) for stage in run.stages] == [
        ("phantoms", ""),
        ("pretrain", "seed 5"),
        *[
            (name, f"seed {seed}, {tested} left out")
            for seed, (tested, _) in FOLDS.items()
            for name in (*TRAININGS, "evaluate")
        ],
        ("draw", ""),
    ]
    plan = run.plan()
    assert "0 of 12 stages done" in plan and not list(tmp_path.iterdir())
    assert re.search(r"left +seed 7, k_phantom_002 left out standalone +1 epochs", plan)
    starts = {line.index(name) for line in plan.splitlines()[1:] for name in ("pretrain", "standalone") if name in line}
    assert len(starts) == 1  # of the column


@pytest.mark.slow
def test_all_are_tested_once_by_networks_that_did_not_see_them(results):
    found = read_results(results)
    tested = {(record.method, record.seed, record.subject) for record in found.records}
    assert tested == {
        (method, -1 if method == "initial" else seed, subject)
        for seed, (subject, _) in FOLDS.items()
        for method in ("initial", *TRAININGS)
    }
    for seed, (subject, others) in FOLDS.items():
        for name in TRAININGS:
            assert json.loads((results / f"runs/seed_{seed}/{name}/run.json").read_text())["subjects"] == others
            saved = describe_saved_model(results / f"work/seed_{seed}/{name}/models/final")
            seen = set(saved.origin.subjects)
            assert hash_subject(subject) not in seen
            source = {hash_subject("york_phantom_000")} if name == "transfer_1" else set()
            assert seen == {hash_subject(other) for other in others} | source
            record = json.loads((results / f"work/seed_{seed}/{name}/run.json").read_text())
            assert set(origin_of(record).subjects) == seen
    assert json.loads((results / "study.json").read_text())["subjects"] == {
        "pretrain": ["york_phantom_000"],
        **{f"train of seed {seed}": others for seed, (_, others) in FOLDS.items()},
        "test": [subject for subject, _ in FOLDS.values()],
    }


@pytest.mark.slow
def test_study_that_was_stopped_is_the_one_that_was_not(results, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "draw_all", lambda results: [])  # costs as much as a training, and is no matter here
    whole = tmp_path / "results"
    assert StudyRun(STUDY, whole, report=lambda line: None).run()
    assert (whole / "records.csv.xz").read_bytes() == (results / "records.csv.xz").read_bytes()


@pytest.mark.slow
def test_what_is_done_is_not_done_again(results, lines):
    begun = [line.strip().partition(": ")[2].partition(", about")[0] for line in lines if line.startswith("\n")]
    assert [what for what in dict.fromkeys(begun) if begun.count(what) > 1] == [
        "seed 6, k_phantom_001 left out, transfer_1"  # where it was stopped
    ]
    told = []
    assert not StudyRun(STUDY, results, report=told.append).run()
    assert told == [f"{results}: all 12 stages are done, nothing to do"]


@pytest.mark.slow
def test_figure_4_shows_its_subject_in_its_fold(results):
    shown = {(one.subject, one.slice, tuple(one.methods)) for one in read_results(results).examples}
    assert shown == {("k_phantom_001", 0, ("initial", *TRAININGS))}


@pytest.mark.slow
def test_tables_and_report_speak_of_folds(results):
    found = read_results(results)
    (comparison,) = compare(found.records, "standalone", "transfer_1")
    assert comparison.n_subjects == 3
    tables = {table.name: table for table in quality_tables(found.records, found.fold_subjects)}
    assert "seeds" not in tables
    means, tests, shared = tables["nmse_heart"].notes[:3]
    assert means.startswith(
        "Mean ± standard deviation over 3 test subjects, each tested by networks trained on 2 others and first "
        "averaged over slices and frames; best in bold."
    )
    assert "paired over 3 subjects" in tests and "share training subjects" in shared
    text = (results / "table2_nmse.md").read_text() + (results / "table1_hyperparameters.md").read_text()
    assert "over 3 folds" in text and "over 3 seeds" not in text and "slices, frames and seeds" not in text
    assert re.search(r"\| seeds +\| +5 \| +5, 6, ..., one a fold \|", text)
    page = (results / "report.html").read_text()
    assert "3 subjects, each tested by networks trained on 2 others" in page
    assert "mean over 3 folds" in page and "5, 6, 7, one a fold" in page and "over seeds" not in page


@pytest.mark.slow
def test_a_fold_goes_on_with_its_own_subjects_only(results, tmp_path):
    path = shutil.copytree(results, tmp_path / "results")
    with pytest.raises(CsmriError, match="holds a study with fold_subjects = 2, not 1; choose another --out"):
        StudyRun(changed(fold_subjects=1), path)
    run = StudyRun(changed(fold_subjects=1), tmp_path / "other", path / "work", report=lambda line: None)
    with pytest.raises(
        CsmriError, match="seed_5/standalone: holds a run on k_phantom_001, k_phantom_002, not k_phantom_001; choose"
    ):
        run.run()
    # Of older runs, which do not tell, the data tell it.
    for record in (path / "work").rglob("run.json"):
        fields = json.loads(record.read_text())
        record.write_text(json.dumps({name: fields[name] for name in fields if name != "subjects"}))
    with pytest.raises(CsmriError, match="seed_5/standalone: holds a run on other data"):
        run.run()
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seeds": (0, 1)}, r"fold_subjects = 2: a fold takes the place of a seed; give one, .* not seeds = \[0, 1\]"),
        ({"pretrain_once": False}, "fold_subjects = 2: all folds start from one pretraining; .* pretrain_once = true"),
        ({"fold_subjects": 3}, r"for training and test phantom_subjects = \[1, 2, 1\] has 3"),
        ({"fold_subjects": -1}, "fold_subjects = -1: Input should be greater than or equal to 0"),
    ],
)
def test_impossible_folds_are_refused_by_their_config(fields, message):
    with pytest.raises(CsmriError, match=message):
        changed(**fields)


def test_impossible_folds_are_refused_by_their_stores(store, cines, tmp_path):
    named = {"pretrain_store": str(store.path), "target_store": str(store.path), "example_subject": ""}
    with pytest.raises(
        CsmriError, match=r"has 3 subjects in the splits train and test; folds that train on 3 .* need 4"
    ):
        StudyRun(changed(**named, fold_subjects=3), tmp_path / "results")
    with pytest.raises(CsmriError, match="'york_phantom_000' is no test subject; those are"):
        StudyRun(changed(**named | {"example_subject": "york_phantom_000"}), tmp_path / "results")
    # A subject of split train is tested, too, and must not be in the pretraining.
    with StoreWriter(tmp_path / "pretraining") as writer:
        writer.add(cines["k_phantom_000"], "pretrain")
    with pytest.raises(CsmriError, match="'k_phantom_000' of split 'pretrain' is a test subject"):
        StudyRun(changed(**named | {"pretrain_store": str(tmp_path / "pretraining")}), tmp_path / "results")
    with pytest.raises(CsmriError, match="images_per_epoch"):
        StudyRun(changed(**named, images_per_epoch=10**6), tmp_path / "results")
    assert not (tmp_path / "results").exists()
