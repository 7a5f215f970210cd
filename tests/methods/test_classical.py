"""What holds for every classical method: exactness, units, shapes, odd cases, messages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from csmri.core.errors import CsmriError
from csmri.core.names import INITIAL, ZERO_FILLED
from csmri.data.acquisition import Acquisition
from csmri.methods.classical import METHODS, find_method
from csmri.methods.iterative import Progress, trusted_share
from csmri.phantom import make_subject
from csmri.physics.fourier import fft_y, ifft_y
from csmri.physics.initial import initial_images

from .conftest import acquired, draw_complex, draw_maps, draw_mask, nmse

ITERATIVE = [name for name, method in METHODS.items() if method.settings]
EVERY = pytest.mark.parametrize("name", METHODS)
EVERY_ITERATIVE = pytest.mark.parametrize("name", ITERATIVE)
CYCLIC = pytest.mark.parametrize("cyclic", [True, False], ids=["cyclic", "held"])


def reconstruct(name, acquisition, *, callback=None, **changes):
    method = METHODS[name]
    return method.reconstruct(acquisition, method.changed(changes), callback=callback)


def test_registry():
    assert list(METHODS) == [
        ZERO_FILLED,
        "view-sharing",
        INITIAL,
        "cg-sense",
        "kt-focuss",
        "temporal-fourier-l1",
        "low-rank-plus-sparse",
        "temporal-tv",
        "spatiotemporal-tv",
        "phase-constrained-tv",
    ]
    assert all(method.name == name and method.description for name, method in METHODS.items())
    assert all("doi" in METHODS[name].citation for name in ITERATIVE)
    with pytest.raises(CsmriError, match="choose from zero-filled, view-sharing"):
        find_method("magic")


@EVERY
@CYCLIC
@pytest.mark.parametrize("n_coils", [None, 3])
@pytest.mark.parametrize("shape", [(4, 16, 12), (5, 15, 17)])
def test_fully_sampled_is_exact(name, cyclic, n_coils, shape):
    images = draw_complex(shape)
    if name == "phase-constrained-tv":  # of several coils exact where its assumption holds
        images = (abs(images) * np.exp(0.7j)).astype(np.complex64)
    maps = n_coils and draw_maps(n_coils, shape[1:])
    result = reconstruct(name, acquired(images, np.ones(shape[:2], bool), cyclic=cyclic, maps=maps))
    assert result.images.dtype == np.complex64
    np.testing.assert_allclose(result.images, images, atol=1e-5)


@EVERY
def test_static_cine_stays_as_interpolated(name):
    """Nothing moves: all but zero filling know every line that was ever acquired."""
    mask = draw_mask(8, 20)
    mask[0] = True
    images = np.broadcast_to(draw_complex((1, 20, 9)), (8, 20, 9))
    changes = {"spatial_share": 0.0} if name.endswith("l-tv") or name == "phase-constrained-tv" else {}
    if name == "phase-constrained-tv":
        images = (abs(images) * np.exp(0.7j)).astype(np.complex64)
    error = nmse(reconstruct(name, acquired(images, mask), **changes).images, images)
    assert error < {ZERO_FILLED: 1.0, "low-rank-plus-sparse": 1e-3}.get(name, 1e-10)


@EVERY_ITERATIVE
def test_better_than_interpolation(name, beating):
    """Of one coil, and of several jointly; conjugate gradients alone need several to add anything."""
    images, mask = beating
    for maps in (None, draw_maps(4, images.shape[1:])):
        if name == "cg-sense" and maps is None:
            continue
        acquisition = acquired(images, mask, maps=maps)
        initial = nmse(reconstruct(INITIAL, acquisition).images, images)
        assert nmse(reconstruct(name, acquisition).images, images) < 0.99 * initial


@pytest.mark.parametrize("name", [name for name in ITERATIVE if name != "phase-constrained-tv"])
def test_several_coils_are_better_than_one(name, beating):
    """Not where one coil tells of mirror images, which several with a phase of their own do not."""
    images, mask = beating
    one = reconstruct(name, acquired(images, mask))
    several = reconstruct(name, acquired(images, mask, maps=draw_maps(6, images.shape[1:])))
    assert nmse(several.images, images) < 0.9 * nmse(one.images, images)


@EVERY
@pytest.mark.parametrize("n_coils", [1, 3])
def test_equal_coils_are_one_coil(name, n_coils, beating):
    """Coils that all see the same tell what one does; the phase-constrained method then knows no mirror images."""
    images, mask = beating
    if name == "phase-constrained-tv":
        return
    maps = np.full((n_coils, *images.shape[1:]), n_coils**-0.5, np.complex64)
    together, alone = (reconstruct(name, acquired(images, mask, maps=one)) for one in (maps, None))
    np.testing.assert_allclose(together.images, alone.images, atol=2e-4 * abs(images).max())


@EVERY
@CYCLIC
def test_unit_and_phase_do_not_matter(name, cyclic, beating):
    images, mask = beating
    plain = reconstruct(name, acquired(images, mask, cyclic=cyclic))
    for factor in (-1e-3j, 1e5):
        other = reconstruct(name, acquired(np.complex64(factor) * images, mask, cyclic=cyclic))
        atol = 1e-4 * abs(plain.images).max() * abs(factor)
        np.testing.assert_allclose(other.images, factor * plain.images, rtol=0, atol=atol)
        assert len(other.relative_changes) == len(plain.relative_changes)


def test_a_resting_phase_does_not_matter_and_a_moving_one_does():
    images = make_subject(0, size=48, n_slices=1, n_frames=12).images[0]
    mask, y = draw_mask(12, 48), np.linspace(-1, 1, 48)[:, np.newaxis]
    still = np.exp(2j * y)
    moving = still * np.exp(1.5j * np.sin(2 * np.pi * np.arange(12) / 12)[:, np.newaxis, np.newaxis])
    errors = {}
    for name in ("phase-constrained-tv", "spatiotemporal-tv"):
        for kind, phase in (("none", 1), ("still", still), ("moving", moving)):
            acquisition = acquired((images * phase).astype(np.complex64), mask)
            initial = nmse(abs(reconstruct(INITIAL, acquisition).images), images)
            errors[name, kind] = nmse(abs(reconstruct(name, acquisition).images), images) / initial
    for kind in ("none", "still"):
        assert errors["phase-constrained-tv", kind] < 0.9 * errors["spatiotemporal-tv", kind]
    assert errors["phase-constrained-tv", "moving"] > 1.2 * errors["spatiotemporal-tv", "moving"]


@EVERY
def test_same_every_time(name, beating):
    acquisition = acquired(*beating)
    np.testing.assert_array_equal(reconstruct(name, acquisition).images, reconstruct(name, acquisition).images)


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
    result = reconstruct(name, acquired(images, mask, cyclic=cyclic))
    assert result.images.shape == shape
    assert np.isfinite(result.images).all()
    hybrid = fft_y(result.images).numpy()
    np.testing.assert_allclose(hybrid[mask], fft_y(images).numpy()[mask], atol=1e-5)


@EVERY_ITERATIVE
def test_acquired_lines_are_put_back_only_if_wanted(name, beating):
    images, mask = beating
    acquisition = acquired(images, mask)
    kept, free = (reconstruct(name, acquisition, consistent=one).images for one in (True, False))
    hybrid = acquisition.data[0]
    scale = abs(hybrid[mask]).max()
    assert abs(fft_y(kept).numpy() - hybrid)[mask].max() < 1e-5 * scale
    if name != "cg-sense":  # of one coil it leaves the interpolated cine, which has them
        assert abs(fft_y(free).numpy() - hybrid)[mask].max() > 1e-4 * scale
        assert nmse(kept, images) < nmse(free, images)


@pytest.mark.parametrize("name", ["temporal-tv", "cg-sense", "kt-focuss"])
def test_the_noise_of_acquired_lines_is_not_put_back_where_it_is_known(name, beating):
    """Where it is not, and without noise, nothing changes."""
    images, mask = beating
    clean = acquired(images, mask, maps=draw_maps(4, images.shape[1:]))
    noise = 0.1 * float(abs(images).max())
    noisy = replace(clean, data=clean.data + noise * draw_complex(clean.data.shape) * mask[:, :, None])
    kept, free = (reconstruct(name, noisy, consistent=one).images for one in (True, False))
    known = reconstruct(name, replace(noisy, noise=noise)).images
    assert nmse(known, images) < nmse(kept, images)
    assert nmse(known, free) < 0.7 * nmse(kept, free)
    little = reconstruct(name, replace(clean, noise=1e-6 * noise)).images
    np.testing.assert_allclose(little, reconstruct(name, clean).images, atol=1e-3 * abs(images).max())


def test_share_of_a_line_is_what_is_signal_in_its_change():
    rng = np.random.default_rng(0)
    strength = np.array([0.0, 1.0, 3.0, 10.0, 1.0])  # of what changes, in units of the noise
    data = strength[:, None] * draw_complex((2, 40, 5, 30)) + draw_complex((2, 40, 5, 30), seed=1)
    mask = rng.random((40, 5)) < 0.5
    mask[:, 4] = np.arange(40) == 7
    data *= mask[..., None]
    share = trusted_share(Acquisition(data, mask, noise=1.0))
    assert np.fft.fftshift(share) == pytest.approx([0, 1 / 2, 9 / 10, 100 / 101, 100 / 101], abs=0.05)
    assert trusted_share(Acquisition(data, mask, noise=1e-9)) == pytest.approx(1)
    assert (trusted_share(Acquisition(data[:, 7:8], mask[7:8], noise=1.0)) == 1).all()  # one frame tells nothing


@EVERY_ITERATIVE
def test_history_and_progress(name, beating):
    images, mask = beating
    acquisition = acquired(images, mask, maps=draw_maps(3, images.shape[1:]))
    seen: list[Progress] = []
    result = reconstruct(name, acquisition, max_iterations=6, tolerance=0.0, callback=seen.append)
    assert [one.iteration for one in seen] == list(range(1, 7))
    assert [one.relative_change for one in seen] == list(result.relative_changes)
    assert [one.objective for one in seen] == list(result.objectives)
    assert not result.converged and result.relative_changes[-1] > 0


@EVERY_ITERATIVE
def test_tolerance_ends_the_iteration(name, beating):
    result = reconstruct(name, acquired(*beating), max_iterations=30, tolerance=0.02)
    assert len(result.relative_changes) < 30
    assert result.converged and result.relative_changes[-1] <= 0.02


def test_direct_methods_equal_the_package():
    images, mask = draw_complex((5, 12, 7)), draw_mask(5, 12)
    for cyclic in (True, False):
        acquisition = acquired(images, mask, cyclic=cyclic)
        initial = reconstruct(INITIAL, acquisition)
        np.testing.assert_array_equal(initial.images, initial_images(acquisition))
    np.testing.assert_allclose(reconstruct(ZERO_FILLED, acquisition).images, ifft_y(acquisition.data[0]), atol=1e-6)
    assert initial.relative_changes == () and not initial.converged


@CYCLIC
def test_view_sharing_by_hand(cyclic):
    """One ky of 7 frames, acquired in 1 and 4: 6 is two after 4 and two before 1, and 0 is one before 1."""
    mask = np.isin(np.arange(7), [1, 4])[:, np.newaxis]
    hybrid = np.array([9, 10, 9, 9, 40, 9, 9], np.complex64)[:, np.newaxis, np.newaxis]
    shared = reconstruct("view-sharing", Acquisition(hybrid[np.newaxis], mask, cyclic=cyclic)).images.ravel()
    np.testing.assert_allclose(shared, [10, 10, 10, 40, 40, 40, 40])
    hybrid, mask = np.roll(hybrid, 1, axis=0), np.roll(mask, 1, axis=0)  # acquired in 2 and 5: 0 is two from each
    shared = reconstruct("view-sharing", Acquisition(hybrid[np.newaxis], mask, cyclic=cyclic)).images.ravel()
    np.testing.assert_allclose(shared, [40 if cyclic else 10, 10, 10, 10, 40, 40, 40])


@EVERY
def test_refuses_data_that_do_not_fit(name):
    data, mask = np.ones((1, 2, 4, 3), np.complex64), np.zeros((2, 4), bool)
    with pytest.raises(CsmriError, match="no k-space line"):
        METHODS[name].reconstruct(Acquisition(data, mask))


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


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("kt-focuss", {"power": 5.0}, "power must be 0 to 1, got 5"),
        ("low-rank-plus-sparse", {"rank_threshold": 5.0}, "rank_threshold must be 0 to 1"),
        ("temporal-tv", {"max_iterations": 2.5}, "max_iterations must be int, got 2.5"),
        ("temporal-tv", {"strength": True}, "strength must be float, got True"),
        ("temporal-tv", {"consistent": "no"}, "consistent must be bool, got 'no'"),
    ],
)
def test_refuses_settings_of_another_kind(name, changes, message):
    with pytest.raises(CsmriError, match=message):
        METHODS[name].changed(changes)


def test_refuses_maps_of_another_unit():
    images, mask = draw_complex((4, 8, 6)), draw_mask(4, 8, 2.0)
    acquisition = acquired(images, mask, maps=3 * draw_maps(3, (8, 6)))
    with pytest.raises(CsmriError, match="root sum of squares is 1, or 0 where there is no signal, got 3 to 3"):
        METHODS["temporal-tv"].reconstruct(acquisition)


def test_view_sharing_reads_no_line_that_was_not_acquired():
    images, mask = draw_complex((4, 9, 6)), np.random.default_rng(3).random((4, 9)) < 0.5
    mask[:, 3] = False
    found = [
        reconstruct("view-sharing", Acquisition(data, mask)).images
        for data in (acquired(images, mask).data, fft_y(images).numpy()[np.newaxis])
    ]
    np.testing.assert_array_equal(*found)
