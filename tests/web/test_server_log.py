"""Every line that a serving process prints is JSON and holds nobody's data, whoever said it."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import psycopg2.extensions
import pytest

from backend.config import Config
from backend.operations.proving.application import HOST, Node
from tests.cli.running import ROOT, clean_environment, free_port, settings_of
from tests.hospital import Hospital, sign_in
from tests.hostile.talking import Server, request
from tests.migrations.catalogue import needs_superuser

Lines = list[dict[str, Any]]
SECRET = "Geheimrat"
# Everything that libraries, Python and a bug may say beside the log, each time with a patient in it.
TALKATIVE = f'''
import logging, os, signal, sys, threading, warnings

class Gone:
    def __del__(self):
        raise ValueError("{SECRET}")

def fail():
    raise ValueError("{SECRET}")

def app(environ, start_response):
    match environ["PATH_INFO"]:
        case "/warning": warnings.warn("{SECRET}", ResourceWarning, stacklevel=1)
        case "/thread":
            thread = threading.Thread(target=fail); thread.start(); thread.join()
        case "/deleted": Gone()
        case "/printed": os.write(2, b"FATAL:  {SECRET}\\n")
        case "/library":
            logging.getLogger("sqlalchemy.pool").error("Exception closing connection %r", "{SECRET}", exc_info=True)
            logging.getLogger("sqlalchemy.pool").warning("filled in: %s" % "{SECRET}")
            logging.getLogger("odd").log(37, "%d of %s", "{SECRET}", 3)
        case "/error": fail()
        case "/killed": os.kill(os.getpid(), signal.SIGKILL)
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]
'''


def lines_of(log: Path) -> Lines:
    """Every line of the log, each of which is a JSON object."""
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture
def talkative(tmp_path: Path) -> Iterator[Server]:
    """An application that says everything beside its log, served as ValMed is."""
    (tmp_path / "talkative.py").write_text(TALKATIVE)
    settings, port, log = ROOT / "backend" / "operations" / "gunicorn.conf.py", free_port(), tmp_path / "log"
    paths = os.pathsep.join((str(tmp_path), str(ROOT)))
    environment = {**clean_environment(workers="1"), "PYTHONPATH": paths, "PYTHONWARNINGS": "always"}
    command = [sys.executable, "-m", "gunicorn", "--config", str(settings), "--bind", f"{HOST}:{port}", "talkative:app"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        _ask(port, "/")
        yield Server(HOST, port, log)
    finally:
        process.terminate()
        process.wait(30)


def _ask(port: int, path: str) -> int:
    """The status of the answer, 0 for none; tries again for as long as nobody listens."""
    ends = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > ends:
                return 0
        except ConnectionError:
            return 0
        time.sleep(0.05)


def test_whatever_is_said_beside_the_log_is_a_line_of_it_without_its_values(talkative: Server) -> None:
    for path in (
        "/warning",
        "/thread",
        "/deleted",
        "/printed",
        "/library",
        "/error",
        f"/error?q={SECRET}",
        "/killed",
        "/",
    ):
        _ask(talkative.port, path)
    talkative.tell([request(target="/", body=b"")[:-2] + f"Bad Header {SECRET}\r\n\r\n".encode()])
    lines = lines_of(talkative.log)
    said = {(line["event"], line.get("message"), line.get("exception")) for line in lines}
    assert said >= {
        ("python_warned", None, None),
        ("uncaught_error", None, "ValueError"),
        ("ignored_error", None, "ValueError"),
        ("library_logged", "Exception closing connection '?'", None),
        ("library_logged", "filled in", None),
        ("printed", "FATAL", None),
        ("library_logged", "%d of %s", None),
        ("library_logged", "Error handling request ? ?", "ValueError"),
    }
    assert any("SIGKILL" in str(line.get("message")) for line in lines)
    assert any(line.get("message") == "Invalid request from ip" for line in lines)
    assert all({"timestamp", "level", "event"} <= line.keys() for line in lines)
    assert SECRET not in talkative.log.read_text()


def test_every_line_is_json_while_connections_are_killed_under_the_application(
    config: Config, hospital: Hospital, superuser: psycopg2.extensions.connection, tmp_path: Path
) -> None:
    needs_superuser(superuser)
    log, stop = tmp_path / "log", threading.Event()
    settings = {**settings_of(config), "workers": "2", "pool_size": "2", "pool_max_overflow": "0"}
    node = Node({f"VALMED_{name.upper()}": value for name, value in settings.items()}, log)
    node.start()
    order_id, token = hospital.place(), sign_in(None, hospital, "nurse").token
    server = Server(HOST, node.port, log)

    def work() -> None:
        refused = request("POST", f"/api/v1/orders/{order_id}/fulfill", body=b"{}", token=token)
        while not stop.is_set():
            server.tell([refused])
            server.tell([request(token=token)])

    def kill() -> None:
        with superuser.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'valmed'"
                " AND datname = current_database() AND pid <> pg_backend_pid()"
            )

    people = [threading.Thread(target=work) for _ in range(4)]
    try:
        for person in people:
            person.start()
        for _ in range(60):
            kill()
            time.sleep(0.05)
    finally:
        stop.set()
        for person in people:
            person.join()
        node.kill_worker(Random(1))
        node.stop()
    lines = lines_of(log)
    assert sum(line["event"] == "transaction_retried" for line in lines) > 3
    assert {"frames", "exception"}.isdisjoint(key for line in lines for key in line)
    assert {line["status"] for line in lines if line["event"] == "request"} <= {200, 409, 503}
    assert "Okafor" not in log.read_text()
