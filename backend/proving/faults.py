"""What breaks, how often, and the saboteur who breaks it.

The seed shuffles a deck of faults and deals it again and again, so every kind comes early and in its share. When a
fault strikes, and what it hits, depends on the moment.
"""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import psycopg2

from backend.db.provision import connect
from backend.proving.history import History
from backend.proving.proxy import Ambush, Moment
from backend.proving.stand import Stand

COMMIT_SECONDS_MAX = 5.0  # how long an ambush waits for a COMMIT
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename <> current_user"


@dataclass(frozen=True, slots=True)
class Fault:
    """One that struck, and when, in seconds of the run."""

    kind: str
    at: float


class Kind(NamedTuple):
    """A kind of fault and how many cards of the deck it has. `strike` says how often it hit."""

    name: str
    cards: int
    strike: Callable[[Stand, Random], int]


def _in_wait(moment: Moment, blow: Callable[[int], None] | None) -> Callable[[Stand, Random], int]:
    """Strikes one to three COMMITs that come next."""

    def strike(stand: Stand, chance: Random) -> int:
        ambushes = [Ambush(moment, blow) for _ in range(chance.randint(1, 3) if blow is not _kill else 1)]
        stand.proxy.lie_in_wait(*ambushes)
        hits = sum(ambush.struck.wait(COMMIT_SECONDS_MAX) for ambush in ambushes)
        stand.proxy.call_off()
        return hits

    return strike


def _terminate(backend: int) -> None:
    """What pg_terminate_backend sends."""
    with suppress(ProcessLookupError):
        os.kill(backend, signal.SIGTERM)


def _kill(backend: int) -> None:
    """PostgreSQL then ends every other backend too and recovers from its log."""
    with suppress(ProcessLookupError):
        os.kill(backend, signal.SIGKILL)


def _kill_worker(stand: Stand, chance: Random) -> bool:
    return stand.application.kill_worker(chance)


def _terminate_backends(stand: Stand, _chance: Random) -> bool:
    """Every connection of the application ends, whatever it is at."""
    return _run(stand, f"SELECT pg_terminate_backend(pid) FROM ({BACKENDS}) AS them")


def _kill_a_backend(stand: Stand, chance: Random) -> bool:
    with closing(connect(stand.superuser_url)) as connection, connection.cursor() as cursor:
        cursor.execute(BACKENDS)
        backends = sorted(pid for (pid,) in cursor.fetchall())
    if backends:
        _kill(chance.choice(backends))
    return bool(backends)


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
    lane = chance.choice(stand.hospital.shelves).lane
    return _run(stand, f"LOCK TABLE lanes.lane_{lane:03d} IN EXCLUSIVE MODE; SELECT pg_sleep({_a_second(chance)})")


def _hold_rows(stand: Stand, chance: Random) -> bool:
    """The rows of a shelf, by somebody who knows nothing of lanes."""
    shelf = chance.choice(stand.hospital.shelves)
    return _run(
        stand,
        f"SELECT 1 FROM stock_levels WHERE ward_id = '{shelf.ward_id}' AND drug_id = '{shelf.drug_id}' FOR UPDATE;"
        f" SELECT 1 FROM medication_orders WHERE ward_id = '{shelf.ward_id}' AND drug_id = '{shelf.drug_id}'"
        f" AND status = 'active' ORDER BY id LIMIT 20 FOR UPDATE; SELECT pg_sleep({_a_second(chance)})",
    )


def _a_second(chance: Random) -> float:
    """About as long; now and then longer than a client's transaction waits."""
    return 4.0 if chance.random() < 0.1 else round(chance.uniform(0.5, 1.5), 2)


def _run(stand: Stand, statements: str) -> bool:
    with closing(connect(stand.superuser_url)) as connection, connection.cursor() as cursor:
        cursor.execute(statements)
        return cursor.rowcount != 0


LIGHT = (
    Kind("worker killed", 6, _kill_worker),
    *(Kind(f"connection cut {moment} COMMIT", 5, _in_wait(moment, None)) for moment in Moment),
    *(Kind(f"backend terminated {moment} COMMIT", 4, _in_wait(moment, _terminate)) for moment in Moment),
    Kind("all backends terminated", 2, _terminate_backends),
    Kind("connections cut", 3, _cut),
    Kind("connections stalled", 3, _stall),
    Kind("lane locked by hand", 4, _hold_lane),
    Kind("rows locked by hand", 4, _hold_rows),
)
HEAVY = (
    *(Kind(f"backend killed {moment} COMMIT: crash recovery", 1, _in_wait(moment, _kill)) for moment in Moment),
    Kind("backend killed: crash recovery", 1, _kill_a_backend),
    Kind("PostgreSQL restarted immediately: crash recovery", 2, _restart),
)
KINDS = (*LIGHT, *HEAVY)
AROUND_COMMIT = tuple(kind for kind in LIGHT if kind.name.endswith("COMMIT"))


class Saboteur:
    """Breaks one thing after another until `closing` is set, on average every `pause_seconds`."""

    def __init__(
        self, stand: Stand, history: History, seed: int, pause_seconds: float, kinds: tuple[Kind, ...]
    ) -> None:
        self._stand, self._history, self._pause_seconds = stand, history, pause_seconds
        self._chance = Random(f"{seed}/faults")
        self._deck = [kind for kind in kinds for _ in range(kind.cards)]
        self.faults: list[Fault] = []

    def work(self, closing: threading.Event) -> None:
        """Breaks things. Leaves PostgreSQL up and the line open."""
        while self._deck:
            self._chance.shuffle(self._deck)
            for kind in self._deck:
                if closing.wait(self._chance.expovariate(1 / self._pause_seconds)):
                    return
                self._strike(kind)

    def _strike(self, kind: Kind) -> None:
        """A fault counts from the moment it begins, if it hit anything."""
        at = self._history.now()
        chance = Random(self._chance.random())
        with suppress(psycopg2.Error):  # the one before still lasts: PostgreSQL recovers and lets nobody in
            self.faults += [Fault(kind.name, at)] * kind.strike(self._stand, chance)
