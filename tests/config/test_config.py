"""A config says yes to what can be run and otherwise names file, key and what is allowed, in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from csmri.config import (
    Config,
    Sampling,
    Study,
    TransferStudy,
    make_config,
    read_config,
    read_study,
    read_transfer_study,
    write_config,
)
from csmri.core.errors import CsmriError
from csmri.data.split import read_split

FOLDER = Path(__file__).parents[2] / "configs"
CONFIGS = sorted(path for path in FOLDER.rglob("*.toml") if path.parent.name != "sweeps")  # see test_sweep_configs.py
DEEP = 5000


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
        ('network = "unrolled"\nacceleration_input = true', ["acceleration_input = true is for the U-net", "the mask"]),
        ("acceleration_input = 2.0", ["acceleration_input = 2.0", "boolean"]),
        ('train_split = "test set"', ["train_split = 'test set'", "'pretrain'", "'test'"]),
        ('validation_split = "held out"', ["validation_split = 'held out'", "'validation'"]),
        ('validation_split = "train"', ["validation_split must differ from train_split", "'train'"]),
        (f"epochs = 1{'0' * 30}", [f"epochs = 1{'0' * 30}", "less than or equal to 1000000"]),
        (f"epochs = 1{'0' * 5000}", ["cannot read the config", "digits"]),
        (f"epochs = 0x{'f' * 5000}", ["epochs = int too large to show", "less than or equal to 1000000"]),
        (f"epochs = '{'long' * 5000}'", ["epochs = 'longlong", "... (20002 characters): ", "integer"]),
        (f"{'long' * 5000} = 1", ["unknown key 'longlong", "... (20002 characters); allowed are"]),
        ('"two\\nlines" = 1', [r"unknown key 'two\nlines'; allowed are"]),
        ("learning_rate = 1e400", ["learning_rate = inf", "finite"]),
        (f"learning_rate = 1{'0' * 400}", ["learning_rate = 1", "... (401 characters): ", "number"]),
        ("learning_rate = 1e300", ["learning_rate = 1e+300", "less than or equal to 100"]),
        ("accelerations = [1e300]", ["accelerations = 1e+300", "less than or equal to 10000"]),
        ("consistency_weight = 1e300", ["consistency_weight = 1e+300", "less than or equal to 1000000000"]),
        ("base_channels = 1000000", ["base_channels = 1000000", "less than or equal to 512"]),
        ("batch_size = 1000000000", ["batch_size = 1000000000", "less than or equal to 4096"]),
        ("passes = 1000000000", ["passes = 1000000000", "less than or equal to 10000"]),
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


@pytest.mark.parametrize("kind", [Config, Study, TransferStudy])
def test_every_number_has_an_upper_bound(kind, tmp_path):
    """Beyond 64 bits, and beyond a float: refused at the config, whatever field it is."""
    read = {Config: read_config, Study: read_study, TransferStudy: read_transfer_study}[kind]
    path = tmp_path / "experiment.toml"
    fields = kind().model_dump()
    numbers = {key: value for key, value in fields.items() if type(value) in (int, float)}
    numbers |= {key: value for key, value in fields.items() if type(value) is tuple and not isinstance(value[:1], str)}
    numbers = {key: value for key, value in numbers.items() if key not in ("ways", "sweep_ways")}
    assert {"passes", "accelerations", "learning_rate"} < set(numbers)
    for key, value in numbers.items():
        length = 3 if key == "phantom_subjects" else 1
        for huge in (2**63, 10**400, "1e400", "nan"):
            path.write_text(f"{key} = {[huge] * length if type(value) is tuple else huge}".replace("'", ""))
            with pytest.raises(CsmriError, match=f"^{re.escape(str(path))}: {key} = [^\n]*$"):
                read(path)


@pytest.mark.parametrize("read", [read_config, read_study, read_transfer_study, read_split])
@pytest.mark.parametrize(
    "text",
    [
        f"seed = {'[' * DEEP}{']' * DEEP}",
        f"seed = {'{a = ' * DEEP}1{'}' * DEEP}",
        f"epochs{'.a' * DEEP} = 1",
        f"caption{'.a' * DEEP} = 1",
        f"pretrain{'.a' * DEEP} = 1",
        f"pretrain.passes{'.a' * DEEP} = 1",
        f"[seeds{'.a' * DEEP}]",
        f"accelerations = {'[' * 300}{']' * 300}",
    ],
    ids=lambda text: text[:25],
)
def test_what_is_nested_deep_is_refused_in_one_line(read, text, tmp_path):
    path = tmp_path / "deep.toml"
    path.write_text(text)
    with pytest.raises(CsmriError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and len(message) < 1000


@pytest.mark.parametrize("read", [read_config, read_study, read_transfer_study, read_split])
def test_encodings(read, tmp_path):
    """Windows writes UTF-8 with a byte-order mark, which is read, and code page 1252 or UTF-16, which are not."""
    text = 'train = ["Müller"]\r\n' if read is read_split else "# Müller\r\nmask_width = 0.2\r\n"
    plain, marked = tmp_path / "plain.toml", tmp_path / "marked.toml"
    plain.write_bytes(text.encode())
    marked.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read(marked) == read(plain)
    for encoding in ("cp1252", "utf-16"):
        other = tmp_path / f"{encoding}.toml"
        other.write_bytes(text.encode(encoding))
        with pytest.raises(CsmriError) as caught:
            read(other)
        assert re.fullmatch(rf"{re.escape(str(other))}: .* is not in UTF-8 \(.*\); save it as UTF-8", str(caught.value))


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
    text = path.read_text()
    assert all(f"{name} = " in text or f"[{name}]" in text for name in Config.model_fields)


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
    elif path.stem.startswith("transfer"):
        assert read_transfer_study(path).stages()
    else:
        read_config(path)


def test_there_are_configs():
    assert CONFIGS


def test_a_step_takes_eight_images_or_one_cine_where_nothing_is_said():
    assert Config().batch_size == 8
    assert Config(network="unrolled").batch_size == 1
    assert Config(network="unrolled", batch_size=2).batch_size == 2
