"""The command line as an operator types it: in processes of its own."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import orjson
import pytest
from sqlalchemy.engine.url import URL, make_url

from backend.config import Config
from backend.db.provision import connect

RUN = "from backend.cli import main; main()"
PASSWORD = "a password for tests"


@pytest.fixture
def valmed(empty_config: Config):
    """Runs `valmed ARGUMENTS` on an empty database of the test's own."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("VALMED_")}
        env = {**env, "VALMED_DATABASE_URL": empty_config.database_url, **environment}
        return subprocess.run(
            [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, env=env, timeout=60, check=False
        )

    return run


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """It failed with a line for a person, not a traceback."""
    assert done.returncode in {1, 2}, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_a_hospital_is_set_up_without_the_demo(valmed) -> None:
    assert "stands at 0022" in valmed("db", "upgrade").stdout
    assert valmed("db", "check").returncode == 0
    assert valmed("db", "current").stdout == "0022 (newest: 0022)\n"
    opened = valmed("organization", "create", "riverside", "--name", "Riverside", "--time-zone", "Europe/Berlin")
    assert opened.stdout == "riverside is open.\n"
    assert valmed("organization", "policy", "riverside", "--verification").stdout == "verification_required = True\n"
    assert valmed("ward", "create", "riverside", "3 West").returncode == 0
    user = ("user", "create", "riverside", "nurse@riverside.example", "--name", "Nora", "--role", "nurse")
    made = valmed(*user, "--ward", "3 West", "--password", PASSWORD)
    assert made.stdout == "nurse@riverside.example may sign in to riverside as nurse.\n"
    assert_one_line(valmed(*user, "--password", PASSWORD), "Another user of your organization has this email address.")
    reset = ("user", "reset-password", "riverside", "nurse@riverside.example", "--password")
    assert "signed out everywhere" in valmed(*reset, "another password").stdout
    verified = valmed("verify")
    assert (verified.returncode, verified.stdout.splitlines()[-1]) == (0, "42 checks on 1 organizations: 0 broken")


def test_mistakes_are_one_clear_line(valmed) -> None:
    assert_one_line(valmed("organization", "create", "x", "--name", "X"), "not migrated: run `valmed db upgrade`")
    valmed("db", "upgrade")
    assert_one_line(valmed("organization", "create", "Not A Slug", "--name", "X"), "constraint")
    assert_one_line(valmed("organization", "create", "x", "--name", "X", "--time-zone", "Mars"), "time_zone")
    assert_one_line(valmed("organization", "policy", "nowhere", "--witness"), "There is no organization 'nowhere'.")
    valmed("organization", "create", "x", "--name", "X")
    assert_one_line(valmed("organization", "create", "x", "--name", "X"), "exists")
    user = ("user", "create", "x", "a@x.example", "--name", "A", "--role", "nurse", "--password")
    assert_one_line(valmed(*user, "short"), "between 12 and 128 characters")
    assert_one_line(valmed(*user, PASSWORD, "--ward", "nowhere"), "There is no ward 'nowhere'")
    assert_one_line(valmed("user", "reset-password", "x", "b@x.example", "--password", PASSWORD), "no user b@x.example")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"VALMED_DATABASE_URL": "mysql://x/y"}, "the database must be PostgreSQL, not mysql"),
        ({"VALMED_DATABASE_URL": "postgresql://x@/"}, "names no database"),
        ({"VALMED_DATABASE_URL": "postgresql://x:secret@127.0.0.1:1/y"}, "out of reach"),
        ({"VALMED_WORKER": "4"}, "unknown setting VALMED_WORKER"),
        ({"VALMED_WORKERS": "many"}, "VALMED_WORKERS is 'many'; it must be a number"),
        ({"VALMED_WORKERS": "0"}, "VALMED_WORKERS is 0; it must be at least 1"),
    ],
)
def test_a_setting_that_cannot_be_right_is_named(valmed, environment: dict[str, str], words: str) -> None:
    done = valmed("db", "upgrade", **environment)
    assert_one_line(done, words)
    assert "secret" not in done.stderr


def test_verify_exits_1_and_names_the_rows(valmed, server_url: URL, empty_config: Config) -> None:
    valmed("db", "upgrade")
    assert valmed("seed", "--orders", "20", "--drugs", "3", "--wards", "1", "--organization", "small").returncode == 0
    connection = connect(server_url.set(database=make_url(empty_config.database_url).database))
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        if cursor.fetchone() != (True,):
            pytest.skip("breaking an invariant needs a superuser, and the given user is none")
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("UPDATE stock_levels SET on_hand_units = on_hand_units + 7")
    connection.close()
    done = valmed("verify")
    assert done.returncode == 1
    assert "small: A level is the sum of its lots: 3 broken" in done.stdout
    assert done.stdout.splitlines()[-1] == "42 checks on 1 organizations: 2 broken"


def test_down_and_up_again(valmed) -> None:
    valmed("db", "upgrade")
    assert "stands at None" in valmed("db", "downgrade", "base").stdout
    assert_one_line(valmed("db", "check"), "not up to date")
    assert_one_line(valmed("db", "upgrade", "9999"), "9999")
    assert "stands at 0022" in valmed("db", "upgrade").stdout


def test_openapi_is_json(valmed) -> None:
    assert orjson.loads(valmed("openapi").stdout)["openapi"] == "3.1.0"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_serve_and_demo_say_what_to_do_when_the_port_is_taken(valmed, taken_port: int) -> None:
    for command in ("serve", "demo"):
        assert_one_line(valmed(command, "--port", str(taken_port)), "choose another port", f"--port {taken_port + 1}")


def test_serve_refuses_what_is_not_fit_to_serve(valmed, empty_config: Config, server_url: URL) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    assert_one_line(valmed("serve", VALMED_DATABASE_URL=""), "set VALMED_DATABASE_URL")
    valmed("db", "upgrade", "0011")
    assert_one_line(valmed("serve", "--port", port), "stands at 0011, this code needs 0022: valmed db upgrade")
    valmed("db", "upgrade")
    assert_one_line(valmed("serve", "--port", port, VALMED_POOL_SIZE="100000"), "the pool may open", "max_connections")
    as_owner = empty_config.database_url
    refused = valmed("serve", "--port", port, VALMED_APPLICATION_DATABASE_URL=as_owner)
    assert_one_line(refused, "may not serve")
    valmed("organization", "create", "riverside", "--name", "Riverside")
    user = ("user", "create", "riverside", "nurse@riverside.example", "--name", "N", "--role", "nurse")
    valmed(*user, "--password", "ward-demo-2026")
    assert_one_line(valmed("serve", "--port", port), "published sign-ins", "VALMED_DEMO=1")
