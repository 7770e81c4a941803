"""`valmed serve` on the session's database, and a hospital with a row of everything."""

from collections.abc import Iterator

import pytest

from backend.actor import Role
from backend.config import Config
from backend.db import Database
from backend.operations.proving.application import HOST, Node
from tests.cli.running import settings_of
from tests.db.every_table import furnish
from tests.hospital import Hospital, open_hospital


@pytest.fixture(scope="package")
def served(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where gunicorn answers with one worker."""
    settings = {**settings_of(config), "workers": "1", "account_failures_max": "1000000"}
    log = tmp_path_factory.mktemp("served") / "log"
    node = Node({f"VALMED_{name.upper()}": value for name, value in settings.items()}, log)
    node.start()
    yield f"http://{HOST}:{node.port}"
    node.stop()
    assert "unhandled_error" not in log.read_text()


@pytest.fixture
def furnished(database: Database) -> Hospital:
    """A hospital with something in every list."""
    hospital = open_hospital(database)
    for login in ("witness", "spare"):
        hospital.add_staff(login, Role.NURSE, (hospital.ward_id,))
    hospital.receive(500)
    return furnish(hospital)
