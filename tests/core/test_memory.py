"""What may be taken is the least of what system and container have left, or what a person allows."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from csmri.core import memory
from csmri.core.errors import CsmriError

MIB = 2**20


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A system with 8 GiB free, by the files that it tells it by."""
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    monkeypatch.delenv(memory.LIMIT, raising=False)
    put(tmp_path, "proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
    return tmp_path


def put(root, name, text):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(f"{text}\n")


def test_what_the_system_has_free(root):
    assert memory.available_memory() == 8 * 2**30


@pytest.mark.parametrize("place", ["", "kubepods/pod1"])
def test_a_container_has_less(root, place):
    put(root, "proc/self/cgroup", f"0::/{place}")
    put(root, f"sys/fs/cgroup/{place}/memory.max", 1000 * MIB)
    put(root, f"sys/fs/cgroup/{place}/memory.current", 600 * MIB)
    put(root, f"sys/fs/cgroup/{place}/memory.stat", f"anon 1\ninactive_file {100 * MIB}")
    assert memory.available_memory() == 500 * MIB
    put(root, f"sys/fs/cgroup/{place}/memory.max", "max")
    assert memory.available_memory() == 8 * 2**30


def test_a_group_is_limited_by_those_above_and_is_seen_from_inside_by_its_own_files(root):
    for group, limit in (("a/b", 900), ("a", 300), ("elsewhere", 1)):
        put(root, f"sys/fs/cgroup/{group}/memory.max", limit * MIB)
        put(root, f"sys/fs/cgroup/{group}/memory.current", 100 * MIB)
        put(root, f"sys/fs/cgroup/{group}/memory.stat", "inactive_file 0")
    put(root, "proc/self/cgroup", "0::/a/b")
    assert memory.available_memory() == 200 * MIB


def test_groups_of_the_first_version(root):
    put(root, "proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/not/seen/from/inside\n0::/")
    put(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", 700 * MIB)
    put(root, "sys/fs/cgroup/memory/memory.usage_in_bytes", 650 * MIB)
    put(root, "sys/fs/cgroup/memory/memory.stat", f"total_inactive_file {20 * MIB}")
    assert memory.available_memory() == 70 * MIB


def test_a_person_decides(monkeypatch):
    monkeypatch.setenv(memory.LIMIT, "64")
    assert 0 < 64 * memory.GIB - memory.available_memory() < 16 * memory.GIB  # what this process has already
    monkeypatch.setenv(memory.LIMIT, "0.001")
    assert memory.available_memory() == 0
    for wrong in ("much", "-1", "0", "inf", "nan"):
        monkeypatch.setenv(memory.LIMIT, wrong)
        with pytest.raises(CsmriError, match=f"CSMRI_MEMORY={wrong}: expected the GiB"):
            memory.available_memory()


def test_what_is_taken_is_seen():
    before = memory.taken_memory()
    held = np.ones(64 * MIB, np.uint8)
    assert memory.taken_memory() - before > 48 * MIB
    assert memory.peak_memory() >= 64 * MIB and held.all()


def test_amounts():
    assert [memory.amount(n) for n in (10, 700 * MIB, 1.5 * 2**30)] == ["1 MiB", "700 MiB", "1.5 GiB"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")
def test_the_peak_is_of_this_process_and_not_of_the_one_that_began_it():
    begun_by = bytearray(300 * 2**20)
    begun_by[:: 2**12] = b"x" * len(range(0, len(begun_by), 2**12))  # taken in earnest
    code = "from csmri.core.memory import peak_memory; print(peak_memory())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 2**20 < int(said) < 200 * 2**20 < memory.peak_memory()
