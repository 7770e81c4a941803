"""Where a proof ran: versions and machine, so that its figures can be read elsewhere."""

import os
import platform
from datetime import UTC, datetime
from typing import Any

from backend.config import VERSION
from backend.operations.proving.stand import WORKERS, Stand, ask

GIB = 2**30


def surroundings(stand: Stand) -> dict[str, Any]:
    """Plain values; nothing that names a person, a host or a path."""
    ((server_version, fsync, synchronous_commit),) = ask(
        stand.superuser_url,
        "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')",
    )
    return {
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "valmed": VERSION,
        "python": platform.python_version(),
        "postgresql": server_version,
        "fsync": fsync,
        "synchronous_commit": synchronous_commit,
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1),
        "nodes": len(stand.nodes),
        "workers": WORKERS,
        "clock_ahead_seconds": max(node.ahead_seconds for node in stand.nodes),
    }
