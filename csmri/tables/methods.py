"""Names of methods -> what figures and tables call them, and which of them stand for SL and TL."""

from __future__ import annotations

from collections.abc import Iterable

from csmri.config import INITIAL, PRETRAIN, STANDALONE, TRANSFER, ZERO_FILLED, split_way

LABELS = {
    INITIAL: "initial (IR)",
    PRETRAIN: "pretrained",
    STANDALONE: "standalone (SL)",
    TRANSFER: "transfer (TL)",
}

WAY_LABELS = {
    STANDALONE: "standalone",
    "all": "all weights",
    "frozen-encoder": "frozen encoder",
    "frozen-decoder": "frozen decoder",
    "scale-shift": "scale and shift",
    "discriminative": "discriminative rates",
    "blended": "blended",
}
"""What figures and tables of a study of ways to transfer call the ways."""


def method_label(method: str) -> str:
    """Call a method as the paper does: `transfer 10 (TL10)` for transfer_10; `all weights, 2 subjects` for all_2.

    Other names stay as they are.
    """
    if way := split_way(method):
        return f"{WAY_LABELS[way[0]]}, {way[1]} subject{'s' if way[1] > 1 else ''}"
    epochs = pretraining_epochs(method)
    return f"transfer {epochs} (TL{epochs})" if epochs else LABELS.get(method, method)


def pretraining_epochs(training: str) -> int | None:
    """Epochs of pretraining in the name of a transfer; None where it names none."""
    epochs = training.removeprefix(f"{TRANSFER}_")
    return int(epochs) if epochs != training and epochs.isdecimal() else None


def is_transfer(name: str) -> bool:
    """Tell `transfer` and `transfer_10` from other methods."""
    return name == TRANSFER or pretraining_epochs(name) is not None


def transfers(names: Iterable[str]) -> list[str]:
    """Transfers among the names, each once, the longest pretraining last."""
    return sorted({name for name in names if is_transfer(name)}, key=lambda n: (pretraining_epochs(n) or 0, n))


def shown_methods(methods: Iterable[str]) -> list[str]:
    """Columns of figure 4: every method but zero-filling, and of the transfers only the last."""
    names = list(dict.fromkeys(methods))
    left_out = {ZERO_FILLED, *transfers(names)[:-1]}
    return [name for name in names if name not in left_out]
