"""Who a phantom is: the body, heart and rhythm of one numerical person, drawn from (seed, domain, index)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csmri.core.errors import CsmriError

DOMAINS = ("k", "york")
TEXTURES = "textures"
"""The domain that has no persons."""


@dataclass(frozen=True)
class Quality:
    """What the scanner of a domain does to the picture.

    Parameters
    ----------
    acquired : (ky, kx)
        Largest number of k-space samples measured along y and x.
    acquired_fraction : (ky, kx)
        The same as a fraction of the reconstructed matrix, the limit at small matrices.
    apodization : float in 0..1
        How far k-space is damped towards its edge (0: not at all, full Gibbs ringing).
    noise : float
        Energy of the noise as a fraction of the energy of the signal.
    shading : float
        Strength of the falloff with distance from the surface coils.
    blood, myocardium : float
        Signal relative to the blood of domain `k`.
    """

    acquired: tuple[int, int]
    acquired_fraction: tuple[float, float]
    apodization: float
    noise: float
    shading: float
    blood: float
    myocardium: float


QUALITY = {
    "k": Quality((216, 256), (0.94, 1.0), 0.35, 1.2e-4, 0.75, 1.0, 0.25),
    "york": Quality((152, 192), (0.76, 0.84), 0.45, 1.0e-3, 0.85, 0.9, 0.31),
}


@dataclass(frozen=True)
class Anatomy:
    """One person: lengths in mm, angles in radians (x right, y down), times in ms, signals relative to blood."""

    domain: str
    index: int
    seed: int
    pathology: str
    fov: float
    n_slices: int
    n_frames: int
    rr_ms: float
    trigger_delay_ms: float
    systole: float
    kick: float
    ejection_fraction: float
    shortening: float
    twist: float
    heart: tuple[float, float]
    rotation: float
    lv_radius: float
    lv_length: float
    wall: float
    rv_width: float
    rv_wall: float
    papillaries: tuple[float, float]
    pad: float
    tilt: float
    body: tuple[float, float]
    depth: float
    fat: float
    muscle: float
    diaphragm: float

    def generator(self, purpose: str, *more: int) -> np.random.Generator:
        """Return a random generator of its own for one purpose, so that no drawing depends on another."""
        words = [self.seed, DOMAINS.index(self.domain), self.index, *purpose.encode(), *more]
        return np.random.default_rng(words)

    @property
    def quality(self) -> Quality:
        """What the scanner of this person's domain does to the picture."""
        return QUALITY[self.domain]


def _heart(rng: np.random.Generator, pathology: str) -> dict[str, float]:
    """Draw size and function of the left ventricle: lengths in mm."""
    values = {
        "ejection_fraction": rng.uniform(0.56, 0.68),
        "lv_radius": rng.uniform(24.0, 28.0),
        "lv_length": rng.uniform(82.0, 94.0),
        "wall": rng.uniform(7.5, 9.5),
    }
    poor, thick, size = rng.uniform(0.26, 0.38), rng.uniform(13.0, 17.0), rng.uniform(1.12, 1.3)
    if pathology == "dilated":
        values |= {"ejection_fraction": poor, "lv_radius": 25.0 * size, "lv_length": 96.0, "wall": 7.0}
    elif pathology == "thick":
        values |= {"lv_radius": 21.0, "wall": thick, "ejection_fraction": 0.68}
    elif pathology == "poor":
        values |= {"ejection_fraction": poor + 0.06}
    values["shortening"] = 0.23 * values["ejection_fraction"]
    return values


def check_person(index: int, domain: str, seed: int) -> None:
    """Refuse an unknown domain and negative numbers."""
    if domain not in (known := (*DOMAINS, TEXTURES)):
        raise CsmriError(f"phantom: unknown domain {domain!r}, expected one of {', '.join(known)}")
    if index < 0 or seed < 0:
        raise CsmriError(f"phantom: index and seed must not be negative, got index {index}, seed {seed}")


def draw_anatomy(index: int, domain: str, seed: int) -> Anatomy:
    """Draw one person; the same (index, domain, seed) always gives the same one.

    Raises
    ------
    CsmriError
        If the domain is unknown, or index or seed are negative.
    """
    check_person(index, domain, seed)
    if domain == TEXTURES:
        raise CsmriError(f"phantom: domain {domain!r} has no persons, expected one of {', '.join(DOMAINS)}")
    rng = np.random.default_rng([seed, DOMAINS.index(domain), index])
    uniform, york = rng.uniform, domain == "york"
    kinds = ("none", "none", "dilated", "thick", "poor")
    pathology = str(rng.choice(kinds)) if york else "none"
    return Anatomy(
        domain=domain,
        index=index,
        seed=seed,
        pathology=pathology,
        fov=round(uniform(330.0, 350.0)),
        n_slices=int(rng.integers(5, 11)) if york else 12,
        n_frames=20 if york else int(rng.integers(16, 25)),
        rr_ms=60000.0 / uniform(56.0, 84.0),
        trigger_delay_ms=uniform(8.0, 20.0),
        systole=uniform(0.32, 0.38),
        kick=uniform(0.12, 0.24),
        twist=uniform(0.10, 0.20),
        heart=(uniform(-10.0, 4.0), uniform(-24.0, -6.0)),
        rotation=np.pi + uniform(-0.35, 0.15),
        rv_width=uniform(27.0, 35.0),
        rv_wall=uniform(2.4, 3.4),
        papillaries=(uniform(-0.75, -0.45), uniform(0.75, 1.1)),
        pad=uniform(3.0, 9.0),
        tilt=uniform(0.48, 0.70),
        body=(uniform(160.0, 182.0), uniform(132.0, 146.0)),
        depth=uniform(84.0, 102.0),
        fat=uniform(9.0, 22.0),
        muscle=uniform(12.0, 17.0),
        diaphragm=uniform(-2.0, 9.0),
        **_heart(rng, pathology),
    )
