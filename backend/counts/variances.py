"""Variances: how a discrepancy of a count ends."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from backend.actor import Actor
from backend.db import Session
from backend.discrepancies.discrepancies import close
from backend.discrepancies.models import Resolution
from backend.stock import ledger
from backend.stock.ledger import Cause, Line, Shelf
from backend.stock.models import MovementReason

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

    Raises ValidationFailed, WitnessRequired (a controlled drug), StockWouldBeNegative.
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
    units = discrepancy.found_units - discrepancy.expected_units
    cause = Cause(REASONS[resolution], discrepancy.id, actor.user_id, now, witness_id, reason)
    ledger.post(session, shelf, [Line(discrepancy.lot_id, units)], cause)
