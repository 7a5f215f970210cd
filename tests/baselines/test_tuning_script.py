"""The script that tunes and checks the baselines: laws it can know, tables that tell misses, cases left to others."""

from __future__ import annotations

import runpy
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "results" / "beyond" / "tune_baselines.py"
TEST_SUBJECTS = {65, 66, 67, 71, 301}


@pytest.fixture(scope="module")
def script():
    return SimpleNamespace(**runpy.run_path(str(PATH)))


def check_rows(script, worse=0.0):
    """Rows of a check that finds what the peers found, plus `worse`; 0.5 where they measured nothing."""
    return [
        {"stage": "check", "method": method, "set": key[0], "case": case, "mask": key[1], "R": key[2]}
        | {"ratio": str((peer or 0.5) + worse + spread), "seconds": "1.0", "settings": "as they were"}
        for key, peers in script.PEERS.items()
        for method, peer in zip(script.CHECKED, peers, strict=True)
        for case, spread in (("a", -0.01), ("b", 0.01))
    ]


def test_subjects_are_tuned_on_or_checked_or_left_alone(script):
    for subjects in (script.ACDC, script.SUNNYBROOK):
        assert not set(subjects["tune"]) & set(subjects["check"])
        assert not TEST_SUBJECTS & {*subjects["tune"], *subjects["check"]}


def test_fit_finds_the_law_that_is_best_everywhere(script):
    rows = [
        {
            "method": "m",
            "dial": "d",
            "set": name,
            "case": "one",
            "mask": law,
            "R": str(acceleration),
            "value": str(value),
        }
        | {"ratio": str(0.8 * np.exp(0.1 * np.log(value / (2e-3 * acceleration)) ** 2))}
        for name, law, acceleration in product(("acdc", "sunnybrook"), script.LAWS, (2, 4, 8))
        for value in np.geomspace(1e-3, 6.4e-2, 25)
    ]
    assert "d = 0.002 R^1.0, mean ratio 0.800" in script.fit(rows)


def test_report_names_the_misses_and_keeps_the_reading(script):
    text = script.report(check_rows(script), [], "# Old\n\n## Reading\n\nWritten by hand.\n")
    assert "0 of 92 are missed: none." in text and "0.95 / 0.95 (+0.00)" in text and "Old" not in text
    assert text.endswith("## Reading\n\nWritten by hand.\n")
    text = script.report(check_rows(script, worse=0.04), [], "")
    assert "92 of 92 are missed" in text and "**0.99 / 0.95 (+0.04)**" in text
    assert "temporal-tv on acdc, gaussian, R = 8 (0.990, peers 0.95)" in text


def test_report_has_the_test_subjects(script):
    """Of the records that are committed: temporal TV beats interpolation on every set that it was evaluated on."""
    rows = list(script.rows_of_test_subjects())
    assert {row["method"] for row in rows} == set(script.CHECKED)
    found = {key: ratio for key, (ratio, _) in script.compare(rows).items() if key[0] == "temporal-tv"}
    assert found and all(0.5 < ratio < 1 for ratio in found.values())


def test_rows_are_known_again_by_their_settings(script):
    """A run that goes on measures anew what was measured with other settings."""
    ((dial, value, settings),) = script.settings_to_try("check", "temporal-tv")
    row = {"stage": "check", "method": "temporal-tv", "set": "acdc", "case": "a", "mask": "gaussian", "R": "2"}
    key = script.key_of(row | {"settings": settings})
    assert (dial, value) == ("", "") and key == script.key_of(row | {"settings": str(settings)})
    tried = [one for *_, one in script.settings_to_try("tune", "temporal-tv")]
    assert len({str(one) for one in (settings, *tried)}) == 1 + len(script.DIALS["temporal-tv"][1])
    assert key not in {script.key_of(row | {"stage": "tune", "settings": one}) for one in tried}
