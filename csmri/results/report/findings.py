"""Records and logs -> what transfer learning bought: learning curves, epochs saved, errors, one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from csmri.core.errors import CsmriError
from csmri.core.names import INITIAL, PRETRAIN, STANDALONE, pretraining_epochs
from csmri.data.records import Record, mean_over_subjects, with_quality
from csmri.data.runs import Log, relative_nmse
from csmri.results.folder import Results
from csmri.results.report.naming import last_transfer, ordered
from csmri.results.tables import quality
from csmri.results.tables.paired import LEVEL
from csmri.results.tables.savings import Saving

QUALITY = "nmse_heart"


@dataclass(frozen=True)
class Curve:
    """Learning curve of one training over its seeds: what is left of the initial error of the training images."""

    training: str
    epochs: Sequence[int]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    of_seed: Mapping[int, Mapping[int, float]]
    """Seed -> epoch -> the same."""


@dataclass(frozen=True)
class Comparison:
    """Test error in the heart box at one acceleration; None for a method that was not tested."""

    acceleration: float
    initial: float | None
    standalone: float | None
    transfer: float | None
    better_in: int
    """Subjects in which transfer has the lower error than standalone."""
    n_subjects: int
    p: float = math.nan
    """Of transfer against standalone, two-sided, by the paired t-test over subjects; NaN where it cannot be told."""
    shown: float = math.nan
    """Smallest change, relative to standalone, that the test would find with probability 0.8; NaN as p."""

    @property
    def is_shown(self) -> bool:
        """Whether the step from standalone to transfer is more than chance, as far as these subjects tell."""
        return self.p < LEVEL


def learning_curves(results: Results) -> list[Curve]:
    """Average the logs of every training but the pretraining, which sees other images, over its seeds.

    Raises
    ------
    CsmriError
        If a log holds something else than numbers.
    """
    trainings = ordered(name for name, _ in results.logs if name != PRETRAIN)
    return [curve for name in trainings if (curve := _curve(results, name))]


def _curve(results: Results, training: str) -> Curve | None:
    logs = {seed: log for (name, seed), log in results.logs.items() if name == training}
    of_seed: dict[int, dict[int, float]] = {}
    for seed, log in sorted(logs.items()):
        of_seed[seed] = relative_nmse(log)
    epochs = sorted(set.intersection(*(set(values) for values in of_seed.values())))
    if not epochs:
        return None
    values = [[one[epoch] for one in of_seed.values()] for epoch in epochs]
    return Curve(
        training,
        epochs,
        [sum(some) / len(some) for some in values],
        [min(some) for some in values],
        [max(some) for some in values],
        of_seed,
    )


def column(log: Log, name: str, where: str) -> dict[int, float]:
    """Epoch -> number in one column of a log; `where` names the file if it holds something else."""
    try:
        found = {int(row["epoch"]): float(row[name]) for row in log if row.get(name)}
    except (TypeError, ValueError) as error:
        raise CsmriError(f"{where}: expected numbers in the columns epoch and {name} ({error})") from error
    return {epoch: value for epoch, value in found.items() if epoch > 0 and math.isfinite(value)}


def compare(records: Sequence[Record], trained: Sequence[float] = ()) -> Comparison | None:
    """Compare methods at the highest acceleration that was trained on, else the highest; None without records."""
    records, _ = with_quality(records, QUALITY)
    if not records:
        return None
    tested = {record.acceleration for record in records}
    acceleration = max(tested & set(trained) or tested)
    records = [record for record in records if record.acceleration == acceleration]
    transfer = last_transfer(record.method for record in records)
    means = {method: mean for (method, _), (mean, _) in mean_over_subjects(records, QUALITY).items()}
    paired = quality.compare(records, STANDALONE, transfer or "", QUALITY)
    errors = means.get(INITIAL), means.get(STANDALONE), means.get(transfer or "")
    if not paired:
        return Comparison(acceleration, *errors, 0, 0)
    found = paired[0]
    return Comparison(acceleration, *errors, found.less_in, found.n_subjects, found.t_test, found.shown)


def percent(value: float, against: float) -> str:
    """Change in whole per cent with a true minus sign, "-2 %" or "+25 %"; one decimal below one per cent."""
    if not against or not math.isfinite(value) or not math.isfinite(against):
        return "–"
    change = 100 * (value / against - 1)
    text = f"{change:+.0f}" if abs(change) >= 0.95 else f"{change:+.1f}"
    return ("0" if float(text) == 0 else text).replace("-", "\N{MINUS SIGN}") + " %"


def times(factor: float) -> str:
    """Write a factor with two digits: 0.61, 2.1 or 17."""
    if factor < 0.95:
        return f"{factor:.2g}"
    return f"{factor:.1f}".removesuffix(".0") if factor < 9.95 else f"{factor:.0f}"


def thousandths(value: float) -> str:
    """Write an NMSE in units of 1e-3 with three digits, 12.8 or 0.0512."""
    if not math.isfinite(value):
        return "∞"
    value *= 1e3
    return f"{value:.{min(6, max(0, 2 - math.floor(math.log10(value))))}f}" if value > 0 else "0"


def sentence(saving: Saving | None, comparison: Comparison | None) -> str:
    """Say in one sentence what transfer learning bought, and what it did not."""
    parts = [part for part in (_speed(saving), _quality(comparison)) if part]
    if not parts:
        return "These results compare no transfer with standalone learning; the tables below show what was run."
    worse = comparison is not None and _direction(comparison) == "rose"
    joint = ", but " if len(parts) == 2 and worse and saving and saving.reached else "; "
    text = joint.join(parts)
    return text[0].upper() + text[1:] + "."


def _speed(saving: Saving | None) -> str:
    if saving is None:
        return ""
    epochs = pretraining_epochs(saving.training)
    who = "transfer learning" + (f" after {epochs} epochs of pretraining" if epochs is not None else "")
    goal = f"the training error of N = {saving.standalone_epochs} standalone epochs"
    if saving.reached is None:
        return f"{who} did not reach {goal} within its {saving.epochs} epochs"
    factor = saving.factor or 1.0
    if factor > 1:
        counted = saving.factor_with_pretraining
        also = f"; {times(counted)}× in images, those of the pretraining counted" if counted else ""
        return f"{who} reached {goal} after {saving.reached} epochs ({times(factor)}× fewer{also})"
    return f"{who} reached {goal} after {saving.reached} epochs, no sooner than standalone learning itself"


def _direction(comparison: Comparison) -> str:
    if comparison.standalone is None or comparison.transfer is None:
        return ""
    if thousandths(comparison.standalone) == thousandths(comparison.transfer):
        return "stayed"
    return "fell" if comparison.transfer < comparison.standalone else "rose"


def _quality(comparison: Comparison | None) -> str:
    if comparison is None or comparison.standalone is None or comparison.transfer is None:
        return ""
    old, new = thousandths(comparison.standalone), thousandths(comparison.transfer)
    direction = _direction(comparison)
    change = f"at {new}" if direction == "stayed" else f"from {old} to {new}"
    detail = "" if direction == "stayed" else f"{percent(comparison.transfer, comparison.standalone)}, "
    subjects = f"{comparison.better_in} of {comparison.n_subjects} subject{'s' * (comparison.n_subjects != 1)}"
    test = ""
    if math.isfinite(comparison.p):
        test = f", p = {comparison.p:.2g}"
        test += "" if comparison.is_shown else f"; {100 * comparison.shown:.2g} % could have been shown"
    text = (
        f"on the test subjects NMSE × 10³ in the heart box at R = {comparison.acceleration:g} {direction} {change} "
        f"({detail}lower in {subjects}{test})"
    )
    if comparison.initial is None:
        return text
    initial = thousandths(comparison.initial)
    if comparison.initial < min(comparison.standalone, comparison.transfer):
        return f"{text}, and the initial reconstruction, without any network, is better than both with {initial}"
    if comparison.initial < comparison.transfer:
        return f"{text}, and the initial reconstruction, without any network, is better with {initial}"
    return f"{text}, where the initial reconstruction has {initial}"
