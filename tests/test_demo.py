"""What README promises of `make demo`; CI runs the demo first."""

from pathlib import Path

import numpy as np
import pytest

from csmri.records import mean_over_subjects, read_records

RESULTS = Path(__file__).parents[1] / "demo" / "results"


@pytest.mark.slow
def test_transfer_beats_standalone_beats_initial_reconstruction() -> None:
    if not RESULTS.is_dir():
        pytest.skip("demo/results is missing; run `make demo` first")
    means = mean_over_subjects(read_records(RESULTS / "records.csv"), "nmse_heart")

    def over_trained_accelerations(method: str) -> float:
        return float(np.mean([means[method, acceleration][0] for acceleration in (4.0, 8.0)]))

    transfer, standalone, initial = map(over_trained_accelerations, ("transfer", "standalone", "initial"))
    assert transfer < standalone < initial


@pytest.mark.slow
@pytest.mark.parametrize("name", ["learning_curves.png", "reconstructions.png", "beating.gif", "table2.md"])
def test_pictures_and_table_are_left(name: str) -> None:
    if not RESULTS.is_dir():
        pytest.skip("demo/results is missing; run `make demo` first")
    assert (RESULTS / name).stat().st_size > 100
