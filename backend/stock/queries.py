"""Reads of stock: levels with their lots, the ledger, and drugs with what the hospital holds of them."""

from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Date, Row, cast, func, select, tuple_
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import aliased

from backend.db import Rows, Session
from backend.db.paging import Page, PageRequest, page_of
from backend.db.searching import named_page
from backend.formulary.drugs import DrugNotFound, drugs_of
from backend.formulary.models import Drug
from backend.identity.models import User
from backend.organizations.models import Organization, Ward
from backend.stock.models import Lot, LotStatus, StockLevel, StockLot, StockMovement

EXPIRING_DAYS = 30


class StockState(StrEnum):
    """What asks for attention on a shelf."""

    LOW = "low"
    OUT = "out"
    EXPIRING = "expiring"
    EXPIRED = "expired"


def today_of(session: Session, *, organization_id: UUID, now: datetime) -> date:
    """The calendar day of the hospital at `now`."""
    zone = select(Organization.time_zone).where(Organization.id == organization_id).scalar_subquery()
    day: date = session.execute(select(cast(func.timezone(zone, now), Date))).scalar_one()
    return day


def _drugs_with_stock(organization_id: UUID) -> Rows:
    held = (
        select(func.coalesce(func.sum(StockLevel.on_hand_units), 0))
        .where(StockLevel.organization_id == organization_id, StockLevel.drug_id == Drug.id)
        .scalar_subquery()
    )
    return drugs_of(organization_id).add_columns(held.label("current_stock"))


def get_drug_with_stock(session: Session, *, organization_id: UUID, drug_id: UUID) -> Row[Any]:
    """A formulary entry with `current_stock`, the sum of its levels. Raises DrugNotFound."""
    row = session.execute(_drugs_with_stock(organization_id).where(Drug.id == drug_id)).one_or_none()
    if row is None:
        raise DrugNotFound()
    return row


def list_drugs(session: Session, *, organization_id: UUID, q: str | None, page: PageRequest) -> Page:
    """Drugs by name, each with `current_stock`; `q` is a name or generic name."""
    return named_page(
        session,
        _drugs_with_stock(organization_id),
        name_key=Drug.name_key,
        row_id=Drug.id,
        searched=[Drug.name_key, Drug.generic_name_key],
        q=q,
        page=page,
    )


def _lots_of_level(organization_id: UUID) -> Any:
    """The lots of a shelf that hold units, first expiring first, as JSON."""
    lot = func.jsonb_build_object(
        *("lot_id", Lot.id),
        *("lot_number", Lot.lot_number),
        *("expires_on", Lot.expires_on),
        *("status", Lot.status),
        *("quantity_units", StockLot.quantity_units),
    )
    return (
        select(func.coalesce(func.jsonb_agg(aggregate_order_by(lot, Lot.expires_on, Lot.id)), func.jsonb_build_array()))
        .select_from(StockLot)
        .join(Lot, (Lot.organization_id == StockLot.organization_id) & (Lot.id == StockLot.lot_id))
        .where(
            StockLot.organization_id == organization_id,
            StockLot.ward_id == StockLevel.ward_id,
            StockLot.drug_id == StockLevel.drug_id,
            StockLot.quantity_units > 0,
        )
        .scalar_subquery()
    )


def _units(organization_id: UUID, *conditions: Any) -> Any:
    """The units of a shelf's lots that meet `conditions`."""
    return (
        select(func.coalesce(func.sum(StockLot.quantity_units), 0))
        .select_from(StockLot)
        .join(Lot, (Lot.organization_id == StockLot.organization_id) & (Lot.id == StockLot.lot_id))
        .where(
            StockLot.organization_id == organization_id,
            StockLot.ward_id == StockLevel.ward_id,
            StockLot.drug_id == StockLevel.drug_id,
            *conditions,
        )
        .scalar_subquery()
    )


def list_levels(
    session: Session,
    *,
    organization_id: UUID,
    ward_id: UUID | None,
    drug_id: UUID | None,
    q: str | None,
    state: StockState | None,
    now: datetime,
    page: PageRequest,
) -> Page:
    """Shelves by drug name, with what lies on them, what of it may be given, and the lots."""
    today = today_of(session, organization_id=organization_id, now=now)
    usable = _units(organization_id, Lot.status == LotStatus.AVAILABLE, Lot.expires_on >= today)
    rows = (
        select(
            StockLevel.id,
            StockLevel.ward_id,
            Ward.name.label("ward_name"),
            StockLevel.drug_id,
            Drug.name.label("drug_name"),
            Drug.strength,
            Drug.form,
            Drug.unit,
            StockLevel.on_hand_units,
            usable.label("available_units"),
            StockLevel.reorder_point_units,
            StockLevel.par_level_units,
            _lots_of_level(organization_id).label("lots"),
        )
        .join(Ward, (Ward.organization_id == StockLevel.organization_id) & (Ward.id == StockLevel.ward_id))
        .join(Drug, (Drug.organization_id == StockLevel.organization_id) & (Drug.id == StockLevel.drug_id))
        .where(StockLevel.organization_id == organization_id, Drug.organization_id == organization_id)
    )
    if ward_id is not None:
        rows = rows.where(StockLevel.ward_id == ward_id)
    if drug_id is not None:
        rows = rows.where(StockLevel.drug_id == drug_id)
    if state is not None:
        rows = rows.where(_in_state(organization_id, state, today, usable))
    return named_page(
        session,
        rows,
        name_key=Drug.name_key,
        row_id=StockLevel.id,
        searched=[Drug.name_key, Drug.generic_name_key],
        q=q,
        page=page,
    )


def _in_state(organization_id: UUID, state: StockState, today: date, usable: Any) -> Any:
    match state:
        case StockState.LOW:
            return StockLevel.low
        case StockState.OUT:
            return usable == 0  # only expired or held stock left means out
        case StockState.EXPIRING:
            soon = Lot.expires_on.between(today, today + timedelta(days=EXPIRING_DAYS))
            return _units(organization_id, soon) > 0
        case StockState.EXPIRED:
            return _units(organization_id, Lot.expires_on < today) > 0


def _movements(organization_id: UUID) -> Rows:
    movement, witness = StockMovement, aliased(User)
    return (
        select(
            movement.id,
            movement.ward_id,
            Ward.name.label("ward_name"),
            movement.drug_id,
            Drug.name.label("drug_name"),
            movement.lot_id,
            Lot.lot_number,
            Lot.expires_on,
            movement.sequence,
            movement.units,
            movement.balance_after_units,
            movement.reason,
            movement.reference_id,
            movement.corrects_id,
            movement.note,
            movement.actor_id,
            User.name.label("actor_name"),
            witness.name.label("witness_name"),
            movement.occurred_at,
            movement.recorded_at,
        )
        .join(Ward, (Ward.organization_id == movement.organization_id) & (Ward.id == movement.ward_id))
        .join(Drug, (Drug.organization_id == movement.organization_id) & (Drug.id == movement.drug_id))
        .join(Lot, (Lot.organization_id == movement.organization_id) & (Lot.id == movement.lot_id))
        .outerjoin(User, (User.organization_id == movement.organization_id) & (User.id == movement.actor_id))
        .outerjoin(witness, (witness.organization_id == movement.organization_id) & (witness.id == movement.witness_id))
        .where(movement.organization_id == organization_id)
    )


def get_movement_of(session: Session, *, organization_id: UUID, reference_id: UUID) -> Row[Any]:
    """The one movement that was posted for `reference_id`."""
    return session.execute(_movements(organization_id).where(StockMovement.reference_id == reference_id)).one()


def list_movements(
    session: Session,
    *,
    organization_id: UUID,
    ward_id: UUID | None,
    drug_id: UUID | None,
    since: datetime | None,
    until: datetime | None,
    page: PageRequest,
) -> Page:
    """The ledger, newest first; `since` counts, `until` does not."""
    movement = StockMovement
    rows = _movements(organization_id).order_by(movement.recorded_at.desc(), movement.id.desc()).limit(page.limit + 1)
    if ward_id is not None:
        rows = rows.where(movement.ward_id == ward_id)
    if drug_id is not None:
        rows = rows.where(movement.drug_id == drug_id)
    if since is not None:
        rows = rows.where(movement.recorded_at >= since)
    if until is not None:
        rows = rows.where(movement.recorded_at < until)
    if page.after is not None:
        rows = rows.where(tuple_(movement.recorded_at, movement.id) < page.after)
    return page_of(session.execute(rows).all(), page, lambda row: (row.recorded_at, row.id))
