"""Settings of ValMed and PostgreSQL that add up: arithmetic on what was read and planned, nothing is asked or changed.

Connections first: what the workers of all nodes can open, and a few to spare for commands, backups and monitoring, fit
into what the server allows. Then memory: the server's buffers, its sessions at work and its maintenance together stay
below the memory of the host. Sources, PostgreSQL 18 documentation:
19.3.1 Connection Settings; 19.4.1 Memory (shared_buffers: 25 % of the memory is a reasonable start and more than 40 %
unlikely to help; work_mem is per operation, times hash_mem_multiplier; maintenance_work_mem is taken by each
autovacuum worker); 19.5.1 (fsync, full_page_writes, synchronous_commit, wal_compression) and 19.5.2 Checkpoints;
19.7.2 Planner Cost Constants (random_page_cost 1.1 for solid-state storage; effective_cache_size counts the kernel's
cache too); 28.5 WAL Configuration (the first change of a page after a checkpoint logs it whole, so let them be rare).

Decision: where the planned pools do not fit, the pools are lowered before max_connections is raised. Because a sync
worker has one connection at work (gunicorn.conf.py), so that a smaller pool costs nothing, and raising takes a restart.
Cost: a report that held a second connection would wait where it need not; every worker keeps two where two fit.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from backend.config import Config
from backend.db.limits import Limits

MB = 1 << 20
GB = 1 << 30
SPARE_CONNECTIONS = 10  # beside the pools: valmed's commands, backup, monitoring, a person with psql
WORKER_BYTES = 64 * MB  # a gunicorn worker's own share after some hours of work (measured 40-62 MB)
SESSION_BYTES = 8 * MB  # a server process between two statements, without the shared buffers
AUTOVACUUM_WORKERS = 3
HASH_MEM_MULTIPLIER = 2
WORK_MEM_MAX, WORK_MEM_MIN = 64 * MB, MB
MAINTENANCE_MAX = GB
WORKERS_MAX = 64

Value = str | float  # bytes, seconds or a plain number; a word for what is on, off or one of several


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """What the settings are for. The workers' node counts as the server's host where `shared`."""

    nodes: int
    node_cores: int
    server_cores: int
    server_memory: int  # bytes
    shared: bool
    solid_state: bool = True


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of the running server: its value in bytes or seconds where it has a unit."""

    value: Value
    unit: str = ""  # B, s or none
    choices: tuple[str, ...] = ()
    restart: bool = False


@dataclass(frozen=True, slots=True)
class Advice:
    """One setting: what it is, what is proposed, why, and whether what it is will do."""

    name: str
    present: Value
    proposed: Value
    fine: bool
    reason: str
    unit: str = ""
    restart: bool = False


@dataclass(frozen=True, slots=True)
class Sizing:
    """All the advice, how the connections add up, and what no setting can mend."""

    application: tuple[Advice, ...]
    server: tuple[Advice, ...]
    connections: int  # that all nodes can open together, as proposed
    available: int  # to the application, as proposed
    problems: tuple[str, ...]

    @property
    def fine(self) -> bool:
        """Whether nothing needs to be changed."""
        return not self.problems and all(advice.fine for advice in (*self.application, *self.server))


def size(config: Config, limits: Limits, hosts: Hosts, settings: dict[str, Setting]) -> Sizing:
    """The advice for `hosts.nodes` nodes with `config` each, on a server with `limits` and `settings`."""
    chosen = _fitting(config, limits, hosts)
    connections = hosts.nodes * chosen.connections_max()
    needed = connections + SPARE_CONNECTIONS + limits.reserved
    raised = replace(limits, max_connections=max(limits.max_connections, -(-needed // 10) * 10))
    problems = []
    if connections > raised.available:
        problems.append(f"{connections} connections do not fit: raise {raised.to_raise} above {raised.available}")
    own = chosen.workers * WORKER_BYTES if hosts.shared else 0
    memory = max(hosts.server_memory // 2, hosts.server_memory - own)
    sessions = connections + SPARE_CONNECTIONS
    if memory // 4 < sessions * (SESSION_BYTES + HASH_MEM_MULTIPLIER * WORK_MEM_MIN):
        problems.append(
            f"{sessions} sessions do not fit into {shown(hosts.server_memory, 'B')}: fewer workers or nodes, a "
            "transaction pooler (VALMED_PREPARE_STATEMENTS=0), or more memory"
        )
    adviser = _Adviser(settings)
    return Sizing(
        tuple(_of_application(config, chosen, hosts)),
        (
            adviser.range(
                "max_connections",
                raised.max_connections,
                lowest=needed,
                highest=math.inf,
                reason=f"{connections} of the pools, {SPARE_CONNECTIONS} to spare, {limits.reserved} reserved",
            ),
            *_of_memory(adviser, memory, sessions),
            *_of_log(adviser, settings),
            *_of_storage(adviser, solid_state=hosts.solid_state),
        ),
        connections,
        raised.available,
        tuple(problems),
    )


def workers_bounds(hosts: Hosts) -> tuple[int, int]:
    """The fewest and the most workers of a node that are worth their memory.

    A request costs Python and PostgreSQL about the same CPU (design: 0.52 and 0.54 ms a fulfilment), so half of the
    workers wait for the server: two and one to spare for each core of the node, four for each core of the server.
    """
    most = min(2 * hosts.node_cores + 1, max(1, 4 * hosts.server_cores // hosts.nodes), WORKERS_MAX)
    return min(hosts.node_cores, most), most


def _fitting(config: Config, limits: Limits, hosts: Hosts) -> Config:
    """`config` with workers in bounds and a pool that each worker has the same share of and the server has room for."""
    fewest, most = workers_bounds(hosts)
    workers = max(fewest, min(config.workers, most))
    share = replace(config, workers=workers).per_worker()
    room = max(0, limits.available - SPARE_CONNECTIONS) // hosts.nodes // workers  # of one worker
    size = max(1, min(share.pool_size, room))
    overflow = max(0, min(share.pool_max_overflow, room - size))
    return replace(config, workers=workers, pool_size=workers * size, pool_max_overflow=workers * overflow)


def _of_application(config: Config, chosen: Config, hosts: Hosts) -> Iterator[Advice]:
    fewest, most = workers_bounds(hosts)
    reasons = {
        "workers": f"{fewest} to {most} for {hosts.node_cores} cores of a node and {hosts.server_cores} of the server",
        "pool_size": f"{chosen.workers} workers share it; each uses one connection at a time",
        "pool_max_overflow": f"above the pool; with it a node can open {chosen.connections_max()}",
    }
    each = chosen.per_worker()
    share = replace(config, workers=chosen.workers).per_worker()  # a remainder that no worker gets does no harm
    for name, reason in reasons.items():
        present, fine = getattr(config, name), getattr(share, name) == getattr(each, name)
        fine = fine and (name != "workers" or present == chosen.workers)
        proposed = present if fine else getattr(chosen, name)
        yield Advice(f"VALMED_{name.upper()}", present, proposed, fine, reason, restart=True)


class _Adviser:
    """Advice on one setting of the server after another: what is fine stays, else there is a proposal."""

    def __init__(self, settings: dict[str, Setting]) -> None:
        self._settings = settings

    def choice(self, name: str, proposed: str, *, never: str, reason: str) -> Advice:
        """A setting that may be anything but `never`."""
        return self._advice(name, proposed, self._settings[name].value != never, reason)

    def range(self, name: str, proposed: float, *, lowest: float, highest: float, reason: str) -> Advice:
        """A number that is fine from `lowest` to `highest`."""
        return self._advice(name, proposed, lowest <= float(self._settings[name].value) <= highest, reason)

    def memory(self, name: str, proposed: int, *, reason: str) -> Advice:
        """An amount that is fine from half to one and a half of the proposal."""
        return self.range(name, proposed, lowest=proposed / 2, highest=proposed * 1.5, reason=reason)

    def _advice(self, name: str, proposed: Value, fine: bool, reason: str) -> Advice:
        known = self._settings[name]
        return Advice(name, known.value, known.value if fine else proposed, fine, reason, known.unit, known.restart)


def _of_memory(adviser: _Adviser, memory: int, sessions: int) -> Iterator[Advice]:
    """A quarter each for buffers, sessions and maintenance; the last one is the kernel's cache at its smallest."""
    yield adviser.memory(
        "shared_buffers",
        rounded(memory // 4),
        reason="a quarter of the memory; more than 40 % takes the kernel's cache",
    )
    yield adviser.memory(
        "effective_cache_size", rounded(memory * 3 // 4), reason="what buffers and kernel cache hold, for the planner"
    )
    for_each = (memory // 4 // sessions - SESSION_BYTES) // HASH_MEM_MULTIPLIER
    yield adviser.memory(
        "work_mem",
        rounded(max(WORK_MEM_MIN, min(WORK_MEM_MAX, for_each))),
        reason=f"of each sort; {sessions} sessions at work stay in a quarter of the memory",
    )
    yield adviser.memory(
        "maintenance_work_mem",
        rounded(min(MAINTENANCE_MAX, memory // 16)),
        reason=f"of each VACUUM and CREATE INDEX: {AUTOVACUUM_WORKERS} autovacuum workers and one person",
    )


def _of_log(adviser: _Adviser, settings: dict[str, Setting]) -> Iterator[Advice]:
    """What a crash may cost (nothing), how often everything is written, and how it is compressed."""
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        yield adviser.choice(name, "on", never="off", reason="else a crash loses doses that were answered as given")
    yield adviser.range(
        "max_wal_size", 4 * GB, lowest=2 * GB, highest=64 * GB, reason="so that checkpoints come by time"
    )
    yield adviser.range(
        "checkpoint_timeout",
        900,
        lowest=300,
        highest=1800,
        reason="fewer whole pages in the log; longer recovers slower",
    )
    yield adviser.range(
        "checkpoint_completion_target", 0.9, lowest=0.7, highest=0.95, reason="spreads the writes of a checkpoint"
    )
    compression = "lz4" if "lz4" in settings["wal_compression"].choices else "on"
    yield adviser.choice("wal_compression", compression, never="off", reason="whole pages are most of the log")


def _of_storage(adviser: _Adviser, *, solid_state: bool) -> Iterator[Advice]:
    proposed, lowest, highest = (1.1, 1.0, 2.0) if solid_state else (4.0, 2.5, 10.0)
    reason = "solid-state storage reads any page as fast" if solid_state else "a disk seeks"
    yield adviser.range("random_page_cost", proposed, lowest=lowest, highest=highest, reason=reason)
    yield adviser.choice("autovacuum", "on", never="off", reason="else tables swell and transaction ids run out")


def rounded(amount: int) -> int:
    """`amount` bytes down to two binary digits, as people write them: 5.7 GB is 4 GB, 6.2 GB is 6 GB."""
    step = 1 << max(0, amount.bit_length() - 2)
    return amount // step * step


def shown(value: Value, unit: str) -> str:
    """A value as postgresql.conf writes it."""
    if isinstance(value, str) or not unit:
        return f"{value:g}" if isinstance(value, float) else str(value)
    if unit == "s":
        return f"{value:g}s" if value % 60 else f"{value / 60:g}min"
    for size, name in ((GB, "GB"), (MB, "MB"), (1024, "kB")):
        if value % size == 0:
            return f"{value / size:.0f}{name}"
    return f"{value / MB:.0f}MB"
