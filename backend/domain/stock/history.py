"""What the ledger tells: what a shelf held at a moment; and what is about to be lost.

Decision: every report is read from the rows themselves and there is no table of totals. Because an index ends each
read where its page ends, and a total is a second truth that can part from the ledger. Cost: the value of what expires
reads every lot that does.
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, case, cast, func, literal, select
from sqlalchemy.orm import aliased

from backend.db import Session
from backend.db.filters import equal, same_hospital
from backend.db.paging import Page, PageRequest, beyond, page_of
from backend.db.searching import among, named_page
from backend.domain.formulary.models import Drug
from backend.domain.organizations.calendar import today_of
from backend.domain.organizations.models import Ward
from backend.domain.stock.hiding import Hides, unless
from backend.domain.stock.level_queries import ExpiryHorizon
from backend.domain.stock.models import Lot, StockLevel, StockLot, StockMovement
from backend.errors import ValidationFailed


def levels_as_of(
    session: Session,
    *,
    organization_id: UUID,
    at: datetime,
    ward_id: UUID | None,
    drug_id: UUID | None,
    hides: Hides,
    now: datetime,
    page: PageRequest,
) -> Page:
    """Shelves by drug name with what each held at `at`: the balance after its last movement until then, else 0.

    What a shelf held at any moment is hidden with what it holds now.

    Raises ValidationFailed when `at` is later than `now`.
    """
    if at > now:
        raise ValidationFailed.of("at", "not in the future")
    movement = StockMovement
    balance = (
        select(movement.balance_after_units)
        .where(
            movement.organization_id == organization_id,
            movement.ward_id == StockLevel.ward_id,
            movement.drug_id == StockLevel.drug_id,
            movement.recorded_at <= at,
        )
        .order_by(movement.recorded_at.desc(), movement.sequence.desc())
        .limit(1)
        .correlate(StockLevel)
        .scalar_subquery()
    )
    hidden = hides(ward=StockLevel.ward_id, drug=StockLevel.drug_id)
    rows = (
        select(
            StockLevel.id,
            StockLevel.ward_id,
            Ward.name.label("ward_name"),
            StockLevel.drug_id,
            Drug.name.label("drug_name"),
            unless(hidden, func.coalesce(balance, 0)).label("on_hand_units"),
            hidden.label("figures_hidden"),
            literal(at).label("as_of"),
        )
        .join(Ward, same_hospital(Ward, by=StockLevel.ward_id))
        .join(Drug, same_hospital(Drug, by=StockLevel.drug_id))
        .where(
            StockLevel.organization_id == organization_id,
            Drug.organization_id == organization_id,
            *equal(StockLevel, ward_id=ward_id, drug_id=drug_id),
        )
    )
    key = Drug.name_key
    return named_page(session, rows, name_key=key, row_id=StockLevel.id, searched=[key], q=None, page=page)


def list_expiring_value(
    session: Session,
    *,
    organization_id: UUID,
    ward_id: UUID | None,
    within_days: ExpiryHorizon,
    hides: Hides,
    now: datetime,
    page: PageRequest,
) -> Page:
    """Wards by name: units that have expired or will within the days, and what they cost, in cents.

    Units of drugs without a price are among the units and not in the values; `unpriced_units` says how many they are.
    Shelves whose figures are hidden are in no sum, and `figures_hidden` says that the ward has some.
    """
    today = today_of(session, organization_id=organization_id, now=now)
    lost = _lost(organization_id, ward_id, today, within_days.end(today), hides)
    wards = select(Ward.id, Ward.name).where(
        Ward.organization_id == organization_id, *equal(Ward, id=ward_id), *beyond(page, Ward.name, Ward.id)
    )
    shown = wards.order_by(Ward.name, Ward.id).limit(page.limit + 1).subquery("shown")
    figures = [func.coalesce(column, 0).label(column.name) for column in lost.c if column.name != "ward_id"]
    rows = (
        select(
            shown.c.id.label("ward_id"),
            shown.c.name.label("ward_name"),
            *figures,
            hides(ward=shown.c.id).label("figures_hidden"),
        )
        .outerjoin(lost, lost.c.ward_id == shown.c.id)
        .order_by(shown.c.name, shown.c.id)
    )
    return page_of(session.execute(rows).all(), page, lambda row: (row.ward_name, row.ward_id))


def _lost(organization_id: UUID, ward_id: UUID | None, today: date, last: date, hides: Hides) -> Any:
    """By ward: units and value of what expires until the day `last`, in two parts by whether it was before `today`."""
    lot, on_shelf, drug = aliased(Lot), aliased(StockLot), aliased(Drug)
    expired = lot.expires_on < today
    value = cast(on_shelf.quantity_units, BigInteger) * drug.unit_price_cents

    def total(amount: Any, condition: Any) -> Any:
        return cast(func.sum(case((condition, amount), else_=0)), BigInteger)

    lots = select(Lot.id).where(Lot.organization_id == organization_id, Lot.expires_on <= last)
    rows = (
        select(
            on_shelf.ward_id,
            total(on_shelf.quantity_units, expired).label("expired_units"),
            total(value, expired).label("expired_value_cents"),
            total(on_shelf.quantity_units, ~expired).label("expiring_units"),
            total(value, ~expired).label("expiring_value_cents"),
            total(on_shelf.quantity_units, drug.unit_price_cents.is_(None)).label("unpriced_units"),
        )
        .select_from(lot)
        .join(on_shelf, same_hospital(lot, by=on_shelf.lot_id))
        .join(drug, same_hospital(drug, by=lot.drug_id))
        .where(
            *(row.organization_id == organization_id for row in (lot, on_shelf, drug)),
            on_shelf.quantity_units > 0,
            among(on_shelf.lot_id, lots),
            *equal(on_shelf, ward_id=ward_id),
            ~hides(ward=on_shelf.ward_id, drug=on_shelf.drug_id),
        )
        .group_by(on_shelf.ward_id)
    )
    return rows.subquery("lost")
