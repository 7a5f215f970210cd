"""Blood-pool area over the cycle against the ground truth and the manual outlines, for a Sunnybrook patient.

    CSMRI_DATA=folder python results/beyond/area.py [RESULTS]

RESULTS is a folder of `csmri evaluate`, this one if none is given. Where its examples.npz and the data are, the areas
are measured and area.csv is written; without them figure and table are made again from area.csv, to the byte.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from csmri.core.errors import CsmriError
from csmri.formats import read_cine, read_outlines
from csmri.results.figures import render_area
from csmri.results.folder import EXAMPLES, read_examples
from csmri.results.tables import area_tables, measure_areas, read_areas, write_areas, write_tables

CONTOURS = {"SCD0000101": "SC-HF-I-1", "SCD0000201": "SC-HF-I-2", "SCD0000301": "SC-HF-I-4"}
CAPTION = "Data: Sunnybrook Cardiac Data, Radau et al., The MIDAS Journal 2009, hdl 10380/3070 (CC0)"


def main(folder: Path) -> None:
    """Measure where there are images, then draw and write from what area.csv holds."""
    if (folder / EXAMPLES).exists() and "CSMRI_DATA" in os.environ:
        measure(folder, Path(os.environ["CSMRI_DATA"]) / "sunnybrook")
    areas = read_areas(folder / "area.csv")
    for suffix in (".png", ".svg"):
        render_area(areas, folder / f"area{suffix}", caption=CAPTION)
    written = write_tables(area_tables(areas), folder / "area.md")
    print(written[0].read_text(encoding="utf-8"))


def measure(folder: Path, data: Path) -> None:
    """Write area.csv of the examples of the first subject that has outlines."""
    examples = read_examples(folder / EXAMPLES)
    subject = next((example.subject for example in examples if example.subject in CONTOURS), None)
    if subject is None:
        raise CsmriError(f"{folder / EXAMPLES}: holds no example of {', '.join(CONTOURS)}")
    outlines = read_outlines(data / subject, data / CONTOURS[subject])
    assert outlines is not None
    write_areas(measure_areas(examples, read_cine(data / subject), outlines), folder / "area.csv")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
    except CsmriError as error:
        sys.exit(f"{Path(__file__).name}: {error}")
