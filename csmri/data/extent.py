"""How far the signal of a cine reaches in k-space, and what that says of an acceleration simulated on all lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SHARE = 0.98
"""Of the dynamics, which the central band of `Extent.band` lines holds."""
MOST_SHARE = 0.7
"""Of the lines: a narrower band is worth a note; see `physics.extent` for what was measured."""


@dataclass(frozen=True)
class Extent:
    """Where energy and dynamics (images minus their temporal mean) of a cine lie along one axis of k-space."""

    n: int
    """Lines, or samples along x, of the matrix."""
    energy_beyond_half: float
    """Share of the energy beyond half of kmax."""
    dynamics_beyond_half: float
    """Share of the energy of the dynamics beyond half of kmax."""
    band: int
    """Smallest number of central lines that hold `SHARE` of the dynamics."""
    edge: int | None = None
    """Central lines inside of a sudden fall of the dynamics, as zero-filling leaves it; None where there is none."""

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Extent:
        """Extent of what `dataclasses.asdict` made of one; raises TypeError, KeyError or ValueError as `int` does."""
        edge = fields["edge"]
        shares = float(fields["energy_beyond_half"]), float(fields["dynamics_beyond_half"])
        return cls(int(fields["n"]), *shares, int(fields["band"]), None if edge is None else int(edge))

    @property
    def lines(self) -> int:
        """Estimate of the number of lines that carry signal."""
        return self.edge or self.band

    @property
    def is_limited(self) -> bool:
        """Whether so few lines carry signal that an acceleration simulated on all of them is easier."""
        return self.edge is not None or self.band <= MOST_SHARE * self.n

    def __str__(self) -> str:
        return (
            f"about {self.lines} of {self.n} carry signal; beyond half of kmax {100 * self.energy_beyond_half:.2g} % "
            f"of the energy, {100 * self.dynamics_beyond_half:.2g} % of the dynamics"
        )


def acceleration_note(extents: Iterable[Extent]) -> str:
    """Say in one sentence how many lines along y carry signal in these cines; empty where no cine is limited."""
    found = list(extents)
    limited = [one for one in found if one.is_limited]
    if not limited:
        return ""
    where = "" if len(limited) == len(found) else f" in {len(limited)} of {len(found)} subjects"
    n, lines = _span(one.n for one in limited), _span(one.lines for one in limited)
    return (
        f"Of {n} lines about {lines} carry signal{where}, as in images that were interpolated (zero-filled) or "
        "smoothed, or are nearly free of noise: an acceleration simulated on all lines is easier than on acquired ones "
        "(Shimron et al., PNAS 2022)."
    )


def _span(values: Iterable[int]) -> str:
    ordered = sorted(values)
    return f"{ordered[0]}" if ordered[0] == ordered[-1] else f"{ordered[0]} to {ordered[-1]}"
