"""`valmed serve` on the session's database, and a hospital with a row of everything."""

from collections.abc import Iterator

import pytest

from backend.actor import Role
from backend.config import Config
from backend.db import Database
from backend.proving.application import HOST, Application
from tests.db.furnishing import furnish
from tests.hospital import Hospital, open_hospital

MANY = "1000000"


@pytest.fixture(scope="package")
def served(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where gunicorn answers with one worker."""
    settings = {"WORKERS": "1", "ADDRESS_FAILURES_MAX": MANY, "ACCOUNT_FAILURES_MAX": MANY}
    environment = {f"VALMED_{name}": value for name, value in settings.items()}
    log = tmp_path_factory.mktemp("served") / "log"
    application = Application({**environment, "VALMED_DATABASE_URL": config.database_url}, log)
    application.start()
    yield f"http://{HOST}:{application.port}"
    application.stop()
    assert "unhandled_error" not in log.read_text()


@pytest.fixture
def furnished(database: Database) -> Hospital:
    """A hospital with something in every list."""
    hospital = open_hospital(database)
    for login in ("witness", "spare"):
        hospital.add_staff(login, Role.NURSE, (hospital.ward_id,))
    hospital.receive(500)
    return furnish(hospital)
