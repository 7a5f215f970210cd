"""What one variant of a study with one seed came to: learning curves and errors of the test subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from csmri.core.errors import CsmriError
from csmri.core.texts import read_json, write_json
from csmri.data.records import Record, mean_over_subjects
from csmri.data.runs import Log, relative_nmse

QUALITY = "nmse_heart"


@dataclass(frozen=True, eq=False)
class Variant:
    """One study among its variants, with one seed."""

    name: str
    seed: int
    curves: Mapping[str, Sequence[float]]
    """Training -> what is left of the initial error of the training images after each epoch, see `relative_nmse`."""
    images_per_epoch: Mapping[str, int]
    """Training -> images."""
    errors: Mapping[str, Mapping[str, Mapping[str, float]]]
    """Method -> acceleration -> test subject -> NMSE in the heart box."""
    made_with: Mapping[str, Mapping[str, Any]]
    """Training -> revision, processor, when it started, store and weights that it began with, seconds."""


def variant_path(results: Path, name: str, seed: int) -> Path:
    """Where a results folder keeps a variant."""
    return results / "variants" / name / f"seed_{seed}.json"


def variant_files(results: Path) -> list[Path]:
    """Files of the variants that a results folder holds."""
    return sorted(results.glob("variants/*/seed_*.json"))


def make_variant(
    name: str, seed: int, logs: Mapping[str, Log], runs: Mapping[str, Mapping[str, Any]], records: Sequence[Record]
) -> Variant:
    """Sum up trainings, by their logs and records of the runs, and an evaluation."""
    errors: dict[str, dict[str, dict[str, float]]] = {}
    for subject in dict.fromkeys(record.subject for record in records):
        own = [record for record in records if record.subject == subject]
        for (method, acceleration), (mean, _) in mean_over_subjects(own, QUALITY).items():
            errors.setdefault(method, {}).setdefault(f"{acceleration:g}", {})[subject] = float(f"{mean:.5g}")
    return Variant(
        name,
        seed,
        {
            training: [float(f"{left:.5g}") for _, left in sorted(relative_nmse(log).items())]
            for training, log in logs.items()
        },
        {training: int(run["images_per_epoch"]) for training, run in runs.items()},
        errors,
        {
            training: {
                **{
                    key: run.get(key)
                    for key in ("git_revision", "started", "processor", "store", "store_sha256", "init")
                },
                "seconds": round(sum(float(row["seconds"]) for row in logs[training])),
            }
            for training, run in runs.items()
        },
    )


def write_variant(variant: Variant, path: Path) -> None:
    """Write it as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(variant))


def read_variants(results: Path) -> list[Variant]:
    """Read the variants that a results folder holds, in no order.

    Raises
    ------
    CsmriError
        If one is damaged.
    """
    found = []
    for path in variant_files(results):
        try:
            found.append(Variant(**read_json(path)))
        except TypeError as error:
            raise CsmriError(
                f"{path}: not what `csmri study` keeps of a variant ({error}); remove it, and give the command again"
            ) from error
    return found
