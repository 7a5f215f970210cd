"""What the benchmarks share: contenders timed in turn, records of every round, and the machine that they ran on.

A benchmark is a script of one question. It writes QUESTION.csv, one row a case, contender, quantity and round, and
QUESTION.json, which tells the command, versions, processor and who was skipped and why, into results/benchmarks/.
`goals.py` makes its table and figure of these.
"""

from __future__ import annotations

import argparse
import csv
import gc
import importlib.util
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from csmri.core.provenance import git_revision, processor, versions
from csmri.core.workers import threads

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "benchmarks"
SECONDS, COLUMNS = "seconds", ("case", "contender", "quantity", "round", "value")
PEERS = ("torch", "openvino", "onnxruntime", "sigpy")
Contender = Callable[[], Any]


@dataclass
class Records:
    """Rows of one question and who was left out of it."""

    question: str
    rows: list[tuple[str, str, str, int, float]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, case: str, contender: str, quantity: str, *values: float) -> None:
        """Add the values of all rounds."""
        self.rows += [(case, contender, quantity, number, float(value)) for number, value in enumerate(values)]
        shown = f"{statistics.median(values):.4g}"
        if values[1:]:
            shown += f" ({min(values):.4g} to {max(values):.4g})"
        print(f"{self.question:<12} {case:<28} {contender:<32} {quantity:<10} {shown}", flush=True)

    def skip(self, contender: str, reason: str) -> None:
        """Say why a contender does not take part."""
        if self.skipped.setdefault(contender, reason) == reason:
            print(f"{self.question:<12} {contender}: skipped, {reason}", flush=True)

    def time(
        self, case: str, contenders: Mapping[str, Contender], *, rounds: int, per: float = 1, patience: float = math.inf
    ) -> dict[str, Any]:
        """Time contenders in turn, A B A B, after a first call of each, which compiles; seconds are over `per`.

        Who takes longer than `patience` seconds is called but once, and that is what counts. Gives what the first
        calls gave.
        """
        taken: dict[str, list[float]] = {name: [] for name in contenders}
        results, slow = {}, {}
        for number in range(rounds + 1):
            for name, contender in contenders.items():
                if name in slow:
                    continue
                gc.collect()
                begun = time.perf_counter()
                result = contender()
                seconds = time.perf_counter() - begun
                if number:
                    taken[name].append(seconds / per)
                    continue
                results[name] = result
                if seconds > patience:
                    slow[name] = seconds / per
        taken |= {name: [seconds] for name, seconds in slow.items()}
        for name, seconds in taken.items():
            self.add(case, name, SECONDS, *seconds)
        return results

    def write(self, folder: Path = RESULTS) -> None:
        """Write the rows and what they were measured with."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{self.question}.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows((*row[:-1], f"{row[-1]:.6g}") for row in self.rows)
        about = {
            "command": " ".join(["python", *(Path(one).name if one.endswith(".py") else one for one in sys.argv)]),
            "revision": git_revision(),
            "versions": versions() | {name: installed for name in PEERS if (installed := version_of(name))},
            "processor": processor(),
            "threads": threads(),
            "load_before": round(LOAD, 2),
            "isa": os.environ.get("ONEDNN_MAX_CPU_ISA", "all"),
            "skipped": self.skipped,
        }
        (folder / f"{self.question}.json").write_text(json.dumps(about, indent=1) + "\n")


LOAD = os.getloadavg()[0]
"""Of the machine when the benchmark began: numbers of a busy one are worth little."""


def version_of(library: str) -> str:
    """Version of an installed library, empty where it is not."""
    try:
        return version(library) if importlib.util.find_spec(library) else ""
    except PackageNotFoundError:
        return ""


def options(document: str | None, **defaults: int) -> argparse.Namespace:
    """Parse the command line of a benchmark: a number each, and --out."""
    parser = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the records")
    return parser.parse_args()
