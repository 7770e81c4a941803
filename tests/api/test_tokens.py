"""Signing in and out over HTTP: who gets a token, what it is worth, what ends it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pyotp
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from backend import create_app
from backend.actor import Role
from backend.api.sign_in import UNLESS_SAID
from backend.config import Config
from backend.domain.identity import tokens
from backend.domain.identity.passwords import hash_password
from tests.api.valid_requests import assert_problem, everything
from tests.hospital import PASSWORD, Client, Hospital, now, open_hospital, sign_in


def sign_in_over_http(app: Flask, hospital: Hospital, **changes: Any) -> TestResponse:
    body = {"organization": hospital.slug, "email": f"nurse@{hospital.slug}.example", "password": PASSWORD, **changes}
    return app.test_client().post("/api/v1/tokens", json=body)


def test_sign_in_gives_a_token_for_one_shift_and_sign_out_ends_it(app: Flask, hospital: Hospital) -> None:
    response = sign_in_over_http(app, hospital)
    body = response.get_json()
    assert (response.status_code, list(body)) == (201, ["token", "expires_at", "user"])
    assert body["user"] == {"id": str(hospital.nurse.user_id), "name": "Nurse", "role": "nurse"}
    assert response.headers["Cache-Control"] == "no-store"
    ((hours,),) = hospital.rows("SELECT expires_at - created_at FROM access_tokens")
    assert hours == timedelta(hours=12)

    mine, other = (Client(app, hospital.nurse, sign_in_over_http(app, hospital).get_json()["token"]) for _ in "12")
    signed_out = mine.request("DELETE", "/tokens/current")
    assert (signed_out.status_code, signed_out.data) == (204, b"")
    assert_problem(mine.get("/me"), 401, "not_authenticated")
    assert_problem(mine.request("DELETE", "/tokens/current"), 401, "not_authenticated")
    assert other.get("/me").status_code == 200


def test_the_life_of_a_token_is_a_setting(config: Config, hospital: Hospital) -> None:
    app = create_app(replace(config, token_hours=1))
    assert sign_in_over_http(app, hospital).status_code == 201
    ((hours,),) = hospital.rows("SELECT expires_at - created_at FROM access_tokens")
    assert hours == timedelta(hours=1)
    app.extensions["valmed"].engine.dispose()


def test_an_email_signs_in_in_any_case(app: Flask, hospital: Hospital) -> None:
    assert sign_in_over_http(app, hospital, email=f"NURSE@{hospital.slug.upper()}.EXAMPLE").status_code == 201


def test_wrong_credentials_are_refused_alike_and_leave_nothing(app: Flask, hospital: Hospital) -> None:
    hospital.change("UPDATE users SET active = false WHERE role = 'doctor'")
    before = everything(hospital)
    refusals = [
        sign_in_over_http(app, hospital, **wrong)
        for wrong in (
            {"password": PASSWORD + " "},
            {"password": "x"},
            {"email": "nobody@nowhere.example"},
            {"organization": "no-such-hospital"},
            {"email": f"doctor@{hospital.slug}.example"},
        )
    ]
    documents = [assert_problem(response, 401, "not_authenticated") for response in refusals]
    assert len({document["detail"] for document in documents}) == 1
    assert all(response.headers["WWW-Authenticate"] for response in refusals)
    assert everything(hospital) == before


def test_the_same_person_elsewhere_is_somebody_else(app: Flask, hospital: Hospital) -> None:
    twin = open_hospital(hospital.database)
    email, password = f"nurse@{hospital.slug}.example", "another one of hers"
    who = {"email": email, "name": "Nurse", "role": Role.NURSE, "password_hash": hash_password(password)}
    twin.build(lambda builder: builder.hire(**who))
    assert sign_in_over_http(app, hospital, password=password).status_code == 401
    assert sign_in_over_http(app, twin, email=email).status_code == 401
    assert sign_in_over_http(app, twin, email=email, password=password).status_code == 201


def test_a_one_time_code_gives_a_second_factor(app: Flask, hospital: Hospital) -> None:
    secret = pyotp.random_base32()
    hospital.change("UPDATE users SET totp_secret = :p1 WHERE role = 'nurse'", secret)
    assert_problem(sign_in_over_http(app, hospital, otp="000000x"[:6]), 401, "not_authenticated")
    for otp, second_factor in ((None, False), (pyotp.TOTP(secret).now(), True)):
        response = sign_in_over_http(app, hospital, **({"otp": otp} if otp else {}))
        me = Client(app, hospital.nurse, response.get_json()["token"]).get("/me").get_json()
        assert me["second_factor"] is second_factor


def test_a_code_of_somebody_without_a_second_factor_is_refused(app: Flask, hospital: Hospital) -> None:
    assert_problem(sign_in_over_http(app, hospital, otp="123456"), 401, "not_authenticated")


@pytest.mark.parametrize(
    "header",
    [
        "Bearer vmd_garbage",
        "Bearer " + "x" * 5_000,
        "Bearer ",
        "Bearer",
        "Bearer  two-blanks",
        "Bearer a b",
        "Basic bnVyc2U6c2VjcmV0",
        "Bearer ' OR 1=1 --",
        "Bearer caf\xe9",
        "garbage",
        "",
    ],
)
def test_garbage_for_a_token_is_401(standing_app: Flask, header: str) -> None:
    response = standing_app.test_client().get("/api/v1/me", headers={"Authorization": header})
    assert_problem(response, 401, "not_authenticated")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="valmed"'


def test_an_expired_token_is_401(app: Flask, hospital: Hospital) -> None:
    actor = hospital.nurse

    def issue_one_that_ended(session: Any) -> str:
        long_ago = now() - timedelta(hours=1, seconds=1)
        return tokens.issue_token(session, actor=actor, now=long_ago, hours=1).token

    expired = Client(app, actor, hospital.run(issue_one_that_ended, actor))
    response = expired.get("/me")
    assert_problem(response, 401, "not_authenticated")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="valmed"'


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ({"password": "another long password"}, True),
        ({"role": "doctor"}, True),
        ({"active": False}, True),
        ({"role": "nurse"}, False),
        ({"name": "Married Name"}, False),
        ({"ward_ids": []}, False),
        ({"active": True}, False),
    ],
)
def test_a_new_password_another_role_and_leaving_end_every_token(
    app: Flask, hospital: Hospital, clients: dict[str, Client], change: dict[str, Any], ends: bool
) -> None:
    screens = [sign_in(app, hospital, "nurse") for _ in range(2)]
    changed = clients["admin"].patch(f"/users/{hospital.nurse.user_id}", change)
    assert changed.status_code == 200
    assert [screen.get("/me").status_code for screen in screens] == [401 if ends else 200] * 2


def test_the_sign_ins_of_a_person_are_listed_and_each_is_ended_alone(
    app: Flask, hospital: Hospital, clients: dict[str, Client]
) -> None:
    before = now()
    tokens_of_hers = [sign_in_over_http(app, hospital).get_json()["token"] for _ in range(3)]
    last, middle, first = (Client(app, hospital.nurse, token) for token in reversed(tokens_of_hers))

    def listed() -> list[dict[str, Any]]:
        answer = first.get("/me/tokens")
        assert not any(token[:12] in answer.text for token in tokens_of_hers)
        return answer.get_json()["sign_ins"]

    everyone = listed()
    assert len(everyone) == 4, "and the one of the fixture"
    assert everyone == sorted(everyone, key=lambda each: each["created_at"], reverse=True)
    assert set(everyone[0]) == {"id", "created_at", "expires_at", "second_factor"}
    assert datetime.fromisoformat(everyone[0]["created_at"]) >= before
    path = f"/me/tokens/{everyone[1]['id']}"
    assert [first.delete(path).status_code for _ in range(2)] == [204, 204]
    assert [client.get("/me").status_code for client in (first, middle, last)] == [200, 401, 200]
    assert [each["id"] for each in listed()] == [each["id"] for each in everyone if each is not everyone[1]]
    hospital.change("UPDATE access_tokens SET expires_at = now() WHERE id = :p1", everyone[0]["id"])
    assert everyone[0]["id"] not in {each["id"] for each in listed()}


def test_more_sign_ins_than_one_answer_lists_are_walked(hospital: Hospital, clients: dict[str, Client]) -> None:
    hospital.change(
        "INSERT INTO access_tokens (organization_id, id, user_id, token_sha256, expires_at, created_at, second_factor)"
        " SELECT :p1, gen_random_uuid(), :p2, sha256((n || ' ' || CAST(:p2 AS text))::bytea),"
        " now() + interval '1 hour', now() - n * interval '1 second', false FROM generate_series(1, :p3) n",
        hospital.organization_id,
        hospital.nurse.user_id,
        UNLESS_SAID + 9,
    )
    first = clients["nurse"].get("/me/tokens").get_json()
    rest = clients["nurse"].get("/me/tokens", query_string={"cursor": first["next_cursor"]}).get_json()
    assert (len(first["sign_ins"]), len(rest["sign_ins"]), rest["next_cursor"]) == (UNLESS_SAID, 10, None)
    ids = [each["id"] for page in (first, rest) for each in page["sign_ins"]]
    assert len(set(ids)) == UNLESS_SAID + 10, "and the one of the fixture"


def test_nobody_ends_the_sign_in_of_a_colleague(hospital: Hospital, clients: dict[str, Client]) -> None:
    (hers,) = clients["nurse"].get("/me/tokens").get_json()["sign_ins"]
    before = everything(hospital)
    for login in ("doctor", "admin"):
        assert_problem(clients[login].delete(f"/me/tokens/{hers['id']}"), 404, "sign_in_not_found")
    assert everything(hospital) == before
    assert clients["nurse"].get("/me").status_code == 200
