"""Variances: how a discrepancy of a count ends.

Decision: a variance changes stock only as long as nobody has corrected the lot since it was counted. Because two counts
find the same missing unit, one shift after the other, and resolving both would lose it twice. Cost: where another unit
is missing too, the lot is counted once more.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Row

from backend.actor import Actor
from backend.db import Session
from backend.domain.custody import expectation
from backend.domain.custody.discrepancies import close
from backend.domain.custody.errors import VarianceOutdated
from backend.domain.custody.models import Resolution
from backend.domain.identity.witnesses import Witness
from backend.domain.stock import ledger
from backend.domain.stock.ledger import Cause, Line, Shelf
from backend.domain.stock.models import MovementReason

REASONS = {Resolution.CORRECTION: MovementReason.CORRECTION, Resolution.LOSS: MovementReason.LOSS}


def resolve_variance(
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
    """Ends a locked variance; unless the count was wrong, the shelf changes by it. The caller has taken the lane.

    Raises ValidationFailed, WitnessRequired (a controlled drug), VarianceOutdated, StockWouldBeNegative.
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
    if resolution is Resolution.MISCOUNT:
        return
    if expectation.is_outdated(session, discrepancy=discrepancy):
        raise VarianceOutdated()
    units = discrepancy.found_units - discrepancy.expected_units
    cause = Cause(REASONS[resolution], discrepancy.id, actor.user_id, now, witness_id, reason)
    ledger.post(session, shelf, [Line(discrepancy.lot_id, units)], cause)
