"""Every figure and table of a results folder by its name: what it needs, how it is made, and what was drawn last.

The command line, a study's last stage and, by way of the command line, the scripts in results/ all draw through here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from csmri.config import Network, read_config, read_study, read_sweep_config, read_transfer_study
from csmri.core.errors import CsmriError
from csmri.core.names import STANDALONE, TRANSFER, shown_methods
from csmri.core.texts import read_json, write_json
from csmri.data.records import Record
from csmri.data.runs import CONFIG, LOG
from csmri.methods.unet import build_unet
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
from csmri.results.figures.panels import SHEET
from csmri.results.folder import (
    EXAMPLES,
    RECORDS,
    RUNS,
    SOURCE_RECORDS,
    STUDY,
    SWEEP,
    TIMINGS,
    TRANSFER_STUDY,
    VARIANTS,
    Results,
    read_results,
    run_folder,
    table_path,
)
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
from csmri.results.variants import variant_files

AREAS, DRAWN = "area.csv.xz", "drawn.json"
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


def draw(results: Path, names: Sequence[str] = (), wish: Wish | None = None) -> list[Drawn]:
    """Draw figures and tables of a folder, by default all that it has what they need for.

    Raises
    ------
    CsmriError
        If a name is unknown, or the folder lacks what a figure asked for by name needs.
    """
    wish = wish or Wish()
    if unknown := [name for name in names if name not in PRODUCTS]:
        raise CsmriError(f"no figure or table is called {unknown[0]!r}; there are {', '.join(PRODUCTS)}")
    found = read_results(results) if not _only_areas(results, names) else Results(results, None, {}, ())
    for name in names:
        if lacking := PRODUCTS[name].lacks(found):
            raise CsmriError(f"{results}: {lacking}")
    chosen = names or [name for name, one in PRODUCTS.items() if one.by_itself and not one.lacks(found)]
    if "fig4" in chosen and found.examples:  # damaged images or unknown methods are refused before anything is drawn
        shown_methods(found.examples[0].methods, wish.show)
    return [PRODUCTS[name].draw(found, wish) for name in chosen]


def builds_a_network(results: Path, names: Sequence[str] = ()) -> bool:
    """Whether `draw` with the same arguments builds a network, for which TensorFlow is loaded: figure 1 shows one."""
    of_paper = not any((results / name).exists() for name in (TRANSFER_STUDY, SWEEP, VARIANTS))
    return "fig1" in names or (not names and of_paper)


# --- what was drawn last


def is_drawn(results: Path) -> bool:
    """Whether everything that `draw_all` makes was made of what the folder holds now, and is there."""
    before = read_json(results / DRAWN)
    files = [results / name for name in before.get("files", ())]
    return bool(files) and before.get("inputs") == inputs_sha256(results) and all(map(Path.exists, files))


def draw_all(results: Path) -> list[Drawn]:
    """Draw everything and the report, and note of what."""
    drawn = draw(results)
    found = read_results(results)
    if not PRODUCTS["report"].lacks(found):
        drawn.append(PRODUCTS["report"].draw(found, Wish()))
    files = [path.relative_to(results).as_posix() for one in drawn for path in one.paths]
    write_json(results / DRAWN, {"inputs": inputs_sha256(results), "files": files})
    return drawn


def inputs_sha256(results: Path) -> str:
    """Identity of what figures and tables are made of: configs, records and logs."""
    digest = hashlib.sha256()
    names = [STUDY, TRANSFER_STUDY, SWEEP, VARIANTS, RECORDS, SOURCE_RECORDS, TIMINGS]
    paths = [
        *(table_path(results, name) for name in names),
        *sorted((results / RUNS).rglob("*.*")),
        *variant_files(results),
    ]
    for path in paths:
        if path.is_file():
            digest.update(f"{path.relative_to(results).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()


# --- one product each


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


def _only_areas(folder: Path, names: Sequence[str]) -> bool:
    # They stand in a folder of their own as well.
    has_areas, has_records = (table_path(folder, name).exists() for name in (AREAS, RECORDS))
    return set(names) == {"area"} if names else has_areas and not has_records


# --- what each needs


def _of_paper(results: Results) -> str:
    if (results.path / TRANSFER_STUDY).exists():
        return f"holds {TRANSFER_STUDY}, whose figures are transfer and transfer_curves"
    if (results.path / SWEEP).exists():
        return f"holds {SWEEP}, whose figure is sweep"
    if (results.path / VARIANTS).exists():
        return f"holds {VARIANTS}, whose figure is variants"
    return ""


def _needs_logs(results: Results) -> str:
    if results.logs:
        return _of_paper(results)
    return f"has no logs {RUNS}/seed_*/*/log.csv; `csmri figures --run RUN` keeps them there"


def _needs_savings(results: Results) -> str:
    if savings(results):
        return _of_paper(results)
    return f"lacks logs {RUNS}/seed_*/{STANDALONE}/{LOG} and {RUNS}/seed_*/{TRANSFER}*/{LOG} of one seed"


def _needs_panels(results: Results) -> str:
    if (results.path / SHEET).exists() or (results.path / EXAMPLES).exists():
        return _of_paper(results)
    return f"has neither {EXAMPLES} nor {SHEET}, the panels of figure 4; `csmri evaluate` keeps images"


def _needs_study(results: Results) -> str:
    return "" if results.study else f"has no {STUDY}; table 1 is of a study that `csmri study` made"


def _needs_records(results: Results) -> str:
    if results.records:
        return _of_paper(results)
    return f"has no {RECORDS}; `csmri evaluate --out {results.path}` writes it"


def _needs_times(results: Results) -> str:
    if results.records and results.timings:
        return _of_paper(results)
    return f"lacks {RECORDS} or {TIMINGS}; `csmri evaluate --out {results.path}` writes both"


def _needs_transfer(results: Results) -> str:
    if (results.path / TRANSFER_STUDY).exists():
        return ""
    return f"has no {TRANSFER_STUDY}; the figure is of a study that `csmri transfer` made"


def _needs_sweep(results: Results) -> str:
    if (results.path / SWEEP).exists() and results.records:
        return ""
    return f"has no {SWEEP} with records; the figure is of a sweep that `csmri sweep` made"


def _needs_variants(results: Results) -> str:
    if (results.path / VARIANTS).exists() and variant_files(results.path):
        return ""
    return f"has no {VARIANTS} with a variant that is done; the figure is of a study with variants, `csmri study`"


def _needs_areas(results: Results) -> str:
    if table_path(results.path, AREAS).exists():
        return ""
    return f"has no {AREAS}; `csmri figures --only area --cine CINE --outlines OUTLINES` measures them"


PRODUCTS = {
    "fig1": Product(_unet, _of_paper),
    "fig2": Product(_blocks, _of_paper),
    "fig3": Product(_learning_curves, _needs_logs),
    "savings": Product(_savings, _needs_savings),
    "fig4": Product(_reconstructions, _needs_panels),
    "table1": Product(_table1, _needs_study),
    "table2": Product(_table2, _needs_records),
    "methods": Product(_methods, _needs_times),
    "transfer": Product(_transfer, _needs_transfer),
    "transfer_curves": Product(_transfer_curves, _needs_transfer),
    "sweep": Product(_swept, _needs_sweep),
    "variants": Product(_variants, _needs_variants),
    "area": Product(_area, _needs_areas),
    "report": Product(_report, _of_paper, by_itself=False),
}
"""By the names that `csmri figures --only` takes."""
