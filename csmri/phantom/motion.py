"""How the heart beats: the volume curve, and the outlines of both ventricles at every level and phase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

from csmri.phantom.anatomy import Anatomy


def volume_curve(
    phase: ArrayLike, *, ejection_fraction: float, systole: float = 0.35, kick: float = 0.2
) -> NDArray[np.float64]:
    """Return the volume of the left ventricle over the cycle, relative to end-diastole.

    Parameters
    ----------
    phase : array
        Fraction of the cycle after the R wave; the curve has period 1.
    ejection_fraction : float in 0..1
        Stroke volume over end-diastolic volume.
    systole : float in 0.2..0.5
        Phase of the end of ejection.
    kick : float in 0..0.4
        Share of the filling that the atrium contributes at the end.

    Returns
    -------
    array, same shape as `phase`
        1 at end-diastole, 1 - `ejection_fraction` at end-systole.
    """
    # isovolumic contraction, ejection, isovolumic relaxation, rapid filling, diastasis, atrial kick
    rest = systole + 0.08
    fast = rest + 0.42 * (0.96 - rest)
    knots = [0.0, 0.05, 0.05 + 0.5 * (systole - 0.05), systole, rest, 0.5 * (rest + fast), fast, 0.86, 0.97]
    emptied = [0.0, 0.01, 0.62, 1.0, 0.985, 0.55, kick + 0.06, kick, 0.0]
    x = np.concatenate([np.asarray(knots) + shift for shift in (-1, 0, 1)])
    grid = np.arange(512) / 512
    curve = PchipInterpolator(x, np.tile(emptied, 3))(grid)
    # a frame gathers data over several heartbeats and tens of ms: a Gaussian of 3.4 % of the cycle rounds the corners
    harmonics = np.arange(257)
    curve = np.fft.irfft(np.fft.rfft(curve) * np.exp(-0.5 * (2 * np.pi * 0.034 * harmonics) ** 2), 512)
    curve = (curve - curve.min()) / np.ptp(curve)
    emptied_now = np.interp(np.asarray(phase, dtype=np.float64) % 1.0, np.append(grid, 1.0), np.append(curve, curve[0]))
    return np.asarray(1.0 - ejection_fraction * emptied_now)


@dataclass(frozen=True)
class Beat:
    """The state of the whole heart at one phase.

    Parameters
    ----------
    volume : float
        Left-ventricular volume relative to end-diastole.
    stretch : float
        Length of the long axis relative to end-diastole.
    emptied : float in 0..1
        0 at end-diastole, 1 at end-systole.
    flow : float in -1..1
        Blood leaving (> 0) or entering (< 0) the ventricle, relative to the fastest.
    pulse : float in 0..1
        Pressure wave in the aorta.
    phase : float in 0..1
        Fraction of the cycle.
    """

    volume: float
    stretch: float
    emptied: float
    flow: float
    pulse: float
    phase: float


def make_beats(anatomy: Anatomy, n_frames: int) -> list[Beat]:
    """Return the state of the heart in each of `n_frames` frames, evenly spread over one cycle."""

    def volume(phase: NDArray[np.float64]) -> NDArray[np.float64]:
        return volume_curve(
            phase, ejection_fraction=anatomy.ejection_fraction, systole=anatomy.systole, kick=anatomy.kick
        )

    phases = np.arange(n_frames) / n_frames + anatomy.trigger_delay_ms / anatomy.rr_ms
    fine = np.arange(200) / 200
    step = 0.01
    fastest = np.abs(volume(fine - step) - volume(fine + step)).max()
    volumes = volume(phases)
    emptied = (1 - volumes) / anatomy.ejection_fraction
    flow = (volume(phases - step) - volume(phases + step)) / fastest
    # the aorta fills with ejection and relaxes slowly: late in phase, with a long tail
    since = (phases - 0.10) % 1.0
    pulse = (since / 0.12) * np.exp(1 - since / 0.12) * (1 - since**4)
    return [
        Beat(float(v), float(1 - anatomy.shortening * e), float(e), float(f), float(p), float(t % 1.0))
        for v, e, f, p, t in zip(volumes, emptied, flow, pulse, phases, strict=True)
    ]


@dataclass(frozen=True)
class Shape:
    """Outlines of the heart where one slice cuts it, at one phase: lengths in mm.

    `level` is the fraction of the long axis, 0 = base, 1 = apex, that the slice shows at this phase; `rest_*` are the
    outlines of the same muscle at end-diastole, `centre` is (x, y) of the left ventricle.
    """

    level: float
    stretch: float
    centre: tuple[float, float]
    endo: float
    epi: float
    rest_endo: float
    rest_epi: float
    twist: float
    rv_reach: float
    rv_half: float
    rv_shift: float
    atrium: float
    edge: float


def _ramp(value: float, start: float, stop: float) -> float:
    x = min(max((value - start) / (stop - start), 0.0), 1.0)
    return x * x * (3 - 2 * x)


def _profile(level: float, end: float, power: float) -> float:
    """Return the radius at a level, relative to the base, of a bullet that ends at `end`."""
    return float((1 - min(max(level / end, 0.0), 1.0) ** power) ** 0.55)


def _rest(anatomy: Anatomy, level: float) -> tuple[float, float]:
    """Return endocardial and epicardial radius at end-diastole [mm]."""
    endo = anatomy.lv_radius * _profile(level, 0.96, 3.0)
    wall = anatomy.wall * (1 - 0.2 * max(level, 0.0)) * (1 - _ramp(level, 0.92, 1.08))
    # beyond the base the ring of muscle ends and the thin wall of the atrium begins
    wall *= 1 - 0.72 * _ramp(-level, 0.0, 0.10)
    return endo, endo + wall


def make_shape(anatomy: Anatomy, position: float, beat: Beat) -> Shape:
    """Return the outlines of the heart in the slice at `position` (0 = base, 1 = apex at end-diastole)."""
    # the apex stays, the base comes down: the slice shows muscle nearer to the base than at rest
    level = 1 - (1 - position) / beat.stretch
    rest_endo, rest_epi = _rest(anatomy, level)
    atrium = _ramp(-level, 0.0, 0.10)
    # atria fill while ventricles empty
    area = (1 - atrium) * beat.volume / beat.stretch + atrium * (1 + 0.15 * beat.emptied)
    endo = rest_endo * np.sqrt(area)
    epi = float(np.sqrt(endo**2 + (rest_epi**2 - rest_endo**2) / beat.stretch))
    rv = _profile(level, 0.93, 2.6)
    squeeze = 1 - 0.85 * anatomy.ejection_fraction * beat.emptied * (1 - 0.6 * atrium)
    slope = abs(_rest(anatomy, level + 0.02)[1] - _rest(anatomy, level - 0.02)[1]) / (0.04 * anatomy.lv_length)
    away = anatomy.rotation
    # the septum pulls the left ventricle towards the right one in systole
    sway = (1.8 - 0.3 * position) * beat.emptied
    lean = 14.0 * (position - 0.45)
    return Shape(
        level=level,
        stretch=beat.stretch,
        centre=(
            anatomy.heart[0] + sway * np.cos(away) - 0.5 * lean,
            anatomy.heart[1] + sway * np.sin(away) + 0.6 * lean + (3.0 * position - 0.4) * beat.emptied,
        ),
        endo=float(endo),
        epi=epi,
        rest_endo=rest_endo,
        rest_epi=rest_epi,
        twist=anatomy.twist * beat.emptied * (level - 0.35),
        rv_reach=epi + anatomy.rv_width * rv * squeeze**0.85 - 6.0 * (1 - rv),
        rv_half=rest_epi * (0.90 + 0.10 * (1 - min(max(level, 0.0) / 0.4, 1.0))) * rv**0.5 * squeeze**0.18,
        rv_shift=-7.0 * (1 - min(max(level, 0.0) / 0.35, 1.0)),
        atrium=atrium,
        edge=float(6.0 * slope),
    )
