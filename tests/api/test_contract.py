"""The contract over HTTP: every endpoint's answer with exactly its keys, and its refusals."""

import unicodedata
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import available_timezones

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from backend.actor import Role
from backend.domain.orders.models import Priority
from backend.domain.organizations import hospitals
from tests.api.valid_requests import VALID, assert_problem, everything
from tests.hospital import PASSWORD, Client, Hospital, now, open_hospital, sign_in

WARD = ["id", "name", "kind"]
USER = ["id", "email", "name", "role", "active", "first_password_expires_at", "ward_ids"]
ORGANIZATION = [
    *("id", "slug", "name", "time_zone", "verification_required", "witness_required"),
    "custody_witness_required",
    *("dose_window_minutes", "discrepancy_hours", "transit_hours", "second_factor_roles"),
]
PATIENT = ["id", "name", "mrn", "date_of_birth", "ward_id", "ward_name", "bed", "allergies"]
DRUG = [
    *("id", "name", "generic_name", "strength", "form", "unit", "gtin", "ndc", "atc", "controlled_schedule"),
    *("high_alert", "unit_price_cents", "current_stock", "figures_hidden"),
]
ORDER = [
    *("id", "status", "patient_id", "patient_name", "drug_id", "drug_name", "strength", "form", "unit"),
    *("controlled", "high_alert", "ward_id", "ward_name", "quantity_units"),
    *("dose_text", "route", "priority", "doses", "doses_given", "interval_minutes", "first_due_at", "due_at"),
    *("prescriber_id", "prescriber_name", "prescriber_on_care_team", "verified_by", "verified_at"),
    *("completed_at", "discontinued_at"),
    *("discontinue_reason", "created_at"),
]
ASSIGNMENT = [
    *("id", "patient_id", "provider_id", "provider_name", "provider_active", "role"),
    *("assigned_at", "assigned_by", "removed_at", "removed_by"),
]
FULFILLED = [
    *("order_id", "status", "patient_name", "drug_name", "dose", "quantity_units", "remaining_stock", "lots"),
    *("administration_id", "fulfilled_by", "fulfilled_at"),
]
LEVEL = [
    *("ward_id", "ward_name", "drug_id", "drug_name", "strength", "form", "unit", "on_hand_units", "available_units"),
    *("reorder_point_units", "par_level_units", "lots", "figures_hidden"),
]
RECEIPT = [
    *("id", "ward_id", "drug_id", "drug_name", "lot_id", "lot_number", "expires_on", "quantity_units"),
    *("on_hand_units", "received_at"),
]
MOVEMENT = [
    *("id", "ward_id", "ward_name", "drug_id", "drug_name", "lot_id", "lot_number", "expires_on", "sequence", "units"),
    *(
        "balance_after_units",
        "figures_hidden",
        "reason",
        "reference_id",
        "corrects_id",
        "note",
        "actor_id",
        "actor_name",
        "witness_name",
    ),
    *("occurred_at", "recorded_at"),
]
BOARD = ["ward_id", "ward_name", "version", "patients", "truncated", "next_cursor"]
BOARD_PATIENT = ["patient_id", "name", "mrn", "date_of_birth", "bed", "allergies", "orders"]
DUE = {
    *("order_id", "drug_id", "drug_name", "strength", "form", "unit", "controlled", "high_alert", "quantity_units"),
    *("dose_text", "route", "priority", "dose", "doses", "due_at", "due_state", "verified", "on_hand_units"),
    "figures_hidden",
}
LOT_ON_SHELF = ["lot_id", "lot_number", "expires_on", "status", "quantity_units"]


def answer_of(response: TestResponse, status: int, keys: list[str]) -> dict[str, Any]:
    """The body of the answer, which has exactly `keys`."""
    assert (response.status_code, response.content_type) == (status, "application/json"), response.text
    body: dict[str, Any] = response.get_json()
    assert list(body) == keys
    return body


def rows_of(response: TestResponse, keys: list[str]) -> list[dict[str, Any]]:
    """The rows of a list, each of which has exactly `keys`."""
    body = answer_of(response, 200, ["items", "next_cursor"])
    assert body["next_cursor"] is None
    items: list[dict[str, Any]] = body["items"]
    assert all(list(item) == keys for item in items)
    return items


def test_me(hospital: Hospital, clients: dict[str, Client]) -> None:
    hospital.add_ward("Elsewhere")
    keys = ["id", "name", "email", "role", "organization", "organization_name", "second_factor", "wards"]
    me = answer_of(clients["nurse"].get("/me"), 200, keys)
    assert me == {
        "id": str(hospital.nurse.user_id),
        "name": "Nurse",
        "email": f"nurse@{hospital.slug}.example",
        "role": "nurse",
        "organization": hospital.slug,
        "organization_name": "Test",
        "second_factor": False,
        "wards": [{"id": str(hospital.ward_id), "name": "1 North", "kind": "ward"}],
    }
    assert clients["doctor"].get("/me").get_json()["wards"] == []


def test_organization(hospital: Hospital, clients: dict[str, Client]) -> None:
    before = answer_of(clients["nurse"].get("/organization"), 200, ORGANIZATION)
    assert before == {
        "id": str(hospital.organization_id),
        "slug": hospital.slug,
        "name": "Test",
        "time_zone": "Europe/Berlin",
        "verification_required": False,
        "dose_window_minutes": 60,
        "discrepancy_hours": 24,
        "transit_hours": 24,
        "witness_required": False,
        "custody_witness_required": False,
        "second_factor_roles": [],
    }
    change = {"witness_required": True, "time_zone": "America/New_York"}
    changed = answer_of(clients["admin"].patch("/organization", change), 200, ORGANIZATION)
    assert changed == {**before, **change} == clients["nurse"].get("/organization").get_json()
    assert clients["nurse"].get("/organization").get_json() == changed


@pytest.mark.parametrize("zone", ["Mars/Base", "localtime", "Planet/Newly_Named"])
def test_a_time_zone_is_one_that_the_program_and_the_database_know(
    hospital: Hospital, clients: dict[str, Client], monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """Each has files of its own. With a zone that only one knows no list of the hospital would be answered."""
    program = {*available_timezones(), "localtime", "Planet/Newly_Named"}  # which has newer files than the database
    monkeypatch.setattr(hospitals, "available_timezones", lambda: program)
    before = everything(hospital)
    refusal = assert_problem(clients["admin"].patch("/organization", {"time_zone": zone}), 422, "validation_failed")
    assert [error["pointer"] for error in refusal["errors"]] == ["/time_zone"]
    assert everything(hospital) == before
    assert clients["pharmacist"].get("/stock").status_code == 200


def test_care_team(hospital: Hospital, clients: dict[str, Client]) -> None:
    team, doctor = f"/patients/{hospital.patient_id}/care-team", hospital.staff["doctor"]
    other = hospital.add_staff("other", Role.DOCTOR)
    made = answer_of(
        clients["admin"].post(team, {"provider_id": str(doctor.user_id), "role": "PRIMARY"}), 201, ASSIGNMENT
    )
    assert made == {
        "id": made["id"],
        "patient_id": str(hospital.patient_id),
        "provider_id": str(doctor.user_id),
        "provider_name": "Doctor",
        "provider_active": True,
        "role": "PRIMARY",
        "assigned_at": made["assigned_at"],
        "assigned_by": "Admin",
        "removed_at": None,
        "removed_by": None,
    }
    assert made["assigned_at"].endswith("Z")
    assert answer_of(clients["nurse"].get(f"{team}/primary"), 200, ASSIGNMENT) == made
    assert rows_of(clients["nurse"].get(team), ASSIGNMENT) == [made]
    changed = clients["doctor"].put(f"{team}/primary", {"provider_id": str(other.user_id), "outgoing": "remove"})
    new = answer_of(changed, 200, ASSIGNMENT)
    ended = {**made, "removed_at": new["assigned_at"], "removed_by": "Doctor"}
    assert rows_of(clients["nurse"].get(f"{team}/history"), ASSIGNMENT) == [new, ended]
    removed = clients["doctor"].delete(f"{team}/{new['id']}")
    assert (removed.status_code, removed.data) == (204, b"")
    assert rows_of(clients["nurse"].get(team), ASSIGNMENT) == []


def test_a_name_is_found_however_its_letters_were_typed(hospital: Hospital, clients: dict[str, Client]) -> None:
    """One é is one character on one keyboard and two on another, and twice the same name is twice the same."""
    composed, apart = (unicodedata.normalize(form, "Núñez, José") for form in ("NFC", "NFD"))
    patient = {"name": apart, "mrn": "M-2", "date_of_birth": "1980-01-01"}
    assert clients["admin"].post("/patients", patient).get_json()["name"] == composed
    for q in (composed, apart):
        found = clients["nurse"].get("/patients", query_string={"q": q}).get_json()["items"]
        assert [item["name"] for item in found] == [composed]
    assert clients["admin"].post("/wards", {"name": composed}).status_code == 201
    assert_problem(clients["admin"].post("/wards", {"name": apart}), 409, "ward_name_taken")


@pytest.mark.parametrize("name", ["İpek Yılmaz", "ΝΙΚΟΣ ΠΑΠΠΑΣ", "Straße", "ÅSA"])
def test_a_name_is_found_as_it_is_written(hospital: Hospital, clients: dict[str, Client], name: str) -> None:
    """Whatever a language makes of its letters in lower case: Python and the database do not agree on İ and Σ."""
    patient = {"name": name, "mrn": "M-2", "date_of_birth": "1980-01-01"}
    assert clients["admin"].post("/patients", patient).status_code == 201
    hospital.add_drug(name)
    hospital.change("UPDATE users SET name = :p1 WHERE role = 'nurse'", name)
    for path in ("/patients", "/drugs", "/users"):
        for q in (name, name[:3], name[1:]):
            found = clients["nurse"].get(path, query_string={"q": q}).get_json()["items"]
            assert [item["name"] for item in found] == [name], (path, q)


def test_users(hospital: Hospital, clients: dict[str, Client]) -> None:
    staff = rows_of(clients["doctor"].get("/users"), USER)
    assert [user["role"] for user in staff] == ["admin", "doctor", "nurse", "pharmacist"]
    assert [user["ward_ids"] for user in staff] == [[], [], [str(hospital.ward_id)], []]
    body = {"email": "New.Nurse@example.org", "name": "New Nurse", "role": "nurse", "password": PASSWORD}
    added = answer_of(clients["admin"].post("/users", body), 201, USER)
    assert added == {**added, "email": "new.nurse@example.org", "name": "New Nurse", "active": True, "ward_ids": []}
    assert added["first_password_expires_at"] is not None
    change = {"ward_ids": [str(hospital.ward_id)], "name": "Old Nurse", "active": False}
    changed = answer_of(clients["admin"].patch(f"/users/{added['id']}", change), 200, USER)
    assert changed == {**added, **change}
    assert rows_of(clients["admin"].get("/users?role=nurse&q=old"), USER) == [changed]
    told = {**changed, "first_password_expires_at": None}
    assert answer_of(clients["doctor"].get(f"/users/{added['id']}"), 200, USER) == told, "which account to try first"
    assert rows_of(clients["doctor"].get("/users?role=nurse&q=old"), USER) == [told]
    taken = clients["admin"].post("/users", {**body, "email": "NEW.nurse@example.org"})
    assert_problem(taken, 409, "email_taken")
    short = assert_problem(
        clients["admin"].post("/users", {**body, "email": "x@example.org", "password": "short"}),
        422,
        "validation_failed",
    )
    assert [error["pointer"] for error in short["errors"]] == ["/password"]
    assert len(rows_of(clients["doctor"].get("/users"), USER)) == 5


def test_wards(hospital: Hospital, clients: dict[str, Client]) -> None:
    added = answer_of(clients["admin"].post("/wards", {"name": "0 Pharmacy", "kind": "pharmacy"}), 201, WARD)
    wards = rows_of(clients["nurse"].get("/wards"), WARD)
    assert wards == [added, {"id": str(hospital.ward_id), "name": "1 North", "kind": "ward"}]
    assert_problem(clients["admin"].post("/wards", {"name": "0 Pharmacy"}), 409, "ward_name_taken")
    assert rows_of(clients["nurse"].get("/wards"), WARD) == wards


def test_patients(hospital: Hospital, clients: dict[str, Client]) -> None:
    body = {"name": "Osei, Ada", "mrn": "M-2", "date_of_birth": "1951-12-31"}
    added = answer_of(clients["admin"].post("/patients", body), 201, PATIENT)
    assert added == {**added, **body, "ward_id": None, "ward_name": None, "bed": None, "allergies": []}
    assert answer_of(clients["nurse"].get(f"/patients/{added['id']}"), 200, PATIENT) == added
    okafor, osei = rows_of(clients["nurse"].get("/patients"), PATIENT)
    assert (okafor["name"], okafor["ward_name"], okafor["bed"]) == ("Okafor, Grace", "1 North", "1")
    assert osei == added
    assert_problem(clients["admin"].post("/patients", body), 409, "mrn_taken")
    assert_problem(clients["nurse"].get(f"/patients/{uuid.uuid4()}"), 404, "patient_not_found")
    assert len(rows_of(clients["nurse"].get("/patients"), PATIENT)) == 2


def test_drugs(hospital: Hospital, clients: dict[str, Client]) -> None:
    hospital.receive(5)
    amoxicillin = answer_of(clients["nurse"].get(f"/drugs/{hospital.drug_id}"), 200, DRUG)
    assert (amoxicillin["name"], amoxicillin["current_stock"]) == ("Amoxicillin", 5)
    body = {"name": "Zopiclone", "generic_name": "zopiclone", "strength": "7.5 mg", "form": "tablet", "unit": "tablet"}
    added = answer_of(clients["pharmacist"].post("/drugs", body), 201, DRUG)
    codes = {"gtin": None, "ndc": None, "atc": None, "controlled_schedule": None, "high_alert": False}
    assert added == {**added, **body, **codes, "unit_price_cents": None, "current_stock": 0}
    change = {"controlled_schedule": 4, "high_alert": True, "gtin": "04006381333931", "unit_price_cents": 129}
    changed = answer_of(clients["pharmacist"].patch(f"/drugs/{added['id']}", change), 200, DRUG)
    assert changed == {**added, **change}
    assert clients["pharmacist"].patch(f"/drugs/{added['id']}", {}).get_json() == changed
    assert clients["pharmacist"].patch(f"/drugs/{added['id']}", {"gtin": None}).get_json()["gtin"] is None
    assert len(rows_of(clients["nurse"].get("/drugs"), DRUG)) == 2
    assert_problem(clients["pharmacist"].post("/drugs", body), 409, "drug_exists")
    same = {"name": "Amoxicillin", "strength": "5 mg"}
    assert_problem(clients["pharmacist"].patch(f"/drugs/{added['id']}", same), 409, "drug_exists")
    assert_problem(clients["nurse"].get(f"/drugs/{uuid.uuid4()}"), 404, "drug_not_found")
    assert len(rows_of(clients["nurse"].get("/drugs"), DRUG)) == 2


def test_current_stock_is_the_sum_over_the_wards(hospital: Hospital, clients: dict[str, Client]) -> None:
    hospital.receive(5)
    hospital.receive(7, shelf=replace(hospital.shelf, ward_id=hospital.add_ward()))
    (drug,) = rows_of(clients["nurse"].get("/drugs?q=amox"), DRUG)
    assert drug["current_stock"] == 12


def test_an_order_from_placing_to_its_end(hospital: Hospital, clients: dict[str, Client]) -> None:
    body = {
        "patient_id": str(hospital.patient_id),
        "drug_id": str(hospital.drug_id),
        "ward_id": str(hospital.ward_id),
        "quantity_units": 2,
    }
    placed = answer_of(clients["doctor"].post("/orders", body), 201, ORDER)
    assert placed == {
        **placed,
        **body,
        "status": "active",
        "patient_name": "Okafor, Grace",
        "drug_name": "Amoxicillin",
        "ward_name": "1 North",
        "priority": "routine",
        "doses": 1,
        "doses_given": 0,
        "interval_minutes": None,
        "dose_text": None,
        "route": None,
        "prescriber_id": str(hospital.staff["doctor"].user_id),
        "prescriber_name": "Doctor",
        "prescriber_on_care_team": False,
        "first_due_at": placed["created_at"],
        "due_at": placed["created_at"],
        **dict.fromkeys(("verified_by", "verified_at", "completed_at", "discontinued_at", "discontinue_reason"), None),
    }
    assert placed["created_at"].endswith("Z")
    path = f"/orders/{placed['id']}"
    assert answer_of(clients["nurse"].get(path), 200, ORDER) == placed
    assert rows_of(clients["nurse"].get("/orders"), ORDER) == [placed]

    verified = answer_of(clients["pharmacist"].post(f"{path}/verify"), 200, ORDER)
    assert verified == {**placed, "verified_by": "Pharmacist", "verified_at": verified["verified_at"]}
    assert clients["pharmacist"].post(f"{path}/verify", {}).get_json() == verified
    ended = answer_of(clients["doctor"].post(f"{path}/discontinue", {"reason": "a rash"}), 200, ORDER)
    assert ended == {
        **verified,
        "status": "discontinued",
        "discontinued_at": ended["discontinued_at"],
        "discontinue_reason": "a rash",
    }
    refusals = (
        clients["doctor"].post(f"{path}/discontinue", {"reason": "x"}),
        clients["pharmacist"].post(f"{path}/verify"),
    )
    for response in refusals:
        again = assert_problem(response, 409, "order_discontinued")
        assert again["discontinued_at"] == ended["discontinued_at"]
    assert_problem(clients["nurse"].post(f"{path}/fulfill", {}), 409, "order_discontinued")
    assert clients["nurse"].get(path).get_json() == ended


def test_a_placed_schedule_keeps_what_was_ordered(hospital: Hospital, clients: dict[str, Client]) -> None:
    asked = VALID["POST /orders"](hospital).body or {}
    placed = answer_of(clients["doctor"].post("/orders", asked), 201, ORDER)
    due = {"first_due_at": "2030-01-02T02:04:05Z", "due_at": "2030-01-02T02:04:05Z"}
    assert placed == {**placed, **asked, **due}


def test_several_doses_need_an_interval_unless_given_when_needed(
    hospital: Hospital, clients: dict[str, Client]
) -> None:
    asked = {**(VALID["POST /orders"](hospital).body or {}), "interval_minutes": None}
    refusal = assert_problem(clients["doctor"].post("/orders", asked), 422, "validation_failed")
    assert [error["pointer"] for error in refusal["errors"]] == ["/interval_minutes"]
    assert hospital.rows("SELECT count(*) FROM medication_orders") == [(0,)]
    assert clients["doctor"].post("/orders", {**asked, "priority": "prn"}).status_code == 201


def test_fulfil(hospital: Hospital, clients: dict[str, Client]) -> None:
    hospital.receive(5, lot="LOT 1")
    order_id = hospital.place(units=2)
    given = answer_of(clients["nurse"].post(f"/orders/{order_id}/fulfill"), 200, FULFILLED)
    assert given == {
        **given,
        "order_id": str(order_id),
        "status": "completed",
        "patient_name": "Okafor, Grace",
        "drug_name": "Amoxicillin",
        "dose": 1,
        "quantity_units": 2,
        "remaining_stock": 3,
        "fulfilled_by": "Nurse",
    }
    (lot,) = given["lots"]
    assert list(lot) == ["lot_number", "expires_on", "quantity_units"]
    assert (lot["lot_number"], lot["quantity_units"]) == ("LOT 1", 2)
    before = everything(hospital)
    again = assert_problem(clients["nurse"].post(f"/orders/{order_id}/fulfill", {}), 409, "order_already_completed")
    assert (again["fulfilled_by"], again["fulfilled_at"]) == ("Nurse", given["fulfilled_at"])
    short = clients["nurse"].post(f"/orders/{hospital.place(units=4)}/fulfill", {})
    refusal = assert_problem(short, 409, "insufficient_stock")
    assert (refusal["requested_units"], refusal["available_units"]) == (4, 3)
    assert_problem(clients["nurse"].post(f"/orders/{uuid.uuid4()}/fulfill", {}), 404, "order_not_found")
    after = everything(hospital)
    changed = {table for table in before if before[table] != after[table]}
    assert changed == {"medication_orders", "stock_levels", "audit_events"}, "only the other order was placed"
    assert hospital.on_hand() == 3


def test_a_witness_signs_with_their_own_password(database: Any, app: Flask) -> None:
    hospital = open_hospital(database, witness_required=True)
    hospital.drug_id = hospital.add_drug("Morphine", controlled_schedule=2)
    hospital.add_staff("witness", Role.NURSE, (hospital.ward_id,))
    hospital.receive(1)
    nurse, path = sign_in(app, hospital, "nurse"), f"/orders/{hospital.place()}/fulfill"
    before = everything(hospital)
    email = f"witness@{hospital.slug}.example"
    assert_problem(nurse.post(path, {}), 403, "witness_required")
    wrong = nurse.post(path, {"witness": {"email": email, "password": "guess"}})
    assert_problem(wrong, 403, "witness_required")
    herself = {"email": f"nurse@{hospital.slug}.example", "password": PASSWORD}
    assert_problem(nurse.post(path, {"witness": herself}), 403, "witness_required")
    assert everything(hospital) == before
    assert nurse.post(path, {"witness": {"email": email, "password": PASSWORD}}).status_code == 200


def test_a_scan_that_may_be_two_drugs_is_refused_and_names_them(hospital: Hospital, clients: dict[str, Client]) -> None:
    """Never a guess: the same code typed at another strength, here once with and once without its leading zero."""
    first = hospital.add_drug("Heparin", strength="5000 IE", gtin="04006381333931")
    assert clients["nurse"].get("/scans?scan=4006381333931").get_json()["drug_id"] == str(first)
    hospital.add_drug("Heparin", strength="25000 IE", gtin="4006381333931")
    refusal = assert_problem(clients["nurse"].get("/scans?scan=04006381333931"), 409, "scanned_drug_ambiguous")
    assert (refusal["gtin"], refusal["drug_names"]) == ("04006381333931", ["Heparin 5000 IE", "Heparin 25000 IE"])


def test_order_statistics(hospital: Hospital, clients: dict[str, Client]) -> None:
    hospital.receive(1)
    hospital.fulfil(hospital.place())
    clients["doctor"].post(f"/orders/{hospital.place()}/discontinue", {"reason": "x"})
    clients["pharmacist"].post(f"/orders/{hospital.place(first_due_at=now() + timedelta(days=1))}/verify")
    stat = VALID["POST /orders"](hospital).body or {}
    clients["doctor"].post("/orders", {**stat, "first_due_at": None})
    hospital.change("UPDATE medication_orders SET due_at = due_at - interval '61 minutes' WHERE priority = 'stat'")
    counted = {
        "total": 4,
        "active": 2,
        "completed": 1,
        "discontinued": 1,
        "active_stat": 1,
        "active_overdue": 1,
        "active_unverified": 1,
    }
    assert answer_of(clients["nurse"].get("/orders/statistics"), 200, list(counted)) == counted
    here, elsewhere = hospital.ward_id, hospital.add_ward()
    assert clients["nurse"].get(f"/orders/statistics?ward_id={here}").get_json() == counted
    assert clients["nurse"].get(f"/orders/statistics?ward_id={elsewhere}").get_json() == dict.fromkeys(counted, 0)


def test_the_statistics_call_overdue_what_the_board_does(hospital: Hospital, clients: dict[str, Client]) -> None:
    """Neither a dose within its window, as every order is that was placed just now, nor a PRN dose."""
    for priority in Priority:
        for minutes in (0, 59, 61, -61):
            hospital.place(priority=priority, first_due_at=now() - timedelta(minutes=minutes))
    (patient,) = clients["nurse"].get(f"/mar?ward_id={hospital.ward_id}").get_json()["patients"]
    overdue = [order["priority"] for order in patient["orders"] if order["due_state"] == "overdue"]
    assert sorted(overdue) == ["routine", "stat"]
    assert clients["nurse"].get("/orders/statistics").get_json()["active_overdue"] == len(overdue)


def test_mar(hospital: Hospital, clients: dict[str, Client]) -> None:
    order_id = hospital.place(units=2)
    for login in ("nurse", "pharmacist"):
        board = answer_of(clients[login].get(f"/mar?ward_id={hospital.ward_id}"), 200, BOARD)
        assert (board["ward_id"], board["ward_name"]) == (str(hospital.ward_id), "1 North")
        (patient,) = board["patients"]
        assert list(patient) == BOARD_PATIENT
        (due,) = patient["orders"]
        assert set(due) == DUE
        assert (due["order_id"], due["quantity_units"], due["on_hand_units"]) == (str(order_id), 2, 0)
    assert_problem(clients["nurse"].get(f"/mar?ward_id={uuid.uuid4()}"), 404, "ward_not_found")
    assert_problem(clients["nurse"].get(f"/mar?ward_id={hospital.add_ward()}"), 403, "forbidden")


def test_stock(hospital: Hospital, clients: dict[str, Client]) -> None:
    body = {**(VALID["POST /stock/receipts"](hospital).body or {}), "lot_number": "A-1"}
    del body["scan"], body["witness"]
    receipt = answer_of(clients["pharmacist"].post("/stock/receipts", body), 201, RECEIPT)
    assert receipt == {**receipt, **body, "drug_name": "Amoxicillin", "on_hand_units": 10}
    (level,) = rows_of(clients["nurse"].get("/stock"), LEVEL)
    assert (level["on_hand_units"], level["available_units"], level["reorder_point_units"]) == (10, 10, 0)
    (lot,) = level["lots"]
    assert list(lot) == LOT_ON_SHELF
    assert lot == {
        "lot_id": receipt["lot_id"],
        "lot_number": "A-1",
        "expires_on": "2031-05-31",
        "status": "available",
        "quantity_units": 10,
    }
    (movement,) = rows_of(clients["nurse"].get("/stock/movements"), MOVEMENT)
    assert movement == {
        **movement,
        "units": 10,
        "balance_after_units": 10,
        "sequence": 1,
        "reason": "receipt",
        "reference_id": receipt["id"],
        "actor_name": "Pharmacist",
        "occurred_at": receipt["received_at"],
    }
    again = clients["pharmacist"].post("/stock/receipts", body).get_json()
    assert (again["lot_id"], again["on_hand_units"]) == (receipt["lot_id"], 20)


@pytest.mark.parametrize("status", ["on_hold", "recalled"])
def test_a_held_or_recalled_lot_is_not_received(hospital: Hospital, clients: dict[str, Client], status: str) -> None:
    body = VALID["POST /stock/receipts"](hospital).body
    clients["pharmacist"].post("/stock/receipts", body)
    hospital.change(f"UPDATE lots SET status = '{status}', status_reason = 'test'")
    before = everything(hospital)
    refusal = assert_problem(clients["pharmacist"].post("/stock/receipts", body), 409, "lot_not_available")
    assert refusal["lot_status"] == status
    assert everything(hospital) == before


def test_an_expired_lot_is_not_received(hospital: Hospital, clients: dict[str, Client]) -> None:
    body = {**(VALID["POST /stock/receipts"](hospital).body or {}), "expires_on": "2020-01-01"}
    before = everything(hospital)
    refusal = assert_problem(clients["pharmacist"].post("/stock/receipts", body), 422, "validation_failed")
    assert [error["pointer"] for error in refusal["errors"]] == ["/expires_on"]
    assert everything(hospital) == before


def test_a_shelf_never_holds_more_than_it_can_count(hospital: Hospital, clients: dict[str, Client]) -> None:
    clients["pharmacist"].post("/stock/receipts", VALID["POST /stock/receipts"](hospital).body)
    hospital.change("UPDATE stock_levels SET on_hand_units = 1000000000")
    before = everything(hospital)
    response = clients["pharmacist"].post("/stock/receipts", VALID["POST /stock/receipts"](hospital).body)
    refusal = assert_problem(response, 422, "validation_failed")
    assert [error["pointer"] for error in refusal["errors"]] == ["/quantity_units"]
    assert everything(hospital) == before
