"""Takes guards out of the application under proof: Python runs this file at its start when its folder is on PYTHONPATH.

The product knows nothing of it. PROOF_MUTATION names functions below, with commas between. Guards cover for one
another: tests/concurrency/test_guards.py. So a mutation takes out the guard in question and what would catch its loss
first.

A mutation that nothing ever came upon proves nothing: each says when it had an effect, and a file of its name in
PROOF_OCCASIONS has a byte for each time. One that no longer fits the code ends the process.
"""

import os
import re
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import Engine, event, literal, select

from backend.db import Prepared, Session, idempotency, transaction
from backend.db.clock import OFFSET_SECONDS_MAX, ClockWatch
from backend.db.idempotency import Answer
from backend.domain.administrations import fulfilment, rounds
from backend.domain.administrations.board import Board, BoardCache
from backend.domain.care_team import assigning
from backend.domain.custody import expectation
from backend.domain.custody.models import StockCountLine
from backend.domain.identity.sign_in import by_password
from backend.domain.stock import ledger
from backend.domain.stock.picking import LotOnShelf
from backend.web import endpoint

DAWDLE_SECONDS = 0.25
_WHO = "    :actor_id, :witness_id, :occurred_at)"  # of the administration that a fulfilment writes


def occasion(mutation: Callable[..., Any], kind: str = "") -> None:
    """`mutation` has just had its effect, or one `kind` of it, in any process of the application."""
    name = f"{mutation.__name__} {kind}".strip()
    with (Path(os.environ["PROOF_OCCASIONS"]) / name).open("ab", buffering=0) as file:
        file.write(b"!")


def without_row_locks() -> None:
    """No lanes, no FOR UPDATE; and READ COMMITTED, since a snapshot refuses what a lock would have kept apart.

    Who has looked dawdles before it writes, so that seconds of a run are as good as hours.
    """
    _read_committed_without_lanes()
    _rewrite(fulfilment, "_LOCK", ("FOR UPDATE OF o, l", ""), ("FOR UPDATE OF s", ""))
    _rewrite(ledger, "_LOCK", ("FOR UPDATE", ""))
    _rewrite(ledger, "_LOCK_LOTS", ("FOR UPDATE OF s", ""))
    _dawdle(fulfilment, "_lock", DAWDLE_SECONDS, without_row_locks)
    _rewrite(rounds, "_LOCK_ORDERS", ("FOR UPDATE OF o", ""))
    _rewrite(rounds, "_LOCK_LEVELS", ("FOR UPDATE OF l", ""))
    _rewrite(rounds, "_LOCK_LOTS", ("FOR UPDATE OF s", ""))
    _dawdle(rounds, "_lock_stock", DAWDLE_SECONDS, without_row_locks)


def _read_committed_without_lanes() -> None:
    opening = transaction.prologue
    transaction.prologue = lambda *given, **named: opening(*given, **named).replace("REPEATABLE READ", "READ COMMITTED")
    Session.take_lanes = lambda self, lanes: None  # type: ignore[method-assign]


def _dawdle(module: Any, name: str, seconds: float, mutation: Callable[..., Any] | None = None) -> None:
    """Each call takes `seconds` longer, and is an occasion of `mutation`."""
    look = getattr(module, name)

    def look_and_dawdle(*given: Any, **named: Any) -> Any:
        seen = look(*given, **named)
        if mutation is not None:
            occasion(mutation)
        time.sleep(seconds)
        return seen

    setattr(module, name, look_and_dawdle)


def without_the_dose_in_order() -> None:
    """Nobody looks any more whether the dose is still the next when it is written."""
    without_row_locks()
    (line,) = (line for line in fulfilment._WRITE.text.splitlines() if "doses_given" in line and "WHERE" in line)
    _rewrite(fulfilment, "_WRITE", (line, line.split(" AND status")[0]))
    _rewrite(rounds, "_WRITE", ("AND o.status = 'active' AND o.doses_given = doses.number - 1", ""))
    _dawdle(fulfilment, "_write", 0, without_the_dose_in_order)
    _dawdle(rounds, "_write", 0, without_the_dose_in_order)


def without_retry() -> None:
    """Every error of the database goes to the caller as it is."""

    def give_up(_attempts: Any, error: BaseException) -> None:
        occasion(without_retry)
        raise error

    transaction._Attempts.retry_or_raise = give_up  # type: ignore[assignment,method-assign]


def with_503_for_a_conflict() -> None:
    """Who met 40001 is told to try again, at once and in good form."""
    again = transaction._Attempts._again

    def give_up(self: Any, reason: str, seconds: float, tries_max: int | None) -> None:
        if reason == "40001":
            occasion(with_503_for_a_conflict)
            raise self.busy(reason)
        again(self, reason, seconds, tries_max)

    transaction._Attempts._again = give_up  # type: ignore[method-assign]


def without_one_primary() -> None:
    """No lane of the team, its rows not locked, no snapshot that refuses."""
    _read_committed_without_lanes()
    _rewrite_core(r" FOR UPDATE OF care_team_assignments", "")
    _dawdle(assigning, "_locked", DAWDLE_SECONDS / 5, without_one_primary)


def without_the_hospital() -> None:
    """Queries of SQLAlchemy do not ask whose a row is, but for those of keys: each would meet the other's first."""
    pattern = r"\b(?!idempotency_keys)\w+\.organization_id = %\(organization_id_\d+\)s(::UUID)?"
    _rewrite_core(pattern, "true", lambda: occasion(without_the_hospital))


def without_the_look_at_the_stock() -> None:
    """Who fulfils believes that the first lot has enough: only the CHECK is left."""

    def take_all_of_the_first(lots: list[LotOnShelf], units: int) -> list[LotOnShelf]:
        if not lots or lots[0].quantity_units >= units:
            return first_expiring_first(lots, units)
        occasion(without_the_look_at_the_stock)
        return [replace(lots[0], quantity_units=units)]

    first_expiring_first = fulfilment.first_expiring_first
    fulfilment.first_expiring_first = take_all_of_the_first


def without_the_idempotency_row() -> None:
    """No answer is remembered."""
    endpoint.store_answer = lambda session, **row: occasion(without_the_idempotency_row)
    text = fulfilment._WRITE.text
    start, end = text.index("INSERT INTO idempotency_keys"), text.index(")\nSELECT (SELECT on_hand_units")
    nothing = "SELECT :key::text, :fingerprint::bytea, :answer::bytea"
    _rewrite(fulfilment, "_WRITE", (text[start:end], nothing))


def without_waiting_for_the_commit() -> None:
    """The answer is told whatever becomes of the COMMIT."""

    commit = Session.commit

    def hope(session: Session) -> None:
        try:
            commit(session)
        except psycopg2.Error:
            occasion(without_waiting_for_the_commit)
            session._link.invalidate()

    Session.commit = hope  # type: ignore[method-assign]


def with_the_last_to_expire_first() -> None:
    """Lots are picked the wrong way round."""

    def last_expiring_first(lots: Sequence[LotOnShelf], units: int) -> list[LotOnShelf]:
        picks = first_expiring_first(list(reversed(lots)), units)
        if picks[0].expires_on != lots[0].expires_on:
            occasion(with_the_last_to_expire_first)
        return picks

    first_expiring_first = fulfilment.first_expiring_first
    fulfilment.first_expiring_first = last_expiring_first


def with_another_remainder() -> None:
    """A nurse is told that there are seven more on the shelf than there are."""

    def boast(*given: Any, left: int, **named: Any) -> dict[str, Any]:
        occasion(with_another_remainder)
        return answer_of(*given, left=left + 7, **named)

    answer_of = fulfilment.answer_of
    fulfilment.answer_of = rounds.answer_of = boast


def with_another_lot() -> None:
    """A nurse is told of a lot that is not the one that the ledger has."""

    def mistake(*given: Any, **named: Any) -> dict[str, Any]:
        occasion(with_another_lot)
        answer = answer_of(*given, **named)
        return {**answer, "lots": [{**lot, "lot_number": f"{lot['lot_number']}?"} for lot in answer["lots"]]}

    answer_of = fulfilment.answer_of
    fulfilment.answer_of = rounds.answer_of = mistake


def with_answers_for_anybody() -> None:
    """Who knows a key gets what is stored under it."""

    def give_away(key: idempotency.IdempotencyKey, fingerprint: bytes, status: int, body: bytes) -> Answer:
        if bytes(fingerprint) != key.fingerprint:
            occasion(with_answers_for_anybody)
        return Answer(status, bytes(body), replayed=True)

    idempotency.replayed = fulfilment.replayed = give_away


def with_lots_that_may_not_be_given() -> None:
    """What has expired, is on hold or was recalled is given like any other. A sign in its number tells it here."""
    for module, name, today in (
        (fulfilment, "_LOCK", "target.today"),
        (rounds, "_LOCK_LOTS", "(:given_at::timestamptz AT TIME ZONE h.time_zone)::date"),
    ):
        sign = f"CASE WHEN t.expires_on < {today} THEN 'expired!' WHEN t.status <> 'available' THEN t.status || '!' END"
        marked = f"concat({sign}, t.lot_number) AS lot_number, t.expires_on, s.quantity_units"
        _rewrite(
            module,
            name,
            (f"AND t.status = 'available' AND t.expires_on >= {today}", ""),
            ("t.lot_number, t.expires_on, s.quantity_units", marked),
        )

    def pick(lots: Sequence[LotOnShelf], units: int) -> list[LotOnShelf]:
        picks = first_expiring_first(lots, units)
        for lot in picks:
            if "!" in lot.lot_number:
                occasion(with_lots_that_may_not_be_given, lot.lot_number.split("!")[0])
        return [replace(lot, lot_number=lot.lot_number.split("!")[-1]) for lot in picks]

    first_expiring_first = fulfilment.first_expiring_first
    fulfilment.first_expiring_first = pick


def with_boards_of_yesterday() -> None:
    """A board that was made once is shown for ever."""

    def remember(cache: Any, organization_id: Any, ward_id: Any, version: int, _now: Any) -> Board | None:
        board: Board | None = cache._boards.get((organization_id, ward_id))
        if board is not None and board.version != version:
            occasion(with_boards_of_yesterday)
        return board

    BoardCache.get = remember  # type: ignore[method-assign]


def without_the_ward() -> None:
    """A nurse gives on any ward."""

    def admit(session: Session, giving: Any, target: fulfilment.Target, lots: Any) -> list[LotOnShelf]:
        if not target.member:
            occasion(without_the_ward)
        return decide(session, giving, replace(target, member=True), lots)

    decide = fulfilment.decide
    fulfilment.decide = rounds.decide = admit


def with_another_nurse() -> None:
    """A dose is written down to a colleague."""
    other = (
        "(SELECT id FROM users WHERE organization_id = :organization_id AND role = 'nurse' AND id <> :actor_id LIMIT 1)"
    )
    _rewrite(fulfilment, "_WRITE", (_WHO, _WHO.replace(":actor_id", other)))
    _dawdle(fulfilment, "_write", 0, with_another_nurse)


def with_the_nodes_clock() -> None:
    """A node goes by its own clock."""

    def own(session: Any) -> datetime:
        if not hasattr(session, "own"):
            session.own = datetime.now(UTC)
            if session.requested_at is not None and abs(session.own - session.requested_at) > timedelta(minutes=1):
                occasion(with_the_nodes_clock)
        found: datetime = session.own
        return found

    Session.now = property(own)  # type: ignore[assignment]


def without_a_word_of_the_clock() -> None:
    """A node does not notice that its clock is off."""

    def unaware(watch: ClockWatch) -> bool:
        if abs(watch.offset_seconds) > OFFSET_SECONDS_MAX:
            occasion(without_a_word_of_the_clock)
        return False

    ClockWatch.is_off = property(unaware)  # type: ignore[assignment,method-assign]


def with_another_witness() -> None:
    """Somebody else is written down as the witness of a dose."""
    other = (
        "(SELECT id FROM users WHERE organization_id = :organization_id AND role = 'nurse'"
        " AND id NOT IN (:actor_id, :witness_id) LIMIT 1)"
    )
    mistaken = f"CASE WHEN :witness_id IS NOT NULL THEN {other} END"
    _rewrite(fulfilment, "_WRITE", (_WHO, _WHO.replace(":witness_id", mistaken)))
    write = fulfilment._write

    def note(session: Session, giving: fulfilment.Giving, *rest: Any) -> None:
        if giving.witness_id is not None:
            occasion(with_another_witness)
        write(session, giving, *rest)

    fulfilment._write = note


def without_looking_again() -> None:
    """Of what was under way while a lot was counted, and has been recorded since, nobody wants to know.

    Who checks a witness's password dawdles, so that more is under way.
    """
    under_way, line = expectation._under_way, StockCountLine
    up_to_date, is_outdated = expectation.brought_up_to_date, expectation.is_outdated

    def look(session: Session, when: str, late: Any, *of: Any) -> None:
        if session.execute(select(line.id).where(*of, late != 0)).first() is not None:
            occasion(without_looking_again, when)

    def leave(session: Session, *, count: Any) -> Any:
        of = (line.organization_id == count.organization_id, line.count_id == count.id)
        look(session, "completing", under_way(line, ward_id=count.ward_id, after=line.sequence), *of)
        return up_to_date(session, count=count)

    def believe(session: Session, *, discrepancy: Any) -> bool:
        of = (line.organization_id == discrepancy.organization_id, line.id == discrepancy.count_line_id)
        look(session, "resolving", under_way(line, ward_id=discrepancy.ward_id, after=discrepancy.sequence), *of)
        return is_outdated(session, discrepancy=discrepancy)

    expectation.brought_up_to_date, expectation.is_outdated = leave, believe
    expectation._under_way = lambda *given, **named: select(literal(0)).scalar_subquery()
    _dawdle(by_password, "check_password", 2 * DAWDLE_SECONDS)


def without_looking_for_corrections() -> None:
    """A variance is written off although somebody has corrected the lot since it was counted."""

    def believe(session: Session, *, discrepancy: Any) -> bool:
        if is_outdated(session, discrepancy=discrepancy):
            occasion(without_looking_for_corrections)
        return False

    is_outdated = expectation.is_outdated
    expectation.is_outdated = believe


def _rewrite(module: Any, name: str, *changes: tuple[str, str]) -> None:
    """Replaces a prepared statement of `module` by one with other words; each of `changes` must be there."""
    statement: Prepared = getattr(module, name)
    text = statement.text
    for old, new in changes:
        assert old in text, f"{old!r} is no longer part of {module.__name__}.{name}"
        text = text.replace(old, new)
    setattr(module, name, Prepared(f"mutated_{statement.name}", text))


def _rewrite_core(pattern: str, words: str, found: Callable[[], None] = lambda: None) -> None:
    """Replaces `pattern` in every statement that SQLAlchemy sends."""

    def rewrite(_link: Any, _cursor: Any, sql: str, values: Any, *_rest: Any) -> tuple[str, Any]:
        rewritten, count = re.subn(pattern, words, sql)
        if count:
            found()
        return rewritten, values

    event.listen(Engine, "before_cursor_execute", rewrite, retval=True)


try:
    for mutation in filter(None, os.environ.get("PROOF_MUTATION", "").split(",")):
        globals()[mutation]()
except Exception:  # noqa: BLE001 - Python would only mention it, and go on without the mutation
    traceback.print_exc()
    os._exit(70)
