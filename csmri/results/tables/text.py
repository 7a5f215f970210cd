"""Rows of text -> Markdown and LaTeX; a cell in bold is **so** in both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from csmri.core.texts import write_text

MISSING = "–"
"""A cell without a number."""

_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "≤": r"$\leq$",
    "–": "--",
    "°": r"$^\circ$",
}
_SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


@dataclass(frozen=True)
class Table:
    """A table with what is said above and below it; the first row is the head, the first column text."""

    name: str
    """One word, for LaTeX's \\label."""
    title: str
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Align rows as a Markdown table; the first is the head, the first column text, the others numbers."""
    rows = [[_markdown_cell(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        return f"| {' | '.join(cells)} |"

    rule = (
        "|" + "|".join("-" * (width + 2) if i == 0 else "-" * (width + 1) + ":" for i, width in enumerate(widths)) + "|"
    )
    return "\n".join([line(rows[0]), rule, *map(line, rows[1:])])


def _markdown_cell(text: str) -> str:
    """A cell that stays one: a pipe ends it, also one after backslashes, unless each of them has one of its own."""
    return re.sub(r"(\\*)\|", lambda found: f"{found[1] * 2}\\|", " ".join(text.splitlines()))


def html(table: Table, *, name: str = "") -> str:
    """Write a table as HTML with its title and notes as caption; text is escaped. Scrolls sideways where it is wide."""
    head, *rows = [[_html_cell(cell) for cell in row] for row in table.rows]
    return html_table(head, rows, caption=escape(". ".join([table.title, *_sentences(table.notes)])), name=name)


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str, name: str = "") -> str:
    """Write a table of cells that are HTML already; the first of every row is its heading."""
    columns = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>' for first, *rest in rows
    )
    label = re.sub("<[^>]*>", "", caption).replace('"', "&quot;")
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table class="{name}">'
        f"<caption>{caption}</caption><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _html_cell(cell: str) -> str:
    bold = re.fullmatch(r"\*\*(.*)\*\*", cell)
    return f"<b>{escape(bold[1])}</b>" if bold else escape(cell)


def _sentences(notes: Sequence[str]) -> list[str]:
    return [note.removesuffix(".") for note in notes]


def latex(table: Table) -> str:
    """Write a table environment for the packages booktabs and, where it is wide, graphicx; text is escaped."""
    head, *rows = [" & ".join(map(_cell, row)) + r" \\" for row in table.rows]
    wide = _is_wide(table)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escape(table.title)}}}",
        rf"\label{{tab:{table.name}}}",
        *([r"\resizebox{\textwidth}{!}{%"] if wide else []),
        rf"\begin{{tabular}}{{l{'r' * (len(table.rows[0]) - 1)}}}",
        *[r"\toprule", head, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}" + "}" * wide],
        *(rf"\par\smallskip {{\footnotesize {_escape(note)}\par}}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines)


def _is_wide(table: Table) -> bool:
    """Whether a table must be scaled to the width of a page."""
    return len(table.rows[0]) > 8


def write_tables(tables: Sequence[Table], stem: Path) -> tuple[Path, Path]:
    """Write tables one below the other into `stem` with the suffixes .md and .tex, and tell both."""
    parts = [
        f"**{table.title}**\n\n{markdown(table.rows)}" + "".join(f"\n\n{n}" for n in table.notes) for table in tables
    ]
    packages = "booktabs,graphicx" if any(map(_is_wide, tables)) else "booktabs"
    texts = {
        stem.with_suffix(".md"): "\n\n".join(parts),
        stem.with_suffix(".tex"): f"% Needs \\usepackage{{{packages}}}.\n" + "\n\n".join(map(latex, tables)),
    }
    for path, text in texts.items():
        write_text(path, text + "\n")
    markdown_path, latex_path = texts
    return markdown_path, latex_path


def _cell(text: str) -> str:
    bold = re.fullmatch(r"\*\*(.*)\*\*", text)
    return rf"\textbf{{{_escape(bold[1])}}}" if bold else _escape(text)


def _escape(text: str) -> str:
    parts = re.split("([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", text)  # every second one is a superscript
    for i, part in enumerate(parts):
        plain = "".join(_LATEX.get(character, character) for character in part)
        parts[i] = f"$^{{{part.translate(_SUPERSCRIPTS)}}}$" if i % 2 else plain
    return "".join(parts)
