"""The OpenAPI 3.1 document, made from the same Operations that answer, and its pages.

The documentation page is Swagger UI served from the installed package: no asset comes from another host.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import flask_swagger_ui
import orjson
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint, Response, send_from_directory
from marshmallow import INCLUDE, Schema, fields, validate

from backend.actor import STAFF, SecondFactorRequired
from backend.config import VERSION
from backend.db.idempotency import IdempotencyKeyReused
from backend.db.paging import LIMIT_DEFAULT, LIMIT_MAX
from backend.errors import Busy, DomainError, Forbidden, NotAuthenticated, NotFound, ValidationFailed
from backend.web.compression import compressed
from backend.web.endpoint import JSON, Operation, Resource
from backend.web.fields import Choice, Several
from backend.web.problems import CONTENT_TYPE, TYPE_BASE, meaning_of
from backend.web.tables import CSV, ROWS_MAX

DIST = Path(flask_swagger_ui.__file__).parent / "dist"
DOCS_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
AS_CSV = f"With `Accept: text/csv`: the same rows, at most {ROWS_MAX:,} where no `limit` asks for fewer."
_END = r"\Z"
INIT = """window.onload = () => {
  window.ui = SwaggerUIBundle({url: "/api/v1/openapi.json", dom_id: "#swagger-ui", deepLinking: true,
    presets: [SwaggerUIBundle.presets.apis], validatorUrl: null});
};
"""
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>ValMed API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/api/v1/docs/swagger-ui.css"></head>
<body><main id="swagger-ui"></main><script src="/api/v1/docs/swagger-ui-bundle.js"></script>
<script src="/api/v1/docs/init.js"></script></body></html>
"""


class ProblemOut(Schema):
    """An RFC 9457 problem document; each `code` adds its own members."""

    class Meta:
        """marshmallow's options."""

        unknown = INCLUDE

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    code = fields.String(required=True)
    instance = fields.String(required=True)


def document(resources: Iterable[Resource]) -> dict[str, Any]:
    """The OpenAPI document of `resources`."""
    plugin = MarshmallowPlugin()
    spec = APISpec(
        title="ValMed",
        version=VERSION,
        openapi_version="3.1.0",
        info={"description": "Medication ordering for hospitals. Stock and orders always agree."},
        servers=[{"url": "/api/v1"}],
        plugins=[plugin],
    )
    for tell in (_choice, _described, _once, _pattern):
        plugin.converter.add_attribute_function(tell)  # type: ignore[union-attr]
    spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
    spec.components.schema("Problem", schema=ProblemOut)
    for resource in resources:
        for operation in resource.operations:
            path = re.sub(r"<uuid:(\w+)>", r"{\1}", operation.path)
            spec.path(path=path, operations={operation.method.lower(): _operation(resource, operation)})
    whole: dict[str, Any] = spec.to_dict()
    for name, schema in whole["components"]["schemas"].items():
        if name.endswith("Out"):  # an answer has every field that it promises, null where there is nothing to say
            schema["required"] = sorted(schema["properties"])
    return whole


def _choice(_converter: Any, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
    if not isinstance(field, Choice):
        return {}
    values = [member.value for member in field.enum]
    return {"enum": [*values, None], "type": ["string", "null"]} if field.allow_none else {"enum": values}


def _described(_converter: Any, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
    """What the field's own class says of its values."""
    return getattr(field, "described", {})


def _once(_converter: Any, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
    return {"uniqueItems": True} if isinstance(field, Several) and field.once else {}


def _pattern(_converter: Any, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
    r"""The pattern as JSON Schema means it: searched for, not matched from the start, and without Python's \Z."""
    for check in field.validators:
        if isinstance(check, validate.Email):
            return {"format": "email"}
        if isinstance(check, validate.Regexp):
            return {"pattern": f"^(?:{str(check.regex.pattern).removesuffix(_END)})$"}
    return {}


def _operation(resource: Resource, operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": f"{resource.name}_{operation.route.__name__}",
        "tags": [resource.name],
        "summary": operation.summary,
        "description": operation.description + _roles(operation),
        "parameters": _parameters(operation),
        "responses": _responses(operation),
    }
    if operation.identify is None:
        described["security"] = [{"token": []}]
    if operation.body is not None:
        required = operation.media != JSON or any(promised.required for promised in operation.body.fields.values())
        described["requestBody"] = {"required": required, "content": {operation.media: _body(operation)}}
    return described


def _body(operation: Operation) -> dict[str, Any]:
    return {"schema": operation.body if operation.media == JSON else {"type": "string"}}


def _roles(operation: Operation) -> str:
    roles = "" if operation.roles == STAFF else f"\n\nRoles: {', '.join(sorted(operation.roles))}."
    return f"{roles} The sign-in must have had a second factor." if operation.second_factor else roles


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"in": "path", "name": name, "required": True, "schema": {"type": "string", "format": "uuid"}}
        for name in re.findall(r"<uuid:(\w+)>", operation.path)
    ]
    if operation.query is not None:
        parameters.append({"in": "query", "schema": operation.query})
    if operation.writes and operation.keyed:
        schema = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[\\x21-\\x7e]+$"}
        note = "Makes the request safe to repeat: same key and body, same answer, one change."
        parameters.append({"in": "header", "name": "Idempotency-Key", "schema": schema, "description": note})
    return parameters


def _responses(operation: Operation) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "Done."}
    if operation.produces != JSON:
        answer["content"] = {operation.produces: {"schema": {"type": "string"}}}
    elif operation.answer is not None:
        answer["content"] = {JSON: {"schema": _page(operation) if operation.page else operation.answer}}
    if operation.is_list:
        answer["content"][CSV] = {"schema": {"type": "string", "description": AS_CSV}}
    responses = {str(operation.status): answer}
    raised: dict[int, list[type[DomainError]]] = {}
    common: list[type[DomainError]] = [ValidationFailed, NotAuthenticated, Forbidden, Busy]
    if operation.writes and operation.keyed:
        common.append(IdempotencyKeyReused)
    if operation.second_factor:
        common.append(SecondFactorRequired)
    for error in (*common, *operation.raises):
        raised.setdefault(error.status, [])
        if error not in raised[error.status]:
            raised[error.status].append(error)
    for status, errors in sorted(raised.items()):
        responses[str(status)] = _refusal(", ".join(sorted({error.code for error in errors})))
    responses["400"] = _refusal("bad_request: the body is not JSON")
    responses["413"] = _refusal("content_too_large")
    responses["415"] = _refusal("unsupported_media_type")
    for code, response in responses.items():
        response["headers"] = _headers(code, operation)
    return responses


def _headers(status: str, operation: Operation) -> dict[str, Any]:
    """What an answer says beside its body."""
    headers = {"X-Request-ID": _header("^[A-Za-z0-9._:-]{1,64}$", "The caller's, else one of ours.")}
    if status == "401":
        headers["WWW-Authenticate"] = _header("^Bearer .*$", "")
    if status in {"429", "503"}:
        headers["Retry-After"] = _header("^[0-9]+$", "Seconds.")
    if status == str(operation.status) and operation.writes and operation.keyed:
        headers["Idempotent-Replayed"] = {
            **_header("^true$", "The stored answer of the same request."),
            "required": False,
        }
    if status == str(operation.status) and operation.is_list:
        headers["Link"] = {**_header("^<.*$", "Of CSV that goes on: where, with rel=next."), "required": False}
    return headers


def _header(pattern: str, description: str) -> dict[str, Any]:
    return {"required": True, "schema": {"type": "string", "pattern": pattern}, "description": description}


def _refusal(description: str) -> dict[str, Any]:
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": description, "content": content}


def _page(operation: Operation) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["items", "next_cursor"],
        "description": f"A page of at most `limit` rows (default {LIMIT_DEFAULT}, at most {LIMIT_MAX}).",
        "properties": {
            "items": {"type": "array", "items": operation.answer},
            "next_cursor": {"type": ["string", "null"]},
        },
    }


def install(blueprint: Blueprint, resources: Iterable[Resource]) -> None:
    """Serves the document, its browsable page and a page for every problem type on `blueprint`."""

    @cache
    def rendered() -> bytes:
        return orjson.dumps(document(resources), option=orjson.OPT_INDENT_2)

    def openapi_json() -> Response:
        return Response(rendered(), content_type=JSON)

    def docs() -> Response:
        response = Response(PAGE, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = DOCS_CSP
        return response

    def docs_asset(name: str) -> Response:
        if name == "init.js":
            return Response(INIT, content_type="text/javascript; charset=utf-8")
        return send_from_directory(DIST, name, max_age=86_400)

    blueprint.add_url_rule("/openapi.json", view_func=compressed(openapi_json))
    blueprint.add_url_rule("/docs", view_func=docs, strict_slashes=False)
    blueprint.add_url_rule("/docs/<path:name>", view_func=compressed(docs_asset))
    blueprint.add_url_rule("/problems/<code>", view_func=problem_page)


def problem_page(code: str) -> Response:
    """What a problem type means. Raises NotFound."""
    found = meaning_of(code)
    if found is None:
        raise NotFound("There is no such problem type.")
    status, title, meaning = found
    page = {"type": TYPE_BASE + code, "title": title, "status": status, "description": meaning}
    return Response(orjson.dumps(page), content_type=JSON)
