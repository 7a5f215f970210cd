"""Time and peak memory of prepare, an epoch, evaluate and reconstruct with 1, 3 and 10 times the data.

    python benchmarks/growth.py [--size 96] [--frames 12] [--slices 2]

Each is a command of its own, whose peak is that of its largest process. Linear is: seven more subjects take as much
more than three as three take more than one, times 3.5.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import SECONDS, Records, options

from csmri.formats import write
from csmri.phantom import make_subject

TIMES, MEMORY = (1, 3, 10), "MB"
CONFIG = 'base_channels = 8\ndepth = 3\ntrain_split = "train"\nbatch_size = 4\nepochs = 1\naccelerations = [4.0]\n'


def measured(*arguments: str) -> tuple[float, float]:
    """Seconds and peak memory [MB] of a csmri command."""
    begun = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-m", "csmri", *arguments], **quiet)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"csmri {' '.join(arguments)} ended with exit code {process.returncode}")
    return time.perf_counter() - begun, usage.ru_maxrss / 1e3


def main() -> None:
    asked = options(__doc__, size=96, frames=12, slices=2)
    records = Records("growth")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "train.toml").write_text(CONFIG)
        for times in TIMES:
            here = folder / str(times)
            names = []
            for number in range(times):
                cine = make_subject(number, size=asked.size, n_slices=asked.slices, n_frames=asked.frames)
                write(here / "cines" / f"{cine.subject}.npz", cine)
                names.append(cine.subject)
            (here / "split.toml").write_text(f"train = {names}\n")
            store = str(here / "store")
            commands = {
                "prepare": ("prepare", str(here / "cines"), store, "--split", str(here / "split.toml")),
                "an epoch": ("train", str(folder / "train.toml"), "--store", store, "--out", str(here / "run")),
                "evaluate": (
                    *("evaluate", "--split", "train", "--method", "temporal-tv", "--acceleration", "4"),
                    *("--out", str(here / "results"), store),
                ),
                "reconstruct": (
                    *("reconstruct", str(here / "cines"), str(here / "images"), "--acceleration", "4"),
                    *("--workers", "1", "--to", "nifti"),
                ),
            }
            for name, command in commands.items():
                seconds, memory = measured(*command)
                records.add(name, f"{times} x", SECONDS, seconds)
                records.add(name, f"{times} x", MEMORY, memory)
    records.write(asked.out)


if __name__ == "__main__":
    main()
