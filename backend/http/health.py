"""For the machinery around the application: is it alive, can it work, how is it doing."""

from flask import Blueprint, Response, current_app

from backend.db import Database
from backend.db.migrate import can_serve, served_revision
from backend.errors import Busy
from backend.http.metrics import exposition
from backend.http.problems import of_domain

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """The process answers; the database is not asked."""
    return Response('{"status":"ok"}', content_type="application/json")


@blueprint.get("/readyz")
def readyz() -> Response:
    """The database is within reach and stands at the migration that this code needs or a later one; else 503."""
    database: Database = current_app.extensions["valmed"]
    try:
        revision = served_revision(database)
    except Busy as error:
        return of_domain(error)
    if not can_serve(revision):
        return of_domain(Busy("The database is not migrated to the version this code needs: valmed db upgrade."))
    return Response('{"status":"ready"}', content_type="application/json")


@blueprint.get("/metrics")
def metrics() -> Response:
    """Prometheus' text format, summed over all workers of this node."""
    body, content_type = exposition()
    return Response(body, content_type=content_type)
