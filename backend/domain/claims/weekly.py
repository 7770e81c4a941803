"""The weekly run: each hospital, each week, once, however many processes see to it.

The id of a week's run is made from the week, so a second process finds the first one's run: it waits for it under the
hospital's lock and then has nothing to do. A run that failed or was cut off is made again at the next look.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from uuid import UUID, uuid5

from sqlalchemy import exists, select

from backend.actor import Actor
from backend.db import Database, Session
from backend.domain.claims.drift import Parameters
from backend.domain.claims.models import ClaimRecord, ReportRun, RunStatus
from backend.domain.claims.runs import run_drift
from backend.domain.organizations.calendar import today_of
from backend.domain.organizations.hospitals import list_organizations
from backend.domain.organizations.models import Organization
from backend.errors import DomainError


def run_weeks(database: Database, *, adjust: bool, now: datetime) -> Iterator[str]:
    """Makes the run of the current week in every hospital with claims that has none, and says so, a line for each.

    The week begins on Monday in the hospital's time zone; the run is as of that day. One hospital's failure is told
    and does not stop the others.
    """
    for organization_id in list_organizations(database):
        try:
            made = run_week(database, organization_id=organization_id, adjust=adjust, now=now)
        except DomainError as refusal:
            yield f"{organization_id}: {refusal.code}, again at the next look"
        else:
            if made is not None:
                slug, run_id = made
                yield f"{slug}: run {run_id}"


def run_week(database: Database, *, organization_id: UUID, adjust: bool, now: datetime) -> tuple[str, UUID] | None:
    """The hospital's slug and the id of its run of the week; None where that had been made, or there are no claims.

    Raises what `run_drift` raises.
    """
    actor = Actor.operator(organization_id)

    def look(session: Session) -> tuple[str, date, bool]:
        today = today_of(session, organization_id=organization_id, now=now)
        monday = today - timedelta(days=today.weekday())
        run, claim = ReportRun, ClaimRecord
        is_made = exists().where(
            run.organization_id == organization_id,
            run.id == uuid5(organization_id, _name(monday)),
            run.status == RunStatus.SUCCESS,
        )
        has_claims = exists().where(claim.organization_id == organization_id)
        hospital = select(Organization.slug, ~is_made & has_claims).where(Organization.id == organization_id)
        slug, due = session.execute(hospital).one()
        return slug, monday, due

    slug, monday, due = database.transact(look, actor=actor, read_only=True)
    if not due:
        return None
    parameters = Parameters(as_of=monday, adjust=adjust)
    run_id = run_drift(database, actor=actor, asked_by=_name(monday), parameters=parameters, now=now)
    return slug, run_id


def _name(monday: date) -> str:
    return f"week of {monday}"
