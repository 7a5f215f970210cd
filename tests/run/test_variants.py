"""A study with variants: what they share is trained once, what each came to is kept, what is wrong is refused."""

from __future__ import annotations

import json
import shutil

import pytest

from csmri.config import Study, read_study, write_config
from csmri.core.errors import CsmriError
from csmri.data.records import UNTRAINED, mean_over_subjects, read_records
from csmri.data.runs import read_log, relative_nmse
from csmri.results.variants import read_variants, variant_path
from csmri.run import StudyRun, VariantsRun, runner

FIELDS = {
    "seeds": (3,),
    "base_channels": 2,
    "depth": 1,
    "passes": 1,
    "pretrain_at": (1,),
    "pretrain_once": True,
    "standalone": {"epochs": 2},
    "transfer": {"epochs": 1},
    "evaluation_accelerations": (4.0,),
}
VARIANTS = {
    "slow": {"learning_rate": 1e-5},
    "transfer alone is slow": {"transfer": {"learning_rate": 1e-6}},
}


def study_of(store, **fields):
    stores = {"pretrain_store": str(store.path), "target_store": str(store.path)}
    return Study(**{**FIELDS, **stores, "variants": VARIANTS, **fields})


@pytest.fixture(scope="module")
def results(store, tmp_path_factory):
    path = tmp_path_factory.mktemp("variants") / "results"
    assert VariantsRun(study_of(store), path, report=lambda line: None).run()
    return path


def test_what_variants_share_is_trained_once(store, tmp_path):
    run = VariantsRun(study_of(store), tmp_path / "results", report=print)
    trainings = [stage.name for stage in run.stages if stage.config and stage.seed == 3]
    assert trainings == [
        "as it is: pretrain",
        "as it is: standalone",
        "as it is: transfer_1",
        "slow: standalone",
        "slow: transfer_1",
        "transfer alone is slow: transfer_1",
    ]
    starts = {stage.init for stage in run.stages if stage.config and stage.init}
    assert starts == {tmp_path / "results" / "work" / "as it is" / "work" / "seed_3" / "pretrain/models/epoch_001"}


@pytest.mark.slow
def test_every_variant_and_seed_is_kept_as_its_own_study_leaves_it(results):
    found = {(one.name, one.seed): one for one in read_variants(results)}
    assert set(found) == {(name, 3) for name in ("as it is", *VARIANTS)}
    one, part = found["slow", 3], results / "work" / "slow"
    log = read_log(part / "work" / "seed_3" / "standalone" / "log.csv")
    assert one.curves["standalone"] == pytest.approx(list(relative_nmse(log).values()), rel=1e-4)
    assert len(one.curves["transfer_1"]) == 1
    records = [record for record in read_records(part / "records.csv.xz") if record.seed in (3, UNTRAINED)]
    for (method, _), (mean, _) in mean_over_subjects(records, "nmse_heart").items():
        assert sum(one.errors[method]["4"].values()) / len(one.errors[method]["4"]) == pytest.approx(mean, rel=1e-3)
    assert one.errors["initial"] == found["as it is", 3].errors["initial"]
    assert one.made_with["standalone"]["git_revision"]
    shared = found["transfer alone is slow", 3].curves["standalone"]
    assert shared == found["as it is", 3].curves["standalone"] != found["slow", 3].curves["standalone"]


@pytest.mark.slow
def test_a_variant_is_what_a_study_of_these_fields_gives(results, store, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "draw_all", lambda results: [])
    alone = study_of(store, variants={}, learning_rate=1e-5, seeds=(3,), pretrain={"learning_rate": 1e-3})
    StudyRun(alone, tmp_path / "alone", report=lambda line: None).run()
    log = read_log(tmp_path / "alone" / "runs" / "seed_3" / "transfer_1" / "log.csv")
    kept = json.loads(variant_path(results, "slow", 3).read_text())
    assert kept["curves"]["transfer_1"] == pytest.approx(list(relative_nmse(log).values()), rel=1e-4)


@pytest.mark.slow
def test_a_further_seed_goes_on_where_the_work_folder_is_gone(results, store, tmp_path):
    path = shutil.copytree(results, tmp_path / "results", ignore=shutil.ignore_patterns("work"))
    run = VariantsRun(study_of(store, seeds=(3, 4)), path, report=lambda line: None)
    left = [(stage.seed, stage.name) for stage in run.stages if not stage.is_done()]
    assert left[0] == (3, "as it is: pretrain")  # all seeds start from it
    assert {seed for seed, _ in left[1:-1]} == {4}
    held = {one.name: variant_path(path, one.name, 3).read_bytes() for one in read_variants(path)}
    assert run.run()
    assert {(one.name, one.seed) for one in read_variants(path)} == {(name, seed) for name in held for seed in (3, 4)}
    assert {name: variant_path(path, name, 3).read_bytes() for name in held} == held


@pytest.mark.slow
def test_nothing_is_done_twice_and_a_further_variant_goes_on(results, store):
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*.json")}
    assert not VariantsRun(study_of(store), results, report=lambda line: None).run()
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*.json")} == before
    more = study_of(store, variants={**VARIANTS, "fast": {"learning_rate": 1e-2}})
    left = [stage.name for stage in VariantsRun(more, results, report=print).stages if not stage.is_done()]
    assert left[:2] == ["fast: standalone", "fast: transfer_1"]
    assert VariantsRun(more, results, report=lambda line: None).run()
    assert {one.name for one in read_variants(results)} == {"as it is", *VARIANTS, "fast"}
    with pytest.raises(CsmriError, match=r"holds a study with \[variants\] slow"):
        VariantsRun(study_of(store, variants={"slow": {"learning_rate": 1e-4}}), results)


def test_whole_seeds_come_first(store, tmp_path):
    run = VariantsRun(study_of(store, seeds=(3, 4)), tmp_path, report=print)
    seeds = [stage.seed for stage in run.stages[:-1]]
    assert seeds == sorted(seeds) and set(seeds) == {3, 4}
    assert [stage.seed for stage in run.stages if stage.name.endswith("pretrain")] == [3]


def test_a_file_with_variants_is_read_as_it_was_written(store, tmp_path):
    write_config(study_of(store), tmp_path / "study.toml")
    assert read_study(tmp_path / "study.toml") == study_of(store)
    assert read_study(tmp_path / "study.toml").with_variants()["slow"].learning_rate == 1e-5


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"slow": {}}, "changes nothing"),
        ({"as it is": {"loss": "relative"}}, "cannot name a variant"),
        ({"a/b": {"loss": "relative"}}, "cannot name a variant"),
        ({"..": {"loss": "relative"}}, "cannot name a variant"),
        ({"slow": {"seeds": [1]}}, "all variants have those of the study"),
        ({"slow": {"speed": 3}}, r"\[variants.slow\] speed"),
        ({"slow": {"learning_rate": -1.0}}, r"\[variants.slow\] learning_rate: .*greater than 0"),
        ({"slow": {"transfer": {"epochs": 0}}}, r"\[variants.slow\] transfer.epochs: "),
    ],
)
def test_a_variant_that_cannot_be_meant_is_refused(store, variants, message):
    with pytest.raises(CsmriError, match=message):
        study_of(store, variants=variants)


def test_variants_need_stores(tmp_path):
    with pytest.raises(CsmriError, match="variant 'as it is' names no stores"):
        VariantsRun(Study(**FIELDS, variants=VARIANTS), tmp_path)
