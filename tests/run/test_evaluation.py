"""`csmri evaluate` adds to an evaluation of the same and replaces nothing of another."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from csmri.cli import main
from csmri.config import Sampling
from csmri.core.errors import CsmriError
from csmri.data.records import read_records
from csmri.results.folder import RECORDS, read_examples
from csmri.run.evaluation import begin_evaluation


@pytest.fixture(scope="module")
def evaluate(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")

    def invoke(*options, out="results", models=()):
        return CliRunner().invoke(main, ["evaluate", *models, str(store.path), "--out", str(folder / out), *options])

    invoke.folder = folder
    return invoke


@pytest.fixture(scope="module")
def results(evaluate):
    done = evaluate("--acceleration", "4", "--split", "validation")
    assert done.exit_code == 0, done.output
    return evaluate.folder / "results"


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_another_acceleration_is_added_and_both_have_their_images(evaluate, results):
    before = read_records(results / RECORDS)
    done = evaluate("--acceleration", "2", "--split", "validation")
    assert done.exit_code == 0, done.output
    records = read_records(results / RECORDS)
    assert [record for record in records if record.acceleration == 4] == before
    assert {record.acceleration for record in records} == {2.0, 4.0}
    assert [example.acceleration for example in read_examples(results / "examples.npz")] == [4.0, 2.0]


def test_what_is_done_is_not_done_again(evaluate, results):
    first = evaluate("--acceleration", "4", "--split", "validation", "--method", "view-sharing")
    assert "2 of 3 items are done already" in first.output
    before = contents(results)
    again = evaluate("--acceleration", "4", "--split", "validation", "--method", "view-sharing")
    assert "3 of 3 items are done already" in again.output
    assert contents(results) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--split", "test"), "holds an evaluation with split = 'validation', not 'test'; choose another --out"),
        (("--split", "validation", "--seed", "1"), "holds an evaluation with seed = 0, not 1"),
        (
            ("--split", "validation", "--acceleration", "4", "--example-acceleration", "6"),
            "6 is not among those evaluated",
        ),
        (("--split", "validation", "--mask-law", "schlemper", "--acceleration", "2"), "with sampling mask_law = "),
    ],
)
def test_another_experiment_is_refused_and_nothing_changes(evaluate, results, options, message):
    before = contents(results)
    refused = evaluate(*options)
    assert refused.exit_code == 2 and message in refused.output
    assert len(refused.stderr.splitlines()) == 1
    assert contents(results) == before


@pytest.mark.parametrize("name", ["study.toml", "transfer.toml", "sweep.toml", "records.csv"])
def test_results_of_another_kind_are_refused(evaluate, name):
    folder = evaluate.folder / f"other-{name}"
    folder.mkdir()
    (folder / name).write_text("")
    refused = evaluate("--split", "validation", out=folder.name)
    assert refused.exit_code == 2 and "choose another --out" in refused.output
    assert [path.name for path in folder.iterdir()] == [name]


def test_other_weights_by_the_same_name_are_refused(evaluate, run):
    options = ("--split", "validation", "--acceleration", "4")
    first = evaluate(*options, out="named", models=[f"net={run / 'models' / 'final'}"])
    assert first.exit_code == 0, first.output
    before = contents(evaluate.folder / "named")
    other = evaluate(*options, out="named", models=[f"net={run / 'models' / 'epoch_001'}"])
    assert other.exit_code == 2 and "holds records of another 'net'" in other.output
    assert contents(evaluate.folder / "named") == before
    beside = evaluate(*options, out="named", models=[f"early={run / 'models' / 'epoch_001'}"])
    assert beside.exit_code == 0, beside.output
    assert {record.method for record in read_records(evaluate.folder / "named" / RECORDS)} == {
        *("zero-filled", "initial", "net", "early")
    }


def test_how_strong_a_phase_would_be_that_is_not_simulated_is_no_difference(tmp_path):
    def begin(**sampling):
        description = {
            **{"store_sha256": "", "split": "test", "seed": 0, "heart_boxes": [], "sampling": sampling},
            **{"models": {}, "baselines": {}, "parameters": {}, "git_revision": "", "versions": {}, "processor": {}},
        }
        begin_evaluation(tmp_path, description)

    begin(**Sampling(phase_moving=0.7).model_dump())
    begin(**Sampling(phase_moving=1.3).model_dump())
    with pytest.raises(CsmriError, match="sampling coils = 1, not 4"):
        begin(**Sampling(coils=4).model_dump())
    with pytest.raises(CsmriError, match="sampling phase = 'none', not 'moving'"):
        begin(**Sampling(phase="moving").model_dump())
