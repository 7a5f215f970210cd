"""A study is shared fields and a table of overrides for each stage; files from before the tables mean what they did."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from csmri.config import Study, TransferStudy, by_key, read_study, read_transfer_study, write_config
from csmri.config.base import BLENDED, Split, Way, table_of
from csmri.config.conditions import TrainingConditions
from csmri.config.network import Network
from csmri.config.sampling import Sampling
from csmri.config.stages import Stage
from csmri.config.study import OLD_KEYS, Method
from csmri.config.training import Training, Ways
from csmri.core.errors import CsmriError
from csmri.core.names import PRETRAIN, SELF_SUPERVISED, STANDALONE, TRANSFER, WAY_LABELS

ROOT = Path(__file__).parents[2]
STAGES = json.loads((Path(__file__).parent / "stages.json").read_text("utf-8"))
"""Written by revision 65d2598, whose studies were flat: file -> what all its trainings have in common, and the rest.
The demo has had one pass an epoch since."""
TRAINING = set(Training.model_fields) - {
    name for part in (Network, Sampling, TrainingConditions) for name in part.model_fields
}
HARD = [
    "Herz \N{HEAVY BLACK HEART} \N{FACE WITH TEARS OF JOY} Müller, Åström, 心臓",
    "\"quoted\" 'too', \"\"\"thrice\"\"\" and '''so'''",
    "back\\slash \\n \\u0041 C:\\data\\",
    "line\nand\r\nline\ttab\x00\x1b\x7f\x85\u2028\ufeff",
    "# no comment = [no, table]",
]


def read(path):
    return read_transfer_study(path) if path.name == "transfer.toml" else read_study(path)


def written(study, folder):
    path = folder / ("transfer.toml" if isinstance(study, TransferStudy) else "study.toml")
    write_config(study, path)
    return path


def refusal(text, path):
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CsmriError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


# --- what studies mean


@pytest.mark.parametrize("file", STAGES)
def test_committed_studies_mean_what_they_did(file):
    known = {name: STAGES[file]["shared"] | own for name, own in STAGES[file]["stages"].items()}
    found = {name: config.model_dump(mode="json") for name, config in read(ROOT / file).stages().items()}
    assert list(found) == list(known)
    for name, fields in known.items():
        assert {key: found[name][key] for key in fields} == fields


def test_committed_studies_have_tables_but_for_the_golden_one():
    flat = {file for file in STAGES if set(tomllib.loads((ROOT / file).read_text("utf-8"))) & set(OLD_KEYS)}
    assert flat == {"tests/golden/study/study.toml"}


def test_stages_take_what_they_lack_from_the_study():
    shared = {"accelerations": (2.0,), "batch_size": 3, "loss": "relative", "schedule": "cosine", "optimizer": "sgd"}
    others = {"both_laws": True, "crop_columns": 9, "shuffle_frames": 7, "precision": "mixed_bfloat16"}
    others |= {"magnitude_share": 0.25, "held_out_share": 0.3, "initial_output": 0.4}
    apart = {"learning_rate": 0.5, "augment": True, "passes": 5, "images_per_epoch": 11}
    assert set(shared) | set(others) | set(apart) == TRAINING
    stages = Study(**shared, **others, **apart).stages()
    for config in stages.values():
        assert {name: getattr(config, name) for name in shared | others} == shared | others
    for name, config in stages.items():
        own = {"learning_rate": 1e-3, "augment": False, "passes": 1, "images_per_epoch": 0}
        assert {key: getattr(config, key) for key in apart} == (own if name == PRETRAIN else apart)
    assert {name: config.epochs for name, config in stages.items()}[PRETRAIN] == 50
    assert {config.epochs for name, config in stages.items() if name != PRETRAIN} == {100}
    assert TransferStudy().stages()[PRETRAIN].epochs == 50


OVERRIDES = {
    **{"accelerations": (3.0,), "both_laws": True, "augment": False, "passes": 2, "crop_columns": 8},
    **{"images_per_epoch": 16, "shuffle_frames": 9, "batch_size": 2, "loss": "relative", "optimizer": "sgd"},
    **{"magnitude_share": 0.25, "held_out_share": 0.3, "initial_output": 0.4},
    **{"learning_rate": 0.25, "schedule": "cosine", "precision": "mixed_bfloat16"},
}


@pytest.mark.parametrize("table", [PRETRAIN, STANDALONE, TRANSFER])
def test_a_table_changes_its_stage_alone(table):
    assert set(OVERRIDES) == TRAINING
    plain = Study().stages()
    for name, config in Study(**{table: OVERRIDES}).stages().items():
        if name.split("_")[0] == table:
            assert config == plain[name].model_copy(update=OVERRIDES)
        else:
            assert config == plain[name]


def test_a_study_of_ways_has_a_table_for_its_pretraining():
    plain, changed = TransferStudy().stages(), TransferStudy(pretrain={**OVERRIDES, "epochs": 7}).stages()
    own = {**OVERRIDES, "epochs": 7, "save_epochs": (7,)}
    assert changed.pop(PRETRAIN) == plain.pop(PRETRAIN).model_copy(update=own)
    assert changed == plain


# --- refusals


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[pretrain]\nlearning_rat = 2e-3", "[pretrain] learning_rat: unknown key; allowed are accelerations, "),
        ("[pretrain]\nseeds = [0]", "; seeds is no stage's own, it stands above the first table"),
        ("[pretrain]\nepochs = 5", "pretrain = {'epochs': 5}: leave out epochs, the pretraining ends with the last of"),
        ("[standalone]\nepochs = 0", "[standalone] epochs = 0: Input should be greater than or equal to 1"),
        ("[standalone]\nepochs = true", "[standalone] epochs = True: Input should be a valid integer"),
        ("[transfer]\naccelerations = [4, 0.5]", "[transfer] accelerations = 0.5: Input should be greater than"),
        ("[transfer]\nlearning_rate = nan", "[transfer] learning_rate = nan: Input should be a finite number"),
        ("[transfer]\nbase_channels = 8", "[transfer] base_channels: unknown key; allowed are"),
        ("[transfer]\ntransfer = 'all'", "[transfer] transfer: unknown key; allowed are"),
        ('[transfer]\n"a\\nb" = 8', "[transfer] 'a\\nb': unknown key; allowed are"),
        ("[finetune]\nepochs = 5", "unknown key 'finetune'; allowed are"),
        ("pretrain = 5", "pretrain = 5: expected a table [pretrain] of accelerations, "),
        ("[[pretrain]]\npasses = 5", "pretrain = [{'passes': 5}]: expected a table [pretrain] of accelerations, "),
        ("[standalone]\nbatch_size = 0", "[standalone] batch_size = 0: Input should be greater than or equal to 1"),
        ("standalone_epochs = 0", "[standalone] epochs = 0: Input should be greater than or equal to 1"),
        ("pretrain_epochs = 5", "unknown key 'pretrain_epochs'; allowed are"),
        ("pretrain_passes = 2\npretrain = 5", "pretrain = 5: expected a table [pretrain]"),
        (
            "standalone_epochs = 5\n[standalone]\nepochs = 6",
            "standalone_epochs is [standalone] epochs, which is given too; remove standalone_epochs",
        ),
    ],
)
def test_refusals_name_table_and_key(toml, message, tmp_path):
    found = refusal(toml, tmp_path / "study.toml")
    assert found.startswith(message) or message.startswith("; ") and found.endswith(message), found


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[pretrain]\nsave_epochs = [5]", "[pretrain] save_epochs: unknown key; allowed are"),
        ("[pretrain]\nepochs = 0", "[pretrain] epochs = 0: Input should be greater than or equal to 1"),
        ("[standalone]\nepochs = 5", "unknown key 'standalone'; allowed are"),
        ("standalone_epochs = 5", "unknown key 'standalone_epochs'; allowed are"),
    ],
)
def test_refusals_of_a_study_of_ways(toml, message, tmp_path):
    assert refusal(toml, tmp_path / "transfer.toml").startswith(message)


# --- files of before


def test_flat_keys_of_before_are_the_tables_of_now(tmp_path):
    values = {"learning_rate": 0.25, "augment": True, "passes": 2, "images_per_epoch": 16, "epochs": 7}
    assert {key for table, key in OLD_KEYS.values() if table == PRETRAIN} == set(values)
    flat = {f"pretrain_{key}": value for key, value in values.items() if key != "epochs"}
    cases = {
        "study.toml": (
            {**flat, "standalone_epochs": 3, "transfer_epochs": 4},
            Study(
                pretrain={key: value for key, value in values.items() if key != "epochs"},
                standalone={"epochs": 3},
                transfer={"epochs": 4},
            ),
        ),
        "transfer.toml": ({**flat, "pretrain_epochs": 7}, TransferStudy(pretrain=values)),
    }
    for name, (fields, study) in cases.items():
        (tmp_path / name).write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in fields.items()))
        assert read(tmp_path / name) == study


def test_flat_keys_and_tables_may_stand_in_one_file(tmp_path):
    (tmp_path / "study.toml").write_text("pretrain_passes = 2\ntransfer_epochs = 4\n[pretrain]\naugment = true\n")
    known = Study(pretrain={"passes": 2, "augment": True}, transfer={"epochs": 4})
    assert read(tmp_path / "study.toml") == known


# --- what is written


def test_what_is_written_has_tables_below_all_other_fields(tmp_path):
    text = written(Study(transfer={"epochs": 3, "schedule": "cosine"}), tmp_path).read_text("utf-8")
    top, _, tables = text.partition("\n\n")
    assert "[" not in "".join(line[0] for line in top.splitlines())
    assert tables == (
        "[phase_shares]\n\n[pretrain]\naugment = false\npasses = 1\nimages_per_epoch = 0\nlearning_rate = 0.001\n\n"
        '[standalone]\nepochs = 100\n\n[transfer]\nschedule = "cosine"\nepochs = 3\n'
    )
    assert not {f"\n{key} = " for key in OLD_KEYS if f"\n{key} = " in text}


overrides = st.fixed_dictionaries(
    {},
    optional={
        "accelerations": st.lists(st.floats(1, 100), min_size=1, max_size=3),
        "augment": st.booleans(),
        "passes": st.integers(1, 10_000),
        "learning_rate": st.floats(1e-12, 100),
        "schedule": st.sampled_from(["constant", "cosine"]),
        "precision": st.sampled_from(["float32", "mixed_bfloat16"]),
    },
)
epochs = st.fixed_dictionaries({}, optional={"epochs": st.integers(1, 1_000_000)})
both = st.builds(lambda one, other: one | other, overrides, epochs)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.text(), overrides, both, both)
@example(HARD[0], HARD[1], {}, {}, {})
@example(HARD[2], HARD[3], {}, {}, {})
@example(HARD[4], "", {}, {}, {})
def test_what_is_written_reads_back(tmp_path, caption, subject, pretrain, standalone, transfer):
    study = Study(caption=caption, example_subject=subject, pretrain=pretrain, standalone=standalone, transfer=transfer)
    assert read(written(study, tmp_path)) == study
    ways = TransferStudy(caption=caption, store=subject, pretrain=standalone)
    assert read(written(ways, tmp_path)) == ways


def test_fields_are_listed_by_their_names_in_the_file(tmp_path):
    study = Study(transfer={"schedule": "cosine"})
    named = by_key(study)
    tables = tomllib.loads(written(study, tmp_path).read_text("utf-8"))
    assert named["batch_size"] == 8 and named["[pretrain] passes"] == 1 and named["[transfer] schedule"] == "cosine"
    flat = {key for key, value in tables.items() if not isinstance(value, dict)}
    flat |= {f"[{table}] {key}" for table, own in tables.items() if isinstance(own, dict) for key in own}
    assert set(named) == flat


# --- names and fields have one home


def test_ways_methods_and_splits_are_those_that_have_names():
    assert list(get_args(Method)) == list(WAY_LABELS)
    assert (STANDALONE, *get_args(Way), SELF_SUPERVISED) == get_args(Method)
    assert BLENDED in get_args(Way)
    assert PRETRAIN in get_args(Split)


@pytest.mark.parametrize(("kind", "names"), [(Study, [PRETRAIN, STANDALONE, TRANSFER]), (TransferStudy, [PRETRAIN])])
def test_tables_are_named_after_the_stages(kind, names):
    tables = {name: table for name in kind.model_fields if (table := table_of(kind, name))}
    # TOML has what belongs to no table above the first.
    assert list(kind.model_fields)[-len(tables) :] == list(tables) == names
    assert all(issubclass(table, Stage) for table in tables.values())
    assert not set(OLD_KEYS) & set(kind.model_fields)


def test_a_stage_may_have_all_that_training_is_but_network_and_sampling():
    assert set(Stage.model_fields) == TRAINING
    assert not TRAINING & set(Ways.model_fields)


def test_the_first_target_subjects_are_a_field_of_the_study():
    stages = Study(target_subjects=2).stages()
    assert {name: config.train_subjects for name, config in stages.items() if name != PRETRAIN} == {
        name: 2 for name in stages if name != PRETRAIN
    }
    assert stages[PRETRAIN].train_subjects == 0
