"""Masks, initial errors and files of revision 2ba0ad8, which all later ones must give and open; see golden/README."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from csmri.config import Sampling
from csmri.core.names import INITIAL, PRETRAIN, ZERO_FILLED
from csmri.data.records import Record, mean_over_subjects, read_records, write_records
from csmri.data.store import StoreWriter, open_store
from csmri.evaluation.evaluate import evaluate, with_direct
from csmri.formats import read_cine
from csmri.learning.train import epochs_behind, load_checkpoint
from csmri.methods.classical import METHODS
from csmri.methods.reconstruction import baseline_reconstructor, load_reconstructor
from csmri.physics.simulate import simulated_mask
from csmri.results.folder import RECORDS, read_results, table_path

GOLDEN = Path(__file__).parent / "golden"
RESULTS = Path(__file__).parents[1] / "results"
MASKS = json.loads((GOLDEN / "masks.json").read_text("utf-8"))
CASES = [
    ("acdc", "gaussian", "acdc/patient065/patient065_4d.nii.gz"),
    pytest.param("beyond/acdc_schlemper", "schlemper", "acdc/patient065/patient065_4d.nii.gz", marks=pytest.mark.slow),
    pytest.param("beyond/sunnybrook", "gaussian", "sunnybrook/SCD0000301", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("known", MASKS, ids=lambda known: "-".join(str(value) for value in list(known.values())[:4]))
def test_masks_are_the_same(known):
    size = {"shape": (known["n_frames"], known["n_ky"]), "acceleration": known["acceleration"]}
    law = Sampling(mask_law=known["mask_law"])
    mask = simulated_mask(law, seed=0, subject="patient065", slice_index=2, **size)
    assert hashlib.sha256(np.packbits(mask).tobytes()).hexdigest() == known["sha256"]


@pytest.mark.skipif("CSMRI_DATA" not in os.environ, reason="CSMRI_DATA names no folder with ACDC and Sunnybrook")
@pytest.mark.parametrize(("folder", "law", "source"), CASES)
def test_errors_of_committed_records_are_the_same(folder, law, source, tmp_path):
    """One slice of a test subject: interpolation to the last digit, iterative methods of before within 1 %."""
    place = 3
    cine = read_cine(Path(os.environ["CSMRI_DATA"]) / source)
    with StoreWriter(tmp_path / "store") as writer:
        writer.add(cine, "test")
    committed = [
        record
        for record in read_records(table_path(RESULTS / folder, RECORDS))
        if (record.subject, record.slice) == (cine.subject, place) and record.method in METHODS
    ]
    methods = dict.fromkeys(record.method for record in committed)
    assert len(committed) == 4 * cine.n_frames * len(methods)

    others = [baseline_reconstructor(name) for name in methods if name not in (ZERO_FILLED, INITIAL)]
    evaluated = evaluate(
        open_store(tmp_path / "store"), with_direct(others), law=Sampling(mask_law=law), slices=[place]
    )
    found = rounded([record for one in evaluated for record in one.outcome.records()], tmp_path)
    # The heart box of Sunnybrook is centred on outlines there, which are no matter here.
    assert exact(found) == exact(committed)
    before, now = mean_errors(committed), mean_errors(found)
    for one in before:
        assert now[one] == pytest.approx(before[one], rel=0.01), one


def exact(records: list[Record]) -> dict[tuple[float, int], tuple[float, float]]:
    return {key(one): (one.nmse, one.achieved) for one in records if one.method == INITIAL}


def mean_errors(records: list[Record]) -> dict[tuple[str, float], float]:
    places = dict.fromkeys((one.method, one.acceleration) for one in records)
    return {
        place: float(np.mean([one.nmse for one in records if (one.method, one.acceleration) == place]))
        for place in places
    }


def key(record: Record) -> tuple[float, int]:
    return record.acceleration, record.frame


def rounded(records: list[Record], folder: Path) -> list[Record]:
    write_records(records, folder / "rounded.csv")
    return read_records(folder / "rounded.csv")


def test_a_store_and_a_saved_model_give_the_same_records(tmp_path):
    store = open_store(GOLDEN / "store")
    assert {entry.subject: entry.split for entry in store.entries} == {
        "k_phantom_000": "train",
        "k_phantom_001": "validation",
        "k_phantom_002": "test",
        "york_phantom_000": PRETRAIN,
    }
    network = load_reconstructor(GOLDEN / "unet/models/final")
    evaluated = evaluate(store, with_direct([network]))
    found = [record for one in evaluated for record in one.outcome.records()]
    known = [record for record in read_records(GOLDEN / "results/records.csv") if record.method != "view-sharing"]
    assert len(known) == len(found) == 3 * 4 * 6
    for one, other in zip(found, known, strict=True):
        assert (one.subject, one.slice, one.frame, one.acceleration) == (
            *(other.subject, other.slice, other.frame),
            other.acceleration,
        )
        assert one.method == other.method and one.seed == other.seed
        # Five digits are kept; convolutions round differently from processor to processor.
        assert one.nmse_heart == pytest.approx(other.nmse_heart, rel=2e-4 if one.method == "unet" else 6e-5)


def test_a_checkpoint_opens(tmp_path):
    shutil.copytree(GOLDEN / "unet", tmp_path / "unet")
    network = load_checkpoint(tmp_path / "unet")
    assert epochs_behind(network, json.loads((tmp_path / "unet/run.json").read_text())["batches_per_epoch"]) == 2


def test_results_open():
    results = read_results(GOLDEN / "results")
    assert len(results.records) == 4 * 4 * 6 and len(results.timings) == 4 * 4
    assert list(results.logs) == [("unet", 0)] and results.parameters["unet"] == 118
    means = mean_over_subjects(results.records, "nmse_heart")
    assert means["initial", 8.0][0] == pytest.approx(0.163477, rel=1e-4)


def test_results_of_a_study_open():
    results = read_results(GOLDEN / "study")
    assert [name for name, _ in results.logs] == ["pretrain", "standalone", "transfer_1", "transfer_2"]
    stages = results.study.stages()
    assert stages[PRETRAIN].learning_rate == 2e-3 and stages[PRETRAIN].augment and stages[PRETRAIN].epochs == 2
    assert stages["standalone"].learning_rate == 1e-3 and stages["transfer_2"].epochs == 3
    means = mean_over_subjects(results.records, "nmse_heart")
    assert f"{1e3 * means['transfer_2', 4.0][0]:.2f}" == "98.83"
