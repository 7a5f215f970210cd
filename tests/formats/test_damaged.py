"""Damaged raw data: whatever was done to a file, it is read or refused in one line, and this process lives on."""

from __future__ import annotations

import os
import resource
import sys

import numpy as np
import pytest
from scipy.io import savemat

from csmri.core.errors import CsmriError
from csmri.formats import bart, cmrxrecon, hdf5, isolated, matlab, mrd, npz, twix

QUICK = {"mrd": 60, "cmrxrecon": 60, "hdf5": 60, "npz": 60, "bart": 60, "matlab": 60}
MODULES = {"mrd": mrd, "cmrxrecon": cmrxrecon, "hdf5": hdf5, "npz": npz, "bart": bart, "matlab": matlab}
NAMES = {"mrd": "a.h5", "cmrxrecon": "b.mat", "hdf5": "c.h5", "npz": "d.npz", "bart": "e.hdr", "matlab": "f.mat"}


def write(kind, path, kspace):
    if kind == "matlab":
        savemat(path, {"kspace": kspace.kspace[0], "mask": kspace.mask}, do_compression=True)
    else:
        MODULES[kind].write(path, kspace)


def read_all(kind, path):
    module = MODULES[kind]
    getattr(module, "is_matlab_kspace" if kind == "matlab" else f"is_{kind}")(path)
    record = module.read(path)
    for _ in record.slices():
        pass


def check(kind, folder, kspace, damage, seeds):
    path = folder / NAMES[kind]
    write(kind, path, kspace)
    # Small metadata of BART, and everything of the others.
    content = path.read_bytes()
    read_all(kind, path)
    refused, peak = 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in seeds:
        path.write_bytes(damage(content, seed))
        try:
            read_all(kind, path)
        except CsmriError as error:
            refused += 1
            assert "\n" not in str(error), seed
            assert str(folder) in str(error), seed
    assert refused > len(seeds) / 5  # else nothing was damaged
    if sys.platform == "linux":
        # Trainings that the same process did before may have taken more.
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss <= max(peak, 2 * 2**20)  # KiB


@pytest.mark.parametrize("kind", sorted(MODULES))
def test_nothing_but_a_refusal(tmp_path, kspace, damage, monkeypatch, kind):
    monkeypatch.setattr(isolated, "SECONDS", 3)
    check(kind, tmp_path, kspace, damage, range(QUICK[kind]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(MODULES))
def test_nothing_but_a_refusal_many_times(tmp_path, kspace, damage, monkeypatch, kind):
    monkeypatch.setattr(isolated, "SECONDS", 5)
    check(kind, tmp_path, kspace, damage, range(1000, 2000))


@pytest.mark.parametrize("at", np.linspace(0.02, 0.98, 7))
@pytest.mark.parametrize("kind", sorted(MODULES))
def test_cut_off(tmp_path, kspace, kind, at):
    path = tmp_path / NAMES[kind]
    write(kind, path, kspace)
    if kind == "bart":
        path = path.with_suffix(".cfl")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * at)])
    with pytest.raises(CsmriError) as caught:
        read_all(kind, path)
    assert str(path.with_suffix("")) in str(caught.value)


def test_a_process_that_ends_is_replaced_and_blamed_on_the_right_file(tmp_path, kspace):
    hdf5.write(tmp_path / "good.h5", kspace)
    hdf5.read(tmp_path / "good.h5")
    os.kill(isolated._child._process.pid, 11)  # as if a file before had spoilt its memory
    hdf5.write(tmp_path / "other.h5", kspace)
    assert hdf5.read(tmp_path / "other.h5").n_slices == 3


def test_what_takes_too_long_is_given_up(tmp_path, kspace, monkeypatch):
    hdf5.write(tmp_path / "a.h5", kspace)
    monkeypatch.setattr(isolated, "SECONDS", 0)
    monkeypatch.setattr(isolated, "SLOWEST", 1e12)
    with pytest.raises(CsmriError, match="takes too long or too much memory"):
        hdf5.read(tmp_path / "a.h5")
    monkeypatch.undo()
    assert hdf5.read(tmp_path / "a.h5").n_slices == 3


def test_of_no_format_and_of_no_file(tmp_path):
    (tmp_path / "a").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "b").write_bytes(b"")
    for module in (mrd, cmrxrecon, hdf5, npz, bart, matlab, twix):
        name = module.__name__.rpartition(".")[2]
        told = getattr(module, "is_matlab_kspace" if name == "matlab" else f"is_{name}")
        for path in (tmp_path / "a", tmp_path / "b", tmp_path / "nothing", tmp_path):
            assert told(path) is (name == "hdf5" and path.name == "a")
            with pytest.raises(CsmriError):
                module.read(path)
