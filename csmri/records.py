"""What a results folder holds: records of quality, logs of the trainings, example images."""

from __future__ import annotations

import csv
import shutil
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from csmri.config import PRETRAIN, STANDALONE, TRANSFER, Study, read_study
from csmri.errors import CsmriError
from csmri.roi import Box

RECORDS, EXAMPLES, RUNS, STUDY = "records.csv", "examples.npz", "runs", "study.toml"
SOURCE_RECORDS, TRANSFER_STUDY = "source_records.csv", "transfer.toml"
"""Of a study of ways to transfer: records of held-out source subjects, beside those of target subjects; its config."""
LOG, CONFIG, RECORD = "log.csv", "config.toml", "run.json"
KEPT = (LOG, CONFIG, RECORD)
"""Small files of a training's run folder; a results folder keeps copies."""
QUALITIES = ("nmse", "nmse_heart", "psnr", "psnr_heart", "ssim", "ssim_heart")
UNTRAINED = -1

Log = Sequence[Mapping[str, str]]
"""Rows of a training's log.csv, one an epoch: epoch, loss, nmse, initial_nmse, bias, (val_*), seconds."""


@dataclass(frozen=True)
class Record:
    """Quality of one reconstructed image; see `reconstruction.frame_quality` for range and region."""

    subject: str
    slice: int
    frame: int
    acceleration: float
    achieved: float
    """Acceleration of the drawn mask: n_ky over acquired lines."""
    method: str
    seed: int
    """Of the training; -1 for a method without one."""
    nmse: float
    nmse_heart: float
    psnr: float
    psnr_heart: float
    ssim: float
    ssim_heart: float


@dataclass(frozen=True, eq=False)
class Example:
    """One slice as every method shows it, for a picture like figure 4; images (frame, y, x) in one unit."""

    subject: str
    slice: int
    acceleration: float
    reference: NDArray[np.float32]
    methods: Mapping[str, NDArray[np.float32]]
    heart_box: Box


def write_examples(examples: Sequence[Example], path: str | Path) -> None:
    """Keep the images behind a figure; they are pixels of the data set and share its licence."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for i, example in enumerate(examples):
        arrays[f"{i}/reference"] = example.reference
        arrays[f"{i}/heart_box"] = np.array(example.heart_box)
        arrays[f"{i}/label"] = np.array([example.subject, str(example.slice), repr(example.acceleration)])
        arrays |= {f"{i}/method/{name}": images for name, images in example.methods.items()}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def read_examples(path: str | Path) -> list[Example]:
    """Read what `write_examples` wrote."""
    try:
        return _examples(path)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise CsmriError(f"{path}: not the examples that `csmri evaluate` writes, or damaged") from error


def _examples(path: str | Path) -> list[Example]:
    with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        examples = []
        for i in range(sum(name.endswith("/reference") for name in arrays)):
            subject, slice_index, acceleration = arrays[f"{i}/label"]
            prefix = f"{i}/method/"
            methods = {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}
            box = Box(*map(int, arrays[f"{i}/heart_box"]))
            reference = arrays[f"{i}/reference"]
            examples.append(Example(str(subject), int(slice_index), float(acceleration), reference, methods, box))
        return examples


@dataclass(frozen=True, eq=False)
class Results:
    """What `csmri study`, or `csmri evaluate` and `csmri figures --run`, left in a folder."""

    path: Path
    study: Study | None
    """None if the trainings were run one by one."""
    logs: Mapping[tuple[str, int], Log]
    """(training, seed) -> its log; trainings in the order pretrain, standalone, transfers, others."""
    records: Sequence[Record]

    @cached_property
    def examples(self) -> Sequence[Example]:
        """Pixels of the data set, read when asked for. They are not committed: there are none in a fresh clone."""
        return read_examples(self.path / EXAMPLES) if (self.path / EXAMPLES).exists() else ()


def run_folder(results: Path, training: str, seed: int) -> Path:
    """Where a results folder keeps log, config and record of one training."""
    return results / RUNS / f"seed_{seed}" / training


def keep_run(run: Path, results: Path, training: str, seed: int) -> None:
    """Copy log, config and record of a training's run folder into a results folder."""
    destination = run_folder(results, training, seed)
    destination.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copyfile(run / name, destination / name)


def read_results(path: str | Path) -> Results:
    """Read a results folder; what is missing in it is empty.

    Raises
    ------
    CsmriError
        If there is no such folder, none of these files in it, or one is damaged.
    """
    path = Path(path)
    if not path.is_dir():
        raise CsmriError(f"{path}: no such folder; `csmri study` and `csmri evaluate --out {path}` make results")
    logs = {}
    for log in path.glob(f"{RUNS}/seed_*/*/{LOG}"):
        seed = log.parent.parent.name.removeprefix("seed_")
        if seed.isdecimal():
            logs[log.parent.name, int(seed)] = read_log(log)
    results = Results(
        path,
        read_study(path / STUDY) if (path / STUDY).exists() else None,
        dict(sorted(logs.items(), key=lambda item: _training_order(*item[0]))),
        read_records(path / RECORDS) if (path / RECORDS).exists() else (),
    )
    if not (results.logs or results.records or results.study):
        raise CsmriError(
            f"{path}: holds neither {RUNS}/seed_*/*/{LOG} nor {RECORDS}; "
            f"`csmri study` and `csmri evaluate --out {path}` write them"
        )
    return results


def _training_order(name: str, seed: int) -> tuple[int, int, str, int]:
    first = {PRETRAIN: 0, STANDALONE: 1}.get(name, 2 if name.startswith(TRANSFER) else 3)
    epochs = name.rpartition("_")[2]
    return first, int(epochs) if epochs.isdecimal() else 0, name, seed


def read_log(path: str | Path) -> Log:
    """Read the log of one training."""
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise CsmriError(f"{path}: cannot read the log: {getattr(error, 'strerror', None) or error}") from error
    try:
        sound = bool(rows) and all(int(row["epoch"]) > 0 and float(row["initial_nmse"]) > 0 for row in rows)
        sound = sound and all(float(row["nmse"]) >= 0 for row in rows)
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise CsmriError(
            f"{path}: not the log of `csmri train`; expected numbers in the columns epoch, nmse and initial_nmse"
        )
    return rows


def relative_nmse(log: Log, *, prefix: str = "") -> dict[int, float]:
    """Epoch -> NMSE of the training images over that of their initial reconstructions.

    Every epoch draws other images and masks, which are easier or harder; what is left of the initial error can be
    compared between epochs, between trainings and with 1. The prefix `val_` gives that of the validation images.
    """
    return {int(row["epoch"]): float(row[f"{prefix}nmse"]) / float(row[f"{prefix}initial_nmse"]) for row in log}


def write_records(records: Iterable[Record], path: str | Path) -> None:
    """Write records as CSV, five significant digits."""
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Record))
        for record in records:
            values = asdict(record).values()
            writer.writerow(f"{value:.5g}" if isinstance(value, float) else value for value in values)


def read_records(path: str | Path) -> list[Record]:
    """Read what `write_records` wrote."""
    kinds = {"subject": str, "method": str, "slice": int, "frame": int, "seed": int}
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            return [
                Record(**{name: kinds.get(name, float)(value) for name, value in row.items()})
                for row in csv.DictReader(file)
            ]
    except (OSError, TypeError, ValueError) as error:
        raise CsmriError(f"{path}: not a table of records from `csmri evaluate` ({error})") from error


def mean_over_subjects(records: Iterable[Record], quality: str) -> dict[tuple[str, float], tuple[float, float]]:
    """Average within each subject, then over subjects; blank frames have no NMSE and do not count.

    Returns
    -------
    dict
        (method, acceleration) -> mean and standard deviation over subjects (0 for a single one).
    """
    of_subject: defaultdict[tuple[str, float, str], list[float]] = defaultdict(list)
    for record in records:
        of_subject[record.method, record.acceleration, record.subject].append(getattr(record, quality))
    means: defaultdict[tuple[str, float], list[float]] = defaultdict(list)
    for (method, acceleration, _), values in of_subject.items():
        means[method, acceleration].append(float(np.nanmean(values)))
    return {
        key: (float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0)
        for key, values in means.items()
    }
