"""What README promises of `make demo`; CI runs the demo first."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csmri.config import Sampling
from csmri.core.provenance import processor, versions
from csmri.data.records import mean_over_subjects, read_records
from csmri.evaluation.metrics import nmse
from csmri.formats import read_cine
from csmri.methods.reconstruction import simulate_slices
from csmri.results.folder import read_results
from csmri.results.tables import savings, table2

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "demo"
GOLDEN = json.loads((Path(__file__).parent / "golden" / "demo.json").read_text("utf-8"))
"""Table of a demo, and what it was made with."""


@pytest.fixture(scope="module")
def results() -> Path:
    if not (RESULTS / "records.csv.xz").is_file():
        pytest.skip("demo/records.csv.xz is missing; run `make demo` first")
    return RESULTS


@pytest.mark.slow
def test_transfer_beats_standalone_beats_initial_reconstruction(results: Path) -> None:
    means = mean_over_subjects(read_records(results / "records.csv.xz"), "nmse_heart")

    def over_trained_accelerations(method: str) -> float:
        return float(np.mean([means[method, acceleration][0] for acceleration in (4.0, 8.0)]))

    transfer, standalone, initial = map(over_trained_accelerations, ("transfer_6", "standalone", "initial"))
    assert transfer < standalone < initial


def test_readme_shows_the_golden_table() -> None:
    assert "\n".join(GOLDEN["table"]) in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.slow
def test_the_table_is_that_of_readme_on_the_processor_that_it_names(results: Path) -> None:
    """To the digit; another processor rounds otherwise, and trains to other digits."""
    made_with = {"processor": processor(), "versions": versions()}
    if made_with != {name: GOLDEN[name] for name in made_with}:
        pytest.skip(f"the table is of {GOLDEN['processor']['name']} with {GOLDEN['versions']}")
    assert table2(read_records(results / "records.csv.xz")).splitlines() == GOLDEN["table"]


@pytest.mark.slow
def test_transfer_is_as_good_after_a_quarter_of_the_epochs(results: Path) -> None:
    (saving,) = [saving for saving in savings(read_results(results)) if saving.training == "transfer_6"]
    assert saving.reached and 4 * saving.reached <= saving.standalone_epochs


@pytest.mark.slow
def test_beating_comparison_shows_a_network_that_is_better_by_half(results: Path) -> None:
    truth = read_cine(results / "phantom" / "k_phantom_009.npz")
    (done,) = simulate_slices(truth, 4.0, seed=0, law=Sampling(), reconstructors=())
    reconstructed = read_cine(results / "reconstructed.npz").magnitude[0]
    assert nmse(truth.magnitude[0], reconstructed) < 0.5 * nmse(truth.magnitude[0], done.methods["initial"])
    assert (results / "beating.gif").stat().st_size < 1.5e6
    with Image.open(results / "beating.gif") as picture:
        assert picture.n_frames == truth.n_frames and picture.info["loop"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *(f"fig{name}.png" for name in ("1_unet", "2_blocks", "3_learning_curves", "4_reconstructions")),
        "table1_hyperparameters.md",
        "table2_nmse.md",
        "table2_nmse.tex",
        "report.html",
        "beating.gif",
    ],
)
def test_pictures_tables_and_report_are_left(results: Path, name: str) -> None:
    assert (results / name).stat().st_size > 100
