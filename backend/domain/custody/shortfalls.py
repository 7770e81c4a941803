"""Shortfalls: how a discrepancy of a transfer ends."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from backend.actor import Actor
from backend.db import Session
from backend.db.filters import same_hospital
from backend.domain.custody.discrepancies import close
from backend.domain.custody.models import Resolution, StockTransfer, StockTransferLine, StockTransferLot
from backend.domain.custody.transfers import add_received, change_lot
from backend.domain.identity.witnesses import Witness
from backend.domain.stock import ledger
from backend.domain.stock.ledger import Cause, Line, Shelf
from backend.domain.stock.models import MovementReason


def shelf_to_credit(session: Session, *, discrepancy: Row[Any], resolution: Resolution) -> Shelf:
    """The shelf that a resolution puts the units on: the source's where they went back, else the destination's."""
    lot, line, transfer = StockTransferLot, StockTransferLine, StockTransfer
    source = session.execute(
        select(transfer.source_ward_id)
        .join(line, same_hospital(transfer, by=line.transfer_id))
        .join(lot, same_hospital(line, by=lot.line_id))
        .where(lot.organization_id == discrepancy.organization_id, lot.id == discrepancy.transfer_lot_id)
    ).scalar_one()
    ward_id = source if resolution is Resolution.RETURNED else discrepancy.ward_id
    return Shelf(discrepancy.organization_id, ward_id, discrepancy.drug_id)


def resolve_shortfall(
    session: Session,
    *,
    actor: Actor,
    discrepancy: Row[Any],
    shelf: Shelf,
    resolution: Resolution,
    reason: str,
    witness: Witness | None,
    now: datetime,
) -> None:
    """Ends a locked shortfall: the missing units are on `shelf`, or lost; the caller has taken its lane.

    Raises ValidationFailed, WitnessRequired (a controlled drug).
    """
    witness_id = close(
        session,
        actor=actor,
        discrepancy=discrepancy,
        resolution=resolution,
        reason=reason,
        witness=witness,
        now=now,
    )
    missing = discrepancy.expected_units - discrepancy.found_units
    organization_id, lot_id = actor.organization_id, discrepancy.transfer_lot_id
    if resolution is Resolution.LOSS:
        change_lot(session, organization_id=organization_id, transfer_lot_id=lot_id, lost_units=missing)
        return
    cause = Cause(MovementReason.TRANSFER_IN, discrepancy.id, actor.user_id, now, witness_id, reason)
    ledger.post(session, shelf, [Line(discrepancy.lot_id, missing)], cause)
    if resolution is Resolution.RETURNED:
        change_lot(session, organization_id=organization_id, transfer_lot_id=lot_id, returned_units=missing)
    else:
        lot = _lot(session, organization_id, lot_id)
        add_received(session, organization_id=organization_id, lot=lot, units=missing)


def _lot(session: Session, organization_id: UUID, transfer_lot_id: UUID) -> Row[Any]:
    lot = StockTransferLot
    return session.execute(
        select(lot.id, lot.line_id).where(lot.organization_id == organization_id, lot.id == transfer_lot_id)
    ).one()
