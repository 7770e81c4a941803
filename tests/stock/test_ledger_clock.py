"""A shelf's ledger is in the order of the clock, whoever began first: stock at a moment is read from it."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg2.extensions

from backend.db import Session
from backend.stock import ledger
from backend.stock.ledger import Cause, Line
from backend.stock.models import MovementReason
from tests.hospital import Hospital, now
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
