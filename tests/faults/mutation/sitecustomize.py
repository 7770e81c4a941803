"""Takes guards out of the application under proof: Python runs this file at its start when its folder is on PYTHONPATH.

The product knows nothing of it. PROOF_MUTATION names one of the functions below. Guards cover for one another:
tests/concurrency/test_guards.py. So a mutation takes out the guard in question and what would catch its loss first.
"""

import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg2
from sqlalchemy import Engine, event

from backend.care_team import assigning
from backend.db import Prepared, Session, transaction
from backend.http import endpoint
from backend.orders import fulfilment, rounds
from backend.stock import ledger
from backend.stock.picking import LotOnShelf

DAWDLE_SECONDS = 0.25


def without_row_locks() -> None:
    """No lanes, no FOR UPDATE; and READ COMMITTED, since a snapshot refuses what a lock would have kept apart.

    Who has looked dawdles before it writes, so that seconds of a run are as good as hours.
    """
    _read_committed_without_lanes()
    _rewrite(fulfilment, "_LOCK", ("FOR UPDATE OF o, l", ""), ("FOR UPDATE OF s", ""))
    _rewrite(ledger, "_LOCK", ("FOR UPDATE", ""))
    _rewrite(ledger, "_LOCK_LOTS", ("FOR UPDATE OF s", ""))
    _dawdle(fulfilment, "_lock", DAWDLE_SECONDS)
    _rewrite(rounds, "_LOCK_ORDERS", ("FOR UPDATE OF o", ""))
    _rewrite(rounds, "_LOCK_LEVELS", ("FOR UPDATE OF l", ""))
    _rewrite(rounds, "_LOCK_LOTS", ("FOR UPDATE OF s", ""))
    _dawdle(rounds, "_lock_stock", DAWDLE_SECONDS)


def _read_committed_without_lanes() -> None:
    opening = transaction.prologue
    transaction.prologue = lambda *given, **named: opening(*given, **named).replace("REPEATABLE READ", "READ COMMITTED")
    Session.take_lanes = lambda self, lanes: None  # type: ignore[method-assign]


def _dawdle(module: Any, name: str, seconds: float) -> None:
    look = getattr(module, name)

    def look_and_dawdle(*given: Any, **named: Any) -> Any:
        seen = look(*given, **named)
        time.sleep(seconds)
        return seen

    setattr(module, name, look_and_dawdle)


def without_the_dose_in_order() -> None:
    """Nobody looks any more whether the dose is still the next when it is written."""
    without_row_locks()
    _rewrite(fulfilment, "_WRITE", (" AND status = 'active' AND doses_given = $16 - 1", ""))
    _rewrite(rounds, "_WRITE", (" AND o.status = 'active' AND o.doses_given = doses.number - 1", ""))


def without_retry() -> None:
    """Every error of the database goes to the caller as it is."""

    def give_up(_attempts: Any, error: BaseException) -> None:
        raise error

    transaction._Attempts.answer = give_up  # type: ignore[assignment,method-assign]


def with_503_for_a_conflict() -> None:
    """Who met 40001 is told to try again, at once and in good form."""
    again = transaction._Attempts._again

    def give_up(self: Any, reason: str, seconds: float, tries_max: int | None) -> None:
        if reason == "40001":
            raise self.busy(reason)
        again(self, reason, seconds, tries_max)

    transaction._Attempts._again = give_up  # type: ignore[method-assign]


def without_one_primary() -> None:
    """No lane of the team, its rows not locked, no snapshot that refuses."""
    _read_committed_without_lanes()
    _rewrite_core(r" FOR UPDATE OF care_team_assignments", "")
    _dawdle(assigning, "_locked", DAWDLE_SECONDS / 5)


def without_the_hospital() -> None:
    """Queries of SQLAlchemy do not ask whose a row is, but for those of keys: each would meet the other's first."""
    _rewrite_core(r"\b(?!idempotency_keys)\w+\.organization_id = %\(organization_id_\d+\)s(::UUID)?", "true")


def without_the_look_at_the_stock() -> None:
    """Who fulfils believes that the first lot has enough: only the CHECK is left."""

    def take_all_of_the_first(lots: list[LotOnShelf], units: int) -> list[LotOnShelf]:
        return [replace(lots[0], quantity_units=units)] if lots else first_expiring_first(lots, units)

    first_expiring_first = fulfilment.first_expiring_first
    fulfilment.first_expiring_first = take_all_of_the_first


def without_the_idempotency_row() -> None:
    """No answer is remembered."""
    endpoint.store_answer = lambda session, **row: None
    write = fulfilment._WRITE
    start, end = write.sql.index(", remembered AS ("), write.sql.index(")\nSELECT (SELECT on_hand_units") + 1
    _rewrite(fulfilment, "_WRITE", (write.sql[start:end], ""))


def without_waiting_for_the_commit() -> None:
    """The answer is told whatever becomes of the COMMIT."""

    def once(self: Any, work: Callable[[Session], Any], opening: str, attempts: Any) -> Any:
        with transaction._Checkout(self, attempts) as link:
            session = Session(self.engine, link, opening, prepare=self.config.prepare_statements)
            result = work(session)
            try:
                session.commit()
            except psycopg2.Error:
                link.invalidate()
            return result

    transaction.Database._once = once  # type: ignore[method-assign]


def _rewrite(module: Any, name: str, *changes: tuple[str, str]) -> None:
    """Replaces a prepared statement of `module` by one with other words; each of `changes` must be there."""
    statement: Prepared = getattr(module, name)
    sql = statement.sql
    for old, new in changes:
        assert old in sql, f"{old!r} is no longer part of {module.__name__}.{name}"
        sql = sql.replace(old, new)
    setattr(module, name, Prepared(f"mutated_{statement.name}", statement.types, sql))


def _rewrite_core(pattern: str, words: str) -> None:
    """Replaces `pattern` in every statement that SQLAlchemy sends."""

    def rewrite(_link: Any, _cursor: Any, sql: str, values: Any, *_rest: Any) -> tuple[str, Any]:
        return re.sub(pattern, words, sql), values

    event.listen(Engine, "before_cursor_execute", rewrite, retval=True)


if os.environ.get("PROOF_MUTATION"):
    globals()[os.environ["PROOF_MUTATION"]]()
