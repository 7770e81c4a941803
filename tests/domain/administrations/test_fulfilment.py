"""A fulfilment: what it gives, what it refuses and in which order; a refusal changes nothing."""

from datetime import date, timedelta
from typing import Any

import orjson
import pytest

from backend.actor import Role
from backend.db import Database, new_id
from backend.db.idempotency import IdempotencyKeyReused
from backend.domain.identity.membership import NotOnThisWard
from backend.domain.identity.witnesses import WitnessRequired
from backend.domain.orders import errors
from backend.domain.stock.picking import InsufficientStock
from backend.errors import DomainError, ValidationFailed
from tests.hospital import Hospital, now, open_hospital


def test_gives_the_first_expiring_lots_and_closes_the_order(hospital: Hospital) -> None:
    hospital.receive(5, lot="LATER", expires_on=date(2031, 1, 1))
    hospital.receive(3, lot="SOONER", expires_on=date(2030, 1, 1))
    order_id = hospital.place(units=4)

    answer = orjson.loads(hospital.fulfil(order_id).body)

    assert list(answer) == [
        *("order_id", "status", "patient_name", "drug_name", "dose", "quantity_units", "remaining_stock", "lots"),
        *("administration_id", "fulfilled_by", "fulfilled_at"),
    ]
    assert answer["status"] == "completed"
    assert answer["remaining_stock"] == 4 == hospital.on_hand()
    assert answer["lots"] == [
        {"lot_number": "SOONER", "expires_on": "2030-01-01", "quantity_units": 3},
        {"lot_number": "LATER", "expires_on": "2031-01-01", "quantity_units": 1},
    ]
    movements = hospital.rows(
        "SELECT sequence, units, balance_after_units, reason::text FROM stock_movements ORDER BY sequence"
    )
    assert movements == [(1, 5, 5, "receipt"), (2, 3, 8, "receipt"), (3, -3, 5, "fulfilment"), (4, -1, 4, "fulfilment")]
    (completed,) = hospital.rows("SELECT status::text, doses_given, completed_at IS NOT NULL FROM medication_orders")
    assert completed == ("completed", 1, True)


def test_the_expiry_day_counts_by_the_hospitals_calendar(hospital: Hospital) -> None:
    hospital.receive(1, lot="TODAY", expires_on=date(2030, 6, 15))
    late_evening_utc = now().replace(year=2030, month=6, day=15, hour=21, minute=30)
    midnight_passed_in_berlin = late_evening_utc.replace(hour=22, minute=30)
    order_id = hospital.place()
    with pytest.raises(InsufficientStock) as refusal:
        hospital.fulfil(order_id, given_at=midnight_passed_in_berlin)
    assert refusal.value.members == {"requested_units": 1, "available_units": 0}
    assert hospital.fulfil(order_id, given_at=late_evening_utc).status == 200


@pytest.mark.parametrize("status", ["on_hold", "recalled"])
def test_a_held_or_recalled_lot_is_not_given(hospital: Hospital, status: str) -> None:
    hospital.receive(5)
    hospital.change(f"UPDATE lots SET status = '{status}', status_reason = 'particles'")
    with pytest.raises(InsufficientStock):
        hospital.fulfil(hospital.place())
    assert hospital.on_hand() == 5


def test_a_schedule_is_given_dose_by_dose(hospital: Hospital) -> None:
    hospital.receive(10)
    order_id = hospital.place(doses=3, units=2)
    with pytest.raises(ValidationFailed):
        hospital.fulfil(order_id)
    with pytest.raises(errors.DoseOutOfSequence) as early:
        hospital.fulfil(order_id, dose=2)
    assert early.value.members == {"next_dose": 1}
    first = orjson.loads(hospital.fulfil(order_id, dose=1).body)
    assert (first["status"], first["dose"]) == ("active", 1)
    with pytest.raises(errors.DoseAlreadyGiven) as again:
        hospital.fulfil(order_id, dose=1)
    assert again.value.members["fulfilled_by"] == "Nurse"
    assert again.value.members["next_dose"] == 2
    ((shift,),) = hospital.rows("SELECT due_at - first_due_at FROM medication_orders")
    assert shift == timedelta(minutes=60)
    hospital.fulfil(order_id, dose=2)
    assert orjson.loads(hospital.fulfil(order_id, dose=3).body)["status"] == "completed"
    with pytest.raises(errors.OrderAlreadyCompleted):
        hospital.fulfil(order_id, dose=3)
    assert hospital.on_hand() == 4


def test_a_key_is_answered_once_and_a_refusal_does_not_burn_it(hospital: Hospital) -> None:
    order_id = hospital.place()
    with pytest.raises(InsufficientStock):
        hospital.fulfil(order_id, key="k")
    hospital.receive(2)
    first = hospital.fulfil(order_id, key="k")
    second = hospital.fulfil(order_id, key="k")
    assert (first.replayed, second.replayed) == (False, True)
    assert first.body == second.body
    with pytest.raises(IdempotencyKeyReused):
        hospital.fulfil(order_id, key="k", fingerprint=b"another request")
    assert hospital.on_hand() == 1


def test_refusals_come_in_their_order_and_change_nothing(database: Database) -> None:
    """Every reason applies at first; one after another is taken away, and the next one is told."""
    hospital = open_hospital(database, verification_required=True, witness_required=True)
    hospital.drug_id = hospital.add_drug("Morphine", controlled_schedule=2)
    order_id = hospital.place(units=3)
    stranger = hospital.add_staff("stranger", Role.NURSE)
    colleague = hospital.add_staff("colleague", Role.NURSE, (hospital.ward_id,))

    def refused(refusal: type[DomainError], **values: Any) -> DomainError:
        before = hospital.counts()
        with pytest.raises(refusal) as raised:
            hospital.fulfil(order_id, **values)
        assert hospital.counts() == before
        return raised.value

    refused(NotOnThisWard, actor=stranger)
    refused(errors.OrderNotVerified)
    hospital.change("UPDATE medication_orders SET verified_at = now(), verified_by_id = :p1", hospital.nurse.user_id)
    refused(WitnessRequired)
    refused(WitnessRequired, witness_id=hospital.nurse.user_id)
    refused(WitnessRequired, witness_id=stranger.user_id)
    short = refused(InsufficientStock, witness_id=colleague.user_id)
    assert short.members == {"requested_units": 3, "available_units": 0}
    hospital.receive(3)
    assert hospital.fulfil(order_id, witness_id=colleague.user_id).status == 200
    ((nurse, witness),) = hospital.rows("SELECT nurse_id, witness_id FROM medication_administrations")
    assert (nurse, witness) == (hospital.nurse.user_id, colleague.user_id)
    refused(errors.OrderAlreadyCompleted, witness_id=colleague.user_id)
    refused(NotOnThisWard, actor=stranger)


def test_a_discontinued_order_is_refused(hospital: Hospital) -> None:
    hospital.receive(1)
    order_id = hospital.place()
    hospital.change(
        "UPDATE medication_orders SET status = 'discontinued', discontinued_at = now(), discontinue_reason = 'x'"
    )
    with pytest.raises(errors.OrderDiscontinued):
        hospital.fulfil(order_id)
    assert hospital.on_hand() == 1


def test_an_unknown_order_and_one_of_another_hospital_are_not_found(hospital: Hospital, database: Database) -> None:
    other = open_hospital(database)
    other.receive(1)
    foreign = other.place()
    for order_id in (new_id(), foreign):
        with pytest.raises(errors.OrderNotFound):
            hospital.fulfil(order_id)
    assert other.on_hand() == 1
