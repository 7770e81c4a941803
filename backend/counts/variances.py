"""Variances: how a discrepancy of a count ends.

Decision: a variance changes stock only as long as nobody has corrected the lot since it was counted. Because two counts
find the same missing unit, one shift after the other, and resolving both would lose it twice. Cost: where another unit
is missing too, the lot is counted once more.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from backend.actor import Actor
from backend.counts.errors import VarianceOutdated
from backend.counts.models import StockCountLine
from backend.db import Session
from backend.discrepancies.discrepancies import close
from backend.discrepancies.models import Resolution
from backend.stock import ledger
from backend.stock.ledger import Cause, Line, Shelf
from backend.stock.models import MovementReason, StockMovement

REASONS = {Resolution.CORRECTION: MovementReason.CORRECTION, Resolution.LOSS: MovementReason.LOSS}


def resolve_variance(
    session: Session,
    *,
    actor: Actor,
    discrepancy: Row[Any],
    shelf: Shelf,
    resolution: Resolution,
    reason: str,
    witness_id: UUID | None,
    now: datetime,
) -> None:
    """Ends a locked variance; unless the count was wrong, the shelf changes by it. The caller has taken the lane.

    Raises ValidationFailed, WitnessRequired (a controlled drug), VarianceOutdated, StockWouldBeNegative.
    """
    close(
        session,
        actor=actor,
        discrepancy=discrepancy,
        resolution=resolution,
        reason=reason,
        witness_id=witness_id,
        now=now,
    )
    if resolution is Resolution.MISCOUNT:
        return
    _ensure_up_to_date(session, discrepancy)
    units = discrepancy.found_units - discrepancy.expected_units
    cause = Cause(REASONS[resolution], discrepancy.id, actor.user_id, now, witness_id, reason)
    ledger.post(session, shelf, [Line(discrepancy.lot_id, units)], cause)


def _ensure_up_to_date(session: Session, discrepancy: Row[Any]) -> None:
    """Raises VarianceOutdated where the lot was corrected, or units of it written off, since it was counted."""
    line, movement = StockCountLine, StockMovement
    counted_at = (
        select(line.counted_at)
        .where(line.organization_id == discrepancy.organization_id, line.id == discrepancy.count_line_id)
        .scalar_subquery()
    )
    corrected = select(movement.id).where(
        movement.organization_id == discrepancy.organization_id,
        movement.ward_id == discrepancy.ward_id,
        movement.drug_id == discrepancy.drug_id,
        movement.lot_id == discrepancy.lot_id,
        movement.recorded_at > counted_at,
        movement.reason.in_(REASONS.values()),
    )
    if session.execute(corrected.limit(1)).first() is not None:
        raise VarianceOutdated()
