"""Both mask laws: exact counts, kept lines, and densities against NumPy's draw without replacement."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from csmri.config import Sampling
from csmri.core.errors import CsmriError
from csmri.core.seeds import derive_seed, subject_key
from csmri.physics.sampling import acceleration_factor, check_acceleration, make_mask, undersample

GAUSSIAN, SCHLEMPER = Sampling(), Sampling(mask_law="schlemper")
LAWS = pytest.mark.parametrize("law", [GAUSSIAN, SCHLEMPER], ids=["gaussian", "schlemper"])


def draw(law, *, seed=0, n_frames=6, n_ky=64, acceleration=4.0):
    mask = make_mask(derive_seed(seed), n_frames, n_ky, acceleration, law)
    assert mask.dtype == tf.bool
    assert mask.shape == (n_frames, n_ky)
    return mask.numpy()


@LAWS
@given(data=st.data(), n_ky=st.integers(1, 300), seed=st.integers(0, 100))
def test_line_count(law, data, n_ky, seed):
    tenths = data.draw(st.integers(10, 10 * n_ky), label="acceleration in tenths")
    counts = set(draw(law, seed=seed, n_frames=3, n_ky=n_ky, acceleration=tenths / 10).sum(axis=1))
    exact = Fraction(10 * n_ky, tenths)
    if law is SCHLEMPER:
        assert counts == {floor(exact)}
    else:  # the nearest integer; either one of a tie
        assert counts <= {n for n in (floor(exact), floor(exact) + 1) if abs(n - exact) <= Fraction(1, 2)}
        assert len(counts) == 1


@pytest.mark.parametrize(
    ("law", "n_ky", "acceleration", "expected"),
    [
        (GAUSSIAN, 256, 3, 85),
        (GAUSSIAN, 64, 1.5, 43),
        (GAUSSIAN, 10, 4, 2),  # 2.5 and
        (GAUSSIAN, 14, 4, 4),  # 3.5: ties go to the even number, as in NumPy
        (SCHLEMPER, 256, 3, 85),
        (SCHLEMPER, 64, 1.5, 42),
        (SCHLEMPER, 18, 1.2, 15),  # an exact quotient, although 1.2 is none of binary's numbers
    ],
)
def test_line_count_by_hand(law, n_ky, acceleration, expected):
    assert (draw(law, n_ky=n_ky, acceleration=acceleration).sum(axis=1) == expected).all()


@LAWS
@pytest.mark.parametrize("n_ky", [1, 9, 64])
def test_extreme_accelerations(law, n_ky):
    assert draw(law, n_ky=n_ky, acceleration=1).all()
    assert (draw(law, n_ky=n_ky, acceleration=n_ky).sum(axis=1) == 1).all()


@pytest.mark.parametrize(
    ("law", "n_ky", "centre"),
    [
        (SCHLEMPER, 64, range(28, 36)),
        (SCHLEMPER, 65, range(28, 36)),
        (Sampling(mask_centre_lines=1), 64, [32]),
        (Sampling(mask_centre_lines=3), 64, [31, 32, 33]),
        (Sampling(mask_centre_lines=4, mask_width=5.0), 65, [30, 31, 32, 33]),
    ],
)
def test_centre_lines_are_always_kept_and_counted_inside(law, n_ky, centre):
    mask = draw(law, n_frames=200, n_ky=n_ky)
    assert mask[:, list(centre)].all()
    assert (mask.sum(axis=1) == n_ky // 4).all()
    outside = np.delete(mask, list(centre), axis=1)
    assert not outside.all(axis=0).any()


def test_centre_lines_are_cut_to_the_lines_there_are():
    mask = draw(SCHLEMPER, n_ky=64, acceleration=16)
    np.testing.assert_array_equal(mask, np.isin(np.arange(64), range(30, 34))[np.newaxis].repeat(6, axis=0))


@LAWS
def test_every_frame_draws_anew(law):
    mask = draw(law, n_frames=50)
    assert len(np.unique(mask, axis=0)) == 50


@LAWS
@given(n_frames=st.integers(1, 12), n_ky=st.integers(2, 70), seed=st.integers(0, 10**6), acceleration=st.floats(6, 16))
def test_the_line_of_dc_is_in_one_frame_at_least_and_no_frame_has_more_lines(law, n_frames, n_ky, seed, acceleration):
    acceleration = min(acceleration, n_ky)
    mask = draw(law, seed=seed, n_frames=n_frames, n_ky=n_ky, acceleration=acceleration)
    assert mask[:, n_ky // 2].any()
    assert len(set(mask.sum(axis=1))) == 1


@pytest.mark.parametrize(("seed", "has_dc"), [(0, False), (1, True), (4, False), (5, False)])
def test_only_where_dc_was_lost_another_line_gives_way_to_it(seed, has_dc):
    # What is drawn for a frame does not depend on how many follow, and among twenty others have DC.
    of_twenty, alone = draw(GAUSSIAN, seed=seed, n_frames=20)[0], draw(GAUSSIAN, seed=seed, n_frames=1)[0]
    assert of_twenty[32] == has_dc and alone[32]
    assert len(np.flatnonzero(of_twenty != alone)) == (0 if has_dc else 2)


@LAWS
def test_same_seed_same_mask_other_subject_other_mask(law):
    def of_subject(name):
        return make_mask(derive_seed(0, subject_key(name), 3), 10, 64, 4.0, law).numpy()

    np.testing.assert_array_equal(of_subject("patient001"), of_subject("patient001"))
    assert (of_subject("patient001") != of_subject("patient002")).any(axis=1).all()


def numpy_frequency(density, centre, n_lines, n_draws):
    """Draw with NumPy from the density as written in the docstring of `make_mask`."""
    generator = np.random.default_rng(1)
    density = density.copy()
    density[centre] = 0
    counts = np.zeros(len(density))
    counts[centre] = n_draws
    for _ in range(n_draws):
        counts[generator.choice(len(density), n_lines - len(centre), replace=False, p=density / density.sum())] += 1
    return counts / n_draws


@pytest.mark.parametrize(
    ("law", "sd", "floor_of_density", "centre"),
    [
        (GAUSSIAN, 0.15 * 40, 0, []),
        (Sampling(mask_width=0.4, mask_centre_lines=3), 0.4 * 40, 0, [19, 20, 21]),
        (SCHLEMPER, 40 / 10, 1 / (2 * 2.5), list(range(16, 24))),
    ],
    ids=["gaussian", "wide gaussian", "schlemper"],
)
def test_density(law, sd, floor_of_density, centre):
    n_draws, n_ky, n_lines = 4000, 40, 16
    k = np.arange(n_ky) - n_ky // 2
    expected = numpy_frequency(np.exp(-(k**2) / (2 * sd**2)) + floor_of_density, centre, n_lines, n_draws)
    frequency = draw(law, n_frames=n_draws, n_ky=n_ky, acceleration=n_ky / n_lines).mean(axis=0)
    error = np.sqrt(2 * expected * (1 - expected) / n_draws)
    assert (abs(frequency - expected) <= 5 * error + 2 / n_draws).all()
    # Falls away from DC: in means over five lines each, which sampling errors leave in order.
    assert (np.diff(frequency[20:].reshape(4, 5).mean(axis=1)) < 0.01).all()
    assert frequency[20:25].mean() > 2 * frequency[35:].mean()
    far = np.arange(5, 20)  # beyond the centre lines, which are not symmetric: 40 - i mirrors line i
    np.testing.assert_allclose(frequency[20 - far], frequency[20 + far], atol=5 * np.sqrt(0.5 / n_draws))


def test_narrow_gaussian_still_gives_every_line():
    """Far from DC the density underflows in float32, and yet the lines must be there."""
    assert (draw(Sampling(mask_width=0.001), n_ky=256, acceleration=2).sum(axis=1) == 128).all()


@LAWS
def test_same_in_tf_data_with_everything_a_tensor(law):
    cases = [(5, 32, 4.0), (3, 33, 2.5), (4, 16, 8.0)]
    columns = [list(column) for column in zip(*cases, strict=True)]
    dataset = tf.data.Dataset.from_tensor_slices(tuple(columns)).map(
        lambda n_frames, n_ky, acceleration: make_mask(derive_seed(7, n_ky), n_frames, n_ky, acceleration, law)
    )
    for (n_frames, n_ky, acceleration), mask in zip(cases, dataset, strict=True):
        np.testing.assert_array_equal(mask, make_mask(derive_seed(7, n_ky), n_frames, n_ky, acceleration, law))


@pytest.mark.parametrize("acceleration", [1, 2.5, 64])
def test_possible_accelerations_pass(acceleration):
    check_acceleration(acceleration, 64)


@pytest.mark.parametrize("acceleration", [0.99, 0, -4, 64.1, float("nan"), float("inf")])
def test_impossible_accelerations_are_refused(acceleration):
    with pytest.raises(CsmriError, match=rf"acceleration {acceleration:g} is impossible.* 1 .*64"):
        check_acceleration(acceleration, 64)


@pytest.mark.parametrize(
    ("law", "n_ky", "possible", "refused", "advice"),
    [
        (SCHLEMPER, 72, 8, 8.01, 'to 8 or less, or choose mask_law = "gaussian"'),
        (SCHLEMPER, 95, 95 / 9, 95 / 8, "to 10.55 or less"),  # 95 / 9 is 10.555...
        (SCHLEMPER, 32, 3.5, 4, "always takes the 8 central ones"),
        (Sampling(mask_centre_lines=4), 64, 64 / 5, 16, "to 12.8 or less, or choose fewer mask_centre_lines"),
        (Sampling(mask_centre_lines=4), 64, 64 / 5, 32, "leaves 2 of 64 lines"),
    ],
)
def test_a_mask_of_centre_lines_alone_is_refused(law, n_ky, possible, refused, advice):
    """It would be the same in every frame, without a word."""
    assert len(np.unique(draw(law, n_frames=20, n_ky=n_ky, acceleration=refused), axis=0)) == 1
    with pytest.raises(CsmriError, match="the same in every frame") as caught:
        check_acceleration(refused, n_ky, law)
    assert advice in str(caught.value)
    check_acceleration(possible, n_ky, law)
    assert len(np.unique(draw(law, n_frames=20, n_ky=n_ky, acceleration=possible), axis=0)) > 1


def test_where_all_lines_are_acquired_there_is_nothing_to_refuse():
    for law in (SCHLEMPER, Sampling(mask_centre_lines=8), GAUSSIAN):
        check_acceleration(1, 8, law)
        check_acceleration(8, 8, GAUSSIAN)
    check_acceleration(64, 64, GAUSSIAN)


def test_achieved_acceleration():
    mask = np.zeros((2, 6), bool)
    mask[0, 0] = mask[1, 3] = mask[1, 5] = True
    assert float(acceleration_factor(mask)) == 4.0
    assert float(acceleration_factor(draw(GAUSSIAN, n_ky=64, acceleration=4))) == 4.0


def test_undersample_keeps_the_acquired_lines_and_nothing_else():
    values = np.random.default_rng(0).standard_normal((2, 3, 5, 4)).astype(np.complex64)
    values[:, ~(mask := np.random.default_rng(1).random((3, 5)) < 0.5)] = np.nan
    kept = undersample(values, mask).numpy()
    np.testing.assert_array_equal(kept[:, mask], values[:, mask])
    np.testing.assert_array_equal(kept[:, ~mask], 0)
