"""The phantom is a plausible beating heart, the same on every call."""

from __future__ import annotations

import numpy as np
import pytest

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.phantom import make_labels, make_subject, volume_curve
from csmri.phantom.anatomy import draw_anatomy
from csmri.phantom.motion import make_beats, make_shape

SMALL = {"size": 96, "n_slices": 3, "n_frames": 16}


@pytest.fixture(scope="module")
def volunteer() -> Cine:
    return make_subject(0, domain="k", **SMALL)


@pytest.fixture(scope="module")
def patient() -> Cine:
    return make_subject(0, domain="york", **SMALL)


def _dynamic_fraction(images: np.ndarray) -> float:
    changes = images - images.mean(axis=-3, keepdims=True)
    return float(np.sum(changes**2) / np.sum(images**2))


def test_same_arguments_give_the_same_subject() -> None:
    first, again = (make_subject(3, domain="k", size=48, n_slices=2, n_frames=4) for _ in range(2))
    np.testing.assert_array_equal(again.images, first.images)
    assert again.subject == first.subject == "k_phantom_003"


@pytest.mark.parametrize("other", [{"index": 1}, {"seed": 1}, {"domain": "york"}])
def test_other_arguments_give_another_person(other: dict) -> None:
    small = {"size": 48, "n_slices": 1, "n_frames": 2}
    first = make_subject(**({"index": 0} | small)).magnitude
    second = make_subject(**({"index": 0} | small | other)).magnitude
    assert np.linalg.norm(first - second) > 0.2 * np.linalg.norm(first)


@pytest.mark.parametrize(("size", "n_slices", "n_frames"), [(95, 2, 3), (64, 1, 2), (33, 3, 5)])
def test_shapes_units_and_metadata(size: int, n_slices: int, n_frames: int) -> None:
    cine = make_subject(2, domain="york", size=size, n_slices=n_slices, n_frames=n_frames)
    assert cine.images.shape == (n_slices, n_frames, size, size)
    assert cine.images.dtype == np.float32
    assert cine.spacing_mm is not None and cine.frame_times_ms is not None
    assert 330 <= cine.spacing_mm[0] * size <= 350 and cine.spacing_mm[0] == cine.spacing_mm[1]
    assert np.all(np.diff(cine.frame_times_ms) > 0) and cine.frame_times_ms[-1] < 1200
    assert cine.subject == "york_phantom_002"
    assert 200 < cine.images.max() < 2000


def test_default_numbers_of_slices_and_frames() -> None:
    for index in range(8):
        volunteer, patient = draw_anatomy(index, "k", 0), draw_anatomy(index, "york", 0)
        assert volunteer.n_slices == 12 and 16 <= volunteer.n_frames <= 24
        assert 5 <= patient.n_slices <= 10 and patient.n_frames == 20


def test_pathology_is_found_in_york_only() -> None:
    assert {draw_anatomy(index, "k", 0).pathology for index in range(20)} == {"none"}
    assert len({draw_anatomy(index, "york", 0).pathology for index in range(20)}) == 4


@pytest.mark.parametrize("sizes", [(96, 128), (95, 160)])
def test_another_size_shows_the_same_anatomy(sizes: tuple[int, int]) -> None:
    small, large = (make_labels(0, size=size, n_slices=3, n_frames=2) == 3 for size in sizes)
    for axis in (-1, -2):
        centres = []
        for labels, size in ((small, sizes[0]), (large, sizes[1])):
            where = np.nonzero(labels)[axis]
            centres.append(np.mean(where - size // 2) / size)
        assert centres[0] == pytest.approx(centres[1], abs=0.002)
    assert small.sum() / sizes[0] ** 2 == pytest.approx(large.sum() / sizes[1] ** 2, rel=0.03)


def test_size_changes_resolution_not_the_picture(volunteer: Cine) -> None:
    fine = make_subject(0, domain="k", size=192, n_slices=3, n_frames=2).magnitude[1, 0]
    # both centre pixel n // 2, so every second pixel of the finer image lies on one of the coarser
    correlation = np.corrcoef(fine[::2, ::2].ravel(), volunteer.magnitude[1, 0].ravel())[0, 1]
    assert correlation > 0.93


def test_volume_curve_is_a_cardiac_cycle() -> None:
    phase = np.linspace(0, 1, 401)
    volume = volume_curve(phase, ejection_fraction=0.6, systole=0.35)
    assert volume.max() == pytest.approx(1.0, abs=1e-3) and volume.min() == pytest.approx(0.4, abs=1e-3)
    assert 0.33 < phase[volume.argmin()] < 0.43
    np.testing.assert_allclose(volume_curve(phase + 1, ejection_fraction=0.6, systole=0.35), volume, atol=1e-12)
    filling = np.gradient(volume, phase)
    early, middle, late = (filling[(phase > a) & (phase < b)] for a, b in ((0.42, 0.6), (0.72, 0.82), (0.85, 0.98)))
    assert early.max() > 3 * middle.max() and late.max() > 1.5 * middle.max()


def test_left_ventricle_ejects() -> None:
    labels = make_labels(0, size=128, n_slices=9, n_frames=20)
    volume = np.sum(labels == 3, axis=(0, 2, 3))
    measured = 1 - volume.min() / volume.max()
    assert 0.5 < measured < 0.75
    assert 5 <= volume.argmin() <= 9
    middle = np.sum(labels[4] == 3, axis=(1, 2))
    assert 0.4 < 1 - middle.min() / middle.max() < 0.75


def test_poor_hearts_eject_less() -> None:
    kinds = {a.pathology: a for a in (draw_anatomy(index, "york", 0) for index in range(20))}
    assert kinds["poor"].ejection_fraction < 0.45 and kinds["dilated"].ejection_fraction < 0.4
    assert kinds["dilated"].lv_radius > 27 and kinds["thick"].wall > 12


def test_muscle_thickens_and_keeps_its_volume() -> None:
    anatomy = draw_anatomy(0, "k", 0)
    # follow one piece of muscle: its slice comes down with the base, so seek the position that shows the same level
    volumes, walls = [], []
    for beat in make_beats(anatomy, 10):
        shape = make_shape(anatomy, 1 - 0.55 * beat.stretch, beat)
        assert shape.level == pytest.approx(0.45)
        volumes.append((shape.epi**2 - shape.endo**2) * shape.stretch)
        walls.append(shape.epi - shape.endo)
    assert np.ptp(volumes) < 1e-6 * np.mean(volumes)
    assert 1.3 < max(walls) / min(walls) < 2.2


def test_area_of_muscle_in_a_slice_is_roughly_conserved() -> None:
    area = np.sum(make_labels(0, size=160, n_slices=1, n_frames=12) == 2, axis=(0, 2, 3))
    assert np.ptp(area) < 0.3 * area.mean()


@pytest.mark.parametrize("which", ["volunteer", "patient"])
def test_the_beat_is_cyclic(which: str, request: pytest.FixtureRequest) -> None:
    images = request.getfixturevalue(which).magnitude
    steps = np.sqrt(np.sum((np.roll(images, -1, axis=1) - images) ** 2, axis=(0, 2, 3)))
    assert steps[-1] <= 1.5 * np.median(steps) and steps[-1] <= steps.max()


@pytest.mark.parametrize(("which", "low", "high"), [("volunteer", 0.008, 0.025), ("patient", 0.004, 0.021)])
def test_dynamic_energy_is_that_of_real_cines(
    which: str, low: float, high: float, request: pytest.FixtureRequest
) -> None:
    assert low < _dynamic_fraction(request.getfixturevalue(which).magnitude) < high


def test_motion_is_in_the_heart(volunteer: Cine) -> None:
    change = volunteer.magnitude[1].var(axis=0)
    y, x = np.nonzero(make_labels(0, **SMALL)[1].max(axis=0))
    box = np.s_[y.min() - 6 : y.max() + 7, x.min() - 6 : x.max() + 7]
    assert change[box].sum() > 0.6 * change.sum()


def test_contrast_is_that_of_bssfp(volunteer: Cine) -> None:
    image, labels = volunteer.magnitude[1, 0], make_labels(0, **SMALL)[1, 0]
    blood, muscle = np.median(image[labels == 3]), np.median(image[labels == 2])
    assert 2.2 < blood / muscle < 6
    assert np.median(image[labels == 1]) > 0.7 * blood
    assert np.median(image[:8]) < 0.1 * blood


def test_york_is_noisier_than_k(volunteer: Cine, patient: Cine) -> None:
    def noise(cine: Cine) -> float:
        # the corner of the first rows is air; its frames differ by noise only
        return float(cine.magnitude[:, :, :6, :30].std(axis=1).mean() / np.sqrt(np.mean(cine.magnitude**2)))

    assert noise(patient) > 1.8 * noise(volunteer)
    assert noise(volunteer) < 0.015


def test_york_is_blurrier_than_k(volunteer: Cine, patient: Cine) -> None:
    def high(cine: Cine) -> float:
        energy = np.abs(np.fft.fftshift(np.fft.fft(cine.magnitude.mean(axis=1), axis=-2), axes=-2)) ** 2
        return float(energy[:, np.abs(np.arange(96) - 48) > 38].sum() / energy.sum())

    assert high(patient) < 0.5 * high(volunteer)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"domain": "sunnybrook"}, "domain"),
        ({"size": 31}, "size"),
        ({"n_frames": 1}, "n_frames"),
        ({"n_slices": 0}, "n_slices"),
        ({"index": -1}, "index"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments: dict, word: str) -> None:
    with pytest.raises(CsmriError) as caught:
        make_subject(**({"index": 0} | arguments))
    assert word in str(caught.value) and "\n" not in str(caught.value)


def test_textures_are_pictures_of_which_a_part_moves_in_a_cycle():
    cine = make_subject(1, domain="textures", size=48, n_slices=3, n_frames=8)
    assert cine.subject == "textures_phantom_001" and cine.images.shape == (3, 8, 48, 48)
    assert cine.images.dtype == np.float32 and 0 <= cine.images.min() and 100 < cine.images.max() < 400
    differences = np.abs(np.diff(cine.images, axis=1, append=cine.images[:, :1])).mean(axis=(0, 1))
    middle, edge = differences[16:32, 16:32].mean(), differences[:4].mean()
    assert middle > 2 * edge  # outside the disc only noise changes
    assert not np.array_equal(cine.images[0], cine.images[1])


def test_textures_depend_on_nothing_but_their_numbers():
    one, same, other = (
        make_subject(index, domain="textures", size=32, n_slices=1, n_frames=4, seed=seed)
        for index, seed in ((2, 0), (2, 0), (2, 1))
    )
    assert np.array_equal(one.images, same.images) and not np.array_equal(one.images, other.images)
    assert make_subject(0, domain="textures", size=32).images.shape[:2] == (8, 24)


def test_textures_have_no_anatomy():
    with pytest.raises(CsmriError, match="'textures' has no persons, expected one of k, york"):
        make_labels(0, domain="textures")
    with pytest.raises(CsmriError, match="unknown domain 'cats', expected one of k, york, textures"):
        make_subject(0, domain="cats")
    with pytest.raises(CsmriError, match="size must be at least 32, got 8"):
        make_subject(0, domain="textures", size=8)
