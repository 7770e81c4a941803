"""Memory and cores of this machine, as far as this process may use them: a container's limits count."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def memory_bytes(limits: Path = CGROUP) -> int:
    """The memory of this machine or of the container, whichever is smaller."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _words(limits / "memory.max")
    return min(whole, int(limit[0])) if limit and limit[0] != "max" else whole


def cores(limits: Path = CGROUP) -> int:
    """The cores that this process may run on; a container's share of them rounded down, at least one."""
    whole = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _words(limits / "cpu.max")
    return max(1, min(whole, int(quota[0]) // int(quota[1]))) if quota and quota[0] != "max" else whole


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []
