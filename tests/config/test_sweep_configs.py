"""Sweeps of the project read, and what they train is there and takes the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from csmri.config import make_config, read_config, read_sweep_config
from csmri.core.texts import read_toml
from csmri.methods.classical import find_method

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs" / "sweeps").glob("*.toml"))
SWEEPS = [path for path in CONFIGS if "methods" in read_toml(path, "config")]
SPLITS = [path for path in CONFIGS if path.stem.endswith("_split")]
COMPARED = {"seed", "train_subjects", "transfer", "accelerations", "consistency"}
"""Fields whose values are compared on test subjects, all of them told; none is chosen by the outcome."""
TEST_SUBJECTS = {"patient065", "patient066", "patient067", "patient071", "SCD0000301"}


def test_there_are_sweeps():
    assert {path.stem for path in SWEEPS} >= {"acquisitions", "baselines", "acdc_target", "unrolled_designs"}


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_can_be_made(path):
    sweep = read_sweep_config(path)
    lists = (
        key for method in sweep.methods.values() for key, value in method.settings.items() if isinstance(value, list)
    )
    assert sweep.split != "test" or set(lists) <= COMPARED  # nothing is chosen on test subjects
    for name, (method, own) in sweep.trials().items():
        if config := method.train or method.untrained:
            make_config({**read_config(ROOT / config).model_dump(), **own}, where=name)
        elif not method.model:
            find_method(method.method or name.split(" ")[0]).changed(own)


@pytest.mark.parametrize("path", [path for path in CONFIGS if path not in SWEEPS + SPLITS], ids=lambda path: path.stem)
def test_what_sweeps_train_is_used(path):
    read_config(path)
    assert any(f"configs/sweeps/{path.name}" in sweep.read_text() for sweep in SWEEPS)


@pytest.mark.parametrize("path", SPLITS, ids=lambda path: path.stem)
def test_nothing_is_tuned_on_test_subjects(path):
    split = read_toml(path, "split")
    subjects = [subject for names in split.values() for subject in names]
    assert len(subjects) == len(set(subjects))
    assert not TEST_SUBJECTS & set(subjects)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_tells_what_it_is(path):
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert head and (
        path in SPLITS or {"# What", "# Paper", "# Command", "# Result"} <= {h.split(":")[0] for h in head}
    )
