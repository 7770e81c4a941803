"""Clients who do not read their answer, or slowly: they hold no worker, and those who go on reading get all of it."""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from backend.config import Config
from backend.db import Database
from backend.db.provision import application_url
from backend.domain.claims.runs import write_events
from backend.web.openapi import DIST
from tests.domain.claims import filing
from tests.hospital import Hospital, open_hospital, sign_in
from tests.hostile.conftest import SECONDS
from tests.hostile.reading import ask, body_of, is_cut_off, quickly, read_steadily
from tests.hostile.talking import Server, request, status_of

READERS = 40
AT_ONCE = 1.0  # seconds: a worker that waited for one reader would take SECONDS, and for several the more
BUNDLE = "swagger-ui-bundle.js"


@pytest.fixture(scope="module")
def large(config: Config, server: Server) -> Iterator[dict[str, bytes]]:
    """Requests with large answers: public documents, and those of a hospital with much on its board and much drift."""
    database = Database(replace(config, pool_size=2), application_url(config))
    hospital = open_hospital(database)
    hospital.place_many(200, dose_text="x" * 200)
    run_id = filing.run(hospital)
    events = [filing.an_event(cpt_group=f"Group {number} {'x' * 50}") for number in range(1_500)]
    at = {"organization_id": hospital.organization_id, "run_id": run_id}
    hospital.run(lambda session: write_events(session, events=events, **at))
    token = sign_in(None, hospital, "pharmacist").token
    requests = {
        "openapi": request(target="/api/v1/openapi.json"),
        "file": request(target=f"/api/v1/docs/{BUNDLE}"),
        "board": request(target=f"/api/v1/mar?ward_id={hospital.ward_id}", token=token),
        "csv": request(target=f"/api/v1/drift/runs/{run_id}/events.csv", token=token),
    }
    for said in requests.values():
        answer, _ = quickly(server, said)
        assert status_of(answer) == 200
        assert len(answer) > 100_000
    yield requests
    database.engine.dispose()


def drops(server: Server) -> list[dict[str, Any]]:
    """The log lines of readers who were dropped."""
    lines = [line for line in server.log.read_text().splitlines() if '"reader_dropped"' in line]
    return [json.loads(line) for line in lines]


def counted(server: Server) -> int:
    """How many slow readers the metrics of all workers count."""
    answer, _ = quickly(server, request(target="/metrics"))
    found = re.search(rb'valmed_readers_dropped_total\{reason="slow"\} ([0-9.]+)', answer)
    assert found is not None
    return int(float(found[1]))


def test_readers_who_stop_hold_nobody_and_are_cut_off(server: Server, large: dict[str, bytes]) -> None:
    before, counted_before = len(drops(server)), counted(server)
    with ExitStack() as stack, ThreadPoolExecutor(READERS) as pool:
        connections = [ask(server, stack, said) for said in large.values() for _ in range(READERS // len(large))]
        assert [connection.recv(1) for connection in connections] == [b"H"] * READERS  # each has been answered
        ends = [pool.submit(is_cut_off, connection, 5 * SECONDS) for connection in connections]
        while not all(end.done() for end in ends):
            answer, seconds = quickly(server, request(target="/healthz"))
            assert status_of(answer) == 200
            assert seconds < AT_ONCE
        assert all(end.result() for end in ends)
    lines = drops(server)[before:]
    assert {line["reason"] for line in lines} == {"slow"}
    assert len(lines) == READERS == counted(server) - counted_before


def test_line_of_a_dropped_reader_names_its_request(server: Server, ours: Hospital, large: dict[str, bytes]) -> None:
    """And not the request that the worker answered last."""
    said = large["board"].replace(b"\r\n", b"\r\nX-Request-ID: not-read\r\n", 1)
    others = request("GET", "/api/v1/me", "X-Request-ID: another", token=sign_in(None, ours, "admin").token)
    with ExitStack() as stack:
        ask(server, stack, said)
        ends = time.monotonic() + 2 * SECONDS
        while time.monotonic() < ends:
            assert status_of(quickly(server, others)[0]) == 200
    (line,) = (line for line in drops(server) if line["request_id"] == "not-read")
    assert line["organization_id"] != str(ours.organization_id)
    assert {"user_id", "bytes_left", "seconds"} <= set(line)


def test_steady_readers_get_every_byte_beside_those_who_stop(server: Server, large: dict[str, bytes]) -> None:
    expected = {name: body_of(quickly(server, said)[0]) for name, said in large.items()}
    assert expected["file"] == (DIST / BUNDLE).read_bytes()
    names = [*large] * 5
    with ExitStack() as stack, ThreadPoolExecutor(len(names)) as pool:
        for said in [*large.values()] * 5:
            ask(server, stack, said)
        connections = [ask(server, stack, large[name]) for name in names]
        paces = [len(expected[name]) / (2.5 * SECONDS) for name in names]
        began = time.monotonic()
        answers = [*pool.map(read_steadily, connections, paces)]
        assert time.monotonic() - began > 2 * SECONDS
    assert [body_of(answer) for answer in answers] == [expected[name] for name in names]


def test_readers_of_a_byte_a_second_are_cut_off(server: Server, large: dict[str, bytes]) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(10) as pool:
        connections = [ask(server, stack, large["file"]) for _ in range(10)]
        assert all(pool.map(lambda connection: is_cut_off(connection, 5 * SECONDS), connections))
