"""Structured logs and metrics: what every layer above may write to.

Log lines are JSON on standard output and carry the request's id, organization and user. They never carry a patient's
name, a token, a password or a driver's message. Metrics are Prometheus', summed over all workers when
PROMETHEUS_MULTIPROC_DIR is set (web/metrics.py).
"""

import logging
import sys
import traceback
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import structlog
from prometheus_client import Counter, Gauge, Histogram
from structlog.contextvars import bind_contextvars, clear_contextvars

__all__ = ["bind_contextvars", "clear_contextvars", "configure_logging", "log"]

REQUESTS = Histogram(
    "valmed_http_request_seconds",
    "Time to answer, by route template.",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
FULFILMENTS = Counter(
    "valmed_fulfilments_total", "Fulfilments by outcome: done, replayed or a problem code.", ["outcome"]
)
RETRIES = Counter("valmed_transaction_retries_total", "Transactions run again, by reason.", ["reason"])
BUSY = Counter("valmed_busy_total", "Requests answered 503 by the database module, by reason.", ["reason"])
VIOLATIONS = Counter("valmed_constraint_violations_total", "Constraints that stopped a write.", ["constraint"])
CARE_TEAM_VIOLATIONS = Counter(
    "valmed_care_team_violations_total", "Changes of care teams refused because of its rules, by log event.", ["event"]
)
CONNECTIONS = Gauge("valmed_database_connections", "Connections that the pools hold open.", multiprocess_mode="livesum")
CONNECTIONS_MAX = Gauge(
    "valmed_database_connections_max", "Connections that the pools of this node may open.", multiprocess_mode="max"
)
SIGN_IN_FAILURES = Counter(
    "valmed_sign_in_failures_total", "Failed sign-ins: a wrong secret was failed, another try was locked.", ["outcome"]
)
DRIFT_RUNS = Counter("valmed_drift_runs_total", "Runs of payer drift by outcome: finished or failed.", ["outcome"])
READERS_DROPPED = Counter(
    "valmed_readers_dropped_total",
    "Answers cut off: their client read too slowly, too many clients waited, or too much waited for one.",
    ["reason"],
)
for _reason in ("slow", "too_many", "answer_too_large"):
    READERS_DROPPED.labels(_reason)
for _outcome in ("failed", "locked"):  # there from the start: what appears with 1 has not increased, to Prometheus
    SIGN_IN_FAILURES.labels(_outcome)
for _outcome in ("finished", "failed"):
    DRIFT_RUNS.labels(_outcome)
CLOCK_OFFSET = Gauge(
    "valmed_clock_offset_seconds",
    "How far the clock of this node is ahead of the database's; negative where it is behind.",
    multiprocess_mode="mostrecent",
)
BUILD = Gauge("valmed_build_info", "The running release; its value is 1.", ["version"], multiprocess_mode="max")
BOARD_CACHE = Counter("valmed_board_cache_total", "MAR boards read, by whether the cache held them.", ["result"])

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


def _to_json(event: dict[str, Any], **_: Any) -> bytes:
    return orjson.dumps(event, default=str)


def _frames_only(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Where an exception came from, without its message and its locals: either may hold a patient's data."""
    if given := event.pop("exc_info", None):
        kind, _error, trace = given if isinstance(given, tuple) else sys.exc_info()
        event["exception"] = kind.__name__ if kind else None
        event["frames"] = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(trace)]
    return event


def _stream(file: str) -> BinaryIO:
    """Unbuffered, so that several workers can append whole lines to one file."""
    return Path(file).open("ab", buffering=0) if file else sys.stdout.buffer


def configure_logging(level: str, file: str = "") -> None:
    """Sends log lines as JSON from `level` (a name) upwards to standard output, or appends them to `file`."""
    threshold = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _frames_only,
            structlog.processors.JSONRenderer(serializer=_to_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.BytesLoggerFactory(_stream(file)),
        cache_logger_on_first_use=True,
    )
