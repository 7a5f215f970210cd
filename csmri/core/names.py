"""The one vocabulary: names of methods and trainings, and what figures, tables and pages call them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from csmri.core.errors import CsmriError

PRETRAIN, STANDALONE, TRANSFER = "pretrain", "standalone", "transfer"
"""Names of a study's trainings; the last followed by the epochs of pretraining, as `transfer_name` does."""
SELF_SUPERVISED = "self-supervised"
"""A loss that needs no true images, and the way to transfer that trains all weights with it."""
ZERO_FILLED, INITIAL = "zero-filled", "initial"
"""Names of the methods that need no network; every comparison has them."""
BASELINES = (
    ZERO_FILLED,
    "view-sharing",
    INITIAL,
    "cg-sense",
    "kt-focuss",
    "temporal-fourier-l1",
    "low-rank-plus-sparse",
    "temporal-tv",
    "spatiotemporal-tv",
    "phase-constrained-tv",
)
"""Names of the methods in `csmri.methods.classical`, for a command line that starts without TensorFlow."""
DEFAULT_MODEL = "pretrained-unrolled"
"""The network that reconstructs where neither a method nor a network is named: one of `methods.model.SHIPPED`."""
GROUND_TRUTH = "ground truth"
"""What the reference is called beside the methods."""

SHORT = {ZERO_FILLED: "ZF", INITIAL: "IR", STANDALONE: "SL", TRANSFER: "TL"}
"""What the paper calls them."""
LABELS = {
    INITIAL: f"initial ({SHORT[INITIAL]})",
    PRETRAIN: "pretrained",
    STANDALONE: f"standalone ({SHORT[STANDALONE]})",
    TRANSFER: f"transfer ({SHORT[TRANSFER]})",
}
TITLES = {
    ZERO_FILLED: "Zero-filled",
    INITIAL: "Initial reconstruction",
    STANDALONE: "Standalone learning",
    TRANSFER: "Transfer learning",
}
"""For headings."""

WAY_LABELS = {
    STANDALONE: "standalone",
    "all": "all weights",
    "frozen-encoder": "frozen encoder",
    "frozen-decoder": "frozen decoder",
    "scale-shift": "scale and shift",
    "discriminative": "discriminative rates",
    "blended": "blended",
    SELF_SUPERVISED: "self-supervised",
}
"""What figures and tables of a study of ways to transfer call the ways."""


def transfer_name(pretrain_epochs: int) -> str:
    """Name the transfer learning that starts after so many epochs of pretraining."""
    return f"{TRANSFER}_{pretrain_epochs}"


def way_name(way: str, n_subjects: int) -> str:
    """Name the training on so many target subjects in one way: `frozen-encoder_2`."""
    return f"{way}_{n_subjects}"


def split_way(training: str) -> tuple[str, int] | None:
    """Way and number of target subjects in the name of a training; None where it names none."""
    way, _, n_subjects = training.rpartition("_")
    return (way, int(n_subjects)) if way in WAY_LABELS and n_subjects.isdecimal() else None


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


def short(name: str) -> str:
    """Abbreviate as the paper does: IR, SL, TL; `TL 10` for `transfer_10`; a name of one's own stays."""
    epochs = pretraining_epochs(name)
    return f"TL {epochs}" if epochs is not None else SHORT.get(name, name)


def title(name: str) -> str:
    """Name a method for a heading."""
    return TITLES[TRANSFER] if is_transfer(name) else TITLES.get(name, name)


AUTO, TENSORFLOW, OPENVINO = RUNTIMES = ("auto", "tensorflow", "openvino")
"""What computes a network when it reconstructs, see `methods.runtime`."""

THIS, PROCESSES, BEAM = EXECUTORS = ("this", "processes", "beam")
"""Who does work items, see `run.executors`."""

MIRRORED, MULTIWORKER = DISTRIBUTED = ("mirrored", "multiworker")
"""Who trains, where it is more than one device, see `learning.devices`."""
