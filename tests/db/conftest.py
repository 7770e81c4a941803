"""Two furnished hospitals in the session's database, made once for every module that looks from one into the other."""

from collections.abc import Iterator

import pytest

from backend.config import Config
from backend.db import Database
from backend.db.provision import application_url
from tests.db.every_table import Pair, furnish
from tests.hospital import open_hospital


@pytest.fixture(scope="package")
def pair(config: Config) -> Iterator[Pair]:
    """Shared, so a test compares with what it found."""
    database = Database(config, application_url(config))
    yield Pair(furnish(open_hospital(database)), furnish(open_hospital(database)))
    database.engine.dispose()
