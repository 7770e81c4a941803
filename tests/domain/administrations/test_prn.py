"""PRN orders: given when needed, never before the interval since the last dose has passed."""

from datetime import timedelta

import pytest

from backend.domain.orders.errors import DoseTooSoon
from backend.domain.orders.models import Priority
from tests import day
from tests.concurrency.threads import together
from tests.hospital import Hospital, now


def test_the_next_dose_waits_for_the_interval_from_when_the_last_was_given(hospital: Hospital) -> None:
    hospital.receive(9)
    start = now()
    order_id = hospital.place(doses=4, interval_minutes=60, priority=Priority.PRN, first_due_at=start)
    given_at = start + timedelta(hours=5)  # nobody needed it until then
    hospital.fulfil(order_id, dose=1, given_at=given_at)
    with day.refused(hospital, DoseTooSoon) as refusal:
        hospital.fulfil(order_id, dose=2, given_at=given_at + timedelta(minutes=59))
    earliest = (given_at + timedelta(minutes=60)).isoformat().replace("+00:00", "Z")
    assert refusal.value.members == {"earliest_at": earliest}
    assert hospital.fulfil(order_id, dose=2, given_at=given_at + timedelta(minutes=60)).status == 200
    assert hospital.on_hand() == 7


def test_without_an_interval_nothing_is_to_wait_for(hospital: Hospital) -> None:
    hospital.receive(9)
    order_id = hospital.place(doses=2, interval_minutes=None, priority=Priority.PRN)
    for dose in (1, 2):
        assert hospital.fulfil(order_id, dose=dose).status == 200
    assert hospital.rows("SELECT status::text FROM medication_orders") == [("completed",)]


def test_a_skipped_dose_starts_no_interval_and_ends_none(hospital: Hospital) -> None:
    hospital.receive(9)
    order_id = hospital.place(doses=4, interval_minutes=60, priority=Priority.PRN)
    day.skip(hospital, order_id, dose=1)
    hospital.fulfil(order_id, dose=2)
    day.skip(hospital, order_id, dose=3)
    with day.refused(hospital, DoseTooSoon):
        hospital.fulfil(order_id, dose=4)


def test_a_scheduled_order_may_be_given_early_where_its_dose_is_named(hospital: Hospital) -> None:
    hospital.receive(9)
    order_id = hospital.place(doses=2, interval_minutes=60)
    hospital.fulfil(order_id, dose=1)
    assert hospital.fulfil(order_id, dose=2).status == 200


def test_a_dose_in_error_gives_the_time_of_the_one_before(hospital: Hospital) -> None:
    hospital.receive(9)
    order_id = hospital.place(doses=4, interval_minutes=60, priority=Priority.PRN)
    first_at = now()
    hospital.fulfil(order_id, dose=1, given_at=first_at)
    hospital.fulfil(order_id, dose=2, given_at=first_at + timedelta(minutes=90))
    ((second,),) = hospital.rows("SELECT id FROM medication_administrations WHERE dose_number = 2")
    day.mark_in_error(hospital, second)
    assert hospital.rows("SELECT due_at FROM medication_orders") == [(first_at + timedelta(minutes=60),)]


@pytest.mark.concurrency
def test_two_nurses_at_once_give_one_dose(hospital: Hospital) -> None:
    hospital.receive(9)
    order_id = hospital.place(doses=4, interval_minutes=60, priority=Priority.PRN)
    hospital.fulfil(order_id, dose=1, given_at=now() - timedelta(hours=2))
    moment = now()
    got = together(*[day.outcome_of(lambda: hospital.fulfil(order_id, dose=2, given_at=moment))] * 4)
    assert sorted(got) == ["DoseAlreadyGiven"] * 3 + ["done"]
    assert hospital.on_hand() == 7
