"""Records -> the paper's table 2, its test of TL against SL, and the same for PSNR and SSIM."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from csmri.core.names import STANDALONE, method_label, transfers
from csmri.data.records import UNTRAINED, Record, mean_over_subjects, with_quality
from csmri.results.tables.paired import (
    LEVEL,
    MOST_SUBJECTS,
    POWER,
    least_sign_flip,
    paired_t_test,
    shown_difference,
    sign_flip_test,
)
from csmri.results.tables.text import MISSING, Table, markdown

Means = dict[tuple[str, float], tuple[float, float]]

RANGE = "The range of PSNR and SSIM is the maximum of the slice's reference over all frames."
NAMES = {
    "nmse_heart": "NMSE × 10⁻³ in the heart box",
    "nmse": "NMSE × 10⁻³ of the whole image",
    "psnr_heart": "PSNR in dB in the heart box",
    "psnr": "PSNR in dB of the whole image",
    "ssim_heart": "SSIM in the heart box",
    "ssim": "SSIM of the whole image",
}
SHARED = (
    "Networks of different folds share training subjects, so that the differences of the subjects are not quite "
    "independent, as both tests take them to be."
)
"""Said of tests over folds."""
SCALES = {"nmse": (1e3, 2), "psnr": (1.0, 2), "ssim": (1.0, 4)}
"""Factor and digits of every quality in tables, figures and pages."""


@dataclass(frozen=True)
class Comparison:
    """One method against another at one acceleration, paired over subjects; negative changes are less."""

    acceleration: float
    n_subjects: int
    less_in: int
    """Subjects in which the one has less than the other."""
    change: float
    """Of the mean, relative to the other; NaN, as the tests, where an error is not finite."""
    t_test: float
    """Two-sided p of Student's paired t-test; NaN where it cannot be told (one subject, no spread)."""
    sign_flip: float
    """Two-sided p of the exact sign-flip permutation test; NaN beyond 16 subjects."""
    shown: float
    """Smallest change, to either side and relative as `change`, that the t-test would find with probability 0.8 in so
    many subjects, if their differences scatter as these do; NaN where the t-test is."""

    @property
    def least_sign_flip(self) -> float:
        """Smallest p that the sign-flip test can give with so many subjects."""
        return least_sign_flip(self.n_subjects)


def table2(records: Sequence[Record], quality: str = "nmse_heart") -> str:
    """Form of the paper's table 2 in Markdown: methods by accelerations, mean +- spread over subjects, best in bold.

    Below it stands how many images are left out, if any are.
    """
    return "\n\n".join([markdown(_rows(records, quality)), *left_out(records, quality)])


def quality_tables(records: Sequence[Record], fold_subjects: int = 0) -> list[Table]:
    """Table 2 with the test of TL against SL, its spread over seeds, whole-image NMSE, PSNR and SSIM.

    Parameters
    ----------
    fold_subjects : int
        Where every subject was tested in a fold of its own: how many others its networks were trained on.
    """
    rows = _rows(records, "nmse_heart", head="method")
    notes = [_about_means(records, "nmse_heart", fold_subjects)]
    pair = standalone_and_transfer(record.method for record in records)
    if pair:
        comparisons = {one.acceleration: one for one in compare(records, *pair)}
        columns = [comparisons.get(acceleration) for acceleration in accelerations_of(records)]
        rows += [
            ["TL against SL, %", *(_percent(c.change) if c else MISSING for c in columns)],
            ["p, paired t-test", *(_p(c.t_test) if c else MISSING for c in columns)],
            [f"shown with {100 * POWER:.0f} %, %", *(_percent(c.shown, "") if c else MISSING for c in columns)],
            ["p, sign-flip test", *(_p(c.sign_flip) if c else MISSING for c in columns)],
        ]
        notes.append(_about_tests(pair, max((c.n_subjects for c in comparisons.values()), default=0)))
        notes += [SHARED] if fold_subjects else []
    notes += left_out(records, "nmse_heart")
    tables = [Table("nmse_heart", f"Table 2. {NAMES['nmse_heart']}", rows, notes)]
    if seeds := _seeds_table(records):
        tables.append(seeds)
    for quality in ("nmse", "psnr_heart", "psnr", "ssim_heart", "ssim"):
        if with_quality(records, quality)[0]:
            means = _about_means(records, quality, fold_subjects)
            notes = [means if quality == "nmse" else f"{means} {RANGE}", *left_out(records, quality)]
            tables.append(Table(quality, NAMES[quality], _rows(records, quality, head="method"), notes))
    return tables


def left_out(records: Iterable[Record], quality: str) -> list[str]:
    """Note on the images that a table of this quality leaves out; empty where it takes all."""
    note = with_quality(records, quality)[1]
    return [note] if note else []


def n_counted_subjects(records: Iterable[Record], quality: str) -> int:
    """Count the subjects that an average over subjects of this quality is taken over."""
    return len({record.subject for record in with_quality(records, quality)[0]})


def about_folds(fold_subjects: int) -> str:
    """Say how the networks of a study with folds and their test subjects go together; empty of one without."""
    others = "1 other" if fold_subjects == 1 else f"{fold_subjects} others"
    return f"each tested by networks trained on {others}" if fold_subjects else ""


def _about_means(records: Sequence[Record], quality: str, fold_subjects: int) -> str:
    n_subjects, folds = n_counted_subjects(records, quality), about_folds(fold_subjects)
    over = f"± standard deviation over {n_subjects} test subjects, {f'{folds} and' if folds else 'each'} first averaged"
    of = "slices and frames" if folds else "slices, frames and seeds"
    means = f"Mean {over if n_subjects > 1 else 'of one test subject'} over {of}; best in bold."
    return " ".join([means, *about_heads(records)])


def standalone_and_transfer(methods: Iterable[str]) -> tuple[str, str] | None:
    """SL and TL among the methods, TL being the transfer after the longest pretraining; None without both."""
    names = set(methods)
    found = transfers(names)
    return (STANDALONE, found[-1]) if found and STANDALONE in names else None


def compare(records: Sequence[Record], other: str, one: str, quality: str = "nmse_heart") -> list[Comparison]:
    """Compare method `one` with `other` on the subjects that both have, at every acceleration that both have."""
    by_subject = {
        subject: mean_over_subjects([record for record in records if record.subject == subject], quality)
        for subject in dict.fromkeys(record.subject for record in records)
    }
    comparisons = []
    for acceleration in accelerations_of(records):
        keys = (one, acceleration), (other, acceleration)
        pairs = np.array([[m[key][0] for key in keys] for m in by_subject.values() if all(key in m for key in keys)])
        if len(pairs):
            first, second = pairs.T
            change = t_test = sign_flip = shown = math.nan
            if np.isfinite(pairs).all():
                change = first.mean() / second.mean() - 1
                t_test, sign_flip = paired_t_test(first - second), sign_flip_test(first - second)
                shown = shown_difference(first - second) / second.mean()
            less_in = int(np.sum(first < second))
            numbers = float(change), t_test, sign_flip, float(shown)
            comparisons.append(Comparison(acceleration, len(pairs), less_in, *numbers))
    return comparisons


def spread_over_seeds(records: Sequence[Record], quality: str = "nmse_heart") -> dict[tuple[str, float], float]:
    """Standard deviation over seeds of the mean over subjects; only for methods trained with several seeds.

    Empty where seeds were tested on different subjects, as folds are: their means differ because the subjects do.
    """
    seeds = sorted({record.seed for record in records if record.seed != UNTRAINED})
    tested = {frozenset(record.subject for record in records if record.seed == seed) for seed in seeds}
    if len(tested) > 1:
        return {}
    means = [mean_over_subjects([record for record in records if record.seed == seed], quality) for seed in seeds]
    values = {key: [m[key][0] for m in means if key in m] for key in dict.fromkeys(key for m in means for key in m)}
    return {key: _spread(some) for key, some in values.items() if len(some) > 1}


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if np.isfinite(values).all() else math.nan


def _seeds_table(records: Sequence[Record]) -> Table | None:
    spread = spread_over_seeds(records)
    if not spread:
        return None
    accelerations = accelerations_of(records)
    rows = [_head("sd over seeds", records)]
    for method in dict.fromkeys(method for method, _ in spread):
        cells = (number("nmse", spread.get((method, a), math.nan)) for a in accelerations)
        rows.append([method_label(method), *cells])
    n = len({record.seed for record in records if record.seed != UNTRAINED})
    note = f"Standard deviation over {n} seeds of the mean over all test subjects."
    notes = [" ".join([note, *about_heads(records)]), *left_out(records, "nmse_heart")]
    return Table("seeds", f"Spread over seeds: {NAMES['nmse_heart']}", rows, notes)


def _rows(records: Sequence[Record], quality: str, head: str = "") -> list[list[str]]:
    means = mean_over_subjects(records, quality)
    accelerations, n_subjects = accelerations_of(records), n_counted_subjects(records, quality)
    rows = [_head(head or (f"{quality} x 1e-3" if quality.startswith("nmse") else quality), records)]
    best = {a: best_method(means, a, least=quality.startswith("nmse")) for a in accelerations}
    for method in dict.fromkeys(record.method for record in records):
        row = [method_label(method)]
        for acceleration in accelerations:
            mean, spread = means.get((method, acceleration), (math.nan, math.nan))
            cell = number(quality, mean)
            if n_subjects > 1 and not math.isnan(spread):
                cell += f" ± {number(quality, spread)}"
            row.append(f"**{cell}**" if best[acceleration] == method else cell)
        rows.append(row)
    return rows


def number(quality: str, value: float) -> str:
    """Write a quality, such as `nmse_heart`, as all tables do: NMSE x 1e3 and PSNR with two digits, SSIM with four."""
    factor, digits = SCALES[quality.removesuffix("_heart")]
    return MISSING if math.isnan(value) else f"{factor * value:.{digits}f}"


def best_method(means: Means, acceleration: float, *, least: bool) -> str | None:
    """Method with the best mean; None where there is nothing to choose from."""
    values = {name: mean for (name, a), (mean, _) in means.items() if a == acceleration and not math.isnan(mean)}
    return (min if least else max)(values, key=values.__getitem__) if len(values) > 1 else None


def _head(name: str, records: Sequence[Record]) -> list[str]:
    return [name, *(acceleration_head(records, acceleration) for acceleration in accelerations_of(records))]


def acceleration_head(records: Iterable[Record], acceleration: float) -> str:
    """Head of the column of one acceleration, `R = 8 (8.64)`: in brackets the one achieved, where that is another.

    Lines are whole, so that it depends on the mask law and on the subject's matrix: where subjects differ it is their
    mean, with one digit less, `R = 8 (8.1)`.
    """
    of_subject: defaultdict[str, set[float]] = defaultdict(set)
    for record in records:
        if record.acceleration == acceleration:
            of_subject[record.subject].add(record.achieved)
    means = [fmean(values) for values in of_subject.values()]
    digits = 2 if len({round(mean, 2) for mean in means}) == 1 else 1
    achieved = f"{fmean(means):.{digits}f}" if means else ""
    asked = f"R = {acceleration:g}"
    return asked if achieved in ("", f"{acceleration:.{digits}f}") else f"{asked} ({achieved})"


def about_heads(records: Sequence[Record]) -> list[str]:
    """Say what stands in the brackets of the heads; empty where none has any."""
    heads = [acceleration_head(records, acceleration) for acceleration in accelerations_of(records)]
    return ["R: acceleration asked for, in brackets the one achieved."] if any("(" in head for head in heads) else []


def accelerations_of(records: Iterable[Record]) -> list[float]:
    """Accelerations that there are records of, from the lowest on."""
    return sorted({record.acceleration for record in records})


def _percent(change: float, sign: str = "+") -> str:
    return MISSING if math.isnan(change) else f"{100 * change:{sign}.1f}".replace("-", "−")


def _p(value: float) -> str:
    return MISSING if math.isnan(value) else "<0.001" if value < 1e-3 else f"{value:.3f}"


def _about_tests(pair: tuple[str, str], n: int) -> str:
    who = f"TL is {method_label(pair[1])}, SL {method_label(pair[0])}."
    if n < 2:
        return f"{who} {n or 'No'} subject has both, and no difference can be tested on fewer than two."
    text = (
        f"{who} Tests are two-sided and paired over {n} subjects: Student's t, which assumes normal differences, and "
        "the exact sign-flip permutation test, which assumes only symmetric ones"
    )
    least = least_sign_flip(n)
    if n > MOST_SUBJECTS:
        text += f" (left out beyond {MOST_SUBJECTS} subjects)."
    else:
        text += f" and cannot fall below p = {least:.3g} with {n}."
        if least > LEVEL:
            text += f" So few subjects cannot show a difference at the {100 * LEVEL:.0f} % level by it."
    level, power = f"{100 * LEVEL:.0f} %", f"{100 * POWER:.0f} %"
    return (
        f"{text} Shown with {power}: the smallest true difference, in % of SL's mean, that the t-test would find at "
        f"the {level} level with a probability of {power} in {n} subjects whose differences scatter as here; a p above "
        f"{LEVEL:g} does not rule out a smaller one."
    )
