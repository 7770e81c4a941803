"""Around every request: its id, its log line, its place in the metrics, its security headers."""

import re
import time

from flask import Flask, Response, g, request

from backend.db import new_id
from backend.observability import REQUESTS, bind_contextvars, clear_contextvars, log

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else str(new_id())
    g.started = time.perf_counter()
    clear_contextvars()
    bind_contextvars(request_id=g.request_id)


def _end(response: Response) -> Response:
    seconds = time.perf_counter() - g.started
    route = request.url_rule.rule if request.url_rule is not None else "none"
    response.headers["X-Request-ID"] = g.request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
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
    app.after_request(_end)
