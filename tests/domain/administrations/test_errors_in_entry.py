"""Entries in error: units back to their lots, once; the order is open again where its last dose was meant."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from backend.actor import Role
from backend.db.transaction import ConstraintViolated
from backend.domain.administrations.errors import AdministrationNotFound, AlreadyEnteredInError, DoseHasRemainder
from backend.domain.identity.membership import NotOnThisWard
from backend.domain.identity.witnesses import WitnessRequired
from backend.domain.orders.models import Priority
from backend.domain.stock.ledger import Shelf
from tests import day
from tests.concurrency.threads import together
from tests.hospital import Hospital, now


def _give(hospital: Hospital, order_id: UUID, dose: int | None = None, **values: Any) -> UUID:
    return UUID(orjson.loads(hospital.fulfil(order_id, dose=dose, **values).body)["administration_id"])


def _order(hospital: Hospital) -> tuple[Any, ...]:
    return hospital.rows("SELECT status::text, doses_given, completed_at FROM medication_orders")[0]


def test_the_units_go_back_to_the_lots_they_came_from(hospital: Hospital) -> None:
    hospital.receive(3, lot="A", expires_on=date(2030, 1, 1))
    hospital.receive(5, lot="B", expires_on=date(2031, 1, 1))
    entry = _give(hospital, hospital.place(units=4))
    day.mark_in_error(hospital, entry)

    by_lot = hospital.rows(
        "SELECT lot_number, quantity_units FROM stock_lots s JOIN lots t ON t.id = s.lot_id ORDER BY 1"
    )
    assert by_lot == [("A", 3), ("B", 5)]
    assert hospital.on_hand() == 8
    undone = hospital.rows(
        "SELECT c.units, o.units, c.reason::text, c.reference_id FROM stock_movements c"
        " JOIN stock_movements o ON o.id = c.corrects_id AND o.lot_id = c.lot_id ORDER BY c.units"
    )
    assert undone == [(1, -1, "correction", entry), (3, -3, "correction", entry)]
    ((reason, marked, who),) = hospital.rows(
        "SELECT error_reason, entered_in_error_at IS NOT NULL, in_error_by_id FROM medication_administrations"
    )
    assert (reason, marked, who) == ("wrong patient", True, hospital.nurse.user_id)


def test_a_completed_order_is_active_again_and_its_dose_is_given_anew(hospital: Hospital) -> None:
    hospital.receive(5)
    order_id = hospital.place()
    day.mark_in_error(hospital, _give(hospital, order_id))
    assert _order(hospital) == ("active", 0, None)
    _give(hospital, order_id)
    assert _order(hospital)[:2] == ("completed", 1)
    assert hospital.on_hand() == 4
    assert hospital.rows("SELECT dose_number, stands FROM medication_administrations ORDER BY stands") == [
        (1, False),
        (1, True),
    ]


def test_an_entry_is_marked_once(hospital: Hospital) -> None:
    hospital.receive(5)
    entry = _give(hospital, hospital.place())
    day.mark_in_error(hospital, entry)
    with day.refused(hospital, AlreadyEnteredInError):
        day.mark_in_error(hospital, entry)
    assert hospital.on_hand() == 5


@pytest.mark.concurrency
def test_of_several_who_mark_at_once_one_does(hospital: Hospital) -> None:
    hospital.receive(5)
    entry = _give(hospital, hospital.place(units=2))
    got = together(*[day.outcome_of(lambda: day.mark_in_error(hospital, entry))] * 4)
    assert sorted(got) == ["AlreadyEnteredInError"] * 3 + ["done"]
    assert (hospital.on_hand(), _order(hospital)) == (5, ("active", 0, None))


def test_the_last_dose_is_open_again_and_due_when_it_was(hospital: Hospital) -> None:
    hospital.receive(5)
    first_due_at = now()
    order_id = hospital.place(doses=3, interval_minutes=60, first_due_at=first_due_at)
    _give(hospital, order_id, 1)
    day.mark_in_error(hospital, _give(hospital, order_id, 2))
    assert hospital.rows("SELECT doses_given, due_at FROM medication_orders") == [
        (1, first_due_at + timedelta(minutes=60))
    ]
    assert hospital.on_hand() == 4


def test_an_earlier_dose_gives_its_units_back_and_stays_recorded(hospital: Hospital) -> None:
    hospital.receive(5)
    order_id = hospital.place(doses=2)
    first = _give(hospital, order_id, 1)
    _give(hospital, order_id, 2)
    day.mark_in_error(hospital, first)
    assert hospital.on_hand() == 4
    assert _order(hospital)[:2] == ("completed", 2)
    assert hospital.rows("SELECT dose_number, stands FROM medication_administrations ORDER BY 1") == [
        (1, True),
        (2, True),
    ]


def test_a_skipped_dose_marked_in_error_is_open_again_without_stock(hospital: Hospital) -> None:
    hospital.receive(5)
    order_id = hospital.place()
    day.mark_in_error(hospital, day.skip(hospital, order_id).administration_id)
    assert (_order(hospital), hospital.on_hand()) == (("active", 0, None), 5)
    assert hospital.rows("SELECT count(*) FROM stock_movements") == [(1,)]


def test_a_discontinued_order_stays_discontinued(hospital: Hospital) -> None:
    hospital.receive(5)
    order_id = hospital.place(doses=2)
    entry = _give(hospital, order_id, 1)
    hospital.change(
        "UPDATE medication_orders SET status = 'discontinued', discontinued_at = now(), discontinue_reason = 'x'"
    )
    day.mark_in_error(hospital, entry)
    assert (_order(hospital), hospital.on_hand()) == (("discontinued", 0, None), 5)


def test_a_controlled_dose_needs_a_witness(hospital: Hospital) -> None:
    shelf = Shelf(hospital.organization_id, hospital.ward_id, hospital.add_drug(controlled_schedule=2))
    hospital.receive(5, shelf=shelf)
    entry = _give(hospital, hospital.place(shelf=shelf), shelf=shelf)
    for nobody in (None, hospital.nurse.user_id):
        with day.refused(hospital, WitnessRequired):
            day.mark_in_error(hospital, entry, witness_id=nobody)
    witness = hospital.add_staff("witness", Role.NURSE, (hospital.ward_id,))
    day.mark_in_error(hospital, entry, witness_id=witness.user_id)
    assert hospital.on_hand(shelf) == 5
    assert hospital.rows("SELECT actor_id, witness_id FROM stock_movements WHERE reason = 'correction'") == [
        (hospital.nurse.user_id, witness.user_id)
    ]


def test_an_unknown_entry_and_a_nurse_of_another_ward_are_refused(hospital: Hospital) -> None:
    hospital.receive(5)
    entry = _give(hospital, hospital.place())
    with day.refused(hospital, AdministrationNotFound):
        day.mark_in_error(hospital, hospital.patient_id)
    hospital.staff["nurse"] = hospital.add_staff("stranger", Role.NURSE)
    with day.refused(hospital, NotOnThisWard):
        day.mark_in_error(hospital, entry)


def test_a_dose_that_was_partly_wasted_was_withdrawn(hospital: Hospital) -> None:
    hospital.receive(5)
    entry = _give(hospital, hospital.place(units=2))
    day.leave(hospital, entry, 1)
    with day.refused(hospital, DoseHasRemainder):
        day.mark_in_error(hospital, entry)
    assert hospital.on_hand() == 3


def test_of_a_prn_order_the_interval_is_counted_from_a_dose_that_was_given(hospital: Hospital) -> None:
    """Skipped, then given in error: the patient had nothing, so nothing is to wait for."""
    hospital.receive(5)
    order_id = hospital.place(doses=3, interval_minutes=60, priority=Priority.PRN)
    day.skip(hospital, order_id, dose=1)
    day.mark_in_error(hospital, _give(hospital, order_id, 2))
    assert hospital.fulfil(order_id, dose=2).status == 200


def test_of_a_prn_order_an_earlier_entry_in_error_starts_no_interval(hospital: Hospital) -> None:
    hospital.receive(5)
    order_id = hospital.place(doses=3, interval_minutes=60, priority=Priority.PRN)
    first = _give(hospital, order_id, 1)
    second = _give(hospital, order_id, 2, given_at=now() + timedelta(minutes=61))
    day.mark_in_error(hospital, first)
    day.mark_in_error(hospital, second)
    assert hospital.fulfil(order_id, dose=2).status == 200


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("stands = false", "ck_medication_administrations_stands_unless_in_error"),
        ("entered_in_error_at = now()", "ck_medication_administrations_entered_in_error_with_reason"),
    ],
)
def test_the_database_opens_no_dose_again_without_a_marked_entry(
    hospital: Hospital, change: str, constraint: str
) -> None:
    hospital.receive(5)
    _give(hospital, hospital.place())
    with day.refused(hospital, ConstraintViolated) as refusal:
        hospital.change(f"UPDATE medication_administrations SET {change}")
    assert refusal.value.members == {"constraint": constraint}
