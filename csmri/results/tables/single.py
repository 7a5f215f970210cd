"""The quality of one reconstructed cine, every method of it, as `csmri reconstruct` prints it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csmri.data.records import Item, Outcome, mean_over_subjects
from csmri.data.roi import Box
from csmri.evaluation.metrics import frame_quality
from csmri.results.tables.quality import left_out
from csmri.results.tables.text import MISSING, markdown

Magnitude = NDArray[np.float32]
COLUMNS = {
    "nmse": ("NMSE x 1e-3", 1e3, 3),
    "nmse_heart": ("NMSE heart x 1e-3", 1e3, 3),
    "psnr_heart": ("PSNR heart, dB", 1.0, 2),
    "ssim_heart": ("SSIM heart", 1.0, 4),
}


@dataclass(frozen=True, eq=False)
class Compared:
    """One slice: the truth and what every method made of it, all (frame, y, x), and how long it took [s]."""

    reference: Magnitude
    methods: Mapping[str, Magnitude]
    seconds: Mapping[str, float]
    achieved: float


def quality_table(slices: Sequence[Compared], box: Box, *, subject: str) -> str:
    """Means over frames and slices of every method against the truth, in Markdown, and how many slices do not count."""
    acceleration = slices[0].achieved
    records = []
    for index, one in enumerate(slices):
        matrix = (one.reference.shape[1], one.reference.shape[2])
        for method, images in one.methods.items():
            item = Item(subject, index, acceleration, method)
            quality = frame_quality(one.reference, images, box)
            records += Outcome(item, one.achieved, one.seconds[method], matrix, quality).records()
    means = {quality: mean_over_subjects(records, quality) for quality in COLUMNS}
    rows = [["method", *(head for head, _, _ in COLUMNS.values())]]
    for method in slices[0].methods:
        found = [means[quality].get((method, acceleration)) for quality in COLUMNS]
        rows.append(
            [
                method,
                *(
                    f"{factor * value[0]:.{digits}f}" if value else MISSING
                    for value, (_, factor, digits) in zip(found, COLUMNS.values(), strict=True)
                ),
            ]
        )
    notes = dict.fromkeys(note for quality in COLUMNS for note in left_out(records, quality))
    n_frames = len(slices[0].reference)
    return "\n".join(
        [
            f"means over {len(slices)} slices x {n_frames} frames; range of PSNR and SSIM: a slice's maximum",
            f"heart box: {box.height} rows from {box.y}, {box.width} columns from {box.x}",
            markdown(rows),
            *notes,
        ]
    )
