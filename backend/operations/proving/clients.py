"""The clients: people who work in a closed loop, and who ask again with the same key until they are answered.

Some hang up right after sending, some send the same request twice at once, with one key or with two, some repeat what
was already answered. Now and then somebody asks with what belongs to another hospital, or sends somebody else's request
with somebody else's key, or reads on another node the board that an answer must have changed.
"""

import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import orjson

from backend.actor import Role
from backend.operations.proving.acts import Act, Shown, Wish
from backend.operations.proving.board import Board
from backend.operations.proving.exchange import Exchange, Reply
from backend.operations.proving.history import Attempt, History, Operation
from backend.operations.proving.hospital import Person

BASE = "/api/v1"
ANSWER_SECONDS_MAX = 20.0
SETTLE_SECONDS_MAX = 120.0  # how long one operation is asked for again
PAUSE_SECONDS_MAX = 1.0
IDLE_SECONDS = 0.005  # before somebody who found nothing to do looks again
HANG_UP, TWICE_AT_ONCE, RIVALS, REPEAT, PROBE = 0.03, 0.03, 0.1, 0.03, 0.02  # shares of the operations
BORROW, READ_BOARD = 0.02, 0.1  # of the acknowledged ones
HUNG_UP, SENT_TWICE = "answer dropped by the client", "sent twice at once with one key"
WANTED_TWICE, REPEATED = "wanted twice at once with two keys", "repeated after the answer"
PROBED = "asked with ids of another hospital"
BORROWED, BOARD_READ = "sent again by somebody else with the same key", "read on a board after the answer"


@dataclass(frozen=True)
class Desk:
    """What all clients share."""

    ports: Sequence[int]  # of the nodes
    history: History
    boards: Mapping[str, Board]  # by hospital
    tricks: list[str]  # what clients did beside asking and waiting

    def node_of(self, operation: Operation) -> int:
        """Choose the node of the next attempt: never twice in a row the same of several."""
        return (operation.home + len(operation.attempts)) % len(self.ports)


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
            chosen = self._choose(chance, number)
            if chosen is None:
                return
            operations = self._want(chosen, chance)
            for operation in operations:
                settle(operation, self._desk)
                self._desk.history.conclude(operation)
            first = operations[0]
            if first.acknowledged is not None and not first.wish.reads:
                self._follow_up(first, chance)

    def _follow_up(self, first: Operation, chance: Random) -> None:
        """Do now and then what an acknowledged change makes possible: repeat it, lend its key, read the board."""
        if chance.random() < REPEAT:
            self._desk.tricks.append(REPEATED)
            ask(first, self._desk)
        if chance.random() < BORROW:
            self._borrow(first, chance)
        shown = list(first.wish.shows(first.content))
        if shown and chance.random() < READ_BOARD:
            self._read_board(first, [each for each in shown if each.ward_id == shown[0].ward_id], chance)

    def _borrow(self, first: Operation, chance: Random) -> None:
        """Let a colleague send the very same request with the same key."""
        people = self._desk.boards[self._person.hospital].hospital.people
        role = self._person.actor.role
        others = [person for person in people if person.actor.role is role and person is not self._person]
        if others and not first.probe:
            self._desk.tricks.append(BORROWED)
            again = replace(
                first,
                name=f"{first.name}-3",
                act="the same key",
                person=chance.choice(others),
                borrowed=first.name,
                attempts=[],
            )
            self._desk.history.add(again)
            settle(again, self._desk)

    def _read_board(self, first: Operation, shown: list[Shown], chance: Random) -> None:
        """Let a nurse of the ward read the board on the node after the one that answered, when there are several."""
        hospital, ward_id = self._desk.boards[self._person.hospital].hospital, shown[0].ward_id
        nurses = [p for p in hospital.people if p.actor.role is Role.NURSE and p.works_on(ward_id)]
        told = first.acknowledging
        if not nurses or told is None or first.probe:
            return
        self._desk.tricks.append(BOARD_READ)
        wish = Wish(f"/mar?ward_id={ward_id}", method="GET", expects=shown)
        look = Operation(
            f"{first.name}-4", "read a board", chance.choice(nurses), wish, home=(told.node + 1) % len(self._desk.ports)
        )
        self._desk.history.add(look)
        settle(look, self._desk)
        for attempt in look.attempts:  # a board may be a megabyte: what is looked for is kept of it
            attempt.reply = _of_board(attempt.reply, shown)

    def _choose(self, chance: Random, number: int) -> Operation | None:
        """Choose the next act that there is something to do for; a probe picks from another hospital's board.

        None where there is nothing to do until everybody stops.
        """
        name = f"{self._person.number}-{number}"
        while not self._closing.is_set():
            (act,) = chance.choices(self._acts, self._weights)
            probe = bool(self._foreign) and chance.random() < PROBE and not act.at_cupboard
            board = chance.choice(self._foreign) if probe else self._desk.boards[self._person.hospital]
            wish = act.wish(board, chance, number)
            if wish is not None and not (probe and wish.reads):
                return Operation(
                    name, act.name, self._person, wish, probe, home=chance.randrange(len(self._desk.ports))
                )
            self._closing.wait(IDLE_SECONDS if wish is None else 0)
        return None

    def _want(self, first: Operation, chance: Random) -> list[Operation]:
        """The operation, or two for the same thing under keys of their own; some have been sent when this returns."""
        trick = chance.random() if not first.wish.reads else 1
        rivals = HANG_UP + TWICE_AT_ONCE < trick < HANG_UP + TWICE_AT_ONCE + RIVALS and not first.wish.once
        operations = [first, replace(first, name=f"{first.name}-2", attempts=[])] if rivals else [first]
        for operation in operations:
            self._desk.history.add(operation)
        if first.wish.hands is not None:
            first.wish.hands.key = first.key
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
        sent_at, node = self._desk.history.now(), self._desk.node_of(operation)
        exchange = _send(operation, self._desk, node)
        time.sleep(chance.choice((0, 0.005, 0.05)))
        exchange.hang_up()
        operation.attempts.append(Attempt(sent_at, self._desk.history.now(), None, node))

    def _send_together(self, operations: list[Operation]) -> None:
        """Send each before any is heard, the second one to the next node."""
        sent_at = self._desk.history.now()
        nodes = [
            (self._desk.node_of(operation) + place) % len(self._desk.ports)
            for place, operation in enumerate(operations)
        ]
        sent = [_send(*each) for each in zip(operations, [self._desk] * 2, nodes, "ab", strict=True)]
        for operation, exchange, node in zip(operations, sent, nodes, strict=True):
            reply = exchange.hear()
            operation.attempts.append(Attempt(sent_at, self._desk.history.now(), reply, node))


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
    sent_at, node = desk.history.now(), desk.node_of(operation)
    reply = _send(operation, desk, node).hear()
    attempt = Attempt(sent_at, desk.history.now(), reply, node)
    operation.attempts.append(attempt)
    return attempt


def _send(operation: Operation, desk: Desk, node: int, tag: str = "") -> Exchange:
    headers = {
        "Authorization": f"Bearer {operation.person.token}",
        "Content-Type": "application/json",
        "Idempotency-Key": operation.borrowed or operation.name,
        "X-Request-ID": f"{operation.name}.{len(operation.attempts)}{tag}",
    }
    return Exchange(
        desk.ports[node],
        operation.wish.method,
        BASE + operation.wish.path,
        headers,
        operation.wish.body,
        seconds=ANSWER_SECONDS_MAX,
    )


def _of_board(reply: Reply | None, shown: Sequence[Shown]) -> Reply | None:
    """Keep of a board's answer the next dose of each order that is looked for, null where one is not there."""
    if reply is None or reply.status != 200:
        return reply
    board = orjson.loads(reply.body)
    doses = {order["order_id"]: order["dose"] for patient in board["patients"] for order in patient["orders"]}
    kept = {"truncated": board["truncated"], "orders": {each.order_id: doses.get(each.order_id) for each in shown}}
    return replace(reply, body=orjson.dumps(kept))
