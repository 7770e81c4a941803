"""`valmed serve` with two workers, as an operator starts it, and somebody who talks to it by bare sockets."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from backend.config import Config
from backend.db import Database
from backend.db.provision import application_url
from backend.operations.proving.application import HOST, Node
from tests.cli.running import settings_of
from tests.hospital import Hospital, open_hospital, sign_in
from tests.hostile.talking import Server

WORKERS, SECONDS = 2, 2


@pytest.fixture(scope="package")
def server(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It answers, and its log holds no error at the end."""
    log = tmp_path_factory.mktemp("hostile") / "log"
    settings = {**settings_of(config), "workers": str(WORKERS), "request_seconds_max": str(SECONDS)}
    node = Node({f"VALMED_{name.upper()}": value for name, value in settings.items()}, log)
    node.start()
    yield Server(HOST, node.port, log)
    node.stop()
    said = log.read_text()
    assert "unhandled_error" not in said
    assert all("frames" not in json.loads(line) for line in said.splitlines()), "each line is JSON, none an error"
    assert "WORKER TIMEOUT" not in said


@pytest.fixture(scope="package")
def ours(config: Config) -> Iterator[Hospital]:
    """A hospital whose rows nothing here may change."""
    database = Database(replace(config, pool_size=2), application_url(config))
    hospital = open_hospital(database)
    hospital.receive(5)
    hospital.place()
    yield hospital
    database.engine.dispose()


@pytest.fixture(scope="package")
def token(ours: Hospital) -> str:
    """Of an admin."""
    return sign_in(None, ours, "admin").token
