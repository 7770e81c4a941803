"""Nothing crosses from one hospital to another: every id that a request can carry, tried with another hospital's."""

import re
import uuid
from copy import deepcopy
from typing import Any

import pytest
from flask import Flask
from marshmallow import fields
from werkzeug.test import TestResponse

from backend.actor import Role
from backend.http.endpoint import JSON
from backend.http.fields import Id
from tests.api.asking import LISTS, NEEDED, OPERATIONS, VALID, Ask, assert_problem, everything, least, login_for, send
from tests.hospital import Client, Hospital, sign_in

TEAM = "/patients/<uuid:patient_id>/care-team"
DOSE = "/administrations/<uuid:administration_id>"
# (operation, place, field) -> what a foreign id answers: a problem code of a 404, "validation_failed" or "nothing"
FOREIGN = {
    ("PATCH /users/<uuid:user_id>", "path", "user_id"): "user_not_found",
    ("DELETE /users/<uuid:user_id>/second-factor", "path", "user_id"): "user_not_found",
    ("POST /me/passkeys/<uuid:passkey_id>/remove", "path", "passkey_id"): "passkey_not_found",
    ("PATCH /users/<uuid:user_id>", "body", "ward_ids"): "validation_failed",
    ("POST /users", "body", "ward_ids"): "validation_failed",
    ("GET /patients", "query", "ward_id"): "nothing",
    ("POST /patients", "body", "ward_id"): "ward_not_found",
    ("GET /patients/<uuid:patient_id>", "path", "patient_id"): "patient_not_found",
    (f"GET {TEAM}", "path", "patient_id"): "patient_not_found",
    (f"GET {TEAM}/history", "path", "patient_id"): "patient_not_found",
    (f"GET {TEAM}/primary", "path", "patient_id"): "patient_not_found",
    (f"POST {TEAM}", "path", "patient_id"): "patient_not_found",
    (f"POST {TEAM}", "body", "provider_id"): "user_not_found",
    (f"PUT {TEAM}/primary", "path", "patient_id"): "patient_not_found",
    (f"PUT {TEAM}/primary", "body", "provider_id"): "user_not_found",
    (f"PUT {TEAM}/primary", "body", "replaces"): "primary_provider_changed",
    (f"DELETE {TEAM}/<uuid:assignment_id>", "path", "patient_id"): "patient_not_found",
    (f"DELETE {TEAM}/<uuid:assignment_id>", "path", "assignment_id"): "assignment_not_found",
    ("GET /drugs/<uuid:drug_id>", "path", "drug_id"): "drug_not_found",
    ("PATCH /drugs/<uuid:drug_id>", "path", "drug_id"): "drug_not_found",
    ("GET /orders", "query", "ward_id"): "nothing",
    ("GET /orders", "query", "patient_id"): "nothing",
    ("GET /orders", "query", "drug_id"): "nothing",
    ("GET /orders", "query", "prescriber_id"): "nothing",
    ("POST /orders", "body", "patient_id"): "patient_not_found",
    ("POST /orders", "body", "drug_id"): "drug_not_found",
    ("POST /orders", "body", "ward_id"): "ward_not_found",
    ("GET /orders/statistics", "query", "ward_id"): "nothing",
    ("GET /orders/<uuid:order_id>", "path", "order_id"): "order_not_found",
    ("POST /orders/<uuid:order_id>/verify", "path", "order_id"): "order_not_found",
    ("POST /orders/<uuid:order_id>/discontinue", "path", "order_id"): "order_not_found",
    ("POST /orders/<uuid:order_id>/fulfill", "path", "order_id"): "order_not_found",
    ("GET /mar", "query", "ward_id"): "ward_not_found",
    ("GET /stock", "query", "ward_id"): "nothing",
    ("GET /stock", "query", "drug_id"): "nothing",
    ("POST /stock/receipts", "body", "ward_id"): "ward_not_found",
    ("POST /stock/receipts", "body", "drug_id"): "drug_not_found",
    ("GET /stock/movements", "query", "ward_id"): "nothing",
    ("GET /stock/movements", "query", "drug_id"): "nothing",
    ("GET /stock/as-of", "query", "ward_id"): "nothing",
    ("GET /stock/as-of", "query", "drug_id"): "nothing",
    ("GET /stock/consumption", "query", "ward_id"): "nothing",
    ("GET /stock/consumption", "query", "drug_id"): "nothing",
    ("GET /stock/expiring-value", "query", "ward_id"): "nothing",
    ("POST /orders/<uuid:order_id>/skip", "path", "order_id"): "order_not_found",
    ("POST /fulfillments", "body", "order_ids"): "result",
    ("GET /administrations", "query", "order_id"): "nothing",
    ("GET /administrations", "query", "patient_id"): "nothing",
    ("GET /administrations", "query", "ward_id"): "nothing",
    ("GET /administrations", "query", "nurse_id"): "nothing",
    (f"GET {DOSE}", "path", "administration_id"): "administration_not_found",
    (f"POST {DOSE}/entered-in-error", "path", "administration_id"): "administration_not_found",
    (f"POST {DOSE}/waste", "path", "administration_id"): "administration_not_found",
    (f"POST {DOSE}/waste", "body", "lot_id"): "validation_failed",
    (f"POST {DOSE}/return", "path", "administration_id"): "administration_not_found",
    (f"POST {DOSE}/return", "body", "lot_id"): "validation_failed",
    ("GET /override-drugs", "query", "ward_id"): "nothing",
    ("POST /override-drugs", "body", "ward_id"): "ward_not_found",
    ("POST /override-drugs", "body", "drug_id"): "drug_not_found",
    ("DELETE /override-drugs/<uuid:entry_id>", "path", "entry_id"): "override_drug_not_found",
    ("GET /overrides", "query", "ward_id"): "nothing",
    ("GET /overrides", "query", "nurse_id"): "nothing",
    ("POST /overrides/<uuid:override_id>/review", "path", "override_id"): "override_not_found",
    ("PUT /stock/levels", "body", "ward_id"): "ward_not_found",
    ("PUT /stock/levels", "body", "drug_id"): "drug_not_found",
    ("POST /stock/deliveries", "body", "ward_id"): "ward_not_found",
    ("POST /wards/<uuid:ward_id>/deliveries", "path", "ward_id"): "ward_not_found",
    ("POST /stock/adjustments", "body", "ward_id"): "ward_not_found",
    ("POST /stock/adjustments", "body", "drug_id"): "drug_not_found",
    ("POST /stock/adjustments", "body", "lot_id"): "lot_not_found",
    ("POST /stock/movements/<uuid:movement_id>/correct", "path", "movement_id"): "movement_not_found",
    ("GET /lots", "query", "drug_id"): "nothing",
    ("GET /lots/<uuid:lot_id>", "path", "lot_id"): "lot_not_found",
    ("POST /lots/<uuid:lot_id>/hold", "path", "lot_id"): "lot_not_found",
    ("POST /lots/<uuid:lot_id>/release", "path", "lot_id"): "lot_not_found",
    ("POST /lots/<uuid:lot_id>/recall", "path", "lot_id"): "lot_not_found",
    ("GET /transfers", "query", "source_ward_id"): "nothing",
    ("GET /transfers", "query", "destination_ward_id"): "nothing",
    ("POST /transfers", "body", "source_ward_id"): "ward_not_found",
    ("POST /transfers", "body", "destination_ward_id"): "ward_not_found",
    ("GET /transfers/<uuid:transfer_id>", "path", "transfer_id"): "transfer_not_found",
    ("POST /transfers/<uuid:transfer_id>/dispatch", "path", "transfer_id"): "transfer_not_found",
    ("POST /transfers/<uuid:transfer_id>/receive", "path", "transfer_id"): "transfer_not_found",
    ("POST /transfers/<uuid:transfer_id>/cancel", "path", "transfer_id"): "transfer_not_found",
    ("GET /stock/replenishment", "query", "ward_id"): "ward_not_found",
    ("POST /stock/replenishment", "body", "ward_id"): "ward_not_found",
    ("POST /stock/replenishment", "body", "source_ward_id"): "ward_not_found",
    ("GET /counts", "query", "ward_id"): "nothing",
    ("POST /counts", "body", "ward_id"): "ward_not_found",
    ("POST /counts", "body", "drug_ids"): "validation_failed",
    ("GET /counts/<uuid:count_id>", "path", "count_id"): "count_not_found",
    ("POST /counts/<uuid:count_id>/lines", "path", "count_id"): "count_not_found",
    ("POST /counts/<uuid:count_id>/complete", "path", "count_id"): "count_not_found",
    ("POST /counts/<uuid:count_id>/cancel", "path", "count_id"): "count_not_found",
    ("GET /discrepancies", "query", "ward_id"): "nothing",
    ("GET /discrepancies", "query", "drug_id"): "nothing",
    ("GET /discrepancies", "query", "owner_id"): "nothing",
    ("GET /discrepancies/<uuid:discrepancy_id>", "path", "discrepancy_id"): "discrepancy_not_found",
    ("POST /discrepancies/<uuid:discrepancy_id>/assign", "path", "discrepancy_id"): "discrepancy_not_found",
    ("POST /discrepancies/<uuid:discrepancy_id>/assign", "body", "owner_id"): "user_not_found",
    ("POST /discrepancies/<uuid:discrepancy_id>/resolve", "path", "discrepancy_id"): "discrepancy_not_found",
    ("GET /stock/register", "query", "drug_id"): "drug_not_found",
    ("GET /stock/register", "query", "ward_id"): "nothing",
    ("GET /alerts", "query", "ward_id"): "nothing",
    ("GET /audit", "query", "row_id"): "nothing",
    ("GET /audit", "query", "actor_id"): "nothing",
    ("POST /alerts/<uuid:alert_id>/acknowledge", "path", "alert_id"): "alert_not_found",
    ("GET /drift/runs/<uuid:run_id>", "path", "run_id"): "run_not_found",
    ("GET /drift/runs/<uuid:run_id>/events", "path", "run_id"): "run_not_found",
    ("GET /drift/runs/<uuid:run_id>/events.csv", "path", "run_id"): "run_not_found",
}
CASES = sorted(FOREIGN)
TABLES = {
    "order": "medication_orders",
    "administration": "medication_administrations",
    "entry": "override_drugs",
    "override": "order_overrides",
    "movement": "stock_movements",
    "lot": "lots",
    "transfer": "stock_transfers",
    "count": "stock_counts",
    "discrepancy": "discrepancies",
    "alert": "alerts",
    "assignment": "care_team_assignments",
    "replaces": "care_team_assignments",
    "run": "report_runs",
    "passkey": "passkeys",
}
STATUSES = {"validation_failed": 422, "primary_provider_changed": 409}  # of the others 404


def is_id(field: fields.Field[Any]) -> bool:
    """Whether a caller names a row in `field`."""
    return isinstance(field, Id) or (isinstance(field, fields.List) and is_id(field.inner))


def foreign_id(hospital: Hospital, name: str) -> Any:
    """An id of `hospital` of the kind that the field `name` asks for."""
    match name.removesuffix("_id").removesuffix("_ids"):
        case "user" | "provider" | "prescriber" | "nurse" | "owner" | "actor":
            return hospital.staff["doctor"].user_id
        case "source_ward" | "destination_ward" | "row":
            return hospital.ward_id
        case "ward" | "patient" | "drug":
            return getattr(hospital, name.removesuffix("s"))
        case kind if kind in TABLES:
            return hospital.rows(f"SELECT id FROM {TABLES[kind]} ORDER BY id LIMIT 1")[0][0]
    raise AssertionError(f"say which id {name} is")


@pytest.fixture(scope="session")
def foreign_bytes(theirs: Hospital) -> re.Pattern[str]:
    """What only the other hospital knows: every id, name, lot and slug of it."""
    names = {"drugs": "name", "patients": "name", "wards": "name", "lots": "lot_number", "users": "name"}
    for table, column in names.items():
        theirs.change(f"UPDATE {table} SET {column} = 'Theirs ' || {column}")
    words = {theirs.slug, str(theirs.organization_id), "Theirs"}
    for table in (*names, "medication_orders", "stock_levels", "stock_movements", "medication_administrations"):
        words |= {str(row[0]) for row in theirs.rows(f"SELECT id FROM {table}")}
    return re.compile("|".join(map(re.escape, sorted(words))))


@pytest.fixture(scope="session")
def spies(standing_app: Flask, theirs: Hospital) -> dict[str, Client]:
    """Staff there, who hand us what they see."""
    return {login: sign_in(standing_app, theirs, login) for login in theirs.staff}


@pytest.fixture(scope="session")
def spy(spies: dict[str, Client]) -> Client:
    """A nurse among them."""
    return spies["nurse"]


@pytest.fixture(autouse=True)
def nothing_changes_there(theirs: Hospital, foreign_bytes: re.Pattern[str], spy: Client):
    """Whatever we try, the other hospital stays as it is."""
    before = everything(theirs)
    yield
    assert everything(theirs) == before


def test_every_id_that_a_request_can_carry_has_a_case() -> None:
    carried = set()
    for name, operation in OPERATIONS.items():
        carried |= {(name, "path", found) for found in re.findall(r"<uuid:(\w+)>", operation.path)}
        assert operation.path.count("<") == len(re.findall(r"<uuid:\w+>", operation.path))
        for place, schema in (("query", operation.query), ("body", operation.body)):
            if schema is not None and not (place == "body" and operation.media != JSON):
                carried |= {(name, place, found) for found, field in schema.fields.items() if is_id(field)}
    assert carried == set(FOREIGN)


def ask_with(right: Ask, name: str, place: str, key: str, value: Any) -> Ask:
    """The valid request `right` with `value` in the field."""
    ask = deepcopy(right)
    where = getattr(ask, place)
    where[key] = [str(value)] if isinstance(where[key], list) else str(value)
    if place == "query":
        needed = {given: ask.query[given] for given in NEEDED.get(name, ())}  # without which nothing is answered
        ask.query = {**needed, key: str(value)}
    return ask


def assert_nothing(response: TestResponse) -> None:
    """The answer is an empty list, or all of its figures are nought."""
    body = response.get_json()
    assert response.status_code == 200
    assert body.get("items", []) == []
    assert not any(value for name, value in body.items() if name != "items")


@pytest.mark.parametrize(("name", "place", "key"), CASES)
def test_another_hospitals_id_is_as_good_as_none(
    staff: dict[str, Client], ours: Hospital, theirs: Hospital, foreign_bytes: re.Pattern[str],
    name: str, place: str, key: str,
) -> None:  # fmt: skip
    """Answered like an id that nobody has, byte for byte but for the request's own id; nothing changes here either."""
    expected = FOREIGN[name, place, key]
    right = VALID[name](ours)
    foreign = ask_with(right, name, place, key, foreign_id(theirs, key))
    unknown = ask_with(right, name, place, key, uuid.uuid4())
    before = everything(ours)
    headers = {"X-Request-ID": "same"}
    response = send(staff[login_for(name)], name, foreign, headers=headers)
    assert not foreign_bytes.search(str(response.headers))
    if expected == "result":  # a round names what was asked for, and nothing else
        (result,) = response.get_json()["results"]
        assert (result["outcome"], set(result)) == ("order_not_found", {"order_id", "outcome", "detail"})
        return
    assert not foreign_bytes.search(response.text)
    if expected == "nothing":
        assert_nothing(response)
    else:
        assert_problem(response, STATUSES.get(expected, 404), expected)
    assert send(staff[login_for(name)], name, unknown, headers=headers).data == response.data
    assert everything(ours) == before


@pytest.mark.parametrize("name", [*LISTS, "GET /me", "GET /organization", "GET /orders/statistics"])
def test_what_is_read_without_an_id_is_ours_alone(
    staff: dict[str, Client], ours: Hospital, foreign_bytes: re.Pattern[str], name: str
) -> None:
    response = send(staff[login_for(name)], name, least(name, ours))
    assert response.status_code == 200
    assert not foreign_bytes.search(response.text)


@pytest.mark.parametrize(
    "path", ["/drugs?q=theirs", "/patients?q=theirs", "/stock?q=theirs", "/users?q=theirs", "/patients?q=THEIRS OKAFOR"]
)
def test_no_search_finds_what_is_theirs(staff: dict[str, Client], path: str) -> None:
    assert staff["nurse"].get(path).get_json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("name", LISTS)
def test_their_cursor_shows_only_ours(
    spies: dict[str, Client],
    staff: dict[str, Client],
    ours: Hospital,
    theirs: Hospital,
    foreign_bytes: re.Pattern[str],
    name: str,
) -> None:
    login = login_for(name)
    cursor = send(spies[login], name, least(name, theirs, limit="1")).get_json()["next_cursor"]
    assert cursor
    response = send(staff[login], name, least(name, ours, cursor=cursor))
    assert response.status_code == 200
    assert not foreign_bytes.search(response.text)


def test_their_witness_is_not_ours(
    staff: dict[str, Client], ours: Hospital, theirs: Hospital, foreign_bytes: re.Pattern[str]
) -> None:
    name = "POST /orders/<uuid:order_id>/fulfill"
    ask = VALID[name](ours)
    assert ask.body is not None
    ask.body["witness"]["email"] = f"witness@{theirs.slug}.example"
    before = everything(ours)
    assert_problem(send(staff["nurse"], name, ask), 403, "witness_required")
    assert everything(ours) == before


def test_their_names_are_free_here(staff: dict[str, Client], ours: Hospital, theirs: Hospital) -> None:
    """A unique name is unique in one hospital: neither a refusal nor a hint that it is taken elsewhere."""
    ((email,),) = theirs.rows("SELECT email FROM users WHERE role = 'admin'")
    asks = {
        "POST /users": {"email": email},
        "POST /wards": {"name": "Theirs 1 North"},
        "POST /patients": {"mrn": "M-only-there"},
        "POST /drugs": {"name": "Theirs Amoxicillin"},
    }
    for name, change in asks.items():
        ask = VALID[name](ours)
        ask.body = {**(ask.body or {}), **change}
        assert send(staff[login_for(name)], name, ask).status_code == 201


@pytest.fixture
def stranger(standing_app: Flask, ours: Hospital) -> Client:
    """A nurse of another ward of our hospital."""
    login = f"stranger-{uuid.uuid4().hex[:8]}"
    ours.add_staff(login, Role.NURSE, (ours.add_ward(),))
    return sign_in(standing_app, ours, login)


def test_a_nurse_of_another_ward_may_neither_fulfil_nor_read_the_board(stranger: Client, ours: Hospital) -> None:
    ours.receive(1)
    order_id = ours.place()
    before = everything(ours)
    assert_problem(stranger.post(f"/orders/{order_id}/fulfill", {}), 403, "forbidden")
    assert_problem(stranger.get(f"/mar?ward_id={ours.ward_id}"), 403, "forbidden")
    assert everything(ours) == before


def test_a_nurse_who_joins_the_ward_may(stranger: Client, staff: dict[str, Client], ours: Hospital) -> None:
    """Without signing in again: membership is read in each request."""
    ours.receive(1)
    path = f"/orders/{ours.place()}/fulfill"
    assert stranger.get(f"/mar?ward_id={ours.ward_id}").status_code == 403
    staff["admin"].patch(f"/users/{stranger.actor.user_id}", {"ward_ids": [str(ours.ward_id)]})
    assert stranger.get(f"/mar?ward_id={ours.ward_id}").status_code == 200
    assert stranger.post(path, {}).status_code == 200
    staff["admin"].patch(f"/users/{stranger.actor.user_id}", {"ward_ids": []})
    assert stranger.get(f"/mar?ward_id={ours.ward_id}").status_code == 403
