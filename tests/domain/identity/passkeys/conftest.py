"""A hospital whose pages have an address, and the nurse's phone."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from backend.config import Config
from backend.db import Database
from backend.db.provision import application_url
from tests.domain.identity.device import Device
from tests.domain.identity.passkeys.signing import ORIGIN, enrolled
from tests.hospital import Hospital, open_hospital


@pytest.fixture
def database(config: Config) -> Iterator[Database]:
    """A worker that knows the address of its pages."""
    made = Database(replace(config, origin=ORIGIN, pool_size=32, account_failures_max=3), application_url(config))
    yield made
    made.engine.dispose()


@pytest.fixture
def hospital(database: Database) -> Hospital:
    """A hospital of the test's own."""
    return open_hospital(database)


@pytest.fixture
def device(hospital: Hospital) -> Device:
    """The nurse's phone, with a passkey."""
    return enrolled(hospital, hospital.nurse)
