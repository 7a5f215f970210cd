"""What all configs share: frozen, typed fields, refused in one line where they do not fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from csmri.core.errors import CsmriError
from csmri.core.texts import write_toml

EVALUATION_ACCELERATIONS = (2.0, 3.0, 4.0, 8.0)

# Upper bounds lie far above what is ever meant: they catch a slip of the hand before memory or a float does.
# The model is strict, but TOML and JSON have lists where a frozen record has tuples; their elements stay strict.
Accelerations = Annotated[tuple[Annotated[float, Field(ge=1, le=10_000)], ...], Field(min_length=1, strict=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Epochs = Annotated[tuple[Count, ...], Field(strict=False)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Split = Literal["pretrain", "train", "validation", "test"]
Way = Literal["all", "frozen-encoder", "frozen-decoder", "scale-shift", "discriminative", "blended"]
BLENDED = "blended"
NAME = re.compile(r"(?!\.+$)[\w.@+-][\w.@+ -]{0,79}")
"""What a person may call a method, an acquisition or a variant: it names folders, too."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    if not TYPE_CHECKING:  # which knows the fields from pydantic

        def __init__(self, /, **fields: Any) -> None:
            """Refuse what does not fit in one line."""
            try:
                super().__init__(**fields)
            except ValidationError as error:
                raise CsmriError(f"{type(self).__name__}: {_one_line(error, type(self))}") from error

        __init__.__pydantic_base_init__ = True  # for a table inside another, pydantic tells of the whole by itself


Fields = TypeVar("Fields", bound=Frozen)


def checked(kind: type[Fields], fields: dict[str, Any], where: str) -> Fields:
    """Make a config or study of these fields; refuses them in one line."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise CsmriError(f"{where}: {_one_line(error, kind)}") from error


def write_config(config: Frozen, path: str | Path) -> None:
    """Write every field as TOML, defaults included; of a stage's table those that it does not take from the study."""
    write_toml(path, config.model_dump(mode="json", exclude_none=True))


def by_key(config: Frozen) -> dict[str, Any]:
    """List what `write_config` writes by the names that messages have for it: `batch_size`, `[pretrain] passes`."""
    named: dict[str, Any] = {}
    for key, value in config.model_dump(exclude_none=True).items():
        named |= {f"[{key}] {own}": one for own, one in value.items()} if isinstance(value, dict) else {key: value}
    return named


def table_of(kind: type[Frozen], key: str) -> type[Frozen] | None:
    """Find the model of a table by its name; None for any other field."""
    field = kind.model_fields.get(key)
    found = field.annotation if field else None
    return found if isinstance(found, type) and issubclass(found, Frozen) else None


def merged(fields: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Fields with some of them changed, those of tables one by one."""
    return fields | {
        key: merged(fields[key], value) if isinstance(value, dict) and isinstance(fields.get(key), dict) else value
        for key, value in own.items()
    }


def first_message(error: ValidationError) -> str:
    """Tell the first thing that is wrong, without its key."""
    return error.errors()[0]["msg"].removeprefix("Value error, ")


def tables_of(kind: type[Frozen], key: str) -> type[Frozen] | None:
    """Find the model of tables that a person names, `[methods.NAME]`; None for any other field."""
    field = kind.model_fields.get(key)
    found = get_args(field.annotation) if field and get_origin(field.annotation) is dict else ()
    return found[1] if found and isinstance(found[1], type) and issubclass(found[1], Frozen) else None


def _one_line(error: ValidationError, kind: type[Frozen]) -> str:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    model, place = kind, ""
    if len(path) > 1 and (table := tables_of(kind, path[0])):
        model, place, path = table, f"[{path[0]}.{path[1]}] ", path[2:]
    elif path and (table := table_of(kind, path[0])):
        if first["type"] == "model_type":
            return f"{path[0]} = {_shown(first['input'])}: expected a table [{path[0]}] of {_listed(table)}"
        if len(path) > 1:
            model, place, path = table, f"[{path[0]}] ", path[1:]
    if first["type"] == "extra_forbidden":
        allowed = f"allowed are {_listed(model)}"
        if model is kind:
            return f"unknown key {_shown(path[0])}; {allowed}"
        key = path[0] if path[0].isidentifier() and len(path[0]) < 60 else _shown(path[0])
        hint = f"; {key} is no stage's own, it stands above the first table" if key in kind.model_fields else ""
        return f"{place}{key}: unknown key; {allowed}{hint}"
    message = first_message(error)
    return f"{place}{path[0]} = {_shown(first['input'])}: {message}" if path else f"{place}{message}"


def _listed(model: type[Frozen]) -> str:
    return ", ".join(model.model_fields)


def _shown(value: object) -> str:
    """Short text of what was read; Python writes no number of thousands of digits and nothing nested as deep."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"{type(value).__name__} too large to show"
    return text if len(text) <= 100 else f"{text[:80]}... ({len(text)} characters)"
