"""A study of ways to transfer: every way trained once with its own data, tested on target and source, never twice."""

from __future__ import annotations

import shutil

import pytest
from click.testing import CliRunner

from csmri.cli import main
from csmri.config import TransferStudy, read_transfer_study, write_config
from csmri.core.errors import CsmriError
from csmri.core.names import PRETRAIN, split_way, way_name
from csmri.core.provenance import published_path
from csmri.data.records import read_records
from csmri.data.store import StoreWriter, open_store
from csmri.learning.record import read_record
from csmri.methods.model import saved_model_sha256, write_saved_model
from csmri.methods.unet import build_unet
from csmri.phantom import make_subject
from csmri.results.folder import read_results
from csmri.results.tables import read_sweep
from csmri.run import TransferRun

FIELDS = {
    **{"seeds": (3,), "base_channels": 2, "depth": 2, "passes": 1, "accelerations": (4.0,)},
    **{"pretrain": {"epochs": 1}, "epochs": 2, "blend_steps": 1, "evaluation_accelerations": (4.0, 8.0)},
    **{"ways": ("standalone", "all", "scale-shift", "blended"), "n_subjects": (1, 2), "n_subjects_of_ways": 2},
}
TRAININGS = ["pretrain", "standalone_1", "standalone_2", "all_1", "all_2", "scale-shift_2", "blended_2"]
SPLIT = {"york": [PRETRAIN, "validation"], "k": ["train", "train", "test"]}


@pytest.fixture(scope="module")
def domains(tmp_path_factory):
    """Two York-like subjects, one of them held out, and three K-like ones; 1 slice of 32 x 32 x 4 each."""
    path = tmp_path_factory.mktemp("domains") / "store"
    with StoreWriter(path) as writer:
        for domain, splits in SPLIT.items():
            for index, split in enumerate(splits):
                writer.add(make_subject(index, domain=domain, size=32, n_slices=1, n_frames=4), split)
    return open_store(path)


@pytest.fixture(scope="module")
def study(domains):
    return TransferStudy(**FIELDS, store=str(domains.path))


def changed(study, **fields):
    return TransferStudy(**{**study.model_dump(), **fields})


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- the plan


def test_names_of_trainings_tell_way_and_number():
    assert way_name("frozen-encoder", 2) == "frozen-encoder_2"
    assert split_way("frozen-encoder_2") == ("frozen-encoder", 2)
    assert [split_way(name) for name in ("pretrain", "transfer_10", "all", "all_x", "standalone")] == [None] * 5


def test_ways_are_swept_or_tried_once(study):
    stages = study.stages()
    assert list(stages) == TRAININGS
    assert {name: config.train_subjects for name, config in stages.items()} == {
        name: 0 if name == PRETRAIN else int(name[-1]) for name in TRAININGS
    }
    ways = {name: config.transfer for name, config in stages.items()}
    assert ways["standalone_2"] == ways["all_2"] == ways["pretrain"] == "all"
    assert (ways["scale-shift_2"], ways["blended_2"]) == ("scale-shift", "blended")
    assert {config.epochs for name, config in stages.items() if name != PRETRAIN} == {2}
    assert stages["blended_2"].blend_steps == 1
    assert PRETRAIN not in changed(study, init="model").stages()


def test_plan_starts_every_transfer_from_one_pretraining(study, tmp_path):
    run = TransferRun(changed(study, seeds=(3, 4)), tmp_path / "results")
    evaluations = ["evaluate target", "evaluate source"]
    assert [(stage.seed, stage.name) for stage in run.stages] == [
        *[(3, name) for name in [*TRAININGS, *evaluations]],
        *[(4, name) for name in [*TRAININGS[1:], *evaluations]],
        (None, "draw"),
    ]
    pretrained = tmp_path / "results" / "work" / "seed_3" / "pretrain" / "models" / "epoch_001"
    starts = {stage.name: stage.init for stage in run.stages if stage.config}
    assert {name for name, init in starts.items() if init is None} == {"pretrain", "standalone_1", "standalone_2"}
    assert {init for init in starts.values() if init} == {pretrained}
    images = {stage.name: stage.images for stage in run.stages}
    assert (images["all_1"], images["all_2"], images["blended_2"]) == (4, 8, 8)
    assert images["evaluate target"] == images["evaluate source"] == 4 * 2 * len(TRAININGS)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"store": "nowhere"}, "store = 'nowhere': no such store; `csmri prepare SOURCE... nowhere`"),
        ({"init": "nowhere"}, "nowhere: not a SavedModel folder"),
        ({"init": "pretrained"}, "init = 'pretrained': has base_channels = 12, not 2"),
        ({"n_subjects": (2, 3)}, "train_subjects = 3 is more than the 2 of split 'train'"),
        ({"images_per_epoch": 10}, "images_per_epoch = 10 is more than the 4"),
    ],
)
def test_study_that_does_not_fit_is_refused_before_anything_is_written(study, tmp_path, fields, message):
    with pytest.raises(CsmriError, match=message):
        TransferRun(changed(study, **fields), tmp_path / "results")
    assert not list(tmp_path.iterdir())


def test_store_without_held_out_source_is_refused(study, domains, store, tmp_path):
    with StoreWriter(tmp_path / "store") as writer:
        for domain, splits in SPLIT.items():
            for index, split in enumerate(splits):
                if split != "validation":
                    writer.add(make_subject(index, domain=domain, size=32, n_slices=1, n_frames=4), split)
    with pytest.raises(CsmriError, match="no subject in split 'validation'"):
        TransferRun(changed(study, store=str(tmp_path / "store")), tmp_path / "results")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ways": ["all", "all"]}, "ways names something twice"),
        ({"ways": ["frozen"]}, "ways = 'frozen'"),
        ({"n_subjects": [1, 1]}, "n_subjects names something twice"),
        ({"n_subjects": [1, 3]}, "n_subjects_of_ways = 2 is not among n_subjects"),
        ({"epochs": 4}, "blend_steps = 4 needs more epochs than 4"),
        ({"transfer": "all"}, "unknown key 'transfer'"),
    ],
)
def test_impossible_study_is_refused_with_file_and_key(fields, message, tmp_path):
    path = tmp_path / "transfer.toml"
    path.write_text("\n".join(f"{name} = {value!r}" for name, value in fields.items()))
    with pytest.raises(CsmriError, match=f"transfer.toml: .*{message}"):
        read_transfer_study(path)


def test_config_comes_back(study, tmp_path):
    write_config(study, tmp_path / "transfer.toml")
    assert read_transfer_study(tmp_path / "transfer.toml") == study


# --- the whole of it


@pytest.fixture(scope="module")
def results(study, tmp_path_factory):
    """Results of the command, figures and tables with them."""
    folder = tmp_path_factory.mktemp("transfer")
    write_config(study, folder / "config.toml")
    done = CliRunner().invoke(main, ["transfer", str(folder / "config.toml"), "--out", str(folder / "results")])
    assert done.exit_code == 0, done.output
    assert "10 of 10 stages done" in done.output and "| scale and shift, 2 subjects" in done.output
    return folder / "results"


@pytest.mark.slow
def test_results_hold_every_way_on_both_domains(results, domains):
    sweep = read_sweep(results)
    assert set(sweep.results.logs) == {(name, 3) for name in TRAININGS}
    for records, split in ((sweep.results.records, "test"), (sweep.source_records, "validation")):
        assert {record.subject for record in records} == {entry.subject for entry in domains.of_split(split)}
        assert list(dict.fromkeys(record.method for record in records)) == ["initial", *TRAININGS]
        assert {record.acceleration for record in records} == {4.0, 8.0}
        assert len({record.nmse_heart for record in records if record.frame == 0}) == 2 * (1 + len(TRAININGS))
    for suffix in (".md", ".tex", ".png"):
        assert (results / f"transfer{suffix}").stat().st_size > 100
    assert (results / "transfer_curves.png").stat().st_size > 100


@pytest.mark.slow
def test_every_training_had_its_start_and_its_subjects(results):
    records = {name: read_record(results / "runs" / "seed_3" / name) for name in TRAININGS}
    starts = {name for name, record in records.items() if record["init"]}
    assert starts == set(TRAININGS[3:])
    assert len({records[name]["init_sha256"] for name in starts}) == 1
    assert records["blended_2"]["source_sha256"] and not records["all_2"]["source_sha256"]
    assert records["scale-shift_2"]["trained_parameters"] < records["all_2"]["trained_parameters"]
    assert records["all_1"]["images_per_epoch"] * 2 == records["all_2"]["images_per_epoch"]


@pytest.mark.slow
def test_second_run_does_nothing_and_figures_draws_the_same_again(study, results):
    before, told = contents(results), []
    assert not TransferRun(study, results, report=told.append).run()
    assert told == [f"{results}: all 10 stages are done, nothing to do"]
    for name in ("transfer.md", "transfer.png", "transfer_curves.png"):
        (results / name).unlink()
    done = CliRunner().invoke(main, ["figures", str(results)])
    assert done.exit_code == 0, done.output
    assert contents(results) == before


@pytest.mark.slow
def test_stopped_study_goes_on_to_the_same_records(study, results, tmp_path):
    path = tmp_path / "results"
    kept = TRAININGS[:-1]
    for name in kept:
        shutil.copytree(results / "work" / "seed_3" / name, path / "work" / "seed_3" / name)

    def stop(line):
        if ", evaluate target, about" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TransferRun(study, path, report=stop).run()
    told = []
    assert TransferRun(study, path, report=told.append).run()
    assert "7 of 10 stages done" in told[0]
    for name in ("records.csv.xz", "source_records.csv.xz"):
        assert (path / name).read_bytes() == (results / name).read_bytes()
    with pytest.raises(CsmriError, match="holds a study with epochs = 2, not 3; choose another --out"):
        TransferRun(changed(study, epochs=3), path)


@pytest.mark.slow
def test_transfers_start_from_a_network_that_is_given(study, tmp_path):
    model = tmp_path / "model"
    given = changed(study, init=str(model), ways=("all",), sweep_ways=(), seeds=(5,))
    (config,) = given.stages().values()
    write_saved_model(
        build_unet(base_channels=2, depth=2, seed=1), model, config=config.model_copy(update={"seed": 8}), epoch=4
    )
    path = tmp_path / "results"
    assert TransferRun(given, path, report=lambda line: None).run()
    assert list(read_results(path).logs) == [("all_2", 5)]
    record = read_record(path / "runs" / "seed_5" / "all_2")
    assert record["init"] == published_path(model) and record["init_sha256"] == saved_model_sha256(model)
    assert {(r.method, r.seed) for r in read_records(path / "source_records.csv.xz")} == {
        ("initial", -1),
        ("pretrain", 8),
        ("all_2", 5),
    }
    assert not TransferRun(given, path, report=lambda line: None).run()
