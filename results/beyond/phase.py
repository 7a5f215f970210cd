"""How much of a network's gain is the symmetry of magnitude images? The same cines with phases that they do not have.

Simulated k-space of a magnitude image is Hermitian: every line tells of its mirror image, which no scanner grants.
Measured images have a phase, most of it at rest, some of it moving with the blood. Here held-out patients (split
`validation`) get none, a smooth one at rest, and one that also moves with what moves, `FLOW` at its maximum. Numbers
are NMSE of the magnitude in the heart box over that of temporal interpolation of the same data, mean over slices.

    python results/beyond/phase.py STORE NAME=MODEL ...

writes phase.csv and phase.md. `untrained` is the unrolled network before training: phase-constrained total variation.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from csmri.config import EVALUATION_ACCELERATIONS, Sampling
from csmri.core.names import INITIAL
from csmri.core.provenance import versions
from csmri.core.seeds import subject_key
from csmri.data.store import open_store
from csmri.evaluation import metrics
from csmri.kspace.fourier import as_pair, fft_y
from csmri.kspace.initial import initial_images
from csmri.reconstruction import baseline_reconstructor, load_reconstructor, simulation_mask
from csmri.unrolled import build_unrolled

HERE = Path(__file__).parent
SLICES = (1, 3)
REST, FLOW = np.pi, 0.7
"""Largest phase [rad] of what rests, and of what moves."""
COLUMNS = ("phase", "acceleration", "method", "subject", "slice", "ratio")


def smooth(rng: np.random.Generator, shape: tuple[int, ...], width: float) -> np.ndarray:
    """Smooth random map with values from -1 to 1."""
    values = gaussian_filter(rng.normal(size=shape), width, mode="wrap")
    return values / np.abs(values).max()


def phases(images: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Phases [rad] to give the cine (frame, y, x)."""
    rng = np.random.default_rng(seed)
    rest = REST * smooth(rng, images.shape[1:], images.shape[1] / 4)
    moving = gaussian_filter(images - images.mean(axis=0), (1, 2, 2), mode=("wrap", "nearest", "nearest"))
    flow = FLOW * moving / np.abs(moving).max()
    return {"none": np.zeros_like(images), "at rest": rest + np.zeros_like(images), "moving": rest + flow}


def untrained(hybrid: tf.Tensor, mask: np.ndarray) -> np.ndarray:
    """Reconstruct with the untrained unrolled network."""
    initial = as_pair(initial_images(hybrid, mask))
    improved = UNTRAINED([initial[tf.newaxis], tf.cast(mask, tf.float32)[tf.newaxis]])
    return np.linalg.norm(improved[0], axis=-1)


UNTRAINED = build_unrolled(base_channels=2, cascades=4)


def main(store_path: str, models: list[str]) -> None:
    """Try all methods on all phases."""
    store = open_store(store_path)
    methods: dict[str, Callable] = {"untrained": untrained}
    methods["spatiotemporal-tv"] = baseline_reconstructor("spatiotemporal-tv", cyclic=True).reconstruct
    for model in models:
        name, _, path = model.partition("=")
        methods[name] = load_reconstructor(path).reconstruct
    initial = baseline_reconstructor(INITIAL, cyclic=True).reconstruct
    rows = []
    for entry in store.of_split("validation"):
        for index, images in enumerate(store.slices(entry)):
            if index not in SLICES:
                continue
            given = phases(images, seed=subject_key(entry.subject) + index)
            for (kind, phase), acceleration in product(given.items(), EVALUATION_ACCELERATIONS):
                mask = simulation_mask(
                    Sampling(),
                    seed=0,
                    subject=entry.subject,
                    slice_index=index,
                    n_frames=images.shape[0],
                    n_ky=images.shape[1],
                    acceleration=acceleration,
                )
                hybrid = fft_y((images * np.exp(1j * phase)).astype(np.complex64))

                def error(reconstruct: Callable) -> float:
                    crop = entry.heart_box.crop  # noqa: B023 (called within this turn of the loop)
                    return metrics.nmse(crop(images), crop(reconstruct(hybrid, mask)))  # noqa: B023

                before = error(initial)
                for name, reconstruct in methods.items():
                    ratio = f"{error(reconstruct) / before:.4f}"
                    rows.append((kind, f"{acceleration:g}", name, entry.subject, index, ratio))
    with (HERE / "phase.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    (HERE / "phase.md").write_text(report(rows), encoding="utf-8")


def report(rows: list[tuple]) -> str:
    """The table for people."""
    lines = [
        "# The same cines with a phase",
        "",
        "NMSE of the magnitude in the heart box over that of temporal interpolation of the same data; Gaussian masks,",
        f"4 held-out patients, 2 slices each. At rest: up to {REST:.2f} rad; moving: up to {FLOW} rad more. Made by",
        "`python results/beyond/phase.py`; " + ", ".join(f"{name} {v}" for name, v in versions().items()) + ".",
        "",
        "| phase | method | " + " | ".join(f"R = {r:g}" for r in EVALUATION_ACCELERATIONS) + " |",
        "|---|---|" + "---:|" * len(EVALUATION_ACCELERATIONS),
    ]
    for kind, method in dict.fromkeys((row[0], row[2]) for row in rows):
        means = [
            np.mean([float(row[5]) for row in rows if row[:3] == (kind, f"{r:g}", method)])
            for r in EVALUATION_ACCELERATIONS
        ]
        lines.append(f"| {kind} | {method} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
