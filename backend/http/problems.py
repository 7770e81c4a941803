"""Every error as an RFC 9457 problem document: the only mapping from exceptions to HTTP."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException

from backend.errors import Busy, DomainError, NotAuthenticated
from backend.observability import log

CONTENT_TYPE = "application/problem+json"
TYPE_BASE = "/api/v1/problems/"


def problem(status: int, code: str, title: str, detail: str, **members: Any) -> Response:
    """A problem document; `members` are the typed extra members of its type."""
    body = {
        **members,
        "type": TYPE_BASE + code,
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "instance": f"urn:valmed:request:{g.get('request_id', '')}",
    }
    document = orjson.dumps(body, option=orjson.OPT_UTC_Z)
    return Response(document, status=status, content_type=CONTENT_TYPE)


def of_domain(error: DomainError) -> Response:
    """The answer to a refusal."""
    g.problem_code = error.code
    response = problem(error.status, error.code, error.title, error.detail, **error.members)
    if isinstance(error, NotAuthenticated):
        response.headers["WWW-Authenticate"] = 'Bearer realm="valmed"'
    if isinstance(error, Busy):
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


def of_http(error: HTTPException) -> Response:
    """The answer to what the framework refuses: no such route, wrong method, too large, malformed."""
    if error.response is not None:
        return Response(error.response)  # type: ignore[arg-type]
    status = HTTPStatus(error.code or 500)
    g.problem_code = status.phrase.lower().replace(" ", "_").replace("-", "_")
    response = problem(status, g.problem_code, status.phrase, error.description or status.phrase)
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    return response


def of_bug(_error: Exception) -> Response:
    """The answer to what nobody foresaw: nothing of the error leaves the log."""
    log.exception("unhandled_error")
    g.problem_code = "internal_error"
    detail = "Something went wrong on our side. Give the operator this answer's request id."
    return problem(500, "internal_error", "Internal error", detail)


def install(app: Flask) -> None:
    """Answers every error of `app` with a problem document."""
    app.register_error_handler(DomainError, of_domain)
    app.register_error_handler(HTTPException, of_http)
    app.register_error_handler(Exception, of_bug)


def problem_types(family: type[DomainError] = DomainError) -> Iterator[type[DomainError]]:
    """Every problem type that the domain can raise."""
    for child in family.__subclasses__():
        yield child
        yield from problem_types(child)
