"""JSON, TOML and CSV files, both ways: written whole or not at all, read or refused in one line; times in words."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import lzma
import re
import tomllib
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from csmri.core.errors import CsmriError
from csmri.core.files import replacing


class _Packing(NamedTuple):
    """A compression: what a packed file begins with, and both ways."""

    magic: bytes
    pack: Callable[[bytes], bytes]
    unpack: Callable[[bytes], bytes]


_PACKINGS = {
    ".xz": _Packing(b"\xfd7zXZ\0", lzma.compress, lzma.decompress),
    # Without a date, the same rows give the same bytes.
    ".gz": _Packing(b"\x1f\x8b", partial(gzip.compress, mtime=0), gzip.decompress),
}
"""By the suffix of what is written; what is read is told by its content."""


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON for people to read, whole or not at all."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def write_toml(path: str | Path, fields: Mapping[str, Any]) -> None:
    """Write fields as TOML, those that are mappings as tables below the others; whole or not at all."""
    write_text(path, "\n".join(_toml_lines(fields, ())) + "\n")


def write_csv(path: str | Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV, compressed where the name ends in .xz or .gz, whole or not at all."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    content = text.getvalue().encode()
    if packing := _PACKINGS.get(Path(path).suffix):
        content = packing.pack(content)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def duration(seconds: float) -> str:
    """Write a time for people, in seconds, minutes or hours."""
    minutes = round(seconds / 60)
    if minutes == 0:
        return f"{max(round(seconds), 1)} s"
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def _toml_lines(fields: Mapping[str, Any], table: tuple[str, ...]) -> list[str]:
    below = {name: value for name, value in fields.items() if isinstance(value, Mapping)}
    lines = [f"{_toml_key(name)} = {_toml_value(value)}" for name, value in fields.items() if name not in below]
    for name, value in below.items():
        place = (*table, name)
        lines += ["", f"[{'.'.join(map(_toml_key, place))}]", *_toml_lines(value, place)]
    return lines


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml_value(name)


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml_key(name)} = {_toml_value(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    # JSON's escapes are TOML's but for pairs of surrogates, which only pure ASCII needs, and the delete character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_json(path: str | Path, *, advice: str = "write or remove it") -> dict[str, Any]:
    """Read an object from a JSON file; empty where there is none.

    Raises
    ------
    CsmriError
        If the file holds something else.
    """
    path = Path(path)
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CsmriError(f"{path}: not the JSON that csmri writes, or damaged ({error}); {advice}") from error
    if not isinstance(found, dict):
        raise CsmriError(f"{path}: expected a JSON object, found {type(found).__name__}; {advice}")
    return found


def read_toml(path: str | Path, kind: str) -> dict[str, Any]:
    """Read a TOML file, with or without a byte-order mark; `kind` tells in messages what it should have been."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        if b"\0" in error.object and not error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise CsmriError(f"{path}: cannot read the {kind}: this is no text; expected a TOML file") from error
        raise CsmriError(f"{path}: the {kind} is not in UTF-8 ({error.reason}); save it as UTF-8") from error
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, tomllib.TOMLDecodeError):
            raise CsmriError(f"{path}: not a TOML file: {error}") from error
        if isinstance(error, RecursionError):
            raise CsmriError(f"{path}: nested too deep for a {kind}") from error
        raise CsmriError(f"{path}: cannot read the {kind}: {getattr(error, 'strerror', None) or error}") from error


def read_csv(path: str | Path) -> list[dict[str, str]]:
    """Read the rows of a table with a head, compressed or not; refuses nothing by itself.

    Raises
    ------
    OSError, EOFError, ValueError
        If there is no such file, its end is missing, or it is no text: the caller knows what it should have been.
    """
    content = Path(path).read_bytes()
    unpacks = (packing.unpack for packing in _PACKINGS.values() if content.startswith(packing.magic))
    try:
        text = next(unpacks, bytes)(content).decode()
        return list(csv.DictReader(io.StringIO(text, newline="")))
    except (zlib.error, lzma.LZMAError, csv.Error) as error:
        raise ValueError(str(error)) from error
