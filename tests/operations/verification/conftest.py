"""A house for every module of this package."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy.engine.url import URL, make_url

from backend.config import Config
from backend.db import Database
from backend.db.provision import application_url, connect
from tests.conftest import create_database, drop_database
from tests.db.every_table import furnish
from tests.hospital import open_hospital
from tests.operations.verification.breakable import House


@pytest.fixture(scope="package")
def house(server_url: URL, owner_url: URL, migrated: Config) -> Iterator[House]:
    config = create_database(owner_url, migrated)
    database = Database(config, application_url(config))
    with closing(connect(server_url.set(database=make_url(config.database_url).database))) as superuser:
        yield House(config, furnish(open_hospital(database)), furnish(open_hospital(database)), superuser)
    database.engine.dispose()
    drop_database(server_url, config)
