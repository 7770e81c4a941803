"""Second factors, one's own password and failed sign-ins over HTTP."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg2.extensions
import pytest
from flask import Flask

from backend import create_app
from backend.config import Config
from backend.domain.identity import tokens
from backend.domain.identity.sign_in.totp import code_of, new_secret, step_at
from tests.api.test_tokens import sign_in_over_http
from tests.api.valid_requests import assert_problem, everything
from tests.hospital import PASSWORD, Client, Hospital, now, open_hospital

NEW = "another long password"


def code_now(secret: str, later: int = 0) -> str:
    """What the app shows, or will show."""
    return code_of(secret, step_at(now()) + later)


def enrol(client: Client, secret: str, later: int = 0, **more: str) -> Any:
    """The answer to enrolling `secret`."""
    body = {"secret": secret, "otp": code_now(secret, later), **more}
    return client.request("PUT", "/me/second-factor", json=body)


def require(clients: dict[str, Client], *roles: str) -> None:
    """The hospital's policy."""
    changed = clients["admin"].patch("/organization", {"second_factor_roles": roles})
    assert changed.get_json()["second_factor_roles"] == sorted(roles)


def test_a_code_signs_in_once(app: Flask, hospital: Hospital, clients: dict[str, Client]) -> None:
    secret = new_secret()
    assert enrol(clients["nurse"], secret).get_json() == {"enrolled": True, "passkeys": 0, "required": False}
    step = step_at(now())
    otp = code_of(secret, step + 1)  # good for a minute at the least
    first, second = (sign_in_over_http(app, hospital, otp=otp) for _ in range(2))
    assert Client(app, hospital.nurse, first.get_json()["token"]).get("/me").get_json()["second_factor"] is True
    assert_problem(second, 401, "not_authenticated")
    assert_problem(sign_in_over_http(app, hospital, otp=code_of(secret, step)), 401, "not_authenticated")
    assert sign_in_over_http(app, hospital).status_code == 201, "without a code, as long as the policy asks for none"


def test_a_required_factor_is_told_and_nothing_is_issued(
    app: Flask, hospital: Hospital, clients: dict[str, Client]
) -> None:
    require(clients, "nurse")
    before = everything(hospital)
    assert assert_problem(sign_in_over_http(app, hospital), 403, "second_factor_required")["enrolled"] is False
    assert_problem(sign_in_over_http(app, hospital, otp="123456"), 401, "not_authenticated")
    assert everything(hospital) == before
    assert enrol(clients["nurse"], new_secret()).get_json() == {"enrolled": True, "passkeys": 0, "required": True}
    assert assert_problem(sign_in_over_http(app, hospital), 403, "second_factor_required")["enrolled"] is True


@pytest.mark.parametrize("otp", [None, "123456"])
def test_a_sign_in_that_is_no_request_makes_no_token(app: Flask, hospital: Hospital, otp: str | None) -> None:
    body = {"organization": hospital.slug, "email": f"nurse@{hospital.slug}.example", "password": PASSWORD}
    before = everything(hospital)
    refused = app.test_client().post("/api/v1/tokens?nope=1", json={**body, **({"otp": otp} if otp else {})})
    assert_problem(refused, 422, "validation_failed")
    assert everything(hospital) == before


def test_a_secret_is_offered_and_stored_nowhere_before_its_code_is_right(
    hospital: Hospital, clients: dict[str, Client]
) -> None:
    nurse, before = clients["nurse"], everything(hospital)
    offers = [nurse.post("/me/second-factor").get_json() for _ in range(2)]
    assert offers[0]["secret"] != offers[1]["secret"]
    assert offers[0]["secret"] in offers[0]["uri"]
    wrong = "000000" if code_now(offers[0]["secret"]) != "000000" else "111111"
    refused = nurse.request("PUT", "/me/second-factor", json={"secret": offers[0]["secret"], "otp": wrong})
    assert_problem(refused, 403, "code_wrong")
    assert everything(hospital) == before


def with_factor(app: Flask, hospital: Hospital, login: str) -> Client:
    """Somebody who has signed in with a second factor."""
    actor = replace(hospital.staff[login], second_factor=True)
    issued = hospital.run(lambda session: tokens.issue_token(session, actor=actor, now=now(), hours=1), actor)
    return Client(app, actor, issued.token)


def test_a_stolen_password_changes_no_factor(app: Flask, hospital: Hospital, clients: dict[str, Client]) -> None:
    """Where the policy does not ask for it a password alone makes a token; that must not become the owner's factor."""
    thief, first = clients["nurse"], new_secret()
    assert enrol(thief, first).status_code == 200
    before = everything(hospital)
    refused = [
        enrol(thief, new_secret(), password=PASSWORD),
        thief.post("/me/second-factor/remove", {"password": PASSWORD}),
    ]
    for answer in refused:
        assert_problem(answer, 403, "second_factor_required")
    assert everything(hospital) == before
    assert enrol(with_factor(app, hospital, "nurse"), new_secret(), password=PASSWORD).status_code == 200


def test_enrolling_again_takes_the_password_and_repeating_does_not(
    app: Flask, hospital: Hospital, clients: dict[str, Client]
) -> None:
    nurse, first, second = clients["nurse"], new_secret(), new_secret()
    assert enrol(nurse, first).status_code == enrol(nurse, first).status_code == 200
    nurse = with_factor(app, hospital, "nurse")
    assert_problem(enrol(nurse, second), 403, "password_wrong")
    assert_problem(enrol(nurse, second, password="wrong"), 403, "password_wrong")
    assert hospital.rows("SELECT totp_secret FROM users WHERE role = 'nurse'") == [(first,)]
    assert enrol(nurse, second, password=PASSWORD).status_code == 200
    assert hospital.rows("SELECT totp_secret FROM users WHERE role = 'nurse'") == [(second,)]


def test_removing_takes_the_password_and_is_refused_where_the_policy_asks(
    app: Flask, hospital: Hospital, clients: dict[str, Client]
) -> None:
    enrol(clients["nurse"], new_secret())
    nurse = with_factor(app, hospital, "nurse")
    require(clients, "nurse")
    assert_problem(nurse.post("/me/second-factor/remove", {"password": "wrong"}), 403, "password_wrong")
    assert_problem(nurse.post("/me/second-factor/remove", {"password": PASSWORD}), 403, "second_factor_required")
    require(clients)
    assert nurse.get("/me/second-factor").get_json() == {"enrolled": True, "passkeys": 0, "required": False}
    gone = nurse.post("/me/second-factor/remove", {"password": PASSWORD}).get_json()
    assert gone == nurse.get("/me/second-factor").get_json() == {"enrolled": False, "passkeys": 0, "required": False}


def test_an_admin_takes_the_factor_of_a_lost_phone_away(
    app: Flask, hospital: Hospital, clients: dict[str, Client]
) -> None:
    enrol(clients["nurse"], new_secret())
    path = f"/users/{hospital.nurse.user_id}/second-factor"
    assert clients["admin"].request("DELETE", path).status_code == 204
    assert_problem(clients["nurse"].get("/me"), 401, "not_authenticated")
    assert sign_in_over_http(app, hospital).status_code == 201
    seen = hospital.rows(
        "SELECT actor_id, before ? 'totp_secret' FROM audit_events WHERE table_name = 'users' ORDER BY id DESC LIMIT 1"
    )
    assert seen == [(hospital.staff["admin"].user_id, False)]


def test_signing_out_everywhere_ends_every_token_of_mine_alone(
    app: Flask, hospital: Hospital, clients: dict[str, Client]
) -> None:
    other = Client(app, hospital.nurse, sign_in_over_http(app, hospital).get_json()["token"])
    assert clients["nurse"].request("DELETE", "/me/tokens").status_code == 204
    assert [client.get("/me").status_code for client in (clients["nurse"], other, clients["doctor"])] == [401, 401, 200]


def test_ones_own_password_is_changed_with_the_present_one(
    app: Flask, hospital: Hospital, clients: dict[str, Client]
) -> None:
    nurse, before = clients["nurse"], everything(hospital)

    def change(password: str, new_password: str) -> Any:
        return nurse.request("PUT", "/me/password", json={"password": password, "new_password": new_password})

    assert_problem(change("wrong", NEW), 403, "password_wrong")
    short = assert_problem(change(PASSWORD, "short"), 422, "validation_failed")
    assert [error["pointer"] for error in short["errors"]] == ["/new_password"]
    assert everything(hospital) == before
    assert change(PASSWORD, NEW).status_code == 204
    assert_problem(nurse.get("/me"), 401, "not_authenticated")
    assert [sign_in_over_http(app, hospital, password=one).status_code for one in (PASSWORD, NEW)] == [401, 201]


# Failed sign-ins


@pytest.fixture
def strict(config: Config, owner: psycopg2.extensions.connection) -> Iterator[Flask]:
    """An installation behind one proxy, which locks after two failures; nobody has failed yet."""
    with owner.cursor() as cursor:
        cursor.execute("DELETE FROM sign_in.failures")
    made = create_app(replace(config, account_failures_max=2, address_failures_max=4, proxies=1))
    yield made
    made.extensions["valmed"].engine.dispose()


def tried(app: Flask, hospital: Hospital, said: str, **changes: Any) -> Any:
    """The answer to signing in through the proxy, which says who it is."""
    body = {"organization": hospital.slug, "email": f"nurse@{hospital.slug}.example", "password": PASSWORD, **changes}
    return app.test_client().post("/api/v1/tokens", json=body, headers={"X-Forwarded-For": said})


def test_a_locked_account_is_429_and_says_when_to_come_back(strict: Flask, hospital: Hospital) -> None:
    for _ in range(2):
        assert_problem(tried(strict, hospital, "203.0.113.1", password="wrong"), 401, "not_authenticated")
    response = tried(strict, hospital, "203.0.113.2")
    document = assert_problem(response, 429, "too_many_attempts")
    assert int(response.headers["Retry-After"]) == document["retry_after_seconds"] > 0
    assert tried(strict, hospital, "203.0.113.2", email=f"doctor@{hospital.slug}.example").status_code == 201


def test_behind_a_proxy_the_address_is_what_the_proxy_says_and_not_the_client(strict: Flask) -> None:
    hospital = open_hospital(strict.extensions["valmed"])
    ours = "203.0.113.7"
    for number in range(4):
        forged = f"198.51.100.{number}, {ours}"
        assert tried(strict, hospital, forged, email=f"{number}@nowhere.example").status_code == 401
    assert_problem(tried(strict, hospital, f"192.0.2.99, {ours}"), 429, "too_many_attempts")
    assert tried(strict, hospital, "192.0.2.99").status_code == 201


def test_guessing_ones_own_password_locks_too(strict: Flask, hospital: Hospital) -> None:
    nurse = Client(strict, hospital.nurse, tried(strict, hospital, "203.0.113.1").get_json()["token"])
    for _ in range(2):
        assert_problem(nurse.post("/me/second-factor/remove", {"password": "wrong"}), 403, "password_wrong")
    assert_problem(nurse.post("/me/second-factor/remove", {"password": PASSWORD}), 429, "too_many_attempts")
    assert nurse.get("/me").status_code == 200


def test_guessing_the_password_of_a_witness_locks_the_witness(strict: Flask, hospital: Hospital) -> None:
    hospital.add_staff("witness", hospital.nurse.role, (hospital.ward_id,))
    hospital.receive(1)
    order_id = hospital.place()
    nurse = Client(strict, hospital.nurse, tried(strict, hospital, "203.0.113.1").get_json()["token"])

    def give(password: str) -> Any:
        witness = {"email": f"witness@{hospital.slug}.example", "password": password}
        return nurse.post(f"/orders/{order_id}/fulfill", {"witness": witness})

    for _ in range(2):
        assert_problem(give("wrong"), 403, "witness_required")
    assert_problem(give(PASSWORD), 429, "too_many_attempts")
    assert hospital.on_hand() == 1


def test_a_repeat_with_the_witness_of_then_is_answered_what_is_stored(
    app: Flask, hospital: Hospital, clients: dict[str, Client]
) -> None:
    """The same body as minutes ago: its code has expired, and is neither asked for nor counted as a guess."""
    hospital.add_staff("witness", hospital.nurse.role, (hospital.ward_id,))
    secret = new_secret()
    hospital.change("UPDATE users SET totp_secret = :p1 WHERE name = 'Witness'", secret)
    hospital.receive(5)
    path, headers = f"/orders/{hospital.place()}/fulfill", {"Idempotency-Key": "k-1"}

    def give(later: int, **more: Any) -> Any:
        witness = {"email": f"witness@{hospital.slug}.example", "password": PASSWORD, "otp": code_now(secret, later)}
        return clients["nurse"].post(path, {"witness": witness, **more}, headers=headers)

    assert_problem(give(-10), 403, "witness_required")
    first = give(0)
    before = everything(hospital)
    again = give(-10)
    assert (first.status_code, again.status_code, again.data) == (200, 200, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert_problem(give(-10, dose=1), 422, "idempotency_key_reused")
    assert everything(hospital) == before
