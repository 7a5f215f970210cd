"""What a scanner does to a cine: which k-t lines it acquires, and what phase, coils and noise it adds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from csmri.config.base import Frozen

Radians = Annotated[float, Field(ge=0, le=100)]


class Sampling(Frozen):
    """How a fully sampled cine is made an acquisition (`physics.simulate`), and how missing lines are interpolated."""

    mask_law: Literal["gaussian", "schlemper"] = "gaussian"
    """Density of the phase-encode lines; `schlemper` fixes width and centre lines (doi 10.1109/TMI.2017.2760978)."""
    mask_width: Annotated[float, Field(gt=0, le=10)] = 0.15
    """Standard deviation of the Gaussian law as a fraction of n_ky [our choice: the paper gives none]."""
    mask_centre_lines: Annotated[int, Field(ge=0, le=4096)] = 0
    """Lines around DC that the Gaussian law always keeps, counted inside n_ky / acceleration [our choice]."""
    cyclic: bool = True
    """Whether the last frame neighbours the first in the temporal interpolation [our choice]."""
    phase: Literal["none", "static", "moving", "drift"] = "none"
    """Phase that is simulated in place of the images' own: `none` leaves them as they are; `static` rests in time;
    `moving` adds pulses of flow to that, and `drift` a slow smooth change."""
    phase_static: Radians = 1.0
    """Largest deviation of the smooth resting phase from a constant that is drawn, too [rad]."""
    phase_moving: Radians = 0.7
    """Largest peak of a pulse of flow [rad]; each is drawn between half of it and all, with either sign."""
    phase_drift: Radians = 0.3
    """Largest value of the slow change over the cycle [rad]."""
    phase_shift: Annotated[float, Field(ge=0, le=64)] = 0.5
    """Largest shift of the echo off the centre of k-space, in samples of ky and kx: a ramp of the resting phase."""
    coils: Annotated[int, Field(ge=1, le=32)] = 1
    """Receive coils, of smooth sensitivity with a phase of its own; 1 has sensitivity 1 everywhere."""
    snr: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Signal over the standard deviation of the noise in the real (and the imaginary) part of the combined, fully
    sampled image; the signal is the mean magnitude weighted by itself, sum |x|^2 / sum |x|. 0 for no noise."""
