"""Finite differences and their adjoint, of real and complex images, with and without leading axes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from csmri.physics.differences import adjoint_difference, difference, norms, primal_dual, project

CASES = pytest.mark.parametrize("shape", [(4, 6, 5), (5, 7, 4), (1, 3, 2), (2, 1, 1), (2, 3, 4, 5)])


def draw(shape, seed, kind):
    real, imaginary = np.random.default_rng(seed).standard_normal((2, *shape))
    return tf.constant(real + 1j * imaginary if kind == "complex" else real, f"{kind}{64 if kind == 'complex' else 32}")


@CASES
@pytest.mark.parametrize("cyclic", [True, False])
@pytest.mark.parametrize("in_space", [True, False])
@pytest.mark.parametrize("kind", ["complex", "float"])
def test_adjoint(shape, cyclic, in_space, kind):
    image = draw(shape, 0, kind)
    there = difference(image, cyclic=cyclic, in_space=in_space)
    assert len(there) == (3 if in_space else 1)
    # Duals vanish where the difference is always zero.
    possible = [np.asarray(one) != 0 for one in difference(draw(shape, 1, kind), cyclic=cyclic, in_space=in_space)]
    duals = tuple(draw(shape, 2 + i, kind) * tf.cast(one, image.dtype) for i, one in enumerate(possible))
    left = sum(np.vdot(a, b) for a, b in zip(there, duals, strict=True))
    right = np.vdot(image, adjoint_difference(duals))
    np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-4)


def test_by_hand():
    image = tf.constant([[[1.0, 2.0]], [[5.0, 9.0]]])  # (frame, x, y)
    time, x, y = difference(image, cyclic=True)
    np.testing.assert_array_equal(time, [[[4, 7]], [[-4, -7]]])
    assert not np.any(x)
    np.testing.assert_array_equal(y, [[[1, 0]], [[4, 0]]])
    held, *_ = difference(image, cyclic=False)
    np.testing.assert_array_equal(held[1], [[0, 0]])
    assert float(norms((time, x, y), 2.0, 3.0)) == 2 * 22 + 3 * 5


@pytest.mark.parametrize("kind", ["complex", "float"])
def test_projection_shortens_what_is_too_long_and_keeps_the_direction(kind):
    duals = tuple(draw((3, 4, 5), i, kind) for i in range(3))
    time, x, y = (np.asarray(one) for one in project(duals, 0.5, 0.8))
    before = np.sqrt(sum(np.abs(one.numpy()) ** 2 for one in duals[1:]))
    after = np.sqrt(np.abs(x) ** 2 + np.abs(y) ** 2)
    np.testing.assert_allclose(np.abs(time), np.minimum(np.abs(duals[0]), 0.5), rtol=1e-5)
    np.testing.assert_allclose(after, np.minimum(before, 0.8), rtol=1e-5)
    np.testing.assert_allclose(x * before, duals[1].numpy() * after, atol=1e-5)


@CASES
@pytest.mark.parametrize("relaxation", [1.0, 1.9])
def test_primal_dual_finds_the_least_of_misfit_and_total_variation(shape, relaxation):
    """Of denoising, whose minimum is told by <image, noisy - image> being the total variation there."""
    noisy = draw(shape, 0, "float")
    primal, image, duals = 0.2, noisy, (tf.zeros_like(noisy),) * 3
    gaps = []
    for steps in (20, 400):
        for _ in range(steps):
            image, duals = primal_dual(
                image,
                duals,
                lambda values: (values + primal * noisy) / (1 + primal),
                primal=primal,
                dual=1 / (12 * primal),
                weights=(0.2, 0.1),
                cyclic=True,
                relaxation=relaxation,
            )
        variation = norms(difference(image, cyclic=True), 0.2, 0.1)
        gaps.append(float(abs(tf.reduce_sum(image * (noisy - image)) - variation)))
    assert gaps[1] < 1e-3 * float(tf.reduce_sum(tf.square(noisy)))
    assert gaps[1] <= gaps[0] + 1e-6
