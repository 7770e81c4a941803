"""Each guard alone: the others are taken out, and it still holds, or the test shows what breaks without it.

Lanes, row locks, retry and constraints cover for one another, so a storm passes with any one of them gone. Here each
is tried with the others off; `without_*` are the mutations.
"""

import dataclasses
import uuid
from dataclasses import replace
from datetime import date
from typing import Any

import psycopg2.errors
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from backend.config import Config
from backend.db import Database, Prepared, Session, lane_of, transaction
from backend.db.provision import application_url
from backend.db.session import SwallowedError
from backend.db.transaction import ConstraintViolated
from backend.domain.administrations import fulfilment, rounds
from backend.domain.orders.errors import OrderAlreadyCompleted
from backend.domain.stock import ledger
from backend.domain.stock.ledger import Cause, Line
from backend.domain.stock.models import MovementReason
from backend.domain.stock.picking import LotOnShelf
from backend.errors import Busy, DomainError
from tests.concurrency.threads import retries, together
from tests.hospital import Hospital, now, open_hospital

pytestmark = pytest.mark.concurrency


def without_lanes(patch: pytest.MonkeyPatch) -> None:
    """Nobody waits before the snapshot."""
    patch.setattr(Session, "take_lanes", lambda self, lanes: None)


def without_row_locks(patch: pytest.MonkeyPatch) -> None:
    """The fulfil path reads what it will change without locking it."""
    lock = fulfilment._LOCK
    unlocked = lock.text.replace("FOR UPDATE OF o, l", "").replace("FOR UPDATE OF s", "")
    assert unlocked.count("FOR UPDATE") == 0 != lock.text.count("FOR UPDATE")
    patch.setattr(fulfilment, "_LOCK", Prepared(f"unlocked_{uuid.uuid4().hex}", unlocked))


def storm(hospital: Hospital, units: int, orders: int) -> list[str]:
    """What 16 nurses get who work through `orders` orders over `units` units: `given` or the refusal's name."""
    hospital.receive(units)
    order_ids = hospital.place_many(orders)

    def nurse(mine: list) -> list[str]:
        got = []
        for order_id in mine:
            try:
                got.append("given" if hospital.fulfil(order_id).status == 200 else "?")
            except DomainError as refusal:
                got.append(type(refusal).__name__)
        return got

    return sorted(name for mine in together(*[lambda n=n: nurse(order_ids[n::16]) for n in range(16)]) for name in mine)


def test_lanes_alone_spare_every_retry(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    without_row_locks(monkeypatch)
    before = retries()
    assert storm(hospital, 30, 48) == ["InsufficientStock"] * 18 + ["given"] * 30
    assert retries() == before


def test_row_locks_and_retry_alone_give_exactly_the_stock(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that forgot its lane: PostgreSQL aborts it (40001), and the retry hides that from the nurse."""
    patient = replace(config, pool_size=32, retry_tries_max=200, retry_seconds_max=60)
    hospital = open_hospital(Database(patient, application_url(config)))
    without_lanes(monkeypatch)
    before = retries()
    assert storm(hospital, 30, 48) == ["InsufficientStock"] * 18 + ["given"] * 30
    assert retries() > before


@pytest.mark.parametrize("table", ["medication_orders", "stock_levels", "stock_lots"])
def test_a_fulfilment_holds_the_rows_it_decides_on(hospital: Hospital, superuser, table: str) -> None:
    """SELECT ... FOR UPDATE: a writer that knows nothing of lanes cannot touch order, level or lots meanwhile."""
    hospital.receive(5)
    order_id = hospital.place()
    shelf = hospital.shelf
    place = {"organization_id": hospital.organization_id, "ward_id": shelf.ward_id, "drug_id": shelf.drug_id}
    asked = {"user_id": hospital.nurse.user_id, "order_id": order_id, "key": "k", "given_at": None}

    def lock_and_look(session: Session) -> None:
        session.run(fulfilment._LOCK, **place, **asked, role="nurse", token_sha256=None)
        with superuser.cursor() as stranger, pytest.raises(psycopg2.errors.LockNotAvailable):
            stranger.execute(
                f"SELECT 1 FROM {table} WHERE organization_id = %s FOR UPDATE NOWAIT", (str(hospital.organization_id),)
            )

    hospital.run(lock_and_look, hospital.nurse)


@pytest.mark.parametrize("table", ["medication_orders", "stock_levels", "stock_lots"])
def test_a_round_holds_the_rows_it_decides_on(
    hospital: Hospital, superuser, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for the statements that lock the orders and shelves of a whole round."""
    hospital.receive(5)
    order_ids, write, looked = hospital.place_many(2), rounds._write, []

    def look_and_write(session: Session, *values: Any) -> None:
        with superuser.cursor() as stranger, pytest.raises(psycopg2.errors.LockNotAvailable):
            stranger.execute(
                f"SELECT 1 FROM {table} WHERE organization_id = %s FOR UPDATE NOWAIT", (str(hospital.organization_id),)
            )
        looked.append(table)
        write(session, *values)

    monkeypatch.setattr(rounds, "_write", look_and_write)
    asked = rounds.Round(hospital.nurse, order_ids, {}, {hospital.shelf}, None)
    results = hospital.run(lambda session: rounds.fulfil_round(session, asked), hospital.nurse)
    assert [result["outcome"] for result in results] == ["fulfilled"] * 2
    assert looked


def test_without_lanes_and_retry_nurses_are_turned_away_but_nothing_is_oversold(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = replace(config, pool_size=32, retry_tries_max=1)
    hospital = open_hospital(Database(hasty, application_url(config)))
    without_lanes(monkeypatch)
    got = storm(hospital, 30, 48)
    assert "Busy" in got, "40001 reached the caller: this is what the retry is for"
    assert hospital.on_hand() == 30 - got.count("given")


def test_without_lanes_and_row_locks_the_snapshot_still_refuses_a_lost_update(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_lanes(monkeypatch)
    without_row_locks(monkeypatch)
    got = storm(hospital, 30, 48)
    assert hospital.on_hand() == 30 - got.count("given")
    assert hospital.rows("SELECT count(*) FROM medication_administrations") == [(got.count("given"),)]


def _read_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    opening = transaction.prologue
    monkeypatch.setattr(
        transaction, "prologue", lambda *a, **k: opening(*a, **k).replace("REPEATABLE READ", "READ COMMITTED")
    )


def test_under_read_committed_without_locks_only_the_constraints_are_left_and_they_hold(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything above the constraints is gone: isolation, lanes, row locks. Nothing goes below zero or out of step."""
    without_lanes(monkeypatch)
    without_row_locks(monkeypatch)
    _read_committed(monkeypatch)
    got = storm(hospital, 30, 48)
    assert 0 < got.count("given") <= 30
    assert hospital.on_hand() == 30 - got.count("given")
    assert hospital.rows("SELECT sum(units) FROM stock_movements") == [(hospital.on_hand(),)]


@pytest.mark.parametrize("path", ["session.execute", "session.run"])
def test_the_check_refuses_a_negative_level_that_the_domain_let_through(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    hospital.receive(3)
    ((lot_id,),) = hospital.rows("SELECT lot_id FROM stock_lots")
    many = [LotOnShelf(lot_id, "L1", date.max, 10**6)]
    monkeypatch.setattr(ledger, "lock_lots", lambda session, shelf, today: many)  # the domain's check is out

    def take_too_many(session: Session) -> None:
        session.take_lanes([hospital.shelf.lane])
        if path == "session.execute":
            session.execute(text("UPDATE stock_levels SET on_hand_units = on_hand_units - 5"))
        else:
            ledger.post(
                session,
                hospital.shelf,
                [Line(lot_id, -5)],
                Cause(MovementReason.WASTE, uuid.uuid4(), None, now()),
            )

    with pytest.raises(ConstraintViolated) as refused:
        hospital.run(take_too_many)
    assert refused.value.members["constraint"].startswith("ck_stock_")
    assert hospital.on_hand() == 3


def test_the_unique_dose_refuses_a_second_giving_that_the_lock_let_through(hospital: Hospital) -> None:
    hospital.receive(5)
    order_id = hospital.place()
    hospital.fulfil(order_id)
    again = text(
        "INSERT INTO medication_administrations (organization_id, id, order_id, dose_number, outcome, quantity_units,"
        " nurse_id, administered_at) SELECT organization_id, gen_random_uuid(), order_id, dose_number, outcome,"
        " quantity_units, nurse_id, now() FROM medication_administrations"
    )
    with pytest.raises(ConstraintViolated) as refused:
        hospital.run(lambda session: session.execute(again))
    assert refused.value.members == {"constraint": "uq_administration_dose"}


def test_the_numbered_ledger_refuses_two_movements_in_one_place(hospital: Hospital) -> None:
    hospital.receive(5)
    again = text(
        "INSERT INTO stock_movements (organization_id, id, ward_id, drug_id, lot_id, sequence, units,"
        " balance_after_units, reason, reference_id, occurred_at) SELECT organization_id, gen_random_uuid(), ward_id,"
        " drug_id, lot_id, sequence, units, balance_after_units, reason, gen_random_uuid(), now() FROM stock_movements"
    )
    with pytest.raises(ConstraintViolated):
        hospital.run(lambda session: session.execute(again))


def test_without_the_look_up_of_the_key_its_row_still_stops_a_second_dose(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital.receive(5)
    order_id = hospital.place(doses=4)
    hospital.fulfil(order_id, key="k", dose=1)
    lock = fulfilment._LOCK
    blind = lock.text.replace("i.key = :key::text", "i.key = :key::text || 'x'")
    assert blind != lock.text
    monkeypatch.setattr(fulfilment, "_LOCK", Prepared(f"blind_{uuid.uuid4().hex}", blind))
    with pytest.raises(ConstraintViolated) as refused:
        hospital.fulfil(order_id, key="k", dose=2)
    assert refused.value.members == {"constraint": "pk_idempotency_keys"}
    assert hospital.on_hand() == 4


def test_without_the_idempotency_row_a_lost_answer_would_not_be_replayed(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: with the row gone, the repeated request of a lost answer is refused, not answered."""
    text = fulfilment._WRITE.text
    start, end = text.index("INSERT INTO idempotency_keys"), text.index(")\nSELECT (SELECT on_hand_units")
    forgetful = text[:start] + "SELECT :key::text, :fingerprint::bytea, :answer::bytea" + text[end:]
    monkeypatch.setattr(fulfilment, "_WRITE", Prepared(f"forgetful_{uuid.uuid4().hex}", forgetful))
    hospital.receive(5)
    order_id = hospital.place()
    hospital.fulfil(order_id, key="k")
    with pytest.raises(OrderAlreadyCompleted):
        hospital.fulfil(order_id, key="k")


def _swallow_an_error(session: Session) -> str:
    session.execute(text("UPDATE wards SET name = 'changed'"))
    try:
        session.execute(text("SELECT 1/0"))
    except DBAPIError:
        return "done"
    return "not reached"


def test_a_swallowed_error_is_not_a_success(hospital: Hospital) -> None:
    with pytest.raises(SwallowedError):
        hospital.run(_swallow_an_error)
    assert hospital.rows("SELECT name FROM wards") == [("1 North",)]


def test_without_the_commit_guard_a_rollback_would_be_told_as_success(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "commit", lambda self: self._cursor.execute("COMMIT"))
    assert hospital.run(_swallow_an_error) == "done"
    assert hospital.rows("SELECT name FROM wards") == [("1 North",)], "told as done, and nothing is changed"


def test_lanes_are_refused_after_the_snapshot(hospital: Hospital) -> None:
    def too_late(session: Session) -> None:
        session.execute(text("SELECT 1"))
        session.take_lanes([1])

    with pytest.raises(RuntimeError, match="before the first statement"):
        hospital.run(too_late)


def test_a_lane_is_the_shelfs_for_ever() -> None:
    """Every version of the code must agree on the lane of a shelf, or two nodes would not wait for each other."""
    ids = [uuid.UUID(int=number) for number in (1, 2, 3)]
    assert lane_of(*ids) == 27
    assert {lane_of(*(uuid.UUID(int=n) for n in (1, 2, drug))) for drug in range(5_000)} == set(range(256))


def test_every_connection_is_repeatable_read(database: Database, hospital: Hospital) -> None:
    def shown(session: Session) -> str:
        return session.execute(text("SHOW transaction_isolation")).scalar_one()

    assert database.transact(shown, actor=hospital.operator) == "repeatable read"
    assert database.transact(shown, actor=hospital.operator, read_only=True) == "repeatable read"
    with database.engine.connect() as connection:
        assert connection.execute(text("SHOW transaction_isolation")).scalar_one() == "repeatable read"


def test_the_fulfil_path_is_the_same_without_prepared_statements(config: Config) -> None:
    plain = dataclasses.replace(config, prepare_statements=False, pool_size=32)
    hospital = open_hospital(Database(plain, application_url(config)))
    assert storm(hospital, 30, 48) == ["InsufficientStock"] * 18 + ["given"] * 30


def test_busy_is_told_when_the_retries_are_used_up(hospital: Hospital) -> None:
    runs: list[int] = []

    def always_too_late(session: Session) -> None:
        runs.append(1)
        session.execute(text("SELECT 1"))
        session.execute(text("DO $$ BEGIN RAISE EXCEPTION 'made here' USING ERRCODE = '40001'; END $$"))

    with pytest.raises(Busy):
        hospital.run(always_too_late)
    assert len(runs) == 8
