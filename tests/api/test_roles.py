"""Who may do what, for every operation and every role."""

import re

import pytest
from flask import Flask

from backend.actor import Role
from tests.api.valid_requests import OPERATIONS, VALID, Ask, arrive, assert_problem, everything, login_for, send
from tests.hospital import Client, Hospital

EVERYBODY = {"nurse", "pharmacist", "doctor", "admin"}
MAY = {
    "POST /tokens": EVERYBODY,
    "DELETE /tokens/current": EVERYBODY,
    "GET /me": EVERYBODY,
    "DELETE /me/tokens": EVERYBODY,
    "GET /me/tokens": EVERYBODY,
    "DELETE /me/tokens/<uuid:token_id>": EVERYBODY,
    "PUT /me/password": EVERYBODY,
    "GET /me/second-factor": EVERYBODY,
    "POST /me/second-factor": EVERYBODY,
    "PUT /me/second-factor": EVERYBODY,
    "POST /me/second-factor/remove": EVERYBODY,
    "GET /me/passkeys": EVERYBODY,
    "POST /me/passkeys/<uuid:passkey_id>/remove": EVERYBODY,
    "GET /organization": EVERYBODY,
    "PATCH /organization": {"admin"},
    "GET /users": EVERYBODY,
    "GET /users/<uuid:user_id>": EVERYBODY,
    "POST /users": {"admin"},
    "PATCH /users/<uuid:user_id>": {"admin"},
    "DELETE /users/<uuid:user_id>/second-factor": {"admin"},
    "GET /wards": EVERYBODY,
    "POST /wards": {"admin"},
    "GET /patients": EVERYBODY,
    "POST /patients": {"admin"},
    "POST /patients/search": EVERYBODY,
    "GET /patients/<uuid:patient_id>": EVERYBODY,
    "GET /patients/<uuid:patient_id>/cautions": EVERYBODY,
    "GET /patients/<uuid:patient_id>/care-team": EVERYBODY,
    "GET /patients/<uuid:patient_id>/care-team/history": EVERYBODY,
    "GET /patients/<uuid:patient_id>/care-team/primary": EVERYBODY,
    "POST /patients/<uuid:patient_id>/care-team": {"admin", "doctor"},
    "PUT /patients/<uuid:patient_id>/care-team/primary": {"admin", "doctor"},
    "DELETE /patients/<uuid:patient_id>/care-team/<uuid:assignment_id>": {"admin", "doctor"},
    "GET /drugs": EVERYBODY,
    "POST /drugs": {"pharmacist"},
    "GET /drugs/<uuid:drug_id>": EVERYBODY,
    "PATCH /drugs/<uuid:drug_id>": {"pharmacist"},
    "GET /orders": EVERYBODY,
    "POST /orders": {"doctor"},
    "GET /orders/statistics": EVERYBODY,
    "GET /orders/<uuid:order_id>": EVERYBODY,
    "POST /orders/<uuid:order_id>/verify": {"pharmacist"},
    "POST /orders/<uuid:order_id>/discontinue": {"doctor"},
    "POST /orders/<uuid:order_id>/fulfill": {"nurse"},
    "GET /mar": {"nurse", "pharmacist"},
    "GET /stock": EVERYBODY,
    "POST /stock/receipts": {"pharmacist"},
    "GET /stock/movements": EVERYBODY,
    "GET /stock/as-of": EVERYBODY,
    "GET /stock/consumption": EVERYBODY,
    "GET /stock/expiring-value": {"pharmacist", "admin"},
    "POST /orders/<uuid:order_id>/skip": {"nurse"},
    "POST /fulfillments": {"nurse"},
    "GET /administrations": EVERYBODY,
    "GET /administrations/<uuid:administration_id>": EVERYBODY,
    "POST /administrations/<uuid:administration_id>/entered-in-error": {"nurse", "pharmacist"},
    "POST /administrations/<uuid:administration_id>/waste": {"nurse"},
    "POST /administrations/<uuid:administration_id>/return": {"nurse"},
    "GET /override-drugs": EVERYBODY,
    "POST /override-drugs": {"pharmacist"},
    "DELETE /override-drugs/<uuid:entry_id>": {"pharmacist"},
    "GET /overrides": {"admin", "pharmacist"},
    "POST /overrides/<uuid:override_id>/review": {"pharmacist"},
    "PUT /stock/levels": {"pharmacist"},
    "POST /stock/deliveries": {"pharmacist"},
    "POST /wards/<uuid:ward_id>/deliveries": {"pharmacist"},
    "POST /stock/adjustments": {"pharmacist"},
    "POST /stock/movements/<uuid:movement_id>/correct": {"pharmacist"},
    "GET /lots": EVERYBODY,
    "GET /lots/<uuid:lot_id>": {"pharmacist"},
    "GET /lots/<uuid:lot_id>/doses": {"pharmacist"},
    "GET /lots/<uuid:lot_id>/patients": {"pharmacist"},
    "POST /lots/<uuid:lot_id>/hold": {"pharmacist"},
    "POST /lots/<uuid:lot_id>/release": {"pharmacist"},
    "POST /lots/<uuid:lot_id>/recall": {"pharmacist"},
    "GET /scans": {"nurse", "pharmacist"},
    "GET /transfers": EVERYBODY,
    "POST /transfers": {"nurse", "pharmacist"},
    "GET /transfers/<uuid:transfer_id>": EVERYBODY,
    "POST /transfers/<uuid:transfer_id>/dispatch": {"pharmacist"},
    "POST /transfers/<uuid:transfer_id>/receive": {"nurse", "pharmacist"},
    "POST /transfers/<uuid:transfer_id>/cancel": {"nurse", "pharmacist"},
    "GET /stock/replenishment": {"nurse", "pharmacist"},
    "POST /stock/replenishment": {"nurse", "pharmacist"},
    "GET /counts": EVERYBODY,
    "POST /counts": {"nurse", "pharmacist"},
    "GET /counts/<uuid:count_id>": {"nurse", "pharmacist"},
    "GET /counts/<uuid:count_id>/lines": {"nurse", "pharmacist"},
    "POST /counts/<uuid:count_id>/lines": {"nurse", "pharmacist"},
    "POST /counts/<uuid:count_id>/complete": {"nurse", "pharmacist"},
    "POST /counts/<uuid:count_id>/cancel": {"nurse", "pharmacist"},
    "GET /discrepancies": {"admin", "nurse", "pharmacist"},
    "GET /discrepancies/<uuid:discrepancy_id>": {"admin", "nurse", "pharmacist"},
    "POST /discrepancies/<uuid:discrepancy_id>/assign": {"pharmacist"},
    "POST /discrepancies/<uuid:discrepancy_id>/resolve": {"pharmacist"},
    "GET /stock/register": {"admin", "pharmacist"},
    "GET /alerts": EVERYBODY,
    "GET /audit": {"admin"},
    "POST /alerts/<uuid:alert_id>/acknowledge": EVERYBODY,
    "POST /claims/imports": {"admin"},
    "POST /drift/runs": {"admin", "pharmacist"},
    "GET /drift/runs": {"admin", "pharmacist"},
    "GET /drift/runs/<uuid:run_id>": {"admin", "pharmacist"},
    "GET /drift/runs/<uuid:run_id>/events": {"admin", "pharmacist"},
    "GET /drift/runs/<uuid:run_id>/events.csv": {"admin", "pharmacist"},
}
PATH_IDS = sorted({found for name in MAY for found in re.findall(r"<uuid:(\w+)>", name)})
ALLOWED = [(name, role) for name in sorted(MAY) for role in sorted(MAY[name])]
REFUSED = [(name, role) for name in sorted(MAY) for role in sorted(EVERYBODY - MAY[name])]


def test_every_operation_has_its_roles_here_and_a_valid_request() -> None:
    assert set(MAY) == set(VALID) == set(OPERATIONS)
    assert {role.value for role in Role} == EVERYBODY
    assert {name: {role.value for role in operation.roles} for name, operation in OPERATIONS.items()} == MAY


@pytest.mark.parametrize(("name", "role"), ALLOWED)
def test_the_role_may(standing_app: Flask, ours: Hospital, name: str, role: str) -> None:
    client = arrive(standing_app, ours, name, role)
    response = send(client, name, VALID[name](ours))
    assert response.status_code == OPERATIONS[name].status, response.text


@pytest.mark.parametrize(("name", "role"), REFUSED)
def test_the_role_may_not_and_nothing_changes(staff: dict[str, Client], ours: Hospital, name: str, role: str) -> None:
    ask = VALID[name](ours)
    before = everything(ours)
    refusal = assert_problem(send(staff[role], name, ask), 403, "forbidden")
    assert refusal["detail"].endswith(f"you are signed in as {role}.")
    assert everything(ours) == before


@pytest.mark.parametrize(("name", "role"), REFUSED)
def test_a_role_that_may_not_learns_nothing_about_the_request(staff: dict[str, Client], name: str, role: str) -> None:
    """Neither whether the thing exists nor what is wrong with the body."""
    nowhere = Ask(dict.fromkeys(PATH_IDS, "00000000-0000-7000-8000-000000000000"))
    assert_problem(send(staff[role], name, nowhere, data=b"{", content_type="text/plain"), 403, "forbidden")


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"POST /tokens"}))
def test_without_a_token_nothing_is_answered_and_nothing_changes(
    standing_app: Flask, ours: Hospital, name: str
) -> None:
    ask = VALID[name](ours)
    before = everything(ours)
    nobody = Client(standing_app, ours.staff[login_for(name)], "")
    response = send(nobody, name, ask, headers={"Authorization": ""})
    assert_problem(response, 401, "not_authenticated")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="valmed"'
    assert everything(ours) == before
