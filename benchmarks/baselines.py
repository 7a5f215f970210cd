"""Time the baselines on one phantom cine: all methods in turn, several rounds in one run, medians.

    python benchmarks/baselines.py [--size 256] [--frames 20] [--rounds 5]

Ratios to temporal interpolation survive a busy machine better than the seconds beside them.
"""

from __future__ import annotations

import argparse
import statistics
import time

from csmri.baselines import INITIAL, METHODS
from csmri.config import Sampling
from csmri.kspace.fourier import fft_y
from csmri.kspace.sampling import make_mask, undersample
from csmri.phantom import make_subject


def main() -> None:
    """Print one line a method."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, default=256, help="pixels in y and x")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--acceleration", type=float, default=4.0)
    options = parser.parse_args()

    images = make_subject(0, size=options.size, n_slices=1, n_frames=options.frames).images[0]
    mask = make_mask([0, 0], options.frames, options.size, options.acceleration, Sampling())
    hybrid = undersample(fft_y(images), mask)
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    for turn in range(options.rounds + 1):
        for name, method in METHODS.items():
            begin = time.perf_counter()
            result = method.reconstruct(hybrid, mask)
            if turn:  # the first compiles
                seconds[name].append(time.perf_counter() - begin)
            elif result.coils:
                print(f"{name}: {result.iterations} iterations")
    linear = statistics.median(seconds[INITIAL])
    print(f"{options.frames} x {options.size} x {options.size}, median (least to most) of {options.rounds} rounds")
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"{name:>22s} {median:8.3f} s ({min(times):.3f} to {max(times):.3f}) {median / linear:7.1f} x {INITIAL}")


if __name__ == "__main__":
    main()
