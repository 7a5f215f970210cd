"""Where slices lie: positions and directions of raw data in scanner coordinates (LPS) to an affine (RAS), and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
PARALLEL = 1e-2
"""How much the components of unit vectors may differ between slices of one stack."""
EVEN = 0.1
"""How much distances between slices may differ from their mean, relative to it."""

Vectors = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Slices:
    """Slices of one measurement as its readouts tell them, in any order.

    Parameters
    ----------
    position : (slice, 3)
        Of the middle of the field of view [mm], (left, posterior, superior).
    read, phase, normal : (slice, 3)
        Unit vectors of rising x, y and slice; zeros where the file does not tell.
    """

    position: Vectors
    read: Vectors
    phase: Vectors
    normal: Vectors

    @property
    def is_told(self) -> bool:
        """Whether there are directions at all: two unit vectors at right angles, in every slice."""
        lengths = np.linalg.norm([self.read, self.phase], axis=-1)
        finite = all(np.isfinite(one).all() for one in (self.position, self.read, self.phase, self.normal))
        right = np.abs(np.sum(self.read * self.phase, axis=-1)) < PARALLEL
        return bool(finite and (np.abs(lengths - 1) < PARALLEL).all() and right.all())

    @property
    def is_parallel(self) -> bool:
        """Whether all slices have the directions of the first."""
        return all(np.abs(one - one[:1]).max() < PARALLEL for one in (self.read, self.phase))

    def at_one_place(self) -> list[int]:
        """Numbers of the slices that lie where the first of them does, of which there are two; empty if all differ."""
        along = self.along().round(3)
        _, inverse, counts = np.unique(along, return_inverse=True, return_counts=True)
        shared = np.flatnonzero(counts[inverse] > 1)
        return [] if not len(shared) else np.flatnonzero(along == along[shared[0]]).tolist()

    def order(self) -> NDArray[np.intp]:
        """Numbers of the slices along the normal."""
        return np.argsort(self.along(), kind="stable")

    def along(self) -> NDArray[np.float64]:
        """Place of every slice along the normal of the first [mm]."""
        return self.position @ self._normal()

    def _normal(self) -> Vectors:
        normal = self.normal[0]
        return normal if abs(np.linalg.norm(normal) - 1) < PARALLEL else np.cross(self.read[0], self.phase[0])

    def sorted(self) -> Slices:
        """The slices in their order."""
        order = self.order()
        return Slices(self.position[order], self.read[order], self.phase[order], self.normal[order])

    def step(self, thickness_mm: float | None) -> Vectors | None:
        """Way from one slice to the next, of sorted ones: the mean, or along the normal for a single slice."""
        if len(self.position) > 1:
            step = (self.position[-1] - self.position[0]) / (len(self.position) - 1)
            return step if np.linalg.norm(step) > 0 else None
        return self._normal() * thickness_mm if thickness_mm else None

    def is_even(self) -> bool:
        """Whether sorted slices lie at equal distances."""
        steps = np.diff(self.along())
        return len(steps) < 2 or bool(np.abs(steps - steps.mean()).max() <= EVEN * abs(steps.mean()))

    def affine(
        self, matrix: tuple[int, int], spacing_mm: tuple[float, float], thickness_mm: float | None
    ) -> NDArray[np.float64] | None:
        """Affine (4, 4) of sorted slices with (y, x) pixels, in RAS; None where there is nothing to make it of.

        The position is that of pixel n // 2 of either axis.
        """
        step = self.step(thickness_mm)
        if step is None:
            return None
        affine = np.eye(4)
        affine[:3, 0], affine[:3, 1], affine[:3, 2] = self.read[0] * spacing_mm[1], self.phase[0] * spacing_mm[0], step
        affine[:3, 3] = self.position[0] - affine[:3, 0] * (matrix[1] // 2) - affine[:3, 1] * (matrix[0] // 2)
        return LPS_TO_RAS @ affine


def slices_of(affine: NDArray[np.float64], matrix: tuple[int, int], n_slices: int) -> Slices:
    """Positions and directions of the slices of an affine, the inverse of `Slices.affine`."""
    ras_to_lps = (LPS_TO_RAS @ np.asarray(affine, np.float64))[:3]
    index = np.array([[matrix[1] // 2, matrix[0] // 2, number, 1] for number in range(n_slices)])
    x, y, z = (np.tile(column / max(np.linalg.norm(column), 1e-12), (n_slices, 1)) for column in ras_to_lps.T[:3])
    # The normal of the images; a stack may be sheared along it.
    normal = np.cross(x, y)
    return Slices(index @ ras_to_lps.T, x, y, normal * np.sign(np.sum(normal * z, axis=-1, keepdims=True)))
