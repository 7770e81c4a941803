"""Counts: blind where it matters, compared with the moment of counting, and without effect on stock."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text

from backend.actor import Role
from backend.db import Session
from backend.db.transaction import ConstraintViolated
from backend.domain.custody import counting
from backend.domain.custody.counting import Counted
from backend.domain.custody.errors import CountEnded, CountIncomplete, CountOpen
from backend.domain.identity.membership import NotOnThisWard
from backend.domain.stock.adjustments import LotNotFound
from backend.domain.stock.ledger import Shelf
from backend.errors import ValidationFailed
from tests import day
from tests.concurrency.threads import together
from tests.hospital import Hospital, now, sign_in

EXPECTED_UNITS = 917_431  # no other figure of an answer looks like it


def _lines(hospital: Hospital) -> list[tuple[Any, ...]]:
    return hospital.rows("SELECT expected_units, counted_units FROM stock_count_lines ORDER BY lot_id")


@pytest.fixture
def controlled(hospital: Hospital) -> Shelf:
    """A shelf of the ward with EXPECTED_UNITS of a controlled drug."""
    drug_id = hospital.add_drug("Morphine", controlled_schedule=2)
    shelf = Shelf(hospital.organization_id, hospital.ward_id, drug_id)
    hospital.receive(EXPECTED_UNITS, lot="C1", shelf=shelf)
    return shelf


def test_a_count_that_agrees_opens_nothing_and_moves_nothing(hospital: Hospital) -> None:
    hospital.receive(7)
    count_id = day.open_count(hospital)
    day.record_count(hospital, count_id, Counted(day.lot_id(hospital), 7))
    day.complete_count(hospital, count_id)
    assert hospital.rows("SELECT status::text FROM stock_counts") == [("completed",)]
    assert day.discrepancies(hospital) == []
    assert hospital.rows("SELECT count(*) FROM stock_movements") == [(1,)]


def test_a_difference_becomes_a_discrepancy_with_owner_and_due_time_and_stock_stays(hospital: Hospital) -> None:
    hospital.receive(7)
    count_id = day.open_count(hospital)
    day.record_count(hospital, count_id, Counted(day.lot_id(hospital), 5))
    assert day.discrepancies(hospital) == []  # not before the session is completed
    before = now()
    day.complete_count(hospital, count_id)
    ((kind, expected, found, owner_id, due_at),) = hospital.rows(
        "SELECT kind::text, expected_units, found_units, owner_id, due_at FROM discrepancies"
    )
    assert (kind, expected, found, owner_id) == ("count", 7, 5, hospital.staff["pharmacist"].user_id)
    assert timedelta(hours=24) <= due_at - before <= timedelta(hours=24, minutes=1)
    assert hospital.on_hand() == 7


def test_no_answer_tells_what_a_blind_line_expects_until_the_count_is_in(
    app: Flask, hospital: Hospital, controlled: Shelf
) -> None:
    nurse, lot = sign_in(app, hospital, "nurse"), str(day.lot_id(hospital, "C1"))
    opened = nurse.post("/counts", {"ward_id": str(hospital.ward_id), "controlled": True})
    path = f"/counts/{opened.json['id']}"
    wrong = {"lines": [{"lot_id": lot, "counted_units": 3}]}
    recorded = nurse.post(f"{path}/lines", wrong)
    assert (opened.status_code, recorded.status_code) == (201, 200)
    hidden = str(EXPECTED_UNITS)
    difference = str(EXPECTED_UNITS - 3)
    for answer in (opened, recorded, nurse.get(path), nurse.get(f"{path}/lines"), nurse.get("/counts")):
        assert hidden not in answer.text
        assert difference not in answer.text
    assert recorded.json["differing_count"] == 0, "that it differs is told as little as by how much"
    assert nurse.get(f"{path}/lines?state=differing").json["items"] == []
    (line,) = nurse.get(path).json["lines"]
    assert (line["blind"], line["counted_units"], line["expected_units"], line["variance_units"]) == (
        *(True, 3, None),
        None,
    )

    nurse.post(f"{path}/complete")
    (line,) = nurse.get(path).json["lines"]
    assert (line["expected_units"], line["variance_units"]) == (EXPECTED_UNITS, 3 - EXPECTED_UNITS)


def test_a_cancelled_count_tells_nothing_of_a_blind_line(app: Flask, hospital: Hospital, controlled: Shelf) -> None:
    nurse = sign_in(app, hospital, "nurse")
    path = f"/counts/{nurse.post('/counts', {'ward_id': str(hospital.ward_id)}).json['id']}"
    cancelled = nurse.post(f"{path}/cancel")
    assert cancelled.status_code == 200
    for answer in (cancelled, nurse.get(path)):
        assert str(EXPECTED_UNITS) not in answer.text


def test_a_line_that_is_not_blind_shows_what_is_expected(app: Flask, hospital: Hospital) -> None:
    hospital.receive(7)
    nurse = sign_in(app, hospital, "nurse")
    (line,) = nurse.post("/counts", {"ward_id": str(hospital.ward_id)}).json["lines"]
    assert (line["blind"], line["expected_units"]) == (False, 7)


def test_a_controlled_lot_added_to_a_session_is_blind_too(app: Flask, hospital: Hospital, controlled: Shelf) -> None:
    hospital.receive(7)
    nurse = sign_in(app, hospital, "nurse")
    opened = nurse.post("/counts", {"ward_id": str(hospital.ward_id), "drug_ids": [str(hospital.drug_id)]})
    lines = [{"lot_id": str(day.lot_id(hospital, "C1")), "counted_units": 3}]
    added = nurse.post(f"/counts/{opened.json['id']}/lines", {"lines": lines})
    assert added.status_code == 200
    assert len(added.json["lines"]) == 2
    assert str(EXPECTED_UNITS) not in added.text


def test_a_dose_given_between_counting_and_typing_is_no_variance(hospital: Hospital) -> None:
    hospital.receive(7)
    count_id = day.open_count(hospital)
    looked_at = now()
    hospital.fulfil(hospital.place(units=2))
    day.record_count(hospital, count_id, Counted(day.lot_id(hospital), 7, looked_at))
    day.complete_count(hospital, count_id)
    assert _lines(hospital) == [(7, 7)]
    assert day.discrepancies(hospital) == []
    assert hospital.on_hand() == 5


def test_a_dose_given_after_typing_is_no_variance(hospital: Hospital) -> None:
    hospital.receive(7)
    count_id = day.open_count(hospital)
    day.record_count(hospital, count_id, Counted(day.lot_id(hospital), 7))
    hospital.fulfil(hospital.place(units=2))
    day.complete_count(hospital, count_id)
    assert day.discrepancies(hospital) == []


@pytest.mark.parametrize("minutes", [-60, 60])
def test_a_count_was_made_during_its_session(hospital: Hospital, minutes: int) -> None:
    hospital.receive(7)
    count_id = day.open_count(hospital)
    moment = now() + timedelta(minutes=minutes)
    with day.refused(hospital, ValidationFailed):
        day.record_count(hospital, count_id, Counted(day.lot_id(hospital), 7, moment))


def test_counting_again_replaces_the_first_figure(hospital: Hospital) -> None:
    hospital.receive(7)
    count_id, lot_id = day.open_count(hospital), day.lot_id(hospital)
    day.record_count(hospital, count_id, Counted(lot_id, 5))
    hospital.fulfil(hospital.place(units=2))
    day.record_count(hospital, count_id, Counted(lot_id, 5))
    assert _lines(hospital) == [(5, 5)]
    with day.refused(hospital, ValidationFailed):
        day.record_count(hospital, count_id, Counted(lot_id, 5), Counted(lot_id, 6))


def test_a_lot_that_nobody_expected_is_added(hospital: Hospital) -> None:
    hospital.receive(7)
    south = Shelf(hospital.organization_id, hospital.add_ward(), hospital.drug_id)
    hospital.receive(4, lot="SOUTH", shelf=south)
    count_id = day.open_count(hospital)
    day.record_count(hospital, count_id, Counted(day.lot_id(hospital), 7), Counted(day.lot_id(hospital, "SOUTH"), 1))
    day.complete_count(hospital, count_id)
    found = hospital.rows("SELECT ward_id, lot_id, expected_units, found_units FROM discrepancies")
    assert found == [(hospital.ward_id, day.lot_id(hospital, "SOUTH"), 0, 1)]
    with day.refused(hospital, CountEnded):
        day.record_count(hospital, count_id, Counted(day.lot_id(hospital), 7))


def test_an_unknown_lot_is_not_counted(hospital: Hospital) -> None:
    hospital.receive(7)
    count_id = day.open_count(hospital)
    with day.refused(hospital, LotNotFound):
        day.record_count(hospital, count_id, Counted(hospital.patient_id, 1))


def test_an_incomplete_count_does_not_end(hospital: Hospital) -> None:
    hospital.receive(7, lot="A")
    hospital.receive(7, lot="B")
    count_id = day.open_count(hospital)
    day.record_count(hospital, count_id, Counted(day.lot_id(hospital, "A"), 7))
    with day.refused(hospital, CountIncomplete) as refusal:
        day.complete_count(hospital, count_id)
    assert refusal.value.members == {"uncounted_count": 1, "uncounted_lot_ids": [str(day.lot_id(hospital, "B"))]}


def test_a_long_session_is_read_on_by_cursor_to_its_last_line(
    app: Flask, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.domain.custody.count_queries.LINES_SHOWN", 2)
    monkeypatch.setattr("backend.domain.custody.counting.UNCOUNTED_NAMED", 2)
    for lot in "ABCDE":
        hospital.receive(7, lot=lot, expires_on=date(2031, 1, 1 + ord(lot) - ord("A")))
    nurse = sign_in(app, hospital, "nurse")
    opened = nurse.post("/counts", {"ward_id": str(hospital.ward_id)}).json
    path = f"/counts/{opened['id']}"
    rest = nurse.get(f"{path}/lines", query_string={"cursor": opened["next_cursor"]}).json
    assert [line["lot_number"] for line in opened["lines"] + rest["items"]] == list("ABCDE")
    assert (opened["line_count"], rest["next_cursor"]) == (5, None)
    found = dict(zip("ABCDE", (7, 6, 7, 7, 8), strict=True))
    for lots in ("AB", "DE"):
        lines = [{"lot_id": str(day.lot_id(hospital, lot)), "counted_units": found[lot]} for lot in lots]
        nurse.post(f"{path}/lines", {"lines": lines})
    left = nurse.get(f"{path}/lines?state=uncounted").json["items"]
    assert [line["lot_number"] for line in left] == ["C"]
    refused = nurse.post(f"{path}/complete")
    assert (refused.status_code, refused.json["uncounted_count"]) == (409, 1)
    nurse.post(f"{path}/lines", {"lines": [{"lot_id": left[0]["lot_id"], "counted_units": 7}]})
    completed = nurse.post(f"{path}/complete").json
    differing = nurse.get(f"{path}/lines?state=differing").json["items"]
    assert [(line["lot_number"], line["variance_units"]) for line in differing] == [("B", -1), ("E", 1)]
    assert (completed["status"], completed["differing_count"], len(completed["lines"])) == ("completed", 2, 2)


def test_a_ward_with_more_lots_than_one_answer_shows_is_counted_whole(app: Flask, hospital: Hospital) -> None:
    hospital.receive(7)
    many = 2_500
    hospital.change(
        "INSERT INTO lots (organization_id, id, drug_id, lot_number, expires_on) SELECT organization_id,"
        " gen_random_uuid(), drug_id, 'X' || n, expires_on FROM lots, generate_series(1, :p1) n",
        many,
    )
    hospital.change(
        "INSERT INTO stock_lots (organization_id, id, ward_id, drug_id, lot_id, quantity_units)"
        " SELECT s.organization_id, gen_random_uuid(), s.ward_id, s.drug_id, l.id, 1"
        " FROM stock_lots s JOIN lots l ON l.id <> s.lot_id"
    )
    nurse = sign_in(app, hospital, "nurse")
    opened = nurse.post("/counts", {"ward_id": str(hospital.ward_id)}).json
    assert (opened["line_count"], len(opened["lines"]), bool(opened["next_cursor"])) == (many + 1, 1_000, True)
    refused = nurse.post(f"/counts/{opened['id']}/complete").json
    assert (refused["uncounted_count"], len(refused["uncounted_lot_ids"])) == (many + 1, 1_000)


def test_a_cancelled_count_changes_nothing_and_ends_the_session(hospital: Hospital) -> None:
    hospital.receive(7)
    count_id = day.open_count(hospital)
    day.record_count(hospital, count_id, Counted(day.lot_id(hospital), 1))
    day.cancel_count(hospital, count_id)
    assert (day.discrepancies(hospital), hospital.on_hand()) == ([], 7)
    for end in (day.cancel_count, day.complete_count):
        with day.refused(hospital, CountEnded):
            end(hospital, count_id)
    day.open_count(hospital)


def test_a_ward_has_one_open_session(hospital: Hospital) -> None:
    hospital.receive(7)
    south = Shelf(hospital.organization_id, hospital.add_ward(), hospital.drug_id)
    hospital.receive(7, shelf=south)
    count_id = day.open_count(hospital)
    with day.refused(hospital, CountOpen) as refusal:
        day.open_count(hospital)
    assert refusal.value.members == {"count_id": str(count_id)}
    day.open_count(hospital, south.ward_id)


def test_the_database_refuses_a_second_open_session(hospital: Hospital) -> None:
    hospital.receive(7)
    day.open_count(hospital)
    with day.refused(hospital, ConstraintViolated) as refusal:
        hospital.change(
            "INSERT INTO stock_counts (organization_id, id, ward_id, opened_by_id)"
            " SELECT organization_id, gen_random_uuid(), ward_id, opened_by_id FROM stock_counts"
        )
    assert refusal.value.members == {"constraint": "uq_stock_counts_open"}


def test_the_database_refuses_half_a_count_of_a_line(hospital: Hospital) -> None:
    hospital.receive(7)
    day.open_count(hospital)
    with day.refused(hospital, ConstraintViolated) as refusal:
        hospital.change("UPDATE stock_count_lines SET counted_units = 7")
    assert refusal.value.members == {"constraint": "ck_stock_count_lines_whole"}


def test_an_empty_ward_is_not_counted(hospital: Hospital) -> None:
    with day.refused(hospital, ValidationFailed):
        day.open_count(hospital)


def _open_as(hospital: Hospital, login: str) -> UUID:
    actor = hospital.staff[login]
    choice = {"ward_id": hospital.ward_id, "drug_ids": None, "controlled": False, "now": now()}
    return day.act(hospital, [], lambda session: counting.open_count(session, actor=actor, **choice), actor)


def test_a_nurse_counts_her_own_wards_only(hospital: Hospital) -> None:
    hospital.receive(7)
    hospital.add_staff("stranger", Role.NURSE, (hospital.add_ward(),))
    with day.refused(hospital, NotOnThisWard):
        _open_as(hospital, "stranger")
    _open_as(hospital, "nurse")


@pytest.mark.concurrency
def test_of_several_who_start_at_once_one_does(hospital: Hospital) -> None:
    hospital.receive(7)
    got = together(*[day.outcome_of(lambda: day.open_count(hospital))] * 4)
    assert sorted(got) == ["CountOpen"] * 3 + ["done"]
    assert hospital.rows("SELECT count(*) FROM stock_counts") == [(1,)]


@pytest.mark.concurrency
def test_of_two_who_complete_at_once_one_does(hospital: Hospital) -> None:
    hospital.receive(7)
    count_id = day.open_count(hospital)
    day.record_count(hospital, count_id, Counted(day.lot_id(hospital), 5))
    got = together(*[day.outcome_of(lambda: day.complete_count(hospital, count_id))] * 2)
    assert sorted(got) == ["CountEnded", "done"]
    assert len(day.discrepancies(hospital)) == 1


def test_what_is_recorded_while_somebody_completes_is_not_missed(hospital: Hospital) -> None:
    """Found by `valmed prove`: a completion whose snapshot is older opened a discrepancy of the figure before."""
    hospital.receive(7)
    count_id, pharmacist = day.open_count(hospital), hospital.staff["pharmacist"]
    day.record_count(hospital, count_id, Counted(day.lot_id(hospital), 7))
    runs: list[int] = []

    def complete(session: Session) -> None:
        session.execute(text("SELECT 1"))  # the snapshot
        runs.append(1)
        if len(runs) == 1:
            day.record_count(hospital, count_id, Counted(day.lot_id(hospital), 4))
        counting.complete(session, actor=pharmacist, count_id=count_id, now=now())

    hospital.run(complete, pharmacist)

    assert len(runs) == 2
    assert hospital.rows("SELECT expected_units, found_units FROM discrepancies") == [(7, 4)]


@pytest.mark.concurrency
def test_of_several_who_record_at_once_all_are_heard(hospital: Hospital) -> None:
    shelves = [Shelf(hospital.organization_id, hospital.ward_id, hospital.add_drug()) for _ in range(4)]
    lots = [hospital.receive(7, shelf=shelf).lot_id for shelf in shelves]
    count_id = day.open_count(hospital)
    got = together(
        *[day.outcome_of(lambda lot=lot: day.record_count(hospital, count_id, Counted(lot, 5))) for lot in lots]
    )
    assert got == ["done"] * 4
    assert _lines(hospital) == [(7, 5)] * 4
