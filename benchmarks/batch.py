"""Seconds of `csmri reconstruct` on a tree: start, each study, walking; and from them a model of very many studies.

    python benchmarks/batch.py [--studies 8] [--size 256] [--slices 10] [--rounds 3]

Prints a table of medians, with versions and processor, then the model: machines against hours and cost. The model is
arithmetic on what was measured on this machine; nobody has run it.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from csmri.core.provenance import processor, versions
from csmri.core.workers import cores
from csmri.formats import find_cines, write
from csmri.phantom import make_subject

MANY = 100_000
PER_CORE_HOUR = 0.05
"""Price of a core for an hour [our choice, in any currency: what clouds ask for a machine in general use]."""
MACHINE_CORES = 16
SERVER_BYTES = 1e9
"""Bytes a second that one file server gives all machines together [our choice: 10 Gbit/s]."""


def seconds(tree: Path, out: Path, *options: str) -> float:
    begun = time.monotonic()
    command = [sys.executable, "-m", "csmri", "reconstruct", str(tree), str(out), "--acceleration", "4", *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - begun


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("studies", 8), ("size", 256), ("slices", 10), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trees = {1: Path(folder, "one"), asked.studies: Path(folder, "all")}
        for number in range(asked.studies):
            cine = make_subject(number, domain="k", size=asked.size, n_slices=asked.slices, n_frames=20)
            for n_studies, tree in trees.items():
                if number < n_studies:
                    write(tree / f"study{number}" / "dicom", cine)
        begun = time.monotonic()
        found = find_cines(trees[asked.studies])
        walking = (time.monotonic() - begun) / asked.studies
        assert len(found.sources) == asked.studies
        kinds = {
            "one study, one process": (trees[1], "--workers", "1"),
            "all studies, one process": (trees[asked.studies], "--workers", "1"),
            f"all studies, {cores()} processes": (trees[asked.studies], "--workers", str(cores())),
        }
        taken: dict[str, list[float]] = {kind: [] for kind in kinds}
        for number in range(asked.rounds):
            for kind, (tree, *options) in kinds.items():
                taken[kind].append(seconds(tree, Path(folder, f"out {kind} {number}"), *options))
        bytes_in, bytes_out = (
            size(place) / asked.studies
            for place in (trees[asked.studies], Path(folder, f"out all studies, {cores()} processes 0"))
        )
    one, alone, shared = (statistics.median(times) for times in taken.values())
    study = (shared - one) * cores() / (asked.studies - 1)
    print(
        f"{asked.studies} studies of {asked.slices} x 20 x {asked.size} x {asked.size} in DICOM, R = 4, shipped network"
    )
    print(f"{versions()}\n{processor()}\n")
    print("| | seconds, median (all) |\n|---|---:|")
    for kind, times in taken.items():
        print(f"| {kind} | {statistics.median(times):.1f} ({', '.join(f'{one:.1f}' for one in times)}) |")
    print(f"| walking the tree, a study | {walking:.2f} |")
    print(f"| each further study of one process | {(alone - one) / (asked.studies - 1):.2f} |")
    print(f"| each further study of {cores()} processes, core seconds | {study:.2f} |")
    print(f"| bytes read and written, a study | {bytes_in / 1e6:.1f} and {bytes_out / 1e6:.1f} MB |")

    hours = MANY * study / 3600
    print(
        f"\n{MANY:,} such studies, a model: {hours:,.0f} core hours; each is read twice, for its digest and its images."
    )
    print(f"Machines of {MACHINE_CORES} cores; one file server of {SERVER_BYTES / 1e9:g} GB/s for all of them.\n")
    print("| machines | hours computing | hours of the server | hours walking (one process) | cost |")
    print("|---:|---:|---:|---:|---:|")
    for machines in (1, 10, 100):
        computing = hours / (machines * MACHINE_CORES)
        serving = MANY * (2 * bytes_in + bytes_out) / SERVER_BYTES / 3600
        whole = max(computing, serving) + MANY * walking / 3600
        cost = math.ceil(whole) * machines * MACHINE_CORES * PER_CORE_HOUR
        print(f"| {machines} | {computing:,.1f} | {serving:,.1f} | {MANY * walking / 3600:,.1f} | {cost:,.0f} |")


if __name__ == "__main__":
    main()
