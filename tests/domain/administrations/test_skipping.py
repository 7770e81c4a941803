"""A dose that was due and not given: it moves on, and no stock does."""

from datetime import timedelta

import pytest

from backend.actor import Role
from backend.db.transaction import ConstraintViolated
from backend.domain.administrations.models import Outcome
from backend.domain.identity.membership import NotOnThisWard
from backend.domain.orders.errors import (
    DoseAlreadyGiven,
    DoseOutOfSequence,
    OrderAlreadyCompleted,
    OrderDiscontinued,
    OrderNotFound,
)
from backend.errors import ValidationFailed
from tests import day
from tests.concurrency.threads import together
from tests.hospital import Hospital, now


@pytest.mark.parametrize("outcome", [Outcome.HELD, Outcome.REFUSED, Outcome.UNAVAILABLE])
def test_a_skipped_dose_is_on_record_and_takes_no_stock(hospital: Hospital, outcome: Outcome) -> None:
    hospital.receive(5)
    due_at = now() + timedelta(hours=1)
    order_id = hospital.place(doses=3, interval_minutes=60, first_due_at=due_at)
    skipped = day.skip(hospital, order_id, outcome, dose=1)
    assert (skipped.dose, skipped.status, skipped.due_at) == (1, "active", due_at + timedelta(hours=1))
    assert hospital.rows(
        "SELECT dose_number, outcome::text, quantity_units, nurse_id FROM medication_administrations"
    ) == [(1, outcome.value, 0, hospital.nurse.user_id)]
    assert hospital.rows("SELECT doses_given, due_at FROM medication_orders") == [(1, skipped.due_at)]
    assert hospital.on_hand() == 5
    assert hospital.rows("SELECT count(*) FROM stock_movements") == [(1,)]
    assert hospital.fulfil(order_id, dose=2).status == 200


def test_the_last_dose_skipped_closes_the_order(hospital: Hospital) -> None:
    order_id = hospital.place()
    assert day.skip(hospital, order_id).status == "completed"
    assert hospital.rows("SELECT status::text, completed_at IS NOT NULL FROM medication_orders") == [
        ("completed", True)
    ]
    with day.refused(hospital, OrderAlreadyCompleted):
        day.skip(hospital, order_id)
    with day.refused(hospital, OrderAlreadyCompleted):
        hospital.fulfil(order_id)


def test_the_dose_that_is_meant_is_named(hospital: Hospital) -> None:
    hospital.receive(5)
    order_id = hospital.place(doses=3)
    hospital.fulfil(order_id, dose=1)
    for dose, error in ((None, ValidationFailed), (4, ValidationFailed), (1, DoseAlreadyGiven), (3, DoseOutOfSequence)):
        with day.refused(hospital, error):
            day.skip(hospital, order_id, dose=dose)


def test_a_discontinued_order_of_another_ward_or_none_is_refused(hospital: Hospital) -> None:
    order_id = hospital.place()
    with day.refused(hospital, OrderNotFound):
        day.skip(hospital, hospital.patient_id)
    hospital.change(
        "UPDATE medication_orders SET status = 'discontinued', discontinued_at = now(), discontinue_reason = 'x'"
    )
    with day.refused(hospital, OrderDiscontinued):
        day.skip(hospital, order_id)
    hospital.staff["nurse"] = hospital.add_staff("stranger", Role.NURSE)
    with day.refused(hospital, NotOnThisWard):
        day.skip(hospital, order_id)


@pytest.mark.concurrency
def test_a_dose_is_given_or_skipped_not_both(hospital: Hospital) -> None:
    hospital.receive(20)
    for order_id in hospital.place_many(8):
        got = together(
            day.outcome_of(lambda one=order_id: hospital.fulfil(one)),
            day.outcome_of(lambda one=order_id: day.skip(hospital, one)),
        )
        assert sorted(got) == ["OrderAlreadyCompleted", "done"]
    ((given, entries),) = hospital.rows(
        "SELECT count(*) FILTER (WHERE outcome = 'given'), count(*) FROM medication_administrations"
    )
    assert entries == 8
    assert hospital.on_hand() == 20 - given


def test_the_database_refuses_units_of_a_skipped_dose(hospital: Hospital) -> None:
    day.skip(hospital, hospital.place())
    with day.refused(hospital, ConstraintViolated) as refusal:
        hospital.change("UPDATE medication_administrations SET quantity_units = 1")
    assert refusal.value.members == {"constraint": "ck_medication_administrations_given_has_units"}
