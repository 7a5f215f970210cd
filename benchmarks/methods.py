"""Every method and peer on a cine of 20 x 256 x 256, one and eight coils: seconds against heart-box NMSE.

    python benchmarks/methods.py [--rounds 3] [--slice 5] [--acceleration 4]

On a slice of the Sunnybrook patient that the shipped network was not trained on (CSMRI_DATA/sunnybrook/SCD0000301), or,
where that is not at hand, on a phantom, of which the quality tells little. NMSE over that of linear interpolation. BART
runs temporal total variation from zero-filled images with more and more iterations, until it is as good as csmri's or
100 are done; sigpy has total variation in space alone. Each of their runs is one, and not in turn.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peers
from harness import SECONDS, Records, options, version_of
from numpy.typing import NDArray

from csmri.config import Sampling
from csmri.core.names import INITIAL, ZERO_FILLED
from csmri.core.workers import threads
from csmri.data.acquisition import Acquisition
from csmri.data.roi import Box, heart_box
from csmri.formats import read_cine
from csmri.methods.classical import METHODS
from csmri.methods.reconstruction import load_reconstructor, simulated_acquisition
from csmri.phantom import make_subject

PATIENCE = 12.0
"""Seconds beyond which a method runs once."""
RATIO, TEMPORAL_TV, BART = "NMSE ratio", "temporal-tv", "BART temporal TV"
CASES = {
    "1 coil": Sampling(),
    "8 coils, SNR 25, moving phase": Sampling(phase="moving", coils=8, snr=25.0),
}
ITERATIONS = (30, 100)
BART_WEIGHTS = {1: 7e-4, 8: 8e-3}
"""For each number of coils: hardly tuned."""
PATIENT = "sunnybrook/SCD0000301"


def data(slice_index: int) -> tuple[NDArray[np.float32], Box, str]:
    """Images (frame, y, x), their heart box, and whose they are."""
    place = Path(os.environ.get("CSMRI_DATA", "")) / PATIENT
    if os.environ.get("CSMRI_DATA") and place.exists():
        cine, subject = read_cine(place), f"Sunnybrook SCD0000301, slice {slice_index}"
    else:
        cine, subject, slice_index = make_subject(9, n_slices=1, n_frames=20), "phantom k 9", 0
    images = np.abs(cine.images).astype(np.float32)
    return images[slice_index], heart_box(images, spacing_mm=cine.spacing_mm), subject


def main() -> None:
    asked = options(__doc__, rounds=3, slice=5, acceleration=4)
    records = Records("methods")
    images, box, subject = data(asked.slice)
    inside = np.s_[:, box.y : box.y + box.height, box.x : box.x + box.width]

    def error(found: NDArray[Any]) -> float:
        return float(np.sum((np.abs(found) - images)[inside] ** 2) / np.sum(images[inside] ** 2))

    networks = {name: load_reconstructor(name, runtime="auto") for name in ("pretrained", "pretrained-unrolled")}
    for case, law in CASES.items():
        one = simulated_acquisition(images, asked.acceleration, law, seed=0, subject=subject, slice_index=asked.slice)
        case = f"{case}, R = {asked.acceleration}"
        initial = error(METHODS[INITIAL].reconstruct(one).images)
        runs: dict[str, Callable[[], NDArray[Any]]] = {
            name: lambda one=one, method=method: method.reconstruct(one).images
            for name, method in METHODS.items()
            if name != ZERO_FILLED
        }
        runs |= {
            f"csmri {name}": lambda one=one, network=network: network.reconstruct(one)
            for name, network in networks.items()
        }
        images_of = records.time(case, runs, rounds=asked.rounds, patience=PATIENCE)
        for name, found in images_of.items():
            records.add(case, name, RATIO, error(found) / initial)
        best = error(images_of[TEMPORAL_TV])
        bart(records, case, one, lambda found, initial=initial: error(found) / initial, best / initial)
        if not version_of("sigpy"):
            records.skip("sigpy", "sigpy is not installed (pip install '.[peers]')")
        elif law.coils == 1:
            begun = time.perf_counter()
            found = peers.sigpy_tv(one, 0.015, 30)
            records.add(case, "sigpy TV, frame by frame", SECONDS, time.perf_counter() - begun)
            records.add(case, "sigpy TV, frame by frame", RATIO, error(found) / initial)
    records.skipped["data"] = f"{subject}; {threads()} threads"
    records.write(asked.out)


def bart(records: Records, case: str, one: Acquisition, ratio: Callable[[NDArray[Any]], float], wanted: float) -> None:
    """Let BART iterate until it is as good as csmri's temporal total variation."""
    if reason := peers.why_no_bart():
        return records.skip("BART", reason)
    n_coils = 1 if one.maps is None else one.n_coils
    with tempfile.TemporaryDirectory() as folder:
        for n_iterations in ITERATIONS:
            images, seconds = peers.bart_pics(one, BART_WEIGHTS[n_coils], n_iterations, Path(folder))
            name = f"{BART}, {n_iterations} iterations"
            records.add(case, name, SECONDS, seconds)
            records.add(case, name, RATIO, ratio(images))
            if ratio(images) <= wanted:
                return None
    return None


if __name__ == "__main__":
    main()
