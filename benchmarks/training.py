"""Seconds of a step of training: fed by csmri's stream, by one batch that stays, and PyTorch's.

    python benchmarks/training.py [--size 256] [--rounds 3] [--steps 3]

What the input pipeline costs is the difference of the first two. The U-net takes two frames a step, the unrolled
network one cine of 40 columns, as its own config says.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import peers
import tensorflow as tf
from harness import ROOT, Records, options, version_of

from csmri import prepare
from csmri.config import Config, make_config, read_config
from csmri.data.store import Store
from csmri.learning.stream import training_stream
from csmri.learning.train import compiled_network
from csmri.phantom import make_subject

BATCH, STREAM, KEPT = 2, "csmri, its stream", "csmri, one batch kept"


def store_of_phantoms(folder: Path, size: int) -> Store:
    """Two phantoms, prepared."""
    cines = [make_subject(number, size=size, n_slices=2, n_frames=20) for number in range(2)]
    return prepare(cines, folder / "store", split={"train": [one.subject for one in cines]})


def steps(config: Config, store: Store, n_steps: int) -> tuple[dict[str, Callable[[], Any]], Any, Any]:
    """Do so many steps fed by the stream, or by one batch that stays; the network and that batch."""
    stream = training_stream(store, config)
    network = compiled_network(config, stream.n_batches)
    batch = next(iter(stream.dataset))
    kept = tf.data.Dataset.from_tensors(batch).cache().repeat().prefetch(2)
    network.make_train_function()
    feeds: dict[str, Iterator[Any]] = {STREAM: iter(stream.dataset), KEPT: iter(kept)}

    def go(feed: Iterator[Any]) -> None:
        for _ in range(n_steps):
            network.train_function(feed)

    return {name: lambda one=feed: go(one) for name, feed in feeds.items()}, network, batch


def main() -> None:
    asked = options(__doc__, size=256, rounds=3, steps=3)
    records = Records("training")
    if not version_of("torch"):
        records.skip("PyTorch", "torch is not installed (pip install '.[peers]')")
    with tempfile.TemporaryDirectory() as folder:
        store = store_of_phantoms(Path(folder), asked.size)
        common = {"train_split": "train", "batch_size": BATCH, "epochs": 1000, "loss": "absolute"}
        for channels in (16, 32, 64):
            n_steps = asked.steps if channels < 64 else 1
            config = make_config({**common, "base_channels": channels}, where=__file__)
            found, network, (inputs, target) = steps(config, store, n_steps)
            if version_of("torch"):
                step = peers.torch_step(network, np.asarray(inputs), np.asarray(target)[..., :1])
                found["PyTorch"] = lambda one=step, n=n_steps: [one() for _ in range(n)]
            records.time(f"U-net, {channels} channels", found, rounds=asked.rounds, per=n_steps * BATCH)
        if asked.size < 128:  # its config undersamples by 8
            return records.write(asked.out)
        config = read_config(ROOT / "configs" / "beyond" / "pretrain.toml")
        config = config.model_copy(update={"train_split": "train", "epochs": 1000, "images_per_epoch": 0})
        found, *_ = steps(config, store, asked.steps)
        records.time("unrolled network, a cine", found, rounds=2 * asked.rounds, per=asked.steps)
    return records.write(asked.out)


if __name__ == "__main__":
    main()
