"""What networks are fed and served as: the same acquisition gives the same images by every way."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from csmri.config import Config, Sampling
from csmri.data.acquisition import Acquisition
from csmri.methods.scaling import frame_peak, network_input
from csmri.methods.task import TASKS, task_of
from csmri.physics.encoding import encoding_of
from csmri.physics.initial import initial_images
from csmri.physics.sampling import make_mask
from csmri.physics.simulate import acquire, conditions_of, measure, simulate, with_phase_of

CONFIGS = {
    "unet": Config(base_channels=2, depth=2, augment=False),
    "window": Config(base_channels=2, depth=1, frames=3),
    "acceleration": Config(base_channels=2, depth=1, frames=3, acceleration_input=True, augment=False),
    "unrolled": Config(network="unrolled", batch_size=1, base_channels=2, cascades=1),
}
SEED = tf.constant([1, 2], tf.int64)


def identity(images):
    """Cut nothing."""
    return images


def draw(n_coils=1, shape=(4, 18, 13), **law):
    """A fully sampled acquisition of a random cine, a mask and the cine."""
    rng = np.random.default_rng(0)
    images = rng.gamma(2.0, 1.0, shape).astype(np.float32)
    mask = rng.random(shape[:2]) < 0.4
    mask[:, shape[1] // 2] = True
    return simulate(images, Sampling(coils=n_coils, **law), seed=SEED), tf.constant(mask), images


def changed(network):
    """Give a network weights and biases that change images."""
    rng = np.random.default_rng(1)
    for variable in network.weights:
        variable.assign(variable + rng.normal(0, 0.2, variable.shape))
    return network


def test_every_network_has_a_task():
    assert set(TASKS) == set(Config.model_fields["network"].annotation.__args__)


@pytest.mark.parametrize("n_coils", [1, 3])
@pytest.mark.parametrize("name", CONFIGS)
def test_reconstruction_is_what_is_served(name, n_coils):
    task = task_of(CONFIGS[name])
    network = changed(task.build())
    full, mask, _ = draw(n_coils, phase="static")
    acquisition = acquire(full, mask)
    images = task.reconstructor(network)(acquisition)
    assert images.dtype == tf.complex64 and images.shape == (4, 18, 13)
    serve, signature = task.serve(network)
    assert {spec.name for spec in signature} == set(task.sample(0))
    if task.takes_cines:
        maps = tf.ones((1, 18, 13), tf.complex64) if n_coils == 1 else acquisition.maps
        fields = {"noise": acquisition.noise, "cyclic": tf.constant(acquisition.cyclic)}
        expected = serve(data=acquisition.data, mask=mask, maps=maps, **fields)["improved"]
    else:
        initial = initial_images(acquisition)
        further = {"acceleration_factor": mask.shape.num_elements() / np.sum(mask)} if name == "acceleration" else {}
        expected = tf.cast(serve(initial=tf.abs(initial), **further)["improved"], tf.complex64) * initial
        expected /= tf.cast(tf.abs(initial), tf.complex64)
    np.testing.assert_allclose(images, expected, atol=1e-4 * np.abs(expected).max())
    assert np.abs(images - initial_images(acquisition)).max() > 1e-2


@pytest.mark.parametrize("n_coils", [1, 3])
def test_unet_puts_acquired_lines_back(n_coils):
    full, mask, _ = draw(n_coils, phase="moving")
    acquisition, misfits = acquire(full, mask), {}
    network = changed(task_of(CONFIGS["unet"]).build())
    for consistency in ("none", "soft", "hard"):
        config = CONFIGS["unet"].model_copy(update={"consistency": consistency})
        images = task_of(config).reconstructor(network)(acquisition)
        misfits[consistency] = np.linalg.norm(encoding_of(acquisition).encode(images) - acquisition.data)
    assert misfits["hard"] < misfits["soft"] < misfits["none"]
    assert n_coils > 1 or misfits["hard"] < 1e-5 * misfits["none"]


@pytest.mark.parametrize("name", ["unet", "acceleration", "unrolled"])
def test_one_trace_serves_cines_of_all_sizes(name, monkeypatch):
    monkeypatch.setattr(
        "csmri.methods.task.unet.activations", lambda *_: 1
    )  # of a network alone, which `counted` is not
    task, traces = task_of(CONFIGS[name]), []
    network = task.build()

    def counted(inputs, training):
        traces.append(training)
        return network(inputs, training=training)

    reconstruct = task.reconstructor(counted)
    for shape in ((4, 18, 13), (3, 16, 20), (5, 9, 7)):
        full, mask, _ = draw(shape=shape)
        assert reconstruct(acquire(full, mask)).shape == shape
    assert traces == [False]


@pytest.mark.parametrize("n_coils", [1, 3])
def test_no_network_sees_what_was_not_acquired(n_coils):
    full, mask, images = draw(n_coils)
    spoilt = replace(full, data=tf.where(mask[..., tf.newaxis], full.data, np.nan))
    for config in CONFIGS.values():
        examples = [task_of(config).example(some, mask, tf.constant(images), crop=identity) for some in (full, spoilt)]
        for one, other in zip(*map(tf.nest.flatten, examples), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("n_coils", [1, 3])
def test_unrolled_is_trained_on_all_coils_and_the_image_with_its_phase(n_coils):
    law = Sampling(coils=n_coils, phase="moving", snr=30.0, cyclic=False)
    _, mask, images = draw()
    conditions = conditions_of(law)
    truth = with_phase_of(images, conditions, seed=SEED)
    full = measure(truth, conditions, seed=SEED)
    acquisition = acquire(full, mask)
    inputs, target = task_of(CONFIGS["unrolled"]).example(full, mask, truth, crop=identity)
    initial, data, weights, maps, noise, cyclic = (one.numpy() for one in inputs)
    np.testing.assert_allclose(target.numpy()[..., :2] @ [1, 1j], np.swapaxes(truth, 1, 2), rtol=1e-6)
    np.testing.assert_array_equal(target[..., 2:], initial)
    np.testing.assert_allclose(initial @ [1, 1j], np.swapaxes(initial_images(acquisition), 1, 2), rtol=1e-6)
    np.testing.assert_array_equal(weights, np.fft.ifftshift(mask, axes=-1))
    assert data.shape == (n_coils, 4, 13, 18, 2) and not data[:, :, :, 0][:, weights[:, 0] == 0].any()
    expected = np.ones((1, 13, 18)) if n_coils == 1 else np.swapaxes(full.maps, 1, 2)
    np.testing.assert_allclose(maps @ [1, 1j], expected, rtol=1e-6)
    assert noise[0] == float(full.noise) > 0 and cyclic[0] == 0


def test_unet_is_told_the_share_of_acquired_lines_of_the_whole_cine():
    config, shares = CONFIGS["acceleration"], []
    plain = task_of(config.model_copy(update={"acceleration_input": False}))
    for acceleration in (2.0, 8.0):
        full, _, images = draw(shape=(4, 24, 13))
        mask = make_mask(SEED, 4, 24, acceleration, Sampling())
        (inputs, target), (window, same) = (
            task.example(full, mask, tf.constant(images), crop=identity) for task in (task_of(config), plain)
        )
        np.testing.assert_array_equal(inputs[..., :3], window)
        np.testing.assert_array_equal(target, same)
        assert inputs.shape == (4, 24, 14, 4)  # padded columns are told as well
        np.testing.assert_allclose(inputs[..., 3], np.full((4, 24, 14), np.mean(mask)), rtol=1e-6)
        shares.append(float(inputs[0, 0, 0, 3]))
        blank, _ = task_of(config).blank(tf.constant(4), (24, 13))
        assert blank.shape == inputs.shape
    assert shares == pytest.approx([1 / 2, 1 / 8])


def test_images_depend_on_the_acceleration_that_the_network_is_told():
    task = task_of(CONFIGS["acceleration"])
    serve, _ = task.serve(changed(task.build()))
    initial = task.sample(0)["initial"]
    two, again, eight = (
        serve(initial=initial, acceleration_factor=tf.constant(r))["improved"] for r in (2.0, 2.0, 8.0)
    )
    np.testing.assert_array_equal(two, again)
    assert np.abs(two - eight).max() > 1e-2 * np.max(initial)


@pytest.mark.parametrize(("acceleration_input", "least", "most"), [(True, 0.0, 0.001), (False, 0.0099, 1.0)])
def test_training_learns_what_only_the_acceleration_tells(acceleration_input, least, most):
    """The same images, to be made darker at R = 2 and brighter at R = 8, by 0.1 in the target of equation (2)."""
    task = task_of(Config(base_channels=4, depth=1, acceleration_input=acceleration_input))
    network, initial = task.build(), tf.constant(np.random.default_rng(0).random((3, 8, 8)), tf.float32)
    factors = (2.0, 8.0) if acceleration_input else (None, None)
    inputs = tf.concat([network_input(initial, frame_peak(initial), acceleration_factor=r) for r in factors], axis=0)
    target = tf.repeat([0.4, 0.6], len(initial))[:, None, None, None] * tf.ones_like(inputs[..., :1])
    network.compile(keras.optimizers.Adam(1e-2), "mse")
    for _ in range(150):
        error = network.train_on_batch(inputs, target)
    assert least <= error < most


def test_noise_and_coils_reach_the_input_and_not_the_reference():
    plain, mask, images = draw()
    task = task_of(CONFIGS["unet"])
    references = []
    for full in (plain, draw(4, snr=20, phase="moving")[0]):
        inputs, target = task.example(full, mask, tf.constant(images), crop=identity)
        peak = tf.reduce_max(tf.abs(initial_images(acquire(full, mask))), axis=(1, 2))[:, None, None]
        references.append(((inputs[..., 0] + 2 * target[..., 0] - 1) * peak).numpy()[:, :18, :13])
        np.testing.assert_allclose(references[-1], images, atol=2e-5 * images.max())


def test_acquisition_in_another_unit_is_reconstructed_in_that():
    full, mask, _ = draw()
    for config in CONFIGS.values():
        task = task_of(config)
        reconstruct = task.reconstructor(task.build())
        acquisition = acquire(full, mask)
        assert isinstance(acquisition, Acquisition)
        larger = replace(acquisition, data=1000 * acquisition.data)
        once = reconstruct(acquisition).numpy()
        np.testing.assert_allclose(reconstruct(larger), 1000 * once, rtol=1e-3, atol=2 * np.abs(once).max())
