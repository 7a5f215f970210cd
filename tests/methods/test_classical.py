"""What holds for every baseline: exactness, units, shapes, odd cases, messages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from csmri.core.errors import CsmriError
from csmri.core.names import INITIAL, ZERO_FILLED
from csmri.methods.classical import METHODS, Progress, find_method
from csmri.physics.consistency import combine
from csmri.physics.fourier import fft_y, ifft_y
from csmri.physics.initial import initial_reconstruction

from .conftest import draw_complex, draw_mask, nmse, undersampled

ITERATIVE = [name for name, method in METHODS.items() if hasattr(method.settings, "max_iterations")]
EVERY = pytest.mark.parametrize("name", METHODS)
EVERY_ITERATIVE = pytest.mark.parametrize("name", ITERATIVE)
CYCLIC = pytest.mark.parametrize("cyclic", [True, False], ids=["cyclic", "held"])


def reconstruct(name, hybrid, mask, *, cyclic=True, callback=None, **changes):
    method = METHODS[name]
    settings = replace(method.settings, **changes)
    return method.reconstruct(hybrid, mask, settings, cyclic=cyclic, callback=callback)


def test_registry():
    assert list(METHODS) == [
        ZERO_FILLED,
        "view-sharing",
        INITIAL,
        "kt-focuss",
        "temporal-fourier-l1",
        "low-rank-plus-sparse",
        "temporal-tv",
        "spatiotemporal-tv",
    ]
    assert all(method.name == name and method.description for name, method in METHODS.items())
    assert all("doi" in METHODS[name].citation for name in ITERATIVE)
    with pytest.raises(CsmriError, match="choose from zero-filled, view-sharing"):
        find_method("magic")


@EVERY
@CYCLIC
@pytest.mark.parametrize("shape", [(4, 16, 12), (5, 15, 17), (2, 3, 8, 7)])
def test_fully_sampled_is_exact(name, cyclic, shape):
    images = draw_complex(shape)
    result = reconstruct(name, fft_y(images), np.ones(shape[-3:-1], bool), cyclic=cyclic)
    assert result.images.dtype == np.complex64
    np.testing.assert_allclose(result.images, images, atol=1e-5)
    np.testing.assert_allclose(result.magnitude, combine(images), atol=1e-5)


@EVERY
def test_static_cine_stays_as_interpolated(name):
    """Nothing moves: all but zero filling know every line that was ever acquired."""
    mask = draw_mask(8, 20)
    mask[0] = True
    images = np.broadcast_to(draw_complex((1, 20, 9)), (8, 20, 9))
    changes = {"spatial_share": 0.0} if name == "spatiotemporal-tv" else {}
    error = nmse(reconstruct(name, undersampled(images, mask), mask, **changes).images, images)
    assert error < {ZERO_FILLED: 1.0, "low-rank-plus-sparse": 1e-3}.get(name, 1e-10)


@EVERY_ITERATIVE
def test_better_than_interpolation(name, beating):
    images, mask = beating
    hybrid = undersampled(images, mask)
    initial = nmse(reconstruct(INITIAL, hybrid, mask).images, images)
    assert nmse(reconstruct(name, hybrid, mask).images, images) < 0.99 * initial


@EVERY
@CYCLIC
def test_unit_and_phase_do_not_matter(name, cyclic, beating):
    images, mask = beating
    hybrid = undersampled(images, mask)
    plain = reconstruct(name, hybrid, mask, cyclic=cyclic)
    for factor in (-1e-3j, 1e5):
        other = reconstruct(name, factor * hybrid, mask, cyclic=cyclic)
        atol = 1e-4 * abs(plain.images).max() * abs(factor)
        np.testing.assert_allclose(other.images, factor * plain.images, rtol=0, atol=atol)
        assert other.iterations == plain.iterations


@EVERY
def test_coils_are_reconstructed_one_by_one(name, beating):
    images, mask = beating
    coils = np.stack([images, (0.3 + 0.5j) * images[:, ::-1]])
    hybrid = undersampled(coils, mask)
    together = reconstruct(name, hybrid, mask)
    alone = [reconstruct(name, coil, mask) for coil in hybrid]
    np.testing.assert_array_equal(together.images, [one.images for one in alone])
    assert together.magnitude.shape == images.shape
    assert together.coils == sum((one.coils for one in alone), ())


@EVERY
def test_same_every_time(name, beating):
    images, mask = beating
    hybrid = undersampled(images, mask)
    np.testing.assert_array_equal(reconstruct(name, hybrid, mask).images, reconstruct(name, hybrid, mask).images)


@EVERY
@CYCLIC
@pytest.mark.parametrize("case", ["one frame", "blind frame", "blind line", "one line", "no signal", "one pixel"])
def test_odd_cases_stay_finite(name, cyclic, case):
    shape = {"one frame": (1, 9, 6), "one pixel": (3, 1, 1)}.get(case, (4, 9, 6))
    images = draw_complex(shape) * (case != "no signal")
    mask = np.random.default_rng(3).random(shape[:2]) < 0.5
    mask[0, 0] = True
    if case == "blind frame":
        mask[1] = False
    if case == "blind line":
        mask[:, 3] = False
    if case == "one line":
        mask[:] = False
        mask[2, 4] = True
    result = reconstruct(name, undersampled(images, mask), mask, cyclic=cyclic)
    assert result.images.shape == shape
    assert np.isfinite(result.images).all()
    hybrid = fft_y(result.images).numpy()
    np.testing.assert_allclose(hybrid[mask], fft_y(images).numpy()[mask], atol=1e-5)


@EVERY_ITERATIVE
def test_acquired_lines_are_put_back_only_if_wanted(name, beating):
    images, mask = beating
    hybrid = undersampled(images, mask)
    kept, free = (reconstruct(name, hybrid, mask, consistent=one).images for one in (True, False))
    scale = abs(hybrid[mask]).max()
    assert abs(fft_y(kept).numpy() - hybrid)[mask].max() < 1e-5 * scale
    assert abs(fft_y(free).numpy() - hybrid)[mask].max() > 1e-4 * scale
    assert nmse(kept, images) < nmse(free, images)


@EVERY_ITERATIVE
def test_history_and_progress(name, beating):
    images, mask = beating
    hybrid = undersampled(np.stack([images, 2 * images]), mask)
    seen: list[Progress] = []
    result = reconstruct(name, hybrid, mask, max_iterations=6, tolerance=0.0, callback=seen.append)
    assert [(one.coil, one.iteration) for one in seen] == [(coil, turn) for coil in (0, 1) for turn in range(1, 7)]
    assert [one.relative_change for one in seen[:6]] == list(result.coils[0].relative_changes)
    assert [one.objective for one in seen[6:]] == list(result.coils[1].objectives)
    assert result.iterations == 6 and not result.coils[0].converged
    assert result.relative_change == max(coil.relative_changes[-1] for coil in result.coils) > 0


@EVERY_ITERATIVE
def test_tolerance_ends_the_iteration(name, beating):
    images, mask = beating
    result = reconstruct(name, undersampled(images, mask), mask, max_iterations=30, tolerance=0.02)
    assert result.iterations < 30
    assert result.coils[0].converged and result.relative_change <= 0.02


def test_direct_methods_equal_the_package():
    images, mask = draw_complex((5, 12, 7)), draw_mask(5, 12)
    hybrid = np.where(mask[..., np.newaxis], fft_y(images), 0)
    for cyclic in (True, False):
        initial = reconstruct(INITIAL, hybrid, mask, cyclic=cyclic)
        np.testing.assert_array_equal(initial.magnitude, initial_reconstruction(hybrid, mask, cyclic=cyclic))
    np.testing.assert_array_equal(reconstruct(ZERO_FILLED, hybrid, mask).images, ifft_y(hybrid))
    assert initial.iterations == 0 and initial.relative_change == 0 and initial.coils == ()


@CYCLIC
def test_view_sharing_by_hand(cyclic):
    """One ky of 7 frames, acquired in 1 and 4: 6 is two after 4 and two before 1, and 0 is one before 1."""
    mask = np.isin(np.arange(7), [1, 4])[:, np.newaxis]
    hybrid = np.array([9, 10, 9, 9, 40, 9, 9], np.complex64)[:, np.newaxis, np.newaxis]
    shared = reconstruct("view-sharing", hybrid, mask, cyclic=cyclic).images.ravel()
    np.testing.assert_allclose(shared, [10, 10, 10, 40, 40, 40, 40])
    hybrid, mask = np.roll(hybrid, 1, axis=0), np.roll(mask, 1, axis=0)  # acquired in 2 and 5: 0 is two from each
    shared = reconstruct("view-sharing", hybrid, mask, cyclic=cyclic).images.ravel()
    np.testing.assert_allclose(shared, [40 if cyclic else 10, 10, 10, 10, 40, 40, 40])


@EVERY
@pytest.mark.parametrize(
    ("hybrid", "mask", "message"),
    [
        (np.ones((3, 4)), np.ones((3, 4), bool), "expected hybrid data"),
        (np.ones((2, 0, 3)), np.ones((2, 0), bool), "expected hybrid data"),
        (np.ones((2, 4, 3)), np.ones((4, 2), bool), r"of shape \(2, 4\), got bool of shape \(4, 2\)"),
        (np.ones((2, 4, 3)), np.ones((2, 4)), "boolean mask .* got float64"),
        (np.ones((2, 4, 3)), np.zeros((2, 4), bool), "no k-space line"),
    ],
)
def test_refuses_data_that_do_not_fit(name, hybrid, mask, message):
    with pytest.raises(CsmriError, match=message):
        METHODS[name].reconstruct(hybrid, mask)


@EVERY_ITERATIVE
@pytest.mark.parametrize(
    "changes", [{"max_iterations": 0}, {"tolerance": -1.0}, {"strength": -1.0}, {"growth": float("nan")}]
)
def test_refuses_impossible_settings(name, changes):
    with pytest.raises(CsmriError, match=f"{next(iter(changes))} must be"):
        replace(METHODS[name].settings, **changes)


def test_refuses_a_step_that_goes_nowhere():
    with pytest.raises(CsmriError, match="step must be"):
        replace(METHODS["temporal-tv"].settings, step=0.0)
