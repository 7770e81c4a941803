"""What every answer of the URL map tells a browser: pages, API, files, problems, what the framework refuses."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from backend import create_app
from backend.config import Config
from tests.hospital import Hospital, sign_in

ID = "00000000-0000-7000-8000-000000000000"
FILES = {"static": "ward.css", "bootstrap.static": "css/bootstrap.min.css"}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SHOWING = ("/", "/sign-in", "/wards", "/account", "/nothing", "/api/v1/me", "/api/v1/docs", "/api/v1/openapi.json")


@pytest.fixture(scope="module")
def house(config: Config) -> Iterator[Flask]:
    """One application for this module."""
    made = create_app(replace(config, pool_size=4))
    yield made
    made.extensions["valmed"].engine.dispose()


def url_of(rule: Rule) -> str:
    """A path that the rule takes."""
    path = rule.rule.replace("<path:filename>", FILES.get(rule.endpoint, "nothing.css"))
    path = re.sub(r"<uuid:\w+>", ID, re.sub(r"<any\((\w+)[^)]*\):\w+>", r"\1", path))
    return re.sub(r"<[^>]*>", "nothing", path)


def ensure_guarded(answer: TestResponse, *, stored: bool = False) -> None:
    """The answer can be framed by nobody, read by no other site, taken for nothing else, and is not kept."""
    told = {name: answer.headers.get(name) for name in HEADERS}
    assert told == HEADERS, answer.request.path
    policy = answer.headers["Content-Security-Policy"]
    for directive in ("default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert directive in policy, (answer.request.path, policy)
    assert "camera=()" in answer.headers["Permissions-Policy"]
    assert (answer.headers["Cache-Control"] == "no-store") is not stored, answer.request.path
    assert not {"Access-Control-Allow-Origin", "X-Powered-By"} & set(answer.headers)
    assert "Strict-Transport-Security" not in answer.headers


def test_every_answer_of_every_path_is_guarded(house: Flask) -> None:
    client = house.test_client()
    paths = {url_of(rule): rule for rule in house.url_map.iter_rules()}
    assert len(paths) > 150
    for path, rule in paths.items():
        is_file = rule.endpoint in FILES or "docs/" in rule.rule
        answer = client.get(path)
        ensure_guarded(answer, stored=is_file and answer.status_code == 200)
        answer.close()
        ensure_guarded(client.open(path, method="PROPFIND"))


def test_what_is_refused_before_any_view_is_guarded_too(house: Flask) -> None:
    client = house.test_client()
    for answer, status in (
        (client.get("/no/such/page"), 404),
        (client.get("/api/v1/no/such/thing"), 404),
        (client.get("/static/../config.py"), 404),
        (client.post("/api/v1/tokens", data=b"x" * 2_000_000, content_type="application/json"), 413),
        (client.post("/api/v1/tokens", data=b"<a/>", content_type="application/xml"), 415),
        (client.post("/api/v1/tokens", data=b"{", content_type="application/json"), 400),
    ):
        assert answer.status_code == status
        ensure_guarded(answer)


def test_no_answer_with_data_is_kept(house: Flask, hospital: Hospital) -> None:
    nurse = sign_in(house, hospital, "nurse")
    hospital.place()
    for path in ("/me", "/patients", f"/mar?ward_id={hospital.ward_id}", "/orders", "/stock/movements"):
        answer = nurse.get(path)
        assert answer.status_code == 200
        ensure_guarded(answer)


def test_over_https_browsers_are_told_to_stay_with_it(house: Flask, config: Config) -> None:
    def told(app: Flask) -> list[Any]:
        paths = ("/sign-in", "/api/v1/me", "/nothing", "/static/ward.css")
        client, found = app.test_client(), set()
        for path in paths:
            with client.get(path, base_url="https://ward.example") as answer:
                found.add(answer.headers.get("Strict-Transport-Security"))
        return sorted(found)

    assert told(house) == ["max-age=31536000"]
    trial = create_app(replace(config, hsts_seconds=0))
    assert told(trial) == ["max-age=0"]
    trial.extensions["valmed"].engine.dispose()


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT", "PROPFIND", "GETX"])
def test_a_method_that_is_none_of_ours_reaches_nothing(house: Flask, method: str) -> None:
    client = house.test_client()
    for rule in house.url_map.iter_rules():
        answer = client.open(url_of(rule), method=method, headers={"X-Secret": "told-back"})
        assert answer.status_code in {404, 405}, (method, rule.rule)
        assert "told-back" not in answer.text


def test_no_header_changes_the_method_or_the_path(house: Flask, hospital: Hospital) -> None:
    nurse = sign_in(house, hospital, "nurse")
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        assert nurse.get("/me", headers={name: "DELETE"}).status_code == 200
    assert nurse.get("/me?_method=DELETE").status_code == 422
    for name in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix"):
        answer = nurse.get("/me", headers={name: "/api/v1/users"})
        assert answer.get_json()["id"] == str(hospital.nurse.user_id)


@pytest.mark.parametrize("name", ["Host", "X-Forwarded-Host", "Forwarded", "X-Host"])
def test_no_host_that_a_client_names_gets_into_an_answer(house: Flask, name: str) -> None:
    value = "host=evil.example" if name == "Forwarded" else "evil.example"
    client = house.test_client()
    for path in (
        "/",
        "/sign-in",
        "/wards",
        "/account",
        "/nothing",
        "/api/v1/me",
        "/api/v1/docs",
        "/api/v1/openapi.json",
    ):
        answer = client.get(path, headers={name: value})
        assert "evil.example" not in answer.text + str(answer.headers), path
