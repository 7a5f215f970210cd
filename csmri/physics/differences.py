"""Finite differences of a cine in time and space, and the primal-dual iteration that makes them small.

In `keras.ops`, for iterative methods and networks alike. Images are (..., frame, x, y), real or complex.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

from keras import ops

from csmri.physics.linear import squared

Axes = tuple[Any, ...]
"""One array for every axis: time alone, or time, x and y."""


def difference(image: Any, *, cyclic: Any, in_space: bool = True) -> Axes:
    """Forward differences in time and, if wanted, in x and y.

    The last one in space is zero, and so is that in time unless `cyclic`: then it leads back to the first frame.
    `cyclic` may be a real tensor (batch, 1) of 1 and 0, for images (..., batch, frame, x, y).
    """
    first, last = image[..., :1, :, :], image[..., -1:, :, :]
    if isinstance(cyclic, bool):
        beyond = first if cyclic else last
    else:
        beyond = last + ops.reshape(cyclic, (-1, 1, 1, 1)) * (first - last)
    following = ops.concatenate([image[..., 1:, :, :], beyond], -3)
    temporal = (following - image,)
    if not in_space:
        return temporal
    before = ((0, 0),) * (len(image.shape) - 2)
    x = ops.pad(image[..., 1:, :] - image[..., :-1, :], (*before, (0, 1), (0, 0)))
    y = ops.pad(image[..., 1:] - image[..., :-1], (*before, (0, 0), (0, 1)))
    return (*temporal, x, y)


def adjoint_difference(duals: Axes) -> Any:
    """Adjoint of `difference`, for duals that vanish where it gives zero, as those of `primal_dual` do."""
    return reduce(add, (ops.roll(dual, 1, axis=axis) - dual for dual, axis in zip(duals, (-3, -2, -1), strict=False)))


def project(duals: Axes, temporal: Any, spatial: Any) -> Axes:
    """Shorten temporal duals to at most `temporal`, spatial vectors (x, y) to at most `spatial`.

    The proximal operator of the conjugate of the weighted norms: isotropic in space.
    """
    shorter = _shortened(duals[:1], temporal)
    return (*shorter, *_shortened(duals[1:], spatial)) if len(duals) > 1 else shorter


def norms(differences: Axes, temporal: float, spatial: float) -> Any:
    """Total variation: `temporal` times the l1 norm in time plus `spatial` times the isotropic one in space."""
    total = temporal * ops.sum(ops.abs(differences[0]))
    return total + spatial * ops.sum(ops.sqrt(squared_length(differences[1:]))) if len(differences) > 1 else total


def primal_dual(
    image: Any,
    duals: Axes,
    fit: Callable[[Any], Any],
    *,
    primal: Any,
    dual: Any,
    weights: tuple[Any, Any],
    cyclic: Any,
    relaxation: float = 1.0,
) -> tuple[Any, Axes]:
    """Do one step towards the image of least misfit plus total variation.

    Parameters
    ----------
    image : (..., frame, x, y)
    duals : tuple of the same
        One for each axis of `difference`; zeros at first.
    fit : callable
        Proximal step of the misfit to the data, of length `primal`.
    primal, dual : float
        Steps, which may differ along leading axes alone; their product times the largest squared norm of the
        differences (4 an axis) is at most 1.
    weights : (temporal, spatial)
    relaxation : float, from 1 to below 2
        Every step goes so many times as far.

    References
    ----------
    Chambolle and Pock, J Math Imaging Vis 2011, doi 10.1007/s10851-010-0251-1 [algorithm 1, theta = 1]; Condat, J Optim
    Theory Appl 2013, doi 10.1007/s10957-012-0245-9 [relaxation].
    """
    new = fit(descended(image, duals, primal))
    return ascended(image, new, duals, dual, weights, cyclic, relaxation=relaxation)


def descended(image: Any, duals: Axes, primal: Any) -> Any:
    """First half of `primal_dual`: the image whose `fit` is the new one."""
    return image - ops.cast(primal, image.dtype) * adjoint_difference(duals)


def ascended(
    image: Any, new: Any, duals: Axes, dual: Any, weights: tuple[Any, Any], cyclic: Any, *, relaxation: float
) -> tuple[Any, Axes]:
    """Second half: the image and the duals of the next step."""
    ahead = ops.cast(dual, image.dtype) * (2 * new - image)
    gained = difference(ahead, cyclic=cyclic, in_space=len(duals) > 1)
    moved = project(tuple(q + more for q, more in zip(duals, gained, strict=True)), *weights)
    if relaxation == 1:
        return new, moved

    def longer(was: Any, now: Any) -> Any:
        return was + relaxation * (now - was)

    return longer(image, new), tuple(map(longer, duals, moved))


def squared_length(vectors: Axes) -> Any:
    """Sum of squared magnitudes over the axes of vectors."""
    return reduce(add, map(squared, vectors))


def _shortened(vectors: Axes, longest: Any) -> Axes:
    if len(vectors) == 1 and "complex" not in str(vectors[0].dtype):
        return (ops.clip(vectors[0], -longest, longest),)
    factor = longest * ops.rsqrt(ops.maximum(squared_length(vectors), ops.maximum(longest**2, 1e-30)))
    return tuple(one * ops.cast(factor, one.dtype) for one in vectors)
