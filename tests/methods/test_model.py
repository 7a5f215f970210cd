"""SavedModels: complete, exact after a round trip, put in place in one step, and refused where they do not fit."""

from __future__ import annotations

import hashlib
import json
import shutil
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from csmri import __version__
from csmri.config import Config
from csmri.core.errors import CsmriError
from csmri.core.files import temporary_name
from csmri.methods.model import (
    Origin,
    describe_saved_model,
    has_weights,
    hash_subject,
    load_network,
    load_saved_model,
    load_weights,
    saved_model_sha256,
    saved_variables,
    trained_on,
    write_saved_model,
)
from csmri.methods.unet import build_unet

CONFIG = Config(base_channels=2, depth=2)


def make_network(seed=2, *, precision="float32"):
    """A network that changes images a lot, and whose biases are not zero, so that wrong padding shows."""
    network = build_unet(base_channels=2, depth=2, seed=seed, precision=precision)
    rng = np.random.default_rng(seed)
    for variable in network.weights:
        is_bias = variable.path.endswith("bias")
        variable.assign(rng.normal(0, 0.2, variable.shape) if is_bias else variable * 2)
    return network


@pytest.fixture(scope="module")
def network():
    return make_network()


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model"
    write_saved_model(network, path, config=CONFIG, epoch=7)
    return path


def serve(path, initial):
    """Correct images by a SavedModel's default signature."""
    signature = load_saved_model(path).signatures["serving_default"]
    return signature(initial=tf.constant(initial))["improved"].numpy()


def images(*shape, seed=0):
    return np.random.default_rng(seed).gamma(2.0, 100.0, shape).astype(np.float32)


def expected(network, initial, multiple=4):
    """Equations (1) to (3) and the padding once more, in NumPy."""
    peak = initial.max(axis=(1, 2), keepdims=True)
    n, y, x = initial.shape
    padded = np.zeros((n, -(-y // multiple) * multiple, -(-x // multiple) * multiple, 1), np.float32)
    padded[:, :y, :x, 0] = initial / peak
    target = network.predict_on_batch(padded)[:, :y, :x, 0]
    return np.maximum(initial + (2 * target - 1) * peak, 0)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 17, 30), (2, 5, 4), (4, 1, 3)])
def test_default_signature_corrects_images_of_any_size(saved, network, shape):
    signature = tf.saved_model.load(str(saved)).signatures["serving_default"]
    _, arguments = signature.structured_input_signature
    assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in arguments.items()} == {
        "initial": ([None, None, None], tf.float32)
    }
    initial = images(*shape)
    answer = signature(initial=tf.constant(initial))
    assert list(answer) == ["improved"]
    assert answer["improved"].shape == shape
    wanted = expected(network, initial)
    assert np.abs(wanted - initial).max() > 0.05 * initial.max()
    np.testing.assert_allclose(answer["improved"], wanted, atol=2e-6 * initial.max())


def test_signature_takes_the_acceleration_where_the_network_is_told_it(tmp_path):
    config = CONFIG.model_copy(update={"acceleration_input": True})
    network = build_unet(base_channels=2, depth=2, acceleration_input=True, seed=3)
    write_saved_model(network, tmp_path / "model", config=config, epoch=1)
    signature = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    _, arguments = signature.structured_input_signature
    assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in arguments.items()} == {
        "initial": ([None, None, None], tf.float32),
        "acceleration_factor": ([], tf.float32),
    }
    initial = images(2, 17, 14)
    peak = initial.max(axis=(1, 2), keepdims=True)
    padded = np.zeros((2, 20, 16, 2), np.float32)
    padded[:, :17, :14, 0], padded[..., 1] = initial / peak, 1 / 2.5
    wanted = initial + (2 * network.predict_on_batch(padded)[:, :17, :14, 0] - 1) * peak
    answer = signature(initial=tf.constant(initial), acceleration_factor=tf.constant(2.5))["improved"]
    np.testing.assert_allclose(answer, np.maximum(wanted, 0), atol=2e-6 * initial.max())


def test_network_of_before_there_was_an_acceleration_input_loads(saved, network, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "model")
    description = json.loads((folder / "csmri.json").read_text())
    assert description["config"].pop("acceleration_input") is False
    (folder / "csmri.json").write_text(json.dumps(description))
    described, loaded = load_network(folder)
    assert described.config == CONFIG
    for new, wanted in zip(loaded.weights, network.weights, strict=True):
        assert new.numpy().tobytes() == wanted.numpy().tobytes()


def test_frames_are_scaled_one_by_one(saved):
    """A frame's result does not depend on its neighbours."""
    improve = partial(serve, saved)
    initial = images(3, 12, 12) * np.float32([[[1]], [[50]], [[0.01]]])
    together = improve(initial)
    for frame in range(3):
        alone = improve(initial[frame : frame + 1])
        np.testing.assert_allclose(alone[0], together[frame], atol=1e-5 * initial[frame].max())


@pytest.mark.parametrize("factor", [2.0**-20, 4096.0, 3.0, 1e-6, 7e8])
def test_scaling_the_input_scales_the_output(saved, factor):
    improve = partial(serve, saved)
    initial = images(2, 12, 16)
    scaled, wanted = improve(initial * np.float32(factor)), improve(initial) * np.float32(factor)
    if np.log2(factor).is_integer():  # powers of two do not even round
        np.testing.assert_array_equal(scaled, wanted)
    np.testing.assert_allclose(scaled, wanted, atol=1e-6 * wanted.max())


def test_result_is_never_negative_and_blank_stays_finite(saved):
    improve = partial(serve, saved)
    assert improve(images(2, 8, 8)).min() >= 0
    blank = improve(np.zeros((1, 8, 8), np.float32))
    assert np.isfinite(blank).all()


def test_variables_are_bit_exact_after_a_round_trip(saved, network):
    other = make_network(seed=1)
    before = [variable.numpy().copy() for variable in other.weights]
    assert load_weights(other, saved) == []
    for old, new, wanted in zip(before, other.weights, network.weights, strict=True):
        assert not np.array_equal(old, wanted.numpy())
        assert new.numpy().tobytes() == wanted.numpy().tobytes()


def relative_difference(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def test_mixed_precision_keeps_float32_variables(tmp_path):
    network = make_network(precision="mixed_bfloat16")
    config = CONFIG.model_copy(update={"precision": "mixed_bfloat16"})
    write_saved_model(network, tmp_path / "model", config=config, epoch=1)
    plain = make_network(seed=1)
    assert load_weights(plain, tmp_path / "model") == []
    for new, wanted in zip(plain.weights, network.weights, strict=True):
        assert new.numpy().tobytes() == wanted.numpy().tobytes()
    initial = images(2, 9, 11)
    improved, in_float32 = serve(tmp_path / "model", initial), expected(plain, initial)
    assert improved.dtype == np.float32
    # A single pixel may be rounded by 3 % of the maximum, and differently by each processor; the image may not.
    assert relative_difference(improved, expected(network, initial)) < 0.01
    assert 0 < relative_difference(improved, in_float32) < 0.03


def test_variables_without_a_place_are_named(saved, network):
    encoder = keras.Model(network.inputs, network.get_layer("encoder0_conv1").output)
    left_out = load_weights(encoder, saved)
    names = {variable.path for variable in network.weights} - {variable.path for variable in encoder.weights}
    assert len(names) == 26 - 4
    assert left_out == sorted(names)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"base_channels": 3}, r"variable encoder0_conv0/kernel has shape \(3, 3, 1, 2\), the network needs"),
        ({"depth": 3}, r"has no variable encoder2_conv0/kernel; .*depth"),
        ({"depth": 1}, r"variable bottom_conv0/kernel has shape"),
        ({"frames": 3}, r"has shape \(3, 3, 1, 2\), the network needs \(3, 3, 3, 2\); frames of the config and"),
        (
            {"acceleration_input": True},
            r"has shape \(3, 3, 1, 2\), the network needs \(3, 3, 2, 2\); acceleration_input of the config and of",
        ),
        ({"frames": 3, "acceleration_input": True}, "; acceleration_input and frames of the config and of"),
    ],
)
def test_network_of_another_size_is_refused_and_stays_as_it_was(saved, fields, message):
    other = build_unet(**{"base_channels": 2, "depth": 2, **fields}, seed=3)
    before = [variable.numpy().copy() for variable in other.weights]
    with pytest.raises(CsmriError, match=message) as caught:
        load_weights(other, saved)
    assert str(saved) in str(caught.value)
    for old, new in zip(before, other.weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())


def test_folder_describes_itself(saved):
    described = describe_saved_model(saved)
    assert (described.path, described.config, described.epoch) == (saved, CONFIG, 7)
    assert json.loads((saved / "csmri.json").read_text())["csmri"] == __version__


@pytest.fixture
def spoilt(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


@pytest.mark.parametrize(
    "content",
    [None, "", "{", "[]", "{}", '{"epoch": 1, "config": 3}', '{"epoch": "x", "config": {}}', '{"epoch": 1}'],
)
def test_saved_model_of_others_is_refused(spoilt, content):
    (spoilt / "csmri.json").unlink()
    if content is not None:
        (spoilt / "csmri.json").write_text(content)
    with pytest.raises(CsmriError, match="a SavedModel, but not of csmri"):
        describe_saved_model(spoilt)


def test_description_with_a_wrong_config_is_refused(spoilt):
    (spoilt / "csmri.json").write_text('{"epoch": 1, "config": {"depth": 0}}')
    with pytest.raises(CsmriError, match=r"csmri\.json: depth = 0"):
        describe_saved_model(spoilt)


def test_what_is_no_saved_model_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("text")
    for path in (tmp_path, file, tmp_path / "missing"):
        with pytest.raises(CsmriError, match="not a SavedModel folder"):
            describe_saved_model(path)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
@pytest.mark.parametrize("content", [None, b"", b"no protocol buffer at all"])
def test_damaged_saved_model_is_refused(spoilt, name, content):
    (spoilt / name).unlink()
    if content is not None:
        (spoilt / name).write_bytes(content)
    with pytest.raises(CsmriError, match="the SavedModel cannot be loaded"):
        load_saved_model(spoilt)


def test_replaces_what_was_there(network, tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").write_text("remains")
    remains = temporary_name(path, process=999999999)  # of a process that was killed
    remains.mkdir()
    (remains / "half").write_text("remains")
    write_saved_model(network, path, config=CONFIG, epoch=1)
    assert list(tmp_path.iterdir()) == [path]
    assert describe_saved_model(path).epoch == 1
    assert not (path / "old").exists()
    assert not (path / "half").exists()


def test_failure_leaves_the_old_model_and_nothing_else(network, spoilt, monkeypatch):
    def fail(path, *args, **options):
        assert path.parent == temporary_name(spoilt)  # all else is written
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(CsmriError, match="disk full"):
        write_saved_model(network, spoilt, config=CONFIG, epoch=8)
    assert list(spoilt.parent.iterdir()) == [spoilt]
    assert describe_saved_model(spoilt).epoch == 7


@pytest.mark.parametrize("cyclic", [True, False])
def test_window_of_frames_is_built_inside(tmp_path, cyclic):
    network = build_unet(base_channels=2, depth=2, frames=3, seed=2)
    config = Config(base_channels=2, depth=2, frames=3, cyclic=cyclic)
    write_saved_model(network, tmp_path / "model", config=config, epoch=1)
    initial = images(4, 8, 12)
    order = [[-1, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 0]] if cyclic else [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]
    peak = initial.max(axis=(1, 2), keepdims=True)
    window = np.stack([initial[neighbours] / peak[i] for i, neighbours in enumerate(order)])
    target = network(window.transpose(0, 2, 3, 1)).numpy()[..., 0]
    improved = serve(tmp_path / "model", initial)
    np.testing.assert_allclose(improved, np.maximum(initial + (2 * target - 1) * peak, 0), atol=2e-6 * initial.max())
    again = build_unet(base_channels=2, depth=2, frames=3)
    assert load_weights(again, tmp_path / "model") == []
    with pytest.raises(CsmriError, match="frames of the config and of the SavedModel differ"):
        load_weights(build_unet(base_channels=2, depth=2), tmp_path / "model")


def sha256_of_files(path):
    """Digest of csmri 0.1: of the files as they are."""
    return hashlib.sha256((path / "variables" / "variables.data-00000-of-00001").read_bytes()).hexdigest()


@pytest.fixture
def other_order(saved, network, tmp_path):
    """The same weights, stored in another order of the variables, as after a training that was stopped."""
    path = tmp_path / "other"
    module = tf.Module()
    module.variables_of_network = [
        tf.Variable(variable.numpy(), name=variable.path) for variable in reversed(network.weights)
    ]
    tf.saved_model.save(module, str(path))
    shutil.copy(saved / "csmri.json", path)
    return path


def test_weights_are_known_by_name_in_whatever_order(saved, other_order):
    assert sha256_of_files(saved) != sha256_of_files(other_order)
    assert saved_model_sha256(saved) == saved_model_sha256(other_order)
    again = make_network(seed=1)
    assert load_weights(again, other_order) == []
    for name, variable in saved_variables(saved).items():
        assert saved_variables(other_order)[name].numpy().tobytes() == variable.numpy().tobytes()


def test_other_weights_have_another_digest(saved, network, tmp_path):
    known = {saved_model_sha256(saved)}
    names = [variable.path for variable in network.weights]
    for name in ("encoder0_conv0/bias", "bottom_conv1/kernel"):
        changed = make_network()
        variable = changed.weights[names.index(name)]
        value = variable.numpy()
        value.flat[0] = np.nextafter(value.flat[0], np.float32(9))  # one bit
        variable.assign(value)
        write_saved_model(changed, tmp_path / "model", config=CONFIG, epoch=7)
        known.add(saved_model_sha256(tmp_path / "model"))
    swapped = make_network()
    first, second = (swapped.weights[names.index(f"encoder0_conv{i}/bias")] for i in (0, 1))
    values = first.numpy(), second.numpy()
    first.assign(values[1])
    second.assign(values[0])
    write_saved_model(swapped, tmp_path / "model", config=CONFIG, epoch=7)
    known.add(saved_model_sha256(tmp_path / "model"))
    assert len(known) == 4


def test_digests_of_old_records_are_known(saved, other_order):
    assert has_weights(saved, saved_model_sha256(saved))
    assert has_weights(saved, sha256_of_files(saved))
    assert has_weights(other_order, saved_model_sha256(saved))
    assert not has_weights(saved, sha256_of_files(other_order))
    assert not has_weights(saved, "0" * 64)


def test_variables_are_those_of_the_graph_which_is_not_run(saved, spoilt):
    by_graph = {variable.name.removesuffix(":0"): variable for variable in load_saved_model(saved)._all_variables}
    (spoilt / "saved_model.pb").write_bytes(b"a stranger's graph")
    read = saved_variables(spoilt)
    assert read.keys() == by_graph.keys()
    for name, variable in read.items():
        assert variable.numpy().tobytes() == by_graph[name].numpy().tobytes()
    assert load_weights(make_network(seed=1), spoilt) == []
    assert saved_model_sha256(spoilt) == saved_model_sha256(saved)


@pytest.mark.parametrize("name", ["variables.index", "variables.data-00000-of-00001"])
@pytest.mark.parametrize("content", [None, b"", b"no checkpoint at all"])
def test_damaged_variables_are_refused(spoilt, name, content):
    (spoilt / "variables" / name).unlink()
    if content is not None:
        (spoilt / "variables" / name).write_bytes(content)
    with pytest.raises(CsmriError, match=r"copy: the SavedModel cannot be loaded: \S"):
        load_weights(make_network(), spoilt)


def test_checkpoint_of_another_program_is_refused(spoilt):
    shutil.rmtree(spoilt / "variables")
    tf.raw_ops.SaveV2(
        prefix=str(spoilt / "variables" / "variables"), tensor_names=["a"], shape_and_slices=[""], tensors=[tf.ones(2)]
    )
    with pytest.raises(CsmriError, match="the SavedModel cannot be loaded"):
        saved_variables(spoilt)


# --- networks are rebuilt; what they were trained on is known


def save_variables(path, variables):
    """Write a SavedModel of these variables in place of that of a csmri folder."""
    module = tf.Module()
    module.kept = [tf.Variable(value, name=name) for name, value in variables.items()]
    description = (path / "csmri.json").read_text()
    shutil.rmtree(path)
    tf.saved_model.save(module, str(path))
    (path / "csmri.json").write_text(description)


def test_network_is_rebuilt_from_config_and_variables(saved, network):
    described, rebuilt = load_network(saved)
    assert described == describe_saved_model(saved)
    for new, wanted in zip(rebuilt.weights, network.weights, strict=True):
        assert new.path == wanted.path and new.numpy().tobytes() == wanted.numpy().tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda read: {**read, "spy/kernel": np.ones(2)},
            "copy: has a variable spy/kernel, which the network of its csm",
        ),
        (lambda read: {k: v for k, v in read.items() if k != "bottom_conv0/bias"}, "no variable bottom_conv0/bias"),
        (lambda read: {**read, "bottom_conv0/bias": np.ones(9, np.float32)}, r"bottom_conv0/bias has shape \(9,\)"),
        (lambda read: {**read, "bottom_conv0/bias": np.ones(8)}, "bottom_conv0/bias holds float64, not float32"),
        (
            lambda read: {**read, "bottom_conv0/bias": np.array(["a"] * 8)},
            "bottom_conv0/bias holds string, not float32",
        ),
    ],
)
def test_variables_that_are_not_those_of_the_network_are_refused(spoilt, change, message):
    save_variables(spoilt, change({name: value.numpy() for name, value in saved_variables(spoilt).items()}))
    with pytest.raises(CsmriError, match=message) as caught:
        load_network(spoilt)
    assert "\n" not in str(caught.value)


def test_subjects_are_kept_hashed(network, tmp_path):
    origin = Origin(
        (hash_subject("patient001"), hash_subject("Jane Doe")), ("store 0123",), is_complete=True, frames=(8, 20)
    )
    write_saved_model(network, tmp_path / "model", config=CONFIG, epoch=7, origin=origin)
    described = describe_saved_model(tmp_path / "model")
    assert described.origin == origin and described.origin.frames == (8, 20)
    assert trained_on(described, ["patient002", "patient001", "Jane Doe"]) == ["patient001", "Jane Doe"]
    assert "Jane" not in (tmp_path / "model" / "csmri.json").read_text()
    assert hash_subject("patient001") == hashlib.sha256(b"csmri subject patient001").hexdigest()[:16]


def test_network_of_an_older_csmri_does_not_know_its_subjects(spoilt):
    description = json.loads((spoilt / "csmri.json").read_text())
    del description["trained_on"]
    (spoilt / "csmri.json").write_text(json.dumps(description))
    described = describe_saved_model(spoilt)
    assert described.origin == Origin() and not described.origin.is_complete
    assert trained_on(described, ["patient001"]) == []


@pytest.mark.parametrize("what", ["3", "[]", '{"subjects": 3}', '{"stores": null}', '{"frames": ["many"]}'])
def test_damaged_list_of_subjects_is_refused(spoilt, what):
    description = json.loads((spoilt / "csmri.json").read_text())
    (spoilt / "csmri.json").write_text(json.dumps({**description, "trained_on": json.loads(what)}))
    with pytest.raises(CsmriError, match="a SavedModel, but not of csmri"):
        describe_saved_model(spoilt)
