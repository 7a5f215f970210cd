"""Paint both ventricles, the fat around them and the blood in them, at one phase of the beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csmri.phantom.anatomy import Anatomy
from csmri.phantom.drawing import Array, blunt, cover, ellipse, join, make_texture, paint, sample_texture
from csmri.phantom.motion import Beat, Shape

FAT = -0.95  # fat and water are of opposite phase at the echo: where they share a pixel they cancel to a dark line


@dataclass(frozen=True)
class Textures:
    """Random fields that belong to the tissue of one person: they move with the muscle and with the blood."""

    muscle: tuple[Array, Array]
    blood: tuple[Array, Array]
    rough: Array
    ripple: Array
    bends: list[list[float]]
    warp: tuple[Array, Array]

    @classmethod
    def make(cls, anatomy: Anatomy) -> Textures:
        """Draw the fields of one person."""
        rng = anatomy.generator("heart textures")
        grains = (2.0, 2.0, 4.5, 4.5, 3.0, 1.6, 11.0, 11.0)
        fields = [make_texture(rng, grain) for grain in grains]
        bends = rng.uniform(-1, 1, (3, 4)).tolist()
        return cls((fields[0], fields[1]), (fields[2], fields[3]), fields[4], fields[5], bends, (fields[6], fields[7]))


@dataclass(frozen=True)
class Field:
    """Where each pixel lies in one shape of the heart: signed distances in mm, negative inside."""

    p: Array
    q: Array
    radius: Array
    cos: Array
    sin: Array
    endo: Array
    epi: Array
    rv: Array


def make_field(anatomy: Anatomy, shape: Shape, textures: Textures, y: Array, x: Array) -> Field:
    """Return distances from the outlines on a grid y (y, 1), x (1, x) in mm.

    p points from the left to the right ventricle, q to the front of the chest.
    """
    bends = textures.bends
    dx, dy = x - shape.centre[0], y - shape.centre[1]
    bump_x, bump_y = (sample_texture(texture, dy + 15 * shape.level, dx) for texture in textures.warp)
    dx, dy = dx + 1.1 * bump_x, dy + 1.1 * bump_y
    c, s = float(np.cos(anatomy.rotation)), float(np.sin(anatomy.rotation))
    p, q = dx * c + dy * s, dy * c - dx * s
    r = np.sqrt(p * p + q * q) + np.float32(1e-3)
    cos, sin = p / r, q / r
    bend = 1 + 0.045 * (bends[0][0] * (cos * cos - sin * sin) + bends[0][1] * 2 * cos * sin)
    bend += 0.02 * (bends[0][2] * cos * (4 * cos * cos - 3) + bends[0][3] * sin * (3 - 4 * sin * sin))
    radius = r / bend
    start = 0.30 * shape.epi
    reach = shape.rv_reach - start
    rv = np.full_like(r, 1e3)
    if reach > 2 and shape.rv_half > 2:
        along = q - shape.rv_shift
        # the right ventricle is a rounded triangle: its free wall leans towards the diaphragm
        lean = 0.24 + 0.08 * bends[1][0]
        outward = p - start + lean * along
        # behind the septum the outline closes inside the left ventricle, which is painted over it
        rv = blunt(outward, along, np.where(outward < 0, 0.5 * shape.epi, reach), shape.rv_half)
        rv += 1.2 * bends[1][1] * np.sin(p / 13 + 3 * bends[1][2]) + 1.2 * np.cos(q / 11 + 3 * bends[1][3])
    return Field(p, q, radius, cos, sin, radius - shape.endo, radius - shape.epi, rv)


def _blend(pair: tuple[Array, Array], y: Array, x: Array, angle: float) -> Array:
    """Return a texture that turns into another one and back as `angle` grows, at constant variance."""
    first, second = (sample_texture(texture, y, x) for texture in pair)
    return np.asarray(first * np.float32(np.cos(angle)) + second * np.float32(np.sin(angle)), dtype=np.float32)


def _papillaries(anatomy: Anatomy, shape: Shape, field: Field, rough: Array) -> Array:
    """Return the distance from the two papillary muscles, which stand off the free wall."""
    present = float(np.interp(shape.level, [0.12, 0.3, 0.65, 0.85], [0.0, 1.0, 1.0, 0.0]))
    if present == 0:
        return np.full_like(field.p, 1e3)
    thick = (3.2 + 0.14 * anatomy.wall) * present / shape.stretch**0.5
    distance = np.full_like(field.p, 1e3)
    for i, angle in enumerate(anatomy.papillaries):
        turn = np.pi + angle - shape.twist
        size = thick * (1.0 + 0.18 * (-1) ** i)
        stand = max(shape.endo - (0.9 + 0.5 * (1 - shape.level)) * size, 0.45 * shape.endo)
        c, s = float(np.cos(turn)), float(np.sin(turn))
        along = field.p * c + field.q * s - stand
        across = field.q * c - field.p * s
        distance = np.minimum(distance, ellipse(along, across, 1.25 * size, 0.85 * size))
    return np.asarray(distance + 0.7 * rough, dtype=np.float32)


def render_heart(
    canvas: Array, anatomy: Anatomy, shape: Shape, beat: Beat, textures: Textures, y: Array, x: Array
) -> None:
    """Paint the heart over `canvas` (y, x), whose pixels lie at y (y, 1) and x (1, x) mm."""
    field = make_field(anatomy, shape, textures, y, x)
    sharp = 1.1 * float(y[1, 0] - y[0, 0])
    soft = sharp + shape.edge
    # textures are looked up where the muscle was at rest: unwind the twist, undo the thickening
    c, s = float(np.cos(shape.twist)), float(np.sin(shape.twist))
    cos, sin = field.cos * c - field.sin * s, field.sin * c + field.cos * s
    rest = np.sqrt(np.maximum(shape.rest_endo**2 + shape.stretch * (field.radius**2 - shape.endo**2), 0))
    depth = shape.level * anatomy.lv_length
    muscle = _blend(textures.muscle, rest * sin, rest * cos, depth / 8)
    rough = sample_texture(textures.rough, shape.rest_endo * sin + depth, shape.rest_endo * cos)
    ripple = sample_texture(textures.ripple, field.q * 0.9 + depth, field.p + 8 * beat.emptied)
    stir = _blend(textures.blood, field.q + 6 * beat.emptied, field.p + 25 * beat.emptied, 2 * np.pi * beat.phase)

    quality = anatomy.quality
    wall = quality.myocardium * (1 + 0.10 * muscle)
    heart = join(field.epi, field.rv - anatomy.rv_wall, 8.0)
    fat = heart - _fat_depth(anatomy, shape, field, textures)
    paint(canvas, cover(fat, soft), FAT * (0.92 + 0.10 * muscle + 0.10 * rough))
    paint(canvas, cover(field.rv - anatomy.rv_wall * (1 + 0.5 * beat.emptied), soft), wall)
    strands = cover(2.0 - ripple + 0.25 * np.maximum(-field.rv - 3, 0), 0.8) * 0.6
    right = quality.blood * (1.02 + 0.06 * stir - 0.04 * beat.flow)
    paint(canvas, cover(field.rv, soft), right + strands * (wall - right))
    paint(canvas, cover(field.epi, soft), wall)
    endo = field.endo + (0.5 + 1.6 * max(shape.level, 0.0)) * (rough + 0.4 * ripple) * (0.75 - 0.5 * cos)
    cavity = cover(endo, soft)
    cavity *= 1 - 0.92 * cover(_papillaries(anatomy, shape, field, rough), sharp + 0.6)
    paint(canvas, cavity, quality.blood * (1 + 0.06 * stir + 0.05 * beat.flow))


def _fat_depth(anatomy: Anatomy, shape: Shape, field: Field, textures: Textures) -> Array:
    """Return the thickness of the epicardial fat [mm]: thick towards the sternum, in the grooves and at the base."""
    towards = field.cos * 0.9 - field.sin * 0.44
    pad = (anatomy.pad + 6 * max(shape.level, 0.0)) * np.exp(-(((1 - towards) / 0.22) ** 2))
    base = 5.0 * max(1 - max(shape.level, 0.0) / 0.2, 0.0)
    b = textures.bends[2]
    wave = 1.2 * (b[0] * field.cos + b[1] * field.sin + b[2] * 2 * field.cos * field.sin)
    front = 2.2 * np.maximum(field.cos, 0) + 1.2 * field.sin
    return np.asarray(0.3 + base + pad + wave + front, dtype=np.float32)
