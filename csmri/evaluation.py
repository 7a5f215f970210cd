"""One record per (subject, slice, frame, acceleration, method); averages are made later."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from csmri.config import EVALUATION_ACCELERATIONS, Sampling
from csmri.errors import CsmriError
from csmri.kspace.fourier import fft_y
from csmri.kspace.sampling import check_acceleration
from csmri.reconstruction import (
    INITIAL,
    ZERO_FILLED,
    Corrector,
    Images,
    frame_quality,
    simulate_slice,
)
from csmri.store import Entry, Store

QUALITIES = ("nmse", "nmse_heart", "psnr", "psnr_heart", "ssim", "ssim_heart")


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
    nmse: float
    nmse_heart: float
    psnr: float
    psnr_heart: float
    ssim: float
    ssim_heart: float


def evaluate(
    store: Store,
    correctors: Sequence[Corrector],
    *,
    split: str = "test",
    law: Sampling | None = None,
    accelerations: Sequence[float] = EVALUATION_ACCELERATIONS,
    seed: int = 0,
    visit: Callable[[Entry, int, float, Images, dict[str, Images]], None] | None = None,
) -> Iterable[list[Record]]:
    """Undersample the subjects of a split, reconstruct them with every method on the same masks, and compare.

    Parameters
    ----------
    law : Sampling, optional
        Defaults to the one that the networks were trained with.
    visit : callable, optional
        Called with (entry, slice, acceleration, reference, images of every method) for whoever wants the images.

    Yields
    ------
    list of Record
        Of one (subject, slice, acceleration) at a time.

    Raises
    ------
    CsmriError
        If two networks have one name, differ in their sampling, or an acceleration is impossible.
    """
    law = law or common_law(correctors)
    check_names(correctors)
    entries = store.of_split(split)
    for entry in entries:
        for acceleration in accelerations:
            check_acceleration(acceleration, entry.matrix[0])
    return _records(store, entries, tuple(correctors), law, accelerations, seed, visit)


def check_names(correctors: Sequence[Corrector]) -> None:
    """Refuse networks that have one name, or as a method that needs no network."""
    names = [ZERO_FILLED, INITIAL, *(corrector.name for corrector in correctors)]
    if len(set(names)) < len(names):
        raise CsmriError(f"two methods have one name ({', '.join(names)}); rename the folder or give NAME=PATH")


def common_law(correctors: Sequence[Corrector], **changes: Any) -> Sampling:
    """The sampling that all networks were trained with, but for `changes`; the default where there is no network."""
    trained = [corrector.saved.config.model_dump(include=set(Sampling.model_fields)) for corrector in correctors]
    laws = {Sampling(**{**fields, **changes}) for fields in trained or [{}]}
    if len(laws) > 1:
        raise CsmriError(
            f"the models were trained with different sampling ({' and '.join(str(law) for law in laws)}); "
            "choose one with --mask-law"
        )
    return laws.pop()


def write_records(records: Iterable[Record], path: str | Path) -> None:
    """Write records as CSV, six significant digits."""
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Record))
        for record in records:
            values = asdict(record).values()
            writer.writerow(f"{value:.6g}" if isinstance(value, float) else value for value in values)


def read_records(path: str | Path) -> list[Record]:
    """Read what `write_records` wrote."""
    kinds = {"subject": str, "method": str, "slice": int, "frame": int}
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            return [
                Record(**{name: kinds.get(name, float)(value) for name, value in row.items()})
                for row in csv.DictReader(file)
            ]
    except (OSError, TypeError, ValueError) as error:
        raise CsmriError(f"{path}: not a table of records from `csmri evaluate` ({error})") from error


def mean_over_subjects(records: Iterable[Record], quality: str) -> dict[tuple[str, float], tuple[float, float]]:
    """Average within each subject, then over subjects; frames whose reference is blank have no NMSE and are left out.

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


def table2(records: Sequence[Record], quality: str = "nmse_heart") -> str:
    """Form of the paper's table 2 in Markdown: methods by accelerations, mean +- spread over subjects."""
    means = mean_over_subjects(records, quality)
    methods = list(dict.fromkeys(record.method for record in records))
    accelerations = sorted({record.acceleration for record in records})
    factor, digits = (1e3, 2) if quality.startswith("nmse") else (1.0, 2 if quality.startswith("psnr") else 4)
    head = f"{quality} x 1e-3" if factor != 1 else quality
    rows = [[head, *(f"R = {acceleration:g}" for acceleration in accelerations)]]
    for method in methods:
        cells = (means[method, acceleration] for acceleration in accelerations)
        rows.append([method, *(f"{factor * mean:.{digits}f} ± {factor * spread:.{digits}f}" for mean, spread in cells)])
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Align rows as a Markdown table; the first is the head, the first column text, the others numbers."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        return f"| {' | '.join(cells)} |"

    rule = (
        "|" + "|".join("-" * (width + 2) if i == 0 else "-" * (width + 1) + ":" for i, width in enumerate(widths)) + "|"
    )
    return "\n".join([line(rows[0]), rule, *map(line, rows[1:])])


def _records(
    store: Store,
    entries: Sequence[Entry],
    correctors: tuple[Corrector, ...],
    law: Sampling,
    accelerations: Sequence[float],
    seed: int,
    visit: Callable[[Entry, int, float, Images, dict[str, Images]], None] | None,
) -> Iterable[list[Record]]:
    for entry in entries:
        for index, reference in enumerate(store.slices(entry)):
            hybrid = fft_y(reference)
            for acceleration in accelerations:
                done = simulate_slice(
                    hybrid,
                    acceleration,
                    seed=seed,
                    subject=entry.subject,
                    slice_index=index,
                    law=law,
                    correctors=correctors,
                )
                if visit:
                    visit(entry, index, acceleration, reference, done.methods)
                yield [
                    Record(entry.subject, index, frame, acceleration, done.achieved, method, **quality)
                    for method, images in done.methods.items()
                    for frame, quality in enumerate(frame_quality(reference, images, entry.heart_box))
                ]
