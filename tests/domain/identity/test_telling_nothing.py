"""Signing in tells nobody whether a hospital, an address or an account exists: the same answer after the same work."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg2.extensions
import pytest
from argon2 import PasswordHasher
from flask import Flask

from backend import create_app
from backend.actor import Role
from backend.config import Config
from backend.db import Database
from tests.counting import statements_of
from tests.hospital import PASSWORD, Hospital, open_hospital
from tests.ui.test_doors import send

ACCOUNT_MAX = 3
WRONG: dict[str, dict[str, str]] = {
    "wrong password": {"password": "a wrong one of some length"},
    "unknown address": {"email": "nobody@nowhere.example"},
    "unknown hospital": {"organization": "no-such-hospital"},
    "both unknown": {"email": "nobody@nowhere.example", "organization": "no-such-hospital"},
    "left": {"login": "left"},
    "second factor, wrong password": {"login": "factor", "password": "a wrong one of some length"},
    "endless password": {"password": "x" * 128},
    "first password, wrong": {"login": "new", "password": "a wrong one of some length"},
    "expired first password, wrong": {"login": "expired", "password": "a wrong one of some length"},
}
Sent = list[str]


@pytest.fixture(scope="module")
def two(config: Config) -> Iterator[tuple[Flask, Flask]]:
    """Two workers, one after the other behind the same name; each allows ACCOUNT_MAX failures of an account."""
    settings = replace(config, pool_size=1, pool_max_overflow=0, account_failures_max=ACCOUNT_MAX)
    made = create_app(settings), create_app(settings)
    yield made
    for app in made:
        app.extensions["valmed"].engine.dispose()


@pytest.fixture(scope="module")
def sent(two: tuple[Flask, Flask]) -> Sent:
    """What the first sends to the database."""
    return statements_of(two[0])


@pytest.fixture(scope="module")
def house(two: tuple[Flask, Flask], sent: Sent) -> Hospital:
    """A hospital with somebody who left, somebody with a second factor and two who have a first password."""
    database: Database = two[0].extensions["valmed"]
    hospital = open_hospital(database)
    for login in ("left", "factor"):
        hospital.add_staff(login, Role.NURSE)
    for login in ("new", "expired"):
        hospital.add_staff(login, Role.NURSE, own_password=False)
    hospital.change("UPDATE users SET first_password_expires_at = now() WHERE name = 'Expired'")
    hospital.change("UPDATE users SET active = false WHERE name = 'Left'")
    hospital.change("UPDATE users SET totp_secret = 'JBSWY3DPEHPK3PXP' WHERE name = 'Factor'")
    return hospital


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The memory in KiB of each password that was looked at: the work that takes the time."""
    seen: list[int] = []
    verify = PasswordHasher.verify

    def noting(self: PasswordHasher, stored: str, password: Any) -> bool:
        found = re.search(r"m=(\d+),t=2,p=1", stored)
        assert found is not None
        seen.append(int(found[1]))
        return verify(self, stored, password)

    monkeypatch.setattr(PasswordHasher, "verify", noting)
    return seen


@pytest.fixture(autouse=True)
def nobody_has_failed(owner: psycopg2.extensions.connection) -> None:
    """Each test counts from nought."""
    with owner.cursor() as cursor:
        cursor.execute("DELETE FROM sign_in.failures")


def typed(hospital: Hospital, login: str = "nurse", **changes: str) -> dict[str, str]:
    """What somebody types."""
    email = f"{login}@{hospital.slug}.example"
    return {"organization": hospital.slug, "email": email, "password": PASSWORD, **changes}


def asked(app: Flask, hospital: Hospital, **changes: str) -> Any:
    """The answer of the API."""
    body = typed(hospital, **changes)
    return app.test_client().post("/api/v1/tokens", json=body, headers={"X-Request-ID": "same"})


@pytest.mark.parametrize("name", WRONG)
def test_the_api_does_the_same_work_and_says_the_same(
    two: tuple[Flask, Flask], house: Hospital, sent: Sent, verified: list[int], name: str
) -> None:
    asked(two[0], house, **WRONG["wrong password"])  # whatever is prepared once is prepared
    runs = []
    for changes in (WRONG["wrong password"], WRONG[name]):
        sent.clear()
        verified.clear()
        answer = asked(two[0], house, **changes)
        runs.append((answer.status_code, answer.data, list(answer.headers), list(sent), list(verified)))
    assert runs[0] == runs[1]
    status, _, _, statements, work = runs[0]
    assert (status, work) == (401, [19_456])
    assert len(statements) == 5, "what time it is, whether it may be tried, who it is, that it failed, the end"


@pytest.mark.parametrize("name", WRONG)
def test_the_page_does_the_same_work_and_says_the_same(
    two: tuple[Flask, Flask], house: Hospital, sent: Sent, verified: list[int], name: str
) -> None:
    def tried(changes: dict[str, str]) -> tuple[Any, ...]:
        client, form = two[0].test_client(), typed(house, **changes)
        sent.clear()
        verified.clear()
        answer = send(client, "/sign-in", "/sign-in", **form)
        shown = re.sub(r'value="[^"]*"', "", answer.text)
        names = [header for header, _ in answer.headers]
        return answer.status_code, shown, names, list(sent), list(verified)

    tried(WRONG["wrong password"])
    assert tried(WRONG[name]) == tried(WRONG["wrong password"])


@pytest.mark.parametrize("name", ["wrong password", "unknown address", "unknown hospital", "left"])
def test_failures_at_one_worker_lock_at_the_other_whether_the_account_exists_or_not(
    two: tuple[Flask, Flask], house: Hospital, verified: list[int], name: str
) -> None:
    answers = [asked(two[number % 2], house, **WRONG[name]).status_code for number in range(ACCOUNT_MAX)]
    assert answers == [401] * ACCOUNT_MAX
    assert len(verified) == ACCOUNT_MAX
    for app in two:
        locked = asked(app, house, **WRONG[name])
        assert (locked.status_code, locked.get_json()["code"]) == (429, "too_many_attempts")
        assert int(locked.headers["Retry-After"]) > 14 * 60
        right = {**WRONG[name], "password": PASSWORD}
        assert asked(app, house, **right).status_code == 429
    assert len(verified) == ACCOUNT_MAX, "a locked account costs no work"
