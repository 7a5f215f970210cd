"""What a method was trained or tuned for, and what of an acquisition lies outside of it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from csmri.config import Config
from csmri.data.acquisition import Acquisition
from csmri.physics.initial import initial_images
from csmri.physics.sampling import acceleration_factor
from csmri.physics.simulate import mean_signal

Span = tuple[float, float]
"""Least and largest."""

SLACK = 1.1
"""Factor by which accelerations and SNR may go beyond."""
SIZE_SLACK = 2.0
"""Factor by which numbers of frames and pixels may: networks of convolutions take any."""
NOISE_FREE = 40.0
"""SNR from which on what was trained without noise counts as inside: images of a hospital have as much noise."""
BRIGHT = 0.3
"""Part of the brightest tissue (99.9th percentile) from which on a pixel has a phase that tells something."""
SMOOTHED = 3
"""Pixels along a side that are averaged before the phase is judged."""
REST = 0.15
"""Temporal deviation [rad] up to which a phase rests: undersampling by 12 at an SNR of 10 gives 0.14 (ACDC)."""
OF_PULSE, OF_DRIFT = 0.37, 0.71
"""Temporal standard deviation of a pulse of flow, the longest that is simulated, and of a drift, of their peaks."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Within what a method was trained or tuned; None where it does not matter, or is not known."""

    how: str = "trained"
    accelerations: Span | None = None
    frames: Span | None = None
    sides: Span | None = None
    """Pixels of an image's shorter and longer side."""
    coils: Span | None = None
    snr: float | None = None
    """Least one; `NOISE_FREE` of what had no noise."""
    phase: float | None = None
    """Largest temporal standard deviation of the phase [rad], as `Traits.phase` finds it."""
    cyclic: tuple[bool, ...] | None = None
    mask_laws: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Outside:
    """One thing in which an acquisition lies outside of a method's limits."""

    method: str
    limit: str
    """The method's, in words: trained at accelerations 2 to 8."""
    found: str
    """The acquisition's, in words: this is 11.8."""
    excess: float = 1.0
    """Factor by which it lies outside, to find the worst of several."""


@dataclass(frozen=True, eq=False)
class Traits:
    """What limits are about, of one acquisition; each is found when it is asked for.

    Parameters
    ----------
    acquisition : Acquisition
    mask_law : str
        Where the mask was simulated.
    """

    acquisition: Acquisition
    mask_law: str = ""

    @cached_property
    def initial(self) -> NDArray[np.complex64]:
        """Initial reconstruction (frame, y, x)."""
        return np.asarray(initial_images(self.acquisition))

    @cached_property
    def acceleration(self) -> float:
        """Achieved one."""
        return float(acceleration_factor(self.acquisition.mask))

    @cached_property
    def snr(self) -> float:
        """As `Sampling.snr`, of the initial reconstruction; infinite where the noise is not known."""
        noise = float(self.acquisition.noise)
        return float(mean_signal(np.abs(self.initial))) / noise if noise else math.inf

    @cached_property
    def phase(self) -> float:
        """Temporal standard deviation of the phase [rad] where it is bright, the 99th percentile."""
        # Noise and aliasing change from pixel to pixel, the phase of what flows does less.
        images = uniform_filter(self.initial, (1, SMOOTHED, SMOOTHED))
        magnitude = np.abs(images)
        mean = magnitude.mean(axis=0)
        bright = mean > BRIGHT * np.quantile(magnitude, 0.999)
        if not bright.any():
            return 0.0
        # Circular, so that a phase may wrap; weighted by the magnitude, so that dark frames do not count.
        resultant = np.abs(images.mean(axis=0))[bright] / mean[bright]
        variance = -2 * np.log(np.clip(resultant, 1e-6, 1))
        return math.sqrt(max(float(np.quantile(variance, 0.99)), 0.0))


def network_limits(config: Config, *, frames: Sequence[int] = (), sides: Sequence[int] = ()) -> Limits:
    """Limits of a network by the config of its training, and by the least and largest sizes that it saw there."""
    coils = {1 if config.coils_share else config.coils, config.coils}
    if config.coils_share:
        coils |= set(config.coils_range)
    snr = config.snr or NOISE_FREE
    if config.noise_share or config.coils_share:
        snr = min(snr, config.snr_range[0])
    return Limits(
        accelerations=_span(config.accelerations),
        frames=_span(frames),
        sides=_span(sides),
        coils=_span(coils),
        snr=snr,
        phase=math.hypot(REST, _motion(config)),
        cyclic=(True, False) if config.real_time_share else (config.cyclic,),
        mask_laws=("gaussian", "schlemper") if config.both_laws else (config.mask_law,),
    )


def _span(values: Iterable[float]) -> Span | None:
    values = tuple(values)
    return (min(values), max(values)) if values else None


def _motion(config: Config) -> float:
    """Largest temporal standard deviation [rad] of the phases that a training simulates."""
    kinds = {kind for kind, share in config.phase_shares.items() if share} or {config.phase}
    moving = OF_PULSE * config.phase_moving if "moving" in kinds else 0.0
    drift = OF_DRIFT * config.phase_drift if "drift" in kinds else 0.0
    return max(moving, drift)


def outside(limits: Limits, traits: Traits, *, method: str) -> list[Outside]:
    """Tell in what an acquisition lies outside of the limits of a method; empty where it lies inside."""
    acquisition, how = traits.acquisition, limits.how
    _, n_frames, *sides = acquisition.data.shape
    found = []

    def check(span: Span | None, value: float, slack: float, limit: str, told: str) -> None:
        """Words of what lies outside; {} stands for the limits, (s) for a plural."""
        if span is not None and (excess := max(value / max(span[1], 1e-9), span[0] / max(value, 1e-9))) > slack:
            plural = "s" if span[0] != span[1] or ("coil" in limit and span[1] > 1) else ""
            found.append(Outside(method, f"{how} {limit.format(_told(span)).replace('(s)', plural)}", told, excess))

    check(
        limits.accelerations, traits.acceleration, SLACK, "at acceleration(s) {}", f"this is {traits.acceleration:.3g}"
    )
    check(limits.frames, n_frames, SIZE_SLACK, "on cines of {} frames", f"this one has {n_frames}")
    side = max(sides) if limits.sides and max(sides) > limits.sides[1] * SIZE_SLACK else min(sides)
    check(limits.sides, side, SIZE_SLACK, "on images with sides of {} pixels", f"here one has {side}")
    check(limits.coils, acquisition.n_coils, 1, "with {} coil(s)", f"these are {acquisition.n_coils}")
    if limits.snr is not None:
        limit = "without noise" if limits.snr == NOISE_FREE else f"at an SNR of {limits.snr:g} or more"
        check((limits.snr, math.inf), traits.snr, SLACK, limit, f"it is {traits.snr:.3g} here")
    if limits.phase is not None:
        limit = "on phases at rest" if limits.phase <= REST else f"on phases that move by up to {limits.phase:.2g} rad"
        check((0, limits.phase), traits.phase, 1, limit, f"these move by {traits.phase:.2g} rad")
    if limits.cyclic is not None and bool(acquisition.cyclic) not in limits.cyclic:
        told = "is" if acquisition.cyclic else "is not"
        found.append(Outside(method, f"{how} where the last frame {_other(told)} next to the first", f"here it {told}"))
    if limits.mask_laws is not None and traits.mask_law and traits.mask_law not in limits.mask_laws:
        found.append(Outside(method, f"{how} with {limits.mask_laws[0]} masks", f"these are of {traits.mask_law}"))
    return found


def _told(span: Span) -> str:
    least, most = (f"{value:g}" for value in span)
    return least if least == most else f"{least} to {most}"


def _other(told: str) -> str:
    return "is" if told == "is not" else "is not"


@dataclass(eq=False)
class Tally:
    """What lies outside of the limits of methods, slice by slice, to be told once."""

    places: set[Hashable] = field(default_factory=set)
    worst: dict[tuple[str, str], Outside] = field(default_factory=dict)
    places_of: defaultdict[tuple[str, str], set[Hashable]] = field(default_factory=lambda: defaultdict(set))

    def add(self, place: Hashable, found: Iterable[Outside]) -> None:
        """Add what lies outside in a slice; nothing counts, too. A slice counts once, however often it is added."""
        self.places.add(place)
        for one in found:
            key = one.method, one.limit
            self.places_of[key].add(place)
            self.worst[key] = max(self.worst.get(key, one), one, key=lambda one: one.excess)

    def notes(self) -> list[str]:
        """One sentence for every limit of a method, with its worst case and the number of slices."""
        n = len(self.places)
        return [
            f"{one.method}: {one.limit}, {one.found}{_of(len(self.places_of[key]), n)}; judge the result with care."
            for key, one in self.worst.items()
        ]


def _of(n_outside: int, n: int) -> str:
    if n == 1:
        return ""
    return f" (in all {n} slices)" if n_outside == n else f" (in {n_outside} of {n} slices)"
