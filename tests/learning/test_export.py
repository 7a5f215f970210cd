"""The exported SavedModel computes what the Keras model does, and is refused otherwise."""

from __future__ import annotations

import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from csmri.config import Config
from csmri.core.errors import CsmriError
from csmri.data.runs import CONFIG, RECORD
from csmri.learning import export as exporting
from csmri.learning import train as training
from csmri.learning.export import PARITY, export, parity
from csmri.methods.model import describe_saved_model, load_saved_model, saved_variables, write_saved_model
from csmri.methods.unet import build_unet


def serve(path, initial):
    """Correct images by a SavedModel's default signature."""
    signature = load_saved_model(path).signatures["serving_default"]
    return signature(initial=tf.constant(initial))["improved"].numpy()


def test_export_is_the_trained_network(run, config, tmp_path):
    out = tmp_path / "new" / "model"
    epoch, deviation = export(run, out)
    assert epoch == 2
    assert 0 <= deviation <= 1e-5
    assert list(out.parent.iterdir()) == [out]
    described = describe_saved_model(out)
    assert (described.config, described.epoch) == (config, 2)
    final = {name: variable.numpy() for name, variable in saved_variables(run / "models" / "final").items()}
    found = {name: variable.numpy() for name, variable in saved_variables(out).items()}
    assert found.keys() == final.keys()
    assert all(found[name].tobytes() == final[name].tobytes() for name in final)


@pytest.mark.parametrize(
    ("depth", "frames", "acceleration_input"),
    [(1, 1, False), (2, 1, False), (3, 1, False), (2, 5, False), (1, 1, True), (2, 3, True)],
)
def test_parity_at_every_depth_and_input(tmp_path, depth, frames, acceleration_input):
    config = Config(base_channels=2, depth=depth, frames=frames, acceleration_input=acceleration_input)
    network = build_unet(base_channels=2, depth=depth, frames=frames, acceleration_input=acceleration_input)
    for variable in network.weights:  # biases that are not zero, so that padding in the wrong place shows
        if variable.path.endswith("bias"):
            variable.assign(np.linspace(-0.3, 0.3, variable.shape[0]))
    write_saved_model(network, tmp_path / "model", config=config, epoch=0)
    assert parity(network, tmp_path / "model", config=config) < PARITY["float32"]
    bias = network.get_layer("normalised_error").bias
    bias.assign(bias + 1e-3)
    assert parity(network, tmp_path / "model", config=config) > 1e-4


def test_parity_with_keras_on_a_saved_run(run):
    network = keras.saving.load_model(run / "checkpoint.keras")
    initial = np.random.default_rng(0).random((2, 8, 12), np.float32) * 500
    peak = initial.max(axis=(1, 2), keepdims=True)
    target = network.predict_on_batch((initial / peak)[..., np.newaxis])[..., 0]
    improved = serve(run / "models" / "final", initial)
    np.testing.assert_allclose(improved, np.maximum(initial + (2 * target - 1) * peak, 0), atol=1e-5 * 500)


def test_deviating_model_is_removed(run, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "parity", lambda *args, **options: 1e-3)
    with pytest.raises(CsmriError, match=r"differs from the Keras model by 0\.001"):
        export(run, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_not_a_number_is_a_deviation(run, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "parity", lambda *args, **options: float("nan"))
    with pytest.raises(CsmriError, match="not exported"):
        export(run, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_epochs_are_those_of_the_weights_not_of_the_log(run, tmp_path):
    """A run that was killed between log and checkpoint has a row too many."""
    copy = shutil.copytree(run, tmp_path / "run")
    with (copy / "log.csv").open("a") as file:
        file.write("3,0,0,0,0,0,0,0,0,1\n")
    assert export(copy, tmp_path / "model")[0] == 2


def test_what_is_no_run_is_refused(run, tmp_path):
    with pytest.raises(CsmriError, match=r"not a run folder \(run\.json is missing\)"):
        export(tmp_path, tmp_path / "model")
    for name in (RECORD, CONFIG):
        shutil.copy(run / name, tmp_path / name)
    with pytest.raises(CsmriError, match="no epoch was finished yet"):
        export(tmp_path, tmp_path / "model")
    (tmp_path / training.CHECKPOINT).write_bytes(b"cut")
    with pytest.raises(CsmriError, match=r"checkpoint\.keras: damaged"):
        export(tmp_path, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_existing_path_is_never_overwritten(run, tmp_path):
    out = tmp_path / "thesis.tex"
    out.write_text("text")
    with pytest.raises(CsmriError, match="exists already"):
        export(run, out)
    assert out.read_text() == "text"


def test_precision_can_be_another_than_that_of_the_training(run, tmp_path):
    export(run, tmp_path / "model", precision="mixed_bfloat16")
    described = describe_saved_model(tmp_path / "model")
    assert described.config.precision == "mixed_bfloat16"
    found, trained = saved_variables(tmp_path / "model"), saved_variables(run / "models" / "final")
    assert found.keys() == trained.keys()
    assert all(np.array_equal(found[name].numpy(), trained[name].numpy()) for name in found)


def test_weights_are_stored_once(run, tmp_path):
    export(run, tmp_path / "model")
    n_weights = sum(int(np.prod(variable.shape)) for variable in saved_variables(tmp_path / "model").values())
    (data,) = (tmp_path / "model" / "variables").glob("variables.data-*")
    assert data.stat().st_size < 4 * n_weights + 4096
