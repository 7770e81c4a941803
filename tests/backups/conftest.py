"""A database that may be read whole, a hospital at work in it, and empty databases to restore into."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg2 import sql
from sqlalchemy.engine.url import URL, make_url

from backend.backups.backup import back_up
from backend.config import Config
from backend.db import Database
from backend.db.provision import application_url, connect
from backend.embedded import Server
from backend.models import Base
from tests.conftest import FAST, create_database, drop_database
from tests.hospital import Hospital, open_hospital
from tests.migrations.catalogue import needs_superuser

TakeBackup = Callable[[str], Path]


@pytest.fixture
def whole_url(server_url: URL, fresh_config: Config) -> URL:
    """The database of `fresh_config` as a role that sees every row."""
    url = server_url.set(database=make_url(fresh_config.database_url).database)
    with closing(connect(url)) as connection:
        needs_superuser(connection)
    return url


@pytest.fixture
def source(fresh_config: Config) -> Iterator[Database]:
    """The database of `fresh_config` as the application role sees it, with a pool for the writers."""
    made = Database(replace(fresh_config, pool_size=16, pool_max_overflow=0), application_url(fresh_config))
    yield made
    made.engine.dispose()


@pytest.fixture
def at_work(source: Database) -> Hospital:
    """A hospital with stock."""
    hospital = open_hospital(source)
    hospital.receive(10_000)
    return hospital


@pytest.fixture
def take_backup(whole_url: URL, tmp_path: Path) -> TakeBackup:
    """Backs the database up under a name: `take_backup("night.dump")`."""

    def take(name: str) -> Path:
        back_up(whole_url, Base.metadata, tmp_path / name, report=lambda line: None)
        return tmp_path / name

    return take


@pytest.fixture
def target(server_url: URL, owner_url: URL) -> Iterator[Config]:
    """An empty database beside the other."""
    made = create_database(owner_url)
    yield made
    drop_database(server_url, made)


@pytest.fixture
def elsewhere(owner_url: URL) -> Iterator[Config]:
    """An empty database of a PostgreSQL that has nothing but the owner's role."""
    place = Path(tempfile.mkdtemp(prefix="valmed-elsewhere-"))
    place.chmod(0o755)
    server = Server(place, settings=FAST)
    server.start()
    with closing(connect(make_url(server.url()))) as connection, connection.cursor() as cursor:
        owner = sql.Identifier(str(owner_url.username))
        if owner_url.username != "postgres":
            cursor.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE").format(owner))
        cursor.execute(sql.SQL("CREATE DATABASE restored OWNER {}").format(owner))
    yield Config(database_url=server.url("restored", str(owner_url.username)), workers=1, log_level="CRITICAL")
    server.destroy()
    shutil.rmtree(place, ignore_errors=True)
