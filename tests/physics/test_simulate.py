"""What simulation gives: the truth with every line and no noise, the phase, coils and noise that were asked for."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from csmri.config import Sampling
from csmri.core.errors import CsmriError
from csmri.data.acquisition import Acquisition, check_acquisition
from csmri.phantom import make_subject
from csmri.physics.coils import make_coils, root_sum_of_squares
from csmri.physics.encoding import encoding_of
from csmri.physics.fourier import fft_y
from csmri.physics.phase import Phase, make_phase
from csmri.physics.simulate import (
    Conditions,
    acquire,
    conditions_of,
    mean_signal,
    measure,
    simulate,
    simulated_mask,
    simulated_slice,
    with_phase_of,
)

SEED = tf.constant([3, 7], tf.int64)
PLACE = {"seed": 0, "subject": "p", "slice_index": 1}
EVERYTHING = {"phase": "moving", "coils": 5, "snr": 20.0}


@pytest.fixture(scope="module")
def images():
    """Magnitude cine (11 frames, 48 y, 37 x)."""
    return make_subject(0, size=48, n_slices=1, n_frames=11).images[0][..., :37]


def draw_phase(images, law, seed=SEED):
    return make_phase(images, conditions_of(law).phase, seed=seed).numpy()


def combined(acquisition):
    return encoding_of(acquisition).adjoint(acquisition.data).numpy()


@pytest.mark.parametrize("phase", ["none", "static", "moving", "drift"])
@pytest.mark.parametrize("coils", [1, 2, 8, 32])
def test_fully_sampled_without_noise_is_the_truth(images, phase, coils):
    full = simulate(images, Sampling(phase=phase, coils=coils), seed=SEED)
    assert full.data.shape == (coils, *images.shape) and full.n_coils == coils
    np.testing.assert_allclose(np.abs(combined(full)), images, atol=1e-5 * images.max())
    assert (full.maps is None) == (coils == 1)


def test_without_phase_coils_and_noise_it_is_the_bare_transform(images):
    np.testing.assert_array_equal(simulate(images, Sampling(), seed=SEED).data[0], fft_y(images))
    turned = (images * np.exp(0.3j)).astype(np.complex64)
    np.testing.assert_array_equal(simulate(turned, Sampling(), seed=SEED).data[0], fft_y(turned))


@pytest.mark.parametrize("matrix", [(48, 37), (5, 8), (1, 1)])
@pytest.mark.parametrize("n_coils", [2, 7, 32])
def test_coils_are_smooth_complex_and_of_unit_root_sum_of_squares(n_coils, matrix):
    maps = make_coils(n_coils, matrix, seed=SEED)
    np.testing.assert_allclose(root_sum_of_squares(maps), np.ones(matrix), atol=1e-5)
    if min(matrix) > 30:
        steps = [np.abs(np.diff(maps, axis=axis)).max() for axis in (1, 2)]
        assert max(steps) < 0.25
        assert np.ptp(np.angle(maps[:, 0, 0])) > 0.5  # every coil has a phase of its own


def test_phases_are_what_they_are_called(images):
    law = Sampling(phase="static", phase_static=1.0, phase_shift=0.0)
    static = draw_phase(images, law)
    assert (static == static[0]).all() and 0.5 < np.ptp(static) <= 2.0
    drift = draw_phase(images, law.model_copy(update={"phase": "drift"})) - static
    assert 0.1 < np.abs(drift).max() <= 0.3 + 1e-5 and np.abs(np.diff(drift, axis=0)).max() < 0.2
    moving = draw_phase(images, law.model_copy(update={"phase": "moving"})) - static
    touched = np.abs(moving).max(axis=0) > 1e-3
    assert 0.002 < touched.mean() < 0.2  # regions, not the whole image
    assert 0.3 < np.abs(moving).max() <= 3 * 0.7
    resting = (np.abs(moving).max(axis=(1, 2)) < 1e-3).mean()
    assert resting < 1 and np.abs(np.diff(moving, axis=2)).max() > 0.2  # pulses, with sharp edges


def test_flow_has_either_sign_and_its_own_time(images):
    law = Sampling(phase="moving", phase_static=0.0, phase_shift=0.0)
    drawn = [draw_phase(images, law, seed=tf.constant([i, 0], tf.int64)) for i in range(12)]
    pulses = [one - np.median(one) for one in drawn]
    assert {np.sign(one.flat[np.abs(one).argmax()]) for one in pulses} == {-1.0, 1.0}
    assert len({int(np.abs(one).max(axis=(1, 2)).argmax()) for one in pulses}) > 3


def test_a_shift_of_the_echo_is_a_ramp(images):
    law = Sampling(phase="static", phase_static=0.0, phase_shift=0.5)
    ramp = draw_phase(images, law)[0]
    assert np.abs(np.diff(ramp, n=2, axis=0)).max() < 1e-5 and np.abs(np.diff(ramp, n=2, axis=1)).max() < 1e-5
    assert 0 < np.ptp(ramp[:, 0]) <= np.pi and 0 < np.ptp(ramp[0]) <= np.pi  # half a sample is pi over the image


@pytest.mark.parametrize("coils", [1, 6])
def test_noise_has_the_stated_ratio(images, coils):
    law = Sampling(coils=coils, snr=10.0)
    noise = combined(simulate(images, law, seed=SEED)) - images
    for part in (noise.real, noise.imag):
        assert part.std() == pytest.approx(float(mean_signal(images)) / 10, rel=0.03)
        assert abs(part.mean()) < part.std() / 20
    full = simulate(images, law, seed=SEED)
    added = full.data - simulate(images, law.model_copy(update={"snr": 0.0}), seed=SEED).data
    assert np.std(np.real(added)) == pytest.approx(float(full.noise), rel=0.03)


def test_the_signal_is_that_of_the_object():
    image = np.zeros((2, 10, 10), np.float32)
    image[:, :3] = 5.0
    assert float(mean_signal(image)) == 5.0
    assert float(mean_signal(np.zeros((2, 3, 3), np.float32))) == 0.0


def test_everything_is_drawn_from_the_arguments_alone(images):
    law = Sampling(**EVERYTHING)
    known = simulated_slice(images, law, **PLACE).data.numpy()
    tf.random.set_seed(99)
    np.testing.assert_array_equal(simulated_slice(images, law, **PLACE).data, known)
    traced = tf.function(lambda one: simulate(one, law, seed=SEED).data)
    np.testing.assert_allclose(traced(images), simulate(images, law, seed=SEED).data, atol=1e-4 * images.max())
    for other in ({"seed": 1}, {"subject": "q"}, {"slice_index": 2}):
        assert not np.allclose(simulated_slice(images, law, **{**PLACE, **other}).data, known)


def test_what_was_not_acquired_is_out_of_reach(images):
    law = Sampling(**EVERYTHING)
    full = simulated_slice(images, law, **PLACE)
    mask = simulated_mask(law, shape=images.shape[:2], acceleration=4.0, **PLACE)
    sampled = acquire(full, mask)
    assert not sampled.data.numpy()[:, ~mask].any()
    np.testing.assert_array_equal(sampled.data.numpy()[:, mask], full.data.numpy()[:, mask])
    assert sampled.maps is full.maps and sampled.noise == full.noise


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": np.ones((2, 3, 4), np.complex64)}, "expected data"),
        ({"mask": np.ones((3, 5), bool)}, "expected a boolean mask"),
        ({"mask": np.ones((2, 3), np.float32)}, "expected a boolean mask"),
        ({"mask": np.zeros((2, 3), bool)}, "nothing to reconstruct"),
        ({"data": np.ones((2, 2, 3, 4), np.complex64)}, "need coil sensitivity maps"),
        ({"maps": np.ones((2, 3, 4), np.complex64)}, "expected maps"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(change, message):
    fields = {"data": np.ones((1, 2, 3, 4), np.complex64), "mask": np.ones((2, 3), bool), "maps": None, **change}
    with pytest.raises(CsmriError, match=message):
        check_acquisition(Acquisition(**fields))


def test_what_is_measured_is_the_image_with_the_phase_of_the_law(images):
    law = Sampling(phase="moving", coils=3)
    conditions = conditions_of(law)
    truth = with_phase_of(images, conditions, seed=SEED).numpy()
    np.testing.assert_allclose(combined(measure(truth, conditions, seed=SEED)), truth, atol=1e-5 * images.max())
    np.testing.assert_array_equal(measure(truth, conditions, seed=SEED).data, simulate(images, law, seed=SEED).data)
    np.testing.assert_array_equal(with_phase_of(images, conditions_of(Sampling()), seed=SEED), images)


def test_no_coil_has_a_place_of_its_own():
    places = []
    for i in range(24):
        size = np.abs(make_coils(8, (32, 32), seed=tf.constant([i, 1], tf.int64))[0])
        y, x = np.unravel_index(size.argmax(), size.shape)
        places.append((y >= 16, x >= 16))
    assert len(set(places)) == 4


def test_flow_does_not_depend_on_the_unit(images):
    law = Sampling(phase="moving")
    plain, tiny = (draw_phase(unit * images, law) for unit in (1.0, 1e-9))
    np.testing.assert_allclose(plain, tiny, atol=1e-4)


@pytest.mark.parametrize("phase", ["none", "static", "moving", "drift"])
def test_conditions_that_are_tensors_give_what_numbers_do(images, phase):
    """What is drawn for one example of a training is acquired as the same values in a config are."""
    law = Sampling(phase=phase, coils=3, snr=20.0)
    numbers = conditions_of(law)
    strength = numbers.phase and Phase(**{name: tf.constant(value) for name, value in vars(numbers.phase).items()})
    drawn = Conditions(phase=strength, coils=tf.constant(3), snr=tf.constant(20.0), cyclic=tf.constant(True))
    full, expected = (
        measure(with_phase_of(images, one, seed=SEED), one, seed=SEED) for one in (drawn, conditions_of(law))
    )
    np.testing.assert_allclose(full.data, expected.data, atol=1e-5 * np.abs(expected.data).max())
    np.testing.assert_array_equal(full.maps, expected.maps)
    assert float(full.noise) == float(expected.noise)


def test_nothing_of_a_phase_that_is_not_present():
    images = np.random.default_rng(0).random((3, 12, 10), np.float32)
    absent = Phase(static=tf.constant(0.0), shift=tf.constant(0.0), present=tf.constant(0.0), moving=tf.constant(0.0))
    assert not make_phase(images, absent, seed=SEED).numpy().any()
    constant = make_phase(images, Phase(static=0.0, shift=0.0), seed=SEED).numpy()
    assert np.ptp(constant) == 0 and constant.any()


def test_no_noise_is_told_where_it_is_not_known_and_no_division_by_none():
    images = np.random.default_rng(0).random((3, 12, 10), np.float32)
    for snr, known, added in ((20.0, 1.0, True), (20.0, 0.0, True), (0.0, 1.0, False)):
        one = Conditions(phase=None, coils=1, snr=tf.constant(snr), cyclic=True, is_noise_known=tf.constant(known))
        full = measure(images, one, seed=SEED)
        assert (np.abs(full.data[0] - fft_y(images)).max() > 1e-3) == added
        assert (float(full.noise) > 0) == bool(added and known)


@pytest.mark.parametrize("coils", [1, 3])
def test_columns_are_measured_as_if_they_were_alone(images, coils):
    conditions = conditions_of(Sampling(phase="moving", coils=coils))
    truth = with_phase_of(images, conditions, seed=SEED)
    whole = measure(truth, conditions, seed=SEED)
    part = measure(truth, conditions, seed=SEED, crop=lambda values: values[..., 5:16])
    np.testing.assert_allclose(part.data, whole.data[..., 5:16], atol=1e-5 * np.abs(whole.data).max())
    if coils > 1:
        np.testing.assert_array_equal(part.maps, whole.maps[..., 5:16])


def test_noise_of_a_part_is_that_of_the_whole_image(images):
    """Columns beside the heart are dark, their noise is that of the scan."""
    conditions = conditions_of(Sampling(snr=20.0))
    part = measure(images, conditions, seed=SEED, crop=lambda values: values[..., :4])
    assert float(part.noise) == pytest.approx(float(mean_signal(images)) / 20)
