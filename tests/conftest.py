"""A real PostgreSQL for every test: the private one of the demo, or the one VALMED_DATABASE_URL names.

Each test that asks for `config` works on the session's database, migrated as a non-superuser owner; tests make their
own hospital in it (`hospital`), so they do not see each other. Tests that change the schema take `fresh_config`,
a database of their own.
"""

import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg2.errors
import psycopg2.extensions
import pytest
from flask import Flask
from hypothesis import HealthCheck, settings
from psycopg2 import sql
from sqlalchemy.engine.url import URL, make_url

from backend import create_app
from backend.config import Config
from backend.db import Database, migrate
from backend.db.engine import normalised_url
from backend.db.provision import application_url, connect
from backend.operations.embedded import Server
from tests.cli.running import Loaded
from tests.hospital import Hospital, open_hospital
from tests.signalling import signals_of_a_terminal

# Wherever the tests are started, what is compiled is kept: some load every migration a hundred times.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

GIVEN_URL = os.environ.pop("VALMED_DATABASE_URL", "")
OWNER = "valmed_test_owner"
LONG = (
    "tests/faults/test_prove",
    "tests/cli/test_demo",
    "tests/migrations/test_live",
    "tests/migrations/test_mig",
    "tests/ui/",
    "tests/operations/embedded/",
    "tests/api/test_bad_input",
    "tests/hostile/",
    "tests/contract/",
    "tests/operations/backups/",
    "tests/db/",
    "tests/migrations/",
    "tests/web/",
    "tests/api/",
)
DROP_SECONDS = 15.0
# For tests of properties that name no figure; `--hypothesis-profile=long` draws more, and other ones each time.
_ALWAYS = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("short", max_examples=200, derandomize=True, **_ALWAYS)
settings.register_profile("long", max_examples=5_000, derandomize=False, print_blob=True, **_ALWAYS)
settings.load_profile("short")
OWNER_PASSWORD = "only-for-tests-kT7vQw"
PATIENT = {
    "connect_timeout_seconds": 60,
    "lock_timeout_ms": 30_000,
    "statement_timeout_ms": 60_000,
    "report_timeout_ms": 120_000,
    "idle_in_transaction_timeout_ms": 60_000,
    "retry_seconds_max": 60.0,
}
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files of LONG come first: with -n, the last to begin must be none that everybody then waits for."""
    items.sort(key=lambda item: next((at for at, path in enumerate(LONG) if item.nodeid.startswith(path)), len(LONG)))


@pytest.fixture(scope="session", autouse=True)
def signals_obeyed() -> Iterator[None]:
    """Whoever started the tests, the programs that they start obey signals."""
    with signals_of_a_terminal():
        yield


@pytest.fixture(scope="session")
def server_url() -> Iterator[URL]:
    """A URL that may create databases and roles."""
    if GIVEN_URL:
        yield normalised_url(GIVEN_URL)
        return
    place = Path(tempfile.mkdtemp(prefix="valmed-tests-"))
    place.chmod(0o755)
    server = Server(place, settings=FAST)
    server.start()
    yield make_url(server.url())
    server.destroy()
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def owner_url(server_url: URL) -> URL:
    """The same server as an owner who is no superuser, where the given user may make one; else the given user."""
    connection = connect(server_url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        if cursor.fetchone() != (True,):
            return server_url
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (OWNER,))
        verb = "ALTER" if cursor.fetchone() else "CREATE"
        options = "LOGIN CREATEDB CREATEROLE PASSWORD"
        cursor.execute(
            sql.SQL(f"{verb} ROLE {{}} {options} {{}}").format(sql.Identifier(OWNER), sql.Literal(OWNER_PASSWORD))
        )
    connection.close()
    return server_url.set(username=OWNER, password=OWNER_PASSWORD)


def create_database(owner_url: URL, like: Config | None = None) -> Config:
    """The settings of a new database: one worker, and a busy machine is no fault. It is empty, or a copy of the
    database of `like`, to which nobody may be connected."""
    name = f"valmed_test_{uuid.uuid4().hex[:12]}"
    template = str(make_url(like.database_url).database) if like else "template1"
    with closing(connect(owner_url)) as connection, connection.cursor() as cursor:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        cursor.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        cursor.execute(  # the privileges on the database itself are not copied
            "SELECT format('GRANT %%s ON DATABASE %%I TO %%s', privilege_type, %s, grantee::regrole)"
            " FROM pg_database, aclexplode(datacl) WHERE datname = %s AND grantee <> 0",
            (name, template),
        )
        for (grant,) in cursor.fetchall():
            cursor.execute(grant)
    url = owner_url.set(database=name).render_as_string(hide_password=False)
    return Config(database_url=url, workers=1, log_level="CRITICAL", address_failures_max=1_000_000, **PATIENT)


def drop_database(server_url: URL, config: Config) -> None:
    """Drops the database of `config`, whoever is still connected.

    A user who is no superuser may not end the sessions of others, autovacuum's and the application role's: waits for
    them, up to DROP_SECONDS.
    """
    name = sql.Identifier(str(make_url(config.database_url).database))
    deadline = time.monotonic() + DROP_SECONDS
    with closing(connect(server_url)) as connection, connection.cursor() as cursor:
        while True:
            try:
                cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
            except (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ObjectInUse):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return


@pytest.fixture(scope="session")
def migrated(server_url: URL, owner_url: URL) -> Iterator[Config]:
    """A migrated database that nobody works in: the others are copies of it, made in a tenth of the time."""
    made = create_database(owner_url)
    migrate.upgrade(made)
    yield made
    drop_database(server_url, made)


@pytest.fixture(scope="session")
def config(server_url: URL, owner_url: URL, migrated: Config) -> Iterator[Config]:
    """The settings of the session's migrated database."""
    made = create_database(owner_url, migrated)
    yield made
    drop_database(server_url, made)


@pytest.fixture
def empty_config(server_url: URL, owner_url: URL) -> Iterator[Config]:
    """The settings of an empty database of the test's own."""
    made = create_database(owner_url)
    yield made
    drop_database(server_url, made)


@pytest.fixture
def fresh_config(server_url: URL, owner_url: URL, migrated: Config) -> Iterator[Config]:
    """The settings of a migrated database of the test's own."""
    made = create_database(owner_url, migrated)
    yield made
    drop_database(server_url, made)


@pytest.fixture(scope="session")
def made_database(config: Config) -> Iterator[Database]:
    """The database of `database`."""
    made = Database(replace(config, pool_size=32, pool_max_overflow=8), application_url(config))
    yield made
    made.engine.dispose()


@pytest.fixture
def database(made_database: Database, request: pytest.FixtureRequest) -> Iterator[Database]:
    """The session's database as the application role sees it, with a pool for 32 threads."""
    with kept_pool(made_database, request):
        yield made_database


@contextmanager
def kept_pool(database: Database, request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave the connections of one test to the next: a new one, and what it has to plan, takes as long as many a test.

    A test that replaces a part of the product has connections of its own: on others its statements may have been
    prepared as they were, and would stay as it made them.
    """
    replaces = "monkeypatch" in request.fixturenames
    if replaces:
        database.engine.dispose()
    yield
    if replaces:
        database.engine.dispose()


@pytest.fixture
def hospital(database: Database) -> Hospital:
    """A hospital of the test's own."""
    return open_hospital(database)


@pytest.fixture
def owner(config: Config) -> Iterator[psycopg2.extensions.connection]:
    """A connection to the session's database as its owner, autocommitting."""
    connection = connect(normalised_url(config.database_url))
    yield connection
    connection.close()


@pytest.fixture
def superuser(server_url: URL, config: Config) -> Iterator[psycopg2.extensions.connection]:
    """A connection to the session's database as the user who started the session, a superuser where there is one."""
    connection = connect(server_url.set(database=make_url(config.database_url).database))
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def made_app(config: Config) -> Flask:
    """The application of `app`: to make one takes as long as many a test in which it answers."""
    return create_app(replace(config, pool_size=32, pool_max_overflow=8))


@pytest.fixture
def app(made_app: Flask, request: pytest.FixtureRequest) -> Iterator[Flask]:
    """The application on the session's database, with a pool for 32 threads."""
    with kept_pool(made_app.extensions["valmed"], request):
        yield made_app


@pytest.fixture(scope="session")
def valmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """The command line, loaded once: `valmed("db", "current", database_url=...)` runs a command."""
    loaded = Loaded(tmp_path_factory.mktemp("valmed"))
    yield loaded
    loaded.end()
