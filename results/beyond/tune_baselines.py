"""Tune the defaults of the classical baselines, and check them on other subjects.

Only training subjects are used. One dial a method is tried at every acceleration under both mask laws, and the law
dial = a R^b with the least regret is printed; iterations and other settings were chosen by hand on the same subjects.
The check runs the defaults of the package on subjects that nothing was tuned on. Errors are
NMSE in the heart box over those of temporal interpolation with the same mask. ACDC is cut to 96 x 96 pixels (rows
padded by their edge) with the central 48 x 48 as heart box; Sunnybrook is tuned on 96 columns around the heart.

    CSMRI_DATA=folder python results/beyond/tune_baselines.py [tune|fit|check|report] [METHOD ...]

tune and check write results/beyond/baselines_tuning.csv after every cine, and go on where they were stopped: what was
measured with today's settings is kept. fit prints the laws of a finished tune again; report writes
results/beyond/baselines_check.md from the rows of the check and from the evaluations of the test subjects that lie in
results/beyond, and keeps what is written there under "Reading".
"""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from csmri.baselines import METHODS
from csmri.config import EVALUATION_ACCELERATIONS, Sampling
from csmri.core import provenance
from csmri.core.names import INITIAL
from csmri.core.seeds import derive_seed, subject_key
from csmri.data.records import read_records
from csmri.data.roi import Box, heart_box
from csmri.evaluation import metrics
from csmri.formats import read_cine
from csmri.kspace.fourier import fft_y
from csmri.kspace.sampling import make_mask

OUT = Path(__file__).with_name("baselines_tuning.csv")
COLUMNS = (
    "stage",
    "method",
    "dial",
    "value",
    "set",
    "case",
    "mask",
    "R",
    "nmse_linear",
    "ratio",
    "seconds",
    "settings",
)
LAWS = ("gaussian", "schlemper")
ACDC = {"tune": (1, 62), "check": (3, 4, 5, 6, 21, 63, 64)}
SUNNYBROOK = {"tune": (101,), "check": (201,)}
READING = "## Reading\n"
REPORT = Path(__file__).with_name("baselines_check.md")
DIALS = {
    "kt-focuss": ("strength", (1e-4, 4e-4, 1.6e-3, 6.4e-3)),
    "temporal-fourier-l1": ("strength", (5e-5, 2e-4, 8e-4, 3.2e-3, 1.28e-2)),
    "low-rank-plus-sparse": ("strength", (2e-4, 8e-4, 3.2e-3, 1.28e-2)),
    "temporal-tv": ("step", (0.15, 0.5, 1.5, 5.0)),
    "spatiotemporal-tv": ("step", (0.15, 0.5, 1.5, 5.0)),
}
CHECKED = ("view-sharing", *DIALS)

# Heart-box NMSE over that of temporal interpolation, of independent implementations (PyTorch 2.13, NumPy 2.4) of the
# same methods, measured 2026-11-22 with settings tuned for each data set, mask law and R on other subjects: mean over
# 12 cines of 12 ACDC subjects (049 to 061) and 10 of 5 Sunnybrook subjects. View sharing: ratio of the mean NMSE.
PEERS = {
    ("acdc", "gaussian", "2"): (0.918 / 0.712, 0.97, 0.96, 0.95, 0.94, 0.85),
    ("acdc", "gaussian", "3"): (2.08 / 1.6, 0.96, 0.94, 0.94, 0.89, 0.85),
    ("acdc", "gaussian", "4"): (3.08 / 2.49, 0.95, 0.96, 0.95, 0.88, 0.86),
    ("acdc", "gaussian", "8"): (6.84 / 6.1, 0.96, 1.02, 0.99, 0.95, 0.98),
    ("acdc", "schlemper", "2"): (1.14 / 0.852, 0.91, 0.89, 0.88, 0.83, 0.83),
    ("acdc", "schlemper", "3"): (2.45 / 2.03, 0.92, 0.93, 0.92, 0.87, 0.84),
    ("acdc", "schlemper", "4"): (3.64 / 3.19, 0.94, 0.96, 0.98, 0.90, 0.86),
    ("acdc", "schlemper", "8"): (9.5 / 9.3, 0.95, 0.97, 0.94, 0.92, 0.90),
    ("sunnybrook", "gaussian", "2"): (1.4 / 1.22, 0.94, 0.92, 0.93, 0.89, None),
    ("sunnybrook", "gaussian", "3"): (2.97 / 2.55, 0.90, 0.87, 0.85, 0.82, None),
    ("sunnybrook", "gaussian", "4"): (4.48 / 3.96, 0.88, 0.86, 0.86, 0.84, 0.87),
    ("sunnybrook", "gaussian", "8"): (9.59 / 9.39, 0.87, 0.87, 0.98, 0.82, 0.96),
    ("sunnybrook", "schlemper", "2"): (1.41 / 1.11, 0.82, 0.75, 0.71, 0.75, None),
    ("sunnybrook", "schlemper", "3"): (3.06 / 2.68, 0.83, 0.79, 0.75, 0.76, None),
    ("sunnybrook", "schlemper", "4"): (4.68 / 4.32, 0.85, 0.82, 0.77, 0.79, 0.84),
    ("sunnybrook", "schlemper", "8"): (10.6 / 10.6, 0.89, 0.89, 0.81, 0.86, 0.95),
}
EVALUATED = {
    ("acdc", "gaussian"): "acdc_gaussian",
    ("acdc", "schlemper"): "acdc_schlemper",
    ("sunnybrook", "gaussian"): "sunnybrook",
}
TOLERANCE = 0.03
"""A mean ratio that exceeds the peers' by more is a miss."""


@dataclass(frozen=True)
class Case:
    """One slice of a subject, divided by its 99.9th percentile, and the heart box in it."""

    data_set: str
    name: str
    images: np.ndarray
    box: Box


def main(stage: str, methods: list[str]) -> None:
    """Try settings or defaults on every case and rewrite the table."""
    rows = list(csv.DictReader(OUT.open(encoding="utf-8"))) if OUT.exists() else []
    if stage == "report":
        earlier = REPORT.read_text(encoding="utf-8") if REPORT.exists() else ""
        checked = [row for row in rows if row["stage"] == "check"]
        REPORT.write_text(report(checked, list(rows_of_test_subjects()), earlier), encoding="utf-8")
        return
    if stage != "fit":
        trials = [(method, *trial) for method in methods for trial in settings_to_try(stage, method)]
        wanted = {(method, str(settings)) for method, _, _, settings in trials}
        rows = [
            row
            for row in rows
            if row["stage"] != stage or row["method"] not in methods or (row["method"], row["settings"]) in wanted
        ]
        done = {key_of(row) for row in rows}
        for case, law in product(read_cases(stage), LAWS):
            for acceleration in EVALUATION_ACCELERATIONS:
                rows += measure(stage, trials, case, law, acceleration, done)
            with OUT.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    for method in methods:
        shown = [row for row in rows if row["stage"] == stage.replace("fit", "tune") and row["method"] == method]
        print(table(shown) if stage == "check" else fit(shown), flush=True)


def settings_to_try(stage: str, method: str) -> list[tuple[str, object, object]]:
    """List dial, value and settings: the defaults for a check, every value of the dial without its law for a tune."""
    settings = METHODS[method].settings
    if stage == "check":
        return [("", "", settings)]
    dial, values = DIALS[method]
    return [(dial, value, replace(settings, **{dial: value, "growth": 0.0})) for value in values]


def key_of(row: dict) -> tuple[str, ...]:
    """What was measured, apart from the result."""
    return tuple(str(row[column]) for column in ("stage", "method", "settings", "set", "case", "mask", "R"))


def read_cases(stage: str) -> Iterator[Case]:
    """Read the slices of the subjects that a stage uses."""
    data = Path(os.environ["CSMRI_DATA"])
    for number in ACDC[stage]:
        name = f"patient{number:03d}"
        images = read_cine(data / "acdc" / name / f"{name}_4d.nii.gz").magnitude[2]
        rows = max(96 - images.shape[1], 0)
        images = np.pad(images, ((0, 0), (rows // 2, rows - rows // 2), (0, 0)), mode="edge")
        y, x = (images.shape[1] - 96) // 2, (images.shape[2] - 96) // 2
        yield Case("acdc", name, scaled(images[:, y : y + 96, x : x + 96]), Box(24, 24, 48, 48))
    for number in SUNNYBROOK[stage]:
        images = read_cine(data / "sunnybrook" / f"SCD{number:07d}").magnitude
        box = heart_box(images)
        if stage == "tune":  # columns are independent but for the low-rank part and the spatial differences
            left = min(max(box.x + box.width // 2 - 48, 0), images.shape[3] - 96)
            images, box = images[..., left : left + 96], Box(box.y, 0, box.height, 96)
        for index in (len(images) // 2 - 1, len(images) // 2 + 2)[: 1 if stage == "tune" else 2]:
            yield Case("sunnybrook", f"SCD{number:07d}/{index}", scaled(images[index]), box)


def scaled(images: np.ndarray) -> np.ndarray:
    """Divide by the 99.9th percentile."""
    return (images / np.percentile(images, 99.9)).astype(np.float32)


def measure(
    stage: str,
    trials: list[tuple[str, str, object, object]],
    case: Case,
    law: str,
    acceleration: float,
    done: set[tuple[str, ...]],
) -> Iterator[dict[str, object]]:
    """Reconstruct one case with every method and setting that is not done yet, always from the same mask."""
    hybrid = fft_y(case.images)
    seed = derive_seed(0, subject_key(case.name), round(acceleration * 1000))
    mask = make_mask(seed, *case.images.shape[:2], acceleration, Sampling(mask_law=law))

    def error(name: str, settings: object) -> float:
        images = METHODS[name].reconstruct(hybrid, mask, settings).magnitude
        return metrics.nmse(case.box.crop(case.images), case.box.crop(images))

    linear = error(INITIAL, None)
    for method, dial, value, settings in trials:
        known = (stage, method, dial, value, case.data_set, case.name, law, f"{acceleration:g}", f"{linear:.4e}")
        row: dict[str, object] = dict(zip(COLUMNS, known, strict=False)) | {"settings": settings}
        if key_of(row) in done:
            continue
        begin = time.perf_counter()
        ratio = error(method, settings) / linear
        yield row | {"ratio": f"{ratio:.4f}", "seconds": f"{time.perf_counter() - begin:.2f}"}


def fit(rows: list[dict]) -> str:
    """Find the law dial = a R^b with the least mean squared regret, both data sets and masks weighing the same.

    Regret is the logarithm of the ratio over that of the best value for the case; squared, so that a law does not buy
    much somewhere with a loss elsewhere. What is worse than interpolation counts ten times more.
    """
    curves: dict[tuple, list[tuple[float, float]]] = {}
    for row in rows:
        key = row["set"], row["case"], row["mask"], float(row["R"])
        curves.setdefault(key, []).append((np.log(float(row["value"])), np.log(float(row["ratio"]))))
    n_cases = {name: len({key[1] for key in curves if key[0] == name}) for name, *_ in curves}
    weights = np.array([1 / n_cases[name] for name, *_ in curves])
    values = np.exp([point[0] for point in next(iter(curves.values()))])
    least = [min(loss for _, loss in points) for points in curves.values()]
    best = (np.inf, 0.0, 0.0, 0.0)
    for growth, at_four in product(np.arange(0, 3.01, 0.1), np.geomspace(values[0], values[-1], 81)):
        losses = [
            np.interp(np.log(at_four * (key[3] / 4) ** growth), *zip(*points, strict=True))
            for key, points in curves.items()
        ]
        squares = np.square(np.subtract(losses, least)) + 10 * np.square(np.maximum(losses, 0))
        regret = np.average(squares, weights=weights)
        best = min(best, (regret, at_four / 4**growth, growth, np.average(losses, weights=weights)))
    _, strength, growth, mean = best
    return (
        f"{rows[0]['method']}: {rows[0]['dial']} = {strength:.3g} R^{growth:.1f}, mean ratio {np.exp(mean):.3f}; "
        f"the best value everywhere would give {np.exp(np.average(least, weights=weights)):.3f}\n" + table(rows)
    )


def table(rows: list[dict]) -> str:
    """Mean ratio for every set, mask and acceleration, by value of the dial."""
    values = list(dict.fromkeys(str(row["value"]) for row in rows))
    lines = [f"{rows[0]['method']:>22s} " + " ".join(f"{value:>8s}" for value in values)]
    for key in dict.fromkeys((row["set"], row["mask"], row["R"]) for row in rows):
        here = [row for row in rows if (row["set"], row["mask"], row["R"]) == key]
        means = [np.mean([float(row["ratio"]) for row in here if str(row["value"]) == value]) for value in values]
        lines.append(f"{key[0]:>10s} {key[1]:>9s} {key[2]} " + " ".join(f"{mean:8.3f}" for mean in means))
    return "\n".join(lines)


def rows_of_test_subjects() -> Iterator[dict[str, str]]:
    """Rows as of a check from the records of the test subjects: a cine's ratio of mean errors over its frames."""
    for (data_set, law), folder in EVALUATED.items():
        path = OUT.parent / folder / "records.csv"
        if not path.exists():
            continue
        frames: dict[tuple, list[float]] = {}
        for record in read_records(path):
            key = record.subject, record.slice, f"{record.acceleration:g}", record.method
            frames.setdefault(key, []).append(record.nmse_heart)
        for (*cine, acceleration, method), values in frames.items():
            if method in CHECKED:
                linear = np.mean(frames[*cine, acceleration, INITIAL])
                known = {"method": method, "set": data_set, "mask": law, "R": acceleration}
                yield {**known, "case": "/".join(map(str, cine)), "ratio": str(np.mean(values) / linear)}


def report(rows: list[dict], evaluated: list[dict], earlier: str) -> str:
    """Write the check beside the peers' ratios, followed by the reading of an earlier report."""
    ours = compare(rows)
    cases = list(dict.fromkeys(row["case"] for row in rows))
    made_with = ", ".join(f"{name} {number}" for name, number in provenance.versions().items())
    return f"""# The baselines on subjects that nothing was tuned on

Mean heart-box NMSE over that of temporal interpolation with the same mask: ours / peers' (difference). **Bold** is a
miss: worse than the peers' by more than {TOLERANCE}. The peers are independent implementations of the same methods,
measured on other cines with settings tuned for each row; ours have one setting for all rows. A number that stands alone
was not measured by the peers.

Run so far on {len(cases)} of {len(ACDC["check"]) + 2 * len(SUNNYBROOK["check"])} cines: {", ".join(cases)}.

{ratio_table(ours)}

{misses(ours)}

{method_table(rows)}

Seconds are medians of single runs beside other work on two cores: no speed can be read from them.
Seeds of the masks: `derive_seed(0, subject_key(case), 1000 R)`. Made by
`python results/beyond/tune_baselines.py check`, then `report`; {made_with}; settings:

{chr(10).join(f"- `{settings}`" for settings in dict.fromkeys(row["settings"] for row in rows))}

## The test subjects of the table

The same for every slice of the subjects that `run.sh` evaluates, with their own heart boxes:
{len({(row["set"], row["case"]) for row in evaluated})} cines.

{ratio_table(compare(evaluated))}

{misses(compare(evaluated))}

{READING}{earlier.partition(READING)[2]}"""


def compare(rows: list[dict]) -> dict[tuple[str, str, str, str], tuple[float, float | None]]:
    """Our mean ratio and the peers' by (method, set, mask, R)."""
    ratios: dict[tuple, list[float]] = {}
    for row in rows:
        ratios.setdefault((row["method"], row["set"], row["mask"], row["R"]), []).append(float(row["ratio"]))
    return {
        (method, *key): (float(np.mean(ratios[method, *key])), peer)
        for key, peers in PEERS.items()
        for method, peer in zip(CHECKED, peers, strict=True)
        if (method, *key) in ratios
    }


def misses(ours: dict[tuple[str, str, str, str], tuple[float, float | None]]) -> str:
    """Tell how many ratios are worse than the peers', and which."""
    found = [
        f"{method} on {data_set}, {law}, R = {acceleration} ({ratio:.3f}, peers {peer:.2f})"
        for (method, data_set, law, acceleration), (ratio, peer) in ours.items()
        if is_miss(ratio, peer)
    ]
    n_measured = sum(peer is not None for _, peer in ours.values())
    return f"{len(found)} of {n_measured} are missed: {'; '.join(found) or 'none'}."


def is_miss(ratio: float, peer: float | None) -> bool:
    """Whether a mean ratio is worse than the peers' by more than the tolerance."""
    return peer is not None and ratio - peer > TOLERANCE


def ratio_table(ours: dict[tuple[str, str, str, str], tuple[float, float | None]]) -> str:
    """A row for every set, mask and acceleration, a column for every method."""
    lines = ["| set | mask | R | " + " | ".join(CHECKED) + " |", "|---|---|---:|" + "---|" * len(CHECKED)]
    for key in PEERS:
        cells = []
        for method in CHECKED:
            ratio, peer = ours.get((method, *key), (None, None))
            cell = "not run" if ratio is None else f"{ratio:.2f}"
            if ratio is not None and peer is not None:
                cell += f" / {peer:.2f} ({ratio - peer:+.2f})"
            cells.append(f"**{cell}**" if ratio is not None and is_miss(ratio, peer) else cell)
        lines.append("| " + " | ".join([*key, *cells]) + " |")
    return "\n".join(lines)


def method_table(rows: list[dict]) -> str:
    """A row for every method: how often it helps, how much it harms, how long it takes."""
    lines = [
        "| method | mean ratio | better than interpolation | worst ratio | seconds |",
        "|---|---:|---:|---:|---:|",
    ]
    for method in CHECKED:
        mine = [row for row in rows if row["method"] == method]
        if not mine:
            continue
        ratios = np.array([float(row["ratio"]) for row in mine])
        seconds = np.median([float(row["seconds"]) for row in mine])
        lines.append(
            f"| {method} | {ratios.mean():.3f} | {(ratios < 1).sum()} of {len(ratios)} | {ratios.max():.2f} "
            f"| {seconds:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) > 1 else "tune"
    main(chosen, sys.argv[2:] or list(CHECKED if chosen == "check" else DIALS))
