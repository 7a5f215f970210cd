"""What stands beside numbers, and what the processor means for bfloat16."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
import tensorflow as tf

from csmri.config import Config
from csmri.core import provenance
from csmri.learning import train as training
from csmri.results import folder as records


def test_processor_is_named():
    found = provenance.processor()
    assert found["cores"] == os.cpu_count()
    assert set(found) == {"name", "cores", "vectors"}


@pytest.mark.parametrize(
    "vectors, gpus, slow",
    [
        ("avx avx2", [], True),
        ("avx avx2 avx512_bf16 avx512f", [], False),
        ("avx avx2", ["GPU:0"], False),
        ("", [], False),  # told nothing: say nothing
    ],
)
def test_bfloat16_is_slow_without_wide_vectors(monkeypatch, vectors, gpus, slow):
    monkeypatch.setattr(provenance, "processor", lambda: {"vectors": vectors})
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    assert provenance.computes_bfloat16_in_software() is slow


@pytest.mark.parametrize("precision, told", [("mixed_bfloat16", True), ("float32", False)])
def test_training_warns_of_slow_bfloat16(monkeypatch, store, tmp_path, precision, told):
    monkeypatch.setattr(training, "computes_bfloat16_in_software", lambda: True)
    config = Config(
        base_channels=1, depth=1, epochs=1, images_per_epoch=2, batch_size=2, accelerations=(4.0,), precision=precision
    )
    said: list[str] = []
    training.train(config, store, tmp_path / "run", report=said.append)
    assert any("is slow on this processor" in line for line in said) is told


def test_name_in_tables_has_the_widest_vectors():
    told = records._told_of({"name": "Some", "cores": 2, "vectors": "avx avx2 avx512_bf16 avx512f"})
    assert told == "2 cores of Some with avx512_bf16"
    assert records._told_of({"name": "Some", "cores": 2, "vectors": ""}) == "2 cores of Some"
    assert records._told_of({}) == ""


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with something tracked, and this module as if it stood in a package in it."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))  # as inside a hook of another repository

    def place(package, *, tracked):
        repository = tmp_path / "repository"
        module = repository / package / "core" / "provenance.py"
        module.parent.mkdir(parents=True)
        module.write_text("")
        (repository / "README").write_text("")
        with monkeypatch.context() as patch:
            patch.delenv("GIT_DIR")
            git(repository, "init")
            git(repository, "add", "README", *([str(module)] if tracked else []))
            git(repository, "commit", "-m", "first")
        monkeypatch.setattr(provenance, "__file__", str(module))
        return module

    return place


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize(
    ("package", "tracked", "told"),
    [
        ("csmri", True, True),
        ("csmri", False, False),  # a folder of somebody's repository that git ignores
        (".venv/lib/python3.11/site-packages/csmri", False, False),
        ("vendor/csmri", True, False),  # a copy: the revision is of what surrounds it
    ],
)
def test_revision_is_of_csmri_itself(checkout, package, tracked, told):
    module = checkout(package, tracked=tracked)
    revision = provenance.git_revision()
    assert (revision is not None) is told
    if revision:
        assert re.fullmatch("[0-9a-f]{40}", revision)
        module.write_text("changed")
        assert provenance.git_revision() == f"{revision}-dirty"


def test_revision_without_git(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.git_revision() is None


def test_what_is_published_names_no_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cases = {
        "store": "store",
        tmp_path / "work" / "store": "work/store",
        "work/../store": "store",
        "../elsewhere/store": "elsewhere/store",
        "/home/me/data/store": "data/store",
        "/store": "store",
        r"C:\Users\me\data\store": "data/store",
    }
    for path, published in cases.items():
        assert provenance.published_path(path) == published


def test_absolute_paths_in_a_text_are_shortened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cases = {
        "/home/me/My Data/p 65/p065.nii.gz (NIfTI, ACDC group DCM)": "p 65/p065.nii.gz (NIfTI, ACDC group DCM)",
        "made at acceleration 7.92 of /home/me/a (1)/b.nii (NIfTI)": "made at acceleration 7.92 of a (1)/b.nii (NIfTI)",
        f"{tmp_path}/phantoms/a.npz (NPZ)": "phantoms/a.npz (NPZ)",
        r"C:\Users\me\data\p.nii (NIfTI)": "data/p.nii (NIfTI)",
        "'/a/b/c' and '/d/e/f'": "'b/c' and 'e/f'",
    }
    for text, shortened in cases.items():
        assert provenance.without_absolute_paths(text) == shortened
    for text in ("phantoms/a.npz (NPZ)", "10/20 https://doi.org/10.1/2 and/or", "csmri.phantom, domain k, seed 0", ""):
        assert provenance.without_absolute_paths(text) == text
