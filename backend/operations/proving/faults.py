"""What breaks, how often, and the saboteur who breaks it.

The seed shuffles a deck of faults, one of each kind first, and deals it again and again, so every kind comes early and
in its share. When a fault strikes, and what it hits, depends on the moment.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

import psycopg2

from backend.db.provision import connect
from backend.operations.proving.history import History
from backend.operations.proving.proxy import Ambush, Moment
from backend.operations.proving.stand import Stand, ask

COMMIT_SECONDS_MAX = 5.0  # how long an ambush waits for a COMMIT
UP_SECONDS_MAX, POLL_SECONDS = 60.0, 0.05
# When PostgreSQL was last started or recovered: its checkpointer is not the one of before.
GENERATION = "SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename <> current_user"


@dataclass(frozen=True, slots=True)
class Fault:
    """One that struck, and when, in seconds of the run."""

    kind: str
    at: float


class Downtime(NamedTuple):
    """From when until when, in seconds of the run, PostgreSQL may have let nobody in."""

    begins: float
    ends: float


class Kind(NamedTuple):
    """A kind of fault and how many cards of the deck it has. `strike` says how often it hit. Of one that `excludes` new
    connections may fail meanwhile; after one that `crashes` until PostgreSQL has recovered."""

    name: str
    cards: int
    strike: Callable[[Stand, Random], int]
    excludes: bool = False
    crashes: bool = False


def _in_wait(moment: Moment, blow: Callable[[int], object] | None) -> Callable[[Stand, Random], int]:
    """Strikes one to three COMMITs that come next."""

    def strike(stand: Stand, chance: Random) -> int:
        ambushes = [Ambush(moment, blow) for _ in range(chance.randint(1, 3) if blow is not _kill else 1)]
        stand.proxy.lie_in_wait(*ambushes)
        hits = sum(ambush.struck.wait(COMMIT_SECONDS_MAX) for ambush in ambushes)
        stand.proxy.call_off(*ambushes)
        return hits

    return strike


def _terminate(backend: int) -> None:
    """What pg_terminate_backend sends."""
    with suppress(ProcessLookupError):
        os.kill(backend, signal.SIGTERM)


def _kill(backend: int) -> bool:
    """PostgreSQL then ends every other backend too and recovers from its log. Whether the backend was still there."""
    with suppress(ProcessLookupError):
        os.kill(backend, signal.SIGKILL)
        return True
    return False


def _kill_worker(stand: Stand, chance: Random) -> bool:
    return chance.choice(stand.nodes).kill_worker(chance)


def _terminate_backends(stand: Stand, _chance: Random) -> bool:
    """Every connection of the application ends, whatever it is at."""
    return _run(stand, f"SELECT pg_terminate_backend(pid) FROM ({BACKENDS}) AS them")


def _kill_a_backend(stand: Stand, chance: Random) -> bool:
    with closing(connect(stand.superuser_url)) as connection, connection.cursor() as cursor:
        cursor.execute(BACKENDS)
        backends = sorted(pid for (pid,) in cursor.fetchall())
    return bool(backends) and _kill(chance.choice(backends))


def _restart(stand: Stand, _chance: Random) -> bool:
    stand.server.stop("immediate")
    stand.server.start()
    return True


def _cut(stand: Stand, chance: Random) -> bool:
    return stand.proxy.cut(chance.choice((0.3, 0.6, 1)), chance) > 0


def _stall(stand: Stand, chance: Random) -> bool:
    stand.proxy.stall(chance.uniform(0.1, 1.5))
    return True


def _hold_lane(stand: Stand, chance: Random) -> bool:
    lane = chance.choice(stand.shelves).lane
    return _run(stand, f"LOCK TABLE lanes.lane_{lane:03d} IN EXCLUSIVE MODE; SELECT pg_sleep({_a_second(chance)})")


def _hold_rows(stand: Stand, chance: Random) -> bool:
    """The rows of a shelf, by somebody who knows nothing of lanes."""
    shelf = chance.choice(stand.shelves)
    return _run(
        stand,
        f"SELECT 1 FROM stock_levels WHERE ward_id = '{shelf.ward_id}' AND drug_id = '{shelf.drug_id}' FOR UPDATE;"
        f" SELECT 1 FROM medication_orders WHERE ward_id = '{shelf.ward_id}' AND drug_id = '{shelf.drug_id}'"
        f" AND status = 'active' ORDER BY id LIMIT 20 FOR UPDATE; SELECT pg_sleep({_a_second(chance)})",
    )


def _change_rows(stand: Stand, chance: Random) -> bool:
    """Shelves are changed, to what they were, by somebody who knows nothing of lanes: whoever waited for the row has
    a snapshot that is older than it, gets 40001 and must try again."""
    organization_id = chance.choice(stand.hospitals).organization_id
    return _run(
        stand,
        f"SET app.organization_id = '{organization_id}'; SET app.user_id = ''; SET app.request_id = 'by hand'; BEGIN;"
        f" UPDATE stock_levels SET version = version WHERE organization_id = '{organization_id}';"
        f" SELECT pg_sleep({round(chance.uniform(0.1, 0.6), 2)}); COMMIT",
    )


def _a_second(chance: Random) -> float:
    """About as long; now and then longer than a client's transaction waits."""
    return 4.0 if chance.random() < 0.1 else round(chance.uniform(0.5, 1.5), 2)


def _run(stand: Stand, statements: str) -> bool:
    with closing(connect(stand.superuser_url)) as connection, connection.cursor() as cursor:
        cursor.execute(statements)
        return cursor.rowcount != 0


CHANGED_ROWS = Kind("rows changed by hand", 4, _change_rows)
LIGHT = (
    Kind("worker killed", 6, _kill_worker),
    *(Kind(f"connection cut {moment} COMMIT", 5, _in_wait(moment, None)) for moment in Moment),
    *(Kind(f"backend terminated {moment} COMMIT", 4, _in_wait(moment, _terminate)) for moment in Moment),
    Kind("all backends terminated", 2, _terminate_backends, excludes=True),
    Kind("connections cut", 3, _cut, excludes=True),
    Kind("connections stalled", 3, _stall),
    Kind("lane locked by hand", 4, _hold_lane),
    Kind("rows locked by hand", 4, _hold_rows),
    CHANGED_ROWS,
)
HEAVY = (
    *(
        Kind(f"backend killed {moment} COMMIT: crash recovery", 1, _in_wait(moment, _kill), crashes=True)
        for moment in Moment
    ),
    Kind("backend killed: crash recovery", 1, _kill_a_backend, crashes=True),
    Kind("PostgreSQL restarted immediately: crash recovery", 2, _restart, crashes=True),
)
KINDS = (*LIGHT, *HEAVY)
AROUND_COMMIT = tuple(kind for kind in LIGHT if kind.name.endswith("COMMIT"))


class Saboteur:
    """Strikes `count` times, spread over `seconds`, with chance saying when within each share of them."""

    def __init__(
        self, stand: Stand, history: History, *, seed: int, seconds: float, count: int, kinds: tuple[Kind, ...]
    ) -> None:
        self._stand, self._history = stand, history
        self._times = count if kinds else 0
        self._share_seconds = seconds / max(1, count)
        self._chance = Random(f"{seed}/faults")
        self._kinds = kinds
        self.faults: list[Fault] = []
        self.downtimes: list[Downtime] = []

    def work(self, closing: threading.Event) -> None:
        """Breaks things until all is broken or `closing` is set. Leaves PostgreSQL up and the line open."""
        for number, kind in zip(range(self._times), self._deal(), strict=False):
            at = (number + self._chance.random()) * self._share_seconds
            if closing.wait(max(0.0, at - self._history.now())):
                return
            self._strike(kind)

    def _deal(self) -> Iterator[Kind]:
        """One of each kind, then those that have more cards, then all again."""
        more = [kind for kind in self._kinds for _ in range(kind.cards - 1)]
        while True:
            yield from self._chance.sample(self._kinds, len(self._kinds))
            yield from self._chance.sample(more, len(more))

    def _strike(self, kind: Kind) -> None:
        """A fault counts from the moment it begins, if it hit anything. Returns when PostgreSQL is up again."""
        at = self._history.now()
        chance = Random(self._chance.random())
        before, hits = self._generation(), 0
        with suppress(psycopg2.Error):  # the one before still lasts: PostgreSQL recovers and lets nobody in
            hits = kind.strike(self._stand, chance)
        self.faults += [Fault(kind.name, at)] * hits
        if kind.crashes and hits:
            self._wait_for_the_next(before)
        if kind.excludes or kind.crashes:
            self.downtimes.append(Downtime(at, self._history.now()))

    def _wait_for_the_next(self, generation: Any) -> None:
        """Returns when PostgreSQL has recovered and lets somebody in, after UP_SECONDS_MAX at the latest."""
        ends = self._history.now() + UP_SECONDS_MAX
        while self._generation() in (None, generation) and self._history.now() < ends:
            time.sleep(POLL_SECONDS)

    def _generation(self) -> Any:
        """Tells one life of PostgreSQL from the next; None while it lets nobody in."""
        with suppress(psycopg2.Error):
            return ask(self._stand.superuser_url, GENERATION)
        return None
