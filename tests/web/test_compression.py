"""Public documents in gzip: the same bytes once unpacked, for clients that take it, and nothing that is not public."""

import gzip
from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask

from backend import create_app
from backend.config import Config
from backend.web.openapi import DIST
from tests.hospital import Hospital, sign_in
from tests.web.test_headers import url_of

PUBLIC = {
    "/api/v1/openapi.json": 0.1,
    "/api/v1/docs/swagger-ui-bundle.js": 0.35,
    "/api/v1/docs/swagger-ui.css": 0.25,
    "/static/ward.css": 0.5,
    "/bootstrap/static/css/bootstrap.min.css": 0.25,
}
RULES = {"/api/v1/openapi.json", "/api/v1/docs/<path:name>"}
FILES = {"static", "bootstrap.static"}
GZIP = {"Accept-Encoding": "gzip, deflate, br"}


@pytest.fixture(scope="module")
def house(config: Config) -> Iterator[Flask]:
    """One application for this module."""
    made = create_app(replace(config, pool_size=4))
    yield made
    made.extensions["valmed"].engine.dispose()


@pytest.mark.parametrize("path", PUBLIC)
def test_public_document_unpacks_to_the_plain_one(house: Flask, path: str) -> None:
    client = house.test_client()
    with client.get(path) as plain, client.get(path, headers=GZIP) as packed:
        assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
        assert "Content-Encoding" not in plain.headers
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.content_type == plain.content_type
        assert gzip.decompress(packed.data) == plain.data
        assert packed.content_length == len(packed.data) < PUBLIC[path] * len(plain.data)
    with client.head(path, headers=GZIP) as head:
        assert (head.content_length, head.data) == (packed.content_length, b"")


@pytest.mark.parametrize("taken", ["", "identity", "br", "gzip;q=0", "gzip;q=0, *;q=0", "nonsense;q=x"])
def test_client_that_takes_no_gzip_gets_the_plain_document(house: Flask, taken: str) -> None:
    with house.test_client().get("/api/v1/docs/swagger-ui.css", headers={"Accept-Encoding": taken}) as answer:
        assert "Content-Encoding" not in answer.headers
        assert answer.data == (DIST / "swagger-ui.css").read_bytes()


def test_what_a_browser_kept_is_good_for_as_long_as_the_file(house: Flask) -> None:
    client = house.test_client()
    for headers in (GZIP, {}):
        with client.get("/static/ward.css", headers=headers) as first:
            kept = {**headers, "If-None-Match": first.headers["ETag"]}
        assert first.headers["ETag"].startswith("W/") is bool(headers)
        with client.get("/static/ward.css", headers=kept) as again:
            assert (again.status_code, again.data) == (304, b"")


def test_part_of_a_file_is_a_part_of_the_plain_file(house: Flask) -> None:
    client, asked = house.test_client(), {**GZIP, "Range": "bytes=100-9999"}
    with client.get("/static/ward.css") as whole, client.get("/static/ward.css", headers=asked) as part:
        assert part.status_code == 206
        assert "Content-Encoding" not in part.headers
        assert part.data == whole.data[100:10_000]


def test_nothing_with_data_of_a_hospital_is_compressed(house: Flask, hospital: Hospital) -> None:
    """The length of what is compressed together with a secret tells the secret."""
    nurse, client = sign_in(house, hospital, "nurse"), house.test_client()
    for rule in house.url_map.iter_rules():
        if rule.rule in RULES or rule.endpoint in FILES:
            continue
        for headers in (GZIP, {**GZIP, "Authorization": f"Bearer {nurse.token}"}):
            answer = client.get(url_of(rule), headers=headers)
            assert "Content-Encoding" not in answer.headers, rule.rule
            assert "Accept-Encoding" not in answer.headers.get("Vary", ""), rule.rule
    hospital.place_many(5)
    board = nurse.get(f"/mar?ward_id={hospital.ward_id}", headers=GZIP)
    assert len(board.data) > 1_000
    assert "Content-Encoding" not in board.headers
