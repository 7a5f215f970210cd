"""The table of all methods: averages as table 2 has them, ratio to the initial reconstruction, best in bold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from csmri.data.records import QUALITIES, UNTRAINED, Record, Timing
from csmri.results.folder import Results
from csmri.results.tables import latex, methods_tables, write_tables
from csmri.results.tables.overview import median_seconds

# (method, subject, frame) -> NMSE; over subjects that is 0.4 and 0.2 where it would be 0.35 and 0.15 over frames.
NMSE = {
    "initial": {("a", 0): 0.2, ("a", 1): 0.4, ("a", 2): 0.3, ("b", 0): 0.5},
    "temporal-tv": {("a", 0): 0.1, ("a", 1): 0.1, ("a", 2): 0.1, ("b", 0): 0.3},
}


@pytest.fixture
def results():
    records, timings = [], []
    for acceleration in (4.0, 8.0):
        for method, values in NMSE.items():
            for (subject, frame), nmse in values.items():
                quality = dict.fromkeys(QUALITIES, 0.5) | {"nmse_heart": nmse, "nmse": nmse * acceleration}
                if method == "initial":
                    quality |= {"psnr_heart": 30.0, "ssim_heart": float("nan")}
                place = subject, 0, frame, acceleration, acceleration, method, UNTRAINED
                records.append(Record(*place, **quality))
    for seconds in (1.0, 2.0, 9.0):
        timings.append(Timing("a", 0, 4.0, "temporal-tv", 25, 144, 120, seconds))
    timings.append(Timing("b", 0, 4.0, "initial", 30, 160, 120, 0.0123))
    return Results(Path("somewhere"), None, {}, records, timings, {"initial": 0, "temporal-tv": 12345})


def test_rows_by_hand(results):
    heart, image = methods_tables(results)
    assert heart.rows[0] == [
        "method",
        *("R = 4: NMSE", "R = 4: PSNR", "R = 4: SSIM", "R = 8: NMSE", "R = 8: PSNR", "R = 8: SSIM"),
        *("seconds", "parameters"),
    ]
    assert heart.rows[1][:4] == ["initial (IR)", "400.00 (1.000)", "**30.00**", "–"]
    assert heart.rows[1][7:] == ["0.0123", "–"]
    assert heart.rows[2][:4] == ["temporal-tv", "**200.00 (0.500)**", "0.50", "0.5000"]
    assert heart.rows[2][7:] == ["2", "12,345"]
    assert image.rows[2][4] == "**1600.00 (0.500)**"
    assert len(heart.rows) == len(image.rows) == 3
    assert "Means over 2 test subjects" in heart.notes[0]
    assert "25 frames of 144 × 120 to 30 frames of 160 × 120" in heart.notes[1]


def test_images_without_content_and_achieved_accelerations_are_told(results):
    nothing = dict.fromkeys(QUALITIES, float("nan"))
    blank = [
        replace(record, subject=subject, frame=9, **nothing)
        for record in results.records
        for subject in ("a", "c")
        if record.frame == 0
    ]
    records = [replace(record, achieved=record.acceleration * 1.1) for record in [*results.records, *blank]]
    heart, image = methods_tables(replace(results, records=records))
    assert image.rows[0][1:5] == [
        "R = 4 (4.40): NMSE",
        "R = 4 (4.40): PSNR",
        "R = 4 (4.40): SSIM",
        "R = 8 (8.80): NMSE",
    ]
    plain = methods_tables(results)
    assert heart.rows[1:] == plain[0].rows[1:] and image.rows[1:] == plain[1].rows[1:]
    assert "Means over 2 test subjects" in heart.notes[0] and "in brackets the one achieved" in heart.notes[0]
    assert image.notes[-1] == "2 of 6 images without content are left out."
    assert image.notes[:-1] == heart.notes[:2] and len(plain[1].notes) == 2


def test_processor_is_named_where_it_is_known(results):
    assert "on the machine of the evaluation;" in methods_tables(results)[0].notes[1]
    assert "on 2 cores of Some;" in methods_tables(replace(results, processor="2 cores of Some"))[0].notes[1]


def test_median_is_over_cines(results):
    assert median_seconds(results.timings) == {"temporal-tv": 2.0, "initial": 0.0123}


def test_without_the_initial_reconstruction_there_is_no_ratio(results):
    records = [record for record in results.records if record.method != "initial"]
    (heart, _) = methods_tables(Results(results.path, None, {}, records, results.timings))
    assert heart.rows[1][1:] == ["200.00", "0.50", "0.5000", "200.00", "0.50", "0.5000", "2", "–"]


def test_wide_latex_fits_a_page(results, tmp_path):
    tables = methods_tables(results)
    text = latex(tables[0])
    assert r"\resizebox{\textwidth}{!}{%" in text
    assert text.count("{") == text.count("}")
    assert "graphicx" in write_tables(tables, tmp_path / "methods")[1].read_text()
