"""An evaluation by other processes gives the records of one by this process; what fails there is told."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from csmri.cli import main
from csmri.config import Sampling
from csmri.core.errors import CsmriError
from csmri.core.names import BEAM, INITIAL, THIS
from csmri.data.records import read_records
from csmri.evaluation.evaluate import plan_items
from csmri.methods.reconstruction import MethodSpec
from csmri.results.folder import EXAMPLES, RECORDS, read_examples
from csmri.run.evaluation_work import SPOOL, EvaluationWork, Place, evaluated_by
from csmri.run.executors import Executor

OPTIONS = (("split", "test"), ("accelerations", (4.0,)), ("seed", 0), ("slices", ()), ("acquisition", ""))


@pytest.fixture
def work(store):
    return EvaluationWork(store=str(store.path), methods=(MethodSpec(INITIAL),), options=OPTIONS, law=Sampling())


@pytest.fixture
def items(store):
    return plan_items(store.of_split("test"), {INITIAL: -1}, (4.0,))


def test_two_processes_give_the_records_and_images_of_one(store, run, tmp_path):
    command = ["evaluate", str(run / "models/final"), str(store.path), "--method", "temporal-tv", "--acceleration", "4"]
    for name, options in (("one", []), ("two", ["--workers", "2"])):
        result = CliRunner().invoke(main, [*command, "--out", str(tmp_path / name), *options])
        assert result.exit_code == 0, result.output
    assert read_records(tmp_path / "one" / RECORDS) == read_records(tmp_path / "two" / RECORDS)
    one, two = (read_examples(tmp_path / name / EXAMPLES) for name in ("one", "two"))
    assert len(one) == len(two) == 1 and one[0].methods.keys() == two[0].methods.keys()
    for name, images in one[0].methods.items():
        np.testing.assert_allclose(two[0].methods[name], images, atol=1e-6)
    assert not list((tmp_path / "two").glob("*.items*"))


def test_what_a_worker_elsewhere_leaves_is_what_it_told(work, items, tmp_path):
    elsewhere = EvaluationWork(**{**vars(work), "spool": str(tmp_path)})
    place = Place(3, items[0].subject, items[0].slice, tuple(items[:1]), examples=tuple(items[:1]))
    told, kept = elsewhere.do(place), elsewhere.kept(place)
    assert not told.failed and len(told.evaluated) == 1
    assert kept.evaluated[0].outcome == told.evaluated[0].outcome
    assert kept.evaluated[0].entry == told.evaluated[0].entry
    np.testing.assert_array_equal(kept.evaluated[0].images, told.evaluated[0].images)
    assert kept.evaluated[0].images.size
    assert elsewhere.kept(Place(4, "x", 0, ())) is None
    without = elsewhere.do(Place(5, items[0].subject, items[0].slice, tuple(items[:1])))
    assert not without.evaluated[0].images.size, "images that nobody keeps are not carried"


class Beam:
    """As Apache Beam: what is done is known from what is left alone."""

    kind = BEAM

    def run(self, work, places):
        for place in places:
            work.do(place)
            yield work.kept(place) or work.lost(place, "gone")


@pytest.mark.parametrize("executor", [Executor(THIS), Beam()])
def test_what_fails_at_a_place_is_told_when_the_others_are_done(executor, work, items, tmp_path):
    broken = EvaluationWork(**{**vars(work), "methods": (MethodSpec("no such method"),)})
    ended = evaluated_by(executor, broken, items, is_example=lambda item: False, folder=tmp_path)
    with pytest.raises(CsmriError, match="slices could not be evaluated: unknown method 'no such method'"):
        list(ended)
    ended = evaluated_by(executor, work, items, is_example=lambda item: False, folder=tmp_path)
    assert [one.outcome.item for one in ended] == items
    assert not (tmp_path / SPOOL).exists()
