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
from csmri.learning.examples import make_example, resample
from csmri.learning.stream import training_stream, validation_stream
from csmri.methods.task import task_of
from csmri.physics.fourier import image_to_kspace, kspace_to_image

CONFIG = Config(network="unrolled", batch_size=1, epochs=3, passes=2, validation_split="validation")


def complex_images(pair):
    return pair[..., 0] + 1j * pair[..., 1]


def transformed(pair, mask):
    """Acquired lines of a cine (batch, frame, x, y, 2), of the plain transform."""
    return np.fft.fft(complex_images(pair)) * mask[:, :, np.newaxis]


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
    for initial, data, mask, maps, noise, cyclic, truth in epochs[0]:
        assert initial.shape[:-1] == truth.shape[:-1] and truth.shape[-1] == 4
        np.testing.assert_array_equal(truth[..., 2:], initial)
        measured, reference = (transformed(images, mask) for images in (initial, truth[..., :2]))
        np.testing.assert_allclose(measured, reference, atol=1e-4)
        np.testing.assert_allclose(complex_images(data)[0, 0], reference[0], atol=1e-4)
        assert np.abs(initial - truth[..., :2]).max() > 1e-3
        assert (maps == [1, 0]).all() and noise == 0 and cyclic == 1


def test_cine_is_cut_to_columns_before_it_is_undersampled(store):
    config = CONFIG.model_copy(update={"crop_columns": 12})
    for initial, data, mask, maps, *_, truth in collect(training_stream(store, config))[:4]:
        assert initial.shape[2] == data.shape[3] == maps.shape[2] == truth.shape[2] == 12
        assert mask.shape[2] == initial.shape[3] == 32


@pytest.mark.slow
def test_columns_are_those_of_the_whole_cine(store):
    """Also where phase and noise are simulated, which depend on the whole image."""
    for changes in ({}, {"phase": "moving", "snr": 1e6, "phase_shift": 0.0}):
        whole, cropped = (
            collect(training_stream(store, CONFIG.model_copy(update={**changes, "crop_columns": n, "epochs": 1})))
            for n in (0, 12)
        )
        for (initial, _, mask, *_), (part, _, same, *_) in zip(whole, cropped, strict=True):
            np.testing.assert_array_equal(mask, same)
            starts = range(32 - 12 + 1)
            assert sum(np.allclose(initial[:, :, i : i + 12], part, atol=1e-5) for i in starts) == 1


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
        (_, _, mask, *_), _ = make_example(tf.ones((4, 64, 8)), item, tf.constant(0, tf.int64), task_of(config))
        return bool(np.fft.fftshift(mask, axes=-1)[:, 28:36].all())

    assert all(has_centre(False, "schlemper", i) for i in range(10))
    assert not any(has_centre(False, "gaussian", i) for i in range(10))
    assert 2 <= sum(has_centre(True, "gaussian", i) for i in range(20)) <= 18


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"consistency": "hard"}, "data consistency inside, leave out consistency"),
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
    for key, (initial, _, mask, *_, truth) in mixed.items():
        if key in plain:
            continue
        assert truth.dtype == np.float32
        assert np.abs(initial[..., 1]).max() > 0.1
        if not crop_columns:
            reference = complex_images(truth[0]).swapaxes(1, 2)
            np.testing.assert_allclose(reference, np.abs(reference) * phase, atol=1e-5)
            np.testing.assert_allclose(transformed(initial, mask), transformed(truth[..., :2], mask), atol=1e-4)


# --- conditions drawn anew for every example


def test_examples_differ_in_coils_noise_time_and_phase(store):
    conditions = {
        "phase_shares": {"none": 0.5, "moving": 0.5},
        "coils_share": 0.5,
        "noise_share": 0.5,
        "real_time_share": 0.5,
    }
    config = CONFIG.model_copy(
        update={**conditions, "coils_range": (2, 3), "crop_columns": 12, "epochs": 2, "images_per_epoch": 6}
    )
    examples = collect(training_stream(store, config))
    assert equal(collect(training_stream(store, config)), examples)
    coils = [data.shape[1] for _, data, *_ in examples]
    assert set(coils) == {1, 2, 3} and {float(one[5][0, 0]) for one in examples} == {0.0, 1.0}
    noises = [float(one[4][0, 0]) for one in examples]
    assert min(noises) == 0 < max(noises)
    turned = [np.abs(one[-1][..., 1]).max() > 1e-3 for one in examples]
    assert any(turned) and not all(turned)
    for initial, data, mask, maps, *_, truth in examples:
        assert data.shape[1] == maps.shape[1] and initial.shape == truth[..., :2].shape
        np.testing.assert_allclose(np.linalg.norm(maps, axis=(1, -1)), 1, atol=1e-5)
        assert not (complex_images(data) * (1 - mask[:, np.newaxis, :, np.newaxis])).any()


def band_limited(shape, kept):
    """Positive cine (frame, y, x) that has the middle `kept` lines alone, and is no sharper."""
    rng = np.random.default_rng(0)
    kspace = np.zeros(shape, np.complex64)
    middle = np.s_[:, shape[1] // 2 - kept : shape[1] // 2 + kept + 1, shape[2] // 2 - kept : shape[2] // 2 + kept + 1]
    kspace[middle] = rng.normal(size=kspace[middle].shape)
    images = kspace_to_image(kspace).numpy().real
    return (images - images.min() + 1).astype(np.float32)


@pytest.mark.parametrize("shape", [(2, 32, 24), (3, 33, 21)])
@pytest.mark.parametrize("share", [0.5, 0.6, 0.9, 1.0])
def test_resampled_cine_is_the_same_of_fewer_pixels(shape, share):
    """Its energy stays, and so does the sum over the root of the number of pixels, which is DC."""
    images, seed = band_limited(shape, 3), tf.constant([0, 0], tf.int64)
    made = resample(tf.constant(images), seed, (share, share)).numpy()
    assert made.dtype == np.float32 and made.shape[0] == shape[0]
    for before, after in zip(shape[1:], made.shape[1:], strict=True):
        assert (before - after) % 2 == 0 and share * before - 1e-3 <= after < share * before + 2
    np.testing.assert_allclose(np.square(made).sum((1, 2)), np.square(images).sum((1, 2)), rtol=1e-4)
    roots = [np.sqrt(one[0].size) for one in (images, made)]
    np.testing.assert_allclose(made.sum((1, 2)) / roots[1], images.sum((1, 2)) / roots[0], rtol=1e-4)
    if share == 1:
        np.testing.assert_allclose(made, images, atol=1e-4)


def test_resampled_share_is_drawn_and_outer_lines_and_phase_are_what_they_were():
    images = np.random.default_rng(0).random((2, 40, 40), np.float32)
    sizes = {resample(tf.constant(images), tf.constant([i, 0], tf.int64), (0.5, 1.0)).shape[1] for i in range(12)}
    assert len(sizes) > 4 and 20 <= min(sizes) <= max(sizes) <= 40
    made = resample(tf.constant(images), tf.constant([0, 0], tf.int64), (0.5, 0.5)).numpy()
    assert np.square(made).sum() < np.square(images).sum()
    whole = (images * np.exp(1j * images)).astype(np.complex64)
    kept = resample(tf.constant(whole), tf.constant([0, 0], tf.int64), (0.5, 0.5)).numpy()
    np.testing.assert_allclose(image_to_kspace(kept), image_to_kspace(whole)[:, 10:30, 10:30], atol=1e-4)


def test_sizes_are_checked_for_the_smallest_that_resampling_makes(store):
    config = CONFIG.model_copy(update={"resolution_range": (0.5, 1.0), "crop_columns": 20})
    with pytest.raises(CsmriError, match="crop_columns = 20 is more than the 16 columns"):
        training_stream(store, config)
