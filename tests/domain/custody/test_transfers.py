"""Transfers: what leaves, what arrives, who may, and that no unit appears or vanishes on the way."""

import threading
from datetime import date, timedelta
from uuid import UUID

import pytest
from flask import Flask

from backend.actor import Role
from backend.db.transaction import ConstraintViolated
from backend.domain.custody.errors import ReceiverIsDispatcher, TransferStatusConflict
from backend.domain.custody.transfers import Arrived, Wanted
from backend.domain.identity.membership import NotOnThisWard
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.models import LotStatus
from backend.domain.stock.picking import InsufficientStock
from backend.errors import ValidationFailed
from tests import day
from tests.concurrency.threads import together
from tests.hospital import Hospital, now, sign_in


def _status(hospital: Hospital, transfer_id: UUID) -> str:
    ((status,),) = hospital.rows("SELECT status::text FROM stock_transfers WHERE id = :p1", transfer_id)
    return str(status)


def _beside(hospital: Hospital, ward_id: UUID) -> Shelf:
    """The shelf of the same drug on another ward."""
    return Shelf(hospital.organization_id, ward_id, hospital.drug_id)


def test_units_travel_first_expiring_first_and_arrive_in_full(hospital: Hospital) -> None:
    hospital.receive(5, lot="LATER", expires_on=date(2031, 1, 1))
    hospital.receive(3, lot="SOONER", expires_on=date(2030, 1, 1))
    south = hospital.add_ward()

    transfer_id = day.request(hospital, hospital.ward_id, south, 4)
    assert (_status(hospital, transfer_id), day.custody(hospital)) == ("requested", (8, 0))
    day.dispatch(hospital, transfer_id)
    assert (_status(hospital, transfer_id), day.custody(hospital)) == ("dispatched", (4, 4))
    assert day.lots_on(hospital, hospital.ward_id) == {"LATER": 4}
    day.receive(hospital, transfer_id)
    assert (_status(hospital, transfer_id), day.custody(hospital)) == ("received", (8, 0))

    assert day.lots_on(hospital, south) == {"SOONER": 3, "LATER": 1}
    assert hospital.on_hand(_beside(hospital, south)) == 4
    assert hospital.rows("SELECT quantity_units, dispatched_units, received_units FROM stock_transfer_lines") == [
        (4, 4, 4)
    ]
    ledger = hospital.rows(
        "SELECT reason::text, sum(units) FROM stock_movements WHERE reference_id = :p1 GROUP BY 1 ORDER BY 1",
        transfer_id,
    )
    assert sorted(ledger) == [
        ("transfer_in", 4),
        ("transfer_out", -4),
    ]
    assert day.discrepancies(hospital) == []


def test_what_arrives_short_stays_on_the_way_as_a_discrepancy_of_the_dispatcher(hospital: Hospital) -> None:
    hospital.receive(10)
    south = hospital.add_ward()
    transfer_id = day.request(hospital, hospital.ward_id, south, 6)
    day.dispatch(hospital, transfer_id)
    day.receive(hospital, transfer_id, [Arrived(hospital.drug_id, 4)])

    assert day.custody(hospital) == (8, 2)
    assert hospital.on_hand(_beside(hospital, south)) == 4
    found = hospital.rows(
        "SELECT kind::text, ward_id, expected_units, found_units, owner_id, status::text FROM discrepancies"
    )
    assert found == [("transfer", south, 6, 4, hospital.staff["pharmacist"].user_id, "open")]


def test_nothing_arrived_at_all_is_said_with_a_zero(hospital: Hospital) -> None:
    hospital.receive(10)
    south = hospital.add_ward()
    transfer_id = day.request(hospital, hospital.ward_id, south, 6)
    day.dispatch(hospital, transfer_id)
    receiver = day.second_pharmacist(hospital)
    with day.refused(hospital, ValidationFailed):
        day.receive(hospital, transfer_id, [], receiver)
    day.receive(hospital, transfer_id, [Arrived(hospital.drug_id, 0)])
    assert day.custody(hospital) == (4, 6)
    assert len(day.discrepancies(hospital)) == 1


def test_who_sent_a_transfer_does_not_receive_it(hospital: Hospital) -> None:
    hospital.receive(10)
    transfer_id = day.request(hospital, hospital.ward_id, hospital.add_ward(), 6)
    day.dispatch(hospital, transfer_id)
    with day.refused(hospital, ReceiverIsDispatcher):
        day.receive(hospital, transfer_id, actor=hospital.staff["pharmacist"])
    assert (_status(hospital, transfer_id), day.custody(hospital)) == ("dispatched", (4, 6))


def test_the_database_refuses_one_person_at_both_ends(hospital: Hospital) -> None:
    hospital.receive(10)
    transfer_id = day.request(hospital, hospital.ward_id, hospital.add_ward(), 6)
    day.dispatch(hospital, transfer_id)
    with day.refused(hospital, ConstraintViolated) as refusal:
        hospital.change(
            "UPDATE stock_transfers SET status = 'received', received_at = now(), received_by_id = dispatched_by_id"
        )
    assert refusal.value.members == {"constraint": "ck_stock_transfers_two_people"}


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("received_units = dispatched_units, returned_units = 1", "ck_stock_transfer_lots_parts_within_sent"),
        ("lost_units = -1", "ck_stock_transfer_lots_parts_not_negative"),
    ],
)
def test_the_database_accounts_for_each_unit_on_the_way_once(hospital: Hospital, change: str, constraint: str) -> None:
    hospital.receive(10)
    day.dispatch(hospital, day.request(hospital, hospital.ward_id, hospital.add_ward(), 6))
    with day.refused(hospital, ConstraintViolated) as refusal:
        hospital.change(f"UPDATE stock_transfer_lots SET {change}")
    assert refusal.value.members == {"constraint": constraint}


def test_a_nurse_asks_for_receives_and_cancels_for_her_own_wards_only(hospital: Hospital) -> None:
    pharmacy, south = hospital.add_ward("Pharmacy"), hospital.add_ward("South")
    stranger = hospital.add_staff("stranger", Role.NURSE, (south,))
    hospital.receive(10, shelf=_beside(hospital, pharmacy))

    with day.refused(hospital, NotOnThisWard):
        day.request(hospital, pharmacy, hospital.ward_id, 3, actor=stranger)
    transfer_id = day.request(hospital, pharmacy, hospital.ward_id, 3, actor=hospital.nurse)
    with day.refused(hospital, NotOnThisWard):
        day.cancel_transfer(hospital, transfer_id, stranger)
    day.dispatch(hospital, transfer_id)
    with day.refused(hospital, NotOnThisWard):
        day.receive(hospital, transfer_id, actor=stranger)
    day.receive(hospital, transfer_id, actor=hospital.nurse)
    assert hospital.on_hand() == 3


def test_a_transfer_is_cancelled_before_dispatch_and_not_after(hospital: Hospital) -> None:
    hospital.receive(10)
    south = hospital.add_ward()
    early = day.request(hospital, hospital.ward_id, south, 6)
    day.cancel_transfer(hospital, early)
    assert _status(hospital, early) == "cancelled"
    with day.refused(hospital, TransferStatusConflict) as refusal:
        day.dispatch(hospital, early)
    assert refusal.value.members == {"transfer_status": "cancelled"}

    late = day.request(hospital, hospital.ward_id, south, 6)
    day.dispatch(hospital, late)
    with day.refused(hospital, TransferStatusConflict):
        day.cancel_transfer(hospital, late)
    with day.refused(hospital, TransferStatusConflict):
        day.dispatch(hospital, late)
    day.receive(hospital, late)
    with day.refused(hospital, TransferStatusConflict):
        day.receive(hospital, late)
    assert day.custody(hospital) == (10, 0)


@pytest.mark.parametrize("status", [LotStatus.ON_HOLD, LotStatus.RECALLED])
def test_lots_kept_back_are_not_sent(hospital: Hospital, status: LotStatus) -> None:
    hospital.receive(5, lot="KEPT", expires_on=date(2030, 1, 1))
    hospital.receive(3, lot="GOOD", expires_on=date(2031, 1, 1))
    day.change_lot(hospital, day.lot_id(hospital, "KEPT"), status)
    south = hospital.add_ward()
    too_much = day.request(hospital, hospital.ward_id, south, 4)
    with day.refused(hospital, InsufficientStock) as refusal:
        day.dispatch(hospital, too_much)
    assert refusal.value.members["available_units"] == 3
    day.dispatch(hospital, day.request(hospital, hospital.ward_id, south, 3))
    assert day.lots_on(hospital, hospital.ward_id) == {"KEPT": 5}


def test_expired_lots_are_not_sent(hospital: Hospital) -> None:
    hospital.receive(5, lot="OLD")
    hospital.change("UPDATE lots SET expires_on = :p1", (now() - timedelta(days=3)).date())
    transfer_id = day.request(hospital, hospital.ward_id, hospital.add_ward(), 1)
    with day.refused(hospital, InsufficientStock):
        day.dispatch(hospital, transfer_id)
    assert day.custody(hospital) == (5, 0)


def test_less_than_asked_for_may_be_sent_and_a_drug_left_out(hospital: Hospital) -> None:
    hospital.receive(10)
    other = hospital.add_drug()
    hospital.receive(10, lot="O1", shelf=Shelf(hospital.organization_id, hospital.ward_id, other))
    transfer_id = day.request(hospital, hospital.ward_id, hospital.add_ward(), 6, more=[Wanted(other, 5)])
    for wrong in ({hospital.drug_id: 7}, {hospital.drug_id: 0}, {hospital.patient_id: 1}):
        with day.refused(hospital, ValidationFailed):
            day.dispatch(hospital, transfer_id, wrong)
    day.dispatch(hospital, transfer_id, {hospital.drug_id: 2})
    assert day.custody(hospital) == (18, 2)
    day.receive(hospital, transfer_id)
    assert day.custody(hospital) == (20, 0)
    assert day.discrepancies(hospital) == []  # what was never sent is not missing


def test_a_dispatch_that_lacks_one_drug_sends_nothing_of_the_others(hospital: Hospital) -> None:
    hospital.receive(10)
    other = hospital.add_drug()
    transfer_id = day.request(hospital, hospital.ward_id, hospital.add_ward(), 6, more=[Wanted(other, 5)])
    with day.refused(hospital, InsufficientStock) as refusal:
        day.dispatch(hospital, transfer_id)
    assert refusal.value.members["drug_id"] == str(other)
    assert (_status(hospital, transfer_id), day.custody(hospital)) == ("requested", (10, 0))


def test_a_drug_twice_and_a_ward_to_itself_are_refused(hospital: Hospital) -> None:
    south = hospital.add_ward()
    with day.refused(hospital, ValidationFailed):
        day.request(hospital, hospital.ward_id, south, 1, more=[Wanted(hospital.drug_id, 2)])
    with day.refused(hospital, ValidationFailed):
        day.request(hospital, south, south, 1)


def test_the_database_refuses_a_transfer_of_a_ward_to_itself(hospital: Hospital) -> None:
    day.request(hospital, hospital.ward_id, hospital.add_ward(), 1)
    with day.refused(hospital, ConstraintViolated) as refusal:
        hospital.change("UPDATE stock_transfers SET destination_ward_id = source_ward_id")
    assert refusal.value.members == {"constraint": "ck_stock_transfers_two_wards"}


def test_of_several_lots_the_one_that_came_short_is_named(hospital: Hospital) -> None:
    hospital.receive(3, lot="A", expires_on=date(2030, 1, 1))
    hospital.receive(3, lot="B", expires_on=date(2031, 1, 1))
    south, drug_id = hospital.add_ward(), hospital.drug_id
    transfer_id = day.request(hospital, hospital.ward_id, south, 5)
    day.dispatch(hospital, transfer_id)
    a, b, receiver = day.lot_id(hospital, "A"), day.lot_id(hospital, "B"), day.second_pharmacist(hospital)
    for doubtful in (
        [Arrived(drug_id, 4)],
        [Arrived(drug_id, 3, a)],
        [Arrived(drug_id, 3, a), Arrived(drug_id, 3, a), Arrived(drug_id, 2, b)],
        [Arrived(drug_id, 4, a), Arrived(drug_id, 2, b)],
    ):
        with day.refused(hospital, ValidationFailed):
            day.receive(hospital, transfer_id, doubtful, receiver)
    day.receive(hospital, transfer_id, [Arrived(drug_id, 3, a), Arrived(drug_id, 1, b)])
    assert day.lots_on(hospital, south) == {"A": 3, "B": 1}
    assert hospital.rows("SELECT lot_id, expected_units, found_units FROM discrepancies") == [(b, 2, 1)]
    assert day.custody(hospital) == (5, 1)


@pytest.mark.concurrency
def test_two_who_receive_at_once_put_the_units_on_the_shelf_once(hospital: Hospital) -> None:
    hospital.receive(10)
    south = hospital.add_ward()
    transfer_id = day.request(hospital, hospital.ward_id, south, 6)
    day.dispatch(hospital, transfer_id)
    receivers = [day.second_pharmacist(hospital), hospital.add_staff("pharmacist3", Role.PHARMACIST)]
    got = together(
        *(day.outcome_of(lambda who=who: day.receive(hospital, transfer_id, actor=who)) for who in receivers)
    )
    assert sorted(got) == ["TransferStatusConflict", "done"]
    assert hospital.on_hand(_beside(hospital, south)) == 6
    assert day.custody(hospital) == (10, 0)


@pytest.mark.concurrency
def test_opposite_transfers_at_once_do_not_deadlock_nor_lose_sight_of_a_unit(hospital: Hospital) -> None:
    south = hospital.add_ward()
    hospital.receive(10)
    hospital.receive(10, lot="S1", shelf=_beside(hospital, south))
    out = [day.request(hospital, hospital.ward_id, south, 1) for _ in range(5)]
    back = [day.request(hospital, south, hospital.ward_id, 1) for _ in range(5)]
    receiver = day.second_pharmacist(hospital)

    carried, seen = threading.Event(), set()

    def carry(transfer_id: UUID) -> None:
        day.dispatch(hospital, transfer_id)
        day.receive(hospital, transfer_id, actor=receiver)

    def observe() -> None:
        while not carried.is_set():
            seen.add(sum(day.custody(hospital)))

    observer = threading.Thread(target=observe)
    observer.start()
    got = together(*(day.outcome_of(lambda one=one: carry(one)) for one in [*out, *back]))
    carried.set()
    observer.join()
    assert got == ["done"] * 10
    assert seen == {20}, "units on wards and on their way, at every commit"
    assert day.custody(hospital) == (20, 0)
    assert hospital.on_hand() == 10


def test_a_drug_that_is_dispatched_twice_is_refused(app: Flask, hospital: Hospital) -> None:
    """Of two figures for one drug, nobody can say which was meant."""
    hospital.receive(9)
    transfer_id = day.request(hospital, hospital.ward_id, hospital.add_ward(), 5)
    pharmacist = sign_in(app, hospital, "pharmacist")
    before = hospital.counts()
    lines = [{"drug_id": str(hospital.drug_id), "quantity_units": units} for units in (4, 3)]
    answer = pharmacist.post(f"/transfers/{transfer_id}/dispatch", {"lines": lines})
    assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")
    assert hospital.counts() == before
