"""One step of conjugate gradients for a linear system, and the products that it needs, real or complex."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops


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
