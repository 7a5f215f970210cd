"""Draw figures and tables of a results folder, and know whether they are drawn.

The command line, a study's last stage and, by way of the command line, the scripts in results/ all draw through here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from csmri.core.errors import CsmriError
from csmri.core.names import shown_methods
from csmri.core.texts import read_json, write_json
from csmri.results.folder import (
    AREAS,
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
    table_path,
)
from csmri.results.products import PRODUCTS, Drawn, Wish
from csmri.results.variants import variant_files

DRAWN = "drawn.json"


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


def _only_areas(folder: Path, names: Sequence[str]) -> bool:
    # They stand in a folder of their own as well.
    has_areas, has_records = (table_path(folder, name).exists() for name in (AREAS, RECORDS))
    return set(names) == {"area"} if names else has_areas and not has_records


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
