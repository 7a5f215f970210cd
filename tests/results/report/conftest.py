"""A results folder with real initial reconstructions of phantoms and made-up networks, and the page made of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from csmri.config import Sampling, Study, write_config
from csmri.data.records import Record, write_records
from csmri.data.roi import heart_box
from csmri.evaluation.metrics import frame_quality
from csmri.methods.reconstruction import simulate_slices
from csmri.phantom import make_subject
from csmri.results.folder import Example, read_results, run_folder, write_examples
from csmri.results.report import render_report

METHODS = ("initial", "standalone", "transfer_10", "transfer_20", "transfer_50")
QUALITY = {"initial": 1.0, "standalone": 0.86, "transfer_10": 0.85, "transfer_20": 0.84, "transfer_50": 0.83}
CAPTION = "Data: numerical phantoms of csmri, no real person."


def make_images(size: int, n_slices: int, n_frames: int, accelerations: tuple[float, ...]) -> list[Example]:
    """Initial reconstructions, and as networks those with part of their error taken away."""
    cine = make_subject(3, size=size, n_slices=n_slices, n_frames=n_frames)
    box, examples = heart_box(cine.magnitude), []
    for acceleration in accelerations:
        made = simulate_slices(cine, acceleration, seed=0, law=Sampling(), reconstructors=())
        for index, done in enumerate(made):
            reference = cine.magnitude[index]
            error = done.methods["initial"] - reference
            smooth = ndimage.gaussian_filter(error, (0, 1, 1))
            methods = dict(done.methods)
            for i, (name, share) in enumerate(QUALITY.items()):
                if i:
                    methods[name] = (reference + share * error - 0.1 * smooth).astype(np.float32)
            examples.append(Example(cine.subject, index, acceleration, reference, methods, box))
    return examples


def write_results(path: Path, examples: list[Example], *, seeds: tuple[int, ...], epochs: int) -> Path:
    """A results folder as `csmri study` leaves it: study.toml, study.json, logs, records, examples."""
    path.mkdir(parents=True, exist_ok=True)
    study = Study(seeds=seeds, standalone={"epochs": epochs}, transfer={"epochs": epochs}, caption=CAPTION)
    write_config(study, path / "study.toml")
    provenance = {
        "command": "csmri study study.toml results",
        "git_revision": "0123456789abcdef",
        "versions": {"csmri": "0.2.0", "tensorflow": "2.21.0"},
        "stores": [{"path": "/home/someone/stores/target", "sha256": "ab" * 32}],
    }
    (path / "study.json").write_text(json.dumps(provenance))
    for seed in seeds:
        for i, training in enumerate(("pretrain", "standalone", "transfer_10", "transfer_20", "transfer_50")):
            folder = run_folder(path, training, seed)
            folder.mkdir(parents=True)
            _write_log(folder / "log.csv", training, seed, i, epochs)
            (folder / "run.json").write_text(json.dumps({"parameters": 1940817, "git_revision": "0123456789abcdef"}))
    write_records(_records(examples, seeds), path / "records.csv")
    write_examples(examples, path / "examples.npz")
    return path


def _write_log(path: Path, training: str, seed: int, i: int, epochs: int) -> None:
    rng = np.random.default_rng([seed, i])
    start = 0.0084 if training in ("standalone", "pretrain") else 0.0074 - 0.0003 * i
    decay = 2.2 / epochs if training == "standalone" else 7 / epochs
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "bias", "initial_nmse", "loss", "nmse", "seconds"])
        for epoch in range(1, epochs + 1):
            nmse = 0.0054 - 0.00002 * i + (start - 0.0054) * np.exp(-decay * epoch) + rng.normal(0, 4e-5)
            writer.writerow([epoch, 0, 0.0089, 1e-4, f"{nmse:.6g}", 60])


def _records(examples: list[Example], seeds: tuple[int, ...]) -> list[Record]:
    records = []
    for subject in range(4):
        for example in examples:
            for name, images in example.methods.items():
                for seed in seeds if name in METHODS[1:] else (-1,):
                    for frame, quality in enumerate(frame_quality(example.reference, images, example.heart_box)):
                        worse = 1 + 0.1 * subject + 0.003 * seed
                        quality |= {key: quality[key] * worse for key in ("nmse", "nmse_heart")}
                        label = (f"{example.subject}_{subject}", example.slice, frame, example.acceleration)
                        records.append(Record(*label, example.acceleration, name, seed, **quality))
    return records


@pytest.fixture(scope="session")
def images() -> list[Example]:
    """Two slices of 40 x 40 pixels with 6 frames at R = 4 and 8."""
    return make_images(40, 2, 6, (4.0, 8.0))


@pytest.fixture(scope="session")
def study_folder(images, tmp_path_factory) -> Path:
    return write_results(tmp_path_factory.mktemp("report") / "results", images, seeds=(0, 1), epochs=40)


@pytest.fixture(scope="session")
def page(study_folder) -> Path:
    render_report(read_results(study_folder), study_folder / "report.html")
    return study_folder / "report.html"
