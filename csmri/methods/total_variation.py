"""Total variation in time or in time and space, with or without a resting phase: the primal-dual algorithm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import ops

from csmri.methods.iterative import (
    Problem,
    Settings,
    Steps,
    compiled,
    energies,
    numbers_of,
    root_of_ratio,
)
from csmri.physics.differences import difference, norms, primal_dual
from csmri.physics.encoding import Encoding, in_phase, mirrored_share, with_phase
from csmri.physics.linear import energy
from csmri.physics.phase import resting_phase


@dataclass(frozen=True, kw_only=True)
class TotalVariation(Settings):
    """Half the squared misfit plus total variation in time and space.

    Parameters
    ----------
    strength : float >= 0
        Weight of the temporal differences.
    spatial_share : float >= 0
        Weight of the spatial differences relative to that of the temporal ones; 0 for time alone.
    step, growth : float > 0
        The primal step is step R^growth, R the achieved acceleration. It changes the way to the solution, not the
        solution; but the way is not gone to its end, and where more is missing, more has to move.
    phase_constrained : bool
        Whether the image has the resting phase of the initial reconstruction, so that its unknown is real; of one coil
        a line then tells of its mirror image, too. Wrong where the phase moves.
    max_iterations : int >= 1
        Ends before convergence on purpose: from the interpolated cine, the minimum itself is a worse image.

    References
    ----------
    Chambolle and Pock, J Math Imaging Vis 2011, doi 10.1007/s10851-010-0251-1; Feng et al., Magn Reson Med 2014, doi
    10.1002/mrm.24980 [temporal]; Haacke et al., J Magn Reson 1991, doi 10.1016/0022-2364(91)90253-P [phase].
    """

    strength: float = 4e-3
    spatial_share: float = 0.0
    step: float = 0.092
    growth: float = 1.9
    phase_constrained: bool = False
    max_iterations: int = 40
    tolerance: float = 1e-5

    def iterate(self, problem: Problem) -> Steps:
        in_space = self.spatial_share > 0
        primal = self.step * problem.acceleration**self.growth
        weights = self.strength, self.strength * self.spatial_share
        phase = find_phase(problem.start) if self.phase_constrained else None
        image = problem.start if phase is None else in_phase(problem.start, phase)
        state = (image, (ops.zeros_like(image),) * (3 if in_space else 1))
        # Steps whose product is 1 / the largest squared norm of the differences: 4 along each axis.
        numbers = numbers_of(primal, 1 / (primal * (12 if in_space else 4)), *weights)
        mirror = phase is not None and problem.encoding.maps is None
        step = compiled(_total_variation_step, cyclic=problem.cyclic, mirror=mirror)
        while True:
            state, *told = step(problem.encoding.mask, problem.encoding.maps, problem.data, phase, numbers, state)
            yield (state[0] if phase is None else with_phase(state[0], phase), *told)


PHASE_CONSTRAINED = TotalVariation(spatial_share=0.2, step=0.14, growth=1.7, phase_constrained=True, max_iterations=25)
"""Total variation of images whose phase rests: a method of its own, and the start of the unrolled network."""


def find_phase(start: Any) -> Any:
    """Resting phase (1, x, y) of a cine (frame, x, y)."""
    return resting_phase(ops.mean(start, axis=0)[None])


def _total_variation_step(
    mask: Any, maps: Any, data: Any, phase: Any, numbers: Any, state: Any, *, cyclic: bool, mirror: bool
) -> tuple[Any, ...]:
    encoding = Encoding(mask, maps)
    primal, dual, temporal, spatial = (numbers[i] for i in range(4))
    share = mirrored_share(mask) if mirror else 1.0

    shortened: Any = 0.0

    def fit(image: Any) -> Any:
        nonlocal shortened
        fitted = encoding.proximal(image, data, primal, phase=phase, share=share)
        shortened = energy(image - fitted)
        return fitted

    image, duals = state
    new, moved = primal_dual(image, duals, fit, primal=primal, dual=dual, weights=(temporal, spatial), cyclic=cyclic)
    # In the metric of the algorithm: the first step moves the dual alone, and must not look like the end.
    distance = energy(new - image) / primal + energies(moved, duals) / dual
    size = energy(new) / primal + energies(moved) / dual
    if maps is None and phase is None:
        # What the step took off is the gradient of the misfit, which has its norm then; it saves a transform.
        misfit = 0.5 * shortened / ops.square(primal)
    else:
        whole = new if phase is None else with_phase(new, phase)
        misfit = 0.5 * energy(encoding.encode(whole) - data) / ops.cast(ops.shape(data)[-1], "float32")
    following = difference(new, cyclic=cyclic, in_space=len(duals) > 1)
    return (new, moved), root_of_ratio(distance, size), misfit + norms(following, temporal, spatial)
