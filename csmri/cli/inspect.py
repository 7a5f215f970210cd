"""`csmri inspect`: what a file or folder was understood to be."""

from __future__ import annotations

from pathlib import Path

import click

from csmri.cli.reading import Reading, axes_option, subject_option
from csmri.core.quiet import import_tensorflow
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@axes_option
@subject_option
def inspect(path: Path, axes: str | None, subject_from: str) -> None:
    """Print what csmri understands PATH to be: a file, a DICOM folder, or a folder of many cines."""
    reading = Reading()
    found = reading.find(path, axes=axes, subject_from=subject_from)
    n_read = 0
    for source, record in reading.records(found.sources):
        if n_read:
            click.echo()
        describe(record, at=source.label)
        n_read += 1
    if len(found.sources) > 1:
        click.echo(f"\n{path}: {n_read} cines")
    reading.end()


def describe(record: Cine | KSpace, *, at: str = "") -> None:
    """Print one record, a line a property."""
    note = ""
    if isinstance(record, Cine):
        import_tensorflow()
        from csmri.data.extent import acceleration_note
        from csmri.physics.extent import measure_extent

        n_slices, n_frames, n_y, n_x = record.images.shape
        kind = "complex images" if record.images.dtype.kind == "c" else "magnitude images"
        magnitude = record.magnitude
        rows = [
            ("kind", kind),
            ("size", f"{n_slices} slices x {n_frames} frames x {n_y} rows (y) x {n_x} columns (x)"),
            ("values", f"{magnitude.min():g} to {magnitude.max():g}, mean {magnitude.mean():.4g}"),
            *zip(("lines (ky)", "samples (kx)"), map(str, extents := measure_extent(record.images)), strict=True),
        ]
        note = acceleration_note(extents[:1])
    else:
        n_slices, n_coils, n_frames, n_ky, n_kx = record.kspace.shape
        factor = record.mask.size / record.mask.sum()
        lines = "(frame, ky)" if record.mask.ndim == 2 else "(slice, frame, ky)"
        matrix = record.matrix or (n_ky, n_kx)
        rows = [
            ("kind", "measured k-space"),
            ("size", f"{n_slices} slices x {n_coils} coils x {n_frames} frames x {n_ky} ky x {n_kx} kx"),
            ("image", f"{matrix[0]} rows (y) x {matrix[1]} columns (x)"),
            ("acquired", f"{record.mask.sum()} of {record.mask.size} {lines} lines, acceleration {factor:.2f}"),
            ("noise", "not measured" if record.noise_covariance is None else "measured, coils are whitened"),
            ("time", {True: "gated, cyclic", False: "real time, not cyclic", None: "not told"}[record.cyclic]),
        ]
    times = record.frame_times_ms
    spacing = (
        "unknown" if record.spacing_mm is None else f"{record.spacing_mm[0]:.4g} x {record.spacing_mm[1]:.4g} mm (y, x)"
    )
    gap = "unknown" if record.slice_spacing_mm is None else f"{record.slice_spacing_mm:.4g} mm"
    rows += [
        ("pixels", spacing),
        ("slice distance", gap),
        ("frame times", "unknown" if times is None else f"{times[0]:.4g} to {times[-1]:.4g} ms"),
        ("read as", ", ".join(part for part in (record.provenance or "unknown", at) if part)),
        *(("note", one) for one in (*record.notes, note) if one),
    ]
    click.echo(click.style(record.subject, bold=True))
    for name, value in rows:
        click.echo(f"  {name:<15} {value}")
