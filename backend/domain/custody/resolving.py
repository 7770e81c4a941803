"""Resolve a discrepancy: a variance of a count, or a shortfall of a transfer.

Decision: a variance changes stock only as long as nobody has corrected the lot since it was counted. Because two counts
find the same missing unit, one shift after the other, and resolving both would lose it twice. Cost: where another unit
is missing too, the lot is counted once more.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from backend.actor import Actor, Role
from backend.db import Session, change
from backend.db.filters import same_hospital
from backend.domain.custody import expectation
from backend.domain.custody.discrepancies import (
    DiscrepancyView,
    close,
    find_discrepancy,
    get_discrepancy,
    lock_unresolved,
)
from backend.domain.custody.errors import VarianceOutdated
from backend.domain.custody.models import (
    DiscrepancyKind,
    Resolution,
    StockTransfer,
    StockTransferLine,
    StockTransferLot,
)
from backend.domain.custody.transfers import add_received, change_lot
from backend.domain.identity.witnesses import Witness
from backend.domain.stock import ledger
from backend.domain.stock.ledger import Cause, Line, Shelf
from backend.domain.stock.models import MovementReason

REASONS = {Resolution.CORRECTION: MovementReason.CORRECTION, Resolution.LOSS: MovementReason.LOSS}


def shelves_of(session: Session, actor: Actor, discrepancy_id: UUID, resolution: Resolution) -> list[Shelf]:
    """Find the shelf whose stock a resolution may change.

    It is the shelf that was counted; of a shortfall the source's if the units went back, else the destination's.
    Raises DiscrepancyNotFound.
    """
    found = find_discrepancy(session, organization_id=actor.organization_id, discrepancy_id=discrepancy_id)
    return [_shelf_of(session, found, resolution)]


def _shelf_of(session: Session, found: Row[Any], resolution: Resolution) -> Shelf:
    back = found.kind is DiscrepancyKind.TRANSFER and resolution is Resolution.RETURNED
    return Shelf(found.organization_id, _source_of(session, found) if back else found.ward_id, found.drug_id)


@change(may=frozenset({Role.PHARMACIST}), places=shelves_of)
def resolve(
    session: Session,
    *,
    actor: Actor,
    discrepancy_id: UUID,
    resolution: Resolution,
    reason: str,
    witness: Witness | None = None,
) -> DiscrepancyView:
    """End a discrepancy, once, and change the stock accordingly by a movement of its own.

    Raises DiscrepancyNotFound, DiscrepancyResolved, ValidationFailed (a resolution of the other kind), WitnessRequired
    (a controlled drug), VarianceOutdated, StockWouldBeNegative.
    """
    found = lock_unresolved(session, organization_id=actor.organization_id, discrepancy_id=discrepancy_id)
    witness_id = close(
        session,
        actor=actor,
        discrepancy=found,
        resolution=resolution,
        reason=reason,
        witness=witness,
        now=session.now,
    )
    if found.kind is DiscrepancyKind.TRANSFER:
        shelf = _shelf_of(session, found, resolution)
        cause = Cause(MovementReason.TRANSFER_IN, found.id, actor.user_id, session.now, witness_id, reason)
        _settle_shortfall(session, found, shelf, resolution, cause)
    elif resolution is not Resolution.MISCOUNT:
        cause = Cause(REASONS[resolution], found.id, actor.user_id, session.now, witness_id, reason)
        _settle_variance(session, found, cause)
    return get_discrepancy(session, actor=actor, discrepancy_id=discrepancy_id)


def _settle_variance(session: Session, variance: Row[Any], cause: Cause) -> None:
    """Post the units that a count found too many or too few. Raises VarianceOutdated, StockWouldBeNegative."""
    if expectation.is_outdated(session, discrepancy=variance):
        raise VarianceOutdated()
    shelf = Shelf(variance.organization_id, variance.ward_id, variance.drug_id)
    ledger.post(session, shelf, [Line(variance.lot_id, variance.found_units - variance.expected_units)], cause)


def _settle_shortfall(
    session: Session, shortfall: Row[Any], shelf: Shelf, resolution: Resolution, cause: Cause
) -> None:
    """Record the missing units as lost, or post them to the shelf where they are."""
    missing = shortfall.expected_units - shortfall.found_units
    organization_id, transfer_lot_id = shortfall.organization_id, shortfall.transfer_lot_id
    if resolution is Resolution.LOSS:
        change_lot(session, organization_id=organization_id, transfer_lot_id=transfer_lot_id, lost_units=missing)
        return
    ledger.post(session, shelf, [Line(shortfall.lot_id, missing)], cause)
    if resolution is Resolution.RETURNED:
        change_lot(session, organization_id=organization_id, transfer_lot_id=transfer_lot_id, returned_units=missing)
    else:
        lot = _lot(session, organization_id, transfer_lot_id)
        add_received(session, organization_id=organization_id, lot=lot, units=missing)


def _source_of(session: Session, shortfall: Row[Any]) -> UUID:
    """Find the ward that sent the units of a shortfall."""
    lot, line, transfer = StockTransferLot, StockTransferLine, StockTransfer
    ward_id: UUID = session.execute(
        select(transfer.source_ward_id)
        .join(line, same_hospital(transfer, by=line.transfer_id))
        .join(lot, same_hospital(line, by=lot.line_id))
        .where(lot.organization_id == shortfall.organization_id, lot.id == shortfall.transfer_lot_id)
    ).scalar_one()
    return ward_id


def _lot(session: Session, organization_id: UUID, transfer_lot_id: UUID) -> Row[Any]:
    lot = StockTransferLot
    return session.execute(
        select(lot.id, lot.line_id).where(lot.organization_id == organization_id, lot.id == transfer_lot_id)
    ).one()
