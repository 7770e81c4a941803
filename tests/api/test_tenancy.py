"""Nothing crosses from one hospital to another: every id that a request can carry, tried with another hospital's."""

import re
import uuid
from copy import deepcopy
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from backend.actor import Role
from backend.web.endpoint import JSON
from tests.api.foreign_ids import FOREIGN, foreign_id, ids_of
from tests.api.other_hospital import ID, Foreign
from tests.api.valid_requests import (
    LISTS,
    NEEDED,
    OPERATIONS,
    READS,
    VALID,
    Ask,
    assert_problem,
    everything,
    least,
    login_for,
    post_raw,
    send,
)
from tests.domain.claims.filing import Claim, csv_of
from tests.hospital import PASSWORD, Client, Hospital, sign_in

CASES = sorted(FOREIGN)
STATUSES = {"validation_failed": 422, "primary_provider_changed": 409}  # of the others 404


ROUNDS = {"not found in the round": "order_not_found", "no dose of the round": "fulfilled"}
pytestmark = pytest.mark.usefixtures("nothing_changes_there")


def test_every_id_that_a_request_can_carry_has_a_case() -> None:
    carried = set()
    for name, operation in OPERATIONS.items():
        carried |= {(name, "path", found) for found in re.findall(r"<uuid:(\w+)>", operation.path)}
        assert operation.path.count("<") == len(re.findall(r"<uuid:\w+>", operation.path))
        for place, schema in (("query", operation.query), ("body", operation.body)):
            if schema is not None and not (place == "body" and operation.media != JSON):
                carried |= {(name, place, found) for found in ids_of(schema)}
    assert carried == set(FOREIGN)


def ask_with(right: Ask, name: str, place: str, key: str, value: Any) -> Ask:
    """The valid request `right` with `value` in the field."""
    ask = deepcopy(right)
    where = getattr(ask, place)
    *lines, field = key.split(".")
    for within in lines:
        where = where[within][0]
    where[field] = [str(value)] if isinstance(where[field], list) else str(value)
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
    fenced_staff: dict[str, Client], ours: Hospital, theirs: Hospital, foreign: Foreign,
    name: str, place: str, key: str,
) -> None:  # fmt: skip
    """Answered like an id that nobody has, byte for byte but for the id itself; nothing changes here either."""
    expected, headers = FOREIGN[name, place, key], {"X-Request-ID": "same"}
    client, right = fenced_staff[login_for(name)], VALID[name](ours)
    sent, nobodys = str(foreign_id(theirs, key)), str(uuid.uuid4())
    before = everything(ours)
    response = send(client, name, ask_with(right, name, place, key, sent), headers=headers)
    assert not foreign.search(f"{response.headers}{response.text}", sent)
    if expected == "nothing":
        assert_nothing(response)
    elif expected in ROUNDS:  # which answer for each order by itself, and keep what they answered
        assert [result["outcome"] for result in response.get_json()["results"]] == [ROUNDS[expected]]
        return
    else:
        assert_problem(response, STATUSES.get(expected, 404), expected)
    unknown = send(client, name, ask_with(right, name, place, key, nobodys), headers=headers)
    assert unknown.text.replace(nobodys, sent) == response.text
    assert everything(ours) == before


@pytest.mark.parametrize("name", READS)
def test_what_is_read_is_ours_alone(
    fenced_staff: dict[str, Client], ours: Hospital, foreign: Foreign, name: str
) -> None:
    """By every role that may read it, narrowed to nothing and to everything that is ours."""
    for client in (fenced_staff[role.value] for role in Role):
        if client.actor.role in OPERATIONS[name].roles:
            for ask in (VALID[name](ours), *([least(name, ours)] if name in LISTS else ())):
                response = send(client, name, ask)
                assert response.status_code in {200, 403}, response.text  # a nurse reads the boards of her own wards
                assert not foreign.search(response.text)


@pytest.mark.parametrize(
    "path", ["/drugs?q=theirs", "/patients?q=theirs", "/stock?q=theirs", "/users?q=theirs", "/patients?q=THEIRS OKAFOR"]
)
def test_no_search_finds_what_is_theirs(fenced_staff: dict[str, Client], path: str) -> None:
    assert fenced_staff["nurse"].get(path).get_json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("name", LISTS)
def test_their_cursor_shows_only_ours(
    spies: dict[str, Client],
    fenced_staff: dict[str, Client],
    ours: Hospital,
    theirs: Hospital,
    foreign: Foreign,
    name: str,
) -> None:
    login = login_for(name)
    cursor = send(spies[login], name, least(name, theirs, limit="1")).get_json()["next_cursor"]
    assert cursor
    response = send(fenced_staff[login], name, least(name, ours, cursor=cursor))
    assert response.status_code == 200
    assert not foreign.search(response.text)


def test_their_witness_is_not_ours(
    staff: dict[str, Client], ours: Hospital, theirs: Hospital, foreign: Foreign
) -> None:
    name = "POST /orders/<uuid:order_id>/fulfill"
    ask = VALID[name](ours)
    assert ask.body is not None
    ask.body["witness"]["email"] = f"witness@{theirs.slug}.example"
    before = everything(ours)
    assert_problem(send(staff["nurse"], name, ask), 403, "witness_required")
    assert everything(ours) == before


def test_their_drug_in_a_file_is_as_unknown_as_nobodys(
    staff: dict[str, Client], ours: Hospital, theirs: Hospital, foreign: Foreign
) -> None:
    name = "POST /wards/<uuid:ward_id>/deliveries"
    right, before, nobodys = VALID[name](ours), everything(ours), str(uuid.uuid4())
    assert right.data is not None
    answers = []
    for drug_id in (str(theirs.drug_id), nobodys):
        right.data = re.sub(ID.pattern.encode(), drug_id.encode(), right.data)
        response = send(staff["pharmacist"], name, right, headers={"X-Request-ID": "same"})
        assert_problem(response, 404, "drug_not_found")
        assert not foreign.search(response.text, drug_id)
        answers.append(response.text.replace(drug_id, ""))
    assert answers[0] == answers[1]
    assert everything(ours) == before


def test_their_package_is_as_unknown_as_nobodys(staff: dict[str, Client], theirs: Hospital, foreign: Foreign) -> None:
    ((theirs_alone,),) = theirs.rows("SELECT gtin FROM drugs WHERE id = :p1", theirs.drug_id)
    answers = []
    for gtin in (theirs_alone, "04012345678901"):
        response = staff["nurse"].get(f"/scans?scan={gtin}", headers={"X-Request-ID": "same"})
        assert_problem(response, 404, "scanned_drug_unknown")
        assert not foreign.search(response.text)
        answers.append(response.text.replace(gtin, ""))
    assert answers[0] == answers[1]


def test_their_claims_are_new_here(clients: dict[str, Client], theirs: Hospital, foreign: Foreign) -> None:
    claim_ids = [row[0] for row in theirs.rows("SELECT claim_id FROM claim_records ORDER BY claim_id LIMIT 3")]
    filed = csv_of(Claim(ago=7, claim_id=claim_id) for claim_id in claim_ids)
    answer = post_raw(clients["admin"], "POST /claims/imports", Ask(), filed)
    assert (answer.get_json()["created"], answer.get_json()["rejected"]) == (3, 0)
    assert not foreign.search(answer.text)


@pytest.mark.parametrize("with_theirs", ["organization", "email"])
def test_a_name_and_password_open_one_hospital_only(
    standing_app: Flask, ours: Hospital, theirs: Hospital, foreign: Foreign, with_theirs: str
) -> None:
    """Somebody's of here with the other's name, and of there with ours: no word more than to nobody."""
    mine = {"organization": ours.slug, "email": f"nurse@{ours.slug}.example", "password": PASSWORD}
    strange = {"organization": theirs.slug, "email": f"nurse@{theirs.slug}.example"}[with_theirs]
    answers = []
    for said in (strange, "nobody@nowhere.example" if with_theirs == "email" else "nowhere"):
        asked = standing_app.test_client().post(
            "/api/v1/tokens", json={**mine, with_theirs: said}, headers={"X-Request-ID": "same"}
        )
        assert_problem(asked, 401, "not_authenticated")
        assert not foreign.search(asked.text)
        answers.append(asked.text)
    assert answers[0] == answers[1]


def test_their_names_are_free_here(clients: dict[str, Client], hospital: Hospital, theirs: Hospital) -> None:
    """A unique name is unique in one hospital: neither a refusal nor a hint that it is taken elsewhere."""
    ((email,),) = theirs.rows("SELECT email FROM users WHERE role = 'admin'")
    ((mrn,),) = theirs.rows("SELECT mrn FROM patients WHERE id = :p1", theirs.patient_id)
    asks = {
        "POST /users": {"email": email},
        "POST /wards": {"name": "Theirs 1 North"},
        "POST /patients": {"mrn": mrn},
        "POST /drugs": {"name": "Theirs Amoxicillin"},
    }
    for name, change in asks.items():
        ask = VALID[name](hospital)
        ask.body = {**(ask.body or {}), **change}
        assert send(clients[login_for(name)], name, ask).status_code == 201


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
