"""The checker believes neither the clients nor the database: each check sees the one thing that it is about."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from backend.actor import Role
from backend.db.provision import connect
from backend.operations.embedded import Server
from backend.operations.proving import Stand, standing
from backend.operations.proving.acts.wish import Posted, Seat, Shown, Wish, of_shelf
from backend.operations.proving.board import Board
from backend.operations.proving.checker import GAVE_UP, check
from backend.operations.proving.clients import Desk, ask
from backend.operations.proving.exchange import Reply
from backend.operations.proving.faults import Downtime
from backend.operations.proving.history import Attempt, History, Operation

pytestmark = pytest.mark.faults
LATER = 1000  # seconds of the run: after everything that has really happened
LOT = {"lot_number": "L", "expires_on": "2199-01-01", "quantity_units": 5}


@pytest.fixture(scope="module")
def stand(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with standing(server, Path(tmp_path_factory.mktemp("logs")), clients=8) as made:
        yield made


@pytest.fixture(scope="module")
def received(stand: Stand) -> History:
    """A history of one receipt, asked for twice."""
    history = History()
    north = stand.hospitals[0]
    pharmacist = next(person for person in north.people if person.actor.role is Role.PHARMACIST)
    wish = Wish(
        "/stock/receipts",
        {**of_shelf(north.shelves[0]), **LOT},
        posts=lambda answer: [Posted(answer["id"], "receipt", answer["quantity_units"])],
    )
    receipt = Operation(f"{pharmacist.number}-1", "receipt", pharmacist, wish)
    history.add(receipt)
    for _ in range(2):
        ask(receipt, Desk([node.port for node in stand.nodes], history, {north.slug: Board(north)}, []))
    return history


def broken(history: History, stand: Stand, *downtimes: Downtime) -> set[str]:
    return {found.title for found in check(history, stand, downtimes).checks if found.broken}


def retold(history: History, tell: Callable[[Operation], Operation]) -> History:
    """The same history with one operation told another way."""
    told = History(history.began)
    (receipt,) = history.operations
    told.add(tell(replace(receipt, attempts=list(receipt.attempts))))
    return told


def heard(*replies: Reply | None) -> list[Attempt]:
    return [Attempt(LATER, LATER, reply) for reply in replies]


def test_the_truth_is_not_broken(received: History, stand: Stand) -> None:
    (receipt,) = received.operations
    assert [reply.replayed for reply in receipt.replies] == [False, True]
    assert broken(received, stand) == set()


REFUSED = Reply(409, False, orjson.dumps({"code": "lot_not_available"}))
NOT_THERE = Reply(404, False, orjson.dumps({"code": "ward_not_found"}))
TOO_SOON = Reply(503, False, orjson.dumps({"code": "busy"}))
SEEN_BY_A_BUG = Reply(409, False, orjson.dumps({"code": "constraint_violated"}))


@pytest.mark.parametrize(
    ("replies", "title"),
    [
        ((None,), "Every operation was answered in the end"),
        ((REFUSED, None), "Every operation was answered in the end"),
        ((Reply(500, False, b"{}"), REFUSED), "No answer is a 5xx but 503"),
        ((TOO_SOON, REFUSED), GAVE_UP),
        ((SEEN_BY_A_BUG,), "No refusal speaks of a bug"),
        ((NOT_THERE,), "No refusal speaks of a bug"),
        ((REFUSED,), "Nothing that was refused is there"),
        ((REFUSED,), "Every repeat got the same bytes, those that are stored"),
        ((REFUSED,), "The ledger moved the units that were acknowledged, and no other"),
        ((REFUSED,), "All units are on hand, on their way, or went as acknowledged"),
    ],
)
def test_another_answer_is_seen(received: History, stand: Stand, replies: tuple[Reply | None, ...], title: str) -> None:
    assert title in broken(retold(received, lambda receipt: replace(receipt, attempts=heard(*replies))), stand)


def test_an_acknowledged_change_that_is_not_there_is_seen(received: History, stand: Stand) -> None:
    assert "Every acknowledged change is there" in broken(
        retold(received, lambda receipt: replace(receipt, name="3-99")), stand
    )


def test_two_answers_that_are_both_the_first_are_seen(received: History, stand: Stand) -> None:
    def twice(receipt: Operation) -> Operation:
        return replace(receipt, attempts=[receipt.attempts[0]] * 2)

    assert broken(retold(received, twice), stand) == {
        "An operation was done for one request, every other one was told so"
    }


def test_other_bytes_are_seen(received: History, stand: Stand) -> None:
    def altered(receipt: Operation) -> Operation:
        reply = receipt.replies[1]
        return replace(receipt, attempts=[receipt.attempts[0], *heard(replace(reply, body=reply.body + b" "))])

    assert broken(retold(received, altered), stand) == {"Every repeat got the same bytes, those that are stored"}


def test_another_figure_and_another_lot_are_seen(received: History, stand: Stand) -> None:
    def altered(receipt: Operation) -> Operation:
        said = {**orjson.loads(receipt.replies[0].body), "on_hand_units": 1, "lot_number": "M"}
        other = replace(receipt.replies[0], body=orjson.dumps(said))
        return replace(receipt, attempts=[replace(receipt.attempts[0], reply=other)])

    assert broken(retold(received, altered), stand) == {
        "Every repeat got the same bytes, those that are stored",
        "What is left on the shelf by an answer is left by the ledger",
        "The lots of an answer are those of the ledger",
    }


def test_somebody_elses_name_is_seen(received: History, stand: Stand) -> None:
    other = next(person for person in stand.hospitals[0].people if person.actor.role is Role.NURSE)
    assert broken(retold(received, lambda receipt: replace(receipt, person=other)), stand) == {
        "The names on record are those of who asked and who witnessed"
    }


def test_a_moment_outside_of_the_request_is_seen(received: History, stand: Stand) -> None:
    def earlier(receipt: Operation) -> Operation:
        return replace(receipt, attempts=[replace(each, answered_at=-60) for each in receipt.attempts])

    assert broken(retold(received, earlier), stand) == {
        "Every moment on record lies between its request and its answer"
    }


def test_a_key_that_is_lent_is_seen(received: History, stand: Stand) -> None:
    (receipt,) = received.operations
    told = retold(received, lambda receipt: receipt)
    lent = replace(receipt, name=f"{receipt.name}-3", borrowed=receipt.name, attempts=receipt.attempts[1:])
    told.add(lent)
    assert broken(told, stand) == {"A key answers nobody but the person who used it first"}
    lent.attempts = heard(Reply(422, False, orjson.dumps({"code": "idempotency_key_reused"})))
    assert broken(told, stand) == set()


@pytest.mark.parametrize(("dose", "is_stale"), [(1, True), (None, True), (2, False), (3, False)])
def test_a_board_from_before_the_answer_is_seen(
    received: History, stand: Stand, dose: int | None, is_stale: bool
) -> None:
    (receipt,) = received.operations
    told = retold(received, lambda receipt: receipt)
    wish = Wish("/mar", method="GET", expects=[Shown("ward", "order", 2, open=True)])
    body = orjson.dumps({"truncated": False, "orders": {"order": dose}})
    told.add(Operation("0-1-4", "read a board", receipt.person, wish, attempts=heard(Reply(200, False, body))))
    assert broken(told, stand) == ({"A board that was read after an answer shows it"} if is_stale else set())


def test_503_is_excused_while_postgresql_is_down(received: History, stand: Stand) -> None:
    told = retold(received, lambda receipt: replace(receipt, attempts=[*receipt.attempts, *heard(TOO_SOON)]))
    assert broken(told, stand) == {GAVE_UP}
    assert broken(told, stand, Downtime(LATER, LATER + 1)) == set()


def test_an_id_of_another_hospital_is_seen(received: History, stand: Stand) -> None:
    stranger = str(stand.hospitals[1].doctors[0]).encode()

    def leaking(receipt: Operation) -> Operation:
        return replace(receipt, attempts=[*receipt.attempts, *heard(Reply(409, False, b'{"id":"' + stranger + b'"}'))])

    assert "No answer holds an id of another hospital" in broken(retold(received, leaking), stand)


def test_a_probe_that_is_answered_is_seen(received: History, stand: Stand) -> None:
    assert broken(retold(received, lambda receipt: replace(receipt, probe=True)), stand) == {
        "Who asks with an id of another hospital finds nothing and changes nothing"
    }


def test_a_seat_that_nobody_has_is_seen(received: History, stand: Stand) -> None:
    seat = Seat(True, str(uuid4()), str(uuid4()), "PRIMARY")

    def seated(receipt: Operation) -> Operation:
        return replace(receipt, wish=replace(receipt.wish, seats=lambda answer: [seat]))

    assert broken(retold(received, seated), stand) == {
        "Care teams changed as was acknowledged, and not otherwise",
        "All places on care teams are those that were acknowledged",
    }


def test_a_second_transaction_of_one_operation_is_seen(received: History, stand: Stand) -> None:
    """Last in this file: it changes the database."""
    (receipt,) = received.operations
    (owner, name), person = receipt.key, receipt.person.actor.user_id
    with closing(connect(stand.superuser_url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET app.organization_id = '{owner}'; SET app.user_id = '{person}'")
        cursor.execute(f"SET app.request_id = '{name}.7'")
        cursor.execute(f"UPDATE wards SET version = version + 1 WHERE organization_id = '{owner}'")
    assert broken(received, stand) == {"No change is there twice"}
