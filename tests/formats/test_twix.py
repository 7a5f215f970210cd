"""Siemens raw data: files made of the heads that twixtools defines, and two real ones that are no cines."""

import ctypes
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from csmri.core.errors import CsmriError
from csmri.formats import isolated, twix

mdh = pytest.importorskip("twixtools.mdh_def", reason="pip install csmri[twix]")

REAL = Path(os.environ.get("CSMRI_DATA", "nowhere")) / "raw/twix"
PROTOCOL = {
    "sKSpace.ucTrajectory": "0x1",
    "sKSpace.ucDimension": "0x2",
    "sKSpace.lBaseResolution": "20",
    "sKSpace.lPhaseEncodingLines": "24",
    "sSliceArray.asSlice[0].dPhaseFOV": "36.0",
    "sSliceArray.asSlice[0].dReadoutFOV": "25.0",
    "sSliceArray.asSlice[0].dThickness": "8.0",
}
QUATERNION = (0.9, 0.1, -0.3, np.sqrt(1 - 0.91))


def refusal(path):
    with pytest.raises(CsmriError) as caught:
        list(twix.read(path).slices())
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def block(data, *, flags=("ONLINE",), **counters):
    """A readout (coil, sample) as VD and VE software stores it."""
    head = mdh.Scan_header()
    head.UsedChannels, head.SamplesInScan = data.shape
    head.CenterCol, head.CenterLin = counters.pop("centre", data.shape[1] // 2), counters.pop("centre_line", 12)
    head.TimeStamp, head.PMUTimeStamp = counters.pop("time", 0), counters.pop("after_r", 0)
    position = counters.pop("position", (0, 0, 0))
    where = ctypes.Structure.__getattribute__(head, "SliceData")
    where.SlicePos.Sag, where.SlicePos.Cor, where.SlicePos.Tra = position
    where.Quaternion[:] = QUATERNION
    for name, value in counters.items():
        setattr(head.Counter, name, value)
    for flag in flags:
        mdh.set_flag(head, flag, True)
    mdh.set_dma_len(head, 192 + len(data) * (32 + 8 * data.shape[1]))
    return bytes(head) + b"".join(bytes(32) + one.astype("<c8").tobytes() for one in data)


def end():
    head = mdh.Scan_header()
    mdh.set_flag(head, "ACQEND", True)
    mdh.set_dma_len(head, 192)
    return bytes(head)


def write(path, blocks, protocol=PROTOCOL):
    """A file with one measurement."""
    lines = "".join(f"{name}\t = \t{value}\n" for name, value in protocol.items())
    texts = {
        "Config": '<XProtocol> { <ParamString."PatientID"> { "x" } }',
        "Dicom": '<XProtocol> { <ParamString."SoftwareVersions"> { "syngo MR E11" } }',
        "Meas": '<XProtocol> { <ParamDouble."flReadoutOSFactor"> { <Precision> 6 2.0 } }',
        "MeasYaps": f"### ASCCONV BEGIN ###\n{lines}\n### ASCCONV END ###",
    }
    parts = b"".join(
        name.encode() + b"\0" + np.uint32(len(text)).tobytes() + text.encode() for name, text in texts.items()
    )
    header = np.array([8 + len(parts), len(texts)], "<u4").tobytes() + parts
    measured = header + b"".join(blocks) + end()
    entry = np.array([1, 1], "<u4").tobytes() + np.array([10240, len(measured)], "<u8").tobytes()
    path.write_bytes((np.array([0, 1], "<u4").tobytes() + entry).ljust(10240, b"\0") + measured)
    return path


def blocks_of(kspace, change=lambda counters, data: (counters, data)):
    """Readouts of a gated cine, some lines of every frame in each heartbeat; slices counted as they are interleaved."""
    time = 0
    for slice_index in range(kspace.n_slices):
        for half in range(2):
            for frame, line in np.argwhere(kspace.mask):
                if line % 2 == half:
                    counters = {"Lin": int(line), "Phs": int(frame), "Sli": (2, 0, 1)[slice_index], "time": time}
                    counters["after_r"] = int(kspace.frame_times_ms[frame] / 2.5)
                    counters["position"] = tuple(8 * slice_index * normal() + (1, 2, 3))
                    time += 2
                    counters, data = change(counters, kspace.kspace[slice_index, :, frame, line])
                    yield block(data, **counters)


def normal():
    a, b, c, d = QUATERNION
    return np.array([2 * (b * d + c * a), 2 * (c * d - b * a), 1 - 2 * (b * b + c * c)])


def test_a_cine(tmp_path, kspace, check_same):
    path = write(tmp_path / "meas.dat", blocks_of(kspace))
    assert twix.is_twix(path)
    record = twix.read(path)
    check_same(record, kspace)
    assert record.matrix == (24, 20) and record.cyclic is True and record.subject == "meas"
    np.testing.assert_allclose(record.spacing_mm, (1.5, 1.25))
    np.testing.assert_allclose(record.slice_spacing_mm, 8, rtol=1e-5)
    np.testing.assert_array_equal(record.frame_times_ms, kspace.frame_times_ms)
    np.testing.assert_allclose(record.affine[:3, 2], 8 * normal() * (-1, -1, 1), atol=1e-4)


def test_reflected_lines_and_noise(tmp_path, kspace, check_same):
    def turn(counters, data):
        if counters["Lin"] % 3 == 0:
            return {**counters, "flags": ("ONLINE", "REFLECT")}, data[:, ::-1]
        return counters, data

    draw = np.random.default_rng(0)
    noise = (draw.standard_normal((2, 5000)) + 1j * draw.standard_normal((2, 5000))) * [[1], [3]]
    skipped = block(np.ones((2, 40)), flags=("ONLINE", "PHASCOR"))
    blocks = [block(noise, flags=("NOISEADJSCAN",)), skipped, *blocks_of(kspace, turn)]
    record = twix.read(write(tmp_path / "meas.dat", blocks))
    check_same(record, kspace)
    np.testing.assert_allclose(record.noise_covariance, np.diag([2, 18]), atol=0.5)


def test_partial_phase_encoding(tmp_path, make_kspace, check_same):
    mask = make_kspace().mask.copy()
    mask[:, :8] = False
    kspace = make_kspace(mask=mask)

    def shift(counters, data):
        return {**counters, "Lin": counters["Lin"] - 8, "centre_line": 4}, data

    check_same(twix.read(write(tmp_path / "meas.dat", blocks_of(kspace, shift))), kspace)


def test_refusals(tmp_path, kspace):
    blocks = list(blocks_of(kspace))
    path = tmp_path / "meas.dat"
    assert "is radial" in refusal(write(path, blocks, {**PROTOCOL, "sKSpace.ucTrajectory": "0x2"}))
    assert "third dimension" in refusal(write(path, blocks, {**PROTOCOL, "sKSpace.ucDimension": "0x4"}))
    assert "matrix of None" in refusal(write(path, blocks, {"sKSpace.ucDimension": "0x2"}))
    assert "no imaging readout" in refusal(write(path, []))

    def echo(counters, data):
        return {**counters, "Eco": counters["Lin"] % 2}, data

    assert "2 contrasts" in refusal(write(path, blocks_of(kspace, echo)))
    path.write_bytes(path.read_bytes()[:12000])
    refusal(path)


def test_without_twixtools(tmp_path, kspace, monkeypatch):
    path = write(tmp_path / "meas.dat", [])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install csmri[twix]" in refusal(path)


@pytest.mark.parametrize("name", ["gre.dat", "epi.dat"])
def test_real_files_that_are_no_cine(name):
    if not (REAL / name).is_file():
        pytest.skip("set CSMRI_DATA to a folder with raw/twix to run this")
    assert twix.is_twix(REAL / name)
    assert "this is no cine" in refusal(REAL / name)


def test_damage(tmp_path, kspace, damage, monkeypatch):
    monkeypatch.setattr(isolated, "SECONDS", 3)
    path = write(tmp_path / "meas.dat", blocks_of(kspace))
    content = path.read_bytes()[10240:]
    start = path.read_bytes()[:10240]
    for seed in range(40):
        path.write_bytes(start + damage(content, seed))
        try:
            list(twix.read(path).slices())
        except CsmriError as error:
            assert "\n" not in str(error) and str(path) in str(error), seed
