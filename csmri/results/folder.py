"""What a results folder holds and how it is read: records, times, logs, example images, what they were made with."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmri.config import Study, read_study
from csmri.core.errors import CsmriError
from csmri.core.files import make_folder, replacing
from csmri.core.names import PRETRAIN, STANDALONE, TRANSFER
from csmri.core.texts import read_json
from csmri.data.extent import Extent, acceleration_note
from csmri.data.records import Record, Timing, read_records, read_timings
from csmri.data.roi import Box
from csmri.data.runs import KEPT, LOG, Log, read_log
from csmri.results.variants import variant_files

RECORDS, TIMINGS, EVALUATION = "records.csv.xz", "seconds.csv.xz", "evaluation.json"
PROVENANCE = "study.json"
"""What a study, a study of ways to transfer and a sweep were made with."""
EXAMPLES, RUNS, STUDY = "examples.npz", "runs", "study.toml"
SOURCE_RECORDS, TRANSFER_STUDY = "source_records.csv.xz", "transfer.toml"
"""Of a study of ways to transfer: records of held-out source subjects, beside those of target subjects; its config."""
AREAS = "area.csv.xz"
"""Curves of blood-pool area."""
SWEEP = "sweep.toml"
VARIANTS = "variants.toml"
"""A study with variants; what they came to is kept by `results.variants`."""
EXPERIMENTS = {
    STUDY: "study",
    TRANSFER_STUDY: "study of ways to transfer",
    SWEEP: "sweep",
    VARIANTS: "study with variants",
    EVALUATION: "evaluation",
}
"""File that only one kind of experiment leaves -> what that is."""


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
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


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
    extents: Mapping[str, Extent] = field(default_factory=dict)
    """Subject -> how far its signal reaches along ky, where evaluation or study tell it."""

    @property
    def fold_subjects(self) -> int:
        """Subjects that the networks of each fold were trained on; 0 where the study has seeds and no folds."""
        return self.study.fold_subjects if self.study else 0

    @property
    def repeat(self) -> str:
        """What a training is repeated with, in a word: another seed, or another fold."""
        return "fold" if self.fold_subjects else "seed"

    def acceleration_note(self, records: Sequence[Record]) -> str:
        """What must be said beside an acceleration of the subjects of records; empty where nothing is known of them."""
        subjects = dict.fromkeys(record.subject for record in records)
        return acceleration_note(self.extents[name] for name in subjects if name in self.extents)

    @cached_property
    def examples(self) -> Sequence[Example]:
        """Pixels of the data set, read when asked for. They are not committed: there are none in a fresh clone."""
        return read_examples(self.path / EXAMPLES) if (self.path / EXAMPLES).exists() else ()


def table_path(folder: Path, name: str) -> Path:
    """Where a folder has a table: under its name, or as an older csmri left it."""
    return next((path for path in (folder / name, *older_tables(folder, name)) if path.exists()), folder / name)


def older_tables(folder: Path, name: str) -> list[Path]:
    """Where revisions before 2026-12-01 and before 2026-11-26 left a table."""
    plain = name.removesuffix(".xz")
    return [folder / f"{plain}.gz", folder / plain]


def run_folder(results: Path, training: str, seed: int) -> Path:
    """Where a results folder keeps log, config and record of one training."""
    return results / RUNS / f"seed_{seed}" / training


def keep_run(run: Path, results: Path, training: str, seed: int) -> None:
    """Copy log, config and record of a training's run folder into a results folder."""
    destination = make_folder(run_folder(results, training, seed))
    for name in KEPT:
        with replacing(destination / name) as temporary:
            shutil.copyfile(run / name, temporary)


def refuse_other_experiment(folder: Path, own: str) -> None:
    """Refuse a folder that is a file, or holds results of another kind of experiment than `own` leaves."""
    if folder.exists() and not folder.is_dir():
        raise CsmriError(f"{folder}: is a file; the results need a folder")
    if (folder / own).exists():
        return
    for name, kind in EXPERIMENTS.items():
        if (folder / name).exists():
            raise CsmriError(f"{folder}: holds the results of a {kind} ({name}); choose another --out")
    for name in (RECORDS, SOURCE_RECORDS):
        if table_path(folder, name).exists():
            raise CsmriError(
                f"{folder}: holds {table_path(folder, name).name} of an experiment that it does not tell; "
                "choose another --out"
            )


def _processors(evaluation: Mapping[str, Any]) -> str:
    """Processor of an evaluation, and others on which it was gone on with."""
    first = _told_of(evaluation.get("processor", {}))
    later = dict.fromkeys(_told_of(one.get("processor", {})) for one in evaluation.get("continued_with", []))
    others = " and ".join(one for one in later if one and one != first)
    return f"{first} (what was added later on {others})" if others else first


def _told_of(processor: Mapping[str, Any]) -> str:
    """Name, cores and widest vectors of a processor, as `provenance.processor` tells them."""
    if not processor:
        return ""
    vectors = str(processor["vectors"]).split()
    widest = next((name for name in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if name in vectors), "")
    return f"{processor['cores']} cores of {processor['name']}" + f" with {widest}" * bool(widest)


def _extents(path: Path, name: str) -> dict[str, Extent]:
    try:
        return {subject: Extent.of(fields) for subject, fields in read_json(path / name).get("extents", {}).items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CsmriError(f"{path / name}: damaged extents ({error!r}); remove them, they make a note only") from error


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
    records, timings = table_path(path, RECORDS), table_path(path, TIMINGS)
    results = Results(
        path,
        read_study(path / STUDY) if (path / STUDY).exists() else None,
        dict(sorted(logs.items(), key=lambda item: _training_order(*item[0]))),
        read_records(records) if records.exists() else (),
        read_timings(timings) if timings.exists() else (),
        evaluation.get("parameters", {}),
        _processors(evaluation),
        _extents(path, EVALUATION if evaluation else PROVENANCE),
    )
    if not (results.logs or results.records or results.study or any(variant_files(path))):
        stopped = [kind for name, kind in EXPERIMENTS.items() if (path / name).exists()]
        if stopped:
            raise CsmriError(
                f"{path}: holds a {stopped[0]} that was stopped before it had results; give its command again"
            )
        raise CsmriError(
            f"{path}: holds neither {RUNS}/seed_*/*/{LOG} nor {RECORDS}; "
            f"`csmri study` and `csmri evaluate --out {path}` write them"
        )
    return results


def _training_order(name: str, seed: int) -> tuple[int, int, str, int]:
    first = {PRETRAIN: 0, STANDALONE: 1}.get(name, 2 if name.startswith(TRANSFER) else 3)
    epochs = name.rpartition("_")[2]
    return first, int(epochs) if epochs.isdecimal() else 0, name, seed
