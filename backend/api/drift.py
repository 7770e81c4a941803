"""Payer drift: runs and the events that they found."""

import csv
import io
from typing import Any
from uuid import UUID

from marshmallow import fields

from backend.actor import Role
from backend.db import Database, Session
from backend.db.idempotency import find_answer
from backend.domain.claims import queries
from backend.domain.claims.drift import BASELINE_DAYS, CURRENT_DAYS, MIN_VOLUME, Parameters
from backend.domain.claims.models import DriftType, RunStatus
from backend.domain.claims.queries import RunNotFound
from backend.domain.claims.runs import run_drift
from backend.domain.organizations.calendar import today_of
from backend.web import cursors
from backend.web.endpoint import Call, Resource, read
from backend.web.fields import Body, Count, Day, Flag, PageQuery
from backend.web.tables import CSV, defused

resource = Resource("drift")
READERS = frozenset({Role.ADMIN, Role.PHARMACIST})
DAYS_MAX, VOLUME_MAX = 3_650, 1_000_000


class RunIn(Body):
    """What to compare; `as_of` is today where it is absent, in the hospital's time zone."""

    as_of = Day()
    baseline_days = Count(load_default=BASELINE_DAYS, high=DAYS_MAX)
    current_days = Count(load_default=CURRENT_DAYS, high=DAYS_MAX)
    min_volume = Count(load_default=MIN_VOLUME, high=VOLUME_MAX)
    adjust = Flag(load_default=False)


class RunOut(Body):
    """A run, its parameters and how it ended."""

    id = fields.UUID()
    as_of = fields.Date()
    baseline_days = fields.Integer()
    current_days = fields.Integer()
    min_volume = fields.Integer()
    adjust = fields.Boolean()
    status = fields.Enum(RunStatus, by_value=True)
    groups_considered = fields.Integer(allow_none=True)
    events_created = fields.Integer(allow_none=True)
    failure = fields.String(allow_none=True)
    started_by = fields.String(allow_none=True)
    started_at = fields.AwareDateTime()
    finished_at = fields.AwareDateTime(allow_none=True)


class EventOut(Body):
    """A group that drifted. Rates are from 0 to 1, times in days; `low` and `high` are 95 % intervals; windows begin
    with `start` and end before `end`; `survives` says whether it stands among so many comparisons, if the run asked."""

    id = fields.UUID()
    payer = fields.String()
    cpt_group = fields.String()
    drift_type = fields.Enum(DriftType, by_value=True)
    direction = fields.String()
    baseline_value = fields.Float()
    current_value = fields.Float()
    delta_value = fields.Float()
    severity = fields.Float()
    confidence = fields.Float()
    baseline_low = fields.Float()
    baseline_high = fields.Float()
    current_low = fields.Float()
    current_high = fields.Float()
    p_value = fields.Float()
    survives = fields.Boolean(allow_none=True)
    baseline_start = fields.Date()
    baseline_end = fields.Date()
    current_start = fields.Date()
    current_end = fields.Date()
    baseline_volume = fields.Integer()
    current_volume = fields.Integer()
    current_undecided = fields.Integer()
    current_undecided_share = fields.Float()


def _run(database: Database, call: Call) -> UUID | None:
    """The id of the request's run, computed before the transaction that answers; None where it was answered before."""
    organization_id = call.organization_id
    if read(database, call, lambda session: find_answer(session, organization_id=organization_id, key=call.key)):
        return None
    asked = dict(call.body)
    if "as_of" not in asked:
        asked["as_of"] = read(
            database, call, lambda session: today_of(session, organization_id=organization_id, now=session.now)
        )
    parameters = Parameters(**asked)
    return run_drift(database, actor=call.actor, asked_by=call.key.key, parameters=parameters, now=database.now())


@resource.post(
    "/drift/runs",
    "Look for payer drift",
    body=RunIn(),
    answer=RunOut(),
    status=201,
    roles=READERS,
    prepare=_run,
)
def run(session: Session, call: Call) -> Any:
    """Compares the claims of two windows, group by group, after any other run of the hospital has ended."""
    return queries.get_run(session, organization_id=call.organization_id, run_id=call.prepared)


@resource.get(
    "/drift/runs", "Drift runs, newest first", query=PageQuery(), answer=RunOut(), roles=READERS, page=cursors.BY_TIME
)
def list_runs(session: Session, call: Call) -> Any:
    """Runs with their parameters and how they ended."""
    return queries.list_runs(session, organization_id=call.organization_id, page=call.page)


@resource.get("/drift/runs/<uuid:run_id>", "One drift run", answer=RunOut(), roles=READERS, raises=(RunNotFound,))
def read_run(session: Session, call: Call) -> Any:
    """A run."""
    return queries.get_run(session, organization_id=call.organization_id, **call.path)


@resource.get(
    "/drift/runs/<uuid:run_id>/events",
    "What a drift run found, the most severe first",
    query=PageQuery(),
    answer=EventOut(),
    roles=READERS,
    page=cursors.BY_SEVERITY,
    raises=(RunNotFound,),
)
def list_events(session: Session, call: Call) -> Any:
    """Groups that drifted, each with both windows, volumes and intervals."""
    return queries.list_events(session, organization_id=call.organization_id, page=call.page, **call.path)


@resource.get(
    "/drift/runs/<uuid:run_id>/events.csv",
    "What a drift run found, as CSV",
    produces=CSV,
    roles=READERS,
    raises=(RunNotFound,),
)
def export_events(session: Session, call: Call) -> str:
    """Every event of the run, the columns as in the list; a text that a spreadsheet would compute begins with '."""
    written = io.StringIO()
    writer = csv.writer(written)
    for row in queries.table_of_events(session, organization_id=call.organization_id, **call.path):
        writer.writerow([defused(cell) for cell in row])
    return written.getvalue()
