"""Alerts: each opens once, clears itself, moves on with time, and is told to those whom it concerns."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from backend.actor import Actor, Role
from backend.db.paging import PageRequest
from backend.db.transaction import ConstraintViolated
from backend.domain.alerts import evaluating
from backend.domain.alerts.evaluating import AlertNotFound
from backend.domain.custody.counting import Counted
from backend.domain.custody.models import Resolution
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.models import MovementReason
from tests import day
from tests.concurrency.threads import together
from tests.hospital import Hospital, now, sign_in


def _refresh(hospital: Hospital, at: datetime | None = None) -> None:
    wanted = {"organization_id": hospital.organization_id, "now": at or now()}
    hospital.run(lambda session: evaluating.refresh(session, **wanted))


def _open(hospital: Hospital) -> list[tuple[Any, ...]]:
    """Kind, horizon and figure of the open alerts."""
    return hospital.rows(
        "SELECT kind::text, within_days, units FROM alerts WHERE cleared_at IS NULL ORDER BY kind, within_days"
    )


def _twice(hospital: Hospital, at: datetime | None = None) -> list[tuple[Any, ...]]:
    """What is open after two looks: the second must open nothing more."""
    _refresh(hospital, at)
    found = _open(hospital)
    before = hospital.counts()
    _refresh(hospital, at)
    assert hospital.counts() == before
    return found


def _told(hospital: Hospital, actor: Actor) -> list[str]:
    wanted = {"ward_id": None, "kind": None, "cleared": False, "page": PageRequest(50, None)}
    page = day.look(hospital, lambda session: evaluating.list_alerts(session, actor=actor, **wanted))
    return sorted(row.kind.value for row in page.items)


def test_a_shelf_below_its_reorder_point_is_low_then_out_then_neither(hospital: Hospital) -> None:
    hospital.receive(20)
    day.set_levels(hospital, 5, 10)
    assert _twice(hospital) == []
    day.adjust(hospital, -15)
    assert _twice(hospital) == [("low", None, 5)]
    day.adjust(hospital, -5)
    assert _twice(hospital) == [("out", None, 0)]
    hospital.receive(20)
    assert _twice(hospital) == []
    cleared = hospital.rows("SELECT kind::text, cleared_at IS NOT NULL FROM alerts ORDER BY kind")
    assert cleared == [("low", True), ("out", True)]


def test_a_shelf_that_nobody_wants_is_not_out_until_it_is_ordered_from(hospital: Hospital) -> None:
    hospital.receive(1)
    day.adjust(hospital, -1)
    assert _twice(hospital) == []
    order_id = hospital.place()
    assert _twice(hospital) == [("out", None, 0)]
    day.skip(hospital, order_id)
    assert _twice(hospital) == []


def test_expired_and_held_units_do_not_keep_a_shelf_from_being_out(hospital: Hospital) -> None:
    lot = hospital.receive(20).lot_id
    day.set_levels(hospital, 5, 10)
    hospital.change("UPDATE lots SET status = 'on_hold', status_reason = 'x' WHERE id = :p1", lot)
    assert _twice(hospital) == [("out", None, 0)]


def test_an_expiry_moves_through_its_horizons(hospital: Hospital) -> None:
    expires_on = (now() + timedelta(days=100)).date()
    hospital.receive(7, expires_on=expires_on)
    noon = datetime.combine(expires_on, datetime.min.time(), tzinfo=now().tzinfo) + timedelta(hours=12)
    expected = [
        *((91, []), (90, [("expiring", 90, 7)]), (61, [("expiring", 90, 7)]), (60, [("expiring", 60, 7)])),
        *((31, [("expiring", 60, 7)]), (30, [("expiring", 30, 7)]), (0, [("expiring", 30, 7)])),
        (-1, [("expired", None, 7)]),
    ]
    for days, found in expected:
        assert (days, _twice(hospital, noon - timedelta(days=days))) == (days, found)
    day.adjust(hospital, -7)
    assert _twice(hospital, noon + timedelta(days=2)) == []


def test_a_transfer_that_takes_too_long_and_arrives_after_all(hospital: Hospital) -> None:
    hospital.receive(9)
    transfer_id = day.request(hospital, hospital.ward_id, hospital.add_ward(), 4)
    assert _twice(hospital, now() + timedelta(hours=25)) == []  # not sent yet
    day.dispatch(hospital, transfer_id)
    assert _twice(hospital, now() + timedelta(hours=23)) == []
    assert _twice(hospital, now() + timedelta(hours=25)) == [("in_transit", None, 4)]
    day.receive(hospital, transfer_id)
    assert _twice(hospital, now() + timedelta(hours=26)) == []


def test_a_discrepancy_past_its_time_and_resolved(hospital: Hospital) -> None:
    hospital.receive(9)
    count_id = day.open_count(hospital)
    day.record_count(hospital, count_id, Counted(day.lot_id(hospital), 6))
    day.complete_count(hospital, count_id)
    assert _twice(hospital, now() + timedelta(hours=23)) == []
    assert _twice(hospital, now() + timedelta(hours=25)) == [("discrepancy", None, -3)]
    (discrepancy_id,) = day.discrepancies(hospital)
    day.resolve(hospital, discrepancy_id, Resolution.MISCOUNT)
    assert _twice(hospital, now() + timedelta(hours=26)) == []


def test_a_condition_that_comes_back_opens_a_new_alert(hospital: Hospital) -> None:
    lot = hospital.receive(3).lot_id
    day.set_levels(hospital, 5, 10)
    for units in (7, -7):
        _refresh(hospital)
        day.adjust(hospital, units, MovementReason.CORRECTION, lot=lot)
    assert _twice(hospital) == [("low", None, 3)]
    assert hospital.rows("SELECT count(*) FROM alerts") == [(2,)]


@pytest.fixture
def busy(hospital: Hospital) -> Hospital:
    """Low on the ward; out and expired on another."""
    hospital.receive(3)
    day.set_levels(hospital, 5, 10)
    south = Shelf(hospital.organization_id, hospital.add_ward("South"), hospital.drug_id)
    hospital.receive(1, lot="OLD", shelf=south)
    hospital.change("UPDATE lots SET expires_on = :p1 WHERE lot_number = 'OLD'", (now() - timedelta(days=5)).date())
    day.set_levels(hospital, 5, 10, south)
    hospital.add_staff("south", Role.NURSE, (south.ward_id,))
    hospital.receive(2, lot="SOON", expires_on=(now() + timedelta(days=10)).date())
    day.adjust(hospital, -2, lot=day.lot_id(hospital))
    _refresh(hospital)
    return hospital


def test_alerts_are_told_by_role_and_ward(busy: Hospital) -> None:
    everything = ["expired", "expiring", "low", "out"]
    assert _told(busy, busy.staff["pharmacist"]) == everything
    assert _told(busy, busy.staff["admin"]) == everything
    assert _told(busy, busy.nurse) == ["low"]
    assert _told(busy, busy.staff["south"]) == ["expired", "out"]
    assert _told(busy, busy.staff["doctor"]) == ["out"]


def _acknowledge(hospital: Hospital, actor: Actor, alert_id: UUID) -> None:
    hospital.run(lambda session: evaluating.acknowledge(session, actor=actor, alert_id=alert_id, now=now()), actor)


def test_an_alert_is_acknowledged_by_those_who_are_told_and_the_first_is_kept(busy: Hospital) -> None:
    ((low,),) = busy.rows("SELECT id FROM alerts WHERE kind = 'low'")
    for stranger in (busy.staff["south"], busy.staff["doctor"]):
        with day.refused(busy, AlertNotFound):
            _acknowledge(busy, stranger, low)
    _acknowledge(busy, busy.nurse, low)
    _acknowledge(busy, busy.staff["pharmacist"], low)
    assert busy.rows("SELECT acknowledged_by_id FROM alerts WHERE acknowledged_at IS NOT NULL") == [
        (busy.nurse.user_id,)
    ]
    assert "low" in _told(busy, busy.nurse)  # seen is not ended


def test_an_alert_that_has_cleared_is_not_acknowledged(busy: Hospital) -> None:
    ((low,),) = busy.rows("SELECT id FROM alerts WHERE kind = 'low'")
    busy.receive(20)
    _refresh(busy)
    with day.refused(busy, AlertNotFound):
        _acknowledge(busy, busy.nurse, low)


@pytest.mark.concurrency
def test_looks_at_once_open_one_alert(hospital: Hospital) -> None:
    hospital.receive(3)
    day.set_levels(hospital, 5, 10)
    for _ in range(5):
        together(*[lambda: day.refresh_alerts(hospital)] * 4)
        assert _open(hospital) == [("low", None, 3)]
        hospital.change("UPDATE alerts SET cleared_at = now() + interval '1 minute' WHERE cleared_at IS NULL")


@pytest.mark.concurrency
def test_whoever_looks_while_shelves_change_is_answered(app: Flask, hospital: Hospital) -> None:
    pharmacist = sign_in(app, hospital, "pharmacist")
    shelves = [replace(hospital.shelf, drug_id=hospital.add_drug()) for _ in range(6)]
    for shelf in shelves:
        hospital.receive(5, shelf=shelf)

    def look() -> Counter[int]:
        return Counter(pharmacist.get("/alerts").status_code for _ in range(12))

    def change(some: list[Shelf]) -> Counter[int]:
        for reorder_point in (9, 0) * 6:
            for shelf in some:
                day.set_levels(hospital, reorder_point, 10, shelf)
        return Counter()

    told = together(*[look] * 5, lambda: change(shelves[::2]), lambda: change(shelves[1::2]))
    assert sum(told, Counter()) == {200: 60}
    assert _twice(hospital) == []


@pytest.mark.concurrency
def test_looks_at_once_clear_an_alert(hospital: Hospital) -> None:
    hospital.receive(3)
    day.set_levels(hospital, 5, 10)
    _refresh(hospital)
    hospital.receive(20)
    together(*[lambda: day.refresh_alerts(hospital)] * 4)
    assert _open(hospital) == []


_BY_HAND = (
    "INSERT INTO alerts (organization_id, id, kind, ward_id, drug_id, units)"
    " SELECT organization_id, gen_random_uuid(), CAST(:p1 AS alert_kind), ward_id, drug_id, units FROM alerts"
)


@pytest.mark.parametrize(
    ("kind", "constraint"), [("low", "uq_alerts_open"), ("expiring", "ck_alerts_within_days_of_expiring")]
)
def test_the_database_has_one_open_alert_for_one_thing(hospital: Hospital, kind: str, constraint: str) -> None:
    hospital.receive(3)
    day.set_levels(hospital, 5, 10)
    _refresh(hospital)
    with day.refused(hospital, ConstraintViolated) as refusal:
        hospital.change(_BY_HAND, kind)
    assert refusal.value.members == {"constraint": constraint}
