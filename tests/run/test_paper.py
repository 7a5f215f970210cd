"""A study is a plan: nothing runs twice, a stop costs nothing, what cannot be meant is refused before any training."""

from __future__ import annotations

import json
import shutil

import pytest

from csmri.config import Study, read_study, write_config
from csmri.core.errors import CsmriError
from csmri.data.records import read_records
from csmri.data.runs import read_log
from csmri.data.store import StoreWriter, open_store
from csmri.results.folder import read_results
from csmri.run import StudyRun, runner
from csmri.run.plan import DRAWING_SECONDS, Pace

FIELDS = {
    "seeds": (3,),
    "base_channels": 2,
    "depth": 1,
    "passes": 1,
    "pretrain_at": (1, 2),
    "standalone": {"epochs": 2},
    "transfer": {"epochs": 1},
    "evaluation_accelerations": (4.0, 8.0),
}
TRAININGS = ["pretrain", "standalone", "transfer_1", "transfer_2"]


@pytest.fixture(scope="module")
def study(store):
    return Study(**FIELDS, pretrain_store=str(store.path), target_store=str(store.path))


@pytest.fixture(scope="module")
def lines():
    return []


@pytest.fixture(scope="module")
def results(study, lines, tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "results"
    assert StudyRun(study, path, report=lines.append).run()
    return path


@pytest.fixture
def undrawn(monkeypatch):
    """Figures and report cost as much as a training, and are no matter of who looks at the records only."""
    monkeypatch.setattr(runner, "draw_all", lambda results: [])


def changed(study, **fields):
    return Study(**{**study.model_dump(), **fields})


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_results_hold_the_logs_of_every_training_and_the_records_of_every_method(results, store):
    found = read_results(results)
    assert list(found.logs) == [(name, 3) for name in TRAININGS]
    assert [len(log) for log in found.logs.values()] == [2, 2, 1, 1]
    frames = sum(entry.n_slices * entry.n_frames for entry in store.of_split("test"))
    methods = ["initial", *TRAININGS[1:]]
    assert len(found.records) == frames * len(methods) * 2
    assert {(record.method, record.seed) for record in found.records} == {
        (method, -1 if method == "initial" else 3) for method in methods
    }
    assert {record.subject for record in found.records} == {entry.subject for entry in store.of_split("test")}
    assert {example.acceleration for example in found.examples} == {4.0, 8.0}
    assert list(found.examples[0].methods) == ["initial", "standalone", "transfer_2"]
    assert found.study is not None


def test_transfer_starts_where_the_pretraining_was_at_that_epoch(results):
    start = {name: read_log(results / "runs" / "seed_3" / name / "log.csv")[0]["nmse"] for name in TRAININGS}
    assert start["standalone"] != start["transfer_1"] != start["transfer_2"]


def test_plan_is_printed_first_and_again_as_it_goes(lines):
    plans = [line for line in lines if "stages done" in line]
    assert len(plans) == 7
    assert "0 of 6 stages done, about" in plans[0] and plans[0].count("  left ") == 6
    assert "2 of 6 stages done" in plans[2] and plans[2].count("  done ") == 2
    assert "6 of 6 stages done" in plans[-1] and "about" not in plans[-1]


def test_second_run_does_nothing_and_says_so(study, results):
    before, told = contents(results), []
    assert not StudyRun(study, results, report=told.append).run()
    assert told == [f"{results}: all 6 stages are done, nothing to do"]
    assert contents(results) == before


@pytest.mark.parametrize("stop_before", [pytest.param("pretrain", marks=pytest.mark.slow), "transfer_2", "evaluate"])
def test_stopped_study_goes_on_to_the_same_records(study, results, undrawn, tmp_path, stop_before):
    # What a stop leaves: the stages before it, which the whole study holds too, copied from there.
    path = tmp_path / "results"
    kept = TRAININGS[: TRAININGS.index(stop_before)] if stop_before in TRAININGS else TRAININGS
    for name in kept:
        shutil.copytree(results / "work" / "seed_3" / name, path / "work" / "seed_3" / name)

    def stop(line):
        if f", {stop_before}, about" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        StudyRun(study, path, report=stop).run()
    assert not (path / "records.csv.xz").exists()
    told = []
    assert StudyRun(study, path, report=told.append).run()
    assert f"{len(kept)} of 6 stages done" in told[0]
    assert (path / "records.csv.xz").read_bytes() == (results / "records.csv.xz").read_bytes()


@pytest.mark.slow
def test_further_seeds_go_on_with_the_study(study, results, undrawn, tmp_path):
    path = shutil.copytree(results, tmp_path / "results")
    more = changed(study, seeds=(3, 4))
    assert StudyRun(more, path, report=lambda line: None).run()
    records = read_records(path / "records.csv.xz")
    assert {record.seed for record in records} == {-1, 3, 4}
    assert [record for record in records if record.seed != 4] == read_records(results / "records.csv.xz")
    assert sum(record.seed == -1 for record in records) * 3 == sum(record.seed == 4 for record in records)
    # The other way round, seed 4 would silently drop out.
    with pytest.raises(CsmriError, match="seeds"):
        StudyRun(study, path)


def test_what_is_tested_and_kept_is_not_trained_again_where_the_work_folder_is_gone(study, results, tmp_path):
    path = shutil.copytree(results, tmp_path / "results", ignore=shutil.ignore_patterns("work"))
    before, told = contents(path), []
    assert not StudyRun(study, path, report=told.append).run()
    assert "nothing to do" in told[0] and contents(path) == before
    left = [stage for stage in StudyRun(changed(study, seeds=(3, 4)), path).stages if not stage.is_done()]
    assert [stage.name for stage in left] == [*TRAININGS, "evaluate"] and {stage.seed for stage in left} == {4}
    shutil.rmtree(path / "runs" / "seed_3" / "transfer_1")
    assert [stage.name for stage in StudyRun(study, path).stages if not stage.is_done()] == ["transfer_1", "draw"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 3}, "holds a study with batch_size = 8, not 3; choose another --out"),
        ({"pretrain_at": (1,)}, r"holds a study with pretrain_at = \[1, 2\], not \[1\]"),
        ({"standalone": {"epochs": 3}}, r"holds a study with \[standalone\] epochs = 2, not 3; choose another --out"),
        ({"pretrain": {"passes": 2}}, r"holds a study with \[pretrain\] passes = 1, not 2"),
        ({"seeds": (4, 3)}, r"holds a study with seeds = \[3\], not \[4, 3\]"),
        ({"example_subject": "k_phantom_000"}, "'k_phantom_000' is no test subject; those are"),
    ],
)
def test_changed_study_is_refused(study, results, fields, message):
    before = contents(results)
    with pytest.raises(CsmriError, match=message):
        StudyRun(changed(study, **fields), results)
    assert contents(results) == before


def test_changed_data_is_refused(study, results, cines, tmp_path):
    with StoreWriter(tmp_path / "other") as writer:
        for cine, split in zip(cines.values(), ("test", "train", "test", "test", "pretrain"), strict=True):
            writer.add(cine, split)
    path = shutil.copytree(results, tmp_path / "results")
    (path / "records.csv.xz").unlink()
    other = str(tmp_path / "other")
    write_config(changed(study, target_store=other), path / "study.toml")
    with pytest.raises(CsmriError, match="holds a study on other data in target_store"):
        StudyRun(changed(study, target_store=other), path, report=lambda line: None).run()


def test_trainings_of_another_study_in_the_work_folder_are_refused(study, results, tmp_path):
    run = StudyRun(changed(study, batch_size=4), tmp_path / "other", results / "work", report=lambda line: None)
    with pytest.raises(CsmriError, match="holds a run with batch_size = 8, not 4; choose another folder"):
        run.run()
    assert not (tmp_path / "other").exists()


def test_other_heart_boxes_are_refused(study, results, tmp_path):
    path = shutil.copytree(results, tmp_path / "results")
    record = json.loads((path / "study.json").read_text())
    record["made_of"]["heart boxes"]["k_phantom_002"] = [0, 0, 5, 5]
    (path / "study.json").write_text(json.dumps(record))
    with pytest.raises(CsmriError, match="holds results with other heart boxes"):
        StudyRun(study, path, path / "work", report=lambda line: None).run()


def test_missing_store_is_refused_in_one_line(study, tmp_path):
    with pytest.raises(CsmriError, match="target_store = 'nowhere': no such store; `csmri prepare SOURCE... nowhere`"):
        StudyRun(changed(study, target_store="nowhere"), tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_store_is_found_through_the_environment(study, store, tmp_path, monkeypatch):
    monkeypatch.setenv("CSMRI_TEST_STORES", str(store.path.parent))
    named = changed(study, target_store="${CSMRI_TEST_STORES}/" + store.path.name)
    assert StudyRun(named, tmp_path / "results").target_store == store


def test_subject_both_trained_and_tested_is_refused_whatever_the_store(study, cines, tmp_path):
    path = tmp_path / "pretraining"
    with StoreWriter(path) as writer:
        writer.add(cines["k_phantom_002"], "pretrain")
    with pytest.raises(CsmriError, match="'k_phantom_002' of split 'pretrain' is a test subject"):
        StudyRun(changed(study, pretrain_store=str(path)), tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_impossible_training_is_refused_before_anything_is_written(study, tmp_path):
    with pytest.raises(CsmriError, match="images_per_epoch"):
        StudyRun(changed(study, images_per_epoch=10**6), tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_folder_of_other_results_is_refused(study, tmp_path):
    (tmp_path / "records.csv.xz").write_text("")
    with pytest.raises(CsmriError, match="holds records.csv.xz of an experiment that it does not tell"):
        StudyRun(study, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(CsmriError, match="is a file"):
        StudyRun(study, tmp_path / "file")


def test_one_pretraining_can_serve_all_seeds(study, results, tmp_path):
    run = StudyRun(changed(study, seeds=(3, 4), pretrain_once=True), tmp_path / "results")
    assert [stage.seed for stage in run.stages if stage.name == "pretrain"] == [3]
    inits = {stage.init for stage in run.stages if stage.name == "transfer_2"}
    assert inits == {tmp_path / "results" / "work" / "seed_3" / "pretrain" / "models" / "epoch_002"}


def test_phantoms_are_made_where_no_store_is_named(tmp_path):
    study = Study(**FIELDS, phantom_subjects=(1, 2, 1), phantom_size=32, phantom_slices=1)
    run = StudyRun(study, tmp_path / "results")
    planned = run.target_store.entries
    assert [entry.split for entry in planned] == ["pretrain", "train", "train", "test"]
    assert "left" in run.plan() and not list(tmp_path.iterdir())  # a plan writes nothing
    assert [stage.name for stage in run.stages][:2] == ["phantoms", "pretrain"]
    run.do(run.stages[0])
    made = run.target_store.entries
    for name in ("subject", "split", "n_slices", "n_frames", "matrix"):
        assert [getattr(entry, name) for entry in made] == [getattr(entry, name) for entry in planned]
    assert run.stages[0].is_done()
    assert StudyRun(study, tmp_path / "results").target_store == run.target_store == open_store(run.target_store.path)


def test_estimate_counts_what_is_left_only(study, results, tmp_path):
    pace = Pace(image=2.0, quality=0.5)
    fresh = StudyRun(study, tmp_path / "results").stages
    assert pace.seconds_left(fresh[0]) == 2 * fresh[0].images * 2.0
    assert pace.seconds_left(fresh[-2]) == pytest.approx(fresh[-2].images * (2.0 / 3 + 0.5))
    assert pace.seconds_left(fresh[-1]) == DRAWING_SECONDS
    assert all(pace.seconds_left(stage) == 0 for stage in StudyRun(study, results).stages)
    corrected = pace.corrected(fresh[0], expected=10.0, took=30.0)
    assert corrected == Pace(image=6.0, quality=0.5)
    assert pace.corrected(fresh[-2], expected=10.0, took=30.0) == pace


def test_config_of_a_study_comes_back(study, tmp_path):
    write_config(study, tmp_path / "study.toml")
    assert read_study(tmp_path / "study.toml") == study


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seeds": (1, 1)}, "names something twice"),
        ({"pretrain_at": ()}, "at least 1 item"),
        ({"pretrain_store": "one"}, "give both pretrain_store and target_store"),
        ({"phantom_subjects": (1, 1)}, "phantom_subjects"),
        ({"epochs": 3}, "unknown key 'epochs'"),
    ],
)
def test_impossible_study_is_refused_with_file_and_key(fields, message, tmp_path):
    path = tmp_path / "study.toml"
    path.write_text("\n".join(f"{name} = {list(v) if isinstance(v, tuple) else v!r}" for name, v in fields.items()))
    with pytest.raises(CsmriError, match=f"study.toml: .*{message}"):
        read_study(path)
