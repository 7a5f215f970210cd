"""Variants of a study -> what transfer learning saves in each of them, and the errors that its networks end at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from csmri.config import Study
from csmri.core.names import INITIAL, PRETRAIN, short, transfers
from csmri.results.folder import Results
from csmri.results.tables.lengths import SUSTAINED, SavingCurve, saving_curves, spread
from csmri.results.tables.text import MISSING, Table
from csmri.results.variants import Variant, read_variants

LENGTHS = (0.4, 1)
"""Of standalone learning in the table, as shares of all its epochs."""


@dataclass(frozen=True)
class Row:
    """One variant over its seeds."""

    name: str
    savings: Sequence[SavingCurve]
    """Of every transfer."""
    left: Mapping[str, Sequence[float]]
    """Training -> what it ends at: error of the training images over the initial one, seed by seed."""
    errors: Mapping[str, Sequence[float]]
    """Method -> NMSE of the test subjects' heart boxes over that of the initial reconstruction, means over subjects,
    then over accelerations, seed by seed."""


def variant_rows(results: Path, study: Study) -> list[Row]:
    """Read what the variants of a study came to, in the order of the study; those that are not done are left out."""
    found = read_variants(results)
    of_name = {name: [one for one in found if one.name == name] for name in study.with_variants()}
    return [_row(name, sorted(own, key=lambda one: one.seed)) for name, own in of_name.items() if own]


def variants_table(rows: Sequence[Row]) -> Table:
    """Savings at two lengths of standalone learning, and errors."""
    names = transfers(name for row in rows for name in row.left)
    n_epochs = max(curve.lengths[-1] for row in rows for curve in row.savings)
    lengths = [round(share * n_epochs) for share in LENGTHS]
    methods = list(dict.fromkeys(method for row in rows for method in row.errors))
    head = ["variant", *(f"{short(name)}, N = {n}" for n in lengths for name in names)]
    head += [f"{short(method)}, {what}" for what in ("training", "test") for method in methods]
    table = [head]
    for row in rows:
        curves = {curve.training: curve for curve in row.savings}
        cells = [_saving(curves.get(name), n) for n in lengths for name in names]
        cells += [_mean(values.get(method, ())) for values in (row.left, row.errors) for method in methods]
        table.append([row.name, *cells])
    n_seeds = max(len(values) for row in rows for values in row.left.values())
    notes = [
        "Savings: how many times fewer epochs a transfer needs to come down to the error of the training images that "
        f"standalone learning has after N epochs, of running means, {_of_seeds(n_seeds)}; "
        "<: not reached in the epochs that it was trained.",
        "Training: NMSE of the training images after the last epoch (means over the last tenth) over that of the "
        "initial reconstruction. Test: NMSE in the heart box of the test subjects, likewise, mean over accelerations. "
        f"{'Means over seeds. ' if n_seeds > 1 else ''}Nothing was chosen by the test subjects.",
    ]
    return Table("variants", "What the saving depends on", table, notes)


def _of_seeds(n_seeds: int) -> str:
    return f"median (lowest–highest) over {n_seeds} seeds" if n_seeds > 1 else "of one seed"


def _row(name: str, own: Sequence[Variant]) -> Row:
    logs = {
        (training, one.seed): [
            {"epoch": str(epoch), "nmse": str(left), "initial_nmse": "1"} for epoch, left in enumerate(curve, 1)
        ]
        for one in own
        for training, curve in one.curves.items()
        if training != PRETRAIN
    }
    trainings = list(dict.fromkeys(training for training, _ in logs))
    methods = [method for method in own[0].errors if method != INITIAL]
    return Row(
        name,
        saving_curves(Results(Path(), None, logs, ())),
        {training: [_end(one.curves[training]) for one in own if training in one.curves] for training in trainings},
        {method: [_relative(one, method) for one in own] for method in methods},
    )


def _end(curve: Sequence[float]) -> float:
    """Mean of the last tenth: single epochs are noisy."""
    return fmean(curve[-max(1, len(curve) // 10) :])


def _relative(variant: Variant, method: str) -> float:
    of_method, initial = variant.errors[method], variant.errors[INITIAL]
    return fmean(fmean(of_method[a].values()) / fmean(initial[a].values()) for a in of_method)


def _saving(curve: SavingCurve | None, length: int) -> str:
    found = spread(curve.readings[SUSTAINED][length]) if curve and length in curve.readings[SUSTAINED] else None
    return str(found) if found else MISSING


def _mean(values: Sequence[float]) -> str:
    return f"{fmean(values):.3f}" if values else MISSING
