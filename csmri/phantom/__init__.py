"""Numerical beating-heart subjects in two qualities, York-like and K-like: the embedded default data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.phantom.anatomy import TEXTURES, Anatomy, check_person, draw_anatomy
from csmri.phantom.chest import Chest, make_chest_textures
from csmri.phantom.drawing import Array, make_grid
from csmri.phantom.heart import Textures, make_field, render_heart
from csmri.phantom.motion import Beat, Shape, make_beats, make_shape, volume_curve
from csmri.phantom.signal import Scanner, make_shading
from csmri.phantom.textures import FOV_MM, N_FRAMES, N_SLICES, make_textures

__all__ = ["make_labels", "make_subject", "subject_shape", "volume_curve"]

MAX_SIZE, MAX_PIXELS = 2048, 2**28
"""Largest matrix, and pixels of a cine: 1 GiB of float32, of which a machine needs two or three times as much."""
BLOOD_LEVEL = 230.0  # signal of blood at the heart in the images, the usual size in scanner units


def make_subject(
    index: int,
    *,
    domain: str = "k",
    size: int = 256,
    n_slices: int | None = None,
    n_frames: int | None = None,
    seed: int = 0,
) -> Cine:
    """Return the short-axis cine of a numerical person, or natural pictures that move.

    Parameters
    ----------
    index : int >= 0
        Number of the person; with `domain` and `seed` it decides everything about them.
    domain : "k", "york" or "textures"
        Healthy volunteers at 3 T, sharp and with little noise; patients at 1.5 T, blurred and noisier; or no persons,
        but natural pictures (`csmri.phantom.textures`), to learn from what is no heart.
    size : int, 32 to MAX_SIZE
        Matrix (y, x) of the square images; the field of view stays the same.
    n_slices, n_frames : int or None
        None draws the number for the person: 12 slices and 16-24 frames (k), 5-10 slices and 20 frames (york); 8 and 24
        of textures.
        Slices run from base to apex, frames over one beat from the R wave on.
    seed : int >= 0
        Another seed is another population.

    Returns
    -------
    Cine
        Magnitude images (slice, frame, y, x), float32, about 0..1000.

    Raises
    ------
    CsmriError
        If an argument is out of its range.
    """
    if domain == TEXTURES:
        return _texture_subject(index, size, n_slices, n_frames, seed)
    anatomy, n_slices, n_frames = _checked(index, domain, size, n_slices, n_frames, seed)
    positions = _positions(n_slices)
    beats = make_beats(anatomy, n_frames)
    n = int(np.clip(2 * size, 192, 320))
    scanner = Scanner(anatomy.quality, n, size)
    textures, surroundings = Textures.make(anatomy), make_chest_textures(anatomy)
    y, x = make_grid(n, anatomy.fov)
    shading = make_shading(anatomy, y, x) * np.float32(BLOOD_LEVEL)
    images = np.empty((n_slices, n_frames, size, size), dtype=np.float32)
    for i, position in enumerate(positions):
        chest = Chest(anatomy, surroundings, position, y, x, anatomy.fov / n)
        for j, picture in enumerate(_render_slice(anatomy, chest, beats, textures, y, x)):
            images[i, j] = scanner.measure(picture * shading)
    _add_noise(images, anatomy, scanner)
    spacing = anatomy.fov / size
    gap = float(positions[1] - positions[0]) * anatomy.lv_length if n_slices > 1 else 8.0
    times = anatomy.trigger_delay_ms + np.arange(n_frames) * anatomy.rr_ms / n_frames
    return Cine(
        images=images,
        subject=_name(index, domain),
        spacing_mm=(spacing, spacing),
        slice_spacing_mm=gap,
        frame_times_ms=times.astype(np.float32),
        provenance=f"csmri.phantom, domain {domain}, index {index}, seed {seed}",
        notes=(f"numerical phantom, no real person; pathology: {anatomy.pathology}",),
    )


def _texture_subject(index: int, size: int, n_slices: int | None, n_frames: int | None, seed: int) -> Cine:
    n_slices = N_SLICES if n_slices is None else n_slices
    n_frames = N_FRAMES if n_frames is None else n_frames
    check_person(index, TEXTURES, seed)
    _check_sizes(size, n_slices, n_frames)
    return Cine(
        images=make_textures(index, size=size, n_slices=n_slices, n_frames=n_frames, seed=seed),
        subject=_name(index, TEXTURES),
        spacing_mm=(FOV_MM / size, FOV_MM / size),
        provenance=f"csmri.phantom, domain {TEXTURES}, index {index}, seed {seed}, pictures of scikit-image",
        notes=("natural pictures, moved about; no heart",),
    )


def subject_shape(
    index: int, *, domain: str = "k", n_slices: int | None = None, n_frames: int | None = None, seed: int = 0
) -> tuple[str, int, int]:
    """Name, slices and frames of `make_subject` with the same arguments, without making it."""
    _, n_slices, n_frames = _checked(index, domain, 32, n_slices, n_frames, seed)
    return _name(index, domain), n_slices, n_frames


def _name(index: int, domain: str) -> str:
    return f"{domain}_phantom_{index:03d}"


def make_labels(
    index: int,
    *,
    domain: str = "k",
    size: int = 256,
    n_slices: int | None = None,
    n_frames: int | None = None,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Return what each pixel of `make_subject` with the same arguments shows, without noise or blur.

    Parameters
    ----------
    index, domain, size, n_slices, n_frames, seed
        As for `make_subject`.

    Returns
    -------
    array (slice, frame, y, x), uint8
        0 elsewhere, 1 blood of the right ventricle, 2 muscle and 3 cavity of the left ventricle, papillary muscles
        included in the cavity (the classes of the ACDC challenge).

    Raises
    ------
    CsmriError
        If an argument is out of its range.
    """
    anatomy, n_slices, n_frames = _checked(index, domain, size, n_slices, n_frames, seed)
    textures = Textures.make(anatomy)
    y, x = make_grid(size, anatomy.fov)
    labels = np.zeros((n_slices, n_frames, size, size), dtype=np.uint8)
    for i, position in enumerate(_positions(n_slices)):
        for j, beat in enumerate(make_beats(anatomy, n_frames)):
            shape = make_shape(anatomy, position, beat)
            if shape.atrium > 0.5:
                continue
            field = make_field(anatomy, shape, textures, y, x)
            labels[i, j] = np.select([field.endo < 0, field.epi < 0, field.rv < 0], [3, 2, 1], 0)
    return labels


def _checked(
    index: int, domain: str, size: int, n_slices: int | None, n_frames: int | None, seed: int
) -> tuple[Anatomy, int, int]:
    """Return the person and the numbers of slices and frames, or raise CsmriError."""
    anatomy = draw_anatomy(index, domain, seed)
    n_slices = anatomy.n_slices if n_slices is None else n_slices
    n_frames = anatomy.n_frames if n_frames is None else n_frames
    _check_sizes(size, n_slices, n_frames)
    return anatomy, n_slices, n_frames


def _check_sizes(size: int, n_slices: int, n_frames: int) -> None:
    for name, value, least in (("size", size, 32), ("n_slices", n_slices, 1), ("n_frames", n_frames, 2)):
        if value < least:
            raise CsmriError(f"phantom: {name} must be at least {least}, got {value}")
    if size > MAX_SIZE:
        raise CsmriError(f"phantom: size must be at most {MAX_SIZE}, got {size}")
    if n_slices * n_frames * size**2 > MAX_PIXELS:
        raise CsmriError(
            f"phantom: {n_slices} slices x {n_frames} frames x {size} x {size} are more than {MAX_PIXELS:,} pixels "
            "(1 GiB); ask for fewer slices or frames or a smaller size"
        )


def _positions(n_slices: int) -> NDArray[np.float64]:
    return np.linspace(0.03, 0.88, n_slices) if n_slices > 1 else np.array([0.45])


def _render_slice(
    anatomy: Anatomy, chest: Chest, beats: list[Beat], textures: Textures, y: Array, x: Array
) -> list[Array]:
    """Return one picture (y, x) a frame of one slice, on the fine grid."""
    position = chest.position
    still = chest.render()
    rest = make_shape(anatomy, position, beats[0])
    heart = _box(y, x, rest.centre, 100.0)
    aorta = _box(y, x, tuple(chest.aorta), 22.0)
    throb = chest.throb(still)
    pictures = []
    for beat in beats:
        shape = make_shape(anatomy, position, beat)
        picture = still + np.float32(beat.pulse) * throb
        picture[heart] = _dragged(picture, heart, rest, shape, y, x)
        chest.render_aorta(picture[aorta], beat, aorta)
        render_heart(picture[heart], anatomy, shape, beat, textures, y[heart[0]], x[:, heart[1]])
        pictures.append(picture)
    return pictures


def _box(y: Array, x: Array, centre: tuple[float, ...], half: float) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(abs(y[:, 0] - centre[1]) < half), np.flatnonzero(abs(x[0] - centre[0]) < half)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _dragged(still: Array, box: tuple[slice, slice], rest: Shape, shape: Shape, y: Array, x: Array) -> Array:
    """Return the surroundings in a box, dragged along by the heart: less the farther away."""
    pixel = float(y[1, 0] - y[0, 0])
    dx, dy = x[:, box[1]] - np.float32(shape.centre[0]), y[box[0]] - np.float32(shape.centre[1])
    r = np.sqrt(dx * dx + dy * dy) + 1.0
    fade = np.exp(-np.maximum(r - shape.epi, 0) / 28) * np.clip((98 - r) / 20, 0, 1)
    inward = (shape.epi - rest.epi) * 0.7 / r
    move_x = fade * (inward * dx + (shape.centre[0] - rest.centre[0])) / pixel
    move_y = fade * (inward * dy + (shape.centre[1] - rest.centre[1])) / pixel
    rows = np.arange(box[0].start, box[0].stop, dtype=np.float32)[:, None] - move_y
    columns = np.arange(box[1].start, box[1].stop, dtype=np.float32)[None, :] - move_x
    dragged = ndimage.map_coordinates(still, [rows, columns], order=1, mode="nearest")
    return np.asarray(dragged, dtype=np.float32)


def _add_noise(images: Array, anatomy: Anatomy, scanner: Scanner) -> None:
    """Replace signed images, in place, by their magnitude with Rician noise, independent in every frame."""
    power = anatomy.quality.noise * float(np.mean(np.square(images, dtype=np.float64)))
    for i, frames in enumerate(images):
        rng = anatomy.generator("noise", i)
        for j, image in enumerate(frames):
            frames[j] = np.abs(image + np.float32(np.sqrt(power)) * scanner.noise(rng))
