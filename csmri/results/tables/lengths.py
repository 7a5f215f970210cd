"""The saving for every length of standalone learning: a factor is no constant, and is never told without its length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median, median_low

from csmri.core.names import method_label, short, transfer_name
from csmri.results.folder import Results
from csmri.results.tables.savings import Pair, Race, Saving, pairs
from csmri.results.tables.text import MISSING, Table

WINDOW = 9
"""Epochs of the running mean, where the logs are long enough."""
FIRST, SUSTAINED = "first reached", "sustained"
"""The two readings."""
ROWS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1)
"""Lengths in the tables, as shares of the whole standalone learning."""


def _of_paper(pretraining: int, reached: int) -> Saving:
    # 100 epochs of 6,624 images of the target, epochs of pretraining with 6,880 images.
    race = Race(0, float("nan"), 100, 100, float("nan"), reached, 100, (100 * 6624, 6624, pretraining * 6880))
    return Saving(transfer_name(pretraining), [race])


PAPER = [_of_paper(10, 20), _of_paper(20, 5), _of_paper(50, 2)]
"""What the paper says: after so many epochs of pretraining, so many of transfer are as good as N = 100 of standalone
learning. Sections 2.1 to 2.4 tell the images."""


@dataclass(frozen=True)
class SavingCurve:
    """Saving of one transfer against N, the epochs that standalone learning is given."""

    training: str
    window: int
    """Epochs of the running mean of the sustained reading; 1 where the logs are too short for one."""
    readings: Mapping[str, Mapping[int, Saving]]
    """Reading -> N -> the transfer against standalone learning after N epochs, seed by seed."""

    @property
    def lengths(self) -> list[int]:
        """Every N, as far as standalone learning got with every seed."""
        return list(self.readings[FIRST])


@dataclass(frozen=True)
class Factor:
    """A saving, or where the transfer was never as good in the epochs that it was trained, what the saving is below."""

    value: float
    sign: str = ""
    """`<` or `≤` where only a bound is known."""

    @property
    def known(self) -> bool:
        """Whether the value is the saving itself."""
        return not self.sign

    def __str__(self) -> str:
        """As a table says it: `1.4`, `12`, `<0.5`."""
        return self.sign + (f"{self.value:.2g}" if self.value < 9.95 else f"{self.value:.0f}")


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest saving over seeds."""

    median: Factor
    low: Factor
    high: Factor

    def __str__(self) -> str:
        """As a table says it: `1.4× (<1–2.9×)`."""
        ends = list(dict.fromkeys([str(self.low), str(self.high)]))
        return f"{self.median}×" + (f" ({'–'.join(ends)}×)" if len(ends) > 1 else "")


def saving_curves(results: Results, trainings: Sequence[str] | None = None) -> list[SavingCurve]:
    """Compare transfers, by default all by their name, with standalone learning of every length.

    *First reached* is the first epoch of the transfer with an error at or below that of standalone learning after N
    epochs. Errors of single epochs are noisy, and the first below a goal is a lucky one. *Sustained* is the same of
    running means: over `WINDOW` epochs, or an odd third of the shortest log where that is less, centred, and at both
    ends of a curve over those epochs of the window that there are. So it cannot tell the first few epochs apart.
    """
    curves = []
    for training, of_seeds in pairs(results, trainings).items():
        window = _window(min(len(curve) for pair in of_seeds for curve in (pair.standalone, pair.on_target)))
        lengths = sorted(set.intersection(*(set(pair.standalone) for pair in of_seeds)))
        smoothed = [_smoothed(pair, window) for pair in of_seeds]
        readings = {
            reading: {n: Saving(training, [pair.race(n) for pair in some], results.repeat) for n in lengths}
            for reading, some in ((FIRST, of_seeds), (SUSTAINED, smoothed))
        }
        if lengths:
            curves.append(SavingCurve(training, window, readings))
    return curves


def spread(saving: Saving, *, counted: bool = False) -> Spread | None:
    """Saving over seeds, in epochs or, with the images of the pretraining `counted`, in images; None if unknown.

    A seed with which the transfer was never as good lies anywhere between nothing and its bound. So may the median
    and the ends then.
    """
    factors = [
        (race.factor_with_pretraining, race.bound_with_pretraining) if counted else (race.factor, race.bound)
        for race in saving.races
    ]
    least = [factor or 0.0 for factor, _ in factors]
    bounds = [bound if factor is None else factor for factor, bound in factors]
    most = [one for one in bounds if one is not None]
    if len(most) < len(bounds):
        return None
    middle = median if least == most else median_low
    missed = {bound for factor, bound in factors if factor is None}

    def of(pick: Callable[[list[float]], float]) -> Factor:
        value = pick(most)
        return Factor(value, "" if pick(least) == value else "<" if value in missed else "≤")

    return Spread(of(middle), of(min), of(max))


@dataclass(frozen=True)
class View:
    """How a saving is drawn."""

    by_images: bool
    """Against images seen by standalone learning over those of the pretraining, instead of N."""
    counted: bool
    """Saving in images, those of the pretraining counted, instead of epochs."""

    def x(self, saving: Saving) -> float | None:
        """Where a saving stands; None where images are not known."""
        race = saving.races[0]
        return race.images_ratio if self.by_images else race.standalone_epochs

    def points(self, curve: SavingCurve, reading: str) -> list[tuple[float, Spread]]:
        """Savings by where they stand, from a twentieth of all epochs on: before, being there at once says nothing."""
        lengths = [n for n in curve.lengths if n >= ROWS[0] * curve.lengths[-1]]
        savings = [curve.readings[reading][n] for n in lengths]
        found = [(self.x(saving), spread(saving, counted=self.counted)) for saving in savings]
        return [(x, one) for x, one in found if x is not None and one is not None]

    @property
    def paper(self) -> list[tuple[str, float, float]]:
        """What the paper says: name of the transfer, where it stands, its saving."""
        found = [(saving.training, self.x(saving), spread(saving, counted=self.counted)) for saving in PAPER]
        return [(training, x, one.median.value) for training, x, one in found if x and one]


def repeats(curves: Sequence[SavingCurve]) -> tuple[int, str]:
    """How often the trainings were repeated, and with what: another seed, or another fold."""
    savings = [saving for curve in curves for saving in curve.readings[FIRST].values()]
    return max(len(saving.races) for saving in savings), savings[0].repeat


def running_mean(curve: Mapping[int, float], window: int) -> dict[int, float]:
    """Mean over `window` epochs, an odd number, around each; at the ends over those of them that there are."""
    half = window // 2
    around = ({n: curve[n] for n in range(epoch - half, epoch + half + 1) if n in curve} for epoch in sorted(curve))
    return {epoch: fmean(some.values()) for epoch, some in zip(sorted(curve), around, strict=True)}


def lengths_tables(curves: Sequence[SavingCurve]) -> list[Table]:
    """Table of the sustained savings of all transfers, then one a transfer with both readings."""
    return [_overview(curves), *(_details(curve) for curve in curves)] if curves else []


def shown_lengths(curves: Sequence[SavingCurve]) -> list[int]:
    """Lengths for the rows of a table: 5, 10, 20, 40, 60, 80, 100 of 100 epochs, fewer where there are fewer."""
    lengths = sorted({n for curve in curves for n in curve.lengths})
    wanted = [share * lengths[-1] for share in ROWS]
    return sorted({min(lengths, key=lambda n: abs(n - one)) for one in wanted})


def _overview(curves: Sequence[SavingCurve]) -> Table:
    counted = any(spread(one, counted=True) for curve in curves for one in curve.readings[SUSTAINED].values())
    names = [short(curve.training) for curve in curves]
    head = ["N", *names, *(f"{name}, pretraining counted" for name in names if counted)]
    rows = [head]
    for n in shown_lengths(curves):
        found = [curve.readings[SUSTAINED].get(n) for curve in curves]
        rows.append([str(n), *(_cell(one) for one in found), *(_cell(one, counted=True) for one in found if counted)])
    windows = sorted({curve.window for curve in curves})
    n_repeats, repeat = repeats(curves)
    over = f"median (lowest–highest) over {n_repeats} {repeat}s" if n_repeats > 1 else f"one {repeat}"
    smooth = (
        f"errors are running means over {' or '.join(map(str, windows))} epochs, centred, at the ends over those that "
        "there are, so that the first few epochs cannot be told apart"
        if windows[-1] > 1
        else "the logs are too short for running means"
    )
    notes = [
        "How many times fewer epochs a transfer needs to come down to the error of the training images that "
        f"standalone learning has after N epochs: {over}; {smooth}.",
        "<: not reached in the epochs that the transfer was trained, so that the saving is below that.",
        *(
            [
                "Pretraining counted: images that standalone learning sees in N epochs over those of pretraining and "
                "transfer together."
            ]
            if counted
            else []
        ),
        _paper_note(),
    ]
    return Table("savings", "Saving by transfer learning against the length N of standalone learning", rows, notes)


def _details(curve: SavingCurve) -> Table:
    rows = [["N", "images, SL / pretraining"]]
    for reading in curve.readings:
        rows[0] += [f"{reading}: epoch", "saving", "pretraining counted"]
    for n in shown_lengths([curve]):
        ratio = curve.readings[FIRST][n].races[0].images_ratio
        row = [str(n), MISSING if ratio is None else f"{ratio:.2g}"]
        for savings in curve.readings.values():
            row += [epochs_needed(savings[n]), _cell(savings[n]), _cell(savings[n], counted=True)]
        rows.append(row)
    window = f"running means over {curve.window} epochs" if curve.window > 1 else "errors as they are"
    notes = [
        "First reached: first epoch whose own error is at or below that of standalone learning after N epochs, which "
        f"may be a lucky one. Sustained: the same of {window}. Images: those that standalone learning sees in N epochs "
        "over those of the pretraining."
    ]
    return Table(f"savings_{curve.training}", f"Epochs needed by {method_label(curve.training)}", rows, notes)


def _paper_note() -> str:
    races = [saving.races[0] for saving in PAPER]
    pretraining = [saving.training.rpartition("_")[2] for saving in PAPER]
    factors = [f"{race.factor:.0f}×" for race in races]
    ratios = [f"{race.images_ratio:.1f}" for race in races]
    counted = [f"{race.factor_with_pretraining:.1f}×" for race in races]
    return (
        f"The paper, at N = 100: {_each(factors)} after {_each(pretraining)} epochs of pretraining, where standalone "
        f"learning has seen {_each(ratios)} times the images of the pretraining; pretraining counted {_each(counted)}."
    )


def _each(texts: Sequence[str]) -> str:
    return f"{', '.join(texts[:-1])} and {texts[-1]}"


def epochs_needed(saving: Saving) -> str:
    """Epochs of the transfer as a table says them: `20 (7–>100)`, where one seed did not get there in 100."""
    missed = [race.epochs for race in saving.races if race.reached is None]
    found = sorted(race.reached for race in saving.races if race.reached is not None)
    ends = [*map(str, found[:1]), f">{max(missed)}" if missed else str(found[-1])]
    middle = str(saving.reached) if saving.reached else f">{max(missed)}"
    return middle + (f" ({'–'.join(ends)})" if len(set(ends)) > 1 else "")


def _cell(saving: Saving | None, *, counted: bool = False) -> str:
    found = spread(saving, counted=counted) if saving else None
    return str(found) if found else MISSING


def _window(n_epochs: int) -> int:
    """Largest odd number of epochs up to `WINDOW` and to a third of a log."""
    most = min(WINDOW, n_epochs // 3)
    return max(most - (most % 2 == 0), 1)


def _smoothed(pair: Pair, window: int) -> Pair:
    standalone, transfer, on_target = (
        running_mean(curve, window) for curve in (pair.standalone, pair.transfer, pair.on_target)
    )
    return replace(pair, standalone=standalone, transfer=transfer, on_target=on_target)
