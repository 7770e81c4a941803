"""What holds for every operation: request ids, idempotency keys, HEAD; enumerated, so that none is left out."""

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask

from backend import create_app
from backend.actor import Role
from backend.config import Config
from tests.api.valid_requests import (
    OPERATIONS,
    READS,
    SENT,
    VALID,
    WITH_KEY,
    arrive,
    assert_problem,
    everything,
    login_for,
    send,
    url_of,
)
from tests.db.session_leaks import state_of
from tests.hospital import Client, Hospital, open_hospital, sign_in


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_the_callers_request_id_comes_back(standing_app: Flask, ours: Hospital, name: str) -> None:
    client = arrive(standing_app, ours, name, login_for(name))
    response = send(client, name, VALID[name](ours), headers={"X-Request-ID": "ward-7:round.3_a"})
    assert response.status_code == OPERATIONS[name].status
    assert response.headers["X-Request-ID"] == "ward-7:round.3_a"


@pytest.mark.parametrize("name", sorted(SENT))
def test_each_change_of_a_row_raises_its_version_by_one(standing_app: Flask, ours: Hospital, name: str) -> None:
    """By that `valmed verify` counts the changes that must be in the trail. A token has no version."""
    client, request_id = arrive(standing_app, ours, name, login_for(name)), uuid.uuid4().hex
    response = send(client, name, VALID[name](ours), headers={"X-Request-ID": request_id})
    assert response.status_code == OPERATIONS[name].status
    changes = ours.rows(
        "SELECT table_name, (after->>'version')::int - (before->>'version')::int FROM audit_events"
        " WHERE request_id = :p1 AND operation = 'UPDATE' AND table_name <> 'access_tokens'",
        request_id,
    )
    assert [(table, raised) for table, raised in changes if raised != 1] == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/me", 401),
        ("DELETE", "/api/v1/tokens/current", 401),
        ("POST", "/api/v1/tokens", 422),
        ("GET", "/api/v1/nothing", 404),
        ("PUT", "/api/v1/me", 405),
        ("GET", "/healthz", 200),
        ("GET", "/api/v1/openapi.json", 200),
        ("OPTIONS", "/api/v1/me", 200),
    ],
)
def test_every_answer_carries_a_request_id(standing_app: Flask, method: str, path: str, status: int) -> None:
    client = standing_app.test_client()
    response = client.open(path, method=method, headers={"X-Request-ID": "abc"})
    assert (response.status_code, response.headers["X-Request-ID"]) == (status, "abc")


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 65, "<script>", "caf\xe9", "';--", 'a"b'])
def test_an_absent_or_malformed_request_id_is_replaced(standing_app: Flask, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-ID": given}
    made = [standing_app.test_client().get("/healthz", headers=headers).headers["X-Request-ID"] for _ in range(2)]
    assert given not in made
    assert all(uuid.UUID(request_id).version == 7 for request_id in made)
    assert made[0] != made[1]


def trailed(ours: Hospital, client: Client, given: str) -> str:
    """What the trail calls a receipt that `client` makes, with `given` as the request's id."""
    name = "POST /stock/receipts"
    (before,) = ours.rows("SELECT coalesce(max(id), 0) FROM audit_events")
    answer = send(client, name, VALID[name](ours), headers={"X-Request-ID": given} if given else {})
    assert answer.status_code == 201
    seen = ours.rows("SELECT DISTINCT actor_id, request_id FROM audit_events WHERE id > :p1", *before)
    ((actor_id, request_id),) = seen
    assert actor_id == client.actor.user_id
    return str(request_id)


def test_audit_trail_names_the_request_as_caller_and_server_do(ours: Hospital, staff: dict[str, Client]) -> None:
    given = f"audit-{uuid.uuid4()}"
    caller, own = trailed(ours, staff["pharmacist"], given).split("/")
    assert caller == given
    assert uuid.UUID(own).version == 7


def test_caller_cannot_take_the_id_of_another_request_in_the_trail(ours: Hospital, staff: dict[str, Client]) -> None:
    names: list[str] = []
    for given in ("", "ward-7"):
        taken = trailed(ours, staff["pharmacist"], given)
        names += [taken, *(trailed(ours, staff["pharmacist"], again) for again in (taken, given, taken.split("/")[-1]))]
    assert len(set(names)) == len(names)
    assert len({name.split("/")[-1] for name in names}) == len(names)


@pytest.mark.parametrize("name", WITH_KEY)
def test_a_write_with_a_key_happens_once(staff: dict[str, Client], ours: Hospital, name: str) -> None:
    client, ask = staff[login_for(name)], VALID[name](ours)
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first = send(client, name, ask, headers=headers)
    before = everything(ours)
    second = send(client, name, ask, headers=headers)
    assert (first.status_code, first.headers.get("Idempotent-Replayed")) == (OPERATIONS[name].status, None)
    assert (second.status_code, second.headers.get("Idempotent-Replayed")) == (OPERATIONS[name].status, "true")
    assert (second.data, second.content_type) == (first.data, first.content_type)
    assert everything(ours) == before


@pytest.mark.parametrize("name", WITH_KEY)
def test_a_key_belongs_to_one_request(staff: dict[str, Client], ours: Hospital, name: str) -> None:
    client, ask, other = staff[login_for(name)], VALID[name](ours), VALID[name](ours)
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    assert send(client, name, ask, headers=headers).status_code == OPERATIONS[name].status
    before = everything(ours)
    assert_problem(send(client, name, other, headers=headers), 422, "idempotency_key_reused")
    assert everything(ours) == before


def test_a_key_is_not_shared_between_people(app: Flask, hospital: Hospital) -> None:
    hospital.add_staff("colleague", Role.NURSE, (hospital.ward_id,))
    hospital.receive(2)
    path, headers = f"/orders/{hospital.place()}/fulfill", {"Idempotency-Key": "round-1"}
    assert sign_in(app, hospital, "nurse").post(path, {}, headers=headers).status_code == 200
    stolen = sign_in(app, hospital, "colleague").post(path, {}, headers=headers)
    assert_problem(stolen, 422, "idempotency_key_reused")
    assert hospital.on_hand() == 1


def test_a_key_is_not_shared_between_hospitals(app: Flask, hospital: Hospital) -> None:
    other = open_hospital(hospital.database)
    for place in (hospital, other):
        place.receive(1)
        path = f"/orders/{place.place()}/fulfill"
        response = sign_in(app, place, "nurse").post(path, {}, headers={"Idempotency-Key": "round-1"})
        assert (response.status_code, response.headers.get("Idempotent-Replayed")) == (200, None)


def test_another_spelling_of_the_same_body_is_the_same_request(hospital: Hospital, clients: dict[str, Client]) -> None:
    headers = {"Idempotency-Key": "k"}
    first = clients["admin"].post("/wards", {"name": "A", "kind": "ward"}, headers=headers)
    spelled = clients["admin"].request(
        "POST",
        "/wards",
        data=b'{"kind" : "ward",\n "name": "\\u0041"}',
        content_type="application/json",
        headers=headers,
    )
    assert (spelled.status_code, spelled.headers["Idempotent-Replayed"]) == (201, "true")
    assert spelled.data == first.data


def test_a_refused_request_does_not_burn_its_key(hospital: Hospital, clients: dict[str, Client]) -> None:
    path, headers = f"/orders/{hospital.place()}/fulfill", {"Idempotency-Key": "k"}
    assert_problem(clients["nurse"].post(path, {}, headers=headers), 409, "insufficient_stock")
    hospital.receive(1)
    response = clients["nurse"].post(path, {}, headers=headers)
    assert (response.status_code, response.headers.get("Idempotent-Replayed")) == (200, None)


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 129, "caf\xe9"])
def test_a_malformed_key_is_refused(staff: dict[str, Client], ours: Hospital, key: str) -> None:
    name = "POST /stock/receipts"
    ask, before = VALID[name](ours), everything(ours)
    refusal = assert_problem(
        send(staff["pharmacist"], name, ask, headers={"Idempotency-Key": key}), 422, "validation_failed"
    )
    assert [error["pointer"] for error in refusal["errors"]] == ["/Idempotency-Key"]
    assert everything(ours) == before


@pytest.mark.parametrize("name", READS)
def test_reads_answer_head_and_change_nothing(staff: dict[str, Client], ours: Hospital, name: str) -> None:
    client, ask = staff[login_for(name)], VALID[name](ours)
    before = everything(ours)
    read = send(client, name, ask)
    head = client.request("HEAD", url_of(name, ask), query_string=ask.query)
    assert (head.status_code, head.data) == (read.status_code, b"") == (200, b"")
    assert read.headers["X-Content-Type-Options"] == "nosniff"
    assert everything(ours) == before


@pytest.fixture(scope="module")
def lone(config: Config) -> Iterator[Flask]:
    """The application with one connection."""
    made = create_app(replace(config, pool_size=1, pool_max_overflow=0, claims_bytes_max=2_097_152))
    yield made
    made.extensions["valmed"].engine.dispose()


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_nothing_of_a_request_stays_on_its_pooled_connection(lone: Flask, ours: Hospital, name: str) -> None:
    """No setting, role, lock, temporary table or cursor, nor a prepared statement that holds an id."""
    clean = state_of(lone.extensions["valmed"])
    assert clean[2][2:5] == ("", "", "")
    client = arrive(lone, ours, name, login_for(name))
    assert send(client, name, VALID[name](ours)).status_code == OPERATIONS[name].status
    assert state_of(lone.extensions["valmed"]) == clean
