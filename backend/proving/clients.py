"""The clients: people who work in a closed loop, and who ask again with the same key until they are answered.

Some hang up right after sending, some send the same request twice at once, with one key or with two, some repeat what
was already answered. And now and then somebody asks with what belongs to another hospital.
"""

import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from backend.proving.acts import Act
from backend.proving.board import Board
from backend.proving.exchange import Exchange
from backend.proving.history import Attempt, History, Operation
from backend.proving.hospital import Person

BASE = "/api/v1"
ANSWER_SECONDS_MAX = 20.0
SETTLE_SECONDS_MAX = 120.0  # how long one operation is asked for again
PAUSE_SECONDS_MAX = 1.0
HANG_UP, TWICE_AT_ONCE, RIVALS, REPEAT, PROBE = 0.03, 0.03, 0.1, 0.03, 0.02  # shares of the operations
HUNG_UP, SENT_TWICE = "answer dropped by the client", "sent twice at once with one key"
WANTED_TWICE, REPEATED = "wanted twice at once with two keys", "repeated after the answer"
PROBED = "asked with ids of another hospital"


@dataclass(frozen=True)
class Desk:
    """What all clients share."""

    port: int
    history: History
    boards: Mapping[str, Board]  # by hospital
    tricks: list[str]  # what clients did beside asking and waiting


class Client:
    """One person at work until `closing` is set; then the last operation is asked for until it is answered."""

    def __init__(self, person: Person, acts: Sequence[Act], seed: int, desk: Desk, closing: threading.Event) -> None:
        """`acts` are what people of this one's role do, at least one."""
        self._person, self._seed = person, seed
        self._desk, self._closing = desk, closing
        self._acts, self._weights = acts, [act.weight for act in acts]
        self._foreign = [board for slug, board in desk.boards.items() if slug != person.hospital]

    def run(self) -> None:
        """Works."""
        number = 0
        while not self._closing.is_set():
            number += 1
            chance = Random(f"{self._seed}/{self._person.hospital}/{self._person.number}/{number}")
            operations = self._want(self._choose(chance, number), chance)
            for operation in operations:
                settle(operation, self._desk)
                self._desk.history.conclude(operation)
            if chance.random() < REPEAT and operations[0].acknowledged and not operations[0].wish.reads:
                self._desk.tricks.append(REPEATED)
                ask(operations[0], self._desk)

    def _choose(self, chance: Random, number: int) -> Operation:
        """The next act that there is something to do for; a probe picks from another hospital's board."""
        name = f"{self._person.number}-{number}"
        while True:
            (act,) = chance.choices(self._acts, self._weights)
            probe = bool(self._foreign) and chance.random() < PROBE
            board = chance.choice(self._foreign) if probe else self._desk.boards[self._person.hospital]
            wish = act.wish(board, chance, number)
            if wish is not None and not (probe and wish.reads):
                return Operation(name, act.name, self._person, wish, probe)

    def _want(self, first: Operation, chance: Random) -> list[Operation]:
        """The operation, or two for the same thing under keys of their own; some have been sent when this returns."""
        trick = chance.random() if not first.wish.reads else 1
        rivals = HANG_UP + TWICE_AT_ONCE < trick < HANG_UP + TWICE_AT_ONCE + RIVALS
        operations = [first, replace(first, name=f"{first.name}-2", attempts=[])] if rivals else [first]
        for operation in operations:
            self._desk.history.add(operation)
        if first.probe:
            self._desk.tricks.append(PROBED)
        if trick < HANG_UP:
            self._desk.tricks.append(HUNG_UP)
            self._hang_up(operations[0], chance)
        elif trick < HANG_UP + TWICE_AT_ONCE:
            self._desk.tricks.append(SENT_TWICE)
            self._send_together(operations * 2)
        elif rivals:
            self._desk.tricks.append(WANTED_TWICE)
            self._send_together(operations)
        return operations

    def _hang_up(self, operation: Operation, chance: Random) -> None:
        sent_at = self._desk.history.now()
        exchange = _send(operation, self._desk)
        time.sleep(chance.choice((0, 0.005, 0.05)))
        exchange.hang_up()
        operation.attempts.append(Attempt(sent_at, self._desk.history.now(), None))

    def _send_together(self, operations: list[Operation]) -> None:
        sent_at = self._desk.history.now()
        exchanges = [_send(each, self._desk, tag) for each, tag in zip(operations, "ab", strict=True)]
        for operation, exchange in zip(operations, exchanges, strict=True):
            reply = exchange.hear()
            operation.attempts.append(Attempt(sent_at, self._desk.history.now(), reply))


def settle(operation: Operation, desk: Desk, *, ends: float = math.inf) -> None:
    """Asks with the same key until the last attempt is answered by no 5xx, for SETTLE_SECONDS_MAX at the longest and
    not after `ends`, in seconds of the run."""
    ends = min(ends, desk.history.now() + SETTLE_SECONDS_MAX)
    pause = 0.05
    while not (operation.attempts and operation.attempts[-1].settled) and desk.history.now() < ends:
        if not ask(operation, desk).settled:
            time.sleep(pause)
            pause = min(PAUSE_SECONDS_MAX, pause * 2)


def ask(operation: Operation, desk: Desk) -> Attempt:
    """One more attempt at it."""
    sent_at = desk.history.now()
    reply = _send(operation, desk).hear()
    attempt = Attempt(sent_at, desk.history.now(), reply)
    operation.attempts.append(attempt)
    return attempt


def _send(operation: Operation, desk: Desk, tag: str = "") -> Exchange:
    headers = {
        "Authorization": f"Bearer {operation.person.token}",
        "Content-Type": "application/json",
        "Idempotency-Key": operation.name,
        "X-Request-ID": f"{operation.name}.{len(operation.attempts)}{tag}",
    }
    return Exchange(
        desk.port,
        operation.wish.method,
        BASE + operation.wish.path,
        headers,
        operation.wish.body,
        seconds=ANSWER_SECONDS_MAX,
    )
