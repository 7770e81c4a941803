"""`valmed` from the outside: setting a hospital up, migrations, verify, and errors that say in a line what to do."""

import json
import signal
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psycopg2.extensions
import pytest
from sqlalchemy.engine.url import URL, make_url

from backend.actor import Role
from backend.config import Config
from backend.db import Database, migrate
from backend.db.provision import application_url
from backend.demo.people import DOMAIN
from backend.demo.people import PASSWORD as DEMO_PASSWORD
from backend.errors import NotAuthenticated
from backend.identity import tokens
from backend.identity.tokens import Credentials, check_credentials
from backend.identity.users import add_user
from tests.cli.running import COMMAND, ROOT, clean_environment, free_port, valmed
from tests.conftest import create_database, drop_database
from tests.hospital import Hospital, now, open_hospital
from tests.migrations.catalogue import ask, needs_superuser, owner_of

PASSWORD = "correct horse battery"
Done = subprocess.CompletedProcess


def succeed(config: Config, *arguments: str) -> str:
    """What the command printed; it ended well and complained of nothing."""
    done = valmed(*arguments, database_url=config.database_url)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def sign_in(database: Database, slug: str, email: str, password: str = PASSWORD) -> Role:
    """The role of the person, who may sign in."""
    return check_credentials(database, Credentials(slug, email, password), request_id="test").role


def test_a_hospital_is_set_up_without_the_demo(config: Config, database: Database) -> None:
    slug = f"cli-{uuid.uuid4().hex[:12]}"
    opened = succeed(config, "organization", "create", slug, "--name", "St Mary's", "--time-zone", "Europe/Paris")
    assert opened == f"{slug} is open.\n"
    wards = [succeed(config, "ward", "create", slug, *rest) for rest in (["North"], ["Store", "--kind", "pharmacy"])]
    options = ["--name", "Ada", "--role", "nurse", "--ward", "North", "--ward", "Store", "--password", PASSWORD]
    created = succeed(config, "user", "create", slug, "Ada@H.example", *options)
    assert created == f"Ada@H.example may sign in to {slug} as nurse.\n"
    assert sign_in(database, slug, "ada@h.example") is Role.NURSE

    hospital = Hospital(database, *organization(database, slug), *[uuid.uuid4()] * 3)
    assert hospital.rows("SELECT name, time_zone, witness_required FROM organizations") == [
        ("St Mary's", "Europe/Paris", False)
    ]
    assert hospital.rows("SELECT id::text || chr(10), name, kind::text FROM wards ORDER BY name") == [
        (wards[0], "North", "ward"),
        (wards[1], "Store", "pharmacy"),
    ]
    assert hospital.rows("SELECT count(*) FROM ward_memberships") == [(2,)]
    assert hospital.rows("SELECT DISTINCT actor_id, request_id FROM audit_events") == [(None, "command-line")]


def organization(database: Database, slug: str) -> tuple[uuid.UUID, str]:
    found = check_credentials(database, Credentials(slug, "ada@h.example", PASSWORD), request_id="test")
    return found.organization_id, slug


def test_a_reset_password_ends_every_session(config: Config, database: Database, hospital: Hospital) -> None:
    nurse, email = hospital.nurse, f"nurse@{hospital.slug}.example"
    issued = hospital.run(lambda session: tokens.issue_token(session, actor=nurse, now=now(), hours=1), nurse)
    said = succeed(config, "user", "reset-password", hospital.slug, email.upper(), "--password", "a new long password")
    assert said == f"{email.upper()} has a new password and is signed out everywhere.\n"
    with pytest.raises(NotAuthenticated):
        tokens.authenticate(database, issued.token, request_id="test")
    with pytest.raises(NotAuthenticated):
        sign_in(database, hospital.slug, email)
    assert sign_in(database, hospital.slug, email, "a new long password") is Role.NURSE


def test_policies_are_set_one_by_one(config: Config, hospital: Hospital) -> None:
    policies = "SELECT verification_required, witness_required FROM organizations"
    assert succeed(config, "organization", "policy", hospital.slug, "--witness") == "witness_required = True\n"
    assert hospital.rows(policies) == [(False, True)]
    said = succeed(config, "organization", "policy", hospital.slug, "--verification", "--no-witness")
    assert said == "verification_required = True, witness_required = False\n"
    assert hospital.rows(policies) == [(True, False)]


def test_migrations_go_up_and_down_and_are_checked(empty_config: Config) -> None:
    newest = migrate.newest()
    assert succeed(empty_config, "db", "current") == f"None (newest: {newest})\n"
    assert succeed(empty_config, "db", "upgrade", "0007") == "The database stands at 0007.\n"
    behind = valmed("db", "check", database_url=empty_config.database_url)
    assert (behind.returncode, behind.stderr) == (1, "Error: Target database is not up to date.\n")
    assert succeed(empty_config, "db", "upgrade") == f"The database stands at {newest}.\n"
    assert succeed(empty_config, "db", "check").splitlines()[-1] == "The database is the one this code expects."
    assert succeed(empty_config, "db", "downgrade", "base") == "The database stands at None.\n"


def test_an_upgrade_tells_what_it_has_resolved(fresh_config: Config) -> None:
    """0021 changes assignments that people made: they are told which."""
    migrate.downgrade(fresh_config, "0020")
    database = Database(fresh_config, application_url(fresh_config))
    hospital = open_hospital(database)
    for login in ("doctor", "pharmacist"):
        hospital.change(
            "INSERT INTO care_team_assignments (organization_id, id, patient_id, provider_id, role, assigned_at)"
            " VALUES (:p1, gen_random_uuid(), :p2, :p3, 'PRIMARY', clock_timestamp())",
            *(hospital.organization_id, hospital.patient_id, hospital.staff[login].user_id),
        )
    database.engine.dispose()
    ((late,),) = hospital.rows("SELECT id FROM care_team_assignments ORDER BY assigned_at DESC LIMIT 1")
    said = succeed(fresh_config, "db", "upgrade")
    assert f"organization {hospital.organization_id}: patient {hospital.patient_id}: PRIMARY {late} demoted" in said


def test_verify_exits_0_on_a_sound_database_and_1_where_a_rule_is_broken(fresh_config: Config) -> None:
    database = Database(fresh_config, application_url(fresh_config))
    hospital = open_hospital(database)
    hospital.receive(5)
    sound = succeed(fresh_config, "verify")
    assert sound.splitlines()[-1].endswith("checks on 1 organizations: 0 broken")
    assert "BROKEN" not in sound

    hospital.change("UPDATE stock_levels SET on_hand_units = 4")
    broken = valmed("verify", database_url=fresh_config.database_url)
    assert (broken.returncode, broken.stderr) == (1, "")
    assert broken.stdout.splitlines()[-1].endswith("checks on 1 organizations: 2 broken")
    shelf = f"ward {hospital.ward_id} drug {hospital.drug_id}"
    assert f"\n{hospital.slug}: A level is the sum of its lots: 1 broken\n  {shelf}: level 4, lots 5\n" in broken.stdout
    assert f"  {shelf}: level 4, ledger 5\n" in broken.stdout
    database.engine.dispose()


def test_openapi_prints_the_description_as_json_and_nothing_else() -> None:
    done = valmed("openapi")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["openapi"].startswith("3.1.")
    assert "/orders/{order_id}/fulfill" in "".join(document["paths"])


# Errors. Each is one line on standard error, status 1, and says what is wrong.


@pytest.fixture(scope="module")
def demo_config(server_url: URL, owner_url: URL) -> Iterator[Config]:
    """A migrated database in which somebody may sign in with the password that the demo publishes."""
    made = create_database(owner_url)
    migrate.upgrade(made)
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
def listener() -> Iterator[int]:
    """A port that is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


Case = tuple[tuple[str, ...], dict[str, str], str]
SERVE = ("serve", "--port", "{free}")
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
        "unknown setting VALMED_POOL_SISE; known are VALMED_APPLICATION_DATABASE_URL, *VALMED_POOL_SIZE*",
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
        ("user", "create", "{slug}", "x@h", "--name", "X", "--role", "nurse", "--password", "short"),
        {},
        "/password: between 12 and 128 characters",
    ),
    "unknown ward": (
        (
            "user",
            "create",
            "{slug}",
            "x@h",
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
        "There is no ward 'Attic'; there are: 1 North.",
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
    "serve the demo's sign-ins": (
        SERVE,
        {"database_url": "{demo}"},
        "this database holds the demo's published sign-ins; VALMED_DEMO=1 serves it all the same",
    ),
    "serve with too large a pool": (
        SERVE,
        {"pool_size": "5000"},
        "the pool may open 5008 connections and the server allows *: lower VALMED_POOL_SIZE, VALMED_POOL_MAX_OVERFLOW"
        " or VALMED_WORKERS, or raise max_connections",
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
def told(
    config: Config, demo_config: Config, unmigrated_config: Config, server_url: URL, listener: int
) -> Iterator[Callable[[str], tuple[Done[str], str]]]:
    """Runs every erring command, two at a time; what the one asked for said, and what was expected of it."""
    database = Database(config, application_url(config))
    superuser = server_url.set(database=make_url(config.database_url).database)
    names = {
        "slug": open_hospital(database).slug,
        "free": str(free_port()),
        "taken": str(listener),
        "newest": migrate.newest(),
        "before": f"{int(migrate.newest()) - 1:04d}",
        "demo": demo_config.database_url,
        "unmigrated": unmigrated_config.database_url,
        "owner": config.database_url,
        "superuser": superuser.render_as_string(hide_password=False),
    }
    database.engine.dispose()

    def run(case: Case) -> Done[str]:
        arguments, settings, _ = case
        filled = {"database_url": config.database_url, **{key: fill(text) for key, text in settings.items()}}
        return valmed(*[fill(argument) for argument in arguments], **filled)

    def fill(text: str) -> str:
        for name, value in names.items():
            text = text.replace("{" + name + "}", value)
        return text

    with ThreadPoolExecutor(2) as crowd:
        running: dict[str, Future[Done[str]]] = {name: crowd.submit(run, case) for name, case in ERRORS.items()}
        yield lambda name: (running[name].result(timeout=120), fill(ERRORS[name][2]))


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_one_clear_line_and_status_1(
    told: Callable[[str], tuple[Done[str], str]], superuser: psycopg2.extensions.connection, name: str
) -> None:
    if name == "serve as a superuser":
        needs_superuser(superuser)
    done, expected = told(name)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    said = line.removeprefix("valmed: ").removeprefix("Error: ")
    parts = expected.split("*")
    assert said.startswith(parts[0])
    assert said.endswith(parts[-1])
    assert all(part in said for part in parts)
    assert "hush-hush" not in done.stderr


def test_a_wrong_use_of_a_command_is_status_2_and_shows_how(config: Config) -> None:
    for arguments in (["organization", "policy", "x"], ["ward", "create", "x", "y", "--kind", "house"], ["nonsense"]):
        done = valmed(*arguments, database_url=config.database_url)
        assert done.returncode == 2
        assert done.stderr.startswith("Usage: ")
        assert "Traceback" not in done.stderr


def test_serve_serves_until_it_is_told_to_stop(config: Config) -> None:
    port = free_port()
    arguments = ["serve", "--port", str(port), "--workers", "1"]
    server = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=clean_environment(database_url=config.database_url),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + 30
        answer = ""
        while not answer:
            assert server.poll() is None, server.communicate()[0]
            assert time.monotonic() < deadline
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as response:
                answer = response.read().decode()
            time.sleep(0.05)
        assert json.loads(answer) == {"status": "ready"}
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=20) == 0
    finally:
        server.kill()
        server.communicate()


def test_commands_leave_no_connection_behind(fresh_config: Config, tmp_path: Path) -> None:
    succeed(fresh_config, "verify")
    with owner_of(fresh_config) as owner:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        assert ask(owner, others) == [(0,)]
