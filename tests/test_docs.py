"""The pages in docs/ are true: their code runs as it stands there, and prints what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+\.\d+")


def blocks(page: Path) -> list[tuple[str, str, int]]:
    """List language, text and line of every block of a page."""
    text = page.read_text(encoding="utf-8")
    return [(found[1], found[2], text[: found.start(2)].count("\n")) for found in BLOCK.finditer(text)]


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_code_runs_and_prints_what_the_page_says(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    printed, n_run = "", 0
    for language, text, line in blocks(page):
        if language == "python":
            # So that a traceback tells the line of the page.
            exec(compile("\n" * line + text, str(page), "exec"), namespace)
            printed, n_run = capsys.readouterr().out, n_run + 1
        else:
            assert language == "text", f"{page.name}:{line}: nobody runs a block of {language!r}"
            # What a training tells goes before.
            printed = "".join(printed.splitlines(keepends=True)[-len(text.splitlines()) :])
            assert NUMBER.sub("#", text) == NUMBER.sub("#", printed), f"{page.name}:{line}"
            for said, is_true in zip(NUMBER.findall(text), NUMBER.findall(printed), strict=True):
                # Another processor rounds differently.
                assert float(said) == pytest.approx(float(is_true), rel=0.03), f"{page.name}:{line}"
    assert n_run == text_count(page)


def text_count(page: Path) -> int:
    """Count the lines that begin a block of Python by another way than `BLOCK`, which must not miss one."""
    return page.read_text(encoding="utf-8").splitlines().count("```python")


def test_ten_lines_take_a_cine_from_file_to_a_figure():
    (language, first, _), *_ = blocks(DOCS / "python.md")
    assert language == "python"
    assert len(first.strip().splitlines()) <= 10
    for name in ("read", "simulate", "reconstruct", "evaluate", "draw"):
        assert f"csmri.{name}(" in first


def test_pictures_of_the_pages_are_there():
    for page in DOCS.glob("*.md"):
        for picture in re.findall(r"!\[[^]]+\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / picture).is_file(), picture
