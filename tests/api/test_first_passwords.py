"""First passwords over HTTP: what an admin gives, what its owner makes of it, what it is not good for."""

from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from flask import Flask

from backend.actor import Actor, Role
from backend.domain.identity.sign_in import totp
from backend.domain.identity.sign_in.by_password import Origin, check_password, finish
from backend.domain.identity.tokens import Credentials, Person
from backend.errors import NotAuthenticated
from tests.api.test_tokens import sign_in_over_http
from tests.api.valid_requests import VALID, assert_problem, everything, send
from tests.concurrency.threads import together
from tests.hospital import PASSWORD, Client, Hospital, now, sign_in

OWN = "seven lemons on a sill"


@pytest.fixture
def new(hospital: Hospital) -> str:
    """The address of a nurse who begins."""
    hospital.add_staff("new", Role.NURSE, (hospital.ward_id,), own_password=False)
    return f"new@{hospital.slug}.example"


@pytest.mark.parametrize("how", ["POST", "PATCH"])
def test_whom_an_admin_gives_a_password_signs_in_with_their_own(
    app: Flask, hospital: Hospital, clients: dict[str, Client], how: str
) -> None:
    email, given = f"mia@{hospital.slug}.example", "four small brown mice"
    if how == "POST":
        body = {"email": email, "name": "Mia Lang", "role": "nurse", "password": given}
        answer = clients["admin"].post("/users", body)
    else:
        mia = hospital.add_staff("mia", Role.NURSE)
        answer = clients["admin"].patch(f"/users/{mia.user_id}", {"password": given})
    assert answer.get_json()["first_password_expires_at"]
    before = everything(hospital)
    refusal = sign_in_over_http(app, hospital, email=email, password=given)
    document = assert_problem(refusal, 403, "password_change_required")
    assert "new_password" in document["detail"]
    assert everything(hospital) == before

    entered = sign_in_over_http(app, hospital, email=email, password=given, new_password=OWN)
    assert (entered.status_code, OWN in entered.text) == (201, False)
    theirs = Client(app, hospital.nurse, entered.get_json()["token"])
    assert theirs.get("/me").get_json()["email"] == email
    (listed,) = clients["admin"].get("/users?q=mia").get_json()["items"]
    assert listed["first_password_expires_at"] is None
    assert_problem(sign_in_over_http(app, hospital, email=email, password=given), 401, "not_authenticated")
    assert sign_in_over_http(app, hospital, email=email, password=OWN).status_code == 201


def test_what_cannot_be_ones_own_is_refused_and_changes_nothing(app: Flask, hospital: Hospital, new: str) -> None:
    before = everything(hospital)
    for wrong in (PASSWORD, "password1234", "short", "x" * 129, 5, None):
        answer = sign_in_over_http(app, hospital, email=new, new_password=wrong)
        assert_problem(answer, 422, "validation_failed")
    for own in ({}, {"email": new, "password": "not it at all"}):  # whose own it is, who is nobody
        answer = sign_in_over_http(app, hospital, **own, new_password=OWN)
        assert answer.status_code == (401 if own else 422), answer.text
    hospital.change("UPDATE users SET first_password_expires_at = now() WHERE name = 'New'")
    before = everything(hospital)
    for more in ({}, {"new_password": OWN}):
        answer = sign_in_over_http(app, hospital, email=new, **more)
        assert "ask an admin" in assert_problem(answer, 403, "first_password_expired")["detail"]
    assert everything(hospital) == before


def test_a_code_comes_with_the_new_password_where_an_app_is_enrolled(app: Flask, hospital: Hospital, new: str) -> None:
    secret = totp.new_secret()
    hospital.change("UPDATE users SET totp_secret = :p1 WHERE name = 'New'", secret)
    otp = totp.code_of(secret, totp.step_at(now()))
    refusal = sign_in_over_http(app, hospital, email=new, new_password=OWN)
    assert assert_problem(refusal, 403, "second_factor_required")["enrolled"] is True
    assert sign_in_over_http(app, hospital, email=new, otp=otp, new_password=OWN).status_code == 201
    assert hospital.rows("SELECT second_factor FROM access_tokens") == [(True,)]


def test_who_has_a_first_password_witnesses_nothing(hospital: Hospital, clients: dict[str, Client]) -> None:
    ask = VALID["POST /stock/adjustments"](hospital)
    pharmacist = clients["pharmacist"]
    for left, said in (("1 day", "chooses their own first"), ("-1 s", "has expired")):
        expiry = f"first_password_expires_at = now() + interval '{left}'"
        hospital.change(f"UPDATE users SET {expiry} WHERE name = 'Witness'")
        before = everything(hospital)
        document = assert_problem(send(pharmacist, "POST /stock/adjustments", ask), 403, "witness_required")
        assert said in document["detail"]
        assert everything(hospital) == before
    hospital.change("UPDATE users SET first_password_expires_at = NULL")
    assert send(pharmacist, "POST /stock/adjustments", ask).status_code == 201


def test_who_came_by_a_passkey_changes_a_first_password_and_nothing_else_with_it(
    app: Flask, hospital: Hospital, new: str
) -> None:
    theirs = sign_in(app, hospital, "new")  # a token that no password was shown for
    before = everything(hospital)
    for path in ("/me/second-factor/remove", "/me/passkeys/00000000-0000-7000-8000-000000000000/remove"):
        document = assert_problem(theirs.post(path, {"password": PASSWORD}), 403, "password_wrong")
        assert "Choose your own first" in document["detail"]
    same = {"password": PASSWORD, "new_password": PASSWORD}
    assert_problem(theirs.put("/me/password", same), 422, "validation_failed")
    assert everything(hospital) == before
    assert theirs.put("/me/password", {"password": PASSWORD, "new_password": OWN}).status_code == 204
    assert sign_in_over_http(app, hospital, email=new, password=OWN).status_code == 201


@pytest.mark.concurrency
def test_of_eight_who_change_one_password_at_once_one_does(app: Flask, hospital: Hospital) -> None:
    screens = [sign_in(app, hospital, "nurse") for _ in range(8)]

    def change(number: int) -> int:
        body = {"password": PASSWORD, "new_password": f"{OWN} {number}"}
        return screens[number].put("/me/password", body).status_code

    outcomes = together(*(partial(change, number) for number in range(8)))
    assert outcomes.count(204) == 1
    assert set(outcomes) <= {204, 401, 403}, "the password that was checked is theirs no more, nor is the token"
    kept = [sign_in_over_http(app, hospital, password=f"{OWN} {number}").status_code for number in range(8)]
    assert [number for number, status in enumerate(kept) if status == 201] == [outcomes.index(204)]


@pytest.mark.concurrency
def test_a_reset_ends_what_is_signed_in_at_the_same_moment(hospital: Hospital, clients: dict[str, Client]) -> None:
    for number in range(8):
        who = hospital.add_staff(f"n{number}", Role.NURSE)
        typed = Credentials(hospital.slug, f"n{number}@{hospital.slug}.example", PASSWORD)
        person = check_password(hospital.database, typed, Origin("192.0.2.1", "r", now()))

        def enter(person: Person = person) -> None:
            with suppress(NotAuthenticated):
                finish(hospital.database, person, None, Origin("192.0.2.1", "r", now()))

        def reset(who: Actor = who) -> int:
            return clients["admin"].patch(f"/users/{who.user_id}", {"password": "four small brown mice"}).status_code

        assert together(enter, reset) == [None, 200]
        living = "SELECT count(*) FROM access_tokens WHERE user_id = :p1 AND revoked_at IS NULL"
        assert hospital.rows(living, who.user_id) == [(0,)]


def test_it_lasts_seven_days_and_another_name_does_not_make_it_ones_own(
    hospital: Hospital, clients: dict[str, Client]
) -> None:
    body: dict[str, Any] = {"password": "four small brown mice"}
    clients["admin"].patch(f"/users/{hospital.nurse.user_id}", body)
    ((left,),) = hospital.rows("SELECT first_password_expires_at - now() FROM users WHERE role = 'nurse'")
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)
    clients["admin"].patch(f"/users/{hospital.nurse.user_id}", {"name": "Married Name"})
    assert hospital.rows("SELECT first_password_expires_at IS NULL FROM users WHERE role = 'nurse'") == [(False,)]
