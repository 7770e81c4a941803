"""One moment of a run, and what the server's /metrics says of it."""

import re
from dataclasses import dataclass, field

_SAMPLE = re.compile(r"^(valmed_worker_resident_bytes|valmed_database_connections)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Server:
    """What /metrics tells of the node: bytes of all its workers, how many they are, and their connections."""

    memory_bytes: int
    workers: int
    connections: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment of a run; counts are since its beginning. `server` is None where it did not tell."""

    seconds: float  # since the beginning
    users: int
    requests: int
    requests_per_second: float  # since the sample before
    p50_ms: float
    p95_ms: float
    failures: int
    busy: int
    server: Server | None
    refusals: dict[str, int] = field(default_factory=dict)  # by problem code


def read_server(text: str) -> Server | None:
    """What the text of /metrics says; None where it says nothing of workers."""
    found: dict[str, list[float]] = {}
    for name, value in _SAMPLE.findall(text):
        found.setdefault(name, []).append(float(value))
    memory = found.get("valmed_worker_resident_bytes", [])
    if not memory:
        return None
    return Server(int(sum(memory)), len(memory), int(sum(found.get("valmed_database_connections", []))))
