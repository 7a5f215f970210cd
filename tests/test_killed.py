"""Commands that are killed at random moments and given again end with the same bytes, and leave nothing partial.

    CSMRI_KILLS=20 python -m pytest -m slow tests/test_killed.py

kills every command 20 times on its way; the default is fewer, for time.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from csmri.methods.model import saved_model_sha256

GOLDEN = Path(__file__).parent / "golden"
KILLS = int(os.environ.get("CSMRI_KILLS", "3"))
STUDY = """
seeds = [0, 1]
phantom_subjects = [1, 1, 1]
phantom_size = 32
phantom_slices = 1
base_channels = 1
depth = 1
passes = 1
pretrain_at = [1, 2]
pretrain_once = true
evaluation_accelerations = [2.0, 4.0]
[standalone]
epochs = 3
[transfer]
epochs = 2
"""
SPLIT = 'pretrain = ["york_phantom_000"]\ntest = ["k_phantom_000", "k_phantom_001"]\n'
COMMANDS = {
    "store": "prepare cines out --split split.toml",
    "evaluation": "evaluate net=store_unet store --out out --method temporal-tv --method kt-focuss",
    "study": "study study.toml --out out",
}
TIMED = {"seconds.csv.xz", "log.csv", "run.json", "drawn.json", "checkpoint.keras", "saved_model.pb", "fingerprint.pb"}
"""Files with times or dates, or a digest of such files, and what TensorFlow numbers anew in every process; of weights
the digest is compared."""


def start(command: str, folder: Path) -> subprocess.Popen:
    arguments = [sys.executable, "-m", "csmri", *command.split()]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    return subprocess.Popen(arguments, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(command: str, folder: Path) -> None:
    with start(command, folder) as process:
        told = process.stderr.read().decode()
        assert process.wait() == 0, told


def contents(folder: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and (path / "saved_model.pb").exists():
            found[name] = saved_model_sha256(path)
        if path.is_file() and path.name not in TIMED and not {"variables", "tensorboard"} & set(path.parts):
            found[name] = path.read_bytes()
    return found


def n_files(folder: Path) -> int:
    """Also of those that vanish meanwhile."""
    return sum(len(names) for _, _, names in os.walk(folder))


def partial(folder: Path) -> list[str]:
    names = (".partial-", ".lock", ".items")
    return [path.name for path in folder.rglob("*") if any(name in path.name for name in names)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", COMMANDS)
def test_killed_and_given_again(kind, tmp_path):
    from csmri.formats import write
    from csmri.phantom import make_subject

    sources = tmp_path / "sources"
    shutil.copytree(GOLDEN / "store", sources / "store")
    shutil.copytree(GOLDEN / "unet/models/final", sources / "store_unet")
    (sources / "study.toml").write_text(STUDY)
    (sources / "split.toml").write_text(SPLIT)
    for domain, index in (("york", 0), ("k", 0), ("k", 1)):
        cine = make_subject(index, domain=domain, size=160 if kind == "store" else 32, n_slices=2, n_frames=8)
        write(sources / "cines" / f"{cine.subject}.npz", cine)
    whole, killed = (shutil.copytree(sources, tmp_path / name) for name in ("whole", "killed"))
    n_sources = n_files(whole)
    finish(COMMANDS[kind], whole)
    n_written = n_files(whole) - n_sources

    rng = random.Random(kind)
    n_killed = 0
    for number in range(KILLS):
        process = start(COMMANDS[kind], killed)
        with process:
            # By what is written, not by the clock: how long a command takes differs twofold from one time to the next.
            enough = n_sources + rng.uniform(0, 0.9) * n_written
            while process.poll() is None and n_files(killed) <= enough:
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 0.2))
            process.send_signal(signal.SIGKILL if number % 2 else signal.SIGTERM)
            told = process.stderr.read().decode()
            code = process.wait()
        if code == 0:  # it was through
            shutil.rmtree(killed / "out")
            continue
        n_killed += 1
        assert code in (-signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM), told
        assert "Traceback" not in told
        if code == 128 + signal.SIGTERM:
            assert [name for name in partial(killed) if ".items" not in name] == [], "after SIGTERM"
    assert n_killed
    if kind != "store" or not (killed / "out").exists():
        finish(COMMANDS[kind], killed)
    assert partial(killed) == []
    one, other = contents(killed), contents(whole)
    assert list(one) == list(other)
    assert [name for name in one if one[name] != other[name]] == []
