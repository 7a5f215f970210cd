"""Areas are measured once, kept as numbers without pixels, and drawn and tabled from them alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from csmri.core.errors import CsmriError
from csmri.data.area import find_ventricle
from csmri.data.cine import Cine, Outlines
from csmri.data.roi import Box
from csmri.results.figures import render_area
from csmri.results.figures.area import choose_slice
from csmri.results.folder import Example
from csmri.results.tables import Areas, area_tables, measure_areas, read_areas, write_areas
from csmri.results.tables.areas import agreement

N_FRAMES, PIXEL = 8, 1.5 * 1.2
TIMES = np.arange(N_FRAMES) * 40.0
WAVE = np.cos(2 * np.pi * np.arange(N_FRAMES) / N_FRAMES)


def square(half, centre=15):
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float32)
    return centre + half * corners


def make_examples():
    """Squares of blood with half sides of 9 at end-diastole (frame 0) and 5 at end-systole (frame 4), mm and ms."""
    y, x = np.mgrid[:32, :32]
    halves = 7 + 2 * WAVE
    distance = np.maximum(abs(y - 15), abs(x - 15))
    images = np.array([1 + 4 * np.clip(half + 1 - distance, 0, 1) for half in halves], np.float32)
    late = np.roll(images, 1, axis=0)
    examples = [
        Example("a", 3, r, images, {"zero-filled": late, "initial": late, "mine": images}, Box(0, 0, 32, 32))
        for r in (8.0, 4.0)
    ]
    cine = Cine(np.stack([images] * 4), "a", spacing_mm=(1.5, 1.2), frame_times_ms=TIMES.astype(np.float32))
    outlines = Outlines({(3, 0): square(9.5), (3, 4): square(5.5)}, {(3, 0): square(13)})
    return examples, cine, outlines


def make_areas(slice_index=3, acceleration=4.0, swing=200.0):
    curves = {"ground truth": 600 + swing * WAVE, "initial": 600 + 0.8 * swing * WAVE, "mine": 610 + swing * WAVE}
    outlined = {0: (1000.0, 600 + swing), 4: (1000 - 2.5 * swing, 600 - swing)}
    return Areas("a", slice_index, acceleration, TIMES, curves, outlined)


def test_areas_are_in_mm2_and_follow_each_method():
    examples, cine, outlines = make_examples()
    first, second = measure_areas(examples, cine, outlines)
    assert (first.subject, first.slice, first.acceleration, second.acceleration) == ("a", 3, 8, 4)
    assert list(first.curves) == ["ground truth", "zero-filled", "initial", "mine"]
    assert first.reference[0] == pytest.approx(PIXEL * 19**2)
    assert first.reference[4] == pytest.approx(PIXEL * 11**2)
    np.testing.assert_array_equal(first.curves["initial"], np.roll(first.reference, 1))
    assert first.rms_error("mine") == 0
    assert list(first.outlined) == [0, 4]
    assert first.outlined[0] == pytest.approx((PIXEL * 19**2, PIXEL * 19**2))
    assert find_ventricle(examples[0].reference, outlines, 3).end_systole == 4


def test_what_does_not_fit_is_refused():
    examples, cine, outlines = make_examples()
    with pytest.raises(CsmriError, match="no pixel spacing"):
        measure_areas(examples, replace(cine, spacing_mm=None), outlines)
    with pytest.raises(CsmriError, match="no examples of b"):
        measure_areas(examples, replace(cine, subject="b"), outlines)


def test_curves_tell_beat_and_error():
    one = make_areas()
    assert one.rms_error("mine") == pytest.approx(10)
    assert one.rms_error("initial") == pytest.approx(40 / np.sqrt(2))
    beat = one.beat(one.curves["initial"])
    assert (beat.end_diastolic, beat.end_systolic) == (760, 440)
    assert beat.emptying == pytest.approx(0.8 * one.beat(one.reference).emptying)
    assert one.outlined_ejection == pytest.approx(0.5)


def test_file_holds_all_numbers_and_comes_back(tmp_path):
    areas = [make_areas(), make_areas(acceleration=8.0, swing=111.11), make_areas(slice_index=5)]
    write_areas(areas, tmp_path / "area.csv")
    back = read_areas(tmp_path / "area.csv")
    for one, other in zip(areas, back, strict=True):
        assert (other.subject, other.slice, other.acceleration) == (one.subject, one.slice, one.acceleration)
        np.testing.assert_array_equal(other.times_ms, TIMES)
        assert list(other.curves) == list(one.curves)
        for name in one.curves:
            np.testing.assert_allclose(other.curves[name], one.curves[name], rtol=1e-4)
        assert list(other.outlined) == [0, 4]
        np.testing.assert_allclose(list(other.outlined.values()), list(one.outlined.values()), rtol=1e-4)


@pytest.mark.parametrize("harm", ["gone", "empty", "no truth", "frame gone", "text"])
def test_damaged_file_is_refused(tmp_path, harm):
    path = tmp_path / "area.csv"
    write_areas([make_areas()], path)
    lines = path.read_text().splitlines()
    if harm == "gone":
        path.unlink()
    else:
        kept = {
            "empty": lines[:1],
            "no truth": [line for line in lines if "ground" not in line],
            "frame gone": [line for line in lines if "mine,3" not in line],
            "text": [*lines[:-1], lines[-1] + "x"],
        }
        path.write_text("\n".join(kept[harm]) + "\n")
    with pytest.raises(CsmriError, match=r"area\.csv: not the areas"):
        read_areas(path)


def test_table_means_over_slices_and_says_how_truth_fits_outlines():
    areas = [make_areas(), make_areas(slice_index=5, swing=100.0), make_areas(acceleration=8.0)]
    four, eight = area_tables(areas)
    assert (four.title, eight.title) == ("Blood-pool area at R = 4", "Blood-pool area at R = 8")
    truth, initial, mine, outline, blood = four.rows[1:]
    assert truth[:5] == [
        "ground truth",
        "0",
        "750",
        "450",
        "39.3",
    ]  # of 800, 400 and 700, 500
    assert initial[:2] == ["initial (IR)", f"{30 / np.sqrt(2):.1f}"]
    assert mine[1] == "10.0"
    assert outline == ["manual outline", "–", "1000", "625", "37.5", "–", "–"]
    assert blood[2:4] == ["750", "450"]
    assert "Mean over slices 3, 5 of a." in four.notes[0]
    assert "Slice 3 of a." in eight.notes[0]
    assert "80 % (80 to 80) of the outlined area and 100 % (100 to 100) of the blood" in agreement([areas[0]])


def test_slices_that_do_not_fit_their_outlines_are_left_out():
    wide = replace(make_areas(slice_index=9, swing=240.0), outlined={0: (1000.0, 800.0), 4: (400.0, 300.0)})
    areas = [make_areas(), wide]
    assert [one.sound for one in areas] == [True, False]
    assert [one.slice for one in choose_slice(areas)] == [3]
    (table,) = area_tables(areas)
    assert table.rows == area_tables(areas[:1])[0].rows
    assert table.notes[-1].startswith("Left out: 9, where the ground truth's curve")
    assert [one.slice for one in choose_slice([wide])] == [9]


def test_figure_shows_the_slice_that_the_outlines_say_ejects_most(tmp_path):
    areas = [make_areas(2, 4.0, 50.0), make_areas(3, 8.0), make_areas(3, 4.0), make_areas(4, 4.0, 150.0)]
    assert [(one.slice, one.acceleration) for one in choose_slice(areas)] == [(3, 4.0), (3, 8.0)]
    render_area(areas, tmp_path / "area.svg", caption="whose data")
    text = (tmp_path / "area.svg").read_text()
    for name in ("ground truth", "initial (IR)", "mine", "manual outline", "R = 8 · a, slice 3", "whose data"):
        assert f"<!-- {name} -->" in text
    write_areas(areas, tmp_path / "area.csv")
    for name in ("one.png", "two.png"):
        render_area(read_areas(tmp_path / "area.csv"), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
