"""Small pieces of HTML; every text from data goes through `escape`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any


def embedded_json(data: Any) -> str:
    """JSON that is safe inside a script element, whatever the names in it hold."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def definitions(items: Iterable[tuple[str, str]], name: str = "facts") -> str:
    """Definition list of (term, HTML) pairs."""
    rows = "".join(f"<div><dt>{escape(term)}</dt><dd>{html}</dd></div>" for term, html in items)
    return f'<dl class="{name}">{rows}</dl>' if rows else ""


def details(summary: str, html: str) -> str:
    """Fold what is long."""
    return f"<details><summary>{escape(summary)}</summary>{html}</details>"


def nested(value: Any) -> str:
    """JSON of any form as nested definition lists; folders of the machine that wrote it are cut to their last name."""
    if isinstance(value, Mapping):
        return definitions(((str(key), nested(one)) for key, one in value.items()), "facts nested")
    if isinstance(value, Sequence) and not isinstance(value, str):
        if any(isinstance(one, Mapping) for one in value):
            return "".join(nested(one) for one in value)
        return ", ".join(nested(one) for one in value) or "–"
    if value is None or value == "":
        return "–"
    return escape(without_folders(value if isinstance(value, str) else json.dumps(value)))


def without_folders(text: str) -> str:
    """Shorten absolute paths: they tell about a machine, not about the result."""
    return re.sub(r"(?<![\w:/.~-])(?:/[^\s/'\",;]+){2,}", lambda path: "…/" + path[0].rpartition("/")[2], text)
