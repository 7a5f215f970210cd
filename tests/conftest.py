"""Tiny data and one tiny trained run, made once for all tests that need TensorFlow's slow parts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from csmri.cine import Cine
from csmri.phantom import make_subject

# Before anything imports TensorFlow: its notes about the processor are no part of a test's output.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def pytest_configure(config: pytest.Config) -> None:
    # Keras turns TensorFlow variables to arrays with a NumPy 1 call; theirs to mend, and the values are right.
    config.addinivalue_line("filterwarnings", "ignore:__array__ implementation doesn't accept:DeprecationWarning")


SPLIT = {
    "k_phantom_000": "train",
    "k_phantom_001": "validation",
    "k_phantom_002": "test",
    "k_phantom_003": "test",
    "york_phantom_000": "pretrain",
}


@pytest.fixture(scope="session")
def cines() -> dict[str, Cine]:
    """Five subjects of 32 x 32 pixels; the two for testing have 4 and 2 x 6 frames."""
    sizes = [("k", 0, 2, 5), ("k", 1, 1, 4), ("k", 2, 1, 4), ("k", 3, 2, 6), ("york", 0, 1, 4)]
    subjects = [
        make_subject(index, domain=domain, size=32, n_slices=n_slices, n_frames=n_frames)
        for domain, index, n_slices, n_frames in sizes
    ]
    return {cine.subject: cine for cine in subjects}


@pytest.fixture(scope="session")
def store(cines, tmp_path_factory):
    from csmri.store import StoreWriter, open_store

    path = tmp_path_factory.mktemp("shared") / "store"
    with StoreWriter(path) as writer:
        for name, cine in cines.items():
            writer.add(cine, SPLIT[name])
    return open_store(path)


@pytest.fixture(scope="session")
def config():
    """Config of the run below: 2 channels, depth 2, 2 epochs of 5 batches, a SavedModel after the first."""
    from csmri.config import Config

    return Config(
        base_channels=2, depth=2, epochs=2, batch_size=8, passes=2, validation_split="validation", save_epochs=(1,)
    )


@pytest.fixture(scope="session")
def run(config, store, tmp_path_factory) -> Path:
    """A finished run; tests must not change it."""
    from csmri.training import train

    path = tmp_path_factory.mktemp("shared") / "standalone"
    train(config, store, path, report=lambda line: None)
    return path
