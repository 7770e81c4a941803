"""The ledger: the only writer of stock.

A posting changes one shelf: its lots, its level and its movements, in one statement, so that balance and ledger
cannot part (mission row A3). Whoever posts holds the shelf's lane and has locked its `stock_levels` row.

Decision: the movements of a shelf are numbered from the level's `sequence`. Because two writers that both slipped past
the lock then collide on a unique key. Cost: one column.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from uuid import UUID

from backend.db import Prepared, Session, lane_of, new_id
from backend.errors import Conflict
from backend.stock.models import MovementReason


@dataclass(frozen=True, slots=True)
class Shelf:
    """A drug on a ward: what a lane and a stock level stand for."""

    organization_id: UUID
    ward_id: UUID
    drug_id: UUID

    @property
    def lane(self) -> int:
        """The lane that a writer of this shelf takes first."""
        return lane_of(self.organization_id, self.ward_id, self.drug_id)


@dataclass(frozen=True, slots=True)
class Line:
    """Units of one lot that come (positive) or go (negative)."""

    lot_id: UUID
    units: int


class PostingIncomplete(RuntimeError):
    """A posting did not find the rows that its caller had locked: a bug, never a refusal."""


class StockWouldBeNegative(Conflict):
    """The posting would take more units than the shelf or the lot holds. Nothing was changed."""


# $1 organization, $2 ward, $3 drug, $4 movement ids, $5 lots, $6 units, $7 running units, $8 reason, $9 reference,
# $10 actor, $11 time it happened. A CTE list, so that a use case can add its own changes to the same statement.
POSTING = """
lines AS (
  SELECT * FROM unnest($4, $5, $6, $7) WITH ORDINALITY AS line (id, lot_id, units, running, place)
), level AS (
  UPDATE stock_levels SET
    on_hand_units = on_hand_units + ($7)[cardinality($7)],
    sequence = sequence + cardinality($4),
    version = version + 1
  WHERE organization_id = $1 AND ward_id = $2 AND drug_id = $3
  RETURNING on_hand_units, sequence
), taken AS (
  UPDATE stock_lots s SET quantity_units = s.quantity_units + lines.units, version = s.version + 1
  FROM lines
  WHERE s.organization_id = $1 AND s.ward_id = $2 AND s.drug_id = $3 AND s.lot_id = lines.lot_id
  RETURNING 1
), movements AS (
  INSERT INTO stock_movements (organization_id, id, ward_id, drug_id, lot_id, sequence, units, balance_after_units,
    reason, reference_id, actor_id, occurred_at)
  SELECT $1, lines.id, $2, $3, lines.lot_id, level.sequence - cardinality($4) + lines.place, lines.units,
    level.on_hand_units - ($7)[cardinality($7)] + lines.running, $8, $9, $10, $11
  FROM lines, level
)"""
POSTING_TYPES = (
    *("uuid", "uuid", "uuid", "uuid[]", "uuid[]", "int[]", "int[]"),
    *("movement_reason", "uuid", "uuid", "timestamptz"),
)

_POST = Prepared(
    "post",
    POSTING_TYPES,
    f"WITH {POSTING} SELECT (SELECT on_hand_units FROM level), (SELECT count(*) FROM taken)",
)
_OPEN_SHELF = Prepared(
    "open_shelf",
    ("uuid", "uuid", "uuid", "uuid"),
    """INSERT INTO stock_levels (organization_id, id, ward_id, drug_id) VALUES ($1, $2, $3, $4)
    ON CONFLICT (organization_id, ward_id, drug_id) DO UPDATE SET version = stock_levels.version + 1""",
)
_OPEN_LOT = Prepared(
    "open_lot",
    ("uuid", "uuid", "uuid", "uuid", "uuid"),
    """INSERT INTO stock_lots (organization_id, id, ward_id, drug_id, lot_id, quantity_units)
    VALUES ($1, $2, $3, $4, $5, 0) ON CONFLICT (organization_id, ward_id, drug_id, lot_id) DO NOTHING""",
)
_LOCK = Prepared(
    "lock_shelf",
    ("uuid", "uuid", "uuid"),
    """SELECT on_hand_units FROM stock_levels
    WHERE organization_id = $1 AND ward_id = $2 AND drug_id = $3 FOR UPDATE""",
)


def posting_values(
    shelf: Shelf,
    lines: Sequence[Line],
    *,
    reason: MovementReason,
    reference_id: UUID,
    actor_id: UUID | None,
    occurred_at: datetime,
) -> list[object]:
    """The values of `$1` to `$11` of POSTING."""
    units = [line.units for line in lines]
    return [
        shelf.organization_id,
        shelf.ward_id,
        shelf.drug_id,
        [new_id() for _ in lines],
        [line.lot_id for line in lines],
        units,
        list(accumulate(units)),
        reason.value,
        reference_id,
        actor_id,
        occurred_at,
    ]


def ensure_complete(on_hand_units: int | None, taken: int, lines: Sequence[Line]) -> int:
    """What the shelf holds after a posting of `lines`. Raises PostingIncomplete when a row was not there."""
    if on_hand_units is None or taken != len(lines):
        raise PostingIncomplete(f"{taken} of {len(lines)} lots were on the shelf")
    return on_hand_units


def lock_shelf(session: Session, shelf: Shelf) -> int:
    """Makes the shelf's level if it has none, locks it, and says how many units it holds."""
    session.run(_OPEN_SHELF, (shelf.organization_id, new_id(), shelf.ward_id, shelf.drug_id))
    (on_hand_units,) = session.run(_LOCK, (shelf.organization_id, shelf.ward_id, shelf.drug_id))[0]
    return int(on_hand_units)


def post(
    session: Session,
    shelf: Shelf,
    lines: Sequence[Line],
    *,
    reason: MovementReason,
    reference_id: UUID,
    actor_id: UUID | None,
    occurred_at: datetime,
) -> int:
    """Posts `lines` to a locked shelf and says how many units it holds afterwards.

    Lots that are new to the shelf are opened. Raises StockWouldBeNegative, PostingIncomplete.
    """
    on_hand_units = lock_shelf(session, shelf)
    if on_hand_units + sum(line.units for line in lines) < 0:
        raise StockWouldBeNegative()
    for line in lines:
        session.run(_OPEN_LOT, (shelf.organization_id, new_id(), shelf.ward_id, shelf.drug_id, line.lot_id))
    values = posting_values(
        shelf, lines, reason=reason, reference_id=reference_id, actor_id=actor_id, occurred_at=occurred_at
    )
    ((after, taken),) = session.run(_POST, values)
    return ensure_complete(after, taken, lines)
