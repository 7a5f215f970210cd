"""How much memory this process may still take, and how much it has taken."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from csmri.core.errors import CsmriError

try:
    import resource
except ImportError:  # not on Windows, where nobody tells
    resource = None  # type: ignore[assignment]

LIMIT = "CSMRI_MEMORY"
"""Environment variable: GiB that a process of csmri may take, instead of what is free."""
GIB = 2**30
UNKNOWN = 8 * GIB
"""Taken to be free where the system tells nothing."""
ROOT = Path("/")


def available_memory() -> int:
    """Memory that can still be taken [bytes], at least 0.

    What `CSMRI_MEMORY` allows beyond what is taken; else what the system has free, or the container, if that is less:
    a process that takes more than its container has is killed. Where the system tells only what it has in all, that.

    Raises
    ------
    CsmriError
        If `CSMRI_MEMORY` is no number of GiB above 0.
    """
    if allowed := os.environ.get(LIMIT):
        try:
            limit = float(allowed)
        except ValueError:
            limit = 0.0
        if not 0 < limit < float("inf"):
            raise CsmriError(f"{LIMIT}={allowed}: expected the GiB of memory that csmri may take, as {LIMIT}=4")
        return max(0, int(limit * GIB) - taken_memory())
    return max(0, min([_free(ROOT), *_left_in_containers(ROOT)]))


def taken_memory() -> int:
    """Memory that this process has now [bytes]; where the system does not tell, the most that it ever had."""
    with suppress(OSError, ValueError, IndexError):
        return int((ROOT / "proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return peak_memory()


def peak_memory() -> int:
    """Most memory that this process ever had [bytes]; 0 where the system does not tell."""
    if own := _told(Path("/proc/self/status"), "VmHWM"):  # `resource` counts what began the process on Linux, too
        return own
    if resource is None:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def amount(n_bytes: float) -> str:
    """Write an amount of memory for people, in MiB or GiB."""
    return f"{n_bytes / GIB:.1f} GiB" if n_bytes >= GIB else f"{max(1, round(n_bytes / 2**20))} MiB"


def _told(path: Path, name: str) -> int | None:
    """Amount that Linux tells of a name [bytes]; None where it does not."""
    with suppress(OSError, ValueError, IndexError):
        for line in path.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None


def _free(root: Path) -> int:
    if (available := _told(root / "proc/meminfo", "MemAvailable")) is not None:
        return available
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return UNKNOWN


def _left_in_containers(root: Path) -> Iterator[int]:
    """What the control groups that this process is in have left, of both versions; files that are cached count as left.

    A group is limited by all above it, too.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, limit, used, cached = root / "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup/memory"
            limit, used, cached = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        # Inside a container the path may be that of the host, which is not there: then the top is the container's own.
        below = top / path.lstrip("/")
        for group in {top, *(one for one in (below, *below.parents) if one.is_relative_to(top))}:
            with suppress(OSError, ValueError):
                files = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                spare = int(files.get(cached, 0))
                yield int((group / limit).read_text()) - int((group / used).read_text()) + spare
