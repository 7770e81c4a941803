"""An error of `valmed` is one line on standard error and status 1; it says what is wrong and, if it can, what to do."""

import re
import socket
from collections.abc import Callable, Iterator

import psycopg2.extensions
import pytest
from sqlalchemy.engine.url import URL, make_url

from backend.actor import Role
from backend.cli.serve import listen
from backend.config import Config, ConfigError
from backend.db import Database, migrate
from backend.db.provision import application_url
from backend.domain.identity.users import add_user
from backend.operations.demo.people import DOMAIN
from backend.operations.demo.people import PASSWORD as DEMO_PASSWORD
from tests.cli.running import Loaded, free_port
from tests.conftest import create_database, drop_database
from tests.hospital import PASSWORD, open_hospital
from tests.migrations.catalogue import ask, needs_superuser, owner_of


@pytest.fixture(scope="module")
def demo_config(server_url: URL, owner_url: URL, migrated: Config) -> Iterator[Config]:
    """A migrated database in which somebody may sign in with the password that the demo publishes."""
    made = create_database(owner_url, migrated)
    database = Database(made, application_url(made))
    hospital = open_hospital(database)
    hospital.change("UPDATE organizations SET slug = 'riverside'")
    hospital.run(
        lambda session: add_user(
            session,
            organization_id=hospital.organization_id,
            email=f"nurse@{DOMAIN}",
            name="Nora",
            role=Role.NURSE,
            password=DEMO_PASSWORD,
        )
    )
    database.engine.dispose()
    yield made
    drop_database(server_url, made)


@pytest.fixture(scope="module")
def unmigrated_config(server_url: URL, owner_url: URL) -> Iterator[Config]:
    """A database one migration behind."""
    made = create_database(owner_url)
    migrate.upgrade(made, f"{int(migrate.newest()) - 1:04d}")
    yield made
    drop_database(server_url, made)


@pytest.fixture(scope="module")
def bare_config(server_url: URL, owner_url: URL) -> Iterator[Config]:
    """A database without a table."""
    made = create_database(owner_url)
    yield made
    drop_database(server_url, made)


@pytest.fixture(scope="module")
def listener() -> Iterator[int]:
    """A port that is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


Case = tuple[tuple[str, ...], dict[str, str], str]
SERVE = ("serve", "--port", "{free}")
CREATE_USER = ("user", "create", "{slug}", "x@h.example", "--name", "X", "--role", "nurse")
MISSING = "/nonexistent/place"
NO_FOLDER = f"the folder {MISSING} does not exist: make it, or mount what belongs there, and run this again"
URL_HINT = "postgresql://user:password@host:port/database"
ERRORS: dict[str, Case] = {
    "no database": (
        ("db", "current", "--data-dir", "/nonexistent/valmed"),
        {"database_url": ""},
        "set VALMED_DATABASE_URL, or start `valmed demo` once",
    ),
    "not PostgreSQL": (
        ("db", "current"),
        {"database_url": "mysql://u:hush-hush@h/d"},
        "the database must be PostgreSQL, not mysql",
    ),
    "no URL at all": (
        ("db", "current"),
        {"database_url": "hush-hush"},
        f"the database URL cannot be read: {URL_HINT}",
    ),
    "URL without a database": (
        ("verify",),
        {"database_url": "postgresql://u:hush-hush@h"},
        f"the database URL names no database: {URL_HINT}",
    ),
    "unknown setting": (
        ("db", "current"),
        {"pool_sise": "3"},
        "unknown setting VALMED_POOL_SISE; known are *VALMED_APPLICATION_DATABASE_URL, *VALMED_POOL_SIZE*",
    ),
    "setting of another type": (
        ("db", "current"),
        {"workers": "many"},
        "VALMED_WORKERS is 'many'; it must be a number",
    ),
    "setting out of range": (("db", "current"), {"workers": "0"}, "VALMED_WORKERS is 0; it must be at least 1"),
    "database down": (
        ("db", "upgrade"),
        {"database_url": "postgresql://u:hush-hush@127.0.0.1:1/x"},
        "the database is out of reach: *",
    ),
    "database down for the application": (
        ("ward", "create", "h", "W"),
        {"database_url": "postgresql://u:hush-hush@127.0.0.1:1/x"},
        "The database is busy or out of reach. Nothing was changed; try again.",
    ),
    "database not migrated": (
        ("organization", "create", "h", "--name", "H"),
        {"database_url": "{empty}"},
        "the database is not migrated: run `valmed db upgrade`",
    ),
    "unknown revision": (("db", "upgrade", "7777"), {}, "Can't locate revision identified by '7777'"),
    "unknown organization": (("ward", "create", "nowhere", "W"), {}, "There is no organization 'nowhere'."),
    "organization exists": (
        ("organization", "create", "{slug}", "--name", "N"),
        {},
        "An organization of this name exists.",
    ),
    "slug in a wrong form": (("organization", "create", "St. Mary", "--name", "N"), {}, "/slug: *"),
    "unknown time zone": (
        ("organization", "create", "new", "--name", "N", "--time-zone", "Mars"),
        {},
        "/time_zone: not a time zone of the IANA database, such as Europe/Berlin",
    ),
    "ward exists": (("ward", "create", "{slug}", "1 North"), {}, "Another ward of your organization has this name."),
    "password too short": (
        (*CREATE_USER, "--password", "short"),
        {},
        "/password: between 12 and 128 characters",
    ),
    "email taken": (
        ("user", "create", "{slug}", "nurse@{slug}.example", "--name", "X", "--role", "nurse", "--password", PASSWORD),
        {},
        "Another user of your organization has this email address.",
    ),
    "unknown ward": (
        (
            "user",
            "create",
            "{slug}",
            "x@h.example",
            "--name",
            "X",
            "--role",
            "nurse",
            "--password",
            PASSWORD,
            "--ward",
            "Attic",
        ),
        {},
        "There is no ward 'Attic'*",
    ),
    "unknown user": (
        ("user", "reset-password", "{slug}", "x@h", "--password", PASSWORD),
        {},
        "There is no user x@h.",
    ),
    "port taken": (
        ("serve", "--port", "{taken}"),
        {},
        "cannot listen on 127.0.0.1:{taken} (Address already in use): stop what runs there, or choose another port"
        " with --port *",
    ),
    "port taken for the demo": (
        ("demo", "--port", "{taken}", "--data-dir", "/nonexistent/valmed"),
        {"database_url": ""},
        "cannot listen on 127.0.0.1:{taken} (Address already in use): stop what runs there, or choose another port"
        " with --port *",
    ),
    "serve without a database": (
        SERVE,
        {"database_url": ""},
        "set VALMED_DATABASE_URL (or VALMED_APPLICATION_DATABASE_URL), or use `valmed demo`",
    ),
    "serve before the upgrade": (
        SERVE,
        {"database_url": "{unmigrated}"},
        "the database stands at {before}, this code needs {newest}: valmed db upgrade",
    ),
    "serve with a well-known password": (
        SERVE,
        {"database_url": "postgresql://valmed:postgres-valmed-1@127.0.0.1:1/valmed"},
        "the password in VALMED_DATABASE_URL can be guessed: it is little more than names and words *;"
        " `openssl rand -hex 32` makes one; VALMED_DEMO=1 serves all the same",
    ),
    "serve with a short key": (
        SERVE,
        {"secret_key": "kT7vQw-9sLmXe2"},
        "VALMED_SECRET_KEY can be guessed: it has fewer than 32 characters; *",
    ),
    "choose a leaked password": (
        (*CREATE_USER, "--password", "Password1234"),
        {},
        "/password: choose another: it is on the lists of leaked passwords, which are tried first",
    ),
    "serve the demo's sign-ins": (
        SERVE,
        {"database_url": "{demo}"},
        "this database holds the demo's published sign-ins; VALMED_DEMO=1 serves it all the same",
    ),
    "serve with too large a pool": (
        SERVE,
        {"pool_size": "5000"},
        "the pool may open 5008 connections and the server allows *: lower VALMED_POOL_SIZE, VALMED_POOL_MAX_OVERFLOW"
        " or VALMED_WORKERS, or raise max_connections; `valmed tune` says to what",
    ),
    "back up into a folder that is missing": (
        ("backup", f"{MISSING}/backups"),
        {},
        f"the folder {MISSING}/backups does not exist: make it, or mount what belongs there; to give the name yourself,"
        " end it with an extension, such as backups.dump",
    ),
    "back a cluster up into a folder that is missing": (
        ("backup", "--physical", f"{MISSING}/backups"),
        {},
        f"the folder {MISSING}/backups does not exist: make it, or mount what belongs there; *",
    ),
    "back up to a name in a folder that is missing": (("backup", f"{MISSING}/night.dump"), {}, NO_FOLDER),
    "back up with figures into a folder that is missing": (
        ("backup", ".", "--textfile", f"{MISSING}/valmed.prom"),
        {},
        NO_FOLDER,
    ),
    "export seals into a folder that is missing": (
        ("audit", "export", "--organization", "{slug}", "--file", f"{MISSING}/seals.jsonl"),
        {},
        NO_FOLDER,
    ),
    "archive into a folder that is missing": (
        ("archive", "--organization", "{slug}", "--before", "2026-01-01", "--folder", MISSING),
        {},
        NO_FOLDER,
    ),
    "archive into a file": (
        ("archive", "--organization", "{slug}", "--before", "2026-01-01", "--folder", __file__),
        {},
        f"the folder {__file__} is no folder: *",
    ),
    "prove into a folder that is missing": (("prove", "--json", f"{MISSING}/proof.json"), {}, NO_FOLDER),
    "serve with a log in a folder that is missing": (SERVE, {"log_file": f"{MISSING}/valmed.log"}, NO_FOLDER),
    "demo with a log in a folder that is missing": (
        ("demo", "--port", "{free}", "--data-dir", "/nonexistent/valmed"),
        {"log_file": f"{MISSING}/valmed.log", "database_url": ""},
        NO_FOLDER,
    ),
    "serve as a superuser": (
        SERVE,
        {"application_database_url": "{superuser}"},
        "the role * may not serve: it bypasses row-level security",
    ),
    "serve as the owner": (
        SERVE,
        {"application_database_url": "{owner}"},
        "the role * may not serve: it owns tables",
    ),
}


@pytest.fixture(scope="module")
def fill(
    config: Config,
    demo_config: Config,
    unmigrated_config: Config,
    bare_config: Config,
    server_url: URL,
    listener: int,
) -> Callable[[str], str]:
    """Puts real values into the places that a case leaves open."""
    database = Database(config, application_url(config))
    superuser = server_url.set(database=make_url(config.database_url).database)
    values = {
        "slug": open_hospital(database).slug,
        "free": str(free_port()),
        "taken": str(listener),
        "newest": migrate.newest(),
        "before": f"{int(migrate.newest()) - 1:04d}",
        "migrated": config.database_url,
        "demo": demo_config.database_url,
        "unmigrated": unmigrated_config.database_url,
        "empty": bare_config.database_url,
        "owner": config.database_url,
        "superuser": superuser.render_as_string(hide_password=False),
    }
    database.engine.dispose()
    return lambda text: re.sub(r"\{(\w+)\}", lambda place: values[place[1]], text)


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_one_clear_line_and_status_1(
    valmed: Loaded, fill: Callable[[str], str], superuser: psycopg2.extensions.connection, name: str
) -> None:
    if name == "serve as a superuser":
        needs_superuser(superuser)
    arguments, settings, expected = ERRORS[name]
    filled = {key: fill(text) for key, text in {"database_url": "{migrated}", **settings}.items()}

    done = valmed(*[fill(argument) for argument in arguments], **filled)

    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    said = line.removeprefix("valmed: ").removeprefix("Error: ")
    parts = fill(expected).split("*")
    assert said.startswith(parts[0])
    assert said.endswith(parts[-1])
    assert all(part in said for part in parts)
    assert "hush-hush" not in done.stderr


def test_a_database_that_has_answered_is_not_called_out_of_reach(valmed: Loaded, empty_config: Config) -> None:
    migrate.upgrade(empty_config, f"{int(migrate.newest()) - 1:04d}")
    with owner_of(empty_config) as holder:
        ask(holder, "BEGIN; LOCK TABLE alembic_version IN EXCLUSIVE MODE")
        done = valmed("db", "upgrade", database_url=empty_config.database_url)
    assert done.returncode == 1
    assert done.stderr == "valmed: the database refused: canceling statement due to lock timeout\n"


def test_a_wrong_use_of_a_command_is_status_2_and_shows_how(valmed: Loaded, config: Config) -> None:
    for arguments in (["organization", "policy", "x"], ["ward", "create", "x", "y", "--kind", "house"], ["nonsense"]):
        done = valmed(*arguments, database_url=config.database_url)
        assert done.returncode == 2
        assert done.stderr.startswith("Usage: ")
        assert "Traceback" not in done.stderr


def test_the_port_is_taken_before_the_application_starts_and_not_lost_meanwhile() -> None:
    port = free_port()
    with listen("127.0.0.1", port), pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port} "):
        listen("127.0.0.1", port)
    listen("127.0.0.1", port).close()
