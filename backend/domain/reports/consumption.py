"""What was given day by day: units withdrawn for doses, less what was wasted or put back of them.

Decision: it is read from the rows themselves and there is no table of totals. Because an index ends each read where its
page ends, and a total is a second truth that can part from the ledger. Cost: a page reads the movements of its days.
"""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import TIMESTAMP, BigInteger, Date, cast, exists, func, literal, select, true
from sqlalchemy.orm import aliased

from backend.db import Session
from backend.db.filters import equal, looked_up
from backend.db.paging import Page, PageRequest, beyond, page_of
from backend.domain.administrations.models import DoseRemainder
from backend.domain.formulary.models import Drug
from backend.domain.organizations.calendar import today_of
from backend.domain.organizations.models import Organization, Ward
from backend.domain.stock.models import MovementReason, StockMovement
from backend.errors import ValidationFailed

DAYS_DEFAULT, DAYS_MAX = 30, 92


def list_consumption(
    session: Session,
    *,
    organization_id: UUID,
    ward_id: UUID | None,
    drug_id: UUID | None,
    since: date | None,
    until: date | None,
    now: datetime,
    page: PageRequest,
) -> Page:
    """Units given by day of the hospital, ward and drug, in that order; `since` and `until` both count.

    A dose counts on the day on which the ledger recorded it, with what was neither wasted nor put back of it, whenever
    that was. Raises ValidationFailed without a ward and a drug, and for days that are in the wrong order or too many.
    """
    if ward_id is None and drug_id is None:
        raise ValidationFailed.of("ward_id", "ward_id or drug_id is needed")
    last = until or today_of(session, organization_id=organization_id, now=now)
    first = since or last - timedelta(days=DAYS_DEFAULT - 1)
    if not 0 <= (last - first).days < DAYS_MAX:
        raise ValidationFailed.of("from", f"not after `to`, and at most {DAYS_MAX} days from first to last")
    if page.after is not None:
        first = max(first, page.after[0])
    given = _given(organization_id, ward_id, drug_id, first, last, page)
    rows = select(
        given.c.day,
        given.c.ward_id,
        looked_up(organization_id, Ward, "name", given.c.ward_id).label("ward_name"),
        given.c.drug_id,
        looked_up(organization_id, Drug, "name", given.c.drug_id).label("drug_name"),
        looked_up(organization_id, Drug, "unit", given.c.drug_id).label("unit"),
        given.c.units_given,
    ).order_by(given.c.day, given.c.ward_id, given.c.drug_id)
    return page_of(session.execute(rows).all(), page, lambda row: (row.day, row.ward_id, row.drug_id))


def _given(
    organization_id: UUID, ward_id: UUID | None, drug_id: UUID | None, first: date, last: date, page: PageRequest
) -> Any:
    """A page of units given by day, ward and drug, one day after the other, so that no day behind its last is read."""
    zone = select(Organization.time_zone).where(Organization.id == organization_id).scalar_subquery()
    offset = func.generate_series(0, (last - first).days).column_valued("place")
    days = select((literal(first, Date) + offset).label("day")).order_by("day").subquery("days")

    def midnight(day: Any) -> Any:
        return func.timezone(zone, cast(day, TIMESTAMP))

    movement, correction, remainder = StockMovement, aliased(StockMovement), DoseRemainder
    undone = exists().where(
        correction.organization_id == organization_id, correction.corrects_id == movement.id
    )  # a dose that was entered in error counts on no day
    not_given = (  # of what the movement withdrew: a dose has one for each lot
        select(func.coalesce(func.sum(remainder.units), 0))
        .where(
            remainder.organization_id == organization_id,
            remainder.administration_id == movement.reference_id,
            remainder.lot_id == movement.lot_id,
        )
        .correlate(movement)
        .scalar_subquery()
    )
    given = cast(func.sum(-movement.units - not_given), BigInteger).label("units_given")
    doses = (
        select(movement.ward_id, movement.drug_id, given)
        .where(
            movement.organization_id == organization_id,
            movement.recorded_at >= midnight(days.c.day),
            movement.recorded_at < midnight(days.c.day + 1),
            movement.reason == MovementReason.FULFILMENT,
            ~undone,
            *equal(movement, ward_id=ward_id, drug_id=drug_id),
        )
        .group_by(movement.ward_id, movement.drug_id)
    )
    of_day = doses.lateral("doses")
    key = (days.c.day, of_day.c.ward_id, of_day.c.drug_id)
    rows = select(*key, of_day.c.units_given).select_from(days.join(of_day, true()))
    return rows.where(*beyond(page, *key)).order_by(*key).limit(page.limit + 1).subquery("given")
