"""What an evaluation leaves: work items and their outcomes, one type of table, one rule of averaging."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from csmri.core.errors import CsmriError
from csmri.core.texts import read_csv, write_csv

QUALITIES = ("nmse", "nmse_heart", "psnr", "psnr_heart", "ssim", "ssim_heart")
UNTRAINED = -1


@dataclass(frozen=True)
class Item:
    """One slice of one subject by one method at one acceleration: the unit that is done, kept and continued with."""

    subject: str
    slice: int
    acceleration: float
    method: str
    seed: int = UNTRAINED
    """Of the training; -1 for a method without one."""
    acquisition: str = ""
    """Name of the acquisition where a sweep compares several."""

    @property
    def as_kept(self) -> Item:
        """The item with its acceleration as a table keeps it."""
        return replace(self, acceleration=float(_cell(self.acceleration)))


@dataclass(frozen=True)
class Record:
    """Quality of one reconstructed image; see `evaluation.metrics.frame_quality` for range and region."""

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
    acquisition: str = ""
    """As in `Item`."""


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
    acquisition: str = ""
    """As in `Item`."""


@dataclass(frozen=True)
class Outcome:
    """What came of one work item."""

    item: Item
    achieved: float
    """Acceleration of the drawn mask."""
    seconds: float
    matrix: tuple[int, int]
    """Pixels (y, x)."""
    quality: Sequence[Mapping[str, float]]
    """Of every frame, by the names in `QUALITIES`."""

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Outcome:
        """Make it of what `asdict` made of it, after JSON."""
        return cls(**{**fields, "item": Item(**fields["item"]), "matrix": tuple(fields["matrix"])})

    def records(self) -> list[Record]:
        """A record a frame."""
        place: dict[str, Any] = {**asdict(self.item), "achieved": self.achieved}
        return [Record(**{**place, **one}, frame=frame) for frame, one in enumerate(self.quality)]

    def timing(self) -> Timing:
        """The time of the whole cine."""
        place = {name: value for name, value in asdict(self.item).items() if name != "seed"}
        return Timing(**place, n_frames=len(self.quality), n_y=self.matrix[0], n_x=self.matrix[1], seconds=self.seconds)


Row = TypeVar("Row", Record, Timing)


def item_of(record: Record) -> Item:
    """Work item that a record comes from."""
    return Item(record.subject, record.slice, record.acceleration, record.method, record.seed, record.acquisition)


def write_records(records: Iterable[Record], path: str | Path) -> None:
    """Write records as CSV, five significant digits, compressed as the name says (.xz, .gz); whole or not at all."""
    _write_rows(Record, records, path)


def read_records(path: str | Path) -> list[Record]:
    """Read what `write_records` wrote."""
    return _read_rows(Record, path, "records")


def write_timings(timings: Iterable[Timing], path: str | Path) -> None:
    """Write times as `write_records` does records."""
    _write_rows(Timing, timings, path)


def read_timings(path: str | Path) -> list[Timing]:
    """Read what `write_timings` wrote."""
    return _read_rows(Timing, path, "times")


def _write_rows(kind: type[Row], rows: Iterable[Row], path: str | Path) -> None:
    rows = list(rows)
    # A column that may be left out, and tells nothing here, is.
    names = [one.name for one in fields(kind) if one.default is MISSING or any(getattr(r, one.name) for r in rows)]
    write_csv(path, names, ([_cell(getattr(row, name)) for name in names] for row in rows))


def _cell(value: Any) -> Any:
    return f"{value:.5g}" if isinstance(value, float) else value


def _read_rows(kind: type[Row], path: str | Path, what: str) -> list[Row]:
    types = {"str": str, "int": int, "float": float}
    columns = {field.name: types[str(field.type)] for field in fields(kind)}
    try:
        return [kind(**{name: columns[name](value) for name, value in row.items()}) for row in read_csv(path)]
    except (OSError, EOFError, KeyError, TypeError, ValueError) as error:
        raise CsmriError(f"{path}: not a table of {what} from `csmri evaluate` ({error})") from error


def with_quality(records: Iterable[Record], quality: str) -> tuple[list[Record], str]:
    """Choose the records that count for a quality, and say how many images do not.

    An image without content, whose reference is zero in the frame or, for the `_heart` qualities, in the heart box of
    it, has no quality by any method: `metrics.frame_quality` gives NaN, and only then an NMSE of NaN. It counts for
    none of the qualities of that region, also where an older csmri gave it a PSNR.

    Returns
    -------
    list of Record
        What averages are taken over.
    str
        A note for below a table, empty where nothing is left out.
    """
    region = quality.removeprefix(quality.partition("_")[0])
    counted, images, blank, small = [], set(), set(), set()
    for record in records:
        image = record.subject, record.slice, record.frame
        images.add(image)
        if np.isnan(getattr(record, f"nmse{region}")):
            blank.add(image)
        elif np.isnan(getattr(record, quality)):
            small.add(image)
        else:
            counted.append(record)
    of = f"of {len(images):,} images"
    notes = [f"{len(blank):,} {of} without content {_are(blank)} left out."] if blank else []
    notes += [f"{len(small):,} {of}, too small for the window of SSIM, {_are(small)} left out."] if small else []
    return counted, " ".join(notes)


def mean_over_subjects(records: Iterable[Record], quality: str) -> dict[tuple[str, float], tuple[float, float]]:
    """Average within each subject, then over subjects: the one rule of averaging.

    Only what `with_quality` lets count does: a subject of nothing but images without content drops out.

    Returns
    -------
    dict
        (method, acceleration) -> mean and standard deviation over subjects (0 for a single one, NaN where a mean is
        not finite).
    """
    of_subject: defaultdict[tuple[str, float, str], list[float]] = defaultdict(list)
    for record in with_quality(records, quality)[0]:
        of_subject[record.method, record.acceleration, record.subject].append(getattr(record, quality))
    means: defaultdict[tuple[str, float], list[float]] = defaultdict(list)
    for (method, acceleration, _), values in of_subject.items():
        means[method, acceleration].append(float(np.mean(values)))
    return {key: (float(np.mean(values)), _spread(values)) for key, values in means.items()}


def _spread(values: list[float]) -> float:
    if not np.isfinite(values).all():
        return float("nan")
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _are(things: Collection[object]) -> str:
    return "is" if len(things) == 1 else "are"
