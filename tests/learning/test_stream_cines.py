"""The stream of whole cines: right values, announced numbers, the same again after a restart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from csmri.config import Config
from csmri.core.errors import CsmriError
from csmri.core.seeds import subject_key
from csmri.data.store import StoreWriter, open_store
from csmri.learning.stream import make_example, training_stream, validation_stream
from csmri.methods.task import task_of
from csmri.physics.fourier import fft_y

CONFIG = Config(network="unrolled", consistency="hard", batch_size=1, epochs=3, passes=2, validation_split="validation")


def collect(batches):
    return [[part.numpy() for part in tf.nest.flatten(example)] for example in batches.dataset]


def equal(some, others):
    return len(some) == len(others) and all(
        np.array_equal(a, b) for one, other in zip(some, others, strict=True) for a, b in zip(one, other, strict=True)
    )


@pytest.fixture(scope="module")
def epochs(store):
    """Examples of three epochs."""
    batches = training_stream(store, CONFIG)
    examples = collect(batches)
    assert len(examples) == 3 * batches.n_batches == 3 * 2 * 2 * 2  # slices, accelerations, passes
    return [examples[i * batches.n_batches : (i + 1) * batches.n_batches] for i in range(3)]


def test_epochs_differ_and_a_restart_goes_on(store, epochs):
    assert not equal(epochs[0], epochs[1])
    assert equal(collect(training_stream(store, CONFIG, first_epoch=1)), epochs[1] + epochs[2])


def test_acquired_lines_of_the_input_are_those_of_the_reference(epochs):
    for initial, mask, truth in epochs[0]:
        assert initial.shape[:-1] == truth.shape[:-1] and truth.shape[-1] == 4
        np.testing.assert_array_equal(truth[..., 2:], initial)
        measured, reference = (
            fft_y(images).numpy()
            for images in (initial[..., 0] + 1j * initial[..., 1], truth[..., 0] + 1j * truth[..., 1])
        )
        acquired = mask.astype(bool)
        np.testing.assert_allclose(measured[acquired], reference[acquired], atol=1e-5)
        assert np.abs(measured - reference).max() > 1e-3


def test_cine_is_cut_to_columns_before_it_is_undersampled(store):
    for initial, mask, truth in collect(training_stream(store, CONFIG.model_copy(update={"crop_columns": 12})))[:4]:
        assert initial.shape[3] == truth.shape[3] == 12
        assert mask.shape[2] == initial.shape[2] == 32


@pytest.mark.slow
def test_columns_are_those_of_the_whole_cine(store):
    """Also where phase and noise are simulated, which depend on the whole image."""
    for changes in ({}, {"phase": "moving", "snr": 1e6, "phase_shift": 0.0}):
        whole, cropped = (
            collect(training_stream(store, CONFIG.model_copy(update={**changes, "crop_columns": n, "epochs": 1})))
            for n in (0, 12)
        )
        for (initial, mask, _), (part, same, _) in zip(whole, cropped, strict=True):
            np.testing.assert_array_equal(mask, same)
            starts = range(32 - 12 + 1)
            assert sum(np.allclose(initial[:, :, :, i : i + 12], part, atol=1e-6) for i in starts) == 1


def test_epoch_ends_after_so_many_cines(store):
    batches = training_stream(store, CONFIG.model_copy(update={"images_per_epoch": 3}))
    assert batches.n_batches == 3 and len(collect(batches)) == 9
    with pytest.raises(CsmriError, match="images_per_epoch = 9 is more than the 8 cines"):
        training_stream(store, CONFIG.model_copy(update={"images_per_epoch": 9}))


def test_validation_is_always_the_same_and_whole(store):
    batches = validation_stream(store, CONFIG.model_copy(update={"crop_columns": 12}))
    examples = collect(batches)
    assert len(examples) == batches.n_batches == 2
    assert equal(collect(batches), examples)
    assert examples[0][0].shape == (1, 4, 32, 32, 2)


def test_both_laws_are_drawn(store):
    """The Schlemper law always has the 8 central lines; the Gaussian one hardly ever in all frames."""

    def has_centre(both_laws, law, number):
        config = CONFIG.model_copy(update={"both_laws": both_laws, "mask_law": law, "augment": False})
        item = {
            "subject_key": tf.constant(subject_key("a"), tf.int64),
            "slice": tf.constant(0, tf.int64),
            "acceleration_index": tf.constant(0, tf.int64),
            "acceleration": tf.constant(4.0),
            "pass": tf.constant(number, tf.int64),
        }
        (_, mask), _ = make_example(tf.ones((4, 64, 8)), item, tf.constant(0, tf.int64), task_of(config))
        return bool(mask[:, 28:36].numpy().all())

    assert all(has_centre(False, "schlemper", i) for i in range(10))
    assert not any(has_centre(False, "gaussian", i) for i in range(10))
    assert 2 <= sum(has_centre(True, "gaussian", i) for i in range(20)) <= 18


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"batch_size": 8}, "batch_size must be 1"),
        ({"consistency": "none"}, 'needs consistency = "hard" or "soft"'),
        ({"frames": 3}, "frames = 3 is for the U-net"),
    ],
)
def test_impossible_config_is_refused(fields, message):
    with pytest.raises(CsmriError, match=message):
        Config(**{**CONFIG.model_dump(), **fields})


@pytest.mark.parametrize("crop_columns", [0, 12])
def test_complex_cines_are_undersampled_with_their_phase(cines, tmp_path, crop_columns):
    """K-space is that of the complex images, the reference their magnitude; magnitude subjects stay as they are."""
    cine = cines["k_phantom_000"]
    phase = np.exp(1j * np.arange(5)[:, np.newaxis, np.newaxis] * np.linspace(0, 1, 32)).astype(np.complex64)
    subjects = {"plain": [cine], "mixed": [cine, replace(cine, images=cine.images * phase, subject="turned")]}
    config = CONFIG.model_copy(update={"epochs": 1, "augment": False, "passes": 1, "crop_columns": crop_columns})
    found = {}
    for name, some in subjects.items():
        with StoreWriter(tmp_path / name) as writer:
            for one in some:
                writer.add(one, "train")
        found[name] = collect(training_stream(open_store(tmp_path / name), config))
    plain = [b"".join(part.tobytes() for part in example) for example in found["plain"]]
    mixed = {b"".join(part.tobytes() for part in example): example for example in found["mixed"]}
    assert set(plain) < set(mixed) and len(mixed) == 2 * len(plain)
    for key, (initial, mask, truth) in mixed.items():
        if key in plain:
            continue
        assert truth.dtype == np.float32
        images = initial[..., 0] + 1j * initial[..., 1]
        assert np.abs(images.imag).max() > 0.1
        if not crop_columns:
            reference = truth[0, ..., 0] + 1j * truth[0, ..., 1]
            np.testing.assert_allclose(reference, np.abs(reference) * phase, atol=1e-5)
            acquired = mask[0].astype(bool)
            np.testing.assert_allclose(
                fft_y(images[0]).numpy()[acquired], fft_y(reference).numpy()[acquired], atol=1e-5
            )
