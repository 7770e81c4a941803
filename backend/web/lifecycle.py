"""Around every request: its id, its log line, its place in the metrics, its security headers, a length of its body."""

import io
import re
import time

from flask import Flask, Response, current_app, g, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import BadRequest

from backend.db import new_id
from backend.observability import REQUESTS, bind_contextvars, clear_contextvars, log

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
# Of every answer that does not say something else: no browser shows it as a page, stores it, or tells where it was.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",  # pages over HTTPS are asked from where a form came
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def _begin() -> None:
    """Name the request: for answers and log as the caller does, for the audit trail by an id that no caller chooses.

    The caller's stands before it there, with a slash between them, which no caller's id has.
    """
    given, own = request.headers.get("X-Request-ID", ""), str(new_id())
    is_named = _REQUEST_ID.fullmatch(given) is not None
    g.request_id = given if is_named else own
    g.audit_request_id = f"{given}/{own}" if is_named else own
    g.started = time.perf_counter()
    clear_contextvars()
    bind_contextvars(request_id=g.request_id, audit_request_id=g.audit_request_id)


def _measure() -> None:
    """Gives a body in chunks the length that it turns out to have, so that every limit is its limit too.

    Werkzeug alone would cut it off at the limit and call the rest of it read. Raises BadRequest.
    """
    environ = request.environ
    if "HTTP_TRANSFER_ENCODING" not in environ:
        return
    most = max(current_app.config["MAX_CONTENT_LENGTH"], current_app.config["CLAIMS_BYTES_MAX"])
    try:
        body = environ["wsgi.input"].read(most + 1)
    except (ParseException, OSError):
        raise BadRequest("The chunks of the body are not as HTTP has them.") from None
    environ.update({"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))})
    del environ["HTTP_TRANSFER_ENCODING"]


def _end(response: Response) -> Response:
    seconds = time.perf_counter() - g.started
    route = request.url_rule.rule if request.url_rule is not None else "none"
    response.headers["X-Request-ID"] = g.request_id
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers["Strict-Transport-Security"] = f"max-age={current_app.config['HSTS_SECONDS']}"
    method = request.method if request.method in _METHODS else "other"  # a label is not the caller's to choose
    REQUESTS.labels(method, route, response.status_code).observe(seconds)
    if request.path not in _QUIET:
        log.info(
            "request",
            method=method,
            route=route,
            status=response.status_code,
            milliseconds=round(seconds * 1000, 2),
            **({"code": g.problem_code} if "problem_code" in g else {}),
        )
    return response


def install(app: Flask) -> None:
    """Adds the hooks to `app`."""
    app.before_request(_begin)
    app.before_request(_measure)
    app.after_request(_end)
