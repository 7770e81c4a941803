"""The MAR board: right at every read on every node, cheap to ask for, dropped only by a commit."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from flask import Flask
from prometheus_client import REGISTRY

from backend import create_app
from backend.actor import Role
from backend.config import Config
from backend.db import Database, Session
from backend.db.idempotency import IdempotencyKey
from backend.domain.administrations import fulfilment
from backend.domain.administrations.board import ORDERS_MAX, Board, BoardCache, read_board
from backend.domain.orders import ordering
from backend.domain.orders.models import Priority
from backend.web import cursors
from tests.counting import statements_of
from tests.hospital import Client, Hospital, now, open_hospital, sign_in


@pytest.fixture
def nodes(config: Config) -> Iterator[list[Flask]]:
    """Two applications on one database, each with a cache of its own."""
    made = [create_app(replace(config, pool_size=8)) for _ in range(2)]
    yield made
    for app in made:
        app.extensions["valmed"].engine.dispose()


@pytest.fixture
def screens(nodes: list[Flask], hospital: Hospital) -> list[Client]:
    """The nurse at a screen of each node."""
    return [sign_in(app, hospital, "nurse") for app in nodes]


def board_of(client: Client, ward_id: UUID) -> dict[str, Any]:
    """The board as the client reads it."""
    response = client.get(f"/mar?ward_id={ward_id}")
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.get_json()
    return body


def due(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Every order on a board, in its order."""
    return [order for patient in board["patients"] for order in patient["orders"]]


class Reads:
    """How many boards were read from the cache and how many were not, since it was made."""

    def __init__(self) -> None:
        self._before = self._now()

    @staticmethod
    def _now() -> dict[str, float]:
        values = {
            result: REGISTRY.get_sample_value("valmed_board_cache_total", {"result": result})
            for result in ("hit", "miss")
        }
        return {result: value or 0.0 for result, value in values.items()}

    @property
    def counted(self) -> dict[str, int]:
        """Hits and misses."""
        return {result: int(value - self._before[result]) for result, value in self._now().items()}


def admit(hospital: Hospital, name: str, bed: str | None) -> UUID:
    """Another patient of the ward."""
    return hospital.admit(name, bed=bed, allergies=["nuts"])


# What it shows


def test_orders_stand_by_patient_and_stat_comes_first(hospital: Hospital, screens: list[Client]) -> None:
    early = now() - timedelta(hours=2)
    second_bed = admit(hospital, "Lund, Ann", "2")
    first_bed = admit(hospital, "Berg, Bo", "1")
    no_bed = admit(hospital, "Aalto, Aino", None)
    for hospital.patient_id in (second_bed, first_bed, no_bed):
        hospital.place(units=1)
        hospital.place(units=2, first_due_at=early)
        hospital.place(units=3, priority=Priority.STAT)
        hospital.place(units=4, priority=Priority.STAT, first_due_at=early)
        hospital.place(units=5, priority=Priority.PRN, first_due_at=early - timedelta(hours=1))
    board = board_of(screens[0], hospital.ward_id)
    assert [patient["name"] for patient in board["patients"]] == ["Berg, Bo", "Lund, Ann", "Aalto, Aino"]
    assert [patient["allergies"] for patient in board["patients"]] == [["nuts"]] * 3
    assert [order["quantity_units"] for order in due(board)] == [4, 3, 5, 2, 1] * 3
    assert board["truncated"] is False


def test_only_active_orders_of_the_ward_stand_on_it(hospital: Hospital, screens: list[Client]) -> None:
    hospital.receive(1)
    hospital.fulfil(hospital.place())
    discontinue(hospital, hospital.place())
    hospital.place(shelf=replace(hospital.shelf, ward_id=hospital.add_ward()))
    board = board_of(screens[0], hospital.ward_id)
    assert (board["patients"], board["truncated"]) == ([], False)
    active = hospital.place()
    assert [order["order_id"] for order in due(board_of(screens[0], hospital.ward_id))] == [str(active)]


def test_it_shows_the_next_dose_and_what_the_shelf_holds(hospital: Hospital, screens: list[Client]) -> None:
    hospital.drug_id = hospital.add_drug("Morphine", controlled_schedule=2, high_alert=True)
    hospital.receive(7)
    order_id = hospital.place(doses=3, units=2, dose_text="10 mg", route="oral")
    hospital.fulfil(order_id, dose=1)
    (order,) = due(board_of(screens[0], hospital.ward_id))
    assert order == {
        **order,
        "order_id": str(order_id),
        "drug_name": "Morphine",
        "controlled": True,
        "high_alert": True,
        "quantity_units": 2,
        "dose_text": "10 mg",
        "route": "oral",
        "priority": "routine",
        "dose": 2,
        "doses": 3,
        "verified": False,
        "on_hand_units": 5,
        "figures_hidden": False,
    }


def fill(hospital: Hospital, count: int) -> None:
    """Makes the ward's active orders `count`, for ten patients."""
    hospital.place()
    patients = [admit(hospital, f"Patient {number}", str(number)) for number in range(10)]
    hospital.change(
        "INSERT INTO medication_orders (organization_id, id, patient_id, drug_id, ward_id, prescriber_id,"
        " units_per_dose, first_due_at, due_at)"
        " SELECT organization_id, gen_random_uuid(), (CAST(:p1 AS uuid[]))[1 + n % 10], drug_id, ward_id,"
        " prescriber_id, 1, first_due_at, due_at FROM medication_orders, generate_series(2, :p2) n",
        patients,
        count,
    )


def messages_for_a_board(app: Flask, database: Database, sent: list[str], orders: int) -> int:
    """How many messages one uncached read of a ward with `orders` orders sends."""
    hospital = open_hospital(database)
    fill(hospital, orders)
    client = sign_in(app, hospital, "nurse")
    sent.clear()
    assert len(due(board_of(client, hospital.ward_id))) == orders
    return len(sent)


def test_five_orders_and_two_hundred_cost_the_same_queries(nodes: list[Flask], database: Database) -> None:
    app = nodes[0]
    sent = statements_of(app)
    messages_for_a_board(app, database, sent, 1)  # prepares the statements
    few, many = (messages_for_a_board(app, database, sent, orders) for orders in (5, 200))
    assert few == many == 4, "token, version, orders, commit"


def test_more_orders_than_a_board_holds_are_said_to_be_missing(hospital: Hospital, screens: list[Client]) -> None:
    fill(hospital, ORDERS_MAX + 1)
    board = board_of(screens[0], hospital.ward_id)
    assert (len(due(board)), board["truncated"]) == (ORDERS_MAX, True)


def walked(client: Client, ward_id: UUID) -> list[dict[str, Any]]:
    """Every page of a board."""
    pages = [board_of(client, ward_id)]
    while pages[-1]["next_cursor"] is not None:
        query = {"ward_id": ward_id, "cursor": pages[-1]["next_cursor"]}
        response = client.get("/mar", query_string=query)
        assert response.status_code == 200, response.text
        pages.append(response.get_json())
    return pages


def test_pages_of_a_board_show_every_order_once_and_in_its_order(hospital: Hospital, screens: list[Client]) -> None:
    """Beds of both lengths and none, names that differ, STAT and not, and a patient whose orders lie on two pages."""
    fill(hospital, 2 * ORDERS_MAX + 7)
    hospital.change(
        "UPDATE patients SET bed ="
        " CASE right(name, 1) WHEN '1' THEN NULL WHEN '2' THEN '10' WHEN '3' THEN '' ELSE '9' END"
    )
    hospital.change("UPDATE medication_orders SET priority = 'stat' WHERE id::text < '4'")
    pages = walked(screens[0], hospital.ward_id)
    assert [len(due(page)) for page in pages] == [ORDERS_MAX, ORDERS_MAX, 7]
    assert [page["truncated"] for page in pages] == [True, True, False]
    seen = [order["order_id"] for page in pages for order in due(page)]
    ordered = hospital.rows(
        "SELECT o.id::text FROM medication_orders o JOIN patients p ON p.id = o.patient_id"
        " ORDER BY length(p.bed), p.bed, p.name, p.id, (o.priority <> 'stat'), o.due_at, o.id"
    )
    assert seen == [order_id for (order_id,) in ordered]
    assert pages[0]["patients"][-1]["patient_id"] == pages[1]["patients"][0]["patient_id"]


def test_page_of_a_board_takes_no_place_in_the_cache(hospital: Hospital, screens: list[Client]) -> None:
    fill(hospital, ORDERS_MAX + 1)
    first = board_of(screens[0], hospital.ward_id)
    (_, last) = walked(screens[0], hospital.ward_id)
    assert len(due(last)) == 1
    assert board_of(screens[0], hospital.ward_id) == first


@pytest.mark.parametrize("bed", [2**63 - 1, 0])
def test_forged_place_on_a_board_shows_orders_of_the_ward_or_none(
    hospital: Hospital, screens: list[Client], bed: int
) -> None:
    hospital.place()
    cursor = cursors.encode((bed, "", uuid.uuid4(), 1, now(), uuid.uuid4()))
    answer = screens[0].get("/mar", query_string={"ward_id": hospital.ward_id, "cursor": cursor})
    assert answer.status_code == 200, answer.text
    assert len(due(answer.get_json())) == (0 if bed else 1)


# The cache


def discontinue(hospital: Hospital, order_id: UUID) -> None:
    """The doctor ends an order."""

    def work(session: Session) -> None:
        session.take_lanes([hospital.shelf.lane])
        actor, shelf = hospital.staff["doctor"], hospital.shelf
        ordering.discontinue(session, actor=actor, shelf=shelf, order_id=order_id, reason="a rash", now=now())

    hospital.run(work, hospital.staff["doctor"])


def test_a_second_read_is_a_hit_on_each_node(hospital: Hospital, screens: list[Client]) -> None:
    hospital.place()
    reads = Reads()
    boards = [board_of(screen, hospital.ward_id) for screen in screens for _ in range(3)]
    assert reads.counted == {"hit": 4, "miss": 2}
    assert all(board == boards[0] for board in boards)


@pytest.fixture
def acting(nodes: list[Flask], hospital: Hospital) -> dict[str, Client]:
    """The staff at the first node."""
    return {login: sign_in(nodes[0], hospital, login) for login in hospital.staff}


Change = Callable[[Hospital, dict[str, Client], UUID], Any]
NEW_LOT = {"lot_number": "NEW", "expires_on": "2040-01-01", "quantity_units": 9}
CHANGES: dict[str, tuple[Change, Callable[[dict[str, Any]], Any], Any]] = {
    "fulfil": (
        lambda h, staff, order: staff["nurse"].post(f"/orders/{order}/fulfill", {"dose": 1}),
        lambda board: (due(board)[0]["dose"], due(board)[0]["on_hand_units"]),
        (2, 4),
    ),
    "place": (
        lambda h, staff, order: staff["doctor"].post("/orders", order_body(h)),
        lambda board: len(due(board)),
        2,
    ),
    "verify": (
        lambda h, staff, order: staff["pharmacist"].post(f"/orders/{order}/verify"),
        lambda board: due(board)[0]["verified"],
        True,
    ),
    "discontinue": (
        lambda h, staff, order: staff["doctor"].post(f"/orders/{order}/discontinue", {"reason": "a rash"}),
        lambda board: board["patients"],
        [],
    ),
    "receipt": (
        lambda h, staff, order: staff["pharmacist"].post(
            "/stock/receipts", {"ward_id": str(h.ward_id), "drug_id": str(h.drug_id), **NEW_LOT}
        ),
        lambda board: due(board)[0]["on_hand_units"],
        14,
    ),
    "drug rename": (
        lambda h, staff, order: staff["pharmacist"].patch(f"/drugs/{h.drug_id}", {"name": "Amoxil"}),
        lambda board: due(board)[0]["drug_name"],
        "Amoxil",
    ),
}


def order_body(hospital: Hospital) -> dict[str, Any]:
    """An order for the ward."""
    ids = {"patient_id": hospital.patient_id, "drug_id": hospital.drug_id, "ward_id": hospital.ward_id}
    return {**{name: str(value) for name, value in ids.items()}, "quantity_units": 1}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_committed_change_shows_at_the_next_read_of_every_node(
    hospital: Hospital, screens: list[Client], acting: dict[str, Client], name: str
) -> None:
    change, shown, expected = CHANGES[name]
    hospital.receive(5)
    order_id = hospital.place(doses=3)
    before = [board_of(screen, hospital.ward_id) for screen in screens for _ in range(2)]
    reads = Reads()
    assert change(hospital, acting, order_id).status_code in {200, 201}
    after = [board_of(screen, hospital.ward_id) for screen in screens]
    assert [shown(board) for board in after] == [expected] * 2
    assert reads.counted == {"hit": 0, "miss": 2}
    assert after[0] == after[1]
    assert after[0]["version"] > before[0]["version"]


def test_a_change_of_another_ward_leaves_the_board_cached(
    hospital: Hospital, screens: list[Client], acting: dict[str, Client]
) -> None:
    hospital.place()
    elsewhere = replace(hospital.shelf, ward_id=hospital.add_ward())
    board = board_of(screens[0], hospital.ward_id)
    reads = Reads()
    hospital.receive(5, shelf=elsewhere)
    hospital.place(shelf=elsewhere)
    assert board_of(screens[0], hospital.ward_id) == board
    assert reads.counted == {"hit": 1, "miss": 0}


def test_a_refused_change_leaves_the_board_cached(
    hospital: Hospital, screens: list[Client], acting: dict[str, Client]
) -> None:
    path = f"/orders/{hospital.place()}/fulfill"
    board = board_of(screens[0], hospital.ward_id)
    reads = Reads()
    assert acting["nurse"].post(path, {}).status_code == 409
    assert board_of(screens[0], hospital.ward_id) == board
    assert reads.counted == {"hit": 1, "miss": 0}


class ChangedHisMind(Exception):
    """Raised at the end of a transaction."""


def test_a_change_that_is_rolled_back_neither_shows_nor_drops_the_board(
    hospital: Hospital, screens: list[Client]
) -> None:
    hospital.receive(5)
    order_id = hospital.place()
    boards = [board_of(screen, hospital.ward_id) for screen in screens]
    reads, seen_inside = Reads(), []

    def give_and_change_his_mind(session: Session) -> None:
        fulfilment.fulfil(
            session,
            actor=hospital.nurse,
            order_id=order_id,
            shelf=hospital.shelf,
            dose=None,
            witness=None,
            key=IdempotencyKey("k", b"f"),
        )
        seen_inside.extend(board_of(screen, hospital.ward_id) for screen in screens)
        raise ChangedHisMind

    with pytest.raises(ChangedHisMind):
        hospital.run(give_and_change_his_mind, hospital.nurse)
    assert [board_of(screen, hospital.ward_id) for screen in screens] == boards == seen_inside
    assert reads.counted == {"hit": 4, "miss": 0}
    assert hospital.on_hand() == 5


def test_one_hospitals_board_is_never_read_by_another(nodes: list[Flask], database: Database) -> None:
    hospitals = [open_hospital(database) for _ in range(2)]
    for hospital in hospitals:
        hospital.place()
        assert len(due(board_of(sign_in(nodes[0], hospital, "nurse"), hospital.ward_id))) == 1
    spy = sign_in(nodes[0], hospitals[0], "pharmacist")
    assert spy.get(f"/mar?ward_id={hospitals[1].ward_id}").status_code == 404


def test_a_cached_board_is_still_only_for_the_wards_nurses(
    nodes: list[Flask], hospital: Hospital, screens: list[Client]
) -> None:
    hospital.add_staff("stranger", Role.NURSE)
    board_of(screens[0], hospital.ward_id)
    assert sign_in(nodes[0], hospital, "stranger").get(f"/mar?ward_id={hospital.ward_id}").status_code == 403
    assert board_of(sign_in(nodes[0], hospital, "pharmacist"), hospital.ward_id)["patients"] == []


def test_an_etag_saves_the_body_until_something_changes(
    hospital: Hospital, screens: list[Client], acting: dict[str, Client]
) -> None:
    hospital.place()
    path = f"/mar?ward_id={hospital.ward_id}"
    first = screens[0].get(path)
    etag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "no-store"
    for screen in screens:
        unchanged = screen.get(path, headers={"If-None-Match": etag})
        assert (unchanged.status_code, unchanged.data, unchanged.headers["ETag"]) == (304, b"", etag)
    hospital.place()
    changed = screens[1].get(path, headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert len(due(changed.get_json())) == 2
    assert changed.headers["ETag"] != etag
    assert screens[0].get(path, headers={"If-None-Match": '"something else"'}).status_code == 200


def test_readers_that_race_a_writer_never_keep_a_stale_board(hospital: Hospital, nodes: list[Flask]) -> None:
    """Four readers on two nodes, while orders are placed and given: versions rise, and one version is one board."""
    hospital.receive(30)
    written = [board_of(sign_in(nodes[0], hospital, "nurse"), hospital.ward_id)["version"]]
    done, late = threading.Event(), []
    seen: list[list[dict[str, Any]]] = [[] for _ in range(4)]

    def read(number: int) -> None:
        client = sign_in(nodes[number % 2], hospital, "nurse")
        while not done.is_set():
            at_least = written[-1]
            board = board_of(client, hospital.ward_id)
            seen[number].append(board)
            if board["version"] < at_least:
                late.append((board["version"], at_least))

    readers = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for reader in readers:
        reader.start()
    writer = sign_in(nodes[1], hospital, "nurse")
    for _ in range(30):
        order_id = hospital.place()
        written.append(hospital.rows(VERSION, hospital.ward_id)[0][0])
        assert writer.post(f"/orders/{order_id}/fulfill", {}).status_code == 200
        written.append(hospital.rows(VERSION, hospital.ward_id)[0][0])
    done.set()
    for reader in readers:
        reader.join()
    assert late == []
    for boards in seen:
        versions = [board["version"] for board in boards]
        assert versions == sorted(versions)
    by_version: dict[int, dict[str, Any]] = {}
    assert all(by_version.setdefault(board["version"], board) == board for boards in seen for board in boards)
    assert len(by_version) > 5, "the readers saw the writer at work"
    final = [board_of(sign_in(app, hospital, "nurse"), hospital.ward_id) for app in nodes]
    assert [(board["version"], board["patients"]) for board in final] == [(written[-1], [])] * 2


VERSION = """SELECT h.version + w.version
      + coalesce((SELECT sum(version) FROM stock_levels WHERE ward_id = w.id), 0)::bigint
    FROM wards w JOIN organizations h ON h.id = w.organization_id WHERE w.id = :p1"""


def test_a_reader_that_was_overtaken_does_not_put_back_an_older_board() -> None:
    cache = BoardCache(wards_max=2)
    key = (uuid.uuid4(), uuid.uuid4())
    newer, older = Board(8, None, b"newer"), Board(7, None, b"older")
    cache.put(*key, newer)
    cache.put(*key, older)
    assert (cache.get(*key, 8, now()), cache.get(*key, 7, now()), cache.get(*key, 9, now())) == (newer, None, None)


def test_the_cache_keeps_no_more_wards_than_it_may_and_drops_the_least_read(config: Config, hospital: Hospital) -> None:
    app = create_app(replace(config, board_cache_wards_max=2))
    client = sign_in(app, hospital, "pharmacist")
    first, second, third = hospital.ward_id, hospital.add_ward(), hospital.add_ward()
    reads = Reads()
    for ward_id in (first, second, first, third, first):
        board_of(client, ward_id)
    assert reads.counted == {"hit": 2, "miss": 3}
    board_of(client, second)
    assert reads.counted == {"hit": 2, "miss": 4}, "the second ward made room for the third"
    board_of(client, third)
    assert reads.counted == {"hit": 2, "miss": 5}, "and the third for the second"
    board_of(client, second)
    assert reads.counted == {"hit": 3, "miss": 5}
    app.extensions["valmed"].engine.dispose()


def test_many_threads_keep_the_bound_of_the_cache() -> None:
    cache = BoardCache(wards_max=3)
    organization_id, wards = uuid.uuid4(), [uuid.uuid4() for _ in range(20)]

    def use() -> None:
        for version in range(300):
            ward_id = wards[version % 20]
            cache.put(organization_id, ward_id, Board(version, None, b""))
            cache.get(organization_id, ward_id, version, now())

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = [
        ward_id for ward_id in wards for version in range(300) if cache.get(organization_id, ward_id, version, now())
    ]
    assert len(kept) == 3


def test_board_changes_with_the_clock_alone(hospital: Hospital) -> None:
    """A dose becomes due, and overdue, by time alone: the board is right until then, and another one after."""
    window, soon = timedelta(minutes=60), hospital.database.now() + timedelta(seconds=2)
    hospital.place(first_due_at=soon + window)
    hospital.place(first_due_at=soon - window)
    cache = BoardCache(wards_max=2)

    def look(session: Session) -> Board:
        return read_board(
            session, actor=hospital.nurse, ward_id=hospital.ward_id, cache=cache, cursor_of=cursors.encode
        )

    def board_now() -> tuple[list[str], str]:
        board = hospital.database.transact(look, actor=hospital.nurse, read_only=True)
        (patient,) = orjson.loads(board.body)["patients"]
        return sorted(order["due_state"] for order in patient["orders"]), board.etag

    before, again = board_now(), board_now()
    time.sleep(max(0.0, (soon - now()).total_seconds()) + 0.1)
    after = board_now()
    assert before == again, "nothing changes in between"
    assert (before[0], after[0]) == (["due", "upcoming"], ["due", "overdue"])
    assert before[1] != after[1]
