"""What differs from one example of a training to the next: phase, coils, noise and time."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from csmri.config.base import Frozen

Share = Annotated[float, Field(ge=0, le=1)]


class TrainingConditions(Frozen):
    """Under what examples are acquired in a training; what is left out, is as the fields of `Sampling` say, always."""

    phase_shares: dict[Literal["none", "static", "moving", "drift"], Share] = {}
    """Shares of the kinds of phase. Each example draws how strong its parts are, from 0 to `phase_static`, ...; moving
    and drifting phases have a resting one, too, and `moving` some drift."""
    coils_share: Share = 0.0
    """Share of examples with several coils."""
    coils_range: Annotated[tuple[int, ...], Field(strict=False, min_length=2, max_length=2)] = (4, 8)
    """Least and largest number of them."""
    noise_share: Share = 0.0
    """Share of examples with noise; those of several coils always have some, and half of them tell how much."""
    snr_range: Annotated[tuple[float, ...], Field(strict=False, min_length=2, max_length=2)] = (10.0, 80.0)
    """Least and largest SNR of them, drawn evenly on a logarithmic scale."""
    real_time_share: Share = 0.0
    """Share of examples whose last frame does not neighbour the first; they are cut open at a frame drawn at random."""
    resolution_range: Annotated[tuple[Share, ...], Field(strict=False, min_length=2, max_length=2)] = (1.0, 1.0)
    """Least and largest share of k-space that examples keep, in either direction: images that a hospital interpolated
    have empty outer lines and hearts larger [pixels] than a scanner measures."""

    @model_validator(mode="after")
    def _shares_and_ranges_are_sound(self) -> Self:
        if self.phase_shares and not abs(sum(self.phase_shares.values()) - 1) < 1e-6:
            raise ValueError(f"phase_shares must add up to 1, they give {sum(self.phase_shares.values()):g}")
        for name in ("coils_range", "snr_range"):
            least, most = getattr(self, name)
            if not 1 <= least <= most or (name == "coils_range" and most > 32):
                raise ValueError(f"{name} must be from 1 on, the smaller first, got {least:g} to {most:g}")
        if not 0.25 <= self.resolution_range[0] <= self.resolution_range[1]:
            raise ValueError(f"resolution_range must be from 0.25 on, the smaller first, got {self.resolution_range}")
        return self

    @property
    def varies(self) -> bool:
        """Whether anything is drawn anew for every example."""
        shares = self.coils_share, self.noise_share, self.real_time_share
        return bool(self.phase_shares) or any(shares)
