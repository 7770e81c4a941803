"""Blind counts: what the people who may count a shelf are not told of it, and what goes on meanwhile."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from backend.actor import Role
from backend.db import Database
from backend.domain.custody.blind import COUNTERS
from backend.domain.custody.counting import Counted
from backend.domain.stock.ledger import Shelf
from tests import day
from tests.api.custody_requests import witness
from tests.api.valid_requests import OPERATIONS, assert_problem
from tests.counting import statements_of
from tests.hospital import Client, Hospital, now, open_hospital, sign_in

UNITS = 734_291


@pytest.fixture
def counted(hospital: Hospital) -> Hospital:
    """A hospital whose ward counts a shelf with UNITS of a controlled drug, that has been ordered."""
    hospital.drug_id = hospital.add_drug("Morphine", controlled_schedule=2)
    hospital.receive(UNITS)
    hospital.place(units=2)
    witness(hospital)
    day.open_count(hospital)
    return hospital


@pytest.fixture
def nurse(app: Flask, counted: Hospital) -> Client:
    return sign_in(app, counted, "nurse")


@pytest.fixture
def pharmacist(app: Flask, counted: Hospital) -> Client:
    return sign_in(app, counted, "pharmacist")


def _shelf(hospital: Hospital) -> dict[str, str]:
    return {"ward_id": str(hospital.ward_id), "drug_id": str(hospital.drug_id)}


def _stock(client: Client, hospital: Hospital, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/stock", query_string={**_shelf(hospital), **query}).json["items"]
    return found


def _order(hospital: Hospital, **values: Any) -> str:
    return str(hospital.place(**values))


def test_whoever_may_record_a_count_is_a_counter_and_reads_the_board() -> None:
    for name in ("POST /counts/<uuid:count_id>/lines", "GET /mar"):
        assert OPERATIONS[name].roles == COUNTERS


def test_a_shelf_is_shown_without_units_and_lots(nurse: Client, counted: Hospital) -> None:
    (shelf,) = _stock(nurse, counted)
    assert (shelf["on_hand_units"], shelf["available_units"], shelf["lots"]) == (None, None, [])
    assert (shelf["figures_hidden"], shelf["drug_name"]) == (True, "Morphine")


def test_a_drug_that_is_not_counted_blind_is_shown(nurse: Client, counted: Hospital) -> None:
    other = Shelf(counted.organization_id, counted.ward_id, counted.add_drug())
    counted.receive(7, shelf=other)
    (shelf,) = nurse.get("/stock", query_string={"drug_id": str(other.drug_id)}).json["items"]
    assert (shelf["on_hand_units"], shelf["figures_hidden"]) == (7, False)


def test_an_uncontrolled_drug_of_a_count_is_shown(app: Flask, hospital: Hospital) -> None:
    hospital.receive(7)
    day.open_count(hospital)
    (shelf,) = _stock(sign_in(app, hospital, "nurse"), hospital)
    assert (shelf["on_hand_units"], shelf["figures_hidden"]) == (7, False)


def test_a_lot_that_is_added_to_a_count_hides_its_shelf(app: Flask, hospital: Hospital) -> None:
    hospital.receive(7)
    count_id = day.open_count(hospital)
    hospital.drug_id = hospital.add_drug("Morphine", controlled_schedule=2)
    hospital.receive(UNITS, lot="NEW")
    hospital.place()
    nurse = sign_in(app, hospital, "nurse")
    assert _stock(nurse, hospital)[0]["on_hand_units"] == UNITS
    assert str(UNITS) in nurse.get("/mar", query_string={"ward_id": str(hospital.ward_id)}).text
    day.record_count(hospital, count_id, Counted(day.lot_id(hospital, "NEW"), 1))
    assert _stock(nurse, hospital)[0]["on_hand_units"] is None
    assert str(UNITS) not in nurse.get("/mar", query_string={"ward_id": str(hospital.ward_id)}).text


def test_another_ward_another_nurse_and_a_doctor_see_figures(app: Flask, counted: Hospital) -> None:
    elsewhere = Shelf(counted.organization_id, counted.add_ward(), counted.drug_id)
    counted.receive(5, shelf=elsewhere)
    counted.add_staff("stranger", Role.NURSE, (elsewhere.ward_id,))
    seen = {
        login: {level["ward_id"]: level["on_hand_units"] for level in client.get("/stock").json["items"]}
        for login in ("nurse", "stranger", "doctor")
        for client in [sign_in(app, counted, login)]
    }
    here, there = str(counted.ward_id), str(elsewhere.ward_id)
    assert seen == {
        "nurse": {here: None, there: 5},
        "stranger": {here: UNITS, there: 5},
        "doctor": {here: UNITS, there: 5},
    }


@pytest.mark.parametrize("state", ["low", "out", "expiring", "expired"])
def test_a_hidden_shelf_is_in_no_state(pharmacist: Client, app: Flask, counted: Hospital, state: str) -> None:
    """Else the state would tell the figure to somebody who moves the reorder point."""
    day.set_levels(counted, UNITS, UNITS)
    counted.change("UPDATE stock_lots SET quantity_units = 0")
    counted.change("UPDATE stock_levels SET on_hand_units = 0")
    dated = Shelf(counted.organization_id, counted.ward_id, counted.drug_id)
    for lot, days in (("OLD", -1), ("SOON", 1)):
        counted.receive(1, lot=lot, shelf=dated)
        counted.change(
            "UPDATE lots SET expires_on = :p1 WHERE lot_number = :p2", now().date() + timedelta(days=days), lot
        )
    if state == "out":
        counted.change("UPDATE lots SET status = 'recalled', status_reason = 'glass'")
    assert len(_stock(sign_in(app, counted, "doctor"), counted, state=state)) == 1
    assert _stock(pharmacist, counted, state=state) == []


def test_the_reorder_point_is_not_moved_meanwhile(pharmacist: Client, counted: Hospital) -> None:
    wanted = {**_shelf(counted), "reorder_point_units": 5, "par_level_units": 9}
    assert_problem(pharmacist.put("/stock/levels", wanted), 409, "shelf_counted_blind")
    assert counted.rows("SELECT par_level_units FROM stock_levels") == [(0,)]
    day.cancel_count(counted, counted.rows("SELECT id FROM stock_counts")[0][0])
    assert pharmacist.put("/stock/levels", wanted).status_code == 200


def test_a_dose_is_given_without_what_is_left(nurse: Client, counted: Hospital) -> None:
    done = nurse.post(f"/orders/{_order(counted, units=3)}/fulfill", {"dose": 1})
    assert done.status_code == 200
    assert (done.json["remaining_stock"], done.json["quantity_units"]) == (None, 3)
    assert counted.on_hand() == UNITS - 3
    again = nurse.post("/fulfillments", {"order_ids": [_order(counted)]})
    (result,) = again.json["results"]
    assert (result["outcome"], result["remaining_stock"]) == ("fulfilled", None)


def test_a_dose_of_what_is_not_counted_says_what_is_left(nurse: Client, counted: Hospital) -> None:
    counted.drug_id = counted.add_drug()
    counted.receive(7)
    done = nurse.post(f"/orders/{_order(counted)}/fulfill", {"dose": 1})
    assert done.json["remaining_stock"] == 6


def test_too_little_stock_is_refused_without_the_figure(nurse: Client, counted: Hospital) -> None:
    too_many = UNITS + 1
    refused = nurse.post(f"/orders/{_order(counted, units=too_many)}/fulfill", {"dose": 1})
    problem = assert_problem(refused, 409, "insufficient_stock")
    assert (problem["requested_units"], problem["available_units"]) == (too_many, None)
    (result,) = nurse.post("/fulfillments", {"order_ids": [_order(counted, units=too_many)]}).json["results"]
    assert (result["outcome"], result["available_units"]) == ("insufficient_stock", None)
    for answer in (refused.text, result["detail"]):
        assert str(UNITS) not in answer


def test_what_a_pharmacist_moves_is_answered_without_the_figure(pharmacist: Client, counted: Hospital) -> None:
    lot = {"lot_number": "NEW", "expires_on": "2031-05-31", "quantity_units": 4}
    received = pharmacist.post("/stock/receipts", {**_shelf(counted), **lot})
    delivered = pharmacist.post(
        "/stock/deliveries",
        {"ward_id": str(counted.ward_id), "lines": [{"drug_id": str(counted.drug_id), **lot, "lot_number": "OTHER"}]},
    )
    wasted = pharmacist.post(
        "/stock/adjustments",
        {**_shelf(counted), "quantity_units": -1, "reason": "waste", "witness": witness(counted)},
    )
    ((movement,),) = counted.rows("SELECT id FROM stock_movements WHERE reference_id = :p1", received.json["id"])
    undone = pharmacist.post(
        f"/stock/movements/{movement}/correct", {"reason": "not ours", "witness": witness(counted)}
    )
    assert [answer.status_code for answer in (received, delivered, wasted, undone)] == [201] * 4
    assert received.json["on_hand_units"] is None
    assert delivered.json["receipts"][0]["on_hand_units"] is None
    assert wasted.json["on_hand_units"] is None
    assert (undone.json["units"], undone.json["balance_after_units"]) == (None, None)
    assert counted.on_hand() == UNITS + 3


def test_what_a_pharmacist_may_not_move_is_refused_without_the_figure(pharmacist: Client, counted: Hospital) -> None:
    too_many = UNITS + 1
    lot = day.lot_id(counted)
    body = {**_shelf(counted), "quantity_units": -too_many, "reason": "waste", "witness": witness(counted)}
    transfer = day.request(counted, counted.ward_id, counted.add_ward(), too_many)
    refused = {
        "insufficient_stock": [
            pharmacist.post("/stock/adjustments", body),
            pharmacist.post(f"/transfers/{transfer}/dispatch", {}),
        ],
        "stock_would_be_negative": [pharmacist.post("/stock/adjustments", {**body, "lot_id": str(lot)})],
    }
    for code, answers in refused.items():
        for answer in answers:
            problem = assert_problem(answer, 409, code)
            assert problem["available_units"] is None
            assert str(UNITS) not in answer.text
    day.cancel_count(counted, counted.rows("SELECT id FROM stock_counts")[0][0])
    told = assert_problem(pharmacist.post(f"/transfers/{transfer}/dispatch", {}), 409, "insufficient_stock")
    assert told["available_units"] == UNITS


def test_a_proposal_leaves_out_what_is_counted(app: Flask, hospital: Hospital) -> None:
    pharmacy = hospital.add_ward("Pharmacy")
    day.set_levels(hospital, 5, 20)
    hospital.receive(1)
    morphine = Shelf(hospital.organization_id, hospital.ward_id, hospital.add_drug("Morphine", controlled_schedule=2))
    hospital.receive(1, lot="M", shelf=morphine)
    day.set_levels(hospital, 5, 20, morphine)
    day.open_count(hospital)
    nurse = sign_in(app, hospital, "nurse")
    proposal = nurse.get("/stock/replenishment", query_string={"ward_id": str(hospital.ward_id)}).json
    assert [line["drug_id"] for line in proposal["lines"]] == [str(hospital.drug_id)]
    assert proposal["figures_hidden"] is True
    where = {"ward_id": str(hospital.ward_id), "source_ward_id": str(pharmacy)}
    (line,) = nurse.post("/stock/replenishment", where).json["lines"]
    assert (line["drug_id"], line["quantity_units"]) == (str(hospital.drug_id), 19)


def test_what_expires_is_summed_without_what_is_counted(app: Flask, hospital: Hospital) -> None:
    soon = (now() + timedelta(days=3)).date()
    hospital.receive(7, expires_on=soon)
    morphine = Shelf(hospital.organization_id, hospital.ward_id, hospital.add_drug("Morphine", controlled_schedule=2))
    hospital.receive(100, lot="M", shelf=morphine, expires_on=soon)
    pharmacist, admin = (sign_in(app, hospital, login) for login in ("pharmacist", "admin"))

    def expiring(client: Client) -> tuple[int, bool]:
        (ward,) = client.get("/stock/expiring-value", query_string={"ward_id": str(hospital.ward_id)}).json["items"]
        return ward["expiring_units"], ward["figures_hidden"]

    assert expiring(pharmacist) == (107, False)
    day.open_count(hospital)
    assert expiring(pharmacist) == (7, True)
    assert expiring(admin) == (107, False)


def test_the_board_hides_and_shows_as_the_count_begins_and_ends(app: Flask, hospital: Hospital) -> None:
    """A board that is kept, here or by a browser that asks with its ETag, is not shown across either moment."""
    hospital.drug_id = hospital.add_drug("Morphine", controlled_schedule=2)
    hospital.receive(UNITS)
    hospital.place()
    nurse = sign_in(app, hospital, "nurse")

    def read(**headers: str) -> tuple[int, str | None, Any]:
        answer = nurse.get("/mar", query_string={"ward_id": str(hospital.ward_id)}, headers=headers)
        due = answer.json["patients"][0]["orders"][0] if answer.status_code == 200 else {}
        return answer.status_code, answer.headers["ETag"], due.get("on_hand_units")

    _, before, units = read()
    assert (units, read(**{"If-None-Match": before or ""})[0]) == (UNITS, 304)
    for end in (day.cancel_count, _complete):
        count_id = day.open_count(hospital)
        status, during, units = read(**{"If-None-Match": before or ""})
        assert (status, units) == (200, None)
        assert read(**{"If-None-Match": during or ""})[0] == 304
        end(hospital, count_id)
        status, before, units = read(**{"If-None-Match": during or ""})
        assert (status, units) == (200, UNITS)


def _complete(hospital: Hospital, count_id: Any) -> None:
    day.record_count(hospital, count_id, Counted(day.lot_id(hospital), UNITS))
    day.complete_count(hospital, count_id)


def test_an_alert_stays_without_its_figure(app: Flask, hospital: Hospital) -> None:
    """That a drug is low or out is told also to those who count it."""
    hospital.drug_id = hospital.add_drug("Morphine", controlled_schedule=2)
    hospital.receive(UNITS)
    day.set_levels(hospital, UNITS, UNITS)
    nurse = sign_in(app, hospital, "nurse")
    (told,) = nurse.get("/alerts").json["items"]
    day.open_count(hospital)
    (hidden,) = nurse.get("/alerts").json["items"]
    assert (told["kind"], told["units"]) == ("low", UNITS)
    assert hidden == {**told, "units": None}


def test_a_variance_is_resolved_while_the_shelf_is_counted_again(
    pharmacist: Client, app: Flask, counted: Hospital
) -> None:
    count_id = counted.rows("SELECT id FROM stock_counts")[0][0]
    day.record_count(counted, count_id, Counted(day.lot_id(counted), UNITS - 1))
    day.complete_count(counted, count_id)
    (found,) = pharmacist.get("/discrepancies").json["items"]
    assert (found["expected_units"], found["figures_hidden"]) == (UNITS, False)
    day.open_count(counted)
    path = f"/discrepancies/{found['id']}"
    hidden = pharmacist.get(path).json
    assert (hidden["expected_units"], hidden["found_units"], hidden["variance_units"]) == (None, None, -1)
    body = {"resolution": "loss", "reason": "broken", "witness": witness(counted)}
    resolved = pharmacist.post(f"{path}/resolve", body)
    assert (resolved.status_code, str(UNITS) in resolved.text) == (200, False)
    assert counted.rows("SELECT units FROM stock_movements WHERE reason = 'loss'") == [(-1,)]


def test_hiding_costs_no_statement(app: Flask, nurse: Client, counted: Hospital) -> None:
    sent = statements_of(app)
    during = {path: _statements(sent, nurse, path, counted) for path in ("/stock", "/mar", "/stock/movements")}
    day.cancel_count(counted, counted.rows("SELECT id FROM stock_counts")[0][0])
    assert during == {path: _statements(sent, nurse, path, counted) for path in during}


def _statements(sent: list[str], client: Client, path: str, hospital: Hospital) -> int:
    """How many statements a read sends, after one that prepared them."""
    for _ in range(2):
        sent.clear()
        assert client.get(path, query_string={"ward_id": str(hospital.ward_id)}).status_code == 200
    assert sent
    return len(sent)


def test_a_count_of_another_hospital_hides_nothing(app: Flask, counted: Hospital, database: Database) -> None:
    other = open_hospital(database)
    other.drug_id = other.add_drug("Morphine", controlled_schedule=2)
    other.receive(9)
    (shelf,) = sign_in(app, other, "pharmacist").get("/stock").json["items"]
    assert (shelf["on_hand_units"], shelf["figures_hidden"]) == (9, False)
