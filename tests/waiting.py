"""Waiting for what another process, thread or session does."""

import time
from collections.abc import Callable

import psycopg2.extensions

# Reached only where something is broken: a slow machine, or a busy one, is no fault. Below pytest's own `timeout`.
PATIENCE_SECONDS = 240.0


def wait_until(holds: Callable[[], bool], said: Callable[[], object] = lambda: "") -> None:
    """Wait until `holds`. Raises AssertionError after PATIENCE_SECONDS, with what `said` returns then."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, said()
        time.sleep(0.02)


def wait_until_blocked(
    watcher: psycopg2.extensions.connection, holder: psycopg2.extensions.connection | None = None
) -> int:
    """Wait until a session waits for a lock of `holder`, or of anybody in this database without one.

    Returns the waiting session's process id. `watcher` may be `holder` itself, inside its transaction.
    """
    waits = "cardinality(pg_blocking_pids(pid)) > 0" if holder is None else "%s = ANY (pg_blocking_pids(pid))"
    query = f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND {waits}"
    waiting: list[int] = []

    def found() -> bool:
        with watcher.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")  # a transaction sees the sessions that it saw first
            cursor.execute(query, None if holder is None else (holder.get_backend_pid(),))
            waiting.extend(pid for (pid,) in cursor.fetchall())
        return waiting != []

    wait_until(found, lambda: "nobody ever waited")
    return waiting[0]
