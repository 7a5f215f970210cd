"""Paint what surrounds the heart: chest wall, lungs, liver, stomach, spleen, spine and aorta."""

from __future__ import annotations

import numpy as np

from csmri.phantom.anatomy import Anatomy
from csmri.phantom.drawing import Array, cover, ellipse, make_texture, paint, sample_texture
from csmri.phantom.heart import FAT
from csmri.phantom.motion import Beat

MUSCLE, LIVER, SPLEEN, LUNG, MARROW = 0.20, 0.30, 0.27, 0.03, -0.45


def make_chest_textures(anatomy: Anatomy) -> list[Array]:
    """Return the random fields of the tissues around the heart, from fine to coarse; the same for all slices."""
    rng = anatomy.generator("chest textures")
    return [make_texture(rng, grain) for grain in (1.2, 2.5, 8.0, 8.0, 22.0, 22.0)]


class Chest:
    """The surroundings of the heart in one slice.

    Parameters
    ----------
    anatomy : Anatomy
    textures : list of arrays
        From `make_chest_textures`.
    position : float
        Level of the slice, 0 = base, 1 = apex.
    y, x : arrays (y, 1), (1, x) in mm
    pixel : float
        Edge of a pixel [mm].
    """

    def __init__(
        self, anatomy: Anatomy, textures: list[Array], position: float, y: Array, x: Array, pixel: float
    ) -> None:
        self.anatomy, self.position, self.pixel = anatomy, position, pixel
        self.slice = round(1000 * position)
        t = anatomy.tilt
        out, along = np.array([-np.sin(t), -np.cos(t)]), np.array([np.cos(t), -np.sin(t)])
        rng = anatomy.generator("chest")
        self.waves: list[float] = rng.uniform(-1, 1, 16).tolist()
        heart = np.array(anatomy.heart)
        self.centre = heart + out * (anatomy.depth - anatomy.body[1]) - along * 8
        self.spine = self.centre - out * (anatomy.body[1] - 44) - along * (30 + 8 * self.waves[0])
        self.aorta = self.spine + out * 15 + along * 29
        # neighbouring slices look alike: the textures drift from slice to slice
        drift = 20 * position
        self.fine, self.grain, self.coarse, other, bend_y, bend_x = (sample_texture(t, y + drift, x) for t in textures)
        # nothing in a body is an ellipse: all outlines are drawn on bent coordinates
        self.y = y + 2.6 * bend_y + 0.9 * self.coarse
        self.x = x + 2.6 * bend_x + 0.9 * other
        # some borders run slantwise through the thick slice and look blurred
        self.edge = (pixel * 1.1 + 1.6 * np.maximum(other + 0.3, 0)).astype(np.float32)
        self.grid = y, x
        # sheets of tissue divide all fat: thin lines where a random field changes sign, here and there
        self.septa = cover(np.abs(self.grain) - 0.10, 0.35) * np.clip(0.35 + 0.5 * other, 0, 1)

    def _around(self, point: np.ndarray, turn: float) -> tuple[Array, Array]:
        """Return coordinates along and across an axis at angle `turn`, around a point (x, y) [mm]."""
        dx, dy = self.x - float(point[0]), self.y - float(point[1])
        c, s = float(np.cos(turn)), float(np.sin(turn))
        return dx * c + dy * s, dy * c - dx * s

    def _from_heart(self, x: float, y: float, turn: float) -> tuple[Array, Array]:
        return self._around(np.array(self.anatomy.heart) + (x, y), turn)

    def render(self) -> Array:
        """Return the picture (y, x) without heart and aorta: signal relative to blood, fat negative."""
        left, back = self._around(self.centre, -self.anatomy.tilt)
        a, b = self.anatomy.body
        r = np.sqrt(left**2 + back**2) + 1e-3
        cos, sin = left / r, back / r
        w = self.waves
        bend = 1 + 0.03 * (w[1] * cos + w[2] * (cos * cos - sin * sin) + w[3] * cos * (4 * cos * cos - 3))
        depth = ((np.abs(cos) / a) ** 2.5 + (np.abs(sin) / b) ** 2.5) ** (-1 / 2.5) * bend - r
        canvas = np.zeros(depth.shape, dtype=np.float32)
        inner = self._wall(canvas, depth, cos, sin)
        lung = LUNG * (1 + 0.35 * self.coarse + 0.5 * self.grain)
        paint(canvas, cover(inner + 1.5 - depth, self.edge), lung)
        self._lung_vessels(canvas, cover(inner + 2 - depth, 2.0))
        self._mediastinum(canvas, depth - inner)
        self._abdomen(canvas, depth - inner)
        self._spine(canvas, depth)
        return canvas

    def _wall(self, canvas: Array, depth: Array, cos: Array, sin: Array) -> Array:
        """Paint skin, fat, muscle and ribs; return the thickness of the wall [mm]."""
        w, anatomy = self.waves, self.anatomy
        fat = anatomy.fat * (1 + 0.3 * w[4] * cos + 0.25 * sin - 0.3 * cos) + 2.0 * self.coarse
        flank = np.maximum(cos, 0) ** 2
        inner = fat + anatomy.muscle * (1 + 0.7 * np.maximum(sin, 0) + 0.9 * flank) + 1.5 * self.coarse
        paint(canvas, cover(-depth, self.edge), 0.2)
        paint(canvas, cover(1.6 - depth, self.edge), FAT * (1 + 0.05 * self.coarse) * (1 - 0.35 * self.septa))
        # layers of muscle with thin sheets of fat between them, which come and go
        layers = np.sin(2 * np.pi * (depth - fat + 2.5 * self.coarse) / (6 + 5 * flank))
        sheets = cover(1.3 - layers - 0.6 * self.coarse - 0.3 * self.grain, 0.8) * 0.75
        flesh = MUSCLE * (1 + 0.25 * self.grain + 0.15 * self.fine)
        paint(canvas, cover(fat - depth, self.edge), flesh + (0.9 * FAT - flesh) * sheets)
        rng = anatomy.generator("ribs")
        angle = np.arctan2(sin, cos)
        for middle in np.arange(-np.pi, np.pi, 0.34).tolist():
            place = middle + rng.uniform(-0.06, 0.06) + 0.45 * self.position
            arc = 135.0 * ((angle - place + np.pi) % (2 * np.pi) - np.pi)
            lies = depth - inner + 6.0 + rng.uniform(-0.06, 0.06) * arc
            d = ellipse(arc, lies, rng.uniform(9, 17), rng.uniform(4.0, 5.5))
            paint(canvas, cover(d, 1.5 * self.edge), 0.06)
            paint(canvas, cover(d + 1.7, 2 * self.edge), MARROW * (1 + 0.3 * self.grain))
        return np.asarray(inner, dtype=np.float32)

    def _lung_vessels(self, canvas: Array, inside: Array) -> None:
        """Paint vessels of the lung, cut across or slantwise: many, small, faint, a few bright."""
        rng = self.anatomy.generator("lung", self.slice)
        y, x = self.grid
        n = canvas.shape[0]
        for _ in range(150):
            spread = rng.normal(0, 45, 2)
            cx, cy = self.anatomy.heart[0] + 40 + spread[0], self.anatomy.heart[1] - 20 + spread[1]
            size, long = 0.7 + rng.exponential(0.4), 1 + rng.exponential(0.8)
            bright, turn = 0.06 + rng.exponential(0.11), rng.uniform(0, np.pi)
            i, j = int(cy / self.pixel) + n // 2, int(cx / self.pixel) + n // 2
            h = int(4 * size * long / self.pixel) + 2
            if min(i, j) < h or max(i, j) >= n - h:
                continue
            box = np.s_[i - h : i + h, j - h : j + h]
            dx, dy = x[:, box[1]] - cx, y[box[0]] - cy
            u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
            canvas[box] += inside[box] * bright * np.exp(-0.5 * ((u / (size * long)) ** 2 + (v / size) ** 2))

    def _mediastinum(self, canvas: Array, wall: Array) -> None:
        """Paint the fat between the right ventricle and the chest wall, with strands and small vessels in it."""
        w = self.waves
        turn = self.anatomy.rotation - 0.45 + 0.12 * w[12]
        u, v = self._around(np.array(self.anatomy.heart), turn)
        d = np.maximum(ellipse(u - 58, v, 46.0 + 5 * w[13], 19.0 + 5 * self.position), 1.5 - wall)
        clefts = cover(np.abs(self.coarse + 0.35 * self.grain + 0.4) - 0.12, 0.3)
        fat = FAT * (0.85 + 0.12 * self.coarse) * (1 - 0.7 * self.septa) * (1 - clefts)
        paint(canvas, cover(d + 3 * self.coarse, self.edge), fat)

    def _abdomen(self, canvas: Array, wall: Array) -> None:
        """Paint what lies below the diaphragm: fat, bowel, spleen, stomach, liver."""
        w = self.waves
        x, y = self._from_heart(0.0, 0.0, 0.0)
        # the diaphragm carries the heart, is highest under it and falls off to the side of the lung
        side = np.maximum(x - 15, 0)
        top = (
            37
            + self.anatomy.diaphragm
            - 4 * (self.position - 0.5)
            + 0.0036 * side**2
            + 0.0014 * np.minimum(x + 55, 0) ** 2
        )
        below = (y - top) / np.sqrt(1 + (0.009 * side) ** 2)
        inside = np.minimum(below, wall - 1.5)
        paint(canvas, cover(-inside, self.edge), MUSCLE)
        loops = cover(0.1 - self.coarse - 0.4 * self.grain, 0.5)
        content = cover(self.coarse + 0.55 + 0.3 * self.grain, 0.4) * (1 + 0.15 * self.grain)
        fat = FAT * (0.8 + 0.05 * self.coarse) * (1 - 0.5 * self.septa)
        paint(canvas, cover(2.2 - inside, self.edge), fat + loops * (0.16 + 0.3 * content - fat))
        spleen = np.maximum(ellipse(*self._from_heart(86 + 6 * w[5], 74 + 8 * w[6], 1.05), 42.0, 20.0), 4 - inside)
        paint(canvas, cover(spleen, self.edge), SPLEEN * (1 + 0.09 * self.grain + 0.08 * self.fine))
        self._stomach(canvas, inside)
        liver = ellipse(*self._from_heart(-84 + 6 * w[7], 92 + 6 * w[8], -0.35), 84.0 + 14 * self.position, 58.0)
        liver = np.maximum(liver, 3.0 - inside)
        parenchyma = LIVER * (1 + 0.09 * self.grain + 0.08 * self.fine + 0.06 * self.coarse)
        paint(canvas, cover(liver, self.edge), parenchyma)
        self._liver_vessels(canvas, cover(liver + 5, 4.0))

    def _stomach(self, canvas: Array, inside: Array) -> None:
        w = self.waves
        u, v = self._from_heart(12 + 8 * w[9], 62 + 5 * w[10], -0.3 + 0.2 * w[11])
        size = 27.0 + 6 * w[14] + 14 * self.position
        d = np.maximum(ellipse(u, v + 0.006 * u * u, 1.3 * size, 0.6 * size), 4.0 - inside)
        paint(canvas, cover(d, self.edge), 0.15)
        content = 0.55 + 0.18 * np.clip(self.grain + 0.5 * self.coarse, -2, 2)
        paint(canvas, cover(d + 5.0 + 1.6 * self.grain, 2 * self.edge), content)

    def _liver_vessels(self, canvas: Array, inside: Array) -> None:
        """Paint branching vessels of the liver."""
        rng = self.anatomy.generator("liver", self.slice)
        for _ in range(16):
            u, v = self._from_heart(-66 + rng.normal(0, 32), 84 + rng.normal(0, 24), rng.uniform(-0.2, 1.8))
            d = ellipse(u, v + rng.uniform(-0.03, 0.03) * u * u, 2 + rng.exponential(5), rng.uniform(0.8, 1.8))
            paint(canvas, rng.uniform(0.3, 0.9) * inside * cover(d, 1.3 * self.edge), 0.65)

    def _spine(self, canvas: Array, depth: Array) -> None:
        """Paint a vertebra, the cord in its canal, and the muscles on both sides."""
        left, back = self._around(self.spine, -self.anatomy.tilt)
        for side in (-1, 1):
            d = np.maximum(ellipse(left - side * 27, back - 36, 21.0, 16.0), 0.6 * self.anatomy.fat - depth)
            flesh = MUSCLE * (1 + 0.2 * self.grain) + (0.6 * FAT - MUSCLE) * self.septa
            paint(canvas, cover(d, 1.5 * self.edge), flesh)
        paint(canvas, cover(ellipse(left, back - 12, 30.0, 34.0), 6.0), 0.5 * FAT * (1 + 0.4 * self.grain))
        paint(canvas, cover(np.maximum(ellipse(left, back - 38, 6.0, 20.0), 5 - depth), 2 * self.edge), 0.08)
        body = (((np.abs(left) / 20) ** 3 + (np.abs(back) / 16) ** 3) ** (1 / 3) - 1) * 17
        paint(canvas, cover(body, self.edge), 0.06)
        paint(canvas, cover(body + 1.8, 1.5 * self.edge), 0.30 * (1 + 0.2 * self.grain + 0.1 * self.fine))
        paint(canvas, cover(ellipse(left, back - 24, 10.0, 8.5), self.edge), 0.06)
        paint(canvas, cover(ellipse(left, back - 24, 8.0, 6.5), self.edge), 0.9)
        paint(canvas, cover(ellipse(left, back - 24, 5.0, 4.0), self.edge), 0.4)

    def throb(self, still: Array) -> Array:
        """Return the change of the picture when the pulse lifts the chest by a fraction of a millimetre."""
        y, x = self._from_heart(0.0, 0.0, 0.0)
        lift = 0.6 * np.exp(-(x * x + y * y) / 100.0**2) / self.pixel
        rise_y, rise_x = np.gradient(still)
        t = self.anatomy.tilt
        return np.asarray(lift * (rise_y * float(np.cos(t)) + rise_x * float(np.sin(t))), dtype=np.float32)

    def render_aorta(self, canvas: Array, beat: Beat, box: tuple[slice, slice]) -> None:
        """Paint the descending aorta over a box of the picture: it widens with the pulse, brightness follows flow."""
        y, x = self.y[box], self.x[box]
        r = np.sqrt((x - float(self.aorta[0])) ** 2 + (y - float(self.aorta[1])) ** 2)
        radius = 9.8 * (1 + 0.055 * beat.pulse)
        level = self.anatomy.quality.blood * (1 + 0.04 * self.coarse[box])
        blood = level * (1.0 - 0.16 * beat.pulse * np.exp(-((r / 7) ** 2)))
        paint(canvas, cover(r - radius - 4.0, 4.0), 0.75 * FAT)
        paint(canvas, cover(r - radius - 1.5, self.edge[box]), 0.2)
        paint(canvas, cover(r - radius, self.edge[box]), blood)
