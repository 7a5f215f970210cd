"""Self-supervised training: one scan of every slice, split anew each time, and nothing else than what it measured."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from csmri.config import Config, TransferStudy
from csmri.core.errors import CsmriError
from csmri.core.names import split_way
from csmri.core.seeds import derive_seed, subject_key
from csmri.data.runs import read_log, relative_nmse
from csmri.learning import examples as drawing
from csmri.learning.examples import draw_mask, draw_truth, make_example
from csmri.learning.stream import training_stream, validation_stream
from csmri.learning.train import train
from csmri.methods.losses import HeldOutError, HeldOutMean
from csmri.methods.model import saved_variables
from csmri.methods.task import task_of
from csmri.physics.encoding import columns
from csmri.physics.fourier import as_pair
from csmri.physics.sampling import NEVER_HELD_OUT, hold_out

CONFIG = Config(
    network="unrolled",
    base_channels=2,
    cascades=1,
    start_iterations=0,  # which leave little to be learnt in a few steps
    batch_size=1,
    loss="self-supervised",
    augment=False,
    passes=2,
    accelerations=(2.0, 3.0),
    epochs=2,
    coils=3,
    snr=25.0,
    phase="moving",
)
FIRST = tf.constant(0, tf.int64)


def item_of(number: int = 0):
    """Pass of that number over one slice at R = 3."""
    return {
        "subject_key": tf.constant(subject_key("a"), tf.int64),
        "slice": tf.constant(0, tf.int64),
        "acceleration_index": tf.constant(1, tf.int64),
        "acceleration": tf.constant(3.0),
        "pass": tf.constant(number, tf.int64),
    }


@pytest.fixture(scope="module")
def images(cines):
    return tf.constant(cines["k_phantom_000"].images[0, :, :, :30])  # y x = 32 x 30


def example_of(images, config=CONFIG, *, epoch=0, number=0):
    inputs, target = make_example(images, item_of(number), tf.constant(epoch, tf.int64), task_of(config))
    return [part[tf.newaxis] for part in inputs], target[tf.newaxis]


def lines_of(example):
    """Kept and held-out data (coil, frame, x, ky, 2), and which lines (frame, ky) they are, of an example or batch."""
    (_, data, kept, *_), target = example
    return data[0].numpy(), target[0, 2:, :-1].numpy(), kept[0].numpy() > 0, target[0, 1, :-1, 0, :, 0].numpy() > 0


def scan_of(example):
    kept, held_out, *_ = lines_of(example)
    return kept + held_out


# --- one scan, and its splits


@given(st.integers(0, 2**31), st.integers(8, 40), st.sampled_from([0.1, 0.4, 0.9]))
def test_held_out_are_some_of_the_acquired_and_never_the_central_ones(seed, n_ky, share):
    mask = np.random.default_rng(seed).random((5, n_ky)) < 0.5
    mask[0] = False
    mask[0, 0] = True  # one line only
    drawn = hold_out(tf.constant(mask), share, derive_seed(seed, 0)).numpy()
    centre = np.abs(np.arange(n_ky) - n_ky // 2) <= NEVER_HELD_OUT // 2
    assert not (drawn & ~mask).any() and not drawn[:, centre].any() and not drawn[0].any()
    for lines, held_out in zip(mask, drawn, strict=True):
        n = lines.sum()
        wanted = max(1, np.round(np.float32(share) * np.float32(n)))
        assert held_out.sum() == max(min(wanted, (lines & ~centre).sum(), n - 1), 0)
    np.testing.assert_array_equal(drawn, hold_out(tf.constant(mask), share, derive_seed(seed, 0)))


def test_every_line_may_be_held_out_as_often_as_another():
    mask = tf.ones((200, 21), tf.bool)
    often = hold_out(mask, 0.4, derive_seed(0, 0)).numpy().mean(axis=0)
    centre = np.abs(np.arange(21) - 10) <= 1
    assert not often[centre].any()
    np.testing.assert_allclose(often[~centre], 8 / 18, atol=0.15)


def test_kept_and_held_out_lines_are_together_those_of_the_mask(images):
    example = example_of(images)
    kept, held_out, is_kept, is_held_out = lines_of(example)
    mask = np.fft.ifftshift(draw_mask(images, item_of(), FIRST, CONFIG).numpy(), axes=1)
    assert not (is_kept & is_held_out).any()
    np.testing.assert_array_equal(is_kept | is_held_out, mask)
    np.testing.assert_array_equal(is_held_out.sum(axis=1), round(0.4 * mask[0].sum()))
    for data, lines in ((kept, is_kept), (held_out, is_held_out)):
        np.testing.assert_array_equal((data != 0).any(axis=(0, 2, 4)), lines)


def test_scan_is_the_same_in_every_epoch_and_pass_and_split_anew(images):
    first = example_of(images)
    for epoch, number in ((0, 1), (1, 0), (7, 1)):
        other = example_of(images, epoch=epoch, number=number)
        np.testing.assert_array_equal(scan_of(first), scan_of(other))
        assert (lines_of(first)[2] != lines_of(other)[2]).any()
        again = example_of(images, epoch=epoch, number=number)
        for some, same in zip(tf.nest.flatten(other), tf.nest.flatten(again), strict=True):
            np.testing.assert_array_equal(some, same)


def test_conditions_that_vary_do_so_between_scans_alone(images):
    config = CONFIG.model_copy(
        update={"phase_shares": {"moving": 1.0}, "coils_share": 0.5, "noise_share": 0.5, "real_time_share": 0.5}
    )
    examples = [example_of(images, config, epoch=epoch) for epoch in range(3)]
    for example in examples[1:]:
        np.testing.assert_array_equal(scan_of(examples[0]), scan_of(example))


def test_crop_moves_and_its_columns_are_those_of_the_scan(images):
    whole, starts = scan_of(example_of(images)), set()
    for epoch in range(4):
        part = scan_of(example_of(images, CONFIG.model_copy(update={"crop_columns": 12}), epoch=epoch))
        found = [i for i in range(30 - 12 + 1) if np.allclose(whole[:, :, i : i + 12], part, rtol=1e-4, atol=1e-2)]
        assert len(found) == 1
        starts.update(found)
    assert len(starts) > 1


@pytest.mark.slow
def test_stream_repeats_the_scans_and_goes_on_after_a_restart(store):
    batches = training_stream(store, CONFIG)
    examples = [(tuple(inputs), target) for inputs, target in batches.dataset]
    n = batches.n_batches
    assert len(examples) == 2 * n == 2 * 2 * 2 * 2  # epochs, slices, accelerations, passes
    first, second = ({scan_of(one).tobytes() for one in epoch} for epoch in (examples[:n], examples[n:]))
    assert first == second and len(first) == n // 2
    resumed = [(tuple(inputs), target) for inputs, target in training_stream(store, CONFIG, first_epoch=1).dataset]
    for one, other in zip(examples[n:], resumed, strict=True):
        for some, same in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            np.testing.assert_array_equal(some, same)


def test_validation_is_held_out_lines_too(store):
    config = CONFIG.model_copy(update={"validation_split": "validation"})
    (inputs, target), _ = validation_stream(store, config).dataset
    assert target.shape == (1, 2 + 3, 4 + 1, 32, 32, 2)
    assert lines_of((inputs, target))[3].any()


# --- what reaches the network and the loss


def test_nothing_but_the_scan_reaches_network_and_loss(images, monkeypatch):
    clean = example_of(images)
    mask = draw_mask(images, item_of(), FIRST, CONFIG)[tf.newaxis, :, :, tf.newaxis]
    measure, poisoned = drawing.measure, []

    def poisonous(*args, **options):
        full = measure(*args, **options)
        poisoned.append(tf.where(mask, full.data, tf.complex(np.nan, np.nan)))
        return replace(full, data=poisoned[0])

    monkeypatch.setattr(drawing, "measure", poisonous)
    example = example_of(images)
    assert np.isnan(poisoned[0]).any()
    for some, same in zip(tf.nest.flatten(clean), tf.nest.flatten(example), strict=True):
        assert np.isfinite(some).all()
        np.testing.assert_array_equal(some, same)
    network = task_of(CONFIG).build()
    losses = [float(HeldOutError()(target, network(inputs))) for inputs, target in (clean, example)]
    assert np.isfinite(losses[0]) and losses[0] == losses[1]


def test_held_out_lines_do_not_reach_the_network(images, monkeypatch):
    clean, _ = example_of(images)
    acquire = drawing.acquire

    def poisonous(full, mask):
        scan = acquire(full, mask)
        share, seed = CONFIG.held_out_share, drawing.item_seed(drawing.Draw.HELD_OUT, item_of(), FIRST, CONFIG)
        lines = hold_out(mask, share, seed)[tf.newaxis, :, :, tf.newaxis]
        return replace(scan, data=tf.where(lines, tf.complex(np.nan, np.nan), scan.data))

    monkeypatch.setattr(drawing, "acquire", poisonous)
    inputs, target = example_of(images)
    assert np.isnan(target).any()
    for some, same in zip(clean, inputs, strict=True):
        np.testing.assert_array_equal(some, same)


# --- the loss


@pytest.mark.parametrize("coils", [1, 4])
def test_loss_of_the_true_images_is_zero_and_of_none_one(images, coils):
    config = CONFIG.model_copy(update={"coils": coils, "snr": 0.0})
    (initial, *_), target = example_of(images, config)
    truth = as_pair(columns(tf.cast(draw_truth(images, item_of(), FIRST, config)[0], tf.complex64)))[tf.newaxis]
    loss = HeldOutError()
    assert float(loss(target, truth)) < 1e-5
    assert float(loss(target, tf.zeros_like(truth))) == pytest.approx(1)
    assert 0.05 < float(loss(target, initial)) < 1
    means = {quantity: HeldOutMean(quantity) for quantity in ("held_out", "initial_held_out")}
    for mean in means.values():
        mean.update_state(target, truth)
    assert float(means["held_out"].result()) < 1e-10
    means["held_out"].reset_state()
    means["held_out"].update_state(target, initial)
    assert float(means["held_out"].result()) == pytest.approx(float(means["initial_held_out"].result()))


def test_loss_is_half_of_either_norm(images):
    """By its formula, in NumPy, of data on the centred orthonormal transform, whose norms have the same ratio."""
    config = CONFIG.model_copy(update={"coils": 1})
    (initial, *_), target = example_of(images, config)
    data, mask = lines_of(((None, initial, initial, None), target))[1::2]
    predicted = np.fft.fft(initial[0, ..., 0].numpy() + 1j * initial[0, ..., 1].numpy(), axis=-1) * mask[:, np.newaxis]
    data = data[0, ..., 0] + 1j * data[0, ..., 1]

    def absolute(values):
        return np.abs(values.real).sum() + np.abs(values.imag).sum()

    ratios = [norm(predicted - data) / norm(data) for norm in (np.linalg.norm, absolute)]
    assert float(HeldOutError()(target, initial)) == pytest.approx(np.mean(ratios), rel=1e-4)


@pytest.mark.parametrize("blank", [False, True])
def test_gradients_are_finite(images, blank):
    """Also of an exact image, and where nothing was measured."""
    config = CONFIG.model_copy(update={"snr": 0.0})
    images = tf.zeros_like(images) if blank else images
    inputs, target = example_of(images, config)
    truth = as_pair(columns(tf.cast(draw_truth(images, item_of(), FIRST, config)[0], tf.complex64)))[tf.newaxis]
    network, loss = task_of(config).build(), HeldOutError()
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(truth)
        exact, predicted = loss(target, truth), loss(target, network(inputs))
    assert np.isfinite(tape.gradient(exact, truth)).all()
    gradients = tape.gradient(predicted, network.trainable_variables)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert blank or any(np.abs(gradient).max() > 0 for gradient in gradients)


def test_gradient_is_the_slope(images):
    (initial, *_), target = example_of(images)
    images, loss = initial, HeldOutError()
    with tf.GradientTape() as tape:
        tape.watch(images)
        value = loss(target, images)
    gradient = tape.gradient(value, images)
    step = 0.01 * tf.norm(images) / tf.norm(gradient)  # long, as float32 knows the loss to seven digits
    slope = (loss(target, images + step * gradient) - loss(target, images - step * gradient)) / (2 * step)
    assert float(slope) == pytest.approx(float(tf.norm(gradient) ** 2), rel=0.05)


# --- config and study


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "unet"}, "needs network = \"unrolled\", got 'unet'"),
        ({"augment": True}, "augment = true must be augment = false"),
        ({"resolution_range": (0.5, 1.0)}, r"resolution_range = \[0.5, 1.0\] must be"),
        ({"held_out_share": 0.0}, "held_out_share"),
    ],
)
def test_impossible_configs_are_refused_in_one_line(changes, message):
    with pytest.raises(CsmriError, match=message) as refused:
        Config(**{**CONFIG.model_dump(), **changes})
    assert "\n" not in str(refused.value)


def test_acceleration_that_leaves_nothing_to_hold_out_is_refused(store):
    with pytest.raises(CsmriError, match="acceleration 16 leaves 2 of 32 lines .* lower it"):
        training_stream(store, CONFIG.model_copy(update={"accelerations": (16.0,)}))


def test_study_has_a_way_of_that_name():
    fields = {"network": "unrolled", "batch_size": 1, "augment": True, "resolution_range": (0.5, 1.0)}
    study = TransferStudy(**fields, ways=("standalone", "all", "self-supervised"), n_subjects=(1, 2))
    stages = study.stages()
    config = stages["self-supervised_2"]
    assert (config.loss, config.transfer, config.augment) == ("self-supervised", "all", False)
    assert config.resolution_range == (1, 1) and config.train_subjects == 2
    assert stages["all_2"].augment and stages["all_2"].loss != "self-supervised"
    assert split_way("self-supervised_2") == ("self-supervised", 2)
    assert "self-supervised" not in TransferStudy().ways


# --- training


@pytest.fixture(scope="module")
def trained(store, train_through, tmp_path_factory):
    """A finished run and, beside it, what a kill after its first epoch would have left."""
    path = tmp_path_factory.mktemp("self_supervised") / "run"
    train_through(of_training(), store, path)
    return path


def of_training():
    changes = {"epochs": 3, "learning_rate": 0.02, "passes": 4, "validation_split": "validation"}
    return CONFIG.model_copy(update=changes)


@pytest.mark.slow
def test_training_lowers_its_loss(trained):
    rows = read_log(trained / "log.csv")
    # Of validation, whose lines are the same in every epoch; others are more or less easily predicted.
    losses = [float(row["val_loss"]) for row in rows]
    assert losses[2] < losses[0]
    assert not any("nmse" in name for name in rows[0])
    left = relative_nmse(rows)
    assert left[3] < left[1]


@pytest.mark.slow
def test_killed_and_resumed_is_the_same_as_uninterrupted(store, trained, tmp_path):
    path = shutil.copytree(trained.with_name("run_killed"), tmp_path / "run")
    lines: list[str] = []
    train(of_training(), store, path, report=lines.append)
    assert any("epochs 2 to 3" in line for line in lines)
    once, twice = (saved_variables(one / "models" / "final") for one in (trained, path))
    assert once.keys() == twice.keys()
    for name, variable in once.items():
        # Not to the last bit: TensorFlow optimises the graph of a loaded network in another way with this loss.
        np.testing.assert_allclose(twice[name], variable, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_goes_on_from_a_pretrained_network(store, trained, tmp_path):
    config = of_training().model_copy(update={"epochs": 1})
    train(config, store, tmp_path / "run", init=trained / "models" / "final", report=lambda line: None)
    first, gone_on = (read_log(path / "log.csv")[0] for path in (trained, tmp_path / "run"))
    assert float(gone_on["held_out"]) < float(first["held_out"])
