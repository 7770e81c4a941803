"""A restore brings back no sign-in: what had ended since the backup, or may have, has ended where it was restored."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend import create_app
from backend.actor import Role
from backend.config import Config
from backend.db import Database
from backend.db.provision import application_url
from backend.domain.identity.sign_in.totp import code_of, new_secret, step_at
from backend.domain.models import Base
from backend.operations.backups.restore import restore
from tests.api.test_tokens import sign_in_over_http
from tests.api.valid_requests import assert_problem
from tests.cli.running import Loaded
from tests.hospital import PASSWORD, Client, Hospital, now, open_hospital, sign_in
from tests.operations.backups.conftest import TakeBackup

OWN, KEY, COOKIE = "seven lemons on a sill", "kT7vQw-9sLmXe2" * 3, "valmed"
LIVING = "SELECT count(*) FROM access_tokens WHERE revoked_at IS NULL AND expires_at > now()"


@pytest.fixture
def live(fresh_config: Config, at_work: Hospital) -> Iterator[Flask]:
    """The application before the restore."""
    app = create_app(replace(fresh_config, secret_key=KEY))
    yield app
    app.extensions["valmed"].engine.dispose()


@pytest.fixture
def come_back(target: Config) -> Iterator[Callable[..., tuple[Flask, Database, list[str]]]]:
    """Restores a backup: the application on it, its database, and what the restore said."""
    made: list[Database] = []

    def bring(file: object) -> tuple[Flask, Database, list[str]]:
        said: list[str] = []
        findings = restore(target, Base.metadata, file, report=said.append)  # type: ignore[arg-type]
        assert [(f.invariant.title, f.rows) for f in findings if f.broken] == []
        app = create_app(replace(target, secret_key=KEY))
        database = Database(replace(target, pool_size=2), application_url(target))
        made.extend((app.extensions["valmed"], database))
        return app, database, said

    yield bring
    for each in made:
        each.engine.dispose()


def open_page(app: Flask, hospital: Hospital) -> FlaskClient:
    """A tab in which the pharmacist has signed in."""
    tab = app.test_client()
    found = re.search(r'name="csrf_token" value="([^"]+)"', tab.get("/sign-in").text)
    assert found is not None
    who = {"organization": hospital.slug, "email": f"pharmacist@{hospital.slug}.example", "password": PASSWORD}
    assert tab.post("/sign-in", data={"csrf_token": found[1], **who}).status_code == 302
    return tab


def test_restore_brings_back_no_token_page_first_password_or_code(
    live: Flask,
    at_work: Hospital,
    take_backup: TakeBackup,
    come_back: Callable[..., tuple[Flask, Database, list[str]]],
) -> None:
    at_work.add_staff("new", Role.NURSE, own_password=False)
    secret, new = new_secret(), f"new@{at_work.slug}.example"
    at_work.change("UPDATE users SET totp_secret = :p1 WHERE role = 'doctor'", secret)
    nurse, tab = sign_in(live, at_work, "nurse"), open_page(live, at_work)
    kept = sign_in(live, at_work, "admin")
    file = take_backup("night.dump")
    assert nurse.request("DELETE", "/tokens/current").status_code == 204
    assert sign_in_over_http(live, at_work, email=new, new_password=OWN).status_code == 201
    otp, step = code_of(secret, step_at(now()) + 1), step_at(now()) + 1
    assert sign_in_over_http(live, at_work, email=f"doctor@{at_work.slug}.example", otp=otp).status_code == 201

    app, database, said = come_back(file)

    restored = replace(at_work, database=database)
    for client in (nurse, kept):
        assert_problem(Client(app, client.actor, client.token).get("/me"), 401, "not_authenticated")
    cookie = tab.get_cookie(COOKIE)
    assert cookie is not None
    page = app.test_client()
    page.set_cookie(COOKIE, cookie.value)
    assert tab.get("/stock").status_code == 200
    assert (page.get("/stock").status_code, "/sign-in" in page.get("/stock").headers["Location"]) == (302, True)
    given = sign_in_over_http(app, at_work, email=new, new_password="another one of mine")
    assert_problem(given, 403, "first_password_expired")
    shown = sign_in_over_http(app, at_work, email=f"doctor@{at_work.slug}.example", otp=otp)
    assert_problem(shown, 401, "not_authenticated")
    assert restored.rows("SELECT step >= :p1 FROM totp_steps", step) == [(True,)]
    assert any(line.startswith("ended 3 sign-ins and 1 first passwords") for line in said)
    assert sign_in_over_http(app, at_work).status_code == 201, "their own passwords are good"
    trail = "SELECT count(*) FROM audit_events WHERE table_name = 'access_tokens' AND before->>'revoked_at' IS NULL"
    assert restored.rows(f"{trail} AND actor_id IS NULL AND after->>'revoked_at' IS NOT NULL") == [(3,)]


def test_command_ends_the_sign_ins_of_one_hospital_or_all(
    valmed: Loaded, fresh_config: Config, live: Flask, at_work: Hospital
) -> None:
    other = open_hospital(at_work.database)
    for hospital in (at_work, other):
        sign_in(live, hospital, "nurse")
    url = fresh_config.database_url
    one = valmed("user", "end-sign-ins", "--organization", at_work.slug, database_url=url)
    assert (one.returncode, one.stdout) == (0, "1 sign-ins and 0 first passwords have ended.\n")
    assert [hospital.rows(LIVING) for hospital in (at_work, other)] == [[(0,)], [(1,)]]
    assert valmed("user", "end-sign-ins", database_url=url).stdout == "1 sign-ins and 0 first passwords have ended.\n"
    assert other.rows(LIVING) == [(0,)]
