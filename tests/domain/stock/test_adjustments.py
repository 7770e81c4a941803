"""Adjustments outside a dose: signs, lots, witnesses, and what the ledger says afterwards."""

from datetime import date, timedelta
from typing import Any

import pytest

from backend.db.transaction import ConstraintViolated
from backend.domain.identity.witnesses import WitnessRequired
from backend.domain.stock.adjustments import LotNotFound, LotRecalled
from backend.domain.stock.ledger import Shelf, StockWouldBeNegative
from backend.domain.stock.models import LotStatus, MovementReason
from backend.domain.stock.picking import InsufficientStock
from backend.errors import ValidationFailed
from tests import day
from tests.hospital import Hospital, now

WASTE, LOSS = MovementReason.WASTE, MovementReason.LOSS
CORRECTION, RETURN = MovementReason.CORRECTION, MovementReason.RETURN


def _last(hospital: Hospital) -> tuple[Any, ...]:
    return hospital.rows(
        "SELECT reason::text, units, balance_after_units, actor_id, witness_id FROM stock_movements"
        " ORDER BY sequence DESC LIMIT 1"
    )[0]


@pytest.mark.parametrize("reason", [WASTE, LOSS, CORRECTION, RETURN])
def test_units_leave_with_their_reason(hospital: Hospital, reason: MovementReason) -> None:
    hospital.receive(7)
    done = day.adjust(hospital, -3, reason)
    assert (done.quantity_units, done.on_hand_units, hospital.on_hand()) == (-3, 4, 4)
    assert _last(hospital) == (reason.value, -3, 4, hospital.staff["pharmacist"].user_id, None)


@pytest.mark.parametrize("reason", [CORRECTION, RETURN])
def test_units_come_to_the_lot_that_is_named(hospital: Hospital, reason: MovementReason) -> None:
    hospital.receive(7)
    with day.refused(hospital, ValidationFailed):
        day.adjust(hospital, 3, reason)
    day.adjust(hospital, 3, reason, lot=day.lot_id(hospital))
    assert (hospital.on_hand(), _last(hospital)[:3]) == (10, (reason.value, 3, 10))


@pytest.mark.parametrize("reason", [WASTE, LOSS])
def test_waste_and_loss_never_add(hospital: Hospital, reason: MovementReason) -> None:
    hospital.receive(7)
    with day.refused(hospital, ValidationFailed):
        day.adjust(hospital, 3, reason, lot=day.lot_id(hospital))


def test_without_a_lot_the_first_to_expire_leaves_first_the_expired_included(hospital: Hospital) -> None:
    hospital.receive(2, lot="OLD", expires_on=date(2030, 1, 1))
    hospital.receive(5, lot="NEW", expires_on=date(2031, 1, 1))
    expired = (now() - timedelta(days=9)).date()
    hospital.change("UPDATE lots SET expires_on = :p1 WHERE lot_number = 'OLD'", expired)
    done = day.adjust(hospital, -3)
    assert [(lot["lot_number"], lot["quantity_units"]) for lot in done.lots] == [("OLD", -2), ("NEW", -1)]
    assert hospital.on_hand() == 4


def test_no_more_leaves_than_is_there(hospital: Hospital) -> None:
    hospital.receive(7, lot="A")
    hospital.receive(7, lot="B")
    with day.refused(hospital, StockWouldBeNegative) as refusal:
        day.adjust(hospital, -8, lot=day.lot_id(hospital, "A"))
    assert refusal.value.members["available_units"] == 7
    with day.refused(hospital, InsufficientStock):
        day.adjust(hospital, -15)
    assert hospital.on_hand() == 14


def test_a_lot_of_another_drug_is_not_found(hospital: Hospital) -> None:
    other = Shelf(hospital.organization_id, hospital.ward_id, hospital.add_drug())
    hospital.receive(7, lot="OTHER", shelf=other)
    with day.refused(hospital, LotNotFound):
        day.adjust(hospital, -1, lot=day.lot_id(hospital, "OTHER"))


def test_a_recalled_lot_leaves_and_never_grows(hospital: Hospital) -> None:
    hospital.receive(7)
    lot = day.lot_id(hospital)
    day.change_lot(hospital, lot, LotStatus.RECALLED)
    for units, reason in ((1, RETURN), (1, CORRECTION), (-1, CORRECTION)):
        with day.refused(hospital, LotRecalled):
            day.adjust(hospital, units, reason, lot=lot)
    for reason in (WASTE, LOSS, RETURN):
        day.adjust(hospital, -1, reason, lot=lot)
    assert hospital.on_hand() == 4


def test_a_controlled_drug_needs_a_witness_of_the_ward(hospital: Hospital) -> None:
    shelf = Shelf(hospital.organization_id, hospital.ward_id, hospital.add_drug(controlled_schedule=2))
    hospital.receive(7, shelf=shelf)
    for nobody in (None, hospital.staff["pharmacist"].user_id, hospital.staff["admin"].user_id):
        with day.refused(hospital, WitnessRequired):
            day.adjust(hospital, -1, shelf=shelf, witness_id=nobody)
    day.adjust(hospital, -1, shelf=shelf, witness_id=hospital.nurse.user_id)
    assert _last(hospital)[-2:] == (hospital.staff["pharmacist"].user_id, hospital.nurse.user_id)


def test_the_database_refuses_a_witness_who_is_the_actor(hospital: Hospital) -> None:
    hospital.receive(7)
    with day.refused(hospital, ConstraintViolated) as refusal:
        hospital.change(
            "INSERT INTO stock_movements (organization_id, id, ward_id, drug_id, lot_id, sequence, units,"
            " balance_after_units, reason, reference_id, actor_id, witness_id, occurred_at)"
            " SELECT organization_id, gen_random_uuid(), ward_id, drug_id, lot_id, 2, -1, 6, 'waste',"
            " gen_random_uuid(), actor_id, actor_id, now() FROM stock_movements"
        )
    assert refusal.value.members == {"constraint": "ck_stock_movements_witness_is_another"}
