"""Every error as an RFC 9457 problem document: the only mapping from exceptions to HTTP."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException

from backend.errors import DomainError, NotAuthenticated
from backend.observability import log

CONTENT_TYPE = "application/problem+json"
TYPE_BASE = "/api/v1/problems/"
# What the framework refuses, by status: the stable code and the page of the type. Written down here and not taken from
# Python's phrases, which change between versions (413 and 422 in 3.13).
FRAMEWORK_PROBLEMS = {
    400: ("bad_request", "The body is not JSON, or the request is not HTTP as it should be."),
    404: ("not_found", "There is nothing at this path."),
    405: ("method_not_allowed", "The path does not take this method; the header Allow names those it takes."),
    413: ("content_too_large", "The body is larger than this installation takes."),
    415: ("unsupported_media_type", "Send the body as application/json."),
    500: ("internal_error", "Something went wrong on our side. Nothing is known to have changed."),
}


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


def title_of(code: str) -> str:
    """The code as a heading."""
    return code.replace("_", " ").capitalize()


def of_domain(error: DomainError) -> Response:
    """The answer to a refusal."""
    g.problem_code = error.code
    response = problem(error.status, error.code, error.title, error.detail, **error.members)
    if isinstance(error, NotAuthenticated):
        response.headers["WWW-Authenticate"] = 'Bearer realm="valmed"'
    if error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


def of_http(error: HTTPException) -> Response:
    """The answer to what the framework refuses: no such route, wrong method, too large, malformed."""
    if error.response is not None:
        return Response(error.response)  # type: ignore[arg-type]
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    g.problem_code, _ = FRAMEWORK_PROBLEMS.get(status, (f"http_{status.value}", ""))
    response = problem(status, g.problem_code, title_of(g.problem_code), error.description or status.phrase)
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    return response


def unexpected_error(_error: Exception) -> Response:
    """Answer 500 to an exception that nothing else handles; its details go to the log alone."""
    log.exception("unhandled_error")
    g.problem_code = "internal_error"
    detail = "Something went wrong on our side. Give the operator this answer's request id."
    return problem(500, g.problem_code, title_of(g.problem_code), detail)


def install(app: Flask) -> None:
    """Answers every error of `app` with a problem document."""
    app.register_error_handler(DomainError, of_domain)
    app.register_error_handler(HTTPException, of_http)
    app.register_error_handler(Exception, unexpected_error)


def meaning_of(code: str) -> tuple[int, str, str] | None:
    """Status, title and meaning of the problem type `code`: the docstring of its class. None where there is none."""
    for error in problem_types():
        if error.code == code and error.__doc__:
            return error.status, error.title, " ".join(error.__doc__.split())
    for status, (known, meaning) in FRAMEWORK_PROBLEMS.items():
        if known == code:
            return status, title_of(code), meaning
    return None


def problem_types(family: type[DomainError] = DomainError) -> Iterator[type[DomainError]]:
    """Every problem type that the domain can raise."""
    for child in family.__subclasses__():
        yield child
        yield from problem_types(child)
