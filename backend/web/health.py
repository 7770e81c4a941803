"""For the machinery around the application: is it alive, can it work, how is it doing."""

from typing import Any

import orjson
from flask import Blueprint, Response, current_app

from backend.db import Database
from backend.db.migrate import can_serve, served_revision
from backend.errors import Busy
from backend.web.metrics import exposition
from backend.web.problems import of_domain

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """The process answers; the database is not asked."""
    return Response('{"status":"ok"}', content_type="application/json")


@blueprint.get("/readyz")
def readyz() -> Response:
    """Answer whether the database is within reach and stands at the migration that this code needs or a later one.

    Else 503. A node whose clock is off by more than a second says so and is ready all the same: it decides nothing by
    its own clock.
    """
    database: Database = current_app.extensions["valmed"]
    try:
        revision = served_revision(database)
        database.now()
    except Busy as error:
        return of_domain(error)
    if not can_serve(revision):
        return of_domain(Busy("The database is not migrated to the version this code needs: valmed db upgrade."))
    ready: dict[str, Any] = {"status": "ready"}
    if database.clock.is_off:
        ready["warning"] = "The clock of this node is off. It decides nothing, but the times of the logs are wrong."
        ready["clock_offset_seconds"] = round(database.clock.offset_seconds, 3)
    return Response(orjson.dumps(ready), content_type="application/json")


@blueprint.get("/metrics")
def metrics() -> Response:
    """Prometheus' text format, summed over all workers of this node."""
    body, content_type = exposition()
    return Response(body, content_type=content_type)
