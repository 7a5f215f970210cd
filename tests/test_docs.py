"""The pages in docs/ are true: their code and commands run as they stand there, and print what they say."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from csmri.cli import main
from csmri.formats.discovery import _formats
from csmri.formats.output import OUTPUTS

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+\.\d+")
ENDS_WITH = re.compile(r"# exit code (\d+)$")


def blocks(page: Path) -> list[tuple[str, str, int]]:
    """List language, text and line of every block of a page."""
    text = page.read_text(encoding="utf-8")
    return [(found[1], found[2], text[: found.start(2)].count("\n")) for found in BLOCK.finditer(text)]


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_code_runs_and_prints_what_the_page_says(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    check, printed, n_run = check_end, "", 0
    for language, text, line in blocks(page):
        if language == "python":
            # So that a traceback tells the line of the page.
            exec(compile("\n" * line + text, str(page), "exec"), namespace)
            check, printed, n_run = check_end, capsys.readouterr().out, n_run + 1
        elif language == "shell":
            printed = "".join(run(command, f"{page.name}:{line}") for command in text.splitlines())
            check, n_run = check_lines, n_run + 1
        else:
            assert language == "text", f"{page.name}:{line}: nobody runs a block of {language!r}"
            check(text, printed, f"{page.name}:{line}")
    assert n_run == text_count(page)


def run(command: str, where: str) -> str:
    """Run a line of a shell, commands of csmri in this process, which has TensorFlow already; what it prints."""
    expected = int(found[1]) if (found := ENDS_WITH.search(command)) else 0
    if command.startswith("csmri "):
        result = CliRunner().invoke(main, shlex.split(command, comments=True)[1:])
        code, printed = result.exit_code, result.output
    else:
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        code, printed = done.returncode, done.stdout + done.stderr
    assert code == expected, f"{where}: {command}\n{printed}"
    return printed


def check_end(said: str, printed: str, where: str) -> None:
    """Check that code printed this last; what a training tells goes before."""
    end = "".join(printed.splitlines(keepends=True)[-len(said.splitlines()) :])
    assert is_same(said, end), f"{where}:\n{end}"


def check_lines(said: str, printed: str, where: str) -> None:
    """Check that commands printed these lines, in this order, with others between them."""
    rest = iter(printed.splitlines())
    for line in said.splitlines():
        assert any(is_same(line, other) for other in rest), f"{where}: {line!r} is not in\n{printed}"


def is_same(said: str, printed: str) -> bool:
    """Whether two texts differ in the last digits of numbers at most: another processor rounds differently."""
    if NUMBER.sub("#", said) != NUMBER.sub("#", printed):
        return False
    pairs = zip(NUMBER.findall(said), NUMBER.findall(printed), strict=True)
    return all(float(one) == pytest.approx(float(other), rel=0.03) for one, other in pairs)


def text_count(page: Path) -> int:
    """Count the lines that begin a block that is run by another way than `BLOCK`, which must not miss one."""
    lines = page.read_text(encoding="utf-8").splitlines()
    return lines.count("```python") + lines.count("```shell")


def table_of_formats() -> list[list[str]]:
    """Cells of the table of formats: name, what it holds, read, written, tested."""
    lines = (DOCS / "data.md").read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| format |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_every_format_that_is_read_or_written_is_in_the_table():
    rows = table_of_formats()
    assert all(len(row) == 5 and row[4] for row in rows)
    readable = ["DICOM", *(name for name, *_ in _formats(None))]
    assert sorted(row[0] for row in rows if row[2] == "yes") == sorted(readable)
    written = {}
    for _, holds, _, how, _ in rows:
        names = re.findall(r"`([^`]+)`", how)
        suffixes = tuple(name for name in names if name.startswith("."))
        written |= {name: (suffixes, "k-space" in holds) for name in names if name not in suffixes}
    assert written == {name: (output.suffixes, output.kspace is not None) for name, output in OUTPUTS.items()}


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
