"""The OpenAPI document, its pages and the pages of the problem types: complete, valid, and true of real answers."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from backend import create_app
from backend.actor import Role
from backend.api import RESOURCES
from backend.config import Config
from backend.errors import DomainError
from backend.web import openapi
from backend.web.endpoint import JSON
from backend.web.problems import FRAMEWORK_PROBLEMS, problem_types
from tests.api.custody_requests import an_alert
from tests.api.valid_requests import OPERATIONS, VALID, WITH_KEY, Ask, least, login_for, send
from tests.db.every_table import furnish
from tests.hospital import Client, Hospital, open_hospital, sign_in

META = {"/api/v1/openapi.json", "/api/v1/docs", "/api/v1/docs/<path:name>", "/api/v1/problems/<code>"}
DOCUMENT = openapi.document(RESOURCES)


@pytest.fixture
def document(app: Flask) -> dict[str, Any]:
    """The document as a client gets it."""
    response = app.test_client().get("/api/v1/openapi.json")
    assert (response.status_code, response.content_type) == (200, "application/json")
    served: dict[str, Any] = response.get_json()
    return served


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every operation of the document, by method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def in_document(name: str) -> str:
    """The operation's name as the document writes it."""
    return re.sub(r"<uuid:(\w+)>", r"{\1}", name)


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_pattern_is_anchored_and_of_the_regular_expressions_that_browsers_know(document: dict[str, Any]) -> None:
    patterns = set(re.findall(r'"pattern": "([^"]*)"', json.dumps(document)))
    assert len(patterns) >= 4
    assert all(pattern.startswith("^") and pattern.endswith("$") for pattern in patterns)
    assert not any(alien in pattern for pattern in patterns for alien in ("\\Z", "\\A", "(?P", "(?i"))


def test_the_document_and_the_routes_are_the_same(app: Flask, document: dict[str, Any]) -> None:
    routes = {
        f"{method} {rule.rule.removeprefix('/api/v1')}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/v1") and rule.rule not in META
    }
    assert {in_document(route) for route in routes} == set(operations(document))
    assert routes == set(OPERATIONS)


def test_every_operation_says_what_it_does_and_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    described = operations(document)
    assert all(operation["summary"] and operation["description"] for operation in described.values())
    assert len({operation["operationId"] for operation in described.values()}) == len(described)


def test_only_signing_in_needs_no_token(document: dict[str, Any]) -> None:
    described = operations(document)
    assert [name for name, operation in described.items() if not operation.get("security")] == ["POST /tokens"]
    assert document["components"]["securitySchemes"]["token"] == {"type": "http", "scheme": "bearer"}


def test_every_keyed_write_and_no_other_takes_an_idempotency_key(document: dict[str, Any]) -> None:
    keyed = {
        name
        for name, operation in operations(document).items()
        if any(parameter["name"] == "Idempotency-Key" for parameter in operation["parameters"])
    }
    assert keyed == {in_document(name) for name in WITH_KEY}


def test_every_refusal_is_a_problem_document(document: dict[str, Any]) -> None:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for name, operation in operations(document).items():
        responses = operation["responses"]
        assert {"401", "403", "422", "503"} <= set(responses), name
        assert all(answer["content"] == problem for status, answer in responses.items() if status >= "400"), name
        assert str(OPERATIONS[re.sub(r"\{(\w+)\}", r"<uuid:\1>", name)].status) in responses


def test_every_id_in_a_path_can_be_unknown(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        if "{" in name:
            assert "404" in operation["responses"], name


# Real answers


def schema_of(content: dict[str, Any]) -> Draft202012Validator:
    """A validator of an answer's schema; references go into the document."""
    whole = {**content["schema"], "components": DOCUMENT["components"]}
    return Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)


@pytest.fixture(scope="module")
def served(config: Config) -> Iterator[Flask]:
    """One application for the tests below."""
    made = create_app(replace(config, pool_size=2))
    yield made
    made.extensions["valmed"].engine.dispose()


@pytest.fixture(scope="module")
def populated(served: Flask) -> Hospital:
    """A hospital with something in every list."""
    hospital = furnish(open_hospital(served.extensions["valmed"]))
    for login in ("witness", "spare"):
        hospital.add_staff(login, Role.NURSE, (hospital.ward_id,))
    an_alert(hospital)
    return hospital


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_the_answer_is_what_the_document_promises(served: Flask, populated: Hospital, name: str) -> None:
    """Its schema, which allows no other field, and every field of it."""
    client, ask = sign_in(served, populated, login_for(name)), VALID[name](populated)
    if OPERATIONS[name].page:
        ask = least(name, populated)
    response = send(client, name, ask)
    promised = operations(DOCUMENT)[in_document(name)]["responses"][str(response.status_code)]
    if response.status_code == 204:
        assert "content" not in promised
        return
    answer = response.get_json() if OPERATIONS[name].produces == JSON else response.text
    schema_of(promised["content"][response.mimetype]).validate(answer)
    if "items" in answer:
        assert answer["items"], "an empty list would prove nothing"


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_the_valid_request_is_what_the_document_asks_for(populated: Hospital, name: str) -> None:
    described, ask = operations(DOCUMENT)[in_document(name)], VALID[name](populated)
    if ask.data is not None:
        assert set(described["requestBody"]["content"]) == {"text/csv"}
        return
    if ask.body is None:
        assert "requestBody" not in described
        return
    validator = schema_of(described["requestBody"]["content"]["application/json"])
    validator.validate(ask.body)
    assert not validator.is_valid({**ask.body, "unknown": 1})
    assert not validator.is_valid([])


def test_a_problem_is_what_the_document_promises(app: Flask, hospital: Hospital) -> None:
    nurse = sign_in(app, hospital, "nurse")
    name = "POST /orders/<uuid:order_id>/fulfill"
    responses = operations(DOCUMENT)[in_document(name)]["responses"]
    for client, order_id, body in (
        (nurse, hospital.place(), {}),
        (nurse, hospital.place(), {"dose": 0}),
        (nurse, hospital.patient_id, {}),
        (sign_in(app, hospital, "doctor"), hospital.place(), {}),
        (Client(app, hospital.nurse, "garbage"), hospital.place(), {}),
    ):
        response = send(client, name, Ask({"order_id": order_id}, body))
        promised = responses[str(response.status_code)]
        schema_of(promised["content"][response.mimetype]).validate(response.get_json())
        assert response.get_json()["code"] in re.findall(r"\w+", promised["description"])


# Pages


def test_every_problem_type_has_a_page_made_of_its_docstring(app: Flask) -> None:
    types = [error for error in problem_types() if error.__module__.startswith("backend.")]
    assert len(types) > 20
    for error in types:
        assert error.__doc__, f"{error.__name__} has no docstring"
        page = app.test_client().get(f"/api/v1/problems/{error.code}")
        assert page.status_code == 200, error.code
        assert set(page.get_json()) == {"type", "title", "status", "description"}
        assert page.get_json()["type"] == f"/api/v1/problems/{error.code}"
        assert (page.get_json()["status"], bool(page.get_json()["description"])) == (error.status, True)
    codes = [error.code for error in types if error.code not in {"forbidden", "busy", "not_found"}]
    assert len(set(codes)) == len(codes), "two problem types share a code"
    assert issubclass(types[0], DomainError)


@pytest.mark.parametrize("code", sorted(code for code, _ in FRAMEWORK_PROBLEMS.values()))
def test_what_the_framework_refuses_has_a_page_too(app: Flask, code: str) -> None:
    page = app.test_client().get(f"/api/v1/problems/{code}").get_json()
    assert page["type"] == f"/api/v1/problems/{code}"


def test_the_type_of_every_refusal_leads_to_its_page(app: Flask) -> None:
    client = app.test_client()
    for method, path in (("GET", "/api/v1/me"), ("GET", "/nothing"), ("PUT", "/api/v1/me"), ("POST", "/api/v1/tokens")):
        problem = client.open(path, method=method).get_json()
        page = client.get(problem["type"])
        assert (page.status_code, page.get_json()["title"]) == (200, problem["title"])


def test_the_documentation_loads_nothing_from_another_host(app: Flask) -> None:
    client = app.test_client()
    page = client.get("/api/v1/docs")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    loaded = re.findall(r"""(?:src|href|action|content)\s*=\s*["']([^"']+)["']""", page.text)
    assets = [url for url in loaded if url.startswith("/")]
    assert len(assets) == 3
    assert "//" not in page.text
    for url in assets:
        asset = client.get(url)
        assert asset.status_code == 200, url
        assert len(asset.data) > 100
        asset.close()
    script = client.get("/api/v1/docs/init.js").text
    assert "//" not in script
    assert '"/api/v1/openapi.json"' in script
    style = client.get("/api/v1/docs/swagger-ui.css")
    assert not re.search(r"url\(\s*(?![\"']?data:)|@import", style.text)
    style.close()


def test_the_browser_is_told_to_load_nothing_from_another_host(app: Flask) -> None:
    policy = app.test_client().get("/api/v1/docs").headers["Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    allowed = {word for sources in directives.values() for word in sources.split()}
    assert allowed <= {"'none'", "'self'", "'unsafe-inline'", "data:"}
    assert "'unsafe-inline'" not in directives["script-src"]


def test_the_documentation_needs_no_token_and_shows_no_data(app: Flask, hospital: Hospital) -> None:
    for path in ("/api/v1/docs", "/api/v1/openapi.json", "/api/v1/problems/busy"):
        response = app.test_client().get(path)
        assert response.status_code == 200
        assert hospital.slug not in response.text
