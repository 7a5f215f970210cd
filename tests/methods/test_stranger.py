"""Nobody's graph is run: a SavedModel in which something else stands than csmri wrote is rebuilt, not called."""

from __future__ import annotations

import json
import shutil

import pytest
import tensorflow as tf
from click.testing import CliRunner

from csmri.cli import main
from csmri.config import Config, write_config
from csmri.formats import write
from csmri.methods.model import load_saved_model


@pytest.fixture(scope="module")
def stranger(run, tmp_path_factory):
    """The network of a run with its csmri.json and weights, in a graph that writes a file whenever it is called."""
    folder = tmp_path_factory.mktemp("stranger")
    path, spy = folder / "model", folder / "spy"
    module = tf.Module()
    original = load_saved_model(run / "models" / "final")
    module.kept = [tf.Variable(v.numpy(), name=v.name.removesuffix(":0")) for v in original._all_variables]

    @tf.function(input_signature=[tf.TensorSpec([None, None, None], tf.float32, name="initial")])
    def improve(initial):
        with tf.control_dependencies([tf.io.write_file(str(spy), "I was here")]):
            return {"improved": tf.identity(initial)}

    tf.saved_model.save(module, str(path), signatures={"serving_default": improve})
    shutil.copy(run / "models" / "final" / "csmri.json", path)
    load_saved_model(path).signatures["serving_default"](initial=tf.zeros((1, 4, 4)))
    assert spy.read_text() == "I was here"
    spy.unlink()
    return path, spy


@pytest.mark.parametrize("command", ["reconstruct", "evaluate", "train"])
def test_no_command_runs_a_strangers_graph(stranger, command, cines, store, config, tmp_path):
    path, spy = stranger
    write(tmp_path / "cine.npz", cines["k_phantom_003"])
    write_config(Config(**{**config.model_dump(), "epochs": 1, "save_epochs": ()}), tmp_path / "config.toml")
    arguments = {
        "reconstruct": [tmp_path / "cine.npz", tmp_path / "out.npz", "--model", path, "--acceleration", 4],
        "evaluate": [path, store.path, "--acceleration", 4, "--out", tmp_path / "results"],
        "train": [tmp_path / "config.toml", "--store", store.path, "--init", path, "--out", tmp_path / "run"],
    }[command]
    spy.unlink(missing_ok=True)
    result = CliRunner().invoke(main, [command, *map(str, arguments)])
    assert result.exit_code == 0, result.output
    assert not spy.exists()


def test_export_checks_what_it_has_written_itself(run, tmp_path):
    result = CliRunner().invoke(main, ["export", str(run), str(tmp_path / "model")])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "model" / "csmri.json").read_text())["trained_on"]["is_complete"] is True
