"""Training: measured rightly, written completely, the same after a kill, and never mixed with another run."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from csmri import __version__
from csmri.config import Config, read_config
from csmri.core.errors import CsmriError
from csmri.core.provenance import published_path
from csmri.data.cine import Cine
from csmri.data.store import StoreWriter, open_store
from csmri.evaluation import metrics
from csmri.learning import train as training
from csmri.learning.export import export
from csmri.learning.stream import Stream, training_stream, validation_stream
from csmri.learning.train import compiled_network, train
from csmri.methods.losses import ImageMean
from csmri.methods.model import describe_saved_model, load_weights, saved_model_sha256, saved_variables, trained_on
from csmri.methods.unet import build_unet

# So small a step changes no float32 weight that is not zero: what is logged is of the weights at the start.
STANDSTILL = 1e-30


def quiet(line: str) -> None:
    """Report nothing."""


def rows_of(run):
    with (run / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def variables(path):
    return {name: variable.numpy() for name, variable in saved_variables(path).items()}


def same_bits(some, others) -> bool:
    return some.keys() == others.keys() and all(some[name].tobytes() == others[name].tobytes() for name in some)


def snapshot(folder):
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


# --- what is learnt and logged


@pytest.mark.parametrize("name", ["adam", "rmsprop", "sgd"])
def test_optimizer_of_the_config_is_used(config, name):
    network = compiled_network(Config(**{**config.model_dump(), "optimizer": name, "learning_rate": 0.25}), 3)
    assert type(network.optimizer).__name__.lower() == name
    assert float(network.optimizer.learning_rate) == 0.25


def test_blank_frames_do_not_spoil_the_logged_nmse(tmp_path, cines):
    """Interpolation fills a blank frame from its neighbours; x + (1 - x) - 1 must round to zero all the same."""
    images = cines["k_phantom_000"].images.copy()
    images[:, 2] = 0
    with StoreWriter(tmp_path / "store") as writer:
        writer.add(Cine(images, "gap"), "train")
    config = Config(base_channels=2, depth=2, epochs=1, passes=1, batch_size=64)
    (batch,) = training_stream(open_store(tmp_path / "store"), config).dataset
    inputs, y_true = batch
    metric = ImageMean("initial_nmse")
    metric.update_state(y_true, inputs)
    initial = y_true[..., 1].numpy()
    reference = initial + 2 * y_true[..., 0].numpy() - 1
    present = [i for i in range(len(reference)) if reference[i].max() > 1e-3]
    assert len(present) == 16
    assert len(reference) == 20
    wanted = np.mean([metrics.nmse(reference[i], initial[i]) for i in present])
    assert float(metric.result()) == pytest.approx(wanted, rel=1e-4)


# --- a run and what it leaves


def test_log_has_a_row_an_epoch(run):
    rows = rows_of(run)
    measured = {"loss", "nmse", "initial_nmse", "bias"}
    assert rows[0].keys() == {"epoch", "seconds"} | measured | {f"val_{name}" for name in measured}
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(np.isfinite(float(value)) for row in rows for value in row.values())
    # Validation masks never change, so neither does the initial reconstruction's NMSE; training's are drawn anew.
    assert rows[0]["val_initial_nmse"] == rows[1]["val_initial_nmse"]
    assert rows[0]["initial_nmse"] != rows[1]["initial_nmse"]


def test_saved_models_tell_their_epoch_and_config(run, config):
    assert sorted(path.name for path in (run / "models").iterdir()) == ["epoch_001", "final"]
    for name, epoch in {"epoch_001": 1, "final": 2}.items():
        described = describe_saved_model(run / "models" / name)
        assert (described.epoch, described.config) == (epoch, config)
    assert not same_bits(variables(run / "models" / "epoch_001"), variables(run / "models" / "final"))


@pytest.mark.parametrize(
    ("network", "size"),
    [("unet", "1,080 images an epoch in 135 batches"), ("unrolled", "36 cines (1,080 images) an epoch")],
)
def test_size_of_an_epoch_is_told_in_what_a_step_takes(network, size):
    """A step takes images, or one whole cine."""
    unrolled = {"network": "unrolled", "batch_size": 1}
    config = Config(**unrolled) if network == "unrolled" else Config()
    stream = Stream(tf.data.Dataset.range(1), 36 if network == "unrolled" else 135, 1080)
    assert training._size_of_an_epoch(stream, config) == size


def test_the_first_epoch_is_said_to_compile(store, tmp_path, monkeypatch):
    class Begun(Exception):
        pass

    def begin(*_: object, **__: object) -> None:
        raise Begun

    monkeypatch.setattr(keras.Model, "fit", begin)
    said: list[str] = []
    with pytest.raises(Begun):
        train(Config(base_channels=1, depth=1, epochs=3), store, tmp_path / "run", report=said.append)
    assert any(one.endswith("epochs 1 to 3; the first one also compiles the network and takes longer") for one in said)


def test_config_is_kept(run, config):
    assert read_config(run / "config.toml") == config


def test_record_tells_data_seed_and_versions(run, config, store):
    record = json.loads((run / "run.json").read_text())
    assert record["store_sha256"] == store.sha256
    assert record["store"] == published_path(store.path) and not Path(record["store"]).is_absolute()
    assert record["seed"] == config.seed
    assert record["init"] is None
    network = build_unet(base_channels=2, depth=2)
    assert record["parameters"] == sum(int(np.prod(variable.shape)) for variable in network.weights)
    assert (record["images_per_epoch"], record["batches_per_epoch"]) == (2 * 5 * 2 * 2, 5)
    assert record["versions"]["csmri"] == __version__
    assert record["versions"]["tensorflow"] == tf.__version__
    assert record["keras_backend"] == "tensorflow"
    assert {"started", "git_revision", "processor"} <= record.keys()


def test_tensorboard_gets_the_curves(run):
    found = {}
    for part in ("train", "validation"):
        (file,) = (run / "tensorboard" / part).glob("events.out.tfevents.*")
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                if value.tag.startswith("epoch_"):
                    number = float(tf.make_ndarray(value.tensor))
                    found[part, value.tag.removeprefix("epoch_"), event.step] = number
    for epoch, row in enumerate(rows_of(run)):
        assert found["train", "nmse", epoch] == pytest.approx(float(row["nmse"]), rel=1e-5)
        assert found["validation", "nmse", epoch] == pytest.approx(float(row["val_nmse"]), rel=1e-5)


def test_nothing_half_written_is_left(run):
    assert not [path for path in run.rglob("*") if "partial" in path.name]
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoint.keras",
        "config.toml",
        "log.csv",
        "models",
        "run.json",
        "tensorboard",
    ]


# --- transfer


@pytest.fixture(scope="module")
def standstill(run, config, store, tmp_path_factory):
    """Transfer from the finished run without learning anything."""
    path = tmp_path_factory.mktemp("transfer") / "standstill"
    still = config.model_copy(update={"learning_rate": STANDSTILL, "epochs": 1, "save_epochs": ()})
    lines: list[str] = []
    train(still, store, path, init=run / "models" / "final", report=lines.append)
    return path, still, lines


def test_transfer_starts_from_the_same_bits(run, standstill):
    path, _, lines = standstill
    assert same_bits(variables(path / "models" / "final"), variables(run / "models" / "final"))
    assert json.loads((path / "run.json").read_text())["init"] == "models/final"
    assert any("all 26 variables loaded, after 2 epochs" in line for line in lines)


def test_saved_models_know_the_subjects_of_all_their_trainings(run, standstill, store, tmp_path):
    """Those of the split that was trained on, hashed, those before a transfer included; held-out ones are not."""
    for folder in (run, standstill[0]):
        described = describe_saved_model(folder / "models" / "final")
        subjects = [entry.subject for entry in store.entries]
        assert trained_on(described, subjects) == ["k_phantom_000"]
        assert described.origin.is_complete
        assert described.origin.stores == (f"store {store.sha256[:16]}",)
        assert not any(subject in (described.path / "csmri.json").read_text() for subject in subjects)
    assert export(standstill[0], tmp_path / "exported") is not None
    assert describe_saved_model(tmp_path / "exported").origin == described.origin


@pytest.mark.slow
def test_subjects_of_the_start_are_inherited(run, config, store, tmp_path):
    other = config.model_copy(update={"train_split": "pretrain", "epochs": 1, "save_epochs": ()})
    start = shutil.copytree(run / "models" / "final", tmp_path / "model")
    known = {}
    for name in ("known", "unknown"):
        final = train(other, store, tmp_path / name, init=start, report=quiet)
        known[name] = describe_saved_model(final)
        description = json.loads((start / "csmri.json").read_text())
        description.pop("trained_on", None)
        (start / "csmri.json").write_text(json.dumps(description))
        shutil.rmtree(final)
    subjects = ["k_phantom_000", "k_phantom_001", "york_phantom_000"]
    assert trained_on(known["known"], subjects) == ["k_phantom_000", "york_phantom_000"]
    assert known["known"].origin.is_complete
    assert trained_on(known["unknown"], subjects) == ["york_phantom_000"]
    assert not known["unknown"].origin.is_complete


def independent_log(network, stream):
    """Mean over images of NumPy's NMSE of the images inside the padding."""
    values = {"nmse": [], "initial_nmse": [], "bias": [], "loss": []}
    for inputs, target in stream.dataset.as_numpy_iterator():
        weight = target[..., 2]
        predicted = network.predict_on_batch(inputs)[..., 0]
        for i in range(len(inputs)):
            y, x = int(weight[i, :, 0].sum()), int(weight[i, 0].sum())
            initial = inputs[i, :y, :x, 0].astype(np.float64)
            reference = initial + 2.0 * target[i, :y, :x, 0] - 1
            reconstructed = np.maximum(initial + 2.0 * predicted[i, :y, :x] - 1, 0)
            values["nmse"].append(metrics.nmse(reference, reconstructed))
            values["initial_nmse"].append(metrics.nmse(reference, initial))
            values["bias"].append(np.mean(reconstructed - reference))
            values["loss"].append(np.mean((predicted[i, :y, :x] - target[i, :y, :x, 0].astype(np.float64)) ** 2))
    return {name: np.mean(some) for name, some in values.items()}


def test_logged_numbers_are_those_of_the_reconstructed_images(run, standstill, store):
    path, still, _ = standstill
    network = build_unet(base_channels=2, depth=2)
    load_weights(network, run / "models" / "final")
    (row,) = rows_of(path)
    for prefix, stream in {"": training_stream(store, still), "val_": validation_stream(store, still)}.items():
        for name, wanted in independent_log(network, stream).items():
            assert float(row[prefix + name]) == pytest.approx(wanted, rel=2e-5), prefix + name


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"base_channels": 3}, "variable encoder0_conv0/kernel has shape"),
        ({"depth": 3}, "no variable encoder2_conv0"),
        ({"acceleration_input": True}, "acceleration_input of the config and of the SavedModel differ"),
    ],
)
def test_init_of_another_size_is_refused_before_anything_is_written(run, config, store, tmp_path, fields, message):
    with pytest.raises(CsmriError, match=message):
        train(config.model_copy(update=fields), store, tmp_path / "run", init=run / "models" / "final", report=quiet)
    assert list(tmp_path.iterdir()) == []


# --- killed and resumed


class Kill(BaseException):
    """Stands for a signal: nothing in Keras or csmri may catch it."""


RESUMED = Config(base_channels=2, depth=2, epochs=2, batch_size=8, passes=1, schedule="cosine", shuffle_frames=16)


@pytest.fixture(scope="module")
def uninterrupted(store, tmp_path_factory):
    path = tmp_path_factory.mktemp("resume") / "run"
    train(RESUMED, store, path, report=quiet)
    return path


def kill_after_first_epoch(monkeypatch):
    original = training._Keeper.on_epoch_end

    def on_epoch_end(self, epoch, logs=None):
        original(self, epoch, logs)
        raise Kill

    monkeypatch.setattr(training._Keeper, "on_epoch_end", on_epoch_end)


def kill_between_second_log_and_checkpoint(monkeypatch):
    original = training._Keeper.on_epoch_end

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise Kill
        original(self, epoch, logs)

    monkeypatch.setattr(training._Keeper, "on_epoch_end", on_epoch_end)


KILLS = [kill_after_first_epoch, pytest.param(kill_between_second_log_and_checkpoint, marks=pytest.mark.slow)]


@pytest.mark.parametrize("kill", KILLS, ids=["kill_after_first_epoch", "kill_between_second_log_and_checkpoint"])
def test_killed_and_resumed_is_the_same_as_uninterrupted(store, uninterrupted, tmp_path, monkeypatch, kill):
    """Bit for bit: every draw is stateless, and TensorFlow's kernels for the CPU add in a fixed order."""
    path = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(Kill):
        kill(patch)
        train(RESUMED, store, path, report=quiet)
    assert not (path / "models" / "final").exists()
    lines: list[str] = []
    train(RESUMED, store, path, report=lines.append)
    assert any("epochs 2 to 2" in line for line in lines)

    assert same_bits(variables(path / "models" / "final"), variables(uninterrupted / "models" / "final"))
    digests = {saved_model_sha256(one / "models" / "final") for one in (path, uninterrupted)}
    assert len(digests) == 1
    rows, wanted = rows_of(path), rows_of(uninterrupted)
    for row in [*rows, *wanted]:
        del row["seconds"]
    assert rows == wanted
    assert len(rows) == 2
    optimizers = [keras.saving.load_model(one / "checkpoint.keras").optimizer for one in (path, uninterrupted)]
    for one, other in zip(*(optimizer.variables for optimizer in optimizers), strict=True):
        assert one.numpy().tobytes() == other.numpy().tobytes(), one.path
    assert int(optimizers[0].iterations.numpy()) == 6


def test_a_run_that_an_older_csmri_began_is_not_mixed_with_another_order(store, uninterrupted, tmp_path, monkeypatch):
    path = shutil.copytree(uninterrupted, tmp_path / "run")
    record = json.loads((path / "run.json").read_text())
    del record["trained_on"]
    (path / "run.json").write_text(json.dumps(record))
    lines: list[str] = []
    train(RESUMED, store, path, report=lines.append)
    assert lines == [f"{path}: finished already, nothing to do"]
    shutil.rmtree(path / "models")
    with pytest.raises(CsmriError, match="an older csmri began it and took images in another order; remove it"):
        train(RESUMED, store, path, report=quiet)


def test_finished_run_does_nothing(run, config, store):
    before = snapshot(run)
    lines: list[str] = []
    assert train(config, store, run, report=lines.append) == run / "models" / "final"
    assert lines == [f"{run}: finished already, nothing to do"]
    assert snapshot(run) == before


# --- never mixed with another run


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"learning_rate": 2e-3}, r"holds a run with learning_rate = 0\.001, not 0\.002"),
        ({"epochs": 3}, "holds a run with epochs = 2, not 3"),
        ({"accelerations": (4.0,)}, "holds a run with accelerations"),
    ],
)
def test_run_with_another_config_is_refused(run, config, store, fields, message):
    before = snapshot(run)
    with pytest.raises(CsmriError, match=message):
        train(config.model_copy(update=fields), store, run, report=quiet)
    assert snapshot(run) == before


def test_run_on_other_data_is_refused(run, config, cines, tmp_path):
    with StoreWriter(tmp_path / "store") as writer:
        writer.add(cines["k_phantom_000"], "train")
        writer.add(cines["k_phantom_003"], "validation")
    before = snapshot(run)
    with pytest.raises(CsmriError, match="holds a run on other data"):
        train(config, open_store(tmp_path / "store"), run, report=quiet)
    assert snapshot(run) == before


def test_run_from_another_start_is_refused(run, config, store, standstill):
    with pytest.raises(CsmriError, match="holds a run with --init None, not "):
        train(config, store, run, init=run / "models" / "final", report=quiet)
    path, still, _ = standstill
    with pytest.raises(CsmriError, match="holds a run with --init .*final, not None"):
        train(still, store, path, report=quiet)


def test_start_is_known_by_its_weights_not_by_its_place(run, store, standstill, tmp_path):
    path, still, _ = standstill
    moved = shutil.copytree(run / "models" / "final", tmp_path / "moved")
    assert train(still, store, path, init=moved, report=quiet) == path / "models" / "final"


def test_start_is_known_by_the_digest_of_old_records(run, store, standstill, tmp_path):
    """Records of csmri 0.1 hold the digest of the files, which depends on the order of the variables in them."""
    path, still, _ = standstill
    old = shutil.copytree(path, tmp_path / "run")
    record = json.loads((old / "run.json").read_text())
    init = run / "models" / "final"
    file = init / "variables" / "variables.data-00000-of-00001"
    record["init_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (old / "run.json").write_text(json.dumps(record))
    assert train(still, store, old, init=init, report=quiet) == old / "models" / "final"
    record["init_sha256"] = "0" * 64
    (old / "run.json").write_text(json.dumps(record))
    with pytest.raises(CsmriError, match="holds a run with --init"):
        train(still, store, old, init=init, report=quiet)


def test_folder_of_something_else_is_refused(config, store, tmp_path):
    (tmp_path / "thesis.tex").write_text("text")
    with pytest.raises(CsmriError, match=r"holds files but no run"):
        train(config, store, tmp_path, report=quiet)
    with pytest.raises(CsmriError, match="is a file"):
        train(config, store, tmp_path / "thesis.tex", report=quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("name", ["checkpoint.keras", "run.json", "config.toml"])
def test_damaged_run_is_refused(run, config, store, tmp_path, name):
    shutil.copytree(run, tmp_path / "run")
    size = (run / name).stat().st_size
    # The config ends in a list, which half of the list is not; half of the file could be a config.
    os.truncate(tmp_path / "run" / name, size - 2 if name == "config.toml" else size // 2)
    with pytest.raises(CsmriError, match=name.replace(".", r"\.")):
        train(config, store, tmp_path / "run", report=quiet)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"validation_split": "pretrain", "train_split": "validation", "accelerations": (33.0,)}, "acceleration 33"),
        ({"accelerations": (4.0, 64.0)}, "acceleration 64 is impossible"),
    ],
)
def test_impossible_experiment_writes_nothing(config, store, tmp_path, fields, message):
    with pytest.raises(CsmriError, match=message):
        train(config.model_copy(update=fields), store, tmp_path / "run", report=quiet)
    assert list(tmp_path.iterdir()) == []


def test_split_that_the_store_lacks_writes_nothing(config, cines, tmp_path):
    with StoreWriter(tmp_path / "store") as writer:
        writer.add(cines["k_phantom_000"], "train")
    with pytest.raises(CsmriError, match="no subject in split 'validation'"):
        train(config, open_store(tmp_path / "store"), tmp_path / "run", report=quiet)
    assert not (tmp_path / "run").exists()


# --- learning


def test_a_few_images_can_be_learnt(store):
    """Six frames with fixed masks: the error falls well below the initial reconstruction's."""
    config = Config(base_channels=4, depth=2, epochs=1, passes=1, batch_size=10, augment=False, learning_rate=5e-3)
    network = compiled_network(config, 1)
    (batch, *_) = training_stream(store, config).dataset
    data = tf.data.Dataset.from_tensors(batch)
    start = network.evaluate(data, return_dict=True, verbose=0)
    network.fit(data.repeat(60), shuffle=False, verbose=0)
    final = network.evaluate(data, return_dict=True, verbose=0)
    assert final["nmse"] < 0.75 * final["initial_nmse"]
    assert final["loss"] < 0.75 * start["loss"]
