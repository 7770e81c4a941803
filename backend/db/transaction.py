"""The only place that opens, commits and retries transactions.

`Database.transact(work)` runs `work(session)` in one REPEATABLE READ transaction and commits. `work` may run more
than once, so nothing in it leaves the database; what it raises rolls back. Every error of the database is answered
here: run again, 503 `busy`, 409, 422 or, for what can only be a bug, 500 (`Signal` says which).

Lock order, everywhere: lanes ascending, then the idempotency row, orders by id, stock levels by ward and drug,
lots by expiry and id; of a patient's care team its lane, then its assignments by id. A drift run takes its report lane
and the organization's row, and nothing of these.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

import psycopg2
import sqlalchemy.exc
from sqlalchemy import PoolProxiedConnection
from sqlalchemy.engine.url import URL

from backend.actor import Actor
from backend.config import Config
from backend.db.clock import CLOCK, ClockWatch
from backend.db.engine import make_engine
from backend.db.idempotency import Answer, IdempotencyKey, find_answer, store_answer
from backend.db.prepared import Prepared
from backend.db.session import Row, Session
from backend.db.signals import Signal, constraint_of, driver_error, signal_of
from backend.db.tenancy import increment_prologue, prologue
from backend.db.typed import from_json, to_json
from backend.db.use_cases import Bound, Place
from backend.errors import Busy, Conflict, DomainError, Invalid
from backend.observability import BUSY, RETRIES, VIOLATIONS, log

T = TypeVar("T")
BACKOFF_SECONDS_MIN, BACKOFF_SECONDS_MAX = 0.005, 0.2
READ_ONLY = "25006"


class OutcomeUnknown(Busy):
    """The connection broke in COMMIT and the outcome could not be learned in time. Repeat with the same key."""

    code = "busy"


class ConstraintViolated(Conflict):
    """A rule of the database stopped the change although the request looked right. Nothing was changed;
    `constraint` is the rule's name."""


class ValueOutOfRange(Invalid):
    """A value is larger or longer than the database can hold. Nothing was changed."""


class Guard(Protocol):
    """Stand around every change.

    A guard checks that the sign-in of the actor has not ended, and removes from a refusal what the actor may not know
    of the places. The application passes the guard of the domain (domain/guard.py).
    """

    def __call__(self, session: Session, actor: Actor, places: Sequence[Place], /) -> AbstractContextManager[None]:
        """Enter after the lanes were taken; leave before the commit."""


@contextmanager
def unguarded(_session: Session, actor: Actor, _places: Sequence[Place]) -> Iterator[None]:
    """Let the operator and the tests change things. Raises RuntimeError for a request that brought a token."""
    if actor.token_sha256 is not None:
        raise RuntimeError("a request changes nothing without a guard")
    yield


class Database:
    """The pool of one process and the transactions on it."""

    def __init__(self, config: Config, url: URL, *, guard: Guard = unguarded) -> None:
        """Connect nothing yet: the pool opens connections as they are needed.

        `url` signs in as the application role; `config` gives pool, timeouts and retries. `guard` stands around every
        change, see `Guard`; without one no request with a token changes anything.
        """
        self.config = config
        self._guard = guard
        self.engine = make_engine(config, url)
        self.clock = ClockWatch()
        self._for_reports = replace(
            config,
            lock_timeout_ms=config.report_timeout_ms,
            statement_timeout_ms=config.report_timeout_ms,
            idle_in_transaction_timeout_ms=config.report_timeout_ms,
            retry_seconds_max=config.report_timeout_ms / 1000,
        )

    def transact(
        self,
        work: Callable[[Session], T],
        *,
        actor: Actor,
        repeatable: bool = False,
        read_only: bool = False,
        report: bool = False,
    ) -> T:
        """What `work` returns, after its transaction has committed.

        `repeatable` says that `work` finds what an earlier run of it committed (an idempotency row): then a COMMIT
        with an unknown outcome is resolved by running it again. Reads are always repeatable. A `report` may take, and
        wait, for report_timeout_ms.
        Raises what `work` raises, Busy, OutcomeUnknown, ConstraintViolated or ValueOutOfRange.
        """
        config = self._for_reports if report else self.config
        attempts = _Attempts(config, repeatable=repeatable or read_only, writes=not read_only)
        opening = prologue(actor, config, read_only=read_only)
        while True:
            try:
                return self._once(work, opening, actor, attempts)
            except (psycopg2.Error, sqlalchemy.exc.DBAPIError) as error:
                attempts.retry_or_raise(error)
            except DomainError as refusal:
                attempts.answer_translated(refusal)
            except sqlalchemy.exc.TimeoutError:
                raise attempts.busy("pool_timeout") from None

    def read(self, wanted: Bound[T]) -> T:
        """Run a use case that only reads. Raises Forbidden, and what `transact` and the use case raise."""
        wanted.admit()
        return self.transact(wanted.run, actor=wanted.actor, read_only=True)

    def change(self, wanted: Bound[T], *, key: IdempotencyKey | None = None) -> T:
        """Run a use case that changes something, once for each `key`, and return what it returned the first time.

        Raises Forbidden, SecondFactorRequired, IdempotencyKeyReused, and what `transact` and the use case raise.
        """
        if key is None:
            return self._in_lanes(wanted, lambda session: wanted.run(session), repeatable=False)
        answer = self.answer(wanted, key=key, encode=lambda value: Answer(HTTPStatus.OK, to_json(value)))
        changed: T = from_json(answer.body, wanted.use_case.answers)
        return changed

    def answer(self, wanted: Bound[T], *, key: IdempotencyKey, encode: Callable[[T], Answer]) -> Answer:
        """Run a use case as `change` does, and return the answer that `encode` made of its value the first time.

        The answer is stored under `key` in the same transaction, so it is there exactly when the change is.
        """

        def work(session: Session) -> Answer:
            organization_id, user_id = wanted.actor.organization_id, wanted.actor.user_id
            stored = find_answer(session, organization_id=organization_id, key=key)
            if stored is not None:
                return stored
            answer = encode(wanted.run(session))
            store_answer(session, organization_id=organization_id, user_id=user_id, key=key, answer=answer)
            return answer

        return self._in_lanes(wanted, work, repeatable=True)

    def _in_lanes(self, wanted: Bound[Any], work: Callable[[Session], T], *, repeatable: bool) -> T:
        """Run `work` in a transaction that holds the lanes of `wanted`, inside the guard."""
        wanted.admit()
        places: Sequence[Place] = ()
        if wanted.use_case.places is not None:
            places = self.transact(wanted.places, actor=wanted.actor, read_only=True)

        def guarded(session: Session) -> T:
            session.take_lanes(place.lane for place in places)
            with self._guard(session, wanted.actor, places):
                return work(session)

        return self.transact(guarded, actor=wanted.actor, repeatable=repeatable)

    def now(self) -> datetime:
        """Tell the database's time, outside a transaction, and compare this node's clock with it. Raises Busy."""
        asked_at = time.time()  # noqa: TID251 - the clock that is compared
        ((now,),) = self.lookup(CLOCK)
        self.clock.compare(asked_at, now)
        told: datetime = now
        return told

    def lookup(self, statement: Prepared, /, **values: object) -> list[Row]:
        """The rows of one autocommitted statement, before any tenant is known. Raises Busy."""
        return self._ask(statement, values, "")

    def increment(self, statement: Prepared, /, **values: object) -> list[Row]:
        """Run one statement that counts something up, before any tenant is known, and return its rows.

        It runs at READ COMMITTED: of two at once the second waits for the first and counts on from there, where
        REPEATABLE READ would refuse it. A lost COMMIT may count twice. Raises Busy.
        """
        return self._ask(statement, values, increment_prologue(self.config))

    def _ask(self, statement: Prepared, values: Mapping[str, object], opening: str) -> list[Row]:
        attempts = _Attempts(self.config, repeatable=True, writes=True)
        while True:
            try:
                with _Checkout(self, attempts) as link:
                    session = Session(self.engine, link, opening, prepare=self.config.prepare_statements)
                    rows = session.run(statement, **values)
                    if opening:
                        session.commit()
                    return rows
            except (psycopg2.Error, sqlalchemy.exc.DBAPIError) as error:
                attempts.retry_or_raise(error)
            except sqlalchemy.exc.TimeoutError:
                raise attempts.busy("pool_timeout") from None

    def _once(self, work: Callable[[Session], T], opening: str, actor: Actor, attempts: "_Attempts") -> T:
        with _Checkout(self, attempts) as link:
            prepare, requested_at = self.config.prepare_statements, actor.requested_at
            session = Session(self.engine, link, opening, prepare=prepare, requested_at=requested_at)
            try:
                result = work(session)
                session.commit()
            finally:
                attempts.committing = session.committing
            return result


class _Checkout:
    """A pooled connection that goes back at the end; one that broke, or whose plans are of no use, is thrown away."""

    def __init__(self, database: Database, attempts: "_Attempts") -> None:
        self._database = database
        self._attempts = attempts

    def __enter__(self) -> PoolProxiedConnection:
        self._attempts.connected = False
        self._attempts.committing = False
        self._link = self._database.engine.raw_connection()
        self._attempts.connected = True
        return self._link

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        cause = driver_error(error) if error is not None else None
        unusable = cause is not None and self._attempts.signal_of(cause) in {Signal.LOST, Signal.UNPREPARED}
        if unusable and self._link.is_valid:
            self._link.invalidate()
        self._link.close()


class _Attempts:
    """How often one transaction has been tried and whether it may be tried again."""

    def __init__(self, config: Config, *, repeatable: bool, writes: bool) -> None:
        self._config = config
        self._repeatable = repeatable
        self._writes = writes
        self._started = time.monotonic()
        self._tries = 0
        self._duplicates = 0
        self._unknown = False
        self.connected = False
        self.committing = False

    def signal_of(self, cause: psycopg2.Error) -> Signal:
        """What `cause` means for this transaction. A server that takes no writes was left behind by a failover, or is
        full: the connection is of no use, and another may lead elsewhere."""
        return Signal.LOST if self._writes and cause.pgcode == READ_ONLY else signal_of(cause)

    def retry_or_raise(self, error: BaseException) -> None:
        """Return where the transaction may run again; else raise the error that its caller gets."""
        cause = driver_error(error)
        if cause is None:
            raise error
        self._tries += 1
        signal = self.signal_of(cause)
        if self.committing and signal not in {Signal.ROLLED_BACK, Signal.DUPLICATE, Signal.REFUSED}:
            self._unknown = True
            signal = Signal.LOST
        match signal:
            case Signal.ROLLED_BACK:
                self._again(cause.pgcode or "", self._config.retry_seconds_max, self._config.retry_tries_max)
            case Signal.LOST:
                self._after_loss(cause)
            case Signal.UNPREPARED:  # perhaps on every connection of the pool, each of which is met once
                self._again(cause.pgcode or "", self._config.retry_seconds_max, tries_max=None)
            case Signal.OVERLOADED:
                raise self.busy(cause.pgcode or "overloaded") from None
            case Signal.DUPLICATE:
                self._after_duplicate(cause)
            case Signal.REFUSED:
                raise _refusal(cause) from None
            case Signal.BAD_DATA:
                log.error("value_out_of_range", sqlstate=cause.pgcode)
                raise ValueOutOfRange() from None
            case _:
                raise error

    def answer_translated(self, refusal: DomainError) -> None:
        """Raises `refusal`; but where the work made it from a duplicate, returns once to have the transaction run
        again: with a new snapshot the domain's own check sees who was first, and names them."""
        cause = driver_error(refusal.__cause__) if refusal.__cause__ is not None else None
        if cause is None or signal_of(cause) is not Signal.DUPLICATE:
            raise refusal
        self._tries += 1
        self._after_duplicate(cause, refusal)

    def busy(self, reason: str) -> Busy:
        """The 503 for `reason`, counted and logged."""
        BUSY.labels(reason).inc()
        log.warning("database_busy", reason=reason, tries=self._tries)
        if self._unknown:
            return OutcomeUnknown("The outcome is unknown. Repeat the request with the same Idempotency-Key.")
        return Busy("The database is busy or out of reach. Nothing was changed; try again.")

    def _after_loss(self, cause: psycopg2.Error) -> None:
        if not self.connected and self._tries == 1:
            raise self.busy("no_connection") from None
        if self._unknown and not self._repeatable:
            raise self.busy("outcome_unknown") from None
        seconds = self._config.outcome_seconds_max if self._unknown else self._config.retry_seconds_max
        self._again("connection_lost", seconds, tries_max=None)

    def _after_duplicate(self, cause: psycopg2.Error, refusal: DomainError | None = None) -> None:
        VIOLATIONS.labels(constraint_of(cause)).inc()
        self._duplicates += 1
        if self._duplicates > 1:  # of this: a COMMIT that lost its answer may be who was first
            raise (refusal or _refusal(cause)) from None
        self._again("23505", self._config.retry_seconds_max, tries_max=None)

    def _again(self, reason: str, seconds: float, tries_max: int | None) -> None:
        """Waits with full jitter, or raises Busy where `seconds` or `tries_max` are used up."""
        spent = time.monotonic() - self._started
        if spent > seconds or (tries_max is not None and self._tries >= tries_max):
            raise self.busy(reason) from None
        RETRIES.labels(reason).inc()
        log.info("transaction_retried", reason=reason, tries=self._tries)
        ceiling = min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS_MIN * 2**self._tries)
        time.sleep(random.uniform(BACKOFF_SECONDS_MIN, ceiling))  # noqa: S311 - jitter, not a secret


def _refusal(cause: psycopg2.Error) -> Conflict | Invalid:
    """The answer to a violated constraint: the domain should have said it first, so it is logged as a bug."""
    constraint = constraint_of(cause)
    VIOLATIONS.labels(constraint).inc()
    log.error("constraint_violated", constraint=constraint, sqlstate=cause.pgcode)
    if cause.pgcode == "23503":
        return Invalid("Something this refers to does not exist.", constraint=constraint)
    return ConstraintViolated(constraint=constraint)
