"""`csmri inspect`: what a file or folder was understood to be."""

from __future__ import annotations

from pathlib import Path

import click

from csmri.core.quiet import import_tensorflow
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
def inspect(path: Path) -> None:
    """Print what csmri understands PATH to be: a file, a DICOM folder, or a folder of many cines."""
    from csmri.formats import find_cines, read

    found = find_cines(path)
    for number, cine_path in enumerate(found):
        if number:
            click.echo()
        describe(read(cine_path))
    if len(found) > 1:
        click.echo(f"\n{path}: {len(found)} cines")


def describe(record: Cine | KSpace) -> None:
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
        rows = [
            ("kind", "measured k-space"),
            ("size", f"{n_slices} slices x {n_coils} coils x {n_frames} frames x {n_ky} ky x {n_kx} kx"),
            ("acquired", f"{record.mask.sum()} of {record.mask.size} (frame, ky) lines, acceleration {factor:.2f}"),
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
        ("read as", record.provenance or "unknown"),
        *(("note", one) for one in (*record.notes, note) if one),
    ]
    click.echo(click.style(record.subject, bold=True))
    for name, value in rows:
        click.echo(f"  {name:<15} {value}")
