"""How iterative methods get on: where they stand while they take long, and how they ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from csmri.methods.iterative import Progress

PAUSE = 2.0
"""Seconds between two signs of life."""


class Watch:
    """A callback of iterative methods that shows in a progress bar's label where they stand."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.ends: list[Progress] = []
        """Last iteration of every slice."""
        self.bar: Any = None
        self._shown = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if progress.iteration == 1:
            self.ends.append(progress)
        self.ends[-1] = progress
        if self.bar and time.monotonic() - self._shown >= PAUSE:
            self._shown = time.monotonic()
            step = f"iteration {progress.iteration} of at most {progress.max_iterations}"
            change = f"relative change {progress.relative_change:.1e}"
            self.bar.label = f"{self.label} ({step}, {change})"
            self.bar.render_progress()

    def summary(self, name: str, tolerance: float) -> str:
        """Tell iterations and last change, and whether the tolerance was met; needs at least one iteration."""
        counts = [progress.iteration for progress in self.ends]
        few, many = min(counts), max(counts)
        change = max(progress.relative_change for progress in self.ends)
        n_met = sum(progress.relative_change <= tolerance for progress in self.ends)
        return (
            f"{name}: {few if few == many else f'{few} to {many}'} iterations, last relative change {change:.1e}; "
            f"tolerance {tolerance:.0e} met in {n_met} of {len(counts)} slices"
        )
