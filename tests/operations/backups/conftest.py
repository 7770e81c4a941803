"""A database that may be read whole, a hospital at work in it, and empty databases to restore into."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from psycopg2 import sql
from sqlalchemy.engine.url import URL, make_url

from backend.config import Config
from backend.db import Database
from backend.db.provision import application_url, connect
from backend.domain.models import Base
from backend.operations.backups.backup import back_up
from backend.operations.backups.manifest import manifest_of
from backend.operations.embedded import Server
from tests.conftest import FAST, create_database, drop_database
from tests.hospital import Hospital, open_hospital
from tests.migrations.catalogue import needs_superuser

TakeBackup = Callable[[str], Path]


@dataclass(frozen=True)
class Kept:
    """A backup of a hospital with one lot on its shelf, and the database that it is of."""

    config: Config
    file: Path


@pytest.fixture(scope="module")
def kept(server_url: URL, owner_url: URL, migrated: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """One backup, made once; nobody changes it."""
    with closing(connect(server_url)) as connection:
        needs_superuser(connection)
    config = create_database(owner_url, migrated)
    database = Database(config, application_url(config))
    open_hospital(database).receive(10)
    database.engine.dispose()
    file = tmp_path_factory.mktemp("kept") / "night.dump"
    whole = server_url.set(database=make_url(config.database_url).database)
    back_up(whole, Base.metadata, file, report=lambda line: None)
    yield Kept(config, file)
    drop_database(server_url, config)


@pytest.fixture
def night(kept: Kept, tmp_path: Path) -> Path:
    """A copy of that backup, to be damaged."""
    for file in (kept.file, manifest_of(kept.file)):
        shutil.copy2(file, tmp_path)
    return tmp_path / kept.file.name


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
