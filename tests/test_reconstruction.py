"""Reconstruction: the same masks for everybody, measured data as simulated data, quality against NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from csmri.cine import KSpace
from csmri.config import Config, Sampling
from csmri.errors import CsmriError
from csmri.kspace.fourier import fft_y, image_to_kspace
from csmri.kspace.initial import simulate_initial
from csmri.reconstruction import (
    Corrector,
    frame_quality,
    load_corrector,
    measured_slices,
    model_name,
    reconstruct_slice,
    simulate_slices,
    simulation_mask,
)
from csmri.roi import Box
from csmri.weights import SavedNetwork

DRAW = {"seed": 0, "subject": "a", "slice_index": 0, "n_frames": 6, "n_ky": 32, "acceleration": 4.0}
LAW = Sampling()


def make_corrector(name, improve):
    return Corrector(name, SavedNetwork(Path(name), Config(), 1), improve)


HALF = make_corrector("half", lambda initial: initial / 2)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("runs/transfer/models/final", "transfer"),
        ("runs/transfer/models/epoch_010", "transfer@10"),
        ("runs/transfer/models/epoch_100", "transfer@100"),
        ("somewhere/my_model", "my_model"),
    ],
)
def test_model_is_named_by_its_run(path, name):
    assert model_name(Path(path)) == name


def test_corrector_takes_the_name_of_its_run_or_the_given_one(run, config):
    corrector = load_corrector(run / "models" / "final")
    assert (corrector.name, corrector.saved.epoch, corrector.saved.config) == ("standalone", 2, config)
    assert load_corrector(run / "models" / "epoch_001").name == "standalone@1"
    assert load_corrector(run / "models" / "final", name="mine").name == "mine"


def test_mask_depends_on_its_arguments_and_nothing_else():
    mask = simulation_mask(LAW, **DRAW)
    assert mask.dtype == np.bool_
    assert mask.shape == (6, 32)
    assert (mask.sum(axis=1) == 8).all()
    np.random.seed(1)
    np.testing.assert_array_equal(simulation_mask(LAW, **DRAW), mask)
    for other in ({"seed": 1}, {"subject": "b"}, {"slice_index": 1}, {"acceleration": 4.001}):
        assert not np.array_equal(simulation_mask(LAW, **{**DRAW, **other}), mask), other


@pytest.mark.parametrize("acceleration", [0.5, 33, float("nan"), -1])
def test_impossible_acceleration_is_refused(acceleration):
    with pytest.raises(CsmriError, match="is impossible.*32"):
        simulation_mask(LAW, **{**DRAW, "acceleration": acceleration})


def test_all_lines_give_the_image_back(cines):
    images = cines["k_phantom_003"].images[0]
    full = np.ones((6, 32), bool)
    methods = reconstruct_slice(fft_y(images), full, correctors=(HALF,), cyclic=True).methods
    assert list(methods) == ["zero-filled", "initial", "half"]
    for name, factor in {"zero-filled": 1, "initial": 1, "half": 0.5}.items():
        np.testing.assert_allclose(methods[name], images * factor, atol=1e-5 * images.max())


def test_measured_data_are_reconstructed_like_simulated(cines):
    cine = cines["k_phantom_003"]
    (first, second) = simulate_slices(cine, 4.0, seed=3, law=LAW, correctors=(HALF,))
    for index, simulated in enumerate((first, second)):
        kspace = np.array(image_to_kspace(cine.images[index : index + 1, np.newaxis]))
        kspace[..., ~simulated.mask, :] = 0
        (measured,) = measured_slices(KSpace(kspace, simulated.mask, "m"), law=LAW, correctors=(HALF,))
        for name, images in simulated.methods.items():
            np.testing.assert_allclose(measured.methods[name], images, atol=1e-5 * images.max())
    assert not np.array_equal(first.mask, second.mask)


def test_coils_are_combined_by_the_root_of_the_sum_of_squares(cines):
    images = cines["k_phantom_003"].images[0]
    mask = simulation_mask(LAW, **DRAW)
    ramp = np.linspace(0, 1, 32, dtype=np.float32)
    coils = np.stack([images * ramp, images * np.sqrt(1 - ramp**2) * np.complex64(1j)])
    done = reconstruct_slice(fft_y(coils), mask, correctors=(HALF,), cyclic=True)
    wanted = np.sqrt(sum(simulate_initial(coil, mask).numpy() ** 2 for coil in coils))
    np.testing.assert_allclose(done.methods["initial"], wanted, rtol=1e-5)
    np.testing.assert_array_equal(done.methods["half"], done.methods["initial"] / 2)
    whole = reconstruct_slice(fft_y(coils), np.ones_like(mask), correctors=(), cyclic=True)
    np.testing.assert_allclose(whole.methods["initial"], images, atol=1e-5 * images.max())


def test_cyclic_interpolation_is_passed_on(cines):
    images = cines["k_phantom_003"].images[0]
    mask = simulation_mask(LAW, **DRAW)
    for cyclic in (True, False):
        done = reconstruct_slice(fft_y(images), mask, correctors=(), cyclic=cyclic)
        np.testing.assert_array_equal(done.methods["initial"], simulate_initial(images, mask, cyclic=cyclic))


def test_quality_against_independent_formulas():
    rng = np.random.default_rng(0)
    reference, image = rng.random((2, 3, 20, 24)).astype(np.float32)
    reference[1] *= 3
    box = Box(2, 5, 9, 12)
    peak = reference.max()
    rows = frame_quality(reference, image, box)
    assert len(rows) == 3
    for row, truth, other in zip(rows, reference.astype(float), image.astype(float), strict=True):
        for suffix, region in {"": np.s_[:, :], "_heart": np.s_[2:11, 5:17]}.items():
            a, b = truth[region], other[region]
            assert row[f"nmse{suffix}"] == pytest.approx(((a - b) ** 2).sum() / (a**2).sum())
            assert row[f"psnr{suffix}"] == pytest.approx(20 * np.log10(peak) - 10 * np.log10(((a - b) ** 2).mean()))
            assert row[f"ssim{suffix}"] == pytest.approx(structural_similarity(a, b, data_range=peak), abs=1e-5)


def test_small_box_and_blank_slice_have_no_quality():
    images = np.ones((2, 8, 8), np.float32)
    (row, _) = frame_quality(images, images * 2, Box(0, 0, 6, 8))
    assert np.isnan(row["ssim_heart"])
    assert np.isfinite(row["ssim"])
    assert row["nmse_heart"] == 1
    (row, _) = frame_quality(images * 0, images, Box(0, 0, 8, 8))
    assert all(np.isnan(value) for value in row.values())
