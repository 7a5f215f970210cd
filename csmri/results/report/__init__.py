"""Results -> one HTML page that holds everything it shows: findings, beating images, tables, curves, provenance."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from csmri import __version__
from csmri.config import Config, Study
from csmri.core.errors import CsmriError
from csmri.core.files import replacing
from csmri.core.names import STANDALONE, is_transfer, short, title
from csmri.results.folder import Example, Results
from csmri.results.report import sections
from csmri.results.report.curves import SIZES, curves_data, curves_svg
from csmri.results.report.findings import Curve, compare, learning_curves, sentence
from csmri.results.report.fragments import embedded_json
from csmri.results.report.lengths import lengths_html
from csmri.results.report.naming import colours
from csmri.results.report.sprites import player_data
from csmri.results.report.stage import missing_html, player_html
from csmri.results.tables.lengths import saving_curves
from csmri.results.tables.savings import savings

__all__ = ["MAX_SLICES", "REPORT", "render_reconstruction", "render_report"]

REPORT = "report.html"
MAX_SLICES = 3
SCRIPTS = ("page.js", "images.js", "player.js")


def render_report(
    results: Results,
    path: str | Path,
    *,
    examples: Sequence[Example] | None = None,
    note: str = "",
    max_slices: int = MAX_SLICES,
) -> None:
    """Write the page; the same inputs give the same bytes.

    Parameters
    ----------
    results : Results
        What is missing in it, the page does without.
    path : path
        The HTML file, replaced atomically.
    examples : sequence of Example, optional
        Images to play instead of those of the results.
    note : str
        Said beside the player, of the images.
    max_slices : int >= 1
        Slices in the player; more make the file larger.

    Raises
    ------
    CsmriError
        If images, logs or records of provenance are damaged, or the file cannot be written.
    """
    if max_slices < 1:
        raise CsmriError(f"a report shows at least 1 slice, max_slices is {max_slices}")
    html = _page(results, examples, note, max_slices)
    with replacing(Path(path)) as temporary:
        temporary.write_text(html, encoding="utf-8", newline="\n")


def render_reconstruction(
    examples: Sequence[Example],
    path: str | Path,
    *,
    lead: str,
    quality: str,
    notes: Sequence[str] = (),
    caption: str = "",
) -> None:
    """Write one reconstruction as a page: truth and methods beating side by side, their errors, their quality.

    Parameters
    ----------
    examples : sequence of Example
        Its slices, beside the truth; `MAX_SLICES` of them are shown.
    path : path
        The HTML file, replaced atomically.
    lead : str
        What was done, in a sentence.
    quality : str
        Text of `tables.single`.
    notes : sequence of str
        What the reader has to know of input and method.
    caption : str
        Attribution of the data.
    """
    player = player_data(examples, max_slices=MAX_SLICES)
    html = _in_shell(
        "single.html",
        {
            "player": player_html(player, _read("player.html"), note="", caption=caption),
            "quality": f"<pre>{escape(quality, quote=False)}</pre>",
            "notes": "\n".join(f"<li>{escape(note, quote=False)}</li>" for note in notes),
        },
        kind="reconstruction",
        title=escape(examples[0].subject or "A cine"),
        lead=escape(lead, quote=False),
        footer=f"<p>Written by <code>csmri reconstruct</code>, version {__version__}. The page is one file, loads "
        "nothing and sends nothing; it holds images of the input.</p>",
        data={"player": player},
    )
    with replacing(Path(path)) as temporary:
        temporary.write_text(html, encoding="utf-8", newline="\n")


def _page(results: Results, given: Sequence[Example] | None, note: str, max_slices: int) -> str:
    study, examples = results.study, results.examples if given is None else given
    config = study.stages()[STANDALONE] if study else sections.training_config(results)
    trained = config.accelerations if config else ()
    curves = learning_curves(results)
    saved = savings(results)
    comparison = compare(results.records, trained)
    player = player_data(examples, max_slices=max_slices) if examples else None
    caption = study.caption if study else ""
    compares = bool(saved) or bool(comparison and comparison.transfer)
    classes = colours(curve.training for curve in curves)
    parts = {
        "version": __version__,
        "player": player_html(player, _read("player.html"), note=note, caption=caption if given is None else "")
        if player
        else missing_html(note),
        "errors": _errors(results, trained),
        "curves": _curves(results, curves, classes),
        "lengths": _lengths(results, classes),
        "run": _run(results, study, config),
        "caption": f'<p class="prose caption">{escape(caption)}</p>' if caption else "",
    }
    return _in_shell(
        "page.html",
        parts,
        kind="study report",
        title="What transfer learning bought" if compares else "Cine reconstructions compared",
        lead=_emphasised(sentence(saved[-1] if saved else None, comparison)),
        key=sections.key_figures(saved[-1] if saved else None, comparison),
        footer=f"{sections.provenance(results)}\n<p>Written by <code>csmri report</code>, version {__version__}, from "
        "the records and logs of the results folder. The page is one file, loads\nnothing and sends nothing.</p>",
        data={"player": player, "curves": curves_data(curves, classes)},
    )


def _in_shell(
    name: str,
    parts: Mapping[str, str],
    *,
    kind: str,
    title: str,
    lead: str,
    footer: str,
    data: Mapping[str, Any],
    key: str = "",
) -> str:
    """Fill the template of a page's middle, and put around it what all pages have."""
    return Template(_read("shell.html")).substitute(
        version=__version__,
        kind=kind,
        title=title,
        lead=lead,
        key=key,
        main=Template(_read(name)).substitute(parts),
        footer=footer,
        style=_read("style.css"),
        script="\n".join(_read(name) for name in SCRIPTS),
        data=embedded_json(data),
    )


def _read(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8").strip()


def _emphasised(text: str) -> str:
    """Set the numbers of the sentence apart."""
    number = r"N = \d+|(?<=after )\d+ epochs(?= \()|[\d.]+× fewer|(?<=from )[\d.]+ to [\d.]+|[+\N{MINUS SIGN}][\d.]+ %"
    return re.sub(number, lambda found: f"<b>{found[0]}</b>", escape(text, quote=False))


def _section(name: str, heading: str, html: str) -> str:
    return f'<section aria-labelledby="{name}-title"><h2 id="{name}-title">{heading}</h2>{html}</section>'


def _errors(results: Results, trained: Sequence[float]) -> str:
    if not results.records:
        return ""
    return _section(
        "errors",
        "Errors on the test subjects",
        sections.table2(results, trained) + sections.other_qualities(results),
    )


def _curves(results: Results, curves: Sequence[Curve], classes: Mapping[str, str]) -> str:
    if not curves:
        return ""
    saved = savings(results)
    legend = "".join(
        f'<li class="{classes[curve.training]}"><i class="swatch"></i>{escape(_legend(curve.training))} '
        f'<b data-curve="{i}"></b></li>'
        for i, curve in enumerate(curves)
    )
    n_seeds = max(len(curve.of_seed) for curve in curves)
    repeat = results.repeat
    over = f"mean over {n_seeds} {repeat}s, band from the lowest to the highest" if n_seeds > 1 else f"one {repeat}"
    text = (
        f'<p class="prose">NMSE of the training images, relative to that of their initial reconstructions, {over}. '
        "The epoch axis is logarithmic: a saving factor is a distance on it. The dashed line is standalone’s last "
        "error.</p>"
    )
    pictures = "".join(curves_svg(curves, saved, classes, size, name) for name, size in SIZES.items())
    plot = (
        f'<div id="curves" tabindex="0" role="group" aria-label="Learning curves; arrow keys step epochs">'
        f'<ul class="legend"><li class="epoch">epoch <b id="epoch">–</b></li>{legend}</ul>{pictures}</div>'
    )
    table = sections.epochs_saved(saved)
    return _section("curves", "Learning curves", text + plot + table)


def _lengths(results: Results, classes: Mapping[str, str]) -> str:
    found = saving_curves(results)
    return _section("lengths", "When transfer learning saves", lengths_html(found, classes)) if found else ""


def _legend(training: str) -> str:
    return short(training) if is_transfer(training) and short(training) != "TL" else title(training)


def _run(results: Results, study: Study | None, config: Config | None) -> str:
    html = sections.facts(results, study, config) + sections.runs_table(results)
    return _section("run", "What was run", html) if html else ""
