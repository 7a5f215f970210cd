"""What stands beside numbers, and what the processor means for bfloat16."""

from __future__ import annotations

import os

import pytest
import tensorflow as tf

from csmri import training
from csmri.config import Config
from csmri.core import provenance
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
