"""Remainders: given, wasted and returned units are together what was withdrawn, never more."""

from datetime import date
from uuid import UUID

import orjson
import pytest

from backend.actor import Role
from backend.db.transaction import ConstraintViolated
from backend.domain.administrations.errors import AlreadyEnteredInError, DoseNotGiven, RemainderTooLarge
from backend.domain.administrations.models import RemainderKind
from backend.domain.identity.membership import NotOnThisWard
from backend.domain.identity.witnesses import WitnessRequired
from backend.domain.stock.ledger import Shelf
from backend.errors import ValidationFailed
from tests import day
from tests.concurrency.threads import together
from tests.hospital import Hospital

WASTE, RETURN = RemainderKind.WASTE, RemainderKind.RETURN


def _give(hospital: Hospital, units: int, shelf: Shelf | None = None) -> UUID:
    answer = hospital.fulfil(hospital.place(units=units, shelf=shelf), shelf=shelf)
    return UUID(orjson.loads(answer.body)["administration_id"])


def _accounts(hospital: Hospital) -> tuple[int, int, int]:
    """Withdrawn, wasted and returned units of the one dose."""
    return hospital.rows("SELECT quantity_units, wasted_units, returned_units FROM medication_administrations")[0]


def test_wasted_units_are_on_record_and_stay_gone(hospital: Hospital) -> None:
    hospital.receive(9)
    left = day.leave(hospital, _give(hospital, 4), 1)
    assert (left.withdrawn_units, left.wasted_units, left.returned_units, left.given_units) == (4, 1, 0, 3)
    assert (_accounts(hospital), hospital.on_hand()) == ((4, 1, 0), 5)
    assert hospital.rows("SELECT count(*) FROM stock_movements") == [(2,)]


def test_returned_units_are_on_the_shelf_again(hospital: Hospital) -> None:
    hospital.receive(9)
    left = day.leave(hospital, _give(hospital, 4), 1, RETURN)
    assert (_accounts(hospital), hospital.on_hand()) == ((4, 0, 1), 6)
    assert hospital.rows("SELECT reason::text, units, reference_id FROM stock_movements WHERE units = 1") == [
        ("return", 1, left.id)
    ]


def test_no_more_is_wasted_and_returned_than_was_withdrawn(hospital: Hospital) -> None:
    hospital.receive(9)
    dose = _give(hospital, 4)
    with day.refused(hospital, RemainderTooLarge) as refusal:
        day.leave(hospital, dose, 5)
    assert refusal.value.members == {"open_units": 4}
    day.leave(hospital, dose, 3)
    with day.refused(hospital, RemainderTooLarge):
        day.leave(hospital, dose, 2, RETURN)
    day.leave(hospital, dose, 1, RETURN)
    with day.refused(hospital, RemainderTooLarge) as refusal:
        day.leave(hospital, dose, 1)
    assert refusal.value.members == {"open_units": 0}
    assert (_accounts(hospital), hospital.on_hand()) == ((4, 3, 1), 6)


@pytest.mark.concurrency
def test_nor_by_several_at_once(hospital: Hospital) -> None:
    hospital.receive(9)
    dose = _give(hospital, 4)
    kinds = (WASTE, RETURN, WASTE, RETURN)
    got = together(*(day.outcome_of(lambda kind=kind: day.leave(hospital, dose, 3, kind)) for kind in kinds))
    assert sorted(got) == ["RemainderTooLarge"] * 3 + ["done"]
    withdrawn, wasted, returned = _accounts(hospital)
    assert (withdrawn, wasted + returned) == (4, 3)
    assert hospital.on_hand() == 5 + returned


def test_of_several_lots_one_is_named(hospital: Hospital) -> None:
    hospital.receive(3, lot="A", expires_on=date(2030, 1, 1))
    hospital.receive(3, lot="B", expires_on=date(2031, 1, 1))
    dose = _give(hospital, 4)
    a, b = day.lot_id(hospital, "A"), day.lot_id(hospital, "B")
    for wrong in (None, hospital.patient_id):
        with day.refused(hospital, ValidationFailed):
            day.leave(hospital, dose, 1, RETURN, lot=wrong)
    with day.refused(hospital, RemainderTooLarge) as refusal:
        day.leave(hospital, dose, 2, RETURN, lot=b)
    assert refusal.value.members == {"open_units": 1}
    day.leave(hospital, dose, 1, RETURN, lot=b)
    day.leave(hospital, dose, 2, RETURN, lot=a)
    assert dict(hospital.rows("SELECT lot_id, quantity_units FROM stock_lots")) == {a: 2, b: 3}


def test_a_controlled_remainder_needs_a_witness(hospital: Hospital) -> None:
    shelf = Shelf(hospital.organization_id, hospital.ward_id, hospital.add_drug(controlled_schedule=2))
    hospital.receive(9, shelf=shelf)
    dose = _give(hospital, 4, shelf)
    for kind in (WASTE, RETURN):
        for nobody in (None, hospital.nurse.user_id, hospital.staff["doctor"].user_id):
            with day.refused(hospital, WitnessRequired):
                day.leave(hospital, dose, 1, kind, witness_id=nobody)
    witness = hospital.add_staff("witness", Role.NURSE, (hospital.ward_id,))
    day.leave(hospital, dose, 1, witness_id=witness.user_id)
    assert hospital.rows("SELECT actor_id, witness_id FROM dose_remainders") == [
        (hospital.nurse.user_id, witness.user_id)
    ]


def test_of_a_dose_that_was_not_given_or_in_error_nothing_is_left(hospital: Hospital) -> None:
    hospital.receive(9)
    skipped = day.skip(hospital, hospital.place()).administration_id
    with day.refused(hospital, DoseNotGiven):
        day.leave(hospital, skipped, 1)
    wrong = _give(hospital, 2)
    day.mark_in_error(hospital, wrong)
    with day.refused(hospital, AlreadyEnteredInError):
        day.leave(hospital, wrong, 1, RETURN)
    assert hospital.on_hand() == 9


def test_a_nurse_of_another_ward_is_refused(hospital: Hospital) -> None:
    hospital.receive(9)
    dose = _give(hospital, 4)
    hospital.staff["nurse"] = hospital.add_staff("stranger", Role.NURSE)
    with day.refused(hospital, NotOnThisWard):
        day.leave(hospital, dose, 1)


def test_the_database_accounts_for_no_more_than_was_withdrawn(hospital: Hospital) -> None:
    hospital.receive(9)
    _give(hospital, 4)
    with day.refused(hospital, ConstraintViolated) as refusal:
        hospital.change("UPDATE medication_administrations SET wasted_units = 3, returned_units = 2")
    assert refusal.value.members == {"constraint": "ck_medication_administrations_remainder_within_withdrawn"}


def test_the_database_refuses_a_witness_who_is_the_actor(hospital: Hospital) -> None:
    hospital.receive(9)
    day.leave(hospital, _give(hospital, 4), 1)
    with day.refused(hospital, ConstraintViolated) as refusal:
        hospital.change(
            "INSERT INTO dose_remainders (organization_id, id, administration_id, kind, lot_id, units, actor_id,"
            " witness_id, occurred_at) SELECT organization_id, gen_random_uuid(), administration_id, kind, lot_id, 1,"
            " actor_id, actor_id, now() FROM dose_remainders"
        )
    assert refusal.value.members == {"constraint": "ck_dose_remainders_witness_is_another"}
