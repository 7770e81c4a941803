"""A repeated key never answers as if another secret than the first had been set."""

import hashlib
import uuid
from collections.abc import Iterator

import orjson
import pytest
from argon2.low_level import Type, hash_secret_raw
from flask import Flask
from marshmallow import Schema, fields
from werkzeug.test import TestResponse

from backend.actor import Role
from backend.domain.identity.sign_in import totp
from backend.web.fields import Code, Password, Secret
from backend.web.idempotency import SECRETS
from tests.api.test_tokens import sign_in_over_http
from tests.api.valid_requests import OPERATIONS, VALID, WITH_BODY, WITH_KEY, assert_problem, everything, send
from tests.hospital import PASSWORD, Client, Hospital, now, sign_in

FIRST, OTHER = "four small brown mice", "seven lemons on a sill"
USERS, USER = "POST /users", "PATCH /users/<uuid:user_id>"


def _secrets_of(schema: Schema, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in schema.fields.items():
        inner = field.inner if isinstance(field, fields.List) else field
        if isinstance(inner, fields.Nested):
            yield from _secrets_of(inner.schema, (*path, name))
        elif isinstance(inner, (Password, Secret, Code)) or name in SECRETS:
            yield (*path, name)


def _keyed_secrets() -> set[tuple[str, ...]]:
    return {(name, *path) for name in WITH_BODY if name in WITH_KEY for path in _secrets_of(OPERATIONS[name].body)}


def test_keyed_operations_set_no_other_secret_than_these() -> None:
    found = _keyed_secrets()
    assert {path[-1] for path in found} <= SECRETS
    assert {path for path in found if path[1] != "witness"} == {(USERS, "password"), (USER, "password")}
    proofs = {path[2:] for path in found if path[1] == "witness"}
    assert proofs == {("password",), ("otp",)}, "of an object, not of a list of them"


@pytest.mark.parametrize("name", [USERS, USER])
def test_key_repeated_with_another_password_is_refused(
    app: Flask, hospital: Hospital, clients: dict[str, Client], name: str
) -> None:
    mia = hospital.add_staff("spare" if name == USER else "mia", Role.NURSE)
    ask, key = VALID[name](hospital), {"Idempotency-Key": uuid.uuid4().hex}
    body = {**ask.body, "password": FIRST, "ward_ids": []}
    email = body.get("email", f"spare@{hospital.slug}.example")
    ask.path |= {"user_id": mia.user_id} if name == USER else {}
    first = send(clients["admin"], name, ask, json=body, headers=key)
    assert first.status_code == OPERATIONS[name].status, first.text
    before = everything(hospital)
    others = [{**body, "password": OTHER}]
    if name == USER:
        others.append({field: value for field, value in body.items() if field != "password"})
    for other in others:
        assert_problem(send(clients["admin"], name, ask, json=other, headers=key), 422, "idempotency_key_reused")
    again = send(clients["admin"], name, ask, json=body, headers=key)
    assert (again.data, again.headers.get("Idempotent-Replayed")) == (first.data, "true")
    assert everything(hospital) == before
    assert_problem(sign_in_over_http(app, hospital, email=email, password=FIRST), 403, "password_change_required")
    assert_problem(sign_in_over_http(app, hospital, email=email, password=OTHER), 401, "not_authenticated")


def test_true_repeat_is_replayed_after_the_owner_chose_a_password(
    app: Flask, hospital: Hospital, clients: dict[str, Client]
) -> None:
    ask, key = VALID[USERS](hospital), {"Idempotency-Key": uuid.uuid4().hex}
    first = send(clients["admin"], USERS, ask, headers=key)
    typed = {"email": ask.body["email"], "password": ask.body["password"], "new_password": OTHER}
    assert sign_in_over_http(app, hospital, **typed).status_code == 201
    again = send(clients["admin"], USERS, ask, headers=key)
    assert (again.status_code, again.data, again.headers["Idempotent-Replayed"]) == (201, first.data, "true")
    assert sign_in_over_http(app, hospital, email=ask.body["email"], password=OTHER).status_code == 201


def test_stored_fingerprint_holds_a_slow_hash_of_the_password(hospital: Hospital, clients: dict[str, Client]) -> None:
    ask, key = VALID[USERS](hospital), uuid.uuid4().hex
    assert send(clients["admin"], USERS, ask, headers={"Idempotency-Key": key}).status_code == 201
    ((stored,),) = hospital.rows("SELECT fingerprint FROM idempotency_keys WHERE key = :p1", key)
    salt = hashlib.sha256(f"{hospital.organization_id} {key}".encode()).digest()
    slow = hash_secret_raw(ask.body["password"].encode(), salt, 2, 19_456, 1, 32, Type.ID)
    told = {name: value for name, value in ask.body.items() if name != "password"}
    start = f"{hospital.staff['admin'].user_id} POST /api/v1/users ".encode()
    rest = orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
    assert bytes(stored) == hashlib.sha256(start + rest + b" password " + slow).digest()


def test_own_password_sent_again_with_the_key_is_not_told_as_set(app: Flask, hospital: Hospital) -> None:
    key = {"Idempotency-Key": "mine"}
    body = {"password": PASSWORD, "new_password": FIRST}
    assert sign_in(app, hospital, "nurse").put("/me/password", body, headers=key).status_code == 204
    again = sign_in(app, hospital, "nurse").put("/me/password", {**body, "new_password": OTHER}, headers=key)
    assert_problem(again, 403, "password_wrong")
    assert sign_in_over_http(app, hospital, password=FIRST).status_code == 201
    assert_problem(sign_in_over_http(app, hospital, password=OTHER), 401, "not_authenticated")


def test_password_chosen_with_a_sign_in_is_not_told_as_chosen_twice(app: Flask, hospital: Hospital) -> None:
    hospital.add_staff("new", Role.NURSE, own_password=False)
    typed = {"organization": hospital.slug, "email": f"new@{hospital.slug}.example", "password": PASSWORD}

    def enter(chosen: str) -> TestResponse:
        body, key = {**typed, "new_password": chosen}, {"Idempotency-Key": "first"}
        return app.test_client().post("/api/v1/tokens", json=body, headers=key)

    assert enter(FIRST).status_code == 201
    assert_problem(enter(OTHER), 401, "not_authenticated")


def test_second_factor_sent_again_with_the_key_is_not_told_as_enrolled(app: Flask, hospital: Hospital) -> None:
    nurse, key = sign_in(app, hospital, "nurse"), {"Idempotency-Key": "phone"}

    def enrol(secret: str) -> int:
        body = {"secret": secret, "otp": totp.code_of(secret, totp.step_at(now()))}
        return nurse.put("/me/second-factor", body, headers=key).status_code

    mine, other = totp.new_secret(), totp.new_secret()
    assert [enrol(mine), enrol(other), enrol(mine)] == [200, 403, 200], "to change it takes the password"
    assert hospital.rows("SELECT totp_secret FROM users WHERE role = 'nurse'") == [(mine,)]
