"""Seconds until something is there: `csmri --help` beside bare Python, and a first reconstruction from a cold start.

python benchmarks/startup.py [--rounds 5]
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness import Records, options

from csmri.formats import write
from csmri.phantom import make_subject


def main() -> None:
    asked = options(__doc__, rounds=5)
    records = Records("startup")

    def run(*arguments: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    records.time(
        "help",
        {"python -c pass": run("-c", "pass"), "csmri --help": run("-m", "csmri", "--help")},
        rounds=3 * asked.rounds,
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write(folder / "cine.npz", make_subject(0, size=256, n_slices=1, n_frames=20))

        def first(*arguments: str) -> Callable[[], object]:
            def reconstruct() -> None:
                out = folder / "out"
                shutil.rmtree(out, ignore_errors=True)
                command = ("reconstruct", str(folder / "cine.npz"), str(out), "--acceleration", "4", *arguments)
                run("-m", "csmri", *command)()

            return reconstruct

        records.time(
            "a first slice, 20 x 256 x 256",
            {
                "import tensorflow": run("-c", "import tensorflow"),
                "csmri reconstruct": first(),
                "csmri reconstruct --method temporal-tv": first("--method", "temporal-tv"),
            },
            rounds=asked.rounds,
        )
    records.write(asked.out)


if __name__ == "__main__":
    main()
