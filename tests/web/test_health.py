"""For the machinery around the application: alive, ready, counted."""

import os
import re
import runpy
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families
from psycopg2 import sql
from sqlalchemy.engine.url import URL, make_url

from backend import create_app
from backend.config import VERSION, Config
from backend.db import Database, migrate
from backend.db.provision import application_url, connect
from backend.observability import CONNECTIONS
from backend.web.metrics import WorkersMemory
from tests.api.valid_requests import assert_problem
from tests.conftest import drop_database
from tests.hospital import Hospital, sign_in
from tests.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
FULFIL = "/api/v1/orders/<uuid:order_id>/fulfill"


@pytest.fixture
def nowhere(config: Config) -> Flask:
    """An application whose database nobody serves."""
    return create_app(replace(config, application_database_url="postgresql://valmed_app@127.0.0.1:1/none"))


# Alive and ready


def test_no_worker_is_killed_for_a_report_that_takes_its_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It may wait for its lane, then for a row, then for its statement."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    for milliseconds in (20_000, 60_000):
        monkeypatch.setenv("VALMED_REPORT_TIMEOUT_MS", str(milliseconds))
        settings = runpy.run_path(str(ROOT / "backend" / "operations" / "gunicorn.conf.py"))
        assert settings["timeout"] > 3 * milliseconds / 1000


def test_alive_and_ready(app: Flask) -> None:
    for path, status in (("/healthz", "ok"), ("/readyz", "ready")):
        response = app.test_client().get(path)
        assert (response.status_code, response.get_json()) == (200, {"status": status})
        assert response.headers["Cache-Control"] == "no-store"


def test_a_process_without_its_database_is_alive_and_not_ready(nowhere: Flask) -> None:
    assert nowhere.test_client().get("/healthz").status_code == 200
    response = nowhere.test_client().get("/readyz")
    assert_problem(response, 503, "busy")
    assert int(response.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("path", ["/api/v1/me", "/api/v1/orders", "/api/v1/mar?ward_id=x"])
def test_without_its_database_every_request_is_503_and_not_500(nowhere: Flask, path: str) -> None:
    response = nowhere.test_client().get(path, headers={"Authorization": "Bearer vmd_x"})
    assert_problem(response, 503, "busy")
    assert int(response.headers["Retry-After"]) >= 1


def test_without_its_database_nobody_signs_in_but_the_documentation_is_there(nowhere: Flask) -> None:
    client = nowhere.test_client()
    body = {"organization": "riverside", "email": "nurse@riverside.example", "password": "x"}
    assert_problem(client.post("/api/v1/tokens", json=body), 503, "busy")
    assert client.get("/api/v1/openapi.json").status_code == 200
    assert client.get("/metrics").status_code == 200


def test_a_database_that_goes_away_is_503_and_its_return_is_noticed(
    server_url: URL, config: Config, empty_config: Config
) -> None:
    app = create_app(replace(empty_config, retry_seconds_max=1))
    client = app.test_client()
    assert client.get("/readyz").status_code == 503  # a connection is in the pool now
    drop_database(server_url, empty_config)
    assert client.get("/healthz").status_code == 200
    gone = client.get("/readyz")
    assert "out of reach" in assert_problem(gone, 503, "busy")["detail"]
    assert gone.headers["Retry-After"] == "1"
    assert_problem(client.get("/api/v1/me", headers={"Authorization": "Bearer vmd_x"}), 503, "busy")
    connection = connect(server_url)
    with connection.cursor() as cursor:
        name = sql.Identifier(str(make_url(empty_config.database_url).database))
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(name))
    connection.close()
    assert "valmed db upgrade" in client.get("/readyz").get_json()["detail"], "it is there again, and empty"
    app.extensions["valmed"].engine.dispose()


@pytest.mark.parametrize("revision", [None, "0003"])
def test_a_database_that_is_not_migrated_to_the_newest_version_is_not_ready(
    config: Config, empty_config: Config, revision: str | None
) -> None:
    if revision:
        migrate.upgrade(empty_config, revision)
    app = create_app(empty_config)
    response = app.test_client().get("/readyz")
    assert "valmed db upgrade" in assert_problem(response, 503, "busy")["detail"]
    assert response.headers["Retry-After"] == "1"
    app.extensions["valmed"].engine.dispose()


# Counted

Sample = Callable[..., float]


@pytest.fixture
def count(app: Flask) -> Sample:
    """The value of a sample of /metrics, 0 where it is not there."""

    def read(name: str, **labels: str) -> float:
        response = app.test_client().get("/metrics")
        assert response.status_code == 200
        assert response.mimetype == "text/plain"
        for family in text_string_to_metric_families(response.text):
            for sample in family.samples:
                if (sample.name, sample.labels) == (name, labels):
                    return sample.value
        return 0.0

    return read


def give_and_be_refused(app: Flask, hospital: Hospital) -> None:
    """A fulfilment, and one that is refused."""
    hospital.receive(1)
    nurse = sign_in(app, hospital, "nurse")
    assert nurse.post(f"/orders/{hospital.place()}/fulfill", {}).status_code == 200
    assert nurse.post(f"/orders/{hospital.place()}/fulfill", {}).status_code == 409


def test_requests_are_counted_by_route_and_status(app: Flask, hospital: Hospital, count: Sample) -> None:
    labels = [{"method": "POST", "route": FULFIL, "status": status} for status in ("200", "409")]
    before = [count("valmed_http_request_seconds_count", **label) for label in labels]
    give_and_be_refused(app, hospital)
    after = [count("valmed_http_request_seconds_count", **label) for label in labels]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1]


def test_a_fulfilment_and_a_refusal_are_counted_by_their_outcome(app: Flask, hospital: Hospital, count: Sample) -> None:
    outcomes = ("done", "insufficient_stock")
    before = [count("valmed_fulfilments_total", outcome=outcome) for outcome in outcomes]
    give_and_be_refused(app, hospital)
    after = [count("valmed_fulfilments_total", outcome=outcome) for outcome in outcomes]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1]


def test_a_database_out_of_reach_is_counted(nowhere: Flask, count: Sample) -> None:
    before = count("valmed_busy_total", reason="no_connection")
    nowhere.test_client().get("/readyz")
    assert count("valmed_busy_total", reason="no_connection") == before + 1


def test_a_failed_sign_in_is_counted_and_one_that_is_locked_out(
    config: Config, hospital: Hospital, count: Sample
) -> None:
    strict = create_app(replace(config, account_failures_max=2))
    outcomes = ("failed", "locked")
    before = [count("valmed_sign_in_failures_total", outcome=outcome) for outcome in outcomes]
    body = {"organization": hospital.slug, "email": f"nurse@{hospital.slug}.example", "password": "not this one"}
    said = [strict.test_client().post("/api/v1/tokens", json=body).status_code for _ in range(3)]
    after = [count("valmed_sign_in_failures_total", outcome=outcome) for outcome in outcomes]
    strict.extensions["valmed"].engine.dispose()
    assert said == [401, 401, 429]
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 1]


def test_the_most_connections_and_the_release_are_told(config: Config, count: Sample) -> None:
    node = create_app(replace(config, workers=2, pool_size=7, pool_max_overflow=3))
    assert count("valmed_database_connections_max") == 2 * (3 + 1)
    assert count("valmed_build_info", version=VERSION) == 1
    node.extensions["valmed"].engine.dispose()


def test_no_path_of_a_request_becomes_a_label(app: Flask, count: Sample) -> None:
    secret = uuid.uuid4().hex
    for path in (f"/api/v1/orders/{uuid.UUID(secret)}", f"/{secret}", f"/api/v1/problems/{secret}", f"/?q={secret}"):
        app.test_client().get(path)
    text = app.test_client().get("/metrics").text
    assert secret not in text
    assert str(uuid.UUID(secret)) not in text


def test_a_made_up_method_makes_no_series_of_its_own(app: Flask) -> None:
    for method in ("BREW", "WHEN", "X" * 500):
        app.test_client().open("/healthz", method=method)
    methods = set(re.findall(r'method="(\w+)"', app.test_client().get("/metrics").text))
    assert methods.isdisjoint({"BREW", "WHEN", "X" * 500})


WORKER = """
import sys
from backend import create_app
from backend.config import Config

app = create_app(Config(database_url="postgresql:///none", log_level="CRITICAL"))
for _ in range(int(sys.argv[1])):
    app.test_client().get("/healthz")
sys.stdout.write(app.test_client().get("/metrics").text)
"""


def test_the_metrics_of_all_processes_are_summed(tmp_path: Path) -> None:
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, requests], env=env, stdout=subprocess.PIPE, text=True)
        for requests in ("3", "4")
    ]
    assert [worker.communicate(timeout=PATIENCE_SECONDS) and worker.returncode for worker in workers] == [0, 0]
    third = subprocess.run(
        [sys.executable, "-c", WORKER, "5"],
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    (found,) = re.findall(r'seconds_count\{method="GET",route="/healthz",status="200"\} (\S+)', third.stdout)
    assert float(found) == 12


def test_connections_are_counted_in_and_out_of_the_pool(config: Config) -> None:
    before = CONNECTIONS._value.get()
    database = Database(replace(config, pool_size=3, pool_max_overflow=0), application_url(config))
    links = [database.engine.raw_connection() for _ in range(3)]
    assert CONNECTIONS._value.get() == before + 3

    links[0].invalidate()
    links[1].close()
    links[2].close()
    assert CONNECTIONS._value.get() == before + 2

    database.engine.dispose()
    assert CONNECTIONS._value.get() == before


def test_the_memory_of_each_worker_is_told_and_of_none_that_has_gone() -> None:
    def told() -> dict[str, float]:
        (family,) = WorkersMemory(os.getpid()).collect()
        return {sample.labels["pid"]: sample.value for sample in family.samples}

    worker = subprocess.Popen(["sleep", "60"])
    try:
        assert told()[str(worker.pid)] > 0
    finally:
        worker.kill()
        worker.wait()
    assert str(worker.pid) not in told()


def test_where_the_system_does_not_tell_there_is_no_memory_and_no_error() -> None:
    (family,) = WorkersMemory(0).collect()
    assert family.samples == []
