"""Reads of runs and their events."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, case, cast, select
from sqlalchemy.types import Double

from backend.db import Rows, Session
from backend.db.filters import same_hospital
from backend.db.paging import Page, PageRequest, read_page
from backend.domain.claims.models import DriftEvent, ReportRun
from backend.domain.identity.models import User
from backend.errors import NotFound


class RunNotFound(NotFound):
    """There is no such drift run in your organization."""


def _runs(organization_id: UUID) -> Rows:
    run = ReportRun
    return (
        select(
            run.id,
            run.as_of,
            run.baseline_days,
            run.current_days,
            run.min_volume,
            run.adjust,
            run.status,
            run.groups_considered,
            run.events_created,
            run.failure,
            User.name.label("started_by"),
            run.started_at,
            run.finished_at,
        )
        .outerjoin(User, same_hospital(User, by=run.started_by_id))
        .where(run.organization_id == organization_id)
    )


def list_runs(session: Session, *, organization_id: UUID, page: PageRequest) -> Page:
    """Runs, newest first."""
    run = ReportRun
    return read_page(session, _runs(organization_id), page, run.started_at, run.id, descending=True)


def get_run(session: Session, *, organization_id: UUID, run_id: UUID) -> Row[Any]:
    """One run. Raises RunNotFound."""
    row = session.execute(_runs(organization_id).where(ReportRun.id == run_id)).one_or_none()
    if row is None:
        raise RunNotFound()
    return row


EVENT_COLUMNS = (
    "payer",
    "cpt_group",
    "drift_type",
    "direction",
    "baseline_value",
    "current_value",
    "delta_value",
    "severity",
    "confidence",
    "baseline_low",
    "baseline_high",
    "current_low",
    "current_high",
    "p_value",
    "survives",
    "baseline_start",
    "baseline_end",
    "current_start",
    "current_end",
    "baseline_volume",
    "current_volume",
    "current_undecided",
    "current_undecided_share",
)


def _events(organization_id: UUID, run_id: UUID) -> Rows:
    event = DriftEvent
    computed = {
        "direction": case((event.delta_value > 0, "increase"), else_="decrease"),
        "current_undecided_share": cast(event.current_undecided, Double)
        / (event.current_undecided + event.current_volume),
    }
    columns = [
        computed[name].label(name) if name in computed else getattr(event, name).label(name) for name in EVENT_COLUMNS
    ]
    return select(event.id, *columns).where(event.organization_id == organization_id, event.report_run_id == run_id)


def list_events(session: Session, *, organization_id: UUID, run_id: UUID, page: PageRequest) -> Page:
    """The events of a run, the most severe first. Raises RunNotFound."""
    get_run(session, organization_id=organization_id, run_id=run_id)
    rows = _events(organization_id, run_id)
    return read_page(session, rows, page, DriftEvent.severity, DriftEvent.id, descending=True)


def table_of_events(session: Session, *, organization_id: UUID, run_id: UUID) -> Iterator[Sequence[Any]]:
    """Every event of a run as rows for a spreadsheet, the names of the columns first. Raises RunNotFound."""
    get_run(session, organization_id=organization_id, run_id=run_id)
    ordered = _events(organization_id, run_id).order_by(DriftEvent.severity.desc(), DriftEvent.id.desc())
    rows = session.execute(ordered).all()
    yield EVENT_COLUMNS
    for row in rows:
        yield [getattr(row, name) for name in EVENT_COLUMNS]
