"""The solvers against what they promise: adjoints, minima found by others, signals that can be recovered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from scipy import optimize

from csmri.core.names import INITIAL
from csmri.methods.classical import METHODS
from csmri.methods.conjugate_gradient import ConjugateGradient
from csmri.methods.iterative import along_frames, make_problem, reconstruct, robust_scale, temporal_fourier
from csmri.methods.thresholding import Thresholding, shrink, shrink_singular_values
from csmri.methods.total_variation import TotalVariation
from csmri.physics import encoding
from csmri.physics.encoding import columns
from csmri.physics.linear import energy

from .conftest import acquired, draw_complex, draw_maps, draw_mask, nmse


@pytest.mark.parametrize("n_coils", [None, 3])
@pytest.mark.parametrize("shape", [(3, 8, 5), (4, 7, 6), (2, 1, 3)])
def test_problem_is_the_physics_of_the_acquisition(shape, n_coils):
    """The layout for speed has the misfit, the data and the mask of the centred transform."""
    images, mask = draw_complex(shape), np.random.default_rng(0).random(shape[:2]) < 0.6
    mask[0, 0] = True
    maps = n_coils and draw_maps(n_coils, shape[1:])
    acquisition = acquired(images, mask, maps=maps)
    problem = make_problem(acquisition)
    other = draw_complex(shape, 5)
    seen = acquired(other, mask, maps=maps).data
    expected = (abs(seen - acquisition.data / problem.scale) ** 2).sum()
    missed = energy(problem.encoding.encode(columns(tf.constant(other))) - problem.data) / shape[1]
    np.testing.assert_allclose(missed, expected, rtol=1e-4)
    np.testing.assert_allclose(problem.acceleration, mask.size / mask.sum(), rtol=1e-6)


@pytest.mark.parametrize("n", [1, 7, 1000, 4321])
def test_robust_scale_is_the_quantile(n):
    values = np.random.default_rng(n).permutation(n).astype(np.complex64) + 1
    np.testing.assert_allclose(robust_scale(values), np.quantile(abs(values), 0.999, method="higher"))


def test_temporal_fourier_transform():
    images, basis = tf.constant(draw_complex((6, 4, 3))), temporal_fourier(6)
    frequencies = along_frames(basis, images)
    np.testing.assert_allclose(frequencies, np.fft.fft(images, axis=0, norm="ortho"), atol=1e-5)
    np.testing.assert_allclose(along_frames(tf.linalg.adjoint(basis), frequencies), images, atol=1e-5)


def test_shrink():
    values = np.array([3 + 4j, 0.1j, 0, -2], np.complex64)
    np.testing.assert_allclose(shrink(values, 1.0), [(3 + 4j) * 0.8, 0, 0, -1], atol=1e-6)


def test_singular_values_are_shrunk_as_by_an_svd():
    values = draw_complex((5, 6, 7))
    left, singular, right = np.linalg.svd(values.reshape(5, -1), full_matrices=False)
    expected = (left * np.maximum(singular - 6, 0)) @ right
    shrunk, nuclear = shrink_singular_values(tf.constant(values), tf.constant(6.0))
    np.testing.assert_allclose(shrunk.numpy().reshape(5, -1), expected, atol=1e-4)
    np.testing.assert_allclose(nuclear, np.maximum(singular - 6, 0).sum(), rtol=1e-4)


LOW_RANK = METHODS["low-rank-plus-sparse"].settings


def least(objective, shape):
    """Minimum of a function of a complex array, by SciPy from zero; smoothed norms leave some 1e-4."""

    def of_reals(reals):
        return objective(reals[: reals.size // 2].reshape(shape) + 1j * reals[reals.size // 2 :].reshape(shape))

    n = 2 * int(np.prod(shape))
    result = optimize.minimize(of_reals, np.zeros(n), method="L-BFGS-B", options={"maxiter": 4000, "maxfun": 10**6})
    return result.fun


def length(values):
    return np.sqrt(abs(values) ** 2 + 1e-8).sum()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["temporal-tv", "spatiotemporal-tv", "temporal-fourier-l1"])
@pytest.mark.parametrize("cyclic", [True, False])
def test_minimum_equals_scipy_s(method, cyclic):
    """Run long, the convex problems end at the value that an independent solver of the same formula finds."""
    shape = (3, 4, 2)
    images, mask = draw_complex(shape, 4), np.random.default_rng(8).random(shape[:2]) < 0.6
    mask[0, 0] = True
    acquisition = acquired(images, mask, cyclic=cyclic)
    hybrid, scale = acquisition.data[0], make_problem(acquisition).scale
    ky = np.arange(4) - 2
    transform = np.exp(-2j * np.pi * np.outer(ky, ky) / 4) / 2

    def objective(u):
        value = 0.5 * (abs((transform @ u - hybrid / scale)[mask]) ** 2).sum()
        if method == "temporal-fourier-l1":
            return value + 0.1 * length(np.fft.fft(u, axis=0, norm="ortho")[1:])
        differences = np.roll(u, -1, axis=0) - u if cyclic else np.diff(u, axis=0)
        value += 0.1 * length(differences)
        if method == "spatiotemporal-tv":
            y, x = np.diff(u, axis=1, append=u[:, -1:]), np.diff(u, axis=2, append=u[:, :, -1:])
            value += 0.05 * np.sqrt(abs(y) ** 2 + abs(x) ** 2 + 1e-8).sum()
        return value

    settings = replace(METHODS[method].settings, strength=0.1, growth=0.0, max_iterations=3000, tolerance=0.0)
    settings = replace(settings, **{"step": 1.0} if "tv" in method else {})
    settings = replace(settings, **{"spatial_share": 0.5} if method == "spatiotemporal-tv" else {})
    result = reconstruct(acquisition, replace(settings, consistent=False))
    np.testing.assert_allclose(result.objectives[-1], objective(result.images / scale), rtol=1e-3)
    np.testing.assert_allclose(result.objectives[-1], least(objective, shape), rtol=2e-3)


def test_low_rank_plus_sparse_never_raises_its_objective(beating):
    images, mask = beating
    settings = replace(LOW_RANK, strength=0.01, growth=0.0, rank_threshold=0.05, max_iterations=60, tolerance=0.0)
    objectives = np.array(reconstruct(acquired(images, mask), settings).objectives)
    assert (np.diff(objectives) <= 1e-5 * objectives[:-1]).all()
    assert objectives[-1] < 0.99 * objectives[0]


def test_conjugate_gradients_never_raise_the_objective_within_a_round(beating):
    images, mask = beating
    settings = ConjugateGradient(max_iterations=20, inner_iterations=10, tolerance=0.0)
    objectives = np.array(reconstruct(acquired(images, mask), settings).objectives)
    for part in (objectives[:10], objectives[10:]):
        assert (np.diff(part) <= 1e-5 * part[:-1]).all()


@pytest.fixture(scope="module")
def rhythmic():
    """A static picture plus pixels that beat at one or two temporal frequencies each, and a random mask."""
    generator = np.random.default_rng(5)
    n_frames, n_y, n_x = 16, 32, 12
    frequencies = np.zeros((n_frames, n_y, n_x), np.complex128)
    frequencies[0] = 4 * generator.random((n_y, n_x))
    for y, x in zip(generator.integers(10, 20, 40), generator.integers(3, 9, 40), strict=True):
        frequencies[generator.integers(1, n_frames), y, x] = 3 * np.exp(2j * np.pi * generator.random())
    images = np.fft.ifft(frequencies, axis=0, norm="ortho").astype(np.complex64)
    return images, generator.random((n_frames, n_y)) < 0.5


def test_sparse_rhythms_are_recovered(rhythmic):
    images, mask = rhythmic
    acquisition = acquired(images, mask)
    initial = nmse(METHODS[INITIAL].reconstruct(acquisition).images, images)
    settings = Thresholding(strength=3e-3, growth=0.0, max_iterations=200)
    assert nmse(reconstruct(acquisition, settings).images, images) < 1e-4 * initial
    # The reweighted problem is not convex: pixels where interpolation sees nothing stay dark.
    focuss = reconstruct(acquisition, ConjugateGradient(strength=1e-3, growth=0.0, max_iterations=60))
    assert nmse(focuss.images, images) < 0.4 * initial


def test_background_plus_sparse_rhythms_is_recovered(rhythmic):
    """A background of rank one that fades, over sparse rhythms: nothing static in it, so FOCUSS and l1 do not apply."""
    images, mask = rhythmic
    fading = np.exp(-np.arange(16) / 20)[:, np.newaxis, np.newaxis]
    mixed = (images - images.mean(axis=0) + fading * abs(images.mean(axis=0)) * 4).astype(np.complex64)
    acquisition = acquired(mixed, mask)
    initial = nmse(METHODS[INITIAL].reconstruct(acquisition).images, mixed)
    settings = replace(LOW_RANK, strength=3e-3, growth=0.0, rank_threshold=0.003, max_iterations=400)
    assert nmse(reconstruct(acquisition, settings).images, mixed) < 0.1 * initial


def test_steps_in_time_are_recovered():
    """Pixels that jump twice in a cycle, under a mask that sees every line in most frames: temporal TV finds them."""
    generator = np.random.default_rng(6)
    n_frames, n_y, n_x = 16, 32, 8
    images = np.repeat(draw_complex((1, n_y, n_x), 6), n_frames, axis=0)
    for y, x in zip(generator.integers(12, 20, 20), generator.integers(2, 6, 20), strict=True):
        images[5:11, y, x] += 4
    mask = generator.random((n_frames, n_y)) < 0.6
    acquisition = acquired(images, mask)
    initial = nmse(METHODS[INITIAL].reconstruct(acquisition).images, images)
    result = reconstruct(acquisition, TotalVariation(strength=1e-3, step=30.0, growth=0.0, max_iterations=600))
    assert nmse(result.images, images) < 0.05 * initial


def test_space_is_smoothed_only_where_asked():
    images, mask = draw_complex((4, 16, 12), 2), draw_mask(4, 16, 2.0)
    acquisition = acquired(images, mask)
    common = {"max_iterations": 200, "consistent": False, "strength": 0.01, "growth": 0.0, "step": 1.0}
    temporal = reconstruct(acquisition, TotalVariation(**common)).images
    without = reconstruct(acquisition, TotalVariation(**common, spatial_share=0.0)).images
    smooth = reconstruct(acquisition, TotalVariation(**common, spatial_share=20.0)).images
    assert nmse(without, temporal) < 1e-3
    assert abs(np.diff(smooth, axis=1)).sum() < 0.8 * abs(np.diff(temporal, axis=1)).sum()


def test_more_is_missing_more_is_moved():
    """The documented law: a setting follows the achieved acceleration of the mask, whatever was asked for."""
    images = draw_complex((6, 24, 10), 3)
    for acceleration in (2.0, 4.0):
        mask = draw_mask(6, 24, acceleration)
        achieved = mask.size / mask.sum()
        acquisition = acquired(images, mask)
        by_law = reconstruct(acquisition, Thresholding(strength=1e-3, growth=1.5))
        by_hand = reconstruct(acquisition, Thresholding(strength=1e-3 * achieved**1.5, growth=0.0))
        np.testing.assert_allclose(by_law.images, by_hand.images, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("constrained", [False, True])
def test_the_end_of_total_variation_does_not_depend_on_the_step(constrained):
    """Of several coils, whose encoding is no projection, too; the objective is what is minimised."""
    images, mask, maps = draw_complex((3, 6, 5), 4), np.random.default_rng(8).random((3, 6)) < 0.6, draw_maps(4, (6, 5))
    mask[0, 0] = True
    acquisition = acquired(images, mask, maps=maps)
    common = {"strength": 0.1, "growth": 0.0, "spatial_share": 0.5, "max_iterations": 3000, "tolerance": 0.0}
    ends = [
        reconstruct(acquisition, TotalVariation(**common, step=step, phase_constrained=constrained, consistent=False))
        for step in (0.3, 1.0, 3.0)
    ]
    for one in ends[1:]:
        # Two steps of conjugate gradients leave some 1e-3; a gradient step instead of them would leave 4e-2.
        np.testing.assert_allclose(one.objectives[-1], ends[0].objectives[-1], rtol=5e-3)


@pytest.mark.parametrize("phase", [None, "known"])
@pytest.mark.parametrize("n_coils", [None, 3])
def test_proximal_step_minimises_what_it_says(phase, n_coils, monkeypatch):
    monkeypatch.setattr(encoding, "PROXIMAL_STEPS", 30)
    images, mask = draw_complex((2, 5, 4), 1), np.random.default_rng(3).random((2, 5)) < 0.6
    problem = make_problem(acquired(draw_complex((2, 5, 4), 2), mask, maps=n_coils and draw_maps(n_coils, (5, 4))))
    turn = (
        None if phase is None else np.exp(1j * np.random.default_rng(5).uniform(-3, 3, (1, 4, 5))).astype(np.complex64)
    )
    share = 1.0
    start = columns(tf.constant(images if phase is None else images.real.copy()))

    def objective(image):
        whole = image if turn is None else encoding.with_phase(image, turn)
        missed = energy(problem.encoding.encode(whole) - problem.data) / 5
        return float(energy(image - start) + 0.7 * missed) / 2

    if phase is not None and n_coils is None:
        share = encoding.mirrored_share(problem.encoding.mask)
    found = problem.encoding.proximal(start, problem.data, 0.7, phase=turn, share=share)
    rng = np.random.default_rng(0)
    least = objective(found)
    assert least < objective(start)
    if phase is None or n_coils:  # of one coil with a phase the mirrored share is exact for a constant phase alone
        for size in (1e-2, 1e-1):
            nudge = tf.constant(size * rng.standard_normal(start.shape), start.dtype)
            assert objective(found + nudge) > least and objective(found - nudge) > least
