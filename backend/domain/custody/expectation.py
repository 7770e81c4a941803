"""What a counted lot should hold: the ledger at the moment of counting.

Decision: a unit counts as gone from the shelf when the request for it arrived, not when its movement was posted.
Because a nurse takes the ampoule and then signs, and the request may wait for a witness's password, for a lane or for a
restarted worker: whoever counts the shelf meanwhile does not see that ampoule. So a line remembers the number of the
shelf's last movement, and what is posted after it and was under way before the lot was counted is taken into account
when the session is completed and when its variance is resolved. Cost: two columns, and two looks more.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, ScalarSelect, and_, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from backend.db import Session, bump
from backend.domain.custody.models import StockCountLine
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.models import MovementReason, StockLevel, StockLot, StockMovement

MOVED_AT = func.least(StockMovement.requested_at, StockMovement.occurred_at)
"""When the units of a movement left the shelf or came to it; LEAST leaves out a NULL."""


def held_at(session: Session, shelf: Shelf, lot_id: UUID, moment: datetime) -> int:
    """Find the units of a lot on a locked shelf at `moment`: what it holds now without what moved since."""
    on_shelf = (
        StockLot.organization_id == shelf.organization_id,
        StockLot.ward_id == shelf.ward_id,
        StockLot.drug_id == shelf.drug_id,
        StockLot.lot_id == lot_id,
    )
    moved_since = select(func.coalesce(func.sum(StockMovement.units), 0)).where(
        StockMovement.organization_id == shelf.organization_id,
        StockMovement.ward_id == shelf.ward_id,
        StockMovement.drug_id == shelf.drug_id,
        StockMovement.lot_id == lot_id,
        moment < MOVED_AT,
    )
    now = session.execute(select(StockLot.quantity_units).where(*on_shelf)).scalar() or 0
    return max(0, int(now - session.execute(moved_since).scalar_one()))


def brought_up_to_date(session: Session, *, count: Row[Any]) -> Sequence[Row[Any]]:
    """List the lines of a locked session by drug and lot, and correct what they expect by what was under way.

    Each has `shelf_sequence`, the number of the last movement that this knows of.
    """
    line, level = StockCountLine, StockLevel
    mine = (line.organization_id == count.organization_id, line.count_id == count.id)
    shelf = (level.organization_id == count.organization_id) & (level.ward_id == count.ward_id)
    late = _under_way(line, ward_id=count.ward_id, after=line.sequence)
    corrected = bump(line, expected_units=func.greatest(0, line.expected_units + late)).where(*mine, late != 0)
    session.execute(corrected)
    lines = (
        select(
            *(line.id, line.drug_id, line.lot_id, line.expected_units, line.counted_units),
            level.sequence.label("shelf_sequence"),
        )
        .join(level, shelf & (level.drug_id == line.drug_id))
        .where(*mine)
        .order_by(line.drug_id, line.lot_id)
    )
    return session.execute(lines).all()


def is_outdated(session: Session, *, discrepancy: Row[Any]) -> bool:
    """Tell whether a locked variance no longer says what is missing.

    It does not where the lot was corrected, or units of it written off, since it was counted, perhaps for this very
    variance; nor where a movement that was under way then was posted since the session was completed.
    """
    line, movement = StockCountLine, StockMovement
    before = movement.recorded_at > line.counted_at  # of a line that a release without `sequence` recorded
    since = or_(movement.sequence > line.sequence, and_(line.sequence.is_(None), before))
    corrected = select(movement.id).where(
        movement.organization_id == discrepancy.organization_id,
        movement.ward_id == discrepancy.ward_id,
        movement.drug_id == discrepancy.drug_id,
        movement.lot_id == discrepancy.lot_id,
        movement.reason.in_([MovementReason.CORRECTION, MovementReason.LOSS]),
        since,
    )
    late = _under_way(line, ward_id=discrepancy.ward_id, after=discrepancy.sequence)
    outdated = select(or_(corrected.exists(), late != 0)).where(
        line.organization_id == discrepancy.organization_id, line.id == discrepancy.count_line_id
    )
    return bool(session.execute(outdated).scalar_one())


def _under_way(
    line: type[StockCountLine], *, ward_id: UUID, after: InstrumentedAttribute[int | None] | int | None
) -> ScalarSelect[Any]:
    """Sum the units of the line's lot that were posted `after` a movement and had moved when the lot was counted."""
    movement = StockMovement
    posted: ColumnElement[bool] = movement.sequence > after
    total = select(func.coalesce(func.sum(movement.units), 0)).where(
        movement.organization_id == line.organization_id,
        movement.ward_id == ward_id,
        movement.drug_id == line.drug_id,
        movement.lot_id == line.lot_id,
        posted,
        line.counted_at >= MOVED_AT,
    )
    return total.correlate(line).scalar_subquery()
