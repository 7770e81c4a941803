"""Placing, verifying, discontinuing: what they change, and that they meet a fulfilment in good order."""

import pytest

from backend.db import Session, new_id
from backend.domain.orders import errors, ordering
from backend.domain.orders.models import Priority
from backend.domain.patients.admitting import PatientNotFound
from backend.errors import ValidationFailed
from tests.concurrency.threads import together
from tests.hospital import Hospital, now


def _verify(hospital: Hospital, order_id: object) -> None:
    def work(session: Session) -> None:
        session.take_lanes([hospital.shelf.lane])
        ordering.verify(session, actor=hospital.staff["pharmacist"], shelf=hospital.shelf, order_id=order_id, now=now())

    hospital.run(work, hospital.staff["pharmacist"])


def _discontinue(hospital: Hospital, order_id: object) -> str:
    def work(session: Session) -> None:
        session.take_lanes([hospital.shelf.lane])
        ordering.discontinue(
            session,
            actor=hospital.staff["doctor"],
            shelf=hospital.shelf,
            order_id=order_id,
            reason="Changed",
            now=now(),
        )

    try:
        hospital.run(work, hospital.staff["doctor"])
    except errors.OrderAlreadyCompleted:
        return "already completed"
    return "discontinued"


def test_doses_need_an_interval_unless_given_as_needed(hospital: Hospital) -> None:
    with pytest.raises(ValidationFailed):
        hospital.place(doses=2, interval_minutes=None)
    assert hospital.rows("SELECT count(*) FROM medication_orders") == [(0,)]
    assert hospital.place(doses=2, interval_minutes=None, priority=Priority.PRN)


def test_an_unknown_patient_is_not_found_and_nothing_is_left(hospital: Hospital) -> None:
    hospital.patient_id = new_id()
    with pytest.raises(PatientNotFound):
        hospital.place()
    assert hospital.rows("SELECT count(*) FROM stock_levels") == [(0,)]


def test_verifying_twice_keeps_the_first(hospital: Hospital) -> None:
    order_id = hospital.place()
    _verify(hospital, order_id)
    first = hospital.rows("SELECT verified_by_id, verified_at FROM medication_orders")
    _verify(hospital, order_id)
    assert hospital.rows("SELECT verified_by_id, verified_at FROM medication_orders") == first
    assert first[0][0] == hospital.staff["pharmacist"].user_id


def test_a_closed_order_is_neither_verified_nor_discontinued(hospital: Hospital) -> None:
    hospital.receive(1)
    order_id = hospital.place()
    hospital.fulfil(order_id)
    with pytest.raises(errors.OrderAlreadyCompleted):
        _verify(hospital, order_id)
    assert _discontinue(hospital, order_id) == "already completed"


@pytest.mark.concurrency
def test_discontinuing_and_fulfilling_at_once_leave_one_winner(hospital: Hospital) -> None:
    hospital.receive(40)
    order_ids = hospital.place_many(40)

    def give(order_id: object) -> str:
        try:
            return "given" if hospital.fulfil(order_id).status == 200 else "?"
        except errors.OrderDiscontinued:
            return "too late"

    results = together(
        lambda: [give(order_id) for order_id in order_ids],
        lambda: [_discontinue(hospital, order_id) for order_id in reversed(order_ids)],
    )
    given, discontinued = results[0].count("given"), results[1].count("discontinued")
    assert given + discontinued == 40
    assert min(given, discontinued) > 0, "they met"
    assert results[0].count("too late") == discontinued
    assert results[1].count("already completed") == given
    assert hospital.on_hand() == 40 - given
