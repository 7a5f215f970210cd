"""In which order and colours methods and trainings stand throughout the page."""

from __future__ import annotations

from collections.abc import Iterable

from csmri.core.names import INITIAL, STANDALONE, ZERO_FILLED, is_transfer, pretraining_epochs, transfers

ORDER = {ZERO_FILLED: 0, INITIAL: 1, STANDALONE: 2}


def ordered(names: Iterable[str]) -> list[str]:
    """Sort without repeats: zero-filled, initial, standalone, transfers by their pretraining, others as they come."""

    def key(name: str) -> tuple[int, int]:
        return (3, pretraining_epochs(name) or 0) if is_transfer(name) else (ORDER.get(name, 4), 0)

    return sorted(dict.fromkeys(names), key=key)


def last_transfer(names: Iterable[str]) -> str | None:
    """Transfer after the longest pretraining, which the page speaks of: chosen by design, not by its result."""
    return next(reversed(transfers(names)), None)


def colours(names: Iterable[str]) -> dict[str, str]:
    """CSS class of every method; the last transfer has the strongest colour, others get their own in turn."""
    names = ordered(names)
    classes = {ZERO_FILLED: "c-zf", INITIAL: "c-ir", STANDALONE: "c-sl"}
    classes |= {name: f"c-tl{min(i, 2)}" for i, name in enumerate(reversed(transfers(names)))}
    others = [name for name in names if name not in classes]
    return classes | {name: f"c-o{i % 3}" for i, name in enumerate(others)}
