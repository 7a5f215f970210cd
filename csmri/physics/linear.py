"""One step of conjugate gradients for a linear system, and the products that it needs, real or complex."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from csmri.physics.fourier import as_complex

ROUNDING = 1e-11
"""Of the energy of the right-hand side: a smaller remainder is the rounding of float32, which must not be followed."""


def conjugate_gradient_step(
    apply: Callable[[Any], Any], solution: Any, remainder: Any, direction: Any
) -> tuple[Any, Any, Any, Any]:
    """Go one step towards the solution of a positive definite system; 0 everywhere where nothing remains.

    Parameters
    ----------
    apply : callable
        The operator of the system.
    solution, remainder, direction
        So far: remainder = right-hand side - apply(solution), and at first the direction is the remainder.

    Returns
    -------
    solution, remainder, direction, step
        `step` is what the solution moved by.
    """
    applied, before = apply(direction), energy(remainder)
    length = ops.cast(before / ops.maximum(product(direction, applied), 1e-30), direction.dtype)
    step, remainder = length * direction, remainder - length * applied
    turn = ops.cast(energy(remainder) / ops.maximum(before, 1e-30), direction.dtype)
    return solution + step, remainder, remainder + turn * direction, step


def energy(values: Any) -> Any:
    """Sum of squared magnitudes, float32."""
    return ops.sum(squared(values))


def product(a: Any, b: Any) -> Any:
    """Real part of the inner product."""
    if "complex" not in str(a.dtype):
        return ops.sum(a * b)
    return ops.sum(ops.real(a) * ops.real(b) + ops.imag(a) * ops.imag(b))


def squared(values: Any) -> Any:
    """Squared magnitude of real or complex values."""
    if "complex" not in str(values.dtype):
        return ops.square(values)
    return ops.square(ops.real(values)) + ops.square(ops.imag(values))


def damped_least_squares(
    normal: Callable[[Any], Any], right: Any, damping: Any, *, steps: int, axes: tuple[int, ...]
) -> Any:
    """Go some steps of conjugate gradients from 0 towards the solution of (normal + damping) x = right.

    What is solved stays as it is, however many steps are left.

    Parameters
    ----------
    normal : callable
        Complex, of norm 1 at most; it couples values along `axes` alone, so that the others have steps of their own.
    damping : real, >= 0
        May have the axes of `right`.
    """

    def inner(a: Any, b: Any) -> Any:
        values = ops.real(a) * ops.real(b) + ops.imag(a) * ops.imag(b)
        return ops.sum(values, axis=axes, keepdims=True)

    damping = as_complex(damping)
    solution, remainder = None, right
    direction, before = right, inner(right, right)
    least = ROUNDING * before
    for step in range(steps):
        applied = normal(direction) + damping * direction
        length = ops.maximum(inner(direction, applied), 1e-30)
        if step:
            going = before > least
            length = as_complex(ops.where(going, before, 0.0) / ops.where(going, length, 1.0))
        else:
            length = as_complex(before / length)
        solution = length * direction if solution is None else solution + length * direction
        if step + 1 < steps:
            remainder = remainder - length * applied
            now = inner(remainder, remainder)
            direction = remainder + as_complex(now / ops.maximum(before, 1e-30)) * direction
            before = now
    return solution
