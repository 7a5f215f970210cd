"""Names of methods -> what figures and tables call them, and which of them stand for SL and TL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from csmri.config import INITIAL, PRETRAIN, STANDALONE, TRANSFER, ZERO_FILLED
from csmri.errors import CsmriError
from csmri.studies import split_way

GROUND_TRUTH = "ground truth"
"""What the reference is called beside the methods."""

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


def shown_methods(methods: Iterable[str], show: Sequence[str] = ()) -> list[str]:
    """Methods of a figure: those to show, in that order; else all but zero-filling, and of the transfers only the last.

    Raises
    ------
    CsmriError
        If one to show is not among the methods.
    """
    names = list(dict.fromkeys(methods))
    if unknown := [name for name in show if name not in names]:
        raise CsmriError(f"cannot show {', '.join(unknown)}: no such method in the examples; {', '.join(names)} are")
    left_out = {ZERO_FILLED, *transfers(names)[:-1]}
    return list(dict.fromkeys(show)) or [name for name in names if name not in left_out]
