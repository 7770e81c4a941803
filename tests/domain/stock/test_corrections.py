"""Corrections: a movement is undone by one that points at it, once."""

from typing import Any
from uuid import UUID

import pytest

from backend.db.transaction import ConstraintViolated
from backend.domain.identity.witnesses import WitnessRequired
from backend.domain.stock.adjustments import MovementAlreadyCorrected, MovementNotCorrectable, MovementNotFound
from backend.domain.stock.ledger import Shelf, StockWouldBeNegative
from backend.domain.stock.models import MovementReason
from tests import day
from tests.concurrency.threads import together
from tests.hospital import Hospital


def _movement(hospital: Hospital, reason: str) -> UUID:
    return UUID(str(hospital.rows("SELECT id FROM stock_movements WHERE reason::text = :p1", reason)[0][0]))


def _corrections(hospital: Hospital) -> list[tuple[Any, ...]]:
    return hospital.rows("SELECT corrects_id, units FROM stock_movements WHERE corrects_id IS NOT NULL")


def test_a_receipt_is_undone(hospital: Hospital) -> None:
    hospital.receive(7)
    day.correct(hospital, _movement(hospital, "receipt"))
    assert hospital.on_hand() == 0
    assert _corrections(hospital) == [(_movement(hospital, "receipt"), -7)]


@pytest.mark.parametrize("reason", [MovementReason.WASTE, MovementReason.LOSS])
def test_a_waste_or_loss_is_undone_on_its_own_lot(hospital: Hospital, reason: MovementReason) -> None:
    hospital.receive(7, lot="A")
    hospital.receive(7, lot="B")
    lot = day.lot_id(hospital, "B")
    day.adjust(hospital, -3, reason, lot=lot)
    day.correct(hospital, _movement(hospital, reason))
    assert hospital.on_hand() == 14
    assert hospital.rows("SELECT quantity_units FROM stock_lots WHERE lot_id = :p1", lot) == [(7,)]


def test_a_movement_is_undone_once(hospital: Hospital) -> None:
    hospital.receive(7)
    day.adjust(hospital, -3)
    day.correct(hospital, _movement(hospital, "waste"))
    with day.refused(hospital, MovementAlreadyCorrected) as refusal:
        day.correct(hospital, _movement(hospital, "waste"))
    assert refusal.value.members == {"corrected_by_id": str(_movement(hospital, "correction"))}
    assert hospital.on_hand() == 7


@pytest.mark.concurrency
def test_of_several_who_undo_at_once_one_does(hospital: Hospital) -> None:
    hospital.receive(7)
    day.adjust(hospital, -3)
    wrong = _movement(hospital, "waste")
    got = together(*[day.outcome_of(lambda: day.correct(hospital, wrong))] * 4)
    assert sorted(got) == ["MovementAlreadyCorrected"] * 3 + ["done"]
    assert (hospital.on_hand(), _corrections(hospital)) == (7, [(wrong, 3)])


def test_a_correction_a_dose_and_an_unknown_movement_are_not_undone_here(hospital: Hospital) -> None:
    hospital.receive(7)
    hospital.fulfil(hospital.place())
    day.adjust(hospital, -1)
    day.correct(hospital, _movement(hospital, "waste"))
    for reason in ("fulfilment", "correction"):
        with day.refused(hospital, MovementNotCorrectable):
            day.correct(hospital, _movement(hospital, reason))
    with day.refused(hospital, MovementNotFound):
        day.correct(hospital, hospital.patient_id)


def test_a_receipt_whose_units_have_left_is_not_undone(hospital: Hospital) -> None:
    hospital.receive(7)
    hospital.fulfil(hospital.place(units=1))
    with day.refused(hospital, StockWouldBeNegative):
        day.correct(hospital, _movement(hospital, "receipt"))
    assert hospital.on_hand() == 6


def test_a_controlled_movement_is_not_undone_alone(hospital: Hospital) -> None:
    shelf = Shelf(hospital.organization_id, hospital.ward_id, hospital.add_drug(controlled_schedule=2))
    hospital.receive(7, shelf=shelf)
    with day.refused(hospital, WitnessRequired):
        day.correct(hospital, _movement(hospital, "receipt"), shelf=shelf)


_BY_HAND = (
    "INSERT INTO stock_movements (organization_id, id, ward_id, drug_id, lot_id, sequence, units, balance_after_units,"
    " reason, reference_id, corrects_id, occurred_at) SELECT organization_id, gen_random_uuid(), ward_id, drug_id,"
    " lot_id, sequence + 2, 3, 10, CAST(:p1 AS movement_reason), gen_random_uuid(), id, now()"
    " FROM stock_movements WHERE reason = 'waste'"
)


def test_the_database_refuses_a_second_correction(hospital: Hospital) -> None:
    hospital.receive(7)
    day.adjust(hospital, -3)
    day.correct(hospital, _movement(hospital, "waste"))
    with day.refused(hospital, ConstraintViolated) as refusal:
        hospital.change(_BY_HAND, "correction")
    assert refusal.value.members == {"constraint": "uq_stock_movements_corrects_id"}


def test_the_database_lets_only_a_correction_point_at_a_movement(hospital: Hospital) -> None:
    hospital.receive(7)
    day.adjust(hospital, -3)
    with day.refused(hospital, ConstraintViolated) as refusal:
        hospital.change(_BY_HAND, "return")
    assert refusal.value.members == {"constraint": "ck_stock_movements_corrects_by_correction"}
