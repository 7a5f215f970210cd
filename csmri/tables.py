"""Records -> the paper's table 2."""

from __future__ import annotations

from collections.abc import Sequence

from csmri.records import Record, mean_over_subjects


def table2(records: Sequence[Record], quality: str = "nmse_heart") -> str:
    """Form of the paper's table 2 in Markdown: methods by accelerations, mean +- spread over subjects."""
    means = mean_over_subjects(records, quality)
    methods = list(dict.fromkeys(record.method for record in records))
    accelerations = sorted({record.acceleration for record in records})
    factor, digits = (1e3, 2) if quality.startswith("nmse") else (1.0, 2 if quality.startswith("psnr") else 4)
    head = f"{quality} x 1e-3" if factor != 1 else quality
    rows = [[head, *(f"R = {acceleration:g}" for acceleration in accelerations)]]
    for method in methods:
        cells = (means[method, acceleration] for acceleration in accelerations)
        rows.append([method, *(f"{factor * mean:.{digits}f} ± {factor * spread:.{digits}f}" for mean, spread in cells)])
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Align rows as a Markdown table; the first is the head, the first column text, the others numbers."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        return f"| {' | '.join(cells)} |"

    rule = (
        "|" + "|".join("-" * (width + 2) if i == 0 else "-" * (width + 1) + ":" for i, width in enumerate(widths)) + "|"
    )
    return "\n".join([line(rows[0]), rule, *map(line, rows[1:])])
