"""Tell the day by a hospital's own calendar."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Date, cast, func, select

from backend.db import Session
from backend.domain.organizations.models import Organization


def today_of(session: Session, *, organization_id: UUID, now: datetime) -> date:
    """The calendar day of the hospital at `now`."""
    zone = select(Organization.time_zone).where(Organization.id == organization_id).scalar_subquery()
    day: date = session.execute(select(cast(func.timezone(zone, now), Date))).scalar_one()
    return day
