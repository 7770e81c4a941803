"""Drift runs: one at a time in a hospital, whole or not at all.

Decision: the hospital's row is locked before the first read and until every event is written, and its report lane is
taken before that. Because under REPEATABLE READ who waits for the row alone goes on with a snapshot from before the
wait and does not see what the run before it committed; LOCK TABLE takes no snapshot. Cost: 16 more empty tables.

Decision: the row is locked FOR NO KEY UPDATE, the FOR UPDATE of those who leave the key alone. Because every row of a
hospital points at its organization, and plain FOR UPDATE stops that check: no dose could be given while a run counts.
Two of either kind exclude each other. Cost: none known.

Decision: a run is three transactions: it starts, it computes, and if that fails the failure is recorded by itself.
Because what failed has rolled back, and a status in it as well. Its id is made from what asked for it (the request's
key, the week), so that a repeat finds the run instead of making another. Cost: a process that dies in between leaves
"running" behind, until a later start says that it was abandoned.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from backend.actor import Actor
from backend.db import Database, Session, bump, new_id, report_lane_of
from backend.domain.claims.drift import Parameters, compare, events_of, read_groups
from backend.domain.claims.models import DriftEvent, ReportRun, RunStatus
from backend.domain.organizations.models import Organization
from backend.errors import DomainError
from backend.observability import DRIFT_RUNS, log

ABANDONED = timedelta(hours=1)  # no run takes so long


def run_drift(database: Database, *, actor: Actor, asked_by: str, parameters: Parameters, now: datetime) -> UUID:
    """The id of the run of `parameters` that `asked_by` names in the hospital, made unless there is one that succeeded.

    Waits for other runs of the hospital. Raises Busy and whatever else stops it; then the run has failed and has no
    event.
    """
    run_id = uuid5(actor.organization_id, asked_by)
    at = {"organization_id": actor.organization_id, "run_id": run_id}
    database.transact(
        lambda session: start(session, actor=actor, run_id=run_id, parameters=parameters, now=now),
        actor=actor,
        repeatable=True,
    )
    try:
        events = database.transact(lambda session: compute(session, **at), actor=actor, repeatable=True, report=True)
    except Exception as error:
        failure = error.code if isinstance(error, DomainError) else "internal_error"
        database.transact(lambda session: fail(session, failure=failure, **at), actor=actor, repeatable=True)
        DRIFT_RUNS.labels("failed").inc()
        log.warning("drift_run_failed", run_id=str(run_id), code=failure)
        raise
    DRIFT_RUNS.labels("finished").inc()
    log.info("drift_run_finished", run_id=str(run_id), events=events)
    return run_id


def start(session: Session, *, actor: Actor, run_id: UUID, parameters: Parameters, now: datetime) -> None:
    """The run is there and running, unless it succeeded before; runs that nobody computes any more have failed."""
    run = ReportRun
    asked = {
        "as_of": parameters.as_of,
        "baseline_days": parameters.baseline_days,
        "current_days": parameters.current_days,
        "min_volume": parameters.min_volume,
        "adjust": parameters.adjust,
        "started_by_id": actor.user_id,
        "started_at": now,
    }
    session.execute(
        bump(run, status=RunStatus.FAILED, failure="abandoned", finished_at=now).where(
            run.organization_id == actor.organization_id,
            run.status == RunStatus.RUNNING,
            run.started_at < now - ABANDONED,
        )
    )
    again = {"status": RunStatus.RUNNING, "failure": None, "finished_at": None, "version": run.version + 1}
    session.execute(
        insert(run)
        .values(organization_id=actor.organization_id, id=run_id, **asked)
        .on_conflict_do_update(
            index_elements=[run.organization_id, run.id],
            set_={**asked, **again},
            where=run.status == RunStatus.FAILED,
        )
    )


def compute(session: Session, *, organization_id: UUID, run_id: UUID) -> int:
    """How many events the run has, all written in this transaction; it leaves a run that has succeeded as it is."""
    lock_hospital(session, organization_id=organization_id)
    run = session.execute(
        select(ReportRun).where(ReportRun.organization_id == organization_id, ReportRun.id == run_id)
    ).one()
    if run.status == RunStatus.SUCCESS:
        return int(run.events_created)
    parameters = Parameters(
        as_of=run.as_of,
        baseline_days=run.baseline_days,
        current_days=run.current_days,
        min_volume=run.min_volume,
        adjust=run.adjust,
    )
    groups = read_groups(session, organization_id=organization_id, parameters=parameters)
    events = events_of(compare(groups), parameters)
    write_events(session, organization_id=organization_id, run_id=run_id, events=events)
    _finish(
        session,
        organization_id=organization_id,
        run_id=run_id,
        status=RunStatus.SUCCESS,
        groups_considered=len(groups),
        events_created=len(events),
        failure=None,
    )
    return len(events)


def lock_hospital(session: Session, *, organization_id: UUID) -> None:
    """No other run of the hospital computes until this transaction ends, and this one sees what they committed.

    Comes first in its transaction, else RuntimeError.
    """
    session.take_lanes([report_lane_of(organization_id)])
    session.execute(
        select(Organization.id).where(Organization.id == organization_id).with_for_update(key_share=True)
    ).one()


def write_events(session: Session, *, organization_id: UUID, run_id: UUID, events: list[dict[str, Any]]) -> None:
    """Inserts the events of a run; a signal that it has already is left as it is."""
    if not events:
        return
    rows = [{"organization_id": organization_id, "id": new_id(), "report_run_id": run_id, **event} for event in events]
    session.execute(insert(DriftEvent).on_conflict_do_nothing(constraint="driftevent_unique_signal"), rows)


def fail(session: Session, *, organization_id: UUID, run_id: UUID, failure: str) -> None:
    """The run has failed, unless somebody else's repeat of it succeeded meanwhile."""
    _finish(session, organization_id=organization_id, run_id=run_id, status=RunStatus.FAILED, failure=failure)


def _finish(session: Session, *, organization_id: UUID, run_id: UUID, **values: Any) -> None:
    run = ReportRun
    session.execute(
        bump(run, finished_at=func.clock_timestamp(), **values).where(
            run.organization_id == organization_id, run.id == run_id, run.status != RunStatus.SUCCESS
        )
    )
