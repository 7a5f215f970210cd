"""A config says yes to what can be run and otherwise names file, key and what is allowed, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from csmri.config import Config, Sampling, make_config, read_config, read_study, read_transfer_study, write_config
from csmri.core.errors import CsmriError
from csmri.data.store import read_split

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))


@pytest.mark.parametrize(
    ("toml", "parts"),
    [
        ("epoch = 5", ["unknown key 'epoch'", "epochs", "learning_rate", "mask_law"]),
        ("[training]\nepochs = 5", ["unknown key 'training'"]),
        ('epochs = "many"', ["epochs = 'many'", "integer"]),
        ('epochs = "5"', ["epochs = '5'", "integer"]),
        ("epochs = true", ["epochs = True", "integer"]),
        ("epochs = 2.5", ["epochs = 2.5", "integer"]),
        ("epochs = 0", ["epochs = 0", "greater than or equal to 1"]),
        ("augment = 1", ["augment = 1", "boolean"]),
        ('learning_rate = "1e-3"', ["learning_rate = '1e-3'", "number"]),
        ("learning_rate = 0.0", ["learning_rate = 0.0", "greater than 0"]),
        ("learning_rate = nan", ["learning_rate = nan", "finite"]),
        ("learning_rate = inf", ["learning_rate = inf", "finite"]),
        ("seed = -1", ["seed = -1", "greater than or equal to 0"]),
        ("accelerations = []", ["accelerations = []", "at least 1"]),
        ("accelerations = [4.0, 0.5]", ["accelerations = 0.5", "greater than or equal to 1"]),
        ("accelerations = 4.0", ["accelerations = 4.0"]),
        ('accelerations = ["4"]', ["accelerations = '4'", "number"]),
        ("accelerations = [inf]", ["accelerations = inf", "finite"]),
        ("save_epochs = [0]", ["save_epochs = 0"]),
        ('mask_law = "uniform"', ["mask_law = 'uniform'", "'gaussian' or 'schlemper'"]),
        ("mask_width = 0", ["mask_width = 0"]),
        ("depth = 8", ["depth = 8", "less than or equal to 7"]),
        ("base_channels = 0", ["base_channels = 0"]),
        ('train_split = "test set"', ["train_split = 'test set'", "'pretrain'", "'test'"]),
        ('validation_split = "held out"', ["validation_split = 'held out'", "'validation'"]),
        ('validation_split = "train"', ["validation_split must differ from train_split", "'train'"]),
        ("epochs == 5", ["not a TOML file", "line 1"]),
        ("epochs = 5\nepochs = 6", ["not a TOML file"]),
    ],
)
def test_refusals(tmp_path, toml, parts):
    path = tmp_path / "experiment.toml"
    path.write_text(toml, encoding="utf-8")
    with pytest.raises(CsmriError) as caught:
        read_config(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert all(part in message for part in parts), message


def test_missing_file_folder_and_other_encodings(tmp_path):
    binary = tmp_path / "model.keras"
    binary.write_bytes(b"\xff\xfe\x00")
    reasons = {
        tmp_path / "missing.toml": "cannot read the config: No such file",
        tmp_path: "cannot read the config: Is a directory",
        binary: "the config is not in UTF-8 .*save it as UTF-8",
    }
    for path, reason in reasons.items():
        with pytest.raises(CsmriError, match=reason) as caught:
            read_config(path)
        assert str(path) in str(caught.value)


def test_the_source_of_fields_is_named():
    with pytest.raises(CsmriError, match="^model/csmri.json: unknown key 'colour'"):
        make_config({"colour": 1}, where="model/csmri.json")


def test_an_empty_file_is_the_defaults(tmp_path):
    path = tmp_path / "empty.toml"
    path.write_text("# nothing\n")
    assert read_config(path) == Config()


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(
            seed=7,
            train_split="pretrain",
            validation_split="validation",
            accelerations=(2, 3.5),
            augment=False,
            learning_rate=1e-5,
            mask_law="schlemper",
            save_epochs=(10, 20),
            precision="mixed_bfloat16",
        ),
    ],
)
def test_what_is_written_reads_back(tmp_path, config):
    path = tmp_path / "config.toml"
    write_config(config, path)
    assert read_config(path) == config
    assert all(f"{name} = " in path.read_text() for name in Config.model_fields)


def test_a_whole_number_may_stand_for_a_float(tmp_path):
    path = tmp_path / "whole.toml"
    path.write_text("accelerations = [4, 8]\nlearning_rate = 1\n")
    config = read_config(path)
    assert config.accelerations == (4.0, 8.0)
    assert isinstance(config.accelerations[0], float)


def test_configs_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Config().epochs = 3
    with pytest.raises(ValidationError, match="frozen"):
        Sampling().cyclic = False


@pytest.mark.parametrize("path", CONFIGS, ids=[path.name for path in CONFIGS])
def test_every_config_of_the_project_reads(path):
    if path.stem.endswith("_split"):
        assert {"train", "test"} <= set(read_split(path).values())
    elif path.stem.startswith("study_"):
        assert read_study(path).stages()
    elif path.stem.startswith("transfer_"):
        assert read_transfer_study(path).stages()
    else:
        read_config(path)


def test_there_are_configs():
    assert CONFIGS
