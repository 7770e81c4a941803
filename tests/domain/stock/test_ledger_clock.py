"""A shelf's ledger is in the order of the clock, whoever began first: stock at a moment is read from it."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg2.extensions
import pytest
from flask import Flask

from backend.db import Session
from backend.db.paging import PageRequest
from backend.domain.administrations.rounds import Round, fulfil_round
from backend.domain.custody.blind import hidden_from
from backend.domain.stock import ledger
from backend.domain.stock.history import levels_as_of
from backend.domain.stock.ledger import Cause, Line
from backend.domain.stock.models import MovementReason
from tests import day
from tests.hospital import Hospital, now, sign_in
from tests.waiting import PATIENCE_SECONDS, wait_until_blocked


def test_who_began_first_and_waited_is_recorded_when_it_wrote(
    hospital: Hospital, owner: psycopg2.extensions.connection
) -> None:
    """A writer of two lanes begins and waits for the first; meanwhile another writes to the shelf of the second."""
    while hospital.shelf.lane == 0:
        hospital.drug_id = hospital.add_drug()
    lots = [hospital.receive(10, lot=lot).lot_id for lot in ("L1", "L2")]

    def write_late(session: Session) -> None:
        session.take_lanes([0, hospital.shelf.lane])
        ledger.post(
            session,
            hospital.shelf,
            [Line(lots[0], 1), Line(lots[1], 2)],
            Cause(MovementReason.RETURN, uuid.uuid4(), None, now()),
        )

    with owner.cursor() as cursor, ThreadPoolExecutor(1) as late:
        cursor.execute("BEGIN; LOCK TABLE lanes.lane_000 IN EXCLUSIVE MODE")
        waiting = late.submit(hospital.run, write_late)
        wait_until_blocked(owner, owner)
        hospital.receive(3)
        cursor.execute("ROLLBACK")
        waiting.result(timeout=PATIENCE_SECONDS)

    rows = hospital.rows("SELECT units, recorded_at FROM stock_movements ORDER BY sequence")
    assert [units for units, _ in rows] == [10, 10, 3, 1, 2]
    times = [recorded_at for _, recorded_at in rows]
    assert times == sorted(times)


@pytest.mark.parametrize("many", [False, True], ids=["one shelf", "a round"])
def test_ledger_keeps_its_order_when_the_clock_is_set_back(
    hospital: Hospital, superuser: psycopg2.extensions.connection, many: bool
) -> None:
    hospital.receive(10)
    with superuser.cursor() as cursor:  # as if the clock of the database had been an hour ahead until now
        cursor.execute("BEGIN; SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE stock_movements SET recorded_at = recorded_at + interval '1 hour' WHERE organization_id = %s",
            (str(hospital.organization_id),),
        )
        cursor.execute("COMMIT")
    order_id = hospital.place()
    if many:
        asked = Round(hospital.nurse, [order_id], {}, {hospital.shelf}, None)
        day.act(hospital, [hospital.shelf], lambda session: fulfil_round(session, asked), hospital.nurse)
    else:
        hospital.fulfil(order_id)
    ((before, _), (after, balance)) = hospital.rows(
        "SELECT recorded_at, balance_after_units FROM stock_movements ORDER BY sequence"
    )
    assert after >= before
    assert balance == 9
    where = {"organization_id": hospital.organization_id, "ward_id": None, "drug_id": None, "page": PageRequest()}
    where["hides"] = hidden_from(hospital.operator)
    page = day.look(hospital, lambda session: levels_as_of(session, at=after, now=after, **where))
    assert [row.on_hand_units for row in page.items] == [9]


def test_movement_knows_when_its_request_arrived(app: Flask, hospital: Hospital) -> None:
    hospital.receive(10)
    nurse = sign_in(app, hospital, "nurse")
    before = hospital.database.now()
    assert nurse.post(f"/orders/{hospital.place()}/fulfill").status_code == 200
    receipt, dose = hospital.rows(
        "SELECT requested_at, occurred_at, recorded_at FROM stock_movements ORDER BY sequence"
    )
    assert receipt[0] is None, "no request asked for it"
    assert before <= dose[0] <= dose[1] <= dose[2]
