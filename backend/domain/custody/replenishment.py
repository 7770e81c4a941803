"""Replenishment: what a ward lacks to its par levels, counting what is on its way, and the transfer that brings it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, case, cast, func, select

from backend.actor import Actor
from backend.db import Rows, Session, change
from backend.db.filters import same_hospital
from backend.db.paging import Page, PageRequest, read_page
from backend.domain.custody.blind import hidden_from
from backend.domain.custody.errors import NothingToReplenish
from backend.domain.custody.models import StockTransfer, StockTransferLine, StockTransferLot, TransferStatus
from backend.domain.custody.transfer_queries import Transfer
from backend.domain.custody.transfers import LINES_MAX, WARD_STAFF, Wanted, request_transfer
from backend.domain.formulary.models import Drug
from backend.domain.organizations.calendar import today_of
from backend.domain.organizations.models import Ward
from backend.domain.organizations.wards import get_ward, touch_ward
from backend.domain.stock.hiding import Hides
from backend.domain.stock.models import Lot, LotStatus, StockLevel, StockLot

FIRST = PageRequest(limit=LINES_MAX)  # as many drugs as one transfer takes


def propose(
    session: Session, *, organization_id: UUID, ward_id: UUID, hides: Hides, now: datetime, page: PageRequest = FIRST
) -> Page:
    """List par minus available minus inbound, for every drug of the ward where that is positive, a page of them.

    Those below their reorder point come first. Shelves whose figures are hidden are left out. Raises WardNotFound.
    """
    get_ward(session, organization_id=organization_id, ward_id=ward_id)
    today = today_of(session, organization_id=organization_id, now=now)
    usable = _usable(organization_id, ward_id, today).subquery()
    inbound = _inbound(organization_id, ward_id).subquery()
    available = func.coalesce(usable.c.units, 0)
    coming = func.coalesce(inbound.c.units, 0)
    proposed = StockLevel.par_level_units - available - coming
    below = available + coming <= StockLevel.reorder_point_units
    rows = (
        select(
            StockLevel.drug_id,
            Drug.name.label("drug_name"),
            Drug.strength,
            Drug.unit,
            StockLevel.reorder_point_units,
            StockLevel.par_level_units,
            available.label("available_units"),
            coming.label("inbound_units"),
            proposed.label("proposed_units"),
            below.label("below_reorder_point"),
        )
        .join(Drug, same_hospital(Drug, by=StockLevel.drug_id))
        .outerjoin(usable, usable.c.drug_id == StockLevel.drug_id)
        .outerjoin(inbound, inbound.c.drug_id == StockLevel.drug_id)
        .where(
            StockLevel.organization_id == organization_id,
            StockLevel.ward_id == ward_id,
            Drug.archived_at.is_(None),
            proposed > 0,
            ~hides(ward=StockLevel.ward_id, drug=StockLevel.drug_id),
        )
    )
    urgency = case((below, 0), else_=1)
    return read_page(session, rows, page, urgency, Drug.name_key, StockLevel.drug_id)


def hides_some(session: Session, *, organization_id: UUID, ward_id: UUID, hides: Hides) -> bool:
    """Whether the proposal of the ward leaves a shelf out because its figures are hidden."""
    ward = select(Ward.id).where(Ward.organization_id == organization_id, Ward.id == ward_id, hides(ward=Ward.id))
    return session.execute(ward).first() is not None


@change(may=WARD_STAFF)
def replenish(session: Session, *, actor: Actor, ward_id: UUID, source_ward_id: UUID) -> Transfer:
    """Request the first page of what `propose` lists from another ward; asked again, the next.

    The ward's row is the lock: the second of two requests fails with 40001, runs again and counts the first as inbound.
    Raises WardNotFound, NotOnThisWard, NothingToReplenish, ValidationFailed.
    """
    touch_ward(session, organization_id=actor.organization_id, ward_id=ward_id)
    hides, organization_id = hidden_from(actor), actor.organization_id
    lines = propose(session, organization_id=organization_id, ward_id=ward_id, hides=hides, now=session.now).items
    if not lines:
        raise NothingToReplenish()
    return request_transfer(
        session,
        actor=actor,
        source_ward_id=source_ward_id,
        destination_ward_id=ward_id,
        lines=[Wanted(line.drug_id, line.proposed_units) for line in lines],
    )


def _usable(organization_id: UUID, ward_id: UUID, today: Any) -> Rows:
    """Units by drug that may be given."""
    return (
        select(StockLot.drug_id, cast(func.sum(StockLot.quantity_units), Integer).label("units"))
        .join(Lot, same_hospital(Lot, by=StockLot.lot_id))
        .where(
            StockLot.organization_id == organization_id,
            StockLot.ward_id == ward_id,
            Lot.status == LotStatus.AVAILABLE,
            Lot.expires_on >= today,
        )
        .group_by(StockLot.drug_id)
    )


def _inbound(organization_id: UUID, ward_id: UUID) -> Rows:
    """Units by drug that were asked for and not sent yet, or sent and not accounted for yet."""
    transfer, line, lot = StockTransfer, StockTransferLine, StockTransferLot
    on_the_way = (
        select(
            func.coalesce(func.sum(lot.dispatched_units - lot.received_units - lot.returned_units - lot.lost_units), 0)
        )
        .where(same_hospital(line, by=lot.line_id))
        .scalar_subquery()
    )
    asked = (transfer.status == TransferStatus.REQUESTED, line.quantity_units)
    sent = (transfer.status == TransferStatus.DISPATCHED, on_the_way)
    units = cast(func.sum(case(asked, sent, else_=0)), Integer)
    return (
        select(line.drug_id, units.label("units"))
        .join(transfer, same_hospital(transfer, by=line.transfer_id))
        .where(
            line.organization_id == organization_id,
            transfer.organization_id == organization_id,
            transfer.destination_ward_id == ward_id,
            transfer.status.in_((TransferStatus.REQUESTED, TransferStatus.DISPATCHED)),
        )
        .group_by(line.drug_id)
    )
