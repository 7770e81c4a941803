"""What every client did and heard: the history that the checker holds against the database."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from backend.operations.proving.acts import Posted, Seat, Wish
from backend.operations.proving.exchange import Reply
from backend.operations.proving.hospital import Person

BUSY = 503
UNDERSTANDING = range(200, 300)


@dataclass(slots=True)
class Attempt:
    """One request: when it was sent and answered, in seconds of the run; no reply is an unknown outcome."""

    sent_at: float
    answered_at: float
    reply: Reply | None
    node: int = 0

    @property
    def settled(self) -> bool:
        """Whether the answer says what became of it: 503 says that nothing is known yet."""
        return self.reply is not None and self.reply.status < 500


@dataclass(slots=True)
class Operation:
    """One change that a client wanted, under one key, with every attempt at it.

    `name` is the stem of the key and of the request ids, which the audit trail keeps; every hospital has the same
    names. A `probe` asks with what another hospital has; `borrowed` is the key of somebody else with whom it is asked.
    Attempts go to the nodes in turn, the first to `home`.
    """

    name: str
    act: str
    person: Person
    wish: Wish
    probe: bool = False
    borrowed: str = ""
    home: int = 0
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        """The organization and the name: what tells it from every other."""
        return str(self.person.actor.organization_id), self.name

    @property
    def replies(self) -> list[Reply]:
        """What was answered, 5xx left out."""
        return [attempt.reply for attempt in self.attempts if attempt.reply is not None and attempt.settled]

    @property
    def acknowledged(self) -> Reply | None:
        """The first answer that says it is done."""
        return next((reply for reply in self.replies if reply.status in UNDERSTANDING), None)

    @property
    def content(self) -> Any:
        """What the acknowledgement says; None where there is none, or it has no body."""
        reply = self.acknowledged
        return orjson.loads(reply.body) if reply is not None and reply.body else None

    @property
    def began_at(self) -> float:
        """When it was first sent."""
        return self.attempts[0].sent_at

    @property
    def acknowledging(self) -> Attempt | None:
        """The first attempt that was told that it is done."""
        told = (attempt for attempt in self.attempts if attempt.reply and attempt.reply.status in UNDERSTANDING)
        return min(told, key=lambda attempt: attempt.answered_at, default=None)

    @property
    def ended(self) -> bool:
        """Whether it is done, or its last attempt was refused."""
        return self.acknowledged is not None or self.attempts[-1].settled

    @property
    def refusal(self) -> str:
        """The problem code of the last refusal, empty where it was not refused."""
        if self.acknowledged is not None or not self.replies:
            return ""
        return str(orjson.loads(self.replies[-1].body).get("code", ""))

    @property
    def uncertain(self) -> bool:
        """Whether an attempt got no answer, so that a refusal of another one is not the last word."""
        return not all(attempt.settled for attempt in self.attempts)

    @property
    def changed(self) -> bool:
        """Whether the answer says that something was changed: a round may have been refused order by order."""
        return self.acknowledged is not None and self.wish.changes(self.content)

    @property
    def posted(self) -> list[Posted]:
        """The units that the answer says have moved."""
        if self.acknowledged is None:
            return []
        return [posted for posted in self.wish.posts(self.content) if posted.units]

    @property
    def seats(self) -> list[Seat]:
        """The places on care teams that the answer says have begun or ended."""
        return [] if self.acknowledged is None else list(self.wish.seats(self.content))

    def conclude(self) -> None:
        """Tells the board what came of it. What a probe asked with was another board's, which learns nothing."""
        if self.probe or self.borrowed:
            return
        if self.acknowledged is None:
            self.wish.forget(certain=self.ended and not self.uncertain)
        else:
            self.wish.learn(self.content)


class History:
    """All operations of a run. Safe to add to from any thread."""

    def __init__(self, began: float | None = None) -> None:
        """Begin the history at `began` seconds of time.monotonic(), or now."""
        self._lock = threading.Lock()
        self._operations: list[Operation] = []
        self.began = time.monotonic() if began is None else began
        self._began_at = datetime.now(UTC) - timedelta(seconds=self.now())
        self.concluded = self.acknowledged = 0  # so far: changes that have ended, and those that were done

    def now(self) -> float:
        """Seconds since the run began."""
        return self.moment_of(time.monotonic())

    def moment_of(self, monotonic: float) -> float:
        """Turn seconds of time.monotonic() into seconds since the run began."""
        return monotonic - self.began

    def time_of(self, moment: float) -> datetime:
        """Tell the time of day at `moment` of the run, by the clock of this machine, which is PostgreSQL's."""
        return self._began_at + timedelta(seconds=moment)

    def add(self, operation: Operation) -> None:
        """From now on it counts, whatever becomes of it."""
        with self._lock:
            self._operations.append(operation)

    def conclude(self, operation: Operation) -> None:
        """It has been answered: the board is told, and it is counted."""
        operation.conclude()
        if not operation.wish.reads:
            with self._lock:
                self.concluded += 1
                self.acknowledged += operation.acknowledged is not None

    @property
    def operations(self) -> Sequence[Operation]:
        """Every operation so far."""
        with self._lock:
            return list(self._operations)

    @property
    def changes(self) -> list[Operation]:
        """The operations that are to change something."""
        return [operation for operation in self.operations if not operation.wish.reads]
