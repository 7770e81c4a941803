"""`valmed tune` reads the server and this machine; it changes nothing."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2.extensions
import pytest
from psycopg2 import sql
from sqlalchemy.engine.url import make_url

from backend.cli import machine
from backend.cli.tune import is_local, read_settings
from backend.config import Config
from backend.db.engine import normalised_url
from backend.db.limits import read_limits
from backend.db.provision import application_role, connect
from tests.cli.running import Loaded

HOST = ("--memory", "16GB", "--cores", "4", "--node-cores", "4")


def test_it_tells_each_setting_with_a_reason_and_changes_none(
    succeed: Callable[..., str], config: Config, owner: psycopg2.extensions.connection
) -> None:
    before = read_settings(owner)

    said = succeed(config, "tune", *HOST)

    assert read_settings(owner) == before
    for name in ("VALMED_WORKERS", "VALMED_POOL_SIZE", "VALMED_POOL_MAX_OVERFLOW", "max_connections", "shared_buffers"):
        (line,) = [line for line in said.splitlines() if line[8:].startswith(name)]
        assert line.split()[0] in {"ok", "change"}
        assert len(line.split()) > 5
    assert "ALTER SYSTEM SET shared_buffers = '3GB';  -- after a restart" in said


def test_its_json_is_what_the_server_says(
    succeed: Callable[..., str], config: Config, owner: psycopg2.extensions.connection
) -> None:
    told = json.loads(succeed(config, "tune", *HOST, "--nodes", "2", "--workers", "6", "--json"))

    with owner.cursor() as cursor:
        cursor.execute(
            "SELECT pg_size_bytes(current_setting('shared_buffers')), current_setting('max_connections')::int,"
            " extract(epoch FROM current_setting('checkpoint_timeout')::interval)::int"
        )
        buffers, connections, checkpoint = cursor.fetchone() or (0, 0, 0)
    present = {advice["name"]: advice["present"] for advice in (*told["application"], *told["server"])}
    assert (present["shared_buffers"], present["max_connections"]) == (buffers, connections)
    assert (present["checkpoint_timeout"], present["VALMED_WORKERS"]) == (checkpoint, 6)
    assert told["hosts"]["nodes"] == 2
    assert told["hosts"]["server_memory"] == 16 << 30
    assert told["fine"] is False


def test_a_connection_limit_of_the_role_or_the_database_counts(
    empty_config: Config,
) -> None:
    role = application_role(empty_config)
    url = normalised_url(empty_config.database_url)
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        unbounded = read_limits(connection, role)
        assert (unbounded.role, unbounded.database) == (None, None)
        assert unbounded.available == unbounded.max_connections - unbounded.reserved
        cursor.execute("SHOW superuser_reserved_connections")
        assert unbounded.reserved >= int((cursor.fetchone() or ("0",))[0])
        name = sql.Identifier(str(url.database))
        cursor.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT 9").format(name))
        assert read_limits(connection, role).available == 9
        assert read_limits(connection, "nobody of this name").role is None


def test_a_server_elsewhere_needs_its_memory_and_cores_told(valmed: Loaded) -> None:
    done = valmed("tune", database_url="postgresql://u:hush-hush@192.0.2.1/d")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("valmed: PostgreSQL runs on another host: say its --memory, such as 16GB, and its --cores\n")


@pytest.mark.parametrize("amount", ["16", "0GB", "many", "-1GB", "1.5GB"])
def test_an_amount_that_is_none_is_a_wrong_use(valmed: Loaded, config: Config, amount: str) -> None:
    done = valmed("tune", "--memory", amount, database_url=config.database_url)

    assert done.returncode == 2
    assert "is no amount such as 16GB or 512MB" in done.stderr


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("postgresql://u@/d?host=/run/x", True),
        ("postgresql:///d", True),
        ("postgresql://u@localhost/d", True),
        ("postgresql://u@127.0.0.1/d", True),
        ("postgresql://u@db.example/d", False),
        ("postgresql://u@/d?host=db.example", False),
    ],
)
def test_a_socket_and_a_loopback_address_are_this_machine(text: str, local: bool) -> None:
    assert is_local(make_url(text)) is local


def test_the_limits_of_a_container_count(tmp_path: Path) -> None:
    whole = machine.memory_bytes(tmp_path), machine.cores(tmp_path)
    assert min(whole) >= 1
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert (machine.memory_bytes(tmp_path), machine.cores(tmp_path)) == whole

    (tmp_path / "memory.max").write_text("67108864\n")
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert (machine.memory_bytes(tmp_path), machine.cores(tmp_path)) == (64 << 20, 1)
