"""The shipped weights are the ones that the model card speaks of, and help on what they were not trained on."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from csmri.config import EVALUATION_ACCELERATIONS, Sampling
from csmri.core.names import INITIAL
from csmri.data.roi import heart_box
from csmri.evaluation.metrics import nmse
from csmri.formats import read_cine
from csmri.methods.model import SHIPPED, describe_saved_model, saved_model_name
from csmri.methods.reconstruction import load_reconstructor, reconstruct_slice, simulated_acquisition
from csmri.phantom import make_subject

MAXIMUM_BYTES = 8_000_000


@pytest.fixture(scope="module", params=SHIPPED)
def reconstructor(request):
    return load_reconstructor(request.param)


def heart_nmse(cine, index, acceleration, reconstructor):
    """Mean NMSE in the heart box of the initial reconstruction and of the network."""
    box = heart_box(cine.magnitude, spacing_mm=cine.spacing_mm)
    acquisition = simulated_acquisition(
        cine.magnitude[index], acceleration, Sampling(), seed=0, subject=cine.subject, slice_index=index
    )
    done = reconstruct_slice(acquisition, reconstructors=(reconstructor,))
    return [
        np.mean(
            [nmse(*pair) for pair in zip(box.crop(cine.magnitude[index]), box.crop(done.methods[method]), strict=True)]
        )
        for method in (INITIAL, reconstructor.name)
    ]


@pytest.mark.parametrize("folder", SHIPPED.values(), ids=SHIPPED)
def test_files_are_those_of_the_model_card(folder):
    digests = dict(reversed(line.split()) for line in folder.with_suffix(".sha256").read_text().splitlines())
    found = {
        f"./{path.relative_to(folder).as_posix()}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert found == digests
    card = (folder.parent / "README.md").read_text()
    assert all(digest in card for name, digest in digests.items() if "variables.data" in name)


def test_weights_are_compact():
    shipped = SHIPPED["pretrained"].parent
    assert sum(path.stat().st_size for path in shipped.rglob("*") if path.is_file()) <= MAXIMUM_BYTES


def test_pretrained_is_a_name_and_a_folder_of_that_name_is_a_path(reconstructor, tmp_path, monkeypatch):
    name, folder = next((name, folder) for name, folder in SHIPPED.items() if folder == reconstructor.saved.path)
    assert reconstructor.name == saved_model_name(folder) == name
    assert describe_saved_model(name).path == folder
    assert describe_saved_model(folder).config == reconstructor.saved.config
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    assert describe_saved_model(name).path == folder
    assert saved_model_name(Path(name).resolve()) == str(tmp_path / name)


@pytest.fixture(scope="module")
def patient():
    folder = Path(os.environ.get("CSMRI_DATA", "")) / "sunnybrook" / "SCD0000301"
    if not os.environ.get("CSMRI_DATA") or not folder.is_dir():
        pytest.skip("set CSMRI_DATA to a folder with the Sunnybrook patients to run this")
    return read_cine(folder)


@pytest.mark.slow
@pytest.mark.parametrize("acceleration", EVALUATION_ACCELERATIONS)
def test_beats_the_initial_reconstruction_on_a_patient_it_has_not_seen(reconstructor, acceleration, patient):
    both = np.mean(
        [heart_nmse(patient, index, acceleration, reconstructor) for index in range(1, patient.n_slices, 3)], axis=0
    )
    assert both[1] < both[0]


def test_beats_the_initial_reconstruction_on_a_phantom_it_has_not_seen(reconstructor):
    cine = make_subject(50, domain="k", size=128, n_slices=1, n_frames=12)
    for acceleration in EVALUATION_ACCELERATIONS:
        initial, pretrained = heart_nmse(cine, 0, acceleration, reconstructor)
        assert pretrained < initial
