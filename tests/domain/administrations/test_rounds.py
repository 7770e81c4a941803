"""Medication rounds: a result for every order in the order asked, one transaction, and never a dose too many."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from flask import Flask

from backend.actor import Actor
from backend.db import Session, new_id
from backend.domain.administrations import rounds
from backend.domain.administrations.rounds import Round
from backend.domain.orders.models import Priority
from backend.domain.stock.ledger import PostingIncomplete, Shelf
from tests import day
from tests.concurrency.threads import together
from tests.hospital import Hospital, now, sign_in


def _round(
    hospital: Hospital,
    order_ids: Sequence[UUID],
    *,
    doses: dict[UUID, int] | None = None,
    actor: Actor | None = None,
    at: datetime | None = None,
) -> list[dict[str, Any]]:
    """The nurse's round."""
    nurse = actor or hospital.nurse
    wanted = {"organization_id": hospital.organization_id, "order_ids": order_ids}
    shelves = day.look(hospital, lambda session: rounds.shelves_of(session, **wanted))
    asked = Round(nurse, order_ids, doses or {}, set(shelves.values()), None, at)
    return day.act(hospital, list(shelves.values()), lambda session: rounds.fulfil_round(session, asked), nurse)


def _outcomes(hospital: Hospital, order_ids: Sequence[UUID], **values: Any) -> list[str]:
    return [result["outcome"] for result in _round(hospital, order_ids, **values)]


def test_one_refused_order_does_not_stop_the_others(hospital: Hospital) -> None:
    hospital.receive(5)
    empty = Shelf(hospital.organization_id, hospital.ward_id, hospital.add_drug())
    good, short, done, last = hospital.place(), hospital.place(shelf=empty), hospital.place(), hospital.place(units=2)
    hospital.fulfil(done)
    unknown = new_id()
    asked = [last, short, unknown, done, good]

    results = _round(hospital, asked)

    assert [result["order_id"] for result in results] == asked
    assert [result["outcome"] for result in results] == [
        *("fulfilled", "insufficient_stock", "order_not_found", "order_already_completed", "fulfilled"),
    ]
    assert results[1]["available_units"] == 0
    assert hospital.on_hand() == 1
    assert hospital.rows("SELECT count(*) FROM medication_administrations") == [(3,)]
    assert hospital.rows("SELECT status::text FROM medication_orders WHERE id = :p1", short) == [("active",)]


def test_the_shelf_is_shared_out_among_the_orders_of_a_round(hospital: Hospital) -> None:
    hospital.receive(3)
    got = _outcomes(hospital, hospital.place_many(5))
    assert sorted(got) == ["fulfilled"] * 3 + ["insufficient_stock"] * 2
    assert hospital.on_hand() == 0


def test_the_next_dose_that_is_due_is_given_and_no_later_one(hospital: Hospital) -> None:
    hospital.receive(9)
    order_id = hospital.place(doses=3, interval_minutes=240)
    later = hospital.place(doses=3, interval_minutes=240, first_due_at=now() + timedelta(hours=4))
    (given, refused) = _round(hospital, [order_id, later])
    assert (given["outcome"], given["dose"], refused["outcome"]) == ("fulfilled", 1, "dose_not_due")
    assert hospital.on_hand() == 8


def test_a_round_sent_twice_under_two_keys_does_not_give_the_next_dose(hospital: Hospital) -> None:
    """Both doses lie within the window, so only the time since the last one tells the two rounds apart."""
    hospital.receive(9)
    order_id = hospital.place(doses=3, interval_minutes=40)
    assert _outcomes(hospital, [order_id]) == ["fulfilled"]
    before = hospital.counts()
    assert _outcomes(hospital, [order_id]) == ["dose_too_soon"]
    assert hospital.counts() == before
    assert _outcomes(hospital, [order_id], at=now() + timedelta(minutes=21)) == ["fulfilled"]


def test_an_entry_in_error_is_no_dose_to_wait_after(hospital: Hospital) -> None:
    hospital.receive(9)
    order_id = hospital.place(doses=4, interval_minutes=20)
    (given,) = _round(hospital, [order_id])
    day.skip(hospital, order_id, dose=2)
    day.mark_in_error(hospital, given["administration_id"])
    assert _outcomes(hospital, [order_id]) == ["fulfilled"]


def test_a_named_dose_is_given_before_its_time_and_once(hospital: Hospital) -> None:
    hospital.receive(9)
    order_id = hospital.place(doses=3, interval_minutes=240, first_due_at=now() + timedelta(hours=4))
    assert _outcomes(hospital, [order_id], doses={order_id: 1}) == ["fulfilled"]
    assert _outcomes(hospital, [order_id], doses={order_id: 1}) == ["dose_already_given"]
    assert _outcomes(hospital, [order_id], doses={order_id: 3}) == ["dose_out_of_sequence"]
    assert hospital.on_hand() == 8


def test_prn_orders_of_a_round_wait_for_their_interval(hospital: Hospital) -> None:
    hospital.receive(9)
    order_id = hospital.place(doses=3, interval_minutes=60, priority=Priority.PRN)
    assert _outcomes(hospital, [order_id]) == ["fulfilled"]
    assert _outcomes(hospital, [order_id]) == ["dose_too_soon"]
    assert hospital.on_hand() == 8


def test_orders_of_another_ward_are_refused(hospital: Hospital) -> None:
    elsewhere = Shelf(hospital.organization_id, hospital.add_ward(), hospital.drug_id)
    hospital.receive(5, shelf=elsewhere)
    hospital.receive(5)
    assert _outcomes(hospital, [hospital.place(shelf=elsewhere), hospital.place()]) == ["forbidden", "fulfilled"]
    assert hospital.on_hand(elsewhere) == 5


def test_a_failure_after_the_write_leaves_nothing(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    hospital.receive(5)
    order_ids = hospital.place_many(3)
    before, write = hospital.counts(), rounds._write

    def write_and_fail(*values: Any) -> None:
        write(*values)
        raise OSError("the machine is gone")

    monkeypatch.setattr(rounds, "_write", write_and_fail)
    with pytest.raises(OSError, match="gone"):
        _round(hospital, order_ids)
    assert hospital.counts() == before
    assert hospital.on_hand() == 5


def test_a_database_error_of_one_order_is_no_refusal_of_it_alone(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that lost its connection halfway: the whole round is gone and runs again."""
    hospital.receive(5)
    order_ids = hospital.place_many(3)
    decide, calls = rounds.decide, []

    def cut_off_once(session: Session, *values: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            session.run(rounds.Prepared("end_me", "SELECT pg_terminate_backend(pg_backend_pid())"))
        return decide(session, *values)

    monkeypatch.setattr(rounds, "decide", cut_off_once)
    assert _outcomes(hospital, order_ids) == ["fulfilled"] * 3
    assert len(calls) == 5
    assert hospital.on_hand() == 2
    assert hospital.rows("SELECT count(*) FROM medication_administrations") == [(3,)]


def test_a_round_whose_order_changed_under_its_lock_is_not_written(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write looks once more whether each dose is still the next; what it does not find stops everything."""
    hospital.receive(5)
    order_ids = hospital.place_many(3)
    before, write = hospital.counts(), rounds._write

    def change_and_write(session: Session, *values: Any) -> None:
        given = (
            "UPDATE medication_orders SET doses_given = 1, status = 'completed', completed_at = now()"
            " WHERE id = :order_id::uuid"
        )
        session.run(rounds.Prepared("give_behind_its_back", given), order_id=order_ids[1])
        write(session, *values)

    monkeypatch.setattr(rounds, "_write", change_and_write)
    with pytest.raises(PostingIncomplete):
        _round(hospital, order_ids)
    assert hospital.counts() == before
    assert hospital.on_hand() == 5


def test_a_dose_of_several_lots_and_several_doses_of_one_lot_are_numbered_in_the_ledger(hospital: Hospital) -> None:
    today = now().date()
    hospital.receive(2, lot="A1", expires_on=today + timedelta(days=10))
    hospital.receive(9, lot="A2", expires_on=today + timedelta(days=20))
    results = _round(hospital, [hospital.place(units=1), hospital.place(units=3), hospital.place(units=2)])
    assert [result["outcome"] for result in results] == ["fulfilled"] * 3
    ledger = "SELECT sequence, units, balance_after_units FROM stock_movements WHERE reason = 'fulfilment' ORDER BY 1"
    movements = hospital.rows(ledger)
    assert [sequence for sequence, _, _ in movements] == [3, 4, 5, 6]
    assert sorted(units for _, units, _ in movements) == [-2, -2, -1, -1]
    assert [balance for _, _, balance in movements][-1] == hospital.on_hand() == 5
    assert sorted(result["remaining_stock"] for result in results)[0] == 5
    assert hospital.rows("SELECT sequence FROM stock_levels WHERE drug_id = :p1", hospital.drug_id) == [(6,)]


def test_the_same_key_replays_the_round_and_a_new_one_finds_it_done(app: Flask, hospital: Hospital) -> None:
    hospital.receive(5)
    nurse, order_ids = sign_in(app, hospital, "nurse"), [str(one) for one in hospital.place_many(3)]
    first = nurse.post("/fulfillments", {"order_ids": order_ids}, headers={"Idempotency-Key": "round-1"})
    again = nurse.post("/fulfillments", {"order_ids": order_ids}, headers={"Idempotency-Key": "round-1"})
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.data == first.data
    assert [result["outcome"] for result in orjson.loads(first.data)["results"]] == ["fulfilled"] * 3
    assert hospital.on_hand() == 2

    other = nurse.post("/fulfillments", {"order_ids": order_ids[:1]}, headers={"Idempotency-Key": "round-1"})
    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")
    anew = nurse.post("/fulfillments", {"order_ids": order_ids}, headers={"Idempotency-Key": "round-2"})
    assert {result["outcome"] for result in anew.json["results"]} == {"order_already_completed"}
    assert hospital.on_hand() == 2


def test_an_order_twice_in_a_round_is_refused(app: Flask, hospital: Hospital) -> None:
    hospital.receive(5)
    nurse, order_id = sign_in(app, hospital, "nurse"), str(hospital.place(doses=3))
    before = hospital.counts()
    twice = [{"order_id": order_id, "dose": dose} for dose in (2, 1)]  # the last would be taken, and the first not told
    for body in ({"order_ids": [order_id, order_id]}, {"order_ids": [order_id], "doses": twice}):
        answer = nurse.post("/fulfillments", body)
        assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")
    assert hospital.counts() == before


@pytest.mark.concurrency
def test_rounds_over_the_same_orders_at_once_give_each_dose_once(hospital: Hospital) -> None:
    other = Shelf(hospital.organization_id, hospital.ward_id, hospital.add_drug())
    hospital.receive(20)
    hospital.receive(20, lot="O1", shelf=other)
    order_ids = [*hospital.place_many(6), *hospital.place_many(6, shelf=other)]
    orders = (order_ids, order_ids[::-1], order_ids[3:] + order_ids[:3], order_ids[::-1])
    results = together(*(lambda mine=mine: _outcomes(hospital, mine) for mine in orders))
    flat = [outcome for mine in results for outcome in mine]
    assert sorted(flat) == ["fulfilled"] * 12 + ["order_already_completed"] * 36
    assert (hospital.on_hand(), hospital.on_hand(other)) == (14, 14)
