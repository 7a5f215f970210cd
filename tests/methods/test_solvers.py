"""The solvers against what they promise: adjoints, minima found by others, signals that can be recovered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from scipy import optimize

from csmri.core.names import INITIAL
from csmri.methods import tv
from csmri.methods.classical import (
    METHODS,
    KtFocuss,
    LowRankPlusSparse,
    SpatiotemporalTv,
    TemporalFourierL1,
    TemporalTv,
    kt_focuss,
    low_rank_plus_sparse,
    spatiotemporal_tv,
    temporal_fourier_l1,
    temporal_tv,
)
from csmri.methods.lowrank import shrink_singular_values
from csmri.methods.problem import along_frames, checked, make_problem, misfit, robust_scale, shrink, spectrum
from csmri.physics.fourier import fft_y

from .conftest import draw_complex, draw_mask, nmse, undersampled

SIZES = pytest.mark.parametrize("shape", [(4, 6, 5), (5, 7, 4), (1, 3, 2), (2, 1, 1)])


@pytest.mark.parametrize("shape", [(3, 8, 5), (4, 7, 6), (2, 1, 3)])
def test_problem_is_the_physics_of_kspace(shape):
    """The layout for speed has the misfit, the data and the mask of the centred transform."""
    images, mask = draw_complex(shape), np.random.default_rng(0).random(shape[:2]) < 0.6
    mask[0, 0] = True
    problem = make_problem(*checked(undersampled(images, mask), mask), cyclic=True)
    other = draw_complex(shape, 5)
    columns = tf.linalg.matrix_transpose(other)
    expected = 0.5 * (abs((fft_y(other) - fft_y(images) / problem.scale).numpy()[mask]) ** 2).sum()
    np.testing.assert_allclose(misfit(spectrum(columns), problem.data, problem.mask), expected, rtol=1e-4)
    consistent = fft_y(problem.to_images(columns, consistent=True)).numpy()
    np.testing.assert_allclose(consistent[mask], fft_y(images).numpy()[mask], atol=1e-5)
    np.testing.assert_allclose(consistent[~mask], problem.scale * fft_y(other).numpy()[~mask], atol=1e-4)
    np.testing.assert_allclose(problem.acceleration, mask.size / mask.sum(), rtol=1e-6)


@pytest.mark.parametrize("n", [1, 7, 1000, 4321])
def test_robust_scale_is_the_quantile(n):
    values = np.random.default_rng(n).permutation(n).astype(np.complex64) + 1
    np.testing.assert_allclose(robust_scale(values), np.quantile(abs(values), 0.999, method="higher"))


def test_temporal_fourier_transform():
    problem = make_problem(*checked(draw_complex((6, 4, 3)), np.ones((6, 4), bool)), cyclic=True)
    frequencies = along_frames(problem.basis, problem.start)
    np.testing.assert_allclose(frequencies, np.fft.fft(problem.start, axis=0, norm="ortho"), atol=1e-5)
    np.testing.assert_allclose(along_frames(tf.linalg.adjoint(problem.basis), frequencies), problem.start, atol=1e-5)


@SIZES
@pytest.mark.parametrize("cyclic", [True, False])
@pytest.mark.parametrize("space", [True, False])
def test_differences_have_their_adjoint_and_norm(shape, cyclic, space):
    flags = tf.constant(cyclic), tf.constant(space)
    a = draw_complex(shape)
    forward = tv.difference(a, *flags).numpy()
    b = draw_complex(forward.shape, 1)
    backward = tv.adjoint_difference(b, flags[0]).numpy()
    np.testing.assert_allclose(np.vdot(forward, b), np.vdot(a, backward), rtol=1e-4, atol=1e-4)
    assert np.linalg.norm(forward) <= np.sqrt(12 if space else 4) * np.linalg.norm(a)
    expected = np.roll(a, -1, axis=0) - a
    expected[-1] *= cyclic
    np.testing.assert_allclose(forward[0], expected, atol=1e-6)
    assert len(forward) == (3 if space else 1)
    if space:
        np.testing.assert_allclose(forward[1], np.diff(a, axis=1, append=a[:, -1:]), atol=1e-6)
        np.testing.assert_allclose(forward[2], np.diff(a, axis=2, append=a[:, :, -1:]), atol=1e-6)


def test_projection_is_moreau_s_other_half():
    """v = prox of the norm + projection on the dual ball, for the temporal part and for vectors in space."""
    values = 2 * draw_complex((3, 4, 5, 6))
    projected = tv.project(values, tf.constant(0.7), tf.constant(1.1)).numpy()
    np.testing.assert_allclose(values[0] - projected[0], shrink(values[0], 0.7), atol=1e-6)
    length = np.sqrt((abs(values[1:]) ** 2).sum(axis=0))
    np.testing.assert_allclose(values[1:] - projected[1:], values[1:] * np.maximum(1 - 1.1 / length, 0), atol=1e-6)


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


def least(objective, shape):
    """Minimum of a function of a complex array, by SciPy from zero; smoothed norms leave some 1e-4."""

    def of_reals(reals):
        return objective(reals[: reals.size // 2].reshape(shape) + 1j * reals[reals.size // 2 :].reshape(shape))

    n = 2 * int(np.prod(shape))
    result = optimize.minimize(of_reals, np.zeros(n), method="L-BFGS-B", options={"maxiter": 4000, "maxfun": 10**6})
    return result.fun


def length(values):
    return np.sqrt(abs(values) ** 2 + 1e-8).sum()


@pytest.mark.parametrize("method", ["temporal-tv", "spatiotemporal-tv", "temporal-fourier-l1"])
@pytest.mark.parametrize("cyclic", [True, False])
def test_minimum_equals_scipy_s(method, cyclic):
    """Run long, the convex problems end at the value that an independent solver of the same formula finds."""
    shape = (3, 4, 2)
    images, mask = draw_complex(shape, 4), np.random.default_rng(8).random(shape[:2]) < 0.6
    mask[0, 0] = True
    hybrid = np.where(mask[..., np.newaxis], fft_y(images), 0)
    scale = make_problem(*checked(hybrid, mask), cyclic=cyclic).scale
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
    result = METHODS[method].reconstruct(hybrid, mask, replace(settings, consistent=False), cyclic=cyclic)
    np.testing.assert_allclose(result.coils[0].objectives[-1], objective(result.images / scale), rtol=1e-3)
    np.testing.assert_allclose(result.coils[0].objectives[-1], least(objective, shape), rtol=2e-3)


def test_low_rank_plus_sparse_never_raises_its_objective(beating):
    images, mask = beating
    settings = LowRankPlusSparse(strength=0.01, growth=0.0, rank_threshold=0.05, max_iterations=60, tolerance=0.0)
    objectives = np.array(low_rank_plus_sparse(undersampled(images, mask), mask, settings).coils[0].objectives)
    assert (np.diff(objectives) <= 1e-5 * objectives[:-1]).all()
    assert objectives[-1] < 0.99 * objectives[0]


def test_conjugate_gradients_never_raise_the_objective_within_a_round(beating):
    images, mask = beating
    settings = KtFocuss(max_iterations=20, inner_iterations=10, tolerance=0.0)
    objectives = np.array(kt_focuss(undersampled(images, mask), mask, settings).coils[0].objectives)
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
    hybrid = undersampled(images, mask)
    initial = nmse(METHODS[INITIAL].reconstruct(hybrid, mask).images, images)
    settings = TemporalFourierL1(strength=3e-3, growth=0.0, max_iterations=200)
    assert nmse(temporal_fourier_l1(hybrid, mask, settings).images, images) < 1e-4 * initial
    # The reweighted problem is not convex: pixels where interpolation sees nothing stay dark.
    focuss = kt_focuss(hybrid, mask, KtFocuss(strength=1e-3, growth=0.0, max_iterations=60))
    assert nmse(focuss.images, images) < 0.4 * initial


def test_background_plus_sparse_rhythms_is_recovered(rhythmic):
    """A background of rank one that fades, over sparse rhythms: nothing static in it, so FOCUSS and l1 do not apply."""
    images, mask = rhythmic
    fading = np.exp(-np.arange(16) / 20)[:, np.newaxis, np.newaxis]
    mixed = (images - images.mean(axis=0) + fading * abs(images.mean(axis=0)) * 4).astype(np.complex64)
    hybrid = undersampled(mixed, mask)
    initial = nmse(METHODS[INITIAL].reconstruct(hybrid, mask).images, mixed)
    settings = LowRankPlusSparse(strength=3e-3, growth=0.0, rank_threshold=0.003, max_iterations=400)
    assert nmse(low_rank_plus_sparse(hybrid, mask, settings).images, mixed) < 0.1 * initial


def test_steps_in_time_are_recovered():
    """Pixels that jump twice in a cycle, under a mask that sees every line in most frames: temporal TV finds them."""
    generator = np.random.default_rng(6)
    n_frames, n_y, n_x = 16, 32, 8
    images = np.repeat(draw_complex((1, n_y, n_x), 6), n_frames, axis=0)
    for y, x in zip(generator.integers(12, 20, 20), generator.integers(2, 6, 20), strict=True):
        images[5:11, y, x] += 4
    mask = generator.random((n_frames, n_y)) < 0.6
    hybrid = undersampled(images, mask)
    initial = nmse(METHODS[INITIAL].reconstruct(hybrid, mask).images, images)
    result = temporal_tv(hybrid, mask, TemporalTv(strength=1e-3, step=30.0, growth=0.0, max_iterations=600))
    assert nmse(result.images, images) < 0.05 * initial


def test_space_is_smoothed_only_where_asked():
    images, mask = draw_complex((4, 16, 12), 2), draw_mask(4, 16, 2.0)
    hybrid = undersampled(images, mask)
    common = {"max_iterations": 200, "consistent": False, "strength": 0.01, "growth": 0.0, "step": 1.0}
    temporal = temporal_tv(hybrid, mask, TemporalTv(**common)).images
    without = spatiotemporal_tv(hybrid, mask, SpatiotemporalTv(**common, spatial_share=0.0)).images
    smooth = spatiotemporal_tv(hybrid, mask, SpatiotemporalTv(**common, spatial_share=20.0)).images
    assert nmse(without, temporal) < 1e-3
    assert abs(np.diff(smooth, axis=1)).sum() < 0.8 * abs(np.diff(temporal, axis=1)).sum()


def test_more_is_missing_more_is_moved():
    """The documented law: a setting follows the achieved acceleration of the mask, whatever was asked for."""
    images = draw_complex((6, 24, 10), 3)
    for acceleration in (2.0, 4.0):
        mask = draw_mask(6, 24, acceleration)
        achieved = mask.size / mask.sum()
        hybrid = undersampled(images, mask)
        by_law = temporal_fourier_l1(hybrid, mask, TemporalFourierL1(strength=1e-3, growth=1.5))
        by_hand = temporal_fourier_l1(hybrid, mask, TemporalFourierL1(strength=1e-3 * achieved**1.5, growth=0.0))
        np.testing.assert_allclose(by_law.images, by_hand.images, atol=1e-5)
