"""A sweep tries every variant on every acquisition, once; trainings first."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from csmri.cli import main
from csmri.config import Sampling, Sweep, write_config
from csmri.core.errors import CsmriError
from csmri.core.texts import read_json, write_json
from csmri.data.records import read_records
from csmri.data.store import open_store
from csmri.evaluation.evaluate import evaluate
from csmri.methods.model import describe_saved_model
from csmri.methods.reconstruction import load_reconstructor
from csmri.results.folder import RECORDS
from csmri.results.tables import sweep_ratios
from csmri.results.tables.sweep import worst_ratios
from csmri.run import SweepRun

TRAINED = "the config of the fixture"
MIXED = {"accelerations": [[2.0, 8.0]], "acceleration_input": True, "consistency": ["none", "hard"]}


@pytest.fixture(scope="module")
def fields(store, run, config, tmp_path_factory):
    write_config(
        config.model_copy(update={"epochs": 1, "save_epochs": (), "validation_split": ""}),
        tmp_path_factory.getbasetemp() / "c.toml",
    )
    path = str(tmp_path_factory.getbasetemp() / "c.toml")
    return {
        "store": str(store.path),
        "accelerations": (4.0,),
        "slices": (0,),
        "acquisitions": {"plain": {}, "moving": {"mask_width": 0.2, "phase": "moving", "coils": 3, "snr": 20.0}},
        "split": "test",
        "methods": {
            "view-sharing": {},
            "tv": {"method": "temporal-tv", "settings": {"step": [0.15, 0.5], "max_iterations": 5}},
            "unet": {"model": str(run / "models" / "final"), "settings": {"consistency": ["none", "hard"]}},
            "small": {"train": path, "settings": {"learning_rate": [1e-3, 3e-3]}},
            "untouched": {"untrained": path},
            "mixed": {"train": path, "settings": MIXED},
        },
    }


@pytest.fixture(scope="module")
def results(fields, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    write_config(Sweep(**fields), folder / "sweep.toml")
    done = CliRunner().invoke(main, ["sweep", str(folder / "sweep.toml"), "--out", str(folder / "results")])
    assert done.exit_code == 0, done.output
    assert "5 of 5 stages done" in done.output
    return folder / "results"


METHODS = [
    *("zero-filled", "initial", "view-sharing", "tv step=0.15", "tv step=0.5"),
    *("unet consistency=none", "unet consistency=hard", "small learning_rate=0.001", "small learning_rate=0.003"),
    *("untouched", "mixed accelerations=2,8 consistency=none", "mixed accelerations=2,8 consistency=hard"),
]


def test_every_variant_meets_every_acquisition(results):
    records = read_records(results / RECORDS)
    assert list(dict.fromkeys(record.method for record in records)) == METHODS
    assert list(dict.fromkeys(record.acquisition for record in records)) == ["plain", "moving"]
    assert {record.slice for record in records} == {0}
    assert len(records) == (4 + 6) * 2 * len(METHODS)  # frames of one slice of both subjects
    of = {(r.acquisition, r.method): (r.nmse_heart, r.nmse, r.psnr) for r in records if r.frame == 1}
    assert len(set(of.values())) == len(of)
    for name in ("sweep.md", "sweep.tex", "sweep.png", "sweep_lines.png", "sweep.toml", "drawn.json"):
        assert (results / name).stat().st_size > 50


def test_ratios_are_to_the_initial_reconstruction_of_the_same_acquisition(results):
    records = read_records(results / RECORDS)
    plain, moving = sweep_ratios(records)
    assert (plain.acquisition, moving.acquisition) == ("plain", "moving")
    own = [r for r in records if r.acquisition == "moving"]

    def mean(method):
        subjects = {r.subject for r in own}
        each = [[r.nmse_heart for r in own if r.method == method and r.subject == s] for s in subjects]
        return sum(sum(some) / len(some) for some in each) / len(each)

    assert moving.of_method["tv step=0.5"][4.0] == pytest.approx(mean("tv step=0.5") / mean("initial"))
    assert "initial" not in moving.of_method


def test_the_worst_slice_stands_beside_the_means(results):
    own = [r for r in read_records(results / RECORDS) if r.acquisition == "moving"]

    def mean(method, subject):
        values = [r.nmse_heart for r in own if r.method == method and r.subject == subject]
        return sum(values) / len(values)

    ratios = [mean("view-sharing", s) / mean("initial", s) for s in {r.subject for r in own}]
    worst = worst_ratios(own)
    assert worst["view-sharing"] == {4.0: pytest.approx(max(ratios))} and max(ratios) > min(ratios)
    assert "initial" not in worst and len(worst) == len(METHODS) - 2
    text = (results / "sweep.md").read_text(encoding="utf-8")
    _, _, table = text.partition("**moving: the slice with most of the initial reconstruction's error left**")
    assert re.search(rf"\| view-sharing +\| +\**{max(ratios):.3f}", table)
    assert "the worst of 2 slices; beyond 1 it is worse." in table


def qualities(records):
    return {(r.method, r.subject, r.frame): r.nmse for r in records}


def test_data_consistency_is_tried_on_one_training(fields, results):
    """Whose records are those of its SavedModel, reconstructed either way."""
    work = results / "work"
    assert {path.name for path in work.iterdir()} == {
        *("small_learning_rate=0.001", "small_learning_rate=0.003", "untouched", "mixed_accelerations=2_8")
    }
    model = work / "mixed_accelerations=2_8" / "models" / "final"
    config = describe_saved_model(model).config
    assert (config.accelerations, config.acceleration_input, config.consistency) == ((2.0, 8.0), True, "none")
    done = [r for r in read_records(results / RECORDS) if r.acquisition == "plain" and r.method.startswith("mixed")]
    methods = [
        load_reconstructor(model, name=f"mixed accelerations=2,8 consistency={one}", consistency=one)
        for one in ("none", "hard")
    ]
    again = evaluate(
        open_store(fields["store"]), methods, law=Sampling(), accelerations=(4.0,), slices=(0,), acquisition="plain"
    )
    expected = [record for one in again for record in one.outcome.records()]
    assert len(done) == 2 * (4 + 6)
    assert qualities(done) == {key: pytest.approx(value, rel=1e-4) for key, value in qualities(expected).items()}


def test_what_methods_were_not_trained_for_is_told(fields, tmp_path):
    """At the end of every acquisition; of what was done before nothing is told."""
    told = []
    methods = {"unet": {"model": fields["methods"]["unet"]["model"]}}
    sweep = SweepRun(Sweep(**{**fields, "methods": methods}), tmp_path / "results", report=told.append)
    sweep.run()
    notes = [line for line in told if line.startswith("note: ")]
    assert [note.split(": ")[1] for note in notes] == ["moving"] * len(notes)
    assert (
        "note: moving: unet: trained with 1 coil, these are 3 (in all 2 slices); judge the result with care." in notes
    )


def test_second_run_does_nothing(fields, results):
    told = []
    assert not SweepRun(Sweep(**fields), results, report=told.append).run()
    assert told == [f"{results}: all 5 stages are done, nothing to do"]


def test_networks_of_a_folder_that_is_older_than_a_field_are_the_same(fields, results, tmp_path):
    shutil.copytree(results, tmp_path / "results")
    path = tmp_path / "results" / "study.json"
    record = read_json(path)
    assert record["made_of"]["network of untouched"].pop("acceleration_input") is False
    write_json(path, record)
    assert not SweepRun(Sweep(**fields), tmp_path / "results", report=[].append).run()
    record["made_of"]["network of untouched"]["acceleration_input"] = True
    write_json(path, record)
    with pytest.raises(CsmriError, match="holds results with other network of untouched"):
        SweepRun(Sweep(**fields), tmp_path / "results").run()


def test_further_methods_and_acquisitions_go_on_with_it(fields, results, run, tmp_path):
    shutil.copytree(results, tmp_path / "results")
    before = read_records(tmp_path / "results" / "records.csv.xz")
    methods = {**fields["methods"], "cg-sense": {}, "again": {"model": str(run / "models" / "final")}}
    grown = {**fields, "methods": methods, "acquisitions": {**fields["acquisitions"], "at rest": {"phase": "static"}}}
    told = []
    assert SweepRun(Sweep(**grown), tmp_path / "results", results / "work", report=told.append).run()
    after = read_records(tmp_path / "results" / "records.csv.xz")
    assert set(before) < set(after)
    assert {one.method for one in after} == {*METHODS, "cg-sense", "again"}
    assert {one.acquisition for one in after} == {"plain", "moving", "at rest"}
    record = read_json(tmp_path / "results" / "study.json")
    assert "weights of again" in record["made_of"] and "continued_with" not in record  # nothing differs but the sweep
    with pytest.raises(
        CsmriError, match=r"holds a study with \[acquisitions\] at rest, which this one lacks; put it back"
    ):
        SweepRun(Sweep(**fields), tmp_path / "results")


def test_trainings_on_another_split_have_a_plan(fields, store, config, tmp_path):
    """Of the split `validation`, and with none on `train`."""
    write_config(config.model_copy(update={"train_split": "validation", "validation_split": ""}), tmp_path / "c.toml")
    sweep = SweepRun(Sweep(**fields | {"methods": {"small": {"train": str(tmp_path / "c.toml")}}}), tmp_path / "out")
    assert store.of_split("validation") and sweep.pace().image > 0


def test_another_sweep_is_refused(fields, results):
    with pytest.raises(CsmriError, match=r"holds a study with (accelerations|seed) = "):
        SweepRun(Sweep(**{**fields, "seed": 1}), results)


def test_another_network_or_training_by_the_same_name_is_refused(fields, results, run):
    methods = fields["methods"]
    other = {**methods, "unet": {**methods["unet"], "model": str(run / "models" / "epoch_001")}}
    folder = results / "sweep.toml"
    before = folder.read_text()
    write_config(Sweep(**{**fields, "methods": other}), folder)  # as if the model at this path had changed
    with pytest.raises(CsmriError, match="holds results with other weights of unet consistency=none"):
        SweepRun(Sweep(**{**fields, "methods": other}), results).run()
    folder.write_text(before)
    config = Path(methods["small"]["train"])
    text = config.read_text()
    config.write_text(text.replace("passes = 2", "passes = 1"))
    with pytest.raises(CsmriError, match="holds results with other network of untouched"):
        SweepRun(Sweep(**fields), results).run()
    with pytest.raises(CsmriError, match="holds a run with passes = 2, not 1"):
        SweepRun(Sweep(**fields), results.with_name("other"), results / "work").run()
    config.write_text(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"store": "nowhere"}, "store = 'nowhere': no such store"),
        ({"methods": {"temporal-tv": {"settings": {"width": 1}}}}, "temporal-tv has no setting 'width'; it has "),
        ({"methods": {"temporal-tv": {"settings": {"step": "wide"}}}}, "temporal-tv: "),
        (
            {"methods": {"a": {"train": TRAINED, "settings": {"accelerations": [2.0, 4.0]}}}},
            r"\[methods.a accelerations=2\]: accelerations = 2.0 is one value, .* accelerations = \[\[2.0, \.\.\.\]\]",
        ),
        (
            {"methods": {"a": {"train": TRAINED, "settings": {"consistency_weight": [1.0, 2.0]}}}},
            r"\[methods.a consistency_weight=1\]: a weight is of soft data consistency, not of consistency = 'none'",
        ),
        ({"methods": {"a": {"model": "nowhere"}}}, "nowhere: not a SavedModel folder"),
        ({"methods": {"a": {"train": "nowhere.toml"}}}, "nowhere.toml: cannot read the config"),
        ({"slices": (9,)}, "no subject of .* has one of them"),
        ({"accelerations": (99.0,)}, "acceleration 99 is impossible"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(fields, tmp_path, changes, message):
    if "methods" in changes:  # their config lies where the fixture wrote it
        train = fields["methods"]["small"]["train"]
        methods = {
            name: {**method, **({"train": train} if method.get("train") == TRAINED else {})}
            for name, method in changes["methods"].items()
        }
        changes = {"methods": methods}
    with pytest.raises(CsmriError, match=message):
        SweepRun(Sweep(**{**fields, **changes}), tmp_path / "results")
    assert not list(tmp_path.iterdir())
