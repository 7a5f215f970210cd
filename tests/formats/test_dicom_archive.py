"""An archive (Orthanc, on the loopback interface) takes what is written and gives it back."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from csmri.data.cine import Cine
from csmri.formats import dicom
from csmri.formats.dicom.derivation import Derivation
from csmri.formats.dicom.write import write

ORTHANC = shutil.which("Orthanc") or "/usr/sbin/Orthanc"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def archive(tmp_path):
    """Address of a server that lives as long as the test."""
    if not Path(ORTHANC).exists():
        pytest.skip("Orthanc is not installed")
    port = free_port()
    config = {
        "Name": "test",
        "StorageDirectory": str(tmp_path / "storage"),
        "IndexDirectory": str(tmp_path / "storage"),
        "HttpPort": port,
        "HttpBindAddresses": ["127.0.0.1"],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "Plugins": [],
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(config))
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([ORTHANC, str(tmp_path / "orthanc.json")], stdout=log, stderr=log, cwd=tmp_path)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                ask(f"{address}/system")
                break
            except (urllib.error.URLError, ConnectionError):
                assert server.poll() is None, (tmp_path / "log").read_text(errors="replace")
                time.sleep(0.1)
        else:
            pytest.fail("Orthanc does not answer")
        yield address
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def ask(url, data=None):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, data, timeout=20) as answer:
        return answer.read()


@pytest.mark.slow
def test_archive_keeps_every_bit(tmp_path, archive):
    images = np.random.default_rng(0).uniform(0, 900, (3, 4, 24, 20)).astype(np.float32)
    times = (20 + 41 * np.arange(4)).astype(np.float32)
    cine = Cine(images, "P7", frame_times_ms=times, affine=np.diag([-1.25, -1.5, 8, 1]))
    paths = write(tmp_path / "classic", cine, derivation=Derivation("unrolled", 4.0))
    paths += write(tmp_path / "enhanced", cine, derivation=Derivation("unrolled", 4.0), enhanced=True)
    stored = {}
    for path in paths:
        answer = json.loads(ask(f"{archive}/instances", path.read_bytes()))
        assert answer["Status"] == "Success"
        stored[answer["ID"]] = path
    for identifier, path in stored.items():
        assert ask(f"{archive}/instances/{identifier}/file") == path.read_bytes()

    (patient,) = json.loads(ask(f"{archive}/patients?expand"))
    assert patient["MainDicomTags"]["PatientID"] == "P7" and len(patient["Studies"]) == 1
    series = json.loads(ask(f"{archive}/series?expand"))
    assert sorted(len(one["Instances"]) for one in series) == [1, 12]
    assert {one["MainDicomTags"]["SeriesDescription"] for one in series} == {"csmri unrolled R = 4.00"}
    (tmp_path / "back").mkdir()
    classic = next(one for one in series if len(one["Instances"]) == 12)
    for identifier in classic["Instances"]:
        (tmp_path / "back" / identifier).write_bytes(ask(f"{archive}/instances/{identifier}/file"))
        assert ask(f"{archive}/instances/{identifier}/preview").startswith(b"\x89PNG")
    np.testing.assert_array_equal(dicom.read(tmp_path / "back").images, dicom.read(tmp_path / "classic").images)
