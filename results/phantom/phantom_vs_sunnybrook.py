"""Draw phantoms beside a real short-axis cine: python results/phantom/phantom_vs_sunnybrook.py

Reads the Sunnybrook Cardiac Data below the folder named by the environment variable CSMRI_DATA.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from csmri.data.cine import Cine
from csmri.formats import dicom
from csmri.phantom import make_subject


def dynamic_fraction(magnitude: np.ndarray) -> float:
    """Return the share of the energy of images (slice, frame, y, x) that varies over time."""
    return float(np.sum((magnitude - magnitude.mean(axis=1, keepdims=True)) ** 2) / np.sum(magnitude**2))


def most_contracted(magnitude: np.ndarray) -> int:
    """Return the frame (of images frame, y, x) least like the first one."""
    return int(np.argmax(np.sum((magnitude - magnitude[0]) ** 2, axis=(1, 2))))


def base_first(cine: Cine) -> np.ndarray:
    """Return the magnitude (slice, frame, y, x) with the slice of the largest motion in the first half."""
    images = cine.magnitude
    motion = images.var(axis=1).sum(axis=(1, 2))
    return images if motion[: len(images) // 2].sum() > motion[len(images) // 2 :].sum() else images[::-1]


def render_comparison(cines: dict[str, Cine]) -> Figure:
    """Return one row a cine: base, middle at end-diastole and end-systole, apex, and one line over two beats."""
    figure, axes = plt.subplots(len(cines), 5, figsize=(17, 3.6 * len(cines)), layout="constrained", squeeze=False)
    for row, (name, cine) in zip(axes, cines.items(), strict=True):
        images = base_first(cine)
        n, middle = len(images), images[len(images) // 2]
        column = int(np.argmax(middle.var(axis=0).sum(axis=0)))
        pictures = {
            "towards the base": images[n // 6, 0],
            "middle, end-diastole": middle[0],
            "middle, end-systole": middle[most_contracted(middle)],
            "towards the apex": images[n - 1 - n // 5, 0],
            f"column {column} over two beats": np.tile(middle[:, :, column].T, (1, 2)),
        }
        for axis, (title, picture) in zip(row, pictures.items(), strict=True):
            aspect = "auto" if "beats" in title else "equal"
            axis.imshow(picture, cmap="gray", vmin=0, vmax=np.percentile(picture, 99.5), aspect=aspect)
            axis.set_title(title, fontsize=10)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(f"{name}\n{100 * dynamic_fraction(images):.1f} % of the energy varies", fontsize=10)
    figure.supxlabel(
        "Window of each picture: 0 to its 99.5th percentile. Real images: Sunnybrook Cardiac Data, CC0, "
        "Radau et al. 2009. Phantoms show no real person.",
        fontsize=9,
    )
    return figure


def main() -> None:
    """Parse the command line, read, draw, save."""
    parser = argparse.ArgumentParser(description="Draw phantoms beside a real short-axis cine.")
    parser.add_argument("--subject", default="SCD0000301", help="folder below CSMRI_DATA/sunnybrook")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".png"))
    arguments = parser.parse_args()
    if "CSMRI_DATA" not in os.environ:
        parser.error("set the environment variable CSMRI_DATA to the folder that holds sunnybrook/")
    real = dicom.read(Path(os.environ["CSMRI_DATA"]) / "sunnybrook" / arguments.subject)
    cines = {
        f"real, 1.5 T ({arguments.subject})": real,
        "phantom k 1": make_subject(1, domain="k", n_slices=6),
        "phantom york 0": make_subject(0, domain="york", n_slices=6),
    }
    figure = render_comparison(cines)
    figure.savefig(arguments.out, dpi=80)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
