"""Tiny data and one tiny trained run, made once for all tests, and all of pytest's processes, that need slow parts."""

from __future__ import annotations

import fcntl
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from csmri.data.cine import Cine
from csmri.data.roi import Box
from csmri.phantom import make_subject

# `make test-slow` takes the second.
settings.register_profile("quick", max_examples=10, deadline=None)
settings.register_profile("slow", max_examples=100, deadline=None)
settings.load_profile("quick")

# Files whose tests take longest, begun first: a process that ends with one keeps all others waiting.
LONGEST = (
    "run/test_paper.py",
    "learning/test_transfer.py",
    "learning/test_unrolled_run.py",
    "learning/test_train.py",
    "learning/test_distribute.py",
    "methods/test_pretrained.py",
    "cli/test_commands.py",
    "cli/test_bad_input.py",
    "test_api.py",
    "test_docs.py",
)

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {str(Path(__file__).parent / name): i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(str(item.path), len(place)))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Path of a name, made by the first process that asks for it; the others wait for it and must not change it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made_once"
    folder.mkdir(exist_ok=True)

    def once(name: str, make: Callable[[Path], object]) -> Path:
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = folder / f"{name}.done"
            if not done.exists():
                make(folder / name)
                done.touch()
        return folder / name

    return once


@pytest.fixture(scope="session")
def cines(made_once) -> dict[str, Cine]:
    """Five subjects of 32 x 32 pixels; the two for testing have 4 and 2 x 6 frames."""

    def make(path: Path) -> None:
        sizes = [("k", 0, 2, 5), ("k", 1, 1, 4), ("k", 2, 1, 4), ("k", 3, 2, 6), ("york", 0, 1, 4)]
        subjects = [
            make_subject(index, domain=domain, size=32, n_slices=n_slices, n_frames=n_frames)
            for domain, index, n_slices, n_frames in sizes
        ]
        path.write_bytes(pickle.dumps({cine.subject: cine for cine in subjects}))

    return pickle.loads(made_once("cines", make).read_bytes())


@pytest.fixture(scope="session")
def store(cines, made_once):
    from csmri.data.store import StoreWriter, open_store

    def make(path: Path) -> None:
        with StoreWriter(path) as writer:
            for name, cine in cines.items():
                writer.add(cine, SPLIT[name])

    return open_store(made_once("store", make))


@pytest.fixture(scope="session")
def config():
    """Config of the run below: 2 channels, depth 2, 2 epochs of 5 batches, a SavedModel after the first."""
    from csmri.config import Config

    return Config(
        base_channels=2, depth=2, epochs=2, batch_size=8, passes=2, validation_split="validation", save_epochs=(1,)
    )


@pytest.fixture(scope="session")
def run(config, store, made_once) -> Path:
    """A finished run; tests must not change it."""
    from csmri.learning.train import train

    return made_once("standalone", lambda path: train(config, store, path, report=lambda line: None))


@pytest.fixture(scope="session")
def train_through() -> Callable[..., Path]:
    """As `train`, and keeps the files that a kill after the first epoch would have left: in the folder it returns.

    Going on from there is half the work of killing a training and doing it again.
    """
    from csmri.learning import train as training

    original = training._Keeper.on_epoch_end

    def both(config, store, run: Path, **options) -> Path:
        killed = run.with_name(f"{run.name}_killed")

        def on_epoch_end(self, epoch, logs=None):
            original(self, epoch, logs)
            if epoch == 0:
                shutil.copytree(run, killed)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training._Keeper, "on_epoch_end", on_epoch_end)
            training.train(config, store, run, report=lambda line: None, **options)
        return killed

    return both


@pytest.fixture
def study_results(cines, tmp_path) -> Path:
    """Results folder of a made-up study: 2 seeds, transfers after 2 and 5 epochs of pretraining, 3 test subjects.

    Transfers reach standalone's last error of each seed after 5 and 2 of 10 epochs.
    """
    import json

    import numpy as np
    from scipy.ndimage import gaussian_filter1d

    from csmri.config import Study, write_config
    from csmri.core.names import PRETRAIN, STANDALONE
    from csmri.data.records import UNTRAINED, Record, write_records
    from csmri.results.folder import Example, run_folder, write_examples

    folder = tmp_path / "study_results"
    folder.mkdir()
    study = Study(
        **{"seeds": (0, 1), "pretrain_at": (2, 5), "standalone": {"epochs": 10}, "transfer": {"epochs": 10}},
        **{"base_channels": 2, "depth": 2, "caption": "Numerical phantoms of csmri"},
    )
    write_config(study, folder / "study.toml")
    pace = {PRETRAIN: 0.5, STANDALONE: 1, "transfer_2": 2, "transfer_5": 5}
    for seed in study.seeds:
        for name, config in study.stages().items():
            run = run_folder(folder, name, seed)
            run.mkdir(parents=True)
            write_config(config.model_copy(update={"seed": seed}), run / "config.toml")
            record = {"seed": seed, "parameters": 1000, "images_per_epoch": 60 if name == PRETRAIN else 96}
            (run / "run.json").write_text(json.dumps(record) + "\n")
            final = 0.999 if name.startswith("transfer") else 1
            rows = [
                f"{epoch},{0.008 * (1 + seed / 10) * final * 0.8 ** (pace[name] * epoch):.6g},0.009,{1.5:.1f}"
                for epoch in range(1, config.epochs + 1)
            ]
            (run / "log.csv").write_text("\n".join(["epoch,nmse,initial_nmse,seconds", *rows]) + "\n")

    part = {"initial": 1.0, STANDALONE: 0.8, "transfer_2": 0.75, "transfer_5": 0.7}  # of the initial error's energy
    trained = [(method, seed) for method in part for seed in (study.seeds if method != "initial" else (UNTRAINED,))]
    rng = np.random.default_rng(0)
    records = []
    for number, subject in enumerate(("k_phantom_003", "k_phantom_004", "k_phantom_005")):
        for acceleration in study.evaluation_accelerations:
            for method, seed in trained:
                for frame in range(2):
                    nmse = 1e-3 * acceleration * (1 + number / 10) * part[method] * rng.uniform(0.98, 1.02)
                    quality = {"nmse": nmse / 2, "nmse_heart": nmse, "ssim": 1 - 20 * nmse, "ssim_heart": 1 - 30 * nmse}
                    quality |= {"psnr": -10 * np.log10(nmse / 9), "psnr_heart": -10 * np.log10(nmse / 5)}
                    place = (subject, 0, frame, acceleration, acceleration)
                    records.append(Record(*place, method, seed, **{name: float(quality[name]) for name in quality}))
    write_records(records, folder / "records.csv")

    cine = cines["k_phantom_003"]
    examples = []
    for index, reference in enumerate(cine.magnitude):
        for acceleration in study.evaluation_accelerations:
            error = gaussian_filter1d(reference, acceleration / 4, axis=0, mode="wrap") - reference
            methods = {name: (reference + np.sqrt(part[name]) * error).astype(np.float32) for name in part}
            examples.append(Example(cine.subject, index, acceleration, reference, methods, Box(8, 9, 15, 12)))
    write_examples(examples, folder / "examples.npz")
    return folder
