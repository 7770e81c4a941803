"""Real threads, real commits: whatever happens at once, stock and orders agree and nobody gets a 5xx."""

import threading
import uuid
from dataclasses import replace

import pytest
from flask import Flask

from backend import create_app
from backend.config import Config
from backend.db import Session
from backend.db.engine import normalised_url
from backend.domain.models import Base
from backend.domain.stock import ledger
from backend.domain.stock.ledger import Cause, Line, Shelf
from backend.domain.stock.models import MovementReason
from backend.operations.verification.verify import verify
from tests.concurrency.threads import fulfil_all, outcomes, retries, together
from tests.hospital import Client, Hospital, now, sign_in

pytestmark = pytest.mark.concurrency
CLIENTS = 32


@pytest.fixture
def nurse(app: Flask, hospital: Hospital) -> Client:
    return sign_in(app, hospital, "nurse")


@pytest.fixture(autouse=True)
def nothing_is_broken(config: Config, hospital: Hospital):
    """After every storm, the proof that anyone can run: other tests break hospitals of their own by hand."""
    yield
    findings = verify(normalised_url(config.database_url), Base.metadata, organization=hospital.slug)
    assert {finding.organization for finding in findings} == {"", hospital.slug}
    assert [f"{f.invariant.title}: {f.rows}" for f in findings if f.broken] == []


def test_32_clients_on_one_drug_give_exactly_the_stock(hospital: Hospital, nurse: Client) -> None:
    hospital.receive(100)
    order_ids = hospital.place_many(160)
    before = retries()

    answers = fulfil_all(nurse, order_ids, CLIENTS)

    assert outcomes(answers) == {"200": 100, "409 insufficient_stock": 60}
    assert hospital.on_hand() == 0
    assert retries() == before, "the lanes spare every retry"


def test_32_clients_on_one_order_give_it_once(hospital: Hospital, nurse: Client) -> None:
    hospital.receive(100)
    order_id = hospital.place()

    answers = fulfil_all(nurse, [order_id] * CLIENTS, CLIENTS)

    assert outcomes(answers) == {"200": 1, "409 order_already_completed": CLIENTS - 1}
    assert hospital.on_hand() == 99


def test_the_same_key_16_times_at_once_gives_16_equal_answers_and_one_movement(
    hospital: Hospital, nurse: Client
) -> None:
    hospital.receive(100)
    order_id = hospital.place(doses=20)
    headers = {"Idempotency-Key": uuid.uuid4().hex}

    answers = together(
        *[lambda: nurse.post(f"/orders/{order_id}/fulfill", {"dose": 1}, headers=headers) for _ in range(16)]
    )

    assert outcomes(answers) == {"200": 16}
    assert len({answer.data for answer in answers}) == 1
    assert sorted(answer.headers.get("Idempotent-Replayed", "") for answer in answers) == [""] + ["true"] * 15
    assert hospital.on_hand() == 99


def test_the_same_key_at_once_where_no_lane_is_taken_is_run_again_and_replayed(app: Flask, hospital: Hospital) -> None:
    """All of them miss the key, one stores it, the others meet the unique key (23505) and run again."""
    admin = sign_in(app, hospital, "admin")
    headers = {"Idempotency-Key": uuid.uuid4().hex}

    answers = together(*[lambda: admin.post("/wards", {"name": "9 South"}, headers=headers) for _ in range(16)])

    assert outcomes(answers) == {"201": 16}
    assert len({answer.data for answer in answers}) == 1
    assert hospital.rows("SELECT count(*) FROM wards WHERE name = '9 South'") == [(1,)]


def test_every_dose_of_a_schedule_is_given_once(hospital: Hospital, nurse: Client) -> None:
    hospital.receive(100)
    order_id = hospital.place(doses=8)

    answers = together(
        *[
            lambda dose=dose: [nurse.post(f"/orders/{order_id}/fulfill", {"dose": dose}) for _ in range(6)]
            for dose in range(1, 9)
            for _ in range(3)
        ]
    )

    given = [answer.json["dose"] for mine in answers for answer in mine if answer.status_code == 200]
    assert sorted(given) == sorted(set(given))
    assert hospital.on_hand() == 100 - len(given)
    assert {a.status_code for mine in answers for a in mine} <= {200, 409}


def _move_one(hospital: Hospital, first: Shelf, second: Shelf) -> None:
    """Takes a unit of either shelf in one transaction, in the order given: the shape of a deadlock."""
    lots = {
        shelf: hospital.rows("SELECT lot_id FROM stock_lots WHERE ward_id = :p1", shelf.ward_id)[0][0]
        for shelf in (first, second)
    }

    def work(session: Session) -> None:
        session.take_lanes([first.lane, second.lane])
        for shelf in (first, second):
            ledger.post(
                session,
                shelf,
                [Line(lots[shelf], -1)],
                Cause(MovementReason.WASTE, uuid.uuid4(), hospital.nurse.user_id, now()),
            )

    hospital.run(work, hospital.nurse)


def _two_shelves(hospital: Hospital) -> tuple[Shelf, Shelf]:
    here, there = hospital.shelf, Shelf(hospital.organization_id, hospital.add_ward(), hospital.drug_id)
    for shelf in (here, there):
        hospital.receive(500, shelf=shelf)
    return here, there


def test_two_writers_of_two_shelves_in_opposite_order_do_not_deadlock(hospital: Hospital) -> None:
    here, there = _two_shelves(hospital)
    before = retries()

    together(
        *[
            lambda a=a, b=b: [_move_one(hospital, a, b) for _ in range(15)]
            for a, b in [(here, there), (there, here)] * 4
        ]
    )

    assert (hospital.on_hand(here), hospital.on_hand(there)) == (500 - 120, 500 - 120)
    assert retries() == before


def test_without_lanes_a_deadlock_is_run_again_and_nobody_sees_it(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = _two_shelves(hospital)
    monkeypatch.setattr(Session, "take_lanes", lambda self, lanes: None)
    patient = replace(hospital.database.config, retry_seconds_max=60, retry_tries_max=60)  # a deadlock lasts a second
    monkeypatch.setattr(hospital.database, "config", patient)
    before = retries()

    together(
        *[lambda a=a, b=b: [_move_one(hospital, a, b) for _ in range(10)] for a, b in [(here, there), (there, here)]]
    )

    assert (hospital.on_hand(here), hospital.on_hand(there)) == (480, 480)
    assert retries() > before


def test_an_exhausted_pool_is_busy_and_says_when_to_come_back(config: Config, hospital: Hospital) -> None:
    hospital.receive(1)
    order_id = hospital.place()
    small = create_app(replace(config, pool_size=1, pool_max_overflow=1, workers=1, pool_timeout_seconds=1))
    nurse = sign_in(small, hospital, "nurse")
    engine = small.extensions["valmed"].engine
    held = [engine.raw_connection(), engine.raw_connection()]

    busy = nurse.post(f"/orders/{order_id}/fulfill")

    assert (busy.status_code, busy.json["code"], busy.headers["Retry-After"]) == (503, "busy", "1")
    for connection in held:
        connection.close()
    assert nurse.post(f"/orders/{order_id}/fulfill").status_code == 200
    engine.dispose()


def test_a_lock_that_is_held_too_long_is_busy(config: Config, hospital: Hospital, superuser) -> None:
    hospital.receive(1)
    order_id = hospital.place()
    hasty = create_app(replace(config, lock_timeout_ms=200))
    nurse = sign_in(hasty, hospital, "nurse")
    superuser.autocommit = False
    with superuser.cursor() as cursor:
        cursor.execute(f"LOCK TABLE lanes.lane_{hospital.shelf.lane:03d} IN EXCLUSIVE MODE")
        busy = nurse.post(f"/orders/{order_id}/fulfill")
    superuser.rollback()

    assert (busy.status_code, busy.json["code"]) == (503, "busy")
    assert hospital.on_hand() == 1
    assert nurse.post(f"/orders/{order_id}/fulfill").status_code == 200
    hasty.extensions["valmed"].engine.dispose()


@pytest.mark.parametrize("table", ["access_tokens", "alembic_version", "stock_lots"])
def test_a_table_that_is_locked_away_is_busy_before_a_transaction_begins_too(
    config: Config, hospital: Hospital, superuser, table: str
) -> None:
    """Of whom the token is, at what migration the database stands, and the PREPARE of a fulfilment."""
    hospital.receive(1)
    order_id = hospital.place()
    hasty = create_app(replace(config, lock_timeout_ms=200))
    nurse = sign_in(hasty, hospital, "nurse")
    superuser.autocommit = False
    with superuser.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        release = threading.Timer(3, superuser.rollback)  # a request that waited for longer would find the table free
        release.start()
        if table == "alembic_version":
            busy = hasty.test_client().get("/readyz")
        else:
            busy = nurse.post(f"/orders/{order_id}/fulfill")
    release.cancel()
    release.join()
    superuser.rollback()

    assert (busy.status_code, busy.json["code"], busy.headers["Retry-After"]) == (503, "busy", "1")
    assert nurse.post(f"/orders/{order_id}/fulfill").status_code == 200
    hasty.extensions["valmed"].engine.dispose()


def test_receipts_orders_and_fulfilments_of_one_shelf_at_once_add_up(hospital: Hospital, nurse: Client) -> None:
    hospital.receive(10)
    order_ids = hospital.place_many(60)

    results = together(
        *[
            lambda share=order_ids[n::12]: [nurse.post(f"/orders/{o}/fulfill").status_code for o in share]
            for n in range(12)
        ],
        *[lambda n=n: [hospital.receive(1, lot=f"LOT-{n}").quantity_units for _ in range(5)] for n in range(8)],
        *[lambda: [bool(hospital.place()) for _ in range(5)] for _ in range(4)],
    )

    given = sum(status == 200 for mine in results[:12] for status in mine)
    assert {status for mine in results[:12] for status in mine} <= {200, 409}
    assert hospital.on_hand() == 10 + 40 - given
