"""What an upgrade tells of the server's warnings, whatever language the server speaks."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine.url import URL

from backend.config import Config
from backend.db import migrate
from backend.db.engine import normalised_url
from tests.migrations.catalogue import ask, owner_of

ENGLISH = b"WARNING\x00V"  # the severity for people, before the one for programs, which is the same everywhere
GERMAN = b"WARNUNG\x00V"
PORT = 5432


class GermanServer:
    """The server of `url` on a unix socket in `folder`, as one whose lc_messages is German would answer."""

    def __init__(self, folder: Path, url: URL) -> None:
        host, port = str(url.query.get("host") or url.host or ""), int(str(url.query.get("port") or url.port or PORT))
        self._upstream = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)
        self.translated = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / f".s.PGSQL.{PORT}"))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stops listening."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX if isinstance(self._upstream, str) else socket.AF_INET)
                server.connect(self._upstream)
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self.translated += data.count(ENGLISH)
                target.sendall(data.replace(ENGLISH, GERMAN))
        for side in (source, target):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()


@pytest.fixture
def german(fresh_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GermanServer, Config]]:
    """A server that speaks German, and the settings that lead there."""
    folder, url = tmp_path_factory.mktemp("g"), normalised_url(fresh_config.database_url)
    server = GermanServer(folder, url)
    there = url.set(host=None, port=None, query={"host": str(folder), "port": str(PORT)})
    yield server, Config(database_url=there.render_as_string(hide_password=False), workers=1)
    server.close()


def test_an_upgrade_tells_the_warnings_of_a_server_that_speaks_german_and_nothing_else(
    german: tuple[GermanServer, Config], fresh_config: Config
) -> None:
    server, config = german
    migrate.downgrade(fresh_config, "0020")
    with owner_of(fresh_config) as owner:
        ask(
            owner,
            "CREATE FUNCTION speak() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'chat';"
            " RAISE WARNING 'changed: 1'; RETURN NULL; END $$;"
            " CREATE TRIGGER speak AFTER UPDATE ON alembic_version EXECUTE FUNCTION speak()",
        )
    told: list[str] = []

    migrate.upgrade(config, "0021", report=told.append)

    assert server.translated == 1
    assert told == ["changed: 1"]
