"""Hospitals that several tests of the API share; who needs exact counts opens one of their own."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.engine.url import URL, make_url

from backend import create_app
from backend.actor import Role
from backend.config import Config
from backend.db import Database
from backend.db.provision import connect
from tests.api.claims_requests import a_run
from tests.api.custody_requests import an_alert, an_open_count, listed_drug
from tests.api.other_hospital import Foreign, mark
from tests.api.valid_requests import everything
from tests.db.every_table import furnish
from tests.domain.claims.filing import run
from tests.hospital import Client, Hospital, open_hospital, sign_in
from tests.migrations.catalogue import needs_superuser

# Many tests name the same witness of another hospital: none of them is about how often somebody may fail.
STANDING: dict[str, Any] = {"pool_size": 4, "claims_bytes_max": 2_097_152, "account_failures_max": 1_000_000}


@pytest.fixture(scope="session")
def standing_app(config: Config) -> Iterator[Flask]:
    """One application for the tests that do not care which."""
    made = create_app(replace(config, **STANDING))
    yield made
    made.extensions["valmed"].engine.dispose()


@pytest.fixture(scope="session")
def standing_database(standing_app: Flask) -> Database:
    """Its database."""
    return standing_app.extensions["valmed"]


def _populated(database: Database) -> Hospital:
    hospital = open_hospital(database)
    hospital.add_ward()
    hospital.add_staff("witness", Role.NURSE, (hospital.ward_id,))
    hospital.add_staff("spare", Role.NURSE, (hospital.ward_id,))
    for shelf in (hospital.shelf, replace(hospital.shelf, drug_id=hospital.add_drug())):
        hospital.receive(51, shelf=shelf)
        hospital.fulfil(hospital.place(shelf=shelf), shelf=shelf)
        hospital.place(shelf=shelf)
    hospital.fulfil(replace(hospital, patient_id=hospital.admit("Lund, Ann", "M-0")).place())
    a_run(hospital)
    run(hospital)
    return hospital


@pytest.fixture(scope="session")
def ours(standing_database: Database) -> Hospital:
    """A hospital with staff, stock and an order, in which many tests act."""
    return _populated(standing_database)


@pytest.fixture(scope="session")
def theirs(standing_database: Database) -> Hospital:
    """Another one like it, with a row of everything, in which nobody acts."""
    hospital = furnish(_populated(standing_database))
    an_open_count(hospital)
    listed_drug(hospital)
    an_alert(hospital)
    an_alert(hospital)
    mark(hospital)
    return hospital


@pytest.fixture(scope="session")
def spies(standing_app: Flask, theirs: Hospital) -> dict[str, Client]:
    """Staff there, who hand us what they see."""
    return {login: sign_in(standing_app, theirs, login) for login in theirs.staff}


@pytest.fixture(scope="session")
def foreign(theirs: Hospital, spies: dict[str, Client]) -> Foreign:
    """What only the other hospital knows."""
    assert spies
    return Foreign(theirs)


@pytest.fixture
def nothing_changes_there(theirs: Hospital, foreign: Foreign) -> Iterator[None]:
    """Whatever we try, the other hospital stays as it is."""
    before = everything(theirs)
    yield
    assert everything(theirs) == before


@pytest.fixture(scope="session")
def staff(standing_app: Flask, ours: Hospital) -> dict[str, Client]:
    """Our staff, signed in."""
    return {login: sign_in(standing_app, ours, login) for login in ours.staff}


@pytest.fixture(scope="session")
def unfenced_app(config: Config, server_url: URL) -> Iterator[Flask]:
    """The application as a user whom no policy binds: what it leaves out, its own queries leave out."""
    url = server_url.set(database=make_url(config.database_url).database)
    with closing(connect(url)) as connection:
        needs_superuser(connection)
    alone = replace(config, application_database_url=url.render_as_string(hide_password=False))
    made = create_app(replace(alone, **STANDING))
    yield made
    made.extensions["valmed"].engine.dispose()


@pytest.fixture(params=["query and policy", "query alone"])
def fenced_staff(request: pytest.FixtureRequest) -> dict[str, Client]:
    """Our staff: at the application as it is, and where row-level security does not hold."""
    staff: dict[str, Client] = request.getfixturevalue("staff")
    if request.param == "query and policy":
        return staff
    app: Flask = request.getfixturevalue("unfenced_app")
    return {login: Client(app, client.actor, client.token) for login, client in staff.items()}


@pytest.fixture
def clients(app: Flask, hospital: Hospital) -> dict[str, Client]:
    """The staff of a hospital of the test's own, signed in."""
    return {login: sign_in(app, hospital, login) for login in hospital.staff}


@pytest.fixture
def unchanged(ours: Hospital) -> Iterator[Callable[[], None]]:
    """To be called when everything is set up; at the end nothing has changed since."""
    taken = []
    yield lambda: taken.append(everything(ours))
    assert everything(ours) == taken[0]
