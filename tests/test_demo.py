"""What README promises of `make demo`; CI runs the demo first."""

from pathlib import Path

import numpy as np
import pytest

from csmri.data.records import mean_over_subjects, read_records

RESULTS = Path(__file__).parents[1] / "demo"


@pytest.fixture(scope="module")
def results() -> Path:
    if not (RESULTS / "records.csv").is_file():
        pytest.skip("demo/records.csv is missing; run `make demo` first")
    return RESULTS


@pytest.mark.slow
def test_transfer_beats_standalone_beats_initial_reconstruction(results: Path) -> None:
    means = mean_over_subjects(read_records(results / "records.csv"), "nmse_heart")

    def over_trained_accelerations(method: str) -> float:
        return float(np.mean([means[method, acceleration][0] for acceleration in (4.0, 8.0)]))

    transfer, standalone, initial = map(over_trained_accelerations, ("transfer_6", "standalone", "initial"))
    assert transfer < standalone < initial


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *(f"fig{name}.{suffix}" for name in ("1_unet", "2_blocks", "3_learning_curves") for suffix in ("png", "svg")),
        "fig4_reconstructions.png",
        "table1_hyperparameters.md",
        "table2_nmse.md",
        "table2_nmse.tex",
        "report.html",
        "beating.gif",
    ],
)
def test_pictures_tables_and_report_are_left(results: Path, name: str) -> None:
    assert (results / name).stat().st_size > 100
