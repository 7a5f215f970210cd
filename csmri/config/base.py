"""What all configs share: frozen, typed fields, refused in one line where they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from csmri.core.errors import CsmriError
from csmri.core.files import write_toml

EVALUATION_ACCELERATIONS = (2.0, 3.0, 4.0, 8.0)

# The model is strict, but TOML and JSON have lists where a frozen record has tuples; their elements stay strict.
Accelerations = Annotated[tuple[Annotated[float, Field(ge=1)], ...], Field(min_length=1, strict=False)]
Epochs = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Split = Literal["pretrain", "train", "validation", "test"]
Way = Literal["all", "frozen-encoder", "frozen-decoder", "scale-shift", "discriminative", "blended"]
BLENDED = "blended"


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Fields = TypeVar("Fields", bound=Frozen)


def checked(kind: type[Fields], fields: dict[str, Any], where: str) -> Fields:
    """Make a config or study of these fields; refuses them in one line."""
    try:
        return kind(**fields)
    except ValidationError as error:
        raise CsmriError(f"{where}: {_one_line(error, kind)}") from error


def write_config(config: Frozen, path: str | Path) -> None:
    """Write every field, defaults included, as TOML."""
    write_toml(path, config.model_dump(mode="json"))


def _one_line(error: ValidationError, kind: type[Frozen]) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"][:1])
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}; allowed are {', '.join(kind.model_fields)}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{key} = {first['input']!r}: {message}" if key else message
