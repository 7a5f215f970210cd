"""Temporal total variation of several coils, csmri's against BART's `pics`: the same data, maps, mask and weight.

    python benchmarks/bart_pics.py [--size 256] [--frames 20] [--coils 8] [--rounds 2] [--acceleration 4]

Both minimise half the squared misfit plus a weight times the total variation in time, cyclic, of images whose 99.9th
percentile is 1. A weight a row: heart-box NMSE x 1e-3, seconds (median of the rounds, taken in turn), and their ratios.
BART runs as many iterations as csmri, and the 100 of its default for this algorithm.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmri.config import Sampling
from csmri.core.names import INITIAL
from csmri.core.provenance import processor, versions
from csmri.data.acquisition import Acquisition
from csmri.data.roi import heart_box
from csmri.methods.classical import METHODS
from csmri.methods.iterative import make_problem
from csmri.methods.reconstruction import simulated_acquisition
from csmri.phantom import make_subject
from csmri.physics.fourier import fft_x

METHOD = "temporal-tv"
WEIGHTS = (2e-3, 4e-3, 8e-3, 16e-3)


def write(path: Path, array: NDArray[Any]) -> None:
    """Write an array, of the axes of BART reversed."""
    path.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, array.shape[::-1])) + "\n")
    np.ascontiguousarray(array, np.complex64).tofile(path.with_suffix(".cfl"))


def pics(acquisition: Acquisition, weight: float, n_iterations: int, folder: Path) -> tuple[NDArray[Any], float]:
    """Images (frame, y, x) of BART, in the unit of the data, and the seconds that it took."""
    kspace = fft_x(acquisition.data).numpy()
    n_coils, n_frames, n_ky, n_kx = kspace.shape
    # BART's axes from the last on: 10 is time, 3 the coils, 1 and 0 phase encoding and readout.
    write(folder / "kspace", kspace.transpose(1, 0, 2, 3).reshape(n_frames, *[1] * 6, n_coils, 1, n_ky, n_kx))
    write(folder / "maps", np.asarray(acquisition.maps)[:, np.newaxis])
    scale = make_problem(acquisition).scale
    begun = time.perf_counter()
    options = ["-w", str(scale), "-R", f"T:1024:0:{weight}", "-i", str(n_iterations)]
    subprocess.run(["bart", "pics", *options, "kspace", "maps", "out"], cwd=folder, check=True, capture_output=True)
    seconds = time.perf_counter() - begun
    shape = [int(n) for n in (folder / "out.hdr").read_text().splitlines()[1].split()]
    images = np.fromfile(folder / "out.cfl", np.complex64).reshape(shape[::-1]).squeeze()
    return images * scale, seconds


def main() -> None:
    """Print one line a weight."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, default=256, help="pixels in y and x")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--coils", type=int, default=8)
    parser.add_argument("--snr", type=float, default=25.0, help="0 for no noise")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--acceleration", type=float, default=4.0)
    options = parser.parse_args()
    if shutil.which("bart") is None:
        sys.exit("BART is not installed (Debian: bart)")

    images = make_subject(9, size=options.size, n_slices=1, n_frames=options.frames).images[0]
    law = Sampling(phase="moving", coils=options.coils, snr=options.snr)
    one = simulated_acquisition(images, options.acceleration, law, seed=0, subject="phantom", slice_index=0)
    box = heart_box(images[np.newaxis])
    method = METHODS[METHOD]
    assert method.settings
    n_iterations = method.settings.max_iterations

    def error(found: NDArray[Any]) -> float:
        inside = np.s_[:, box.y : box.y + box.height, box.x : box.x + box.width]
        return 1e3 * float(np.sum((np.abs(found) - images)[inside] ** 2) / np.sum(images[inside] ** 2))

    print(f"{processor()['name']}; {versions()}; {subprocess.check_output(['bart', 'version'], text=True).strip()}")
    initial = error(METHODS[INITIAL].reconstruct(one).images)
    print(f"initial: {initial:.3f}; csmri's default weight is {method.settings.strength:g}")
    print("weight   csmri  seconds   bart, as many iterations   bart, 100 iterations")
    method.reconstruct(one)
    with tempfile.TemporaryDirectory() as folder:
        for weight in WEIGHTS:
            ours, theirs, longer = [], [], []
            for _ in range(options.rounds):
                begun = time.perf_counter()
                found = method.reconstruct(one, method.changed({"strength": weight})).images
                ours.append(time.perf_counter() - begun)
                few, seconds = pics(one, weight, n_iterations, Path(folder))
                theirs.append(seconds)
                many, seconds = pics(one, weight, 100, Path(folder))
                longer.append(seconds)
            mine, median = error(found), statistics.median(ours)
            row = f"{weight:<8g} {mine:.3f} {median:5.1f} s"
            for other, times in ((few, theirs), (many, longer)):
                seconds = statistics.median(times)
                row += f"   {error(other):.3f} {seconds:5.1f} s"
                row += f" (csmri x {mine / error(other):.3f} in x {median / seconds:.2f})"
            print(row, flush=True)


if __name__ == "__main__":
    main()
