"""Read what the shelves hold, by lot, and what of it asks for attention."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, select, union_all
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import aliased

from backend.actor import Actor
from backend.db import Rows, Session, read
from backend.db.filters import same_hospital
from backend.db.paging import Page, PageRequest
from backend.db.searching import among, named_page
from backend.db.typed import Kept, rows_as
from backend.domain.formulary.drugs import containing
from backend.domain.formulary.models import Drug
from backend.domain.organizations.calendar import today_of
from backend.domain.organizations.models import Ward
from backend.domain.stock.hiding import Hides, unless
from backend.domain.stock.models import Lot, LotStatus, StockLevel, StockLot


class StockState(StrEnum):
    """What asks for attention on a shelf."""

    LOW = "low"
    OUT = "out"
    EXPIRING = "expiring"
    EXPIRED = "expired"


class ExpiryHorizon(StrEnum):
    """How many days ahead counts as expiring."""

    DAYS_30 = "30"
    DAYS_60 = "60"
    DAYS_90 = "90"

    def end(self, today: date) -> date:
        """The last day of the horizon."""
        return today + timedelta(days=int(self))


@dataclass(frozen=True, slots=True)
class LotOnShelfView:
    """Units of one lot on a shelf."""

    lot_id: UUID
    lot_number: str
    expires_on: date
    status: LotStatus
    quantity_units: int


@dataclass(frozen=True, slots=True)
class LevelView:
    """A shelf: `available_units` leaves out what has expired, is on hold or was recalled.

    `figures_hidden`: you may record a blind count of the shelf that is open. Its units are null until that ends, and
    its lots are not listed.
    """

    ward_id: UUID
    ward_name: str
    drug_id: UUID
    drug_name: str
    strength: str
    form: str
    unit: str
    on_hand_units: int | None
    available_units: int | None
    reorder_point_units: int
    par_level_units: int
    lots: Annotated[list[LotOnShelfView], Kept("the lots that lie on one shelf")]
    figures_hidden: bool


def _lots_of_level(organization_id: UUID, hidden: ColumnElement[bool]) -> Any:
    """The lots of a shelf that hold units, first expiring first, as JSON; none where `hidden`: a lot that is missing
    from the list would be known to be used up."""
    lot = func.jsonb_build_object(
        *("lot_id", Lot.id),
        *("lot_number", Lot.lot_number),
        *("expires_on", Lot.expires_on),
        *("status", Lot.status),
        *("quantity_units", StockLot.quantity_units),
    )
    lots = func.jsonb_agg(aggregate_order_by(lot, Lot.expires_on, Lot.id))
    on_shelf = (
        select(func.coalesce(lots, func.jsonb_build_array()))
        .select_from(StockLot)
        .join(Lot, same_hospital(Lot, by=StockLot.lot_id))
        .where(
            StockLot.organization_id == organization_id,
            StockLot.ward_id == StockLevel.ward_id,
            StockLot.drug_id == StockLevel.drug_id,
            StockLot.quantity_units > 0,
        )
        .scalar_subquery()
    )
    return case((hidden, func.jsonb_build_array()), else_=on_shelf)


def _available_units(organization_id: UUID, today: date, shelf: Any) -> Any:
    """The units that may be given of what lies on `shelf`, which has a ward_id and a drug_id."""
    on_shelf, lot = aliased(StockLot), aliased(Lot)
    return (
        select(func.coalesce(func.sum(on_shelf.quantity_units), 0))
        .join(lot, same_hospital(lot, by=on_shelf.lot_id))
        .where(
            on_shelf.organization_id == organization_id,
            on_shelf.ward_id == shelf.ward_id,
            on_shelf.drug_id == shelf.drug_id,
            lot.status == LotStatus.AVAILABLE,
            lot.expires_on >= today,
        )
        .scalar_subquery()
    )


def _levels(organization_id: UUID, today: date, hides: Hides) -> Rows:
    """Shelves with what lies on them, what of it may be given, and the lots."""
    hidden = hides(ward=StockLevel.ward_id, drug=StockLevel.drug_id)
    return (
        select(
            StockLevel.id,
            StockLevel.ward_id,
            Ward.name.label("ward_name"),
            StockLevel.drug_id,
            Drug.name.label("drug_name"),
            Drug.strength,
            Drug.form,
            Drug.unit,
            unless(hidden, StockLevel.on_hand_units).label("on_hand_units"),
            unless(hidden, _available_units(organization_id, today, StockLevel)).label("available_units"),
            StockLevel.reorder_point_units,
            StockLevel.par_level_units,
            _lots_of_level(organization_id, hidden).label("lots"),
            hidden.label("figures_hidden"),
        )
        .join(Ward, same_hospital(Ward, by=StockLevel.ward_id))
        .join(Drug, same_hospital(Drug, by=StockLevel.drug_id))
        .where(StockLevel.organization_id == organization_id, Drug.organization_id == organization_id)
    )


@read()
def get_levels(
    session: Session, *, actor: Actor, ward_id: UUID, drug_ids: Collection[UUID], hides: Hides
) -> list[LevelView]:
    """Read the shelves of some drugs on a ward at once, by drug name; what is not there is left out."""
    today = today_of(session, organization_id=actor.organization_id, now=session.now)
    rows = _levels(actor.organization_id, today, hides).where(
        StockLevel.ward_id == ward_id, StockLevel.drug_id.in_(drug_ids)
    )
    return rows_as(LevelView, session.execute(rows.order_by(Drug.name_key, StockLevel.drug_id)))


def list_levels(
    session: Session,
    *,
    organization_id: UUID,
    ward_id: UUID | None,
    drug_id: UUID | None,
    q: str | None,
    state: StockState | None,
    within_days: ExpiryHorizon = ExpiryHorizon.DAYS_30,
    hides: Hides,
    now: datetime,
    page: PageRequest,
) -> Page:
    """Shelves by drug name, with what lies on them, what of it may be given, and the lots.

    `within_days` says what the state `expiring` means. A shelf whose figures are hidden is in no state: the state would
    tell them to somebody who moves the reorder point.
    """
    today = today_of(session, organization_id=organization_id, now=now)
    hidden = hides(ward=StockLevel.ward_id, drug=StockLevel.drug_id)
    rows = _levels(organization_id, today, hides)
    shelf = {name: value for name, value in (("ward_id", ward_id), ("drug_id", drug_id)) if value is not None}
    rows = rows.where(*(getattr(StockLevel, name) == value for name, value in shelf.items()))
    if state is not None:
        rows = rows.where(_in_state(organization_id, shelf, state, today, within_days.end(today)), ~hidden)
    return named_page(
        session,
        rows,
        name_key=Drug.name_key,
        row_id=StockLevel.id,
        searched=[Drug.name_key, Drug.generic_name_key],
        containing=containing,
        q=q,
        page=page,
    )


def _in_state(organization_id: UUID, shelf: dict[str, UUID], state: StockState, today: date, soon: date) -> Any:
    """The condition that a shelf is in `state`; `soon` is the last day that counts as expiring.

    `shelf` has the ward_id and the drug_id to which the list is narrowed, where it is.

    Out means that nothing may be given: such a shelf is empty, and then low whatever its reorder point, or it holds
    only what has expired, is on hold or was recalled.
    """

    def holding(condition: Any) -> Rows:
        return _holding(organization_id, shelf, condition)

    expired = holding(Lot.expires_on < today)
    match state:
        case StockState.LOW:
            return StockLevel.low
        case StockState.EXPIRED:
            return among(StockLevel.id, expired)
        case StockState.EXPIRING:
            return among(StockLevel.id, holding(Lot.expires_on.between(today, soon)))
        case StockState.OUT:
            level = aliased(StockLevel)
            empty = select(level.id).where(
                level.organization_id == organization_id,
                *(getattr(level, name) == value for name, value in shelf.items()),
                *(level.low, level.on_hand_units == 0),
            )
            suspects = union_all(empty, expired, holding(Lot.status != LotStatus.AVAILABLE))
            return among(StockLevel.id, suspects) & (_available_units(organization_id, today, StockLevel) == 0)


def _holding(organization_id: UUID, shelf: dict[str, UUID], condition: Any) -> Rows:
    """The ids of the shelves with units of lots that meet `condition`, found by the lots."""
    level = aliased(StockLevel)
    lots = select(Lot.id).where(Lot.organization_id == organization_id, condition)
    return (
        select(level.id)
        .join(
            StockLot,
            (StockLot.organization_id == level.organization_id)
            & (StockLot.ward_id == level.ward_id)
            & (StockLot.drug_id == level.drug_id),
        )
        .where(
            level.organization_id == organization_id,
            StockLot.organization_id == organization_id,
            StockLot.quantity_units > 0,
            *(getattr(StockLot, name) == value for name, value in shelf.items()),
            among(StockLot.lot_id, lots),
        )
    )
