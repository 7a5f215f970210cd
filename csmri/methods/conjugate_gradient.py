"""Conjugate gradients: reweighted temporal spectrum (FOCUSS), or SENSE."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from keras import ops

from csmri.methods.iterative import (
    Problem,
    Settings,
    Steps,
    along_frames,
    compiled,
    numbers_of,
    temporal_fourier,
)
from csmri.physics.encoding import Encoding
from csmri.physics.linear import conjugate_gradient_step, energy, product


@dataclass(frozen=True, kw_only=True)
class ConjugateGradient(Settings):
    """Regularised least squares about an image that is known already.

    Parameters
    ----------
    strength, growth : float >= 0
        The weight of the squared norm is strength R^growth; it has no unit.
    reweighted : bool
        Whether the unknown is the temporal spectrum about the temporal mean, weighed by itself (FOCUSS); otherwise it
        is the image about the initial reconstruction (CG-SENSE), which of one coil has nothing to add to it.
    power : float in [0, 1]
        Of the previous spectrum's magnitude that weighs the next; 1/2 is the l1 norm in the limit.
    max_iterations, inner_iterations : int >= 1
        Steps in all, and those after which the weights are renewed. More overfit.

    References
    ----------
    Jung et al., Magn Reson Med 2009, doi 10.1002/mrm.21757 [k-t FOCUSS]; Pruessmann et al., Magn Reson Med 2001, doi
    10.1002/mrm.1241 [CG-SENSE].
    """

    strength: float = 3e-4
    growth: float = 0.9
    reweighted: bool = True
    power: float = 0.5
    max_iterations: int = 30
    inner_iterations: int = 15

    def iterate(self, problem: Problem) -> Steps:
        start, encoding = problem.start, problem.encoding
        known = ops.mean(start, axis=0, keepdims=True) if self.reweighted else start
        basis = temporal_fourier(start.shape[0]) if self.reweighted else None
        back = None if basis is None else ops.conj(ops.transpose(basis))
        residual = problem.data - encoding.encode(known)
        unknown = start - known if basis is None else along_frames(basis, start - known)
        numbers = numbers_of(self.strength * problem.acceleration**self.growth, math.sqrt(float(energy(start))))
        begin, step = compiled(_begin), compiled(_conjugate_gradient_step)
        while True:
            weights = None
            if basis is not None:
                weights = ops.abs(unknown) ** self.power
                weights = ops.cast(weights / ops.maximum(ops.max(weights), 1e-30), "complex64")
            problem_of_step = encoding.mask, encoding.maps, basis, weights, numbers
            *state, constant = begin(*problem_of_step, residual, unknown)
            for _ in range(self.inner_iterations):
                *state, change, objective = step(*problem_of_step, *state, constant)
                unknown = state[0] if weights is None else weights * state[0]
                yield known + (unknown if back is None else along_frames(back, unknown)), change, objective


def _weighted(basis: Any, weights: Any, values: Any, *, to_image: bool) -> Any:
    """Weighted spectrum to image, or its adjoint; nothing where there is no basis."""
    if basis is None:
        return values
    if to_image:
        return along_frames(ops.conj(ops.transpose(basis)), weights * values)
    return weights * along_frames(basis, values)


def _normal(mask: Any, maps: Any, basis: Any, weights: Any, numbers: Any, values: Any) -> Any:
    applied = Encoding(mask, maps).normal(_weighted(basis, weights, values, to_image=True))
    return _weighted(basis, weights, applied, to_image=False) + ops.cast(numbers[0], "complex64") * values


def _begin(
    mask: Any, maps: Any, basis: Any, weights: Any, numbers: Any, residual: Any, unknown: Any
) -> tuple[Any, ...]:
    """Start at the unknown so far: solution, right-hand side, remainder, direction, constant of the objective."""
    right = _weighted(basis, weights, Encoding(mask, maps).adjoint(residual), to_image=False)
    solution = unknown
    if weights is not None:
        present = ops.abs(weights) > 0
        solution = ops.where(present, unknown / ops.where(present, weights, ops.ones_like(weights)), 0 * unknown)
    remainder = right - _normal(mask, maps, basis, weights, numbers, solution)
    constant = 0.5 * energy(residual) / ops.cast(ops.shape(residual)[-1], "float32")
    return solution, right, remainder, remainder, constant


def _conjugate_gradient_step(
    mask: Any,
    maps: Any,
    basis: Any,
    weights: Any,
    numbers: Any,
    solution: Any,
    right: Any,
    remainder: Any,
    direction: Any,
    constant: Any,
) -> tuple[Any, ...]:
    """One step; also the norm of the image's change over that of the image, and the objective."""
    solution, remainder, direction, step = conjugate_gradient_step(
        lambda values: _normal(mask, maps, basis, weights, numbers, values), solution, remainder, direction
    )
    change = ops.sqrt(energy(step if weights is None else weights * step)) / ops.maximum(numbers[1], 1e-30)
    objective = constant - 0.5 * product(solution, right + remainder)
    return solution, right, remainder, direction, change, objective
