"""The clients: people who work in a closed loop, and who ask again with the same key until they are answered.

Some hang up right after sending, some send the same request twice at once, with one key or with two, some repeat what
was already answered.
"""

import threading
import time
from dataclasses import dataclass
from random import Random

from backend.proving.acts import ACTS, Wish
from backend.proving.board import Board
from backend.proving.exchange import Exchange
from backend.proving.history import Attempt, History, Operation
from backend.proving.hospital import Person

BASE = "/api/v1"
ANSWER_SECONDS_MAX = 20.0
SETTLE_SECONDS_MAX = 120.0  # how long one operation is asked for again
PAUSE_SECONDS_MAX = 1.0
HANG_UP, TWICE_AT_ONCE, RIVALS, REPEAT = 0.03, 0.03, 0.1, 0.03  # shares of the operations
HUNG_UP, SENT_TWICE = "answer dropped by the client", "sent twice at once with one key"
WANTED_TWICE, REPEATED = "wanted twice at once with two keys", "repeated after the answer"


@dataclass(frozen=True)
class Desk:
    """What all clients share."""

    port: int
    history: History
    board: Board
    tricks: list[str]  # what clients did beside asking and waiting


class Client:
    """One person at work until `closing` is set; then the last operation is asked for until it is answered."""

    def __init__(self, number: int, person: Person, seed: int, desk: Desk, closing: threading.Event) -> None:
        self._number, self._person, self._seed = number, person, seed
        self._desk, self._closing = desk, closing
        acts = [act for act in ACTS if act.role is person.actor.role]
        self._acts, self._weights = acts, [act.weight for act in acts]

    def run(self) -> None:
        """Works."""
        number = 0
        while not self._closing.is_set():
            number += 1
            chance = Random(f"{self._seed}/{self._number}/{number}")
            name, wish = self._choose(chance, number)
            operations = self._want(f"{self._number}-{number}", name, wish, chance)
            for operation in operations:
                settle(operation, self._desk, self._person)
                operation.conclude()
            if chance.random() < REPEAT and operations[0].acknowledged and not wish.reads:
                self._desk.tricks.append(REPEATED)
                ask(operations[0], self._desk, self._person)

    def _choose(self, chance: Random, number: int) -> tuple[str, Wish]:
        """The next act that there is something to do for."""
        while True:
            (act,) = chance.choices(self._acts, self._weights)
            wish = act.wish(self._desk.board, chance, number)
            if wish is not None:
                return act.name, wish

    def _want(self, name: str, act: str, wish: Wish, chance: Random) -> list[Operation]:
        """The operation, or two for the same thing under keys of their own; some have been sent when this returns."""
        trick = chance.random() if not wish.reads else 1
        rivals = HANG_UP + TWICE_AT_ONCE < trick < HANG_UP + TWICE_AT_ONCE + RIVALS
        operations = [Operation(each, act, self._number, wish) for each in ([name, f"{name}-2"] if rivals else [name])]
        for operation in operations:
            self._desk.history.add(operation)
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
        exchange = _send(operation, self._desk, self._person)
        time.sleep(chance.choice((0, 0.005, 0.05)))
        exchange.hang_up()
        operation.attempts.append(Attempt(sent_at, self._desk.history.now(), None))

    def _send_together(self, operations: list[Operation]) -> None:
        sent_at = self._desk.history.now()
        exchanges = [_send(each, self._desk, self._person, tag) for each, tag in zip(operations, "ab", strict=True)]
        for operation, exchange in zip(operations, exchanges, strict=True):
            reply = exchange.hear()
            operation.attempts.append(Attempt(sent_at, self._desk.history.now(), reply))


def settle(operation: Operation, desk: Desk, person: Person) -> None:
    """Asks with the same key until the last attempt is answered by no 5xx, for SETTLE_SECONDS_MAX at the longest."""
    ends = time.monotonic() + SETTLE_SECONDS_MAX
    pause = 0.05
    while not (operation.attempts and operation.attempts[-1].settled) and time.monotonic() < ends:
        if not ask(operation, desk, person).settled:
            time.sleep(pause)
            pause = min(PAUSE_SECONDS_MAX, pause * 2)


def ask(operation: Operation, desk: Desk, person: Person) -> Attempt:
    """One more attempt at it."""
    sent_at = desk.history.now()
    reply = _send(operation, desk, person).hear()
    attempt = Attempt(sent_at, desk.history.now(), reply)
    operation.attempts.append(attempt)
    return attempt


def _send(operation: Operation, desk: Desk, person: Person, tag: str = "") -> Exchange:
    headers = {
        "Authorization": f"Bearer {person.token}",
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
