"""The unrolled network: it keeps what was measured, is exact where nothing is missing, and knows no unit or phase."""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
from dataclasses import replace
from typing import get_args

import keras
import numpy as np
import pytest
import tensorflow as tf

from csmri.config import Config
from csmri.data.acquisition import Acquisition
from csmri.methods.task import task_of
from csmri.methods.unrolled import Temporal, build_unrolled
from csmri.physics.coils import make_coils
from csmri.physics.encoding import encoding_of
from csmri.physics.fourier import as_pair
from csmri.physics.initial import initial_images
from csmri.physics.simulate import acquire

SIZES = [(5, 12, 10), (1, 9, 7), (2, 8, 1), (5, 7, 6)]
"""Of cines (frame, y, x): frames 1, 2 and 5, even and odd y and x."""
CONFIG = Config(network="unrolled", base_channels=3, cascades=2, batch_size=1)
TASK = task_of(CONFIG)


def perturbed(network, size=0.1):
    """Change every weight, so that the network changes images a lot."""
    rng = np.random.default_rng(0)
    for variable in network.weights:
        variable.assign(variable + rng.normal(0, size, variable.shape))
    return network


def make_network(**options):
    return build_unrolled(**{"base_channels": 3, "cascades": 2, **options})


@pytest.fixture(scope="module")
def networks():
    """As initialised, and with other weights."""
    return {"untrained": make_network(), "perturbed": perturbed(make_network())}


@pytest.fixture(params=["untrained", "perturbed"])
def network(request, networks):
    return networks[request.param]


@pytest.fixture
def other(networks):
    return networks["perturbed"]


def draw(shape, n_coils=1, *, share=0.4, noise=0.0, cyclic=True, seed=0):
    """Complex cine (frame, y, x) of noise, and an acquisition of a share of its lines, with the true maps."""
    rng = np.random.default_rng(seed)
    images = (rng.gamma(2.0, 1.0, shape) * np.exp(1j * rng.normal(0, 0.4, shape))).astype(np.complex64)
    mask = rng.random(shape[:2]) < share
    mask[:, shape[1] // 2] = True
    maps = None if n_coils == 1 else make_coils(n_coils, shape[1:], seed=tf.constant([seed, 0], tf.int64))
    full = Acquisition(None, np.ones(shape[:2], bool), maps, tf.constant(noise), cyclic)
    data = encoding_of(full).encode(images)
    data += (noise * (rng.normal(size=data.shape) + 1j * rng.normal(size=data.shape))).astype(np.complex64)
    return images, acquire(replace(full, data=data), tf.constant(mask))


def run(network, acquisition):
    """Images (frame, y, x), eagerly."""
    maps = acquisition.maps
    if maps is None:
        maps = tf.ones([1, *acquisition.data.shape[2:]], tf.complex64)
    serve, _ = TASK.serve(network)
    fields = {"mask": acquisition.mask, "noise": acquisition.noise, "cyclic": tf.constant(acquisition.cyclic)}
    return serve(data=tf.convert_to_tensor(acquisition.data), maps=maps, **fields)["improved"].numpy()


def misfit(acquisition, images):
    """Largest difference from what was measured, relative to its largest value."""
    missed = encoding_of(acquisition).encode(images) - acquisition.data
    return np.abs(missed).max() / np.abs(acquisition.data).max()


# --- what was measured


@pytest.mark.parametrize("shape", SIZES)
def test_of_one_coil_without_noise_acquired_lines_come_out_as_they_were_measured(network, shape):
    _, acquisition = draw(shape)
    improved = run(network, acquisition)
    assert improved.shape == shape and misfit(acquisition, improved) < 3e-6
    assert np.abs(improved - initial_images(acquisition)).max() > 1e-2, "nothing changes: the test tells nothing"


@pytest.mark.parametrize(
    ("shape", "n_coils"), [((5, 12, 10), 1), ((2, 7, 5), 1), ((5, 12, 10), 3), ((1, 9, 7), 3), ((2, 8, 1), 3)]
)
def test_with_every_line_and_the_true_maps_the_image_comes_out(network, shape, n_coils):
    images, acquisition = draw(shape, n_coils, share=2.0)
    np.testing.assert_allclose(run(network, acquisition), images, atol=1e-5 * np.abs(images).max())


@pytest.mark.parametrize("n_coils", [1, 3])
@pytest.mark.parametrize("shape", [(5, 12, 10), (4, 7, 5)])
def test_untrained_it_keeps_a_still_cine_whose_lines_were_all_acquired_once(other, shape, n_coils):
    """Of a constant phase; of any other, some is taken off that is out of phase with what lies around. Without total
    variation, which smooths in space what a frame did not measure.

    With other weights this is not so: the lines that a frame lacks are what the convolutions make of them, and the
    network knows no more of one coil than that acquired lines stay.
    """
    still = np.broadcast_to(np.abs(draw(shape)[0][:1]) * np.exp(0.7j), shape).astype(np.complex64)
    _, acquisition = draw(shape, n_coils)
    mask = np.array(acquisition.mask)
    mask[0] |= ~mask.any(axis=0)
    data = encoding_of(replace(acquisition, mask=np.ones_like(mask))).encode(still)
    one = acquire(replace(acquisition, data=data), tf.constant(mask))
    assert mask.mean() < 0.8
    np.testing.assert_allclose(run(make_network(start_iterations=0), one), still, atol=2e-5 * np.abs(still).max())
    changed = run(other, one)
    assert np.abs(changed - still).max() > 1e-2 and (n_coils > 1 or misfit(one, changed) < 3e-6)


def test_the_more_noise_is_told_the_less_are_the_data_trusted(other):
    _, acquisition = draw((4, 12, 10))
    misfits = [misfit(acquisition, run(other, replace(acquisition, noise=tf.constant(n)))) for n in (0.0, 0.1, 1.0)]
    assert misfits[0] < 3e-6 and 10 * misfits[0] < misfits[1] < misfits[2]


def test_more_steps_fit_several_coils_better():
    _, acquisition = draw((3, 12, 10), 4, share=0.6)
    misfits = [misfit(acquisition, run(perturbed(make_network(cg_steps=n)), acquisition)) for n in (1, 3, 8)]
    assert misfits[0] > 2 * misfits[1] > 4 * misfits[2]


def test_more_steps_than_are_needed_do_no_harm():
    """Two coils that see the same are solved in one step, as one coil is."""
    images, acquisition = draw((3, 12, 10))
    twice = np.full((2, 12, 10), np.sqrt(0.5), np.complex64)
    one = replace(acquisition, data=np.sqrt(np.float32(0.5)) * np.repeat(acquisition.data, 2, axis=0), maps=twice)
    improved = run(perturbed(make_network(cg_steps=20)), one)
    assert misfit(one, improved) < 3e-6 and np.abs(improved).max() < 3 * np.abs(images).max()


# --- what does not matter


def test_order_of_the_coils_does_not_matter(other):
    _, acquisition = draw((4, 9, 8), 4, noise=0.1)
    order = [2, 0, 3, 1]
    turned = replace(acquisition, data=tf.gather(acquisition.data, order), maps=tf.gather(acquisition.maps, order))
    once = run(other, acquisition)
    np.testing.assert_allclose(run(other, turned), once, atol=2e-5 * np.abs(once).max())


@pytest.mark.parametrize("n_coils", [1, 3])
def test_unit_and_constant_phase_of_the_data_do_not_matter(other, n_coils):
    _, acquisition = draw((4, 9, 8), n_coils, noise=0.1)
    once = run(other, acquisition)
    for factor in (np.complex64(1000), np.complex64(1e-6), np.complex64(np.exp(2j))):
        one = replace(acquisition, data=factor * acquisition.data, noise=np.abs(factor) * acquisition.noise)
        np.testing.assert_allclose(run(other, one) / factor, once, atol=5e-5 * np.abs(once).max())
    louder = replace(acquisition, data=1000 * acquisition.data)  # and the noise as it was
    assert np.abs(run(other, louder) / 1000 - once).max() > 1e-3


@pytest.mark.parametrize("cyclic", [True, False])
def test_a_cyclic_cine_has_no_first_frame_and_another_has(other, cyclic):
    _, acquisition = draw((6, 8, 6), cyclic=cyclic)
    rolled = replace(
        acquisition, **{k: tf.roll(getattr(acquisition, k), 2, axis=-3 if k == "data" else 0) for k in ("data", "mask")}
    )
    once = run(other, acquisition)
    assert np.allclose(run(other, rolled), np.roll(once, 2, axis=0), atol=5e-5 * np.abs(once).max()) == cyclic


@pytest.mark.parametrize("n_coils", [1, 3])
def test_blank_cine_stays_blank(other, n_coils):
    _, acquisition = draw((3, 8, 6), n_coils)
    assert not np.any(run(other, replace(acquisition, data=tf.zeros_like(acquisition.data))))


# --- weights and arithmetic


def test_saved_and_loaded_it_computes_the_same(other, tmp_path):
    _, acquisition = draw((3, 9, 8), 2)
    other.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(run(loaded, acquisition), run(other, acquisition))


def test_seed_decides_the_weights():
    first = [[w.numpy() for w in build_unrolled(base_channels=2, cascades=1, seed=seed).weights] for seed in (0, 0, 1)]
    assert all(np.array_equal(a, b) for a, b in zip(first[0], first[1], strict=True))
    differ = [not np.array_equal(a, b) for a, b in zip(first[0], first[2], strict=True) if a.ndim > 1 and a.any()]
    assert differ and all(differ)


def test_bfloat16_is_near_and_keeps_acquired_lines():
    _, acquisition = draw((4, 12, 10))
    improved = {p: run(perturbed(make_network(precision=p)), acquisition) for p in ("float32", "mixed_bfloat16")}
    change = np.abs(improved["float32"] - initial_images(acquisition)).max()
    assert 0 < np.abs(improved["mixed_bfloat16"] - improved["float32"]).max() < 0.1 * change
    assert misfit(acquisition, improved["mixed_bfloat16"]) < 3e-6


def test_the_phase_that_moves_may_be_left_where_it_is():
    _, acquisition = draw((4, 12, 10))
    still, moving = (run(make_network(moving_frame=one), acquisition) for one in (False, True))
    assert np.abs(still - moving).max() > 1e-2 and misfit(acquisition, still) < 3e-6


@pytest.mark.parametrize("temporal", get_args(Temporal))
def test_other_frames_are_seen_in_each_way_and_after_loading_too(temporal, tmp_path):
    _, acquisition = draw((5, 12, 10))
    network = perturbed(make_network(temporal=temporal, cascades=1))
    improved = run(network, acquisition)
    assert misfit(acquisition, improved) < 3e-6
    network.save(tmp_path / "network.keras")
    np.testing.assert_array_equal(run(keras.saving.load_model(tmp_path / "network.keras"), acquisition), improved)
    spectra = [weight for weight in network.trainable_weights if "_spectrum" in weight.path]
    frames = [weight for weight in network.trainable_weights if "_frames" in weight.path]
    assert [len(spectra), len(frames)] == {"spectrum": [4, 0], "separable": [0, 8]}.get(temporal, [0, 0])
    for weight in (*spectra, *frames):
        weight.assign(0 * weight)
    changed = np.abs(run(network, acquisition) - improved).max()
    assert changed > 1e-3 if spectra or frames else changed == 0


@pytest.mark.parametrize(("n_coils", "noise"), [(1, 0.0), (1, 0.1), (3, 0.1)])
def test_every_weight_gets_a_gradient_and_nothing_is_said(other, n_coils, noise):
    """TensorFlow warns where a gradient passes from complex values to real ones."""
    images, acquisition = draw((4, 9, 7), n_coils, noise=noise)
    inputs, target = TASK.example(acquisition, acquisition.mask, tf.constant(images), crop=tf.identity)
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logger = tf.get_logger()
    logger.addHandler(handler)
    try:
        with tf.GradientTape() as tape:
            improved = other([one[tf.newaxis] for one in inputs], training=True)
            loss = TASK.loss()(target[tf.newaxis], improved)
        gradients = tape.gradient(loss, [variable.value for variable in other.trainable_variables])
    finally:
        logger.removeHandler(handler)
    assert not said
    for variable, gradient in zip(other.trainable_variables, gradients, strict=True):
        assert gradient is not None and np.isfinite(gradient).all(), variable.path
        idle = variable.path.startswith("initial_consistency") or (variable.name == "log_trust" and not noise)
        assert idle or np.any(gradient), variable.path


# --- another backend

ON_JAX = """
import sys
import keras, numpy as np
from csmri.methods.unrolled import build_unrolled
assert keras.backend.backend() == "jax"
given = np.load(sys.argv[1])
network = build_unrolled(base_channels=3, cascades=2)
network.set_weights([given[f"weight{i}"] for i in range(len(network.weights))])
for n_coils in (1, 3):
    inputs = [given[f"{n_coils}input{i}"] for i in range(6)]
    improved = np.asarray(network(inputs))
    np.testing.assert_allclose(improved, given[f"{n_coils}improved"], atol=5e-5 * np.abs(improved).max())
network.compile("sgd", loss="mean_squared_error")
loss = network.train_on_batch(inputs, np.zeros_like(improved))
assert np.isfinite(loss) and all(np.isfinite(weight).all() for weight in network.get_weights())
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="without JAX")
def test_on_jax_it_computes_the_same_and_trains(other, tmp_path):
    given = {f"weight{i}": weight for i, weight in enumerate(other.get_weights())}
    for n_coils in (1, 3):
        images, acquisition = draw((4, 9, 7), n_coils, noise=0.1)
        inputs, _ = TASK.example(acquisition, acquisition.mask, tf.constant(images), crop=tf.identity)
        inputs = [one.numpy()[np.newaxis] for one in inputs]
        given |= {f"{n_coils}input{i}": one for i, one in enumerate(inputs)}
        given[f"{n_coils}improved"] = other(inputs).numpy()
    np.savez(tmp_path / "given.npz", **given)
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", ON_JAX, str(tmp_path / "given.npz")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_pairs_are_what_the_network_is_fed():
    """Data of the plain transform reproduce what was measured: see `test_encoding`; here, their order and shapes."""
    images, acquisition = draw((3, 8, 6), 2)
    inputs, target = TASK.example(acquisition, acquisition.mask, tf.constant(images), crop=tf.identity)
    shapes = [(3, 6, 8, 2), (2, 3, 6, 8, 2), (3, 8), (2, 6, 8, 2), (1,), (1,)]
    assert [tuple(one.shape) for one in inputs] == shapes
    np.testing.assert_array_equal(target[..., :2], as_pair(images.swapaxes(1, 2)))
