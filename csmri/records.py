"""What a results folder holds: records of quality and of time, logs of the trainings, example images."""

from __future__ import annotations

import csv
import json
import shutil
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from csmri.config import PRETRAIN, STANDALONE, TRANSFER
from csmri.errors import CsmriError
from csmri.roi import Box
from csmri.studies import Study, read_study

RECORDS, TIMINGS, EVALUATION = "records.csv", "seconds.csv", "evaluation.json"
EXAMPLES, RUNS, STUDY = "examples.npz", "runs", "study.toml"
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


@dataclass(frozen=True)
class Timing:
    """How long a method took to reconstruct the cine of one slice."""

    subject: str
    slice: int
    acceleration: float
    method: str
    n_frames: int
    n_y: int
    n_x: int
    seconds: float
    """Wall time of the reconstruction alone, not of a first call that compiles."""


Row = TypeVar("Row", Record, Timing)


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
    timings: Sequence[Timing] = ()
    parameters: Mapping[str, int] = field(default_factory=dict)
    """Trained numbers of every method, where an evaluation tells them."""
    processor: str = ""
    """That the times were taken on, where an evaluation tells it."""

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


def _told_of(processor: Mapping[str, Any]) -> str:
    """Name, cores and widest vectors of a processor, as `provenance.processor` tells them."""
    if not processor:
        return ""
    vectors = str(processor["vectors"]).split()
    widest = next((name for name in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if name in vectors), "")
    return f"{processor['cores']} cores of {processor['name']}" + f" with {widest}" * bool(widest)


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
    evaluation = read_json(path / EVALUATION)
    results = Results(
        path,
        read_study(path / STUDY) if (path / STUDY).exists() else None,
        dict(sorted(logs.items(), key=lambda item: _training_order(*item[0]))),
        read_records(path / RECORDS) if (path / RECORDS).exists() else (),
        read_timings(path / TIMINGS) if (path / TIMINGS).exists() else (),
        evaluation.get("parameters", {}),
        _told_of(evaluation.get("processor", {})),
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


def read_json(path: Path) -> dict[str, Any]:
    """Read an object from a JSON file; empty where there is none.

    Raises
    ------
    CsmriError
        If the file holds something else.
    """
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CsmriError(f"{path}: not the JSON that csmri writes, or damaged ({error}); write or remove it") from error
    if not isinstance(found, dict):
        raise CsmriError(f"{path}: expected a JSON object, found {type(found).__name__}; write or remove it")
    return found


def write_records(records: Iterable[Record], path: str | Path) -> None:
    """Write records as CSV, five significant digits."""
    _write_rows(Record, records, path)


def read_records(path: str | Path) -> list[Record]:
    """Read what `write_records` wrote."""
    return _read_rows(Record, path, "records")


def write_timings(timings: Iterable[Timing], path: str | Path) -> None:
    """Write times as CSV, five significant digits."""
    _write_rows(Timing, timings, path)


def read_timings(path: str | Path) -> list[Timing]:
    """Read what `write_timings` wrote."""
    return _read_rows(Timing, path, "times")


def _write_rows(kind: type[Row], rows: Iterable[Row], path: str | Path) -> None:
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(kind))
        for row in rows:
            writer.writerow(f"{value:.5g}" if isinstance(value, float) else value for value in asdict(row).values())


def _read_rows(kind: type[Row], path: str | Path, what: str) -> list[Row]:
    types = {"str": str, "int": int, "float": float}
    columns = {field.name: types[str(field.type)] for field in fields(kind)}
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
            return [kind(**{name: columns[name](value) for name, value in row.items()}) for row in rows]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CsmriError(f"{path}: not a table of {what} from `csmri evaluate` ({error})") from error


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
        counted = [value for value in values if not np.isnan(value)]
        means[method, acceleration].append(float(np.mean(counted)) if counted else float("nan"))
    return {
        key: (float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0)
        for key, values in means.items()
    }
