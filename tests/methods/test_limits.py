"""What a method was not trained or tuned for is told by name and number, once; what it was, is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from csmri.config import Config, Sampling
from csmri.methods.classical import METHODS
from csmri.methods.limits import NOISE_FREE, REST, Limits, Outside, Tally, Traits, network_limits, outside
from csmri.methods.reconstruction import (
    Reconstructor,
    baseline_reconstructor,
    simulate_slices,
    simulated_acquisition,
)
from csmri.phantom import make_subject
from csmri.physics.initial import initial_images

UNROLLED = Config(
    **{"network": "unrolled", "base_channels": 2, "cascades": 1, "batch_size": 1, "accelerations": (2.0, 4.0, 8.0)},
    **{"phase_shares": {"static": 0.5, "moving": 0.5}, "phase_moving": 1.3, "coils_share": 0.3, "coils_range": (4, 8)},
    **{"snr_range": (10.0, 80.0), "both_laws": True},
)
UNET = Config(base_channels=2, depth=2, accelerations=(4.0,))
EVERYTHING = Limits()


@pytest.fixture(scope="module")
def cine():
    return make_subject(1, size=64, n_slices=2, n_frames=12)


def acquisition(cine, acceleration=4.0, **law):
    place = {"seed": 0, "subject": cine.subject, "slice_index": 0}
    return simulated_acquisition(cine.images[0], acceleration, Sampling(**law), **place)


def told(limits, one, mask_law=""):
    return [f"{found.limit}, {found.found}" for found in outside(limits, Traits(one, mask_law), method="a")]


def test_what_a_network_was_trained_on_is_not_told(cine):
    limits = network_limits(UNROLLED, frames=(10, 20), sides=(64, 128))
    for law in (
        {},
        {"phase": "static"},
        {"phase": "moving"},
        {"coils": 8, "snr": 12.0, "phase": "moving"},
        {"coils": 3, "mask_law": "schlemper"},
    ):
        assert told(limits, acquisition(cine, **law), law.get("mask_law", "gaussian")) == []
    assert told(network_limits(UNET), acquisition(cine), "gaussian") == []
    for acceleration in (1.9, 8.3):  # within a tenth
        assert told(limits, acquisition(cine, acceleration)) == []


@pytest.mark.parametrize(
    ("config", "law", "expected"),
    [
        (UNROLLED, {"acceleration": 12.8}, "trained at accelerations 2 to 8, this is 12.8"),
        (UNET, {"acceleration": 2.0}, "trained at acceleration 4, this is 2"),
        (UNROLLED, {"coils": 12}, "trained with 1 to 8 coils, these are 12"),
        (UNET, {"coils": 3}, "trained with 1 coil, these are 3"),
        (UNROLLED, {"cyclic": False}, "trained where the last frame is next to the first, here it is not"),
        (UNET, {"mask_law": "schlemper"}, "trained with gaussian masks, these are of schlemper"),
    ],
)
def test_what_it_was_not_is_told_with_both_numbers(cine, config, law, expected):
    one = acquisition(cine, **law)
    assert told(network_limits(config), one, law.get("mask_law", "gaussian")) == [expected]


def test_noise_that_is_known_is_told(cine):
    one = acquisition(cine, snr=4.0)
    (found,) = told(network_limits(UNROLLED), one)
    limit, number = found.split(", it is ")
    assert limit == "trained at an SNR of 10 or more"
    assert float(number.removesuffix(" here")) == pytest.approx(4, rel=0.3)
    assert told(network_limits(UNROLLED), replace(one, noise=0.0)) == []  # as that of a scan without noise measurement
    (found,) = told(network_limits(UNET), acquisition(cine, snr=15.0))
    assert found.startswith("trained without noise, it is 1")
    assert told(network_limits(UNET), acquisition(cine, snr=2 * NOISE_FREE)) == []


@pytest.mark.parametrize("acceleration", [2.0, 4.0, 8.0])
@pytest.mark.parametrize("law", [{}, {"coils": 4}, {"snr": 20.0}])
def test_phase_that_moves_is_told_from_one_at_rest(cine, acceleration, law):
    rests, moves = (
        Traits(acquisition(cine, acceleration, phase=phase, phase_moving=1.5, phase_static=3.0, **law))
        for phase in ("static", "moving")
    )
    assert rests.phase < REST < moves.phase
    limits = METHODS["phase-constrained-tv"].limits
    assert outside(limits, rests, method="a") == []
    (found,) = outside(limits, moves, method="a")
    assert found.limit == "tuned on phases at rest"
    assert found.found == f"these move by {moves.phase:.2g} rad"


def test_phase_of_a_cine_is_its_standard_deviation():
    """Of a phase that swings by 0.5 rad everywhere; a constant, a ramp or a wrap of it tell nothing."""
    swing = 0.5 * np.sin(2 * np.pi * np.arange(16) / 16)[:, None, None] + np.linspace(0, 9, 24)
    images = np.full((16, 24, 24), 3.0) * np.exp(1j * (swing + 3))
    place = {"seed": 0, "subject": "a", "slice_index": 0}
    one = simulated_acquisition(images.astype(np.complex64), 1.0, Sampling(), **place)
    assert Traits(one).phase == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    assert Traits(simulated_acquisition(0 * images.astype(np.complex64), 1.0, Sampling(), **place)).phase == 0


def test_stronger_flow_than_trained_is_told(cine):
    one = acquisition(cine, phase="moving", phase_moving=6.0)
    (found,) = told(network_limits(UNROLLED), one)
    assert found.startswith("trained on phases that move by up to 0.5 rad, these move by ")
    assert not [found for found in told(network_limits(UNROLLED), acquisition(cine, phase="drift"))]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"frames": (25, 30)}, "trained on cines of 25 to 30 frames, this one has 12"),
        ({"frames": (24, 30)}, None),  # a factor of 2
        ({"frames": (4, 5)}, "trained on cines of 4 to 5 frames, this one has 12"),
        ({"frames": (4, 6)}, None),
        ({"sides": (130, 256)}, "trained on images with sides of 130 to 256 pixels, here one has 64"),
        ({"sides": (20, 30)}, "trained on images with sides of 20 to 30 pixels, here one has 64"),
        ({"sides": (90, 43)}, None),
        ({"frames": (0, 0), "sides": (0, 0)}, "trained on cines of 0 frames, this one has 12"),
    ],
)
def test_sizes_count_from_a_factor_on(cine, sizes, expected):
    assert told(network_limits(UNROLLED, **sizes), acquisition(cine))[:1] == [expected][: expected is not None]


def test_classical_methods_have_their_tuning():
    assert METHODS["temporal-tv"].limits == Limits(how="tuned", accelerations=(2.0, 8.0))
    assert METHODS["phase-constrained-tv"].limits.phase == REST
    assert METHODS["initial"].limits == METHODS["view-sharing"].limits == EVERYTHING


def test_a_limit_is_told_once_with_its_worst_case_and_the_slices():
    tally = Tally()
    for index, value in enumerate([9.0, 12.0, 10.0]):
        found = [Outside("b", "trained at accelerations 2 to 8", f"this is {value:g}", value / 8)]
        found += [Outside("c", "trained with 1 coil", "these are 3", 3)] * (index == 1)
        tally.add(index, found)
        tally.add(index, found)
    tally.add(3, [])
    assert tally.notes() == [
        "b: trained at accelerations 2 to 8, this is 12 (in 3 of 4 slices); judge the result with care.",
        "c: trained with 1 coil, these are 3 (in 1 of 4 slices); judge the result with care.",
    ]
    single = Tally()
    single.add(0, [Outside("b", "trained at acceleration 4", "this is 2")])
    assert single.notes() == ["b: trained at acceleration 4, this is 2; judge the result with care."]
    assert Tally().notes() == []


def test_every_slice_tells_what_lies_outside_of_every_method(cine):
    limits = network_limits(UNROLLED, frames=(25, 30), sides=(130, 256))
    network = Reconstructor("mine", lambda one: np.asarray(initial_images(one)), limits=limits)
    methods = [baseline_reconstructor("temporal-tv", settings={"max_iterations": 1}), network]
    first, second = simulate_slices(cine, 12.8, seed=0, law=Sampling(), reconstructors=methods)
    assert [(one.method, one.limit) for one in first.outside] == [
        ("temporal-tv", "tuned at accelerations 2 to 8"),
        ("mine", "trained at accelerations 2 to 8"),
        ("mine", "trained on cines of 25 to 30 frames"),
        ("mine", "trained on images with sides of 130 to 256 pixels"),
    ]
    assert second.outside == first.outside
    assert Reconstructor("own", network.reconstruct).outside(Traits(acquisition(cine, 12.8))) == []
