"""A hospital keeps an admin: else nobody of it could take anybody on again."""

from typing import Any

import pytest
from flask import Flask

from backend.actor import Role
from tests.api.valid_requests import assert_problem, everything
from tests.concurrency.threads import outcomes, together
from tests.hospital import Client, Hospital, open_hospital, sign_in

GONE: list[dict[str, Any]] = [{"active": False}, {"role": "nurse"}]


def admins(hospital: Hospital) -> int:
    """How many admins work here."""
    return int(hospital.rows("SELECT count(*) FROM users WHERE role = 'admin' AND active")[0][0])


def path_of(hospital: Hospital, login: str) -> str:
    return f"/users/{hospital.staff[login].user_id}"


@pytest.mark.parametrize("gone", GONE)
def test_the_only_admin_stays(app: Flask, hospital: Hospital, gone: dict[str, Any]) -> None:
    admin = sign_in(app, hospital, "admin")
    open_hospital(hospital.database)  # whose admin is none of ours
    hospital.add_staff("former", Role.ADMIN)
    assert admin.patch(path_of(hospital, "former"), {"active": False}).status_code == 200
    before = everything(hospital)
    assert_problem(admin.patch(path_of(hospital, "admin"), gone), 409, "last_admin")
    assert everything(hospital) == before
    renamed = admin.patch(path_of(hospital, "admin"), {"name": "Ann", "role": "admin", "active": True})
    assert renamed.status_code == 200
    hospital.add_staff("second", Role.ADMIN)
    assert admin.patch(path_of(hospital, "admin"), gone).status_code == 200
    assert admins(hospital) == 1


@pytest.mark.concurrency
@pytest.mark.parametrize("gone", GONE)
def test_of_two_admins_who_send_each_other_away_at_once_one_stays(
    app: Flask, hospital: Hospital, gone: dict[str, Any]
) -> None:
    def client(login: str) -> Client:
        return sign_in(app, hospital, login)

    hospital.add_staff("second", Role.ADMIN)
    for _ in range(5):
        first, second = client("admin"), client("second")
        answers = together(
            lambda asking=first: asking.patch(path_of(hospital, "second"), gone),
            lambda asking=second: asking.patch(path_of(hospital, "admin"), gone),
        )
        assert admins(hospital) == 1, outcomes(answers)
        assert {answer.status_code for answer in answers} <= {200, 401, 403, 409}
        hospital.change("UPDATE users SET role = 'admin', active = true WHERE email ~ '^(admin|second)@'")
