"""The machine and the programs of a run, and who used its processors."""

import importlib.metadata
import os
import platform
import subprocess
from contextlib import closing
from pathlib import Path

from backend.db.provision import connect
from load.bench.stand import Stand

PACKAGES = ("flask", "gunicorn", "psycopg2-binary", "sqlalchemy", "orjson")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def describe_machine() -> dict[str, object]:
    """Processor, cores, memory, system."""
    models = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": count_cores(),
        "memory_gib": round(memory / 2**20, 1),
        "system": platform.platform(),
    }


def count_cores() -> int:
    """Processors of the machine."""
    return os.cpu_count() or 1


def describe_versions(stand: Stand) -> dict[str, str]:
    """What was measured with what."""
    with closing(connect(stand.owner_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        (postgresql,) = cursor.fetchone() or ("",)
    pgbench = subprocess.run([stand.programs / "pgbench", "--version"], capture_output=True, text=True, check=True)
    return {
        "python": platform.python_version(),
        "postgresql": str(postgresql),
        "pgbench": pgbench.stdout.split()[-1],
        **{package: importlib.metadata.version(package) for package in PACKAGES},
    }


def find_postmaster(stand: Stand) -> int | None:
    """The process id of the server, where it runs on this machine."""
    with closing(connect(stand.owner_url)) as connection:
        backend = Path(f"/proc/{connection.info.backend_pid}")
        try:
            fields = _stat(backend)
            is_postgres = (backend / "comm").read_text().strip() == "postgres"
        except OSError:
            return None
    return int(fields[1]) if is_postgres else None


def cpu_seconds_of(root: int | None) -> float:
    """CPU time of the process `root`, its children and theirs, those that have ended included; 0 for None."""
    if root is None:
        return 0.0
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = _stat(entry)
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
            ticks[int(entry.name)] = sum(map(int, fields[11:15]))  # own user and system, then those of waited-for
    return sum(spent for pid, spent in ticks.items() if _descends(pid, root, parents)) / TICKS_PER_SECOND


def busy_seconds() -> float:
    """CPU time that all processes of the machine have used."""
    user, nice, system, _, _, interrupt, soft, steal = map(int, next(iter(_lines("/proc/stat"))).split()[1:9])
    return (user + nice + system + interrupt + soft + steal) / TICKS_PER_SECOND


def _descends(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid not in (root, 0):
        pid = parents.get(pid, 0)
    return pid == root


def _stat(process: Path) -> list[str]:
    """The fields of /proc/pid/stat after the name, the state first."""
    return (process / "stat").read_text().rpartition(")")[2].split()


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
