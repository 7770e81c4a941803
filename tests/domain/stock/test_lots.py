"""Lots on hold and recalled: what changes into what, what is kept back, and that a recall misses no dose."""

from datetime import date
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from backend.db import Session
from backend.db.transaction import ConstraintViolated
from backend.domain.custody.blind import hidden_from
from backend.domain.custody.transfers import Arrived
from backend.domain.reports.tracing import trace_lot
from backend.domain.stock import lots
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.lots import LotStatusConflict
from backend.domain.stock.models import LotStatus
from backend.domain.stock.picking import InsufficientStock
from backend.domain.stock.receipts import LotNotAvailable
from tests import day
from tests.concurrency.threads import together
from tests.hospital import Client, Hospital, now, sign_in

AVAILABLE, ON_HOLD, RECALLED = LotStatus.AVAILABLE, LotStatus.ON_HOLD, LotStatus.RECALLED


def _trace(hospital: Hospital, lot: UUID) -> dict[str, Any]:
    hides = hidden_from(hospital.staff["pharmacist"])
    wanted = {"organization_id": hospital.organization_id, "lot_id": lot, "hides": hides}
    return day.look(hospital, lambda session: trace_lot(session, **wanted))


@pytest.mark.parametrize(
    "path", [(ON_HOLD, AVAILABLE, ON_HOLD), (ON_HOLD, RECALLED), (RECALLED,), (ON_HOLD, AVAILABLE, RECALLED)]
)
def test_a_lot_changes_as_it_may(hospital: Hospital, path: tuple[LotStatus, ...]) -> None:
    hospital.receive(7)
    lot = day.lot_id(hospital)
    for status in path:
        day.change_lot(hospital, lot, status)
        ((found, reason),) = hospital.rows("SELECT status::text, status_reason FROM lots")
        assert (found, reason) == (status.value, None if status is AVAILABLE else "particles")


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ((), AVAILABLE),
        ((ON_HOLD,), ON_HOLD),
        ((RECALLED,), AVAILABLE),
        ((RECALLED,), ON_HOLD),
        ((RECALLED,), RECALLED),
    ],
)
def test_a_lot_changes_no_other_way(hospital: Hospital, path: tuple[LotStatus, ...], refused: LotStatus) -> None:
    hospital.receive(7)
    lot = day.lot_id(hospital)
    for status in path:
        day.change_lot(hospital, lot, status)
    with day.refused(hospital, LotStatusConflict) as refusal:
        day.change_lot(hospital, lot, refused)
    assert refusal.value.members == {"lot_status": path[-1].value if path else "available"}


@pytest.mark.parametrize("status", [ON_HOLD, RECALLED])
def test_a_lot_kept_back_is_neither_given_nor_received(hospital: Hospital, status: LotStatus) -> None:
    receipt = hospital.receive(7)
    order_id = hospital.place()
    day.change_lot(hospital, receipt.lot_id, status)
    with day.refused(hospital, InsufficientStock):
        hospital.fulfil(order_id)
    with day.refused(hospital, LotNotAvailable) as refusal:
        hospital.receive(1, expires_on=receipt.expires_on)
    assert refusal.value.members["lot_status"] == status.value
    assert hospital.on_hand() == 7


def test_a_released_lot_is_given_again(hospital: Hospital) -> None:
    hospital.receive(7)
    order_id, lot = hospital.place(), day.lot_id(hospital)
    day.change_lot(hospital, lot, ON_HOLD)
    day.change_lot(hospital, lot, AVAILABLE)
    assert hospital.fulfil(order_id).status == 200


def test_the_next_lot_is_given_in_place_of_one_on_hold(hospital: Hospital) -> None:
    hospital.receive(7, lot="HELD", expires_on=date(2030, 1, 1))
    hospital.receive(7, lot="NEXT", expires_on=date(2031, 1, 1))
    day.change_lot(hospital, day.lot_id(hospital, "HELD"), ON_HOLD)
    hospital.fulfil(hospital.place(units=2))
    left = hospital.rows(
        "SELECT lot_number, quantity_units FROM stock_lots s JOIN lots t ON t.id = s.lot_id ORDER BY 1"
    )
    assert left == [("HELD", 7), ("NEXT", 5)]


def test_a_recall_answers_with_stock_transit_and_patients(hospital: Hospital) -> None:
    south = Shelf(hospital.organization_id, hospital.add_ward("2 South"), hospital.drug_id)
    lot = hospital.receive(20).lot_id
    arrived = day.request(hospital, hospital.ward_id, south.ward_id, 6)
    travelling = day.request(hospital, hospital.ward_id, south.ward_id, 3)
    for transfer_id in (arrived, travelling):
        day.dispatch(hospital, transfer_id)
    day.receive(hospital, arrived, [Arrived(hospital.drug_id, 5)])
    order_id = hospital.place(units=2)
    hospital.fulfil(order_id)
    day.change_lot(hospital, lot, RECALLED)

    traced = _trace(hospital, lot)
    assert traced["status"] is RECALLED
    assert [(row.ward_name, row.quantity_units) for row in traced["stock"]] == [("1 North", 9), ("2 South", 5)]
    in_transit = {row.transfer_id: row.quantity_units for row in traced["in_transit"]}
    assert in_transit == {arrived: 1, travelling: 3}  # the unit that did not arrive may still turn up
    (dose,) = traced["doses"]
    assert (dose.order_id, dose.patient_id, dose.quantity_units) == (order_id, hospital.patient_id, 2)
    assert dose.entered_in_error_at is None

    day.receive(hospital, travelling)  # what is on its way arrives and stays kept back
    assert hospital.on_hand(south) == 8
    assert len(_trace(hospital, lot)["in_transit"]) == 1


def test_a_dose_marked_in_error_stays_in_the_trace_and_says_so(hospital: Hospital) -> None:
    lot = hospital.receive(7).lot_id
    hospital.fulfil(hospital.place())
    ((administration_id,),) = hospital.rows("SELECT id FROM medication_administrations")
    day.mark_in_error(hospital, administration_id)
    (dose,) = _trace(hospital, lot)["doses"]
    assert dose.entered_in_error_at is not None


def test_the_database_keeps_no_lot_back_without_a_reason(hospital: Hospital) -> None:
    hospital.receive(7)
    with day.refused(hospital, ConstraintViolated) as refusal:
        hospital.change("UPDATE lots SET status = 'recalled'")
    assert refusal.value.members == {"constraint": "ck_lots_kept_back_with_reason"}


def _recall(pharmacist: Client, lot: UUID) -> dict[str, Any]:
    answer = pharmacist.post(f"/lots/{lot}/recall", {"reason": "particles"}, headers={"Idempotency-Key": "recall"})
    assert answer.status_code == 200
    return answer.json


@pytest.mark.concurrency
def test_a_recall_in_the_middle_of_fulfilments_misses_no_dose(app: Flask, hospital: Hospital) -> None:
    """Every dose that was given of the lot is in the recall's answer, and none is given after it, on either ward."""
    south = Shelf(hospital.organization_id, hospital.add_ward(), hospital.drug_id)
    expires_on = date(2031, 1, 1)
    lot = hospital.receive(200, expires_on=expires_on).lot_id
    hospital.receive(200, expires_on=expires_on, shelf=south)
    there = hospital.add_staff("there", hospital.nurse.role, (south.ward_id,))
    orders = {"nurse": hospital.place_many(32), there.name.lower(): hospital.place_many(32, shelf=south)}
    pharmacist = sign_in(app, hospital, "pharmacist")

    def give(nurse: Client, mine: list[UUID]) -> list[Any]:
        return [nurse.post(f"/orders/{order_id}/fulfill") for order_id in mine]

    recalled: list[dict[str, Any]] = []

    def give_and_recall_halfway() -> list[Any]:
        nurse, mine = sign_in(app, hospital, "nurse"), orders["nurse"][24:]
        answers = give(nurse, mine[:3])
        recalling = Thread(target=lambda: recalled.append(_recall(pharmacist, lot)))
        recalling.start()
        answers += give(nurse, mine[3:])
        recalling.join()
        return answers

    clients = [(sign_in(app, hospital, login), orders[login][n:24:3]) for login in orders for n in range(3)]
    answers = together(give_and_recall_halfway, *(lambda who=who, mine=mine: give(who, mine) for who, mine in clients))
    given = {one.json["administration_id"] for mine in answers for one in mine if one.status_code == 200}
    refused = [one.json["code"] for mine in answers for one in mine if one.status_code != 200]

    assert len(recalled) == 1
    assert {dose["administration_id"] for dose in recalled[0]["doses"]} == given
    assert recalled[0]["dose_count"] == sum(patient["doses"] for patient in recalled[0]["patients"]) == len(given)
    assert set(refused) == {"insufficient_stock"}  # so the recall was in the middle, and
    assert given
    units = {row["ward_id"]: row["quantity_units"] for row in recalled[0]["stock"]}
    assert units == {str(hospital.ward_id): hospital.on_hand(), str(south.ward_id): hospital.on_hand(south)}
    assert sum(units.values()) == 400 - len(given)


@pytest.mark.concurrency
def test_a_recall_runs_again_where_the_lot_came_to_a_new_ward_meanwhile(hospital: Hospital) -> None:
    """The new shelf's lane is not among those that the recall took: the lot's version makes it look again."""
    lot = hospital.receive(10).lot_id
    south = Shelf(hospital.organization_id, hospital.add_ward(), hospital.drug_id)
    transfer_id = day.request(hospital, hospital.ward_id, south.ward_id, 4)
    day.dispatch(hospital, transfer_id)
    pharmacist, receiver = hospital.staff["pharmacist"], day.second_pharmacist(hospital)
    runs: list[int] = []

    def recall(session: Session) -> list[tuple[UUID, int]]:
        known = lots.shelves_of(session, organization_id=hospital.organization_id, lot_id=lot)
        runs.append(len(known))
        if len(runs) == 1:
            day.receive(hospital, transfer_id, actor=receiver)
        changed = {"actor": pharmacist, "lot_id": lot, "status": RECALLED, "reason": "particles", "now": now()}
        lots.change_status(session, **changed)
        traced = trace_lot(session, organization_id=hospital.organization_id, lot_id=lot, hides=hidden_from(pharmacist))
        return [(row.ward_id, row.quantity_units) for row in traced["stock"]]

    answer = day.act(hospital, [hospital.shelf], recall, pharmacist)
    assert runs == [1, 2]
    assert sorted(answer) == sorted([(hospital.ward_id, 6), (south.ward_id, 4)])
