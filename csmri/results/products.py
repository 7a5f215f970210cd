"""Every figure and table of a results folder by its name: what it needs and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from csmri.config import Network, read_config, read_study, read_sweep_config, read_transfer_study
from csmri.core.errors import CsmriError
from csmri.data.records import Record
from csmri.data.runs import CONFIG
from csmri.methods.unet import build_unet
from csmri.results import lacking
from csmri.results.figures import (
    choose_examples,
    make_panels,
    read_panels,
    render_area,
    render_blocks,
    render_learning_curves,
    render_panels,
    render_savings,
    render_sweep,
    render_sweep_lines,
    render_transfer,
    render_transfer_curves,
    render_unet,
    render_variants,
    write_panels,
)
from csmri.results.folder import AREAS, EXAMPLES, SWEEP, TRANSFER_STUDY, VARIANTS, Results, run_folder, table_path
from csmri.results.report import REPORT, render_report
from csmri.results.tables import (
    Sweep,
    Table,
    area_tables,
    lengths_tables,
    markdown,
    methods_tables,
    quality_tables,
    read_areas,
    read_sweep,
    saving_curves,
    savings,
    savings_table,
    sweep_ratios,
    sweep_tables,
    table1,
    transfer_tables,
    variant_rows,
    variants_table,
    write_tables,
)

FORMATS = ("png", "svg", "pdf")


@dataclass(frozen=True)
class Wish:
    """How to draw."""

    caption: str = ""
    """Attribution where no study has one."""
    show: tuple[str, ...] = ()
    """Methods of figure 4, in the order of its columns."""
    formats: tuple[str, ...] = FORMATS[:1]
    """Of pictures; some of `FORMATS`."""


@dataclass(frozen=True)
class Drawn:
    """Files that were written, and what they tell, in lines for a person."""

    paths: Sequence[Path]
    lines: Sequence[str] = ()


@dataclass(frozen=True)
class Product:
    """A figure or table."""

    draw: Callable[[Results, Wish], Drawn]
    lacks: Callable[[Results], str]
    """What a folder must have and does not, in words; empty where it can be drawn."""
    by_itself: bool = field(default=True)
    """Whether it is drawn without being asked for."""


def _unet(results: Results, wish: Wish) -> Drawn:
    size = _network(results)
    model = build_unet(
        base_channels=size.base_channels,
        depth=size.depth,
        frames=size.frames,
        acceleration_input=size.acceleration_input,
    )
    return _pictures(results.path, "fig1_unet", wish, partial(render_unet, model))


def _blocks(results: Results, wish: Wish) -> Drawn:
    return _pictures(results.path, "fig2_blocks", wish, render_blocks)


def _learning_curves(results: Results, wish: Wish) -> Drawn:
    caption = results.study.caption if results.study else wish.caption
    drawn = _pictures(
        results.path,
        "fig3_learning_curves",
        wish,
        lambda path: render_learning_curves(results, path, caption=caption),
    )
    saved = savings(results)
    lines = [
        f"{saving.training} as good as standalone after N = {saving.standalone_epochs} epochs: {saving}"
        for saving in saved
    ]
    if saved and not results.records:
        lines += _lines([savings_table(saved)])
    return Drawn(drawn.paths, lines)


def _savings(results: Results, wish: Wish) -> Drawn:
    found = lengths_tables(saving_curves(results))
    tables = _tables(found, results.path / "savings.md", told=found[:1])
    caption = results.study.caption if results.study else wish.caption
    pictures = _pictures(results.path, "savings", wish, lambda path: render_savings(results, path, caption=caption))
    return Drawn([*tables.paths, *pictures.paths], tables.lines)


def _reconstructions(results: Results, wish: Wish) -> Drawn:
    sheets: Sequence[Path] = ()
    if results.examples:
        subject = results.study.example_subject if results.study else ""
        caption = (results.study.caption if results.study else "") or wish.caption
        panels = make_panels(choose_examples(results.examples, subject), wish.show)
        sheets = write_panels(panels, results.path, caption=caption)
    elif wish.show:
        raise CsmriError(
            f"{results.path}: has no {EXAMPLES}; without it figure 4 shows what its panels hold, drop --show"
        )
    panels, caption = read_panels(results.path)
    drawn = _pictures(
        results.path, "fig4_reconstructions", wish, lambda path: render_panels(panels, path, caption=caption)
    )
    return Drawn([*sheets, *drawn.paths])


def _table1(results: Results, wish: Wish) -> Drawn:
    assert results.study
    return _tables(table1(results.study, results.path), results.path / "table1_hyperparameters.md")


def _table2(results: Results, wish: Wish) -> Drawn:
    tables = _noted(quality_tables(results.records, results.fold_subjects), results, results.records)
    saved = [savings_table(found)] if (found := savings(results)) else []
    return _tables([*tables, *saved], results.path / "table2_nmse.md", told=[tables[0], *saved])


def _methods(results: Results, wish: Wish) -> Drawn:
    tables = _noted(methods_tables(results), results, results.records)
    return _tables(tables, results.path / "methods.md", told=tables[:1])


def _transfer(results: Results, wish: Wish) -> Drawn:
    sweep, caption = _sweep(results)
    target, source, costs = transfer_tables(sweep)
    noted = [*_noted([target], results, results.records), *_noted([source], results, sweep.source_records)]
    tables = _tables([*noted, costs], results.path / "transfer.md")
    pictures = _pictures(results.path, "transfer", wish, partial(render_transfer, sweep, caption=caption))
    return Drawn([*tables.paths, *pictures.paths], tables.lines)


def _transfer_curves(results: Results, wish: Wish) -> Drawn:
    sweep, caption = _sweep(results)
    return _pictures(results.path, "transfer_curves", wish, partial(render_transfer_curves, sweep, caption=caption))


def _sweep(results: Results) -> tuple[Sweep, str]:
    return read_sweep(results.path), read_transfer_study(results.path / TRANSFER_STUDY).caption


def _swept(results: Results, wish: Wish) -> Drawn:
    tables = _tables(
        _noted(sweep_tables(results.records, results.timings), results, results.records), results.path / "sweep.md"
    )
    caption = read_sweep_config(results.path / SWEEP).caption or wish.caption
    ratios = sweep_ratios(results.records)
    pictures = _pictures(results.path, "sweep", wish, lambda path: render_sweep(ratios, path, caption=caption))
    lines = _pictures(results.path, "sweep_lines", wish, lambda path: render_sweep_lines(ratios, path, caption=caption))
    return Drawn([*tables.paths, *pictures.paths, *lines.paths], tables.lines)


def _variants(results: Results, wish: Wish) -> Drawn:
    study = read_study(results.path / VARIANTS)
    rows = variant_rows(results.path, study)
    tables = _tables([variants_table(rows)], results.path / "variants.md")
    caption = study.caption or wish.caption
    pictures = _pictures(results.path, "variants", wish, lambda path: render_variants(rows, path, caption=caption))
    return Drawn([*tables.paths, *pictures.paths], tables.lines)


def _area(results: Results, wish: Wish) -> Drawn:
    areas = read_areas(table_path(results.path, AREAS))
    tables = _tables(area_tables(areas), results.path / "area.md")
    pictures = _pictures(results.path, "area", wish, lambda path: render_area(areas, path, caption=wish.caption))
    return Drawn([*tables.paths, *pictures.paths], tables.lines)


def _report(results: Results, wish: Wish) -> Drawn:
    path = results.path / REPORT
    render_report(results, path)
    images = "" if results.examples else f", without images: there is no {EXAMPLES}"
    return Drawn([path], [f"{path}: {path.stat().st_size / 1e6:.1f} MB{images}; open it in a browser"])


def _pictures(folder: Path, name: str, wish: Wish, render: Callable[[Path], None]) -> Drawn:
    paths = [folder / f"{name}.{suffix}" for suffix in wish.formats]
    for path in paths:
        render(path)
    return Drawn(paths)


def _tables(tables: Sequence[Table], path: Path, told: Sequence[Table] | None = None) -> Drawn:
    return Drawn(write_tables(tables, path), _lines(tables if told is None else told))


def _noted(tables: Sequence[Table], results: Results, records: Sequence[Record]) -> list[Table]:
    """Say below tables whose heads are accelerations how many lines carry signal, where it is known."""
    note = results.acceleration_note(records)
    return [replace(table, notes=[*table.notes, note]) if note else table for table in tables]


def _lines(tables: Sequence[Table]) -> list[str]:
    return [line for table in tables for line in ("", table.title, markdown(table.rows), *table.notes)]


def _network(results: Results) -> Network:
    configs = [run_folder(results.path, training, seed) / CONFIG for training, seed in results.logs]
    kept = [path for path in configs if path.exists()]
    return results.study or (read_config(kept[0]) if kept else Network())


PRODUCTS = {
    "fig1": Product(_unet, lacking.other_experiment),
    "fig2": Product(_blocks, lacking.other_experiment),
    "fig3": Product(_learning_curves, lacking.logs),
    "savings": Product(_savings, lacking.savings),
    "fig4": Product(_reconstructions, lacking.panels),
    "table1": Product(_table1, lacking.study),
    "table2": Product(_table2, lacking.records),
    "methods": Product(_methods, lacking.times),
    "transfer": Product(_transfer, lacking.transfer),
    "transfer_curves": Product(_transfer_curves, lacking.transfer),
    "sweep": Product(_swept, lacking.sweep),
    "variants": Product(_variants, lacking.variants),
    "area": Product(_area, lacking.areas),
    "report": Product(_report, lacking.other_experiment, by_itself=False),
}
"""By the names that `csmri figures --only` takes."""
