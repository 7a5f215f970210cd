"""What a network computes in is counted without computing, and parts of a cine give what the whole gives."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from csmri.config import Config
from csmri.core.memory import LIMIT
from csmri.methods.footprint import activations, in_parts
from csmri.methods.reconstruction import simulated_acquisition
from csmri.methods.task import task_of

WITH_ACCELERATION = {"frames": 3, "acceleration_input": True}


def test_activations_are_counted_by_hand():
    network = task_of(Config(base_channels=3, depth=1)).build()
    pixels = 2 * 8 * 12
    # Two convolutions of three channels; pooled; two of six at a quarter; enlarged; both; two; one.
    numbers = 3 + 3 + 3 / 4 + 2 * 6 / 4 + 3 + 6 + 3 + 3 + 1
    assert activations(network, [(2, 8, 12, 1)]) == pytest.approx(4 * pixels * numbers)
    assert [one.shape for one in keras.tree.flatten(network.output)] == [(None, None, None, 1)]


def test_networks_tell_the_shapes_of_their_inputs():
    for fields in (
        {"frames": 3, "depth": 2},
        {**WITH_ACCELERATION, "depth": 2},
        {"network": "unrolled", "batch_size": 1, "cascades": 1},
    ):
        task = task_of(Config(base_channels=2, **fields))
        network, shapes = task.build(), task.shapes((18, 20), n_frames=5, n_coils=2)
        inputs = [keras.ops.ones(shape) for shape in shapes]
        assert network(inputs if len(inputs) > 1 else inputs[0]).shape[-3:-1] in ((20, 20), (20, 18))


@pytest.mark.parametrize("cyclic", [True, False])
@pytest.mark.parametrize("n_at_once", [1, 3, 7, 8])
def test_parts_see_the_neighbours_that_the_whole_sees(cyclic, n_at_once):
    images = np.random.default_rng(0).random((7, 4, 4)).astype(np.float32)
    sizes = []

    def smooth(frames):
        sizes.append(len(frames))
        ends = (frames[-1:], frames[:1]) if cyclic else (frames[:1], frames[-1:])
        padded = tf.concat([ends[0], frames, ends[1]], axis=0)
        return padded[:-2] + 2 * padded[1:-1] + 3 * padded[2:]

    whole = smooth(tf.constant(images))
    sizes.clear()
    found = in_parts(smooth, tf.constant(images), n_at_once=n_at_once, beside=1, cyclic=cyclic)
    np.testing.assert_allclose(found, whole, rtol=1e-6)
    assert max(sizes) == (7 if n_at_once >= 7 else n_at_once + 2)


@pytest.mark.parametrize(
    "fields", [{"consistency": "hard"}, {"frames": 3}, {"frames": 3, "cyclic": False}, WITH_ACCELERATION]
)
def test_a_unet_reconstructs_the_same_with_little_memory(fields, cines, monkeypatch):
    config = Config(base_channels=2, depth=2, **fields)
    cine = cines["k_phantom_003"]
    acquisition = simulated_acquisition(cine.images[0], 4.0, config, seed=0, subject="a", slice_index=0)
    task = task_of(config)
    reconstruct = task.reconstructor(task.build())
    monkeypatch.setenv(LIMIT, "1000")
    whole = reconstruct(acquisition)
    monkeypatch.setenv(LIMIT, "0.001")
    np.testing.assert_allclose(reconstruct(acquisition), whole, atol=1e-5 * np.abs(whole).max())
