"""Conditions of examples: in the shares and ranges that the config says, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from csmri.config import Config, TrainingConditions, read_config, write_config
from csmri.core.errors import CsmriError
from csmri.learning.conditions import DRIFT_OF_MOVING, NOISE_KNOWN, draw_conditions
from csmri.physics.simulate import conditions_of

SHARES = {"none": 0.2, "static": 0.3, "drift": 0.1, "moving": 0.4}
CONFIG = Config(
    phase_shares=SHARES,
    phase_static=3.0,
    phase_shift=1.0,
    phase_drift=0.5,
    phase_moving=1.3,
    coils_share=0.3,
    coils_range=(4, 8),
    noise_share=0.5,
    snr_range=(10.0, 80.0),
    real_time_share=0.25,
)
N = 300


@pytest.fixture(scope="module")
def drawn():
    """Conditions of 300 examples, as numbers."""
    traced = tf.function(lambda i: draw_conditions(CONFIG, seed=tf.stack([i, 7])).__dict__ | {"phase": None})
    phases = tf.function(lambda i: vars(draw_conditions(CONFIG, seed=tf.stack([i, 7])).phase))
    numbers = [tf.constant(i, tf.int64) for i in range(N)]
    rest = [{k: v.numpy() for k, v in traced(i).items() if v is not None} for i in numbers]
    return {
        name: np.array([one[name] for one in some])
        for some in (rest, [{k: v.numpy() for k, v in phases(i).items()} for i in numbers])
        for name in some[0]
    }


def is_share(chosen, share):
    """Whether so many were chosen as a share lets one expect, within four standard deviations."""
    n = len(chosen)
    return abs(np.sum(chosen) - n * share) <= 4 * np.sqrt(n * share * (1 - share))


def test_kinds_of_phase_have_their_shares_and_parts_their_bounds(drawn):
    present, static, drift, moving = (drawn[name] for name in ("present", "static", "drift", "moving"))
    kinds = {
        "none": present == 0,
        "static": (present == 1) & (drift == 0),
        "drift": (drift > 0) & (moving == 0),
        "moving": moving > 0,
    }
    assert sum(kind.sum() for kind in kinds.values()) == N
    for name, kind in kinds.items():
        assert is_share(kind, SHARES[name]), name
    bounds = {"static": 3.0, "shift": 1.0, "drift": 0.5, "moving": 1.3}
    for name, bound in bounds.items():
        assert 0 <= drawn[name].min() and 0.8 * bound < drawn[name].max() <= bound
        assert not drawn[name][kinds["none"]].any()
    assert drift[kinds["moving"]].max() <= 0.5 * DRIFT_OF_MOVING < drift[kinds["drift"]].max()


def test_coils_noise_and_time_have_their_shares_and_ranges(drawn):
    coils, snr = drawn["coils"], drawn["snr"]
    assert set(coils) == {1, 4, 5, 6, 7, 8} and is_share(coils > 1, 0.3)
    assert (snr[coils > 1] > 0).all() and is_share(snr[coils == 1] > 0, 0.5)
    noisy = snr[snr > 0]
    assert 10 <= noisy.min() < 14 and 55 < noisy.max() <= 80.001
    assert is_share(noisy < np.sqrt(800), 0.5)  # even on a logarithmic scale
    assert is_share(drawn["is_noise_known"], NOISE_KNOWN) and set(drawn["is_noise_known"]) == {0.0, 1.0}
    assert is_share(~drawn["cyclic"], 0.25)


def test_what_is_drawn_depends_on_the_seed_alone():
    def values(i):
        one = draw_conditions(CONFIG, seed=tf.constant([i, 7], tf.int64))
        return [float(v) for v in (*vars(one.phase).values(), one.coils, one.snr, one.cyclic, one.is_noise_known)]

    known = values(0)
    tf.random.set_seed(99)
    assert values(0) == known != values(1)


@pytest.mark.parametrize("law", [{}, {"phase": "moving", "coils": 3, "snr": 20.0, "cyclic": False}])
def test_where_nothing_varies_it_is_what_the_config_says(law):
    config = Config(**law)
    assert not config.varies
    assert draw_conditions(config, seed=tf.constant([0, 0], tf.int64)) == conditions_of(config)


def test_what_does_not_vary_is_what_the_config_says():
    fixed = {"phase": "static", "coils": 3, "snr": 20.0, "cyclic": False}
    config = Config(**fixed, real_time_share=1.0)
    one, expected = draw_conditions(config, seed=tf.constant([0, 0], tf.int64)), conditions_of(config)
    assert (one.phase, one.coils, one.snr) == (expected.phase, 3, 20.0) and not bool(one.cyclic)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"phase_shares": {"none": 0.5, "moving": 0.4}}, "phase_shares must add up to 1, they give 0.9"),
        ({"phase_shares": {"turning": 1.0}}, "turning.*'none', 'static', 'moving' or 'drift'"),
        ({"phase_shares": {"none": 1.5}}, "less than or equal to 1"),
        ({"coils_share": -0.1}, "coils_share = -0.1: Input should be greater than or equal to 0"),
        ({"coils_range": (8, 4)}, "coils_range must be from 1 on, the smaller first, got 8 to 4"),
        ({"coils_range": (4, 64)}, "coils_range must be"),
        ({"coils_range": (4,)}, "coils_range = .*at least 2"),
        ({"snr_range": (0.0, 20.0)}, "snr_range must be from 1 on, the smaller first, got 0 to 20"),
        ({"resolution_range": (0.1, 1.0)}, "resolution_range must be from 0.25 on"),
        ({"resolution_range": (0.9, 0.5)}, "resolution_range must be from 0.25 on, the smaller first"),
        ({"resolution_range": (0.5, 1.5)}, "less than or equal to 1"),
    ],
)
def test_impossible_conditions_are_refused_in_one_line(fields, message):
    with pytest.raises(CsmriError, match=message) as caught:
        Config(**fields)
    assert "\n" not in str(caught.value)


def test_conditions_survive_their_file(tmp_path):
    for config in (CONFIG, Config()):
        write_config(config, tmp_path / "config.toml")
        assert read_config(tmp_path / "config.toml") == config
    assert not TrainingConditions().varies and CONFIG.varies
