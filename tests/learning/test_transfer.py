"""Ways to transfer: each trains what it says and nothing else, at the speed that it says, and survives a kill."""

from __future__ import annotations

import json
import math
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from csmri.config import Config, Sampling
from csmri.core.errors import CsmriError
from csmri.core.provenance import published_path
from csmri.data.store import StoreWriter, open_store
from csmri.learning import compiling
from csmri.learning.compiling import compile_network
from csmri.learning.export import export, parity
from csmri.learning.record import read_record
from csmri.learning.train import load_checkpoint, train
from csmri.learning.transfer import folded, learning_rates, paced, part, prepare, trained_parameters
from csmri.methods.layers import FrameConvolution, FrameTranspose
from csmri.methods.model import load_weights, saved_variables, write_saved_model
from csmri.methods.task import task_of
from csmri.methods.unet import build_unet
from csmri.methods.unrolled import build_unrolled
from csmri.physics.simulate import simulate

FIELDS = {"base_channels": 2, "depth": 1, "epochs": 2, "batch_size": 8, "passes": 1, "shuffle_frames": 16}
WAYS = ["all", "frozen-encoder", "frozen-decoder", "scale-shift", "discriminative", "blended"]
HALVES = {"frozen-encoder": ("encoder",), "frozen-decoder": ("decoder", "normalised_error")}
"""Beginnings of the names of layers that are not trained."""


def of_way(way, **fields):
    return Config(**{**FIELDS, "transfer": way, "blend_steps": 1, "schedule": "cosine", **fields})


def quiet(line: str) -> None:
    """Report nothing."""


def values(path):
    return {name: variable.numpy() for name, variable in saved_variables(path).items()}


@pytest.fixture(scope="module")
def init(tmp_path_factory):
    """A network to go on from; it need not have learnt anything."""
    path = tmp_path_factory.mktemp("init") / "model"
    write_saved_model(build_unet(base_channels=2, depth=1, seed=7), path, config=of_way("all"), epoch=3)
    return path


@pytest.fixture(scope="module")
def trained(store, init, train_through, tmp_path_factory):
    """Finished run of a way, trained when asked for first."""
    folder, runs = tmp_path_factory.mktemp("ways"), {}

    def of(way):
        if way not in runs:
            runs[way] = folder / way
            train_through(of_way(way), store, runs[way], init=init)
        return runs[way]

    return of


def cascades() -> keras.Model:
    network = build_unrolled(base_channels=2, cascades=2)
    rng = np.random.default_rng(0)
    for variable in network.trainable_variables:
        variable.assign(rng.normal(0, 0.1, variable.shape))  # its outputs start from zero, which no scale changes
    return network


def cine():
    """Inputs of the unrolled network, of 4 frames of 7 x 5 and two coils, and a target."""
    task = task_of(Config(network="unrolled", batch_size=1))
    images = np.random.default_rng(0).random((4, 7, 5), np.float32)
    seed = tf.constant([1, 2], tf.int64)
    full = simulate(images, Sampling(coils=2, snr=20.0), seed=seed)
    mask = tf.constant(np.random.default_rng(1).random((4, 7)) < 0.4)
    return tf.nest.map_structure(lambda one: one[None], task.example(full, mask, images, crop=tf.identity))


# --- what is trained


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("encoder0_conv1", "encoder"),
        ("bottom_conv0", "bottom"),
        ("decoder2_up", "decoder"),
        ("normalised_error", "head"),
        ("cascade1_encoder0_conv0", "encoder"),
        ("cascade1_bottom", "bottom"),
        ("cascade1_decoder0_conv1", "decoder"),
        ("cascade1_encoder0_conditions", "encoder"),
        ("cascade1_output", "head"),
        ("cascade1_consistency", "head"),
        ("cascade0_head_corrected", "head"),
        ("initial_consistency", "head"),
    ],
)
def test_parts_are_known_by_name(name, expected):
    assert part(name) == expected


@pytest.mark.parametrize("way", HALVES)
def test_frozen_half_keeps_its_bits_and_the_rest_is_trained(trained, init, way):
    before, after = values(init), values(trained(way) / "models" / "final")
    assert before.keys() == after.keys()
    kept = {name for name in before if before[name].tobytes() == after[name].tobytes()}
    assert kept == {name for name in before if name.startswith(HALVES[way])}
    record = read_record(trained(way))
    assert record["parameters"] == sum(value.size for value in before.values())
    assert record["trained_parameters"] == sum(before[name].size for name in before if name not in kept)


@pytest.mark.parametrize("way", HALVES)
def test_frozen_half_of_every_cascade(way):
    network = prepare(cascades(), way)
    names = [layer.name for layer in network.layers if layer.weights]
    frozen = [layer.name for layer in network.layers if layer.weights and not layer.trainable]
    begins = ("encoder",) if way == "frozen-encoder" else ("decoder", "consistency", "head")
    assert frozen == [name for name in names if name.partition("_")[2].startswith(begins)]
    assert {name.partition("_")[0] for name in frozen} == {"cascade0", "cascade1"} | (
        {"initial"} if way == "frozen-decoder" else set()
    )


@pytest.mark.parametrize("way", HALVES)
def test_checkpoint_remembers_what_is_frozen(trained, way):
    network = load_checkpoint(trained(way))
    names = {variable.path.split("/")[0] for variable in network.trainable_variables}
    assert names and not [name for name in names if name.startswith(HALVES[way])]
    assert trained_parameters(network) == read_record(trained(way))["trained_parameters"]
    # The optimizer holds moments of nothing else.
    moments = [variable for variable in network.optimizer.variables if len(variable.shape)]
    assert sum(variable.shape.num_elements() for variable in moments) == 2 * trained_parameters(network)


def test_network_without_that_half_is_refused():
    inputs = keras.Input((None, None, 1))
    network = keras.Model(inputs, layers.Conv2D(1, 1, name="one")(inputs))
    with pytest.raises(CsmriError, match="frozen-encoder.*is named after that half"):
        prepare(network, "frozen-encoder")
    with pytest.raises(CsmriError, match="scale-shift.*no layer .*convolution"):
        prepare(keras.Model(inputs, layers.Dense(1, name="one")(inputs)), "scale-shift")


# --- scale and shift


def test_kernels_are_pretrained_ones_times_a_number_per_channel(trained, init):
    before, after = values(init), values(trained("scale-shift") / "models" / "final")
    assert before.keys() == after.keys()  # no layer of the SavedModel is another
    for name in before:
        if not name.endswith("/kernel"):
            assert before[name].tobytes() != after[name].tobytes()
            continue
        axis = 2 if "_up" in name else 3  # of a transpose convolution (y, x, out, in)
        old, new = (np.moveaxis(some[name], axis, -1).reshape(-1, some[name].shape[axis]) for some in (before, after))
        strongest = np.abs(old).argmax(axis=0), np.arange(old.shape[1])
        scale = new[strongest] / old[strongest]
        np.testing.assert_allclose(new, old * scale, rtol=2e-6, atol=1e-12)
        assert 1e-6 < np.abs(scale - 1).max() < 0.5
    record = read_record(trained("scale-shift"))
    biases = sum(value.size for name, value in before.items() if name.endswith("/bias"))
    assert record["trained_parameters"] == 2 * biases  # a scale and a shift per channel
    assert record["parameters"] == sum(value.size for value in before.values())


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_scaled_network_starts_as_the_pretrained_and_folds_to_the_same_bits(precision):
    network = build_unet(base_channels=2, depth=2, precision=precision, seed=3)
    scaled = prepare(network, "scale-shift")
    images = np.random.default_rng(0).random((2, 8, 12, 1), np.float32)
    assert np.array_equal(scaled(images), network(images))
    rng = np.random.default_rng(1)
    for variable in scaled.trainable_variables:
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    plain = folded(scaled)
    assert [variable.path for variable in plain.weights] == [variable.path for variable in network.weights]
    assert np.array_equal(plain(images), scaled(images))
    assert not np.array_equal(plain(images), network(images))
    assert folded(plain) is plain


def test_convolutions_over_frames_scale_too():
    network = cascades()
    scaled = prepare(network, "scale-shift")
    inputs, _ = cine()
    np.testing.assert_array_equal(scaled(inputs), network(inputs))
    weighted = [layer for layer in network.layers if layer.weights]
    convolutions = [layer for layer in weighted if isinstance(layer, (FrameConvolution, FrameTranspose))]
    others = {type(layer).__name__ for layer in weighted if layer not in convolutions}
    assert others == {"Dense", "DataConsistency", "Corrected"}  # which are trained as they are
    kept = sum(layer.count_params() for layer in weighted if layer not in convolutions)
    assert trained_parameters(scaled) == 2 * sum(layer.filters for layer in convolutions) + kept
    for variable in scaled.trainable_variables:
        variable.assign(variable + 0.1)
    plain = folded(scaled)
    assert [variable.path for variable in plain.weights] == [variable.path for variable in network.weights]
    assert [type(layer) for layer in plain.layers] == [type(layer) for layer in network.layers]
    np.testing.assert_array_equal(plain(inputs), scaled(inputs))
    assert not np.array_equal(plain(inputs), network(inputs))


@pytest.mark.parametrize(
    "way", [way if way in ("all", "scale-shift") else pytest.param(way, marks=pytest.mark.slow) for way in WAYS]
)
def test_every_way_trains_the_unrolled_network(way, tmp_path):
    """One step moves what the way trains, all of it, and nothing else; what is saved is a plain network."""
    config = of_way(way, network="unrolled", batch_size=1, cascades=2, depth=4)
    origin = cascades()
    network = compile_network(prepare(cascades(), way), config, 1)
    inputs, target = cine()
    before = [variable.numpy() for variable in network.weights]
    network.compile(network.optimizer, loss=network.loss, run_eagerly=True)  # tracing takes seconds
    assert np.isfinite(network.train_on_batch(list(inputs), target)).all()
    trained = {variable.path for variable in network.trainable_variables}
    for variable, old in zip(network.weights, before, strict=True):
        moved = not np.array_equal(variable.numpy(), old)
        # Nothing passes what is measured, so that the first image is trusted as the data say.
        assert moved == (variable.path in trained) or variable.path == "initial_consistency/log_trust", variable.path
    frozen = {"frozen-encoder": "encoder", "frozen-decoder": "decoder"}.get(way)
    assert not [path for path in trained if frozen and frozen in path]
    plain = folded(network)
    assert [variable.path for variable in plain.weights] == [variable.path for variable in origin.weights]
    write_saved_model(plain, tmp_path / "model", config=config, epoch=1)
    # Of weights drawn at random, whose steps are large: rounding grows from cascade to cascade.
    assert parity(plain, tmp_path / "model", config=config) < 1e-3


def test_export_of_a_scaled_run_is_a_plain_network(trained, init, tmp_path):
    epoch, deviation = export(trained("scale-shift"), tmp_path / "exported")
    assert epoch == 2 and deviation < 1e-5
    exported, final = values(tmp_path / "exported"), values(trained("scale-shift") / "models" / "final")
    assert exported.keys() == values(init).keys()
    assert all(exported[name].tobytes() == final[name].tobytes() for name in exported)
    load_weights(build_unet(base_channels=2, depth=1), tmp_path / "exported")


# --- discriminative learning rates


def test_learning_rate_falls_stage_by_stage_from_the_output():
    rates = learning_rates(build_unet(base_channels=2, depth=2), 0.5)
    stages = ["normalised_error", "decoder0", "decoder1", "bottom", "encoder1", "encoder0"]
    assert len(rates) == 13
    for name, rate in rates.items():
        (distance,) = [i for i, stage in enumerate(stages) if name.startswith(stage)]
        assert rate == 0.5**distance, name
    rates = learning_rates(cascades(), 0.5)
    halves = [[rate for name, rate in rates.items() if name.startswith(f"cascade{i}")] for i in (0, 1)]
    assert max(halves[0]) < min(halves[1]) and max(rates.values()) == 1
    for i in (0, 1):
        stages = [
            rates[f"cascade{i}_{name}"]
            for name in ("encoder0_conv", "encoder1_conv", "bottom_conv0", "decoder1_conv", "consistency")
        ]
        assert stages == sorted(set(stages))


def one_step(network, optimizer):
    """Change of every variable by the first step of training on noise."""
    rng = np.random.default_rng(0)
    before = [variable.numpy().copy() for variable in network.trainable_variables]
    network.compile(optimizer=optimizer, loss="mean_squared_error", run_eagerly=True)  # tracing takes seconds
    network.train_on_batch(rng.random((2, 8, 8, 1), np.float32), rng.random((2, 8, 8, 1), np.float32))
    after = [variable.numpy() for variable in network.trainable_variables]
    return {
        variable.path: new - old for variable, new, old in zip(network.trainable_variables, after, before, strict=True)
    }


@pytest.mark.parametrize("name", ["adam", "rmsprop", "sgd"])
def test_every_layer_steps_by_its_own_rate(name):
    config = of_way("discriminative", rate_decay=0.5)
    optimizer = compiling.OPTIMIZERS[name]
    plain = one_step(build_unet(base_channels=2, depth=2), optimizer(1e-2))
    network = build_unet(base_channels=2, depth=2)
    slowed = one_step(network, paced(optimizer(1e-2), network, config))
    rates = learning_rates(network, 0.5)
    for path, step in plain.items():
        np.testing.assert_allclose(slowed[path], rates[path.split("/")[0]] * step, rtol=1e-2, atol=1e-7)
    assert min(rates.values()) == 0.5**5 and any(np.abs(step).max() > 1e-4 for step in plain.values())


def test_optimizer_with_rates_comes_back(trained):
    optimizer = load_checkpoint(trained("discriminative")).optimizer
    assert optimizer.rates == learning_rates(build_unet(base_channels=2, depth=1), 0.7)
    assert isinstance(optimizer, keras.optimizers.Adam)
    assert optimizer.epsilon == compiling.EPSILON
    network = compile_network(build_unet(base_channels=2, depth=2), of_way("all"), 1)
    assert type(network.optimizer) is keras.optimizers.Adam


# --- blended transfer


@pytest.mark.parametrize(
    ("epochs", "steps", "shares"),
    [
        (2, 1, [1, 0]),
        (5, 4, [1, 0.75, 0.5, 0.25, 0]),
        (6, 2, [1, 1, 0.5, 0.5, 0, 0]),
        (7, 2, [1, 1, 1, 0.5, 0.5, 0, 0]),
    ],
)
def test_share_of_the_source_falls_in_equal_steps(epochs, steps, shares):
    config = of_way("blended", epochs=epochs, blend_steps=steps)
    assert [config.source_share(epoch) for epoch in range(epochs)] == shares


@pytest.mark.slow
def test_record_tells_the_source(trained, store):
    record = read_record(trained("blended"))
    assert (record["source"], record["source_sha256"]) == (published_path(store.path), store.sha256)
    assert read_record(trained("all"))["source_sha256"] is None
    # As many images as without: 2 slices x 5 frames x 2 accelerations of the target, whatever the source has.
    assert record["images_per_epoch"] == read_record(trained("all"))["images_per_epoch"] == 20


def test_blended_run_with_another_source_is_refused(trained, store, init, cines, tmp_path):
    with StoreWriter(tmp_path / "other") as writer:
        writer.add(cines["k_phantom_001"], "pretrain")
    other = open_store(tmp_path / "other")
    with pytest.raises(CsmriError, match="holds a run with the source"):
        train(of_way("blended"), store, trained("blended"), init=init, source=other, report=quiet)
    run = tmp_path / "run"
    train(of_way("blended"), store, run, init=init, source=other, report=quiet)
    assert json.loads((run / "run.json").read_text())["source_sha256"] == other.sha256


# --- killed and resumed


@pytest.mark.parametrize("way", WAYS[1:])  # the first is that of test_training
def test_killed_and_resumed_is_the_same_as_uninterrupted(trained, store, init, tmp_path, way):
    path = shutil.copytree(trained(way).with_name(f"{way}_killed"), tmp_path / "run")
    assert not (path / "models" / "final").exists()
    lines: list[str] = []
    train(of_way(way), store, path, init=init, report=lines.append)
    assert any("epochs 2 to 2" in line for line in lines)
    one, other = values(path / "models" / "final"), values(trained(way) / "models" / "final")
    assert one.keys() == other.keys()
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)
    networks = [load_checkpoint(run) for run in (path, trained(way))]
    for some, others in zip(*(n.weights + n.optimizer.variables for n in networks), strict=True):
        assert some.numpy().tobytes() == others.numpy().tobytes(), some.path


def test_every_way_ends_elsewhere(trained):
    ends = [values(trained(way) / "models" / "final")["bottom_conv0/bias"].tobytes() for way in WAYS]
    assert len(set(ends)) == len(WAYS)


# --- what cannot be meant is refused before anything is written


@pytest.mark.parametrize("way", WAYS[1:])
def test_way_without_a_start_is_refused(store, tmp_path, way):
    with pytest.raises(CsmriError, match=f"transfer = '{way}' is a way to go on from a pretrained network.*--init"):
        train(of_way(way), store, tmp_path / "run", report=quiet)
    assert not list(tmp_path.iterdir())


def test_source_that_is_not_blended_or_missing_is_refused(store, init, cines, tmp_path):
    with pytest.raises(CsmriError, match="--source is blended in by transfer = 'blended' only, not by 'all'"):
        train(of_way("all"), store, tmp_path / "run", init=init, source=store, report=quiet)
    with StoreWriter(tmp_path / "bare") as writer:
        writer.add(cines["k_phantom_000"], "train")
    bare = open_store(tmp_path / "bare")
    with pytest.raises(CsmriError, match="no subject in split 'pretrain'"):
        train(of_way("blended"), bare, tmp_path / "run", init=init, report=quiet)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"transfer": "frozen"}, "'all', 'frozen-encoder'"),
        ({"transfer": "blended", "epochs": 4}, "blend_steps = 4 needs more epochs than 4"),
        ({"transfer": "blended", "train_split": "pretrain"}, "must be another"),
        ({"rate_decay": 0.0}, "greater than 0"),
        ({"rate_decay": 1.5}, "less than or equal to 1"),
        ({"blend_steps": 0}, "greater than or equal to 1"),
        ({"train_subjects": -1}, "greater than or equal to 0"),
    ],
)
def test_impossible_fields_are_refused(fields, message):
    with pytest.raises(CsmriError, match=message):
        Config(**fields)


def test_numbers_are_finite(trained):
    for way in WAYS:
        assert all(math.isfinite(value.sum()) for value in values(trained(way) / "models" / "final").values())
