"""The ledger: the only writer of stock.

A posting changes one shelf: its lots, its level and its movements, in one statement, so that balance and ledger
cannot part (mission row A3). Whoever posts holds the shelf's lane and has locked its `stock_levels` row.

Decision: the movements of a shelf are numbered from the level's `sequence`. Because two writers that both slipped past
the lock then collide on a unique key. Cost: one column.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import accumulate
from typing import NamedTuple
from uuid import UUID

from backend.db import Prepared, Session, lane_of, new_id
from backend.errors import Conflict, ValidationFailed
from backend.stock.models import MovementReason
from backend.stock.picking import LotOnShelf

UNITS_ON_SHELF_MAX = 1_000_000_000


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
    """Units of one lot that come (positive) or go (negative); `corrects_id` is the movement that this one undoes."""

    lot_id: UUID
    units: int
    corrects_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """Why units move: `reference_id` is what they move for, `witness_id` the second person, `note` a person's words."""

    reason: MovementReason
    reference_id: UUID
    actor_id: UUID | None
    occurred_at: datetime
    witness_id: UUID | None = None
    note: str | None = None


class Level(NamedTuple):
    """A locked shelf: the units that it holds, and the number of its last movement."""

    on_hand_units: int
    sequence: int


class PostingIncomplete(RuntimeError):
    """A posting did not find the rows that its caller had locked: a bug, never a refusal."""


class StockWouldBeNegative(Conflict):
    """This would take more units of the lot than the shelf holds; `available_units` says how many those are."""


# $1 organization, $2 ward, $3 drug, $4 movement ids, $5 lots, $6 units, $7 running units, $8 reason, $9 reference, $10
# actor, $11 time it happened, $12 witness, $13 corrected movements, $14 note, $15 time of the request. A CTE list, so
# that a use case can add its own changes to the same statement. `recorded_at` never falls behind the movement before,
# whatever the clock does: what a shelf held at a moment must not depend on a clock that was set back.
POSTING = """
lines AS (
  SELECT * FROM unnest($4, $5, $6, $7, $13) WITH ORDINALITY
    AS line (id, lot_id, units, running, corrects_id, place)
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
    reason, reference_id, actor_id, occurred_at, witness_id, corrects_id, note, requested_at, recorded_at)
  SELECT $1, lines.id, $2, $3, lines.lot_id, level.sequence - cardinality($4) + lines.place, lines.units,
    level.on_hand_units - ($7)[cardinality($7)] + lines.running, $8, $9, $10, $11, $12, lines.corrects_id, $14, $15,
    GREATEST(clock_timestamp(), (SELECT m.recorded_at FROM stock_movements m WHERE m.organization_id = $1
      AND m.ward_id = $2 AND m.drug_id = $3 AND m.sequence = level.sequence - cardinality($4)))
  FROM lines, level
)"""
POSTING_TYPES = (
    *("uuid", "uuid", "uuid", "uuid[]", "uuid[]", "int[]", "int[]"),
    *("movement_reason", "uuid", "uuid", "timestamptz", "uuid", "uuid[]", "text", "timestamptz"),
)

# The same for many shelves at once, with nothing corrected: $1 organization, $2 actor, $3 time it happened, $4 witness,
# $5 reason, $6 time of the request; of each line $7 movement id, $8 reference, $9 ward, $10 drug, $11 lot, $12 units.
POSTINGS = """
lines AS (
  SELECT *, row_number() OVER shelf AS place, sum(units) OVER shelf AS running
  FROM unnest($7, $8, $9, $10, $11, $12) WITH ORDINALITY
    AS line (id, reference_id, ward_id, drug_id, lot_id, units, number)
  WINDOW shelf AS (PARTITION BY ward_id, drug_id ORDER BY number)
), levels AS (
  UPDATE stock_levels l SET
    on_hand_units = l.on_hand_units + shelf.units,
    sequence = l.sequence + shelf.lines,
    version = l.version + 1
  FROM (SELECT ward_id, drug_id, count(*) AS lines, sum(units) AS units FROM lines GROUP BY ward_id, drug_id) shelf
  WHERE l.organization_id = $1 AND l.ward_id = shelf.ward_id AND l.drug_id = shelf.drug_id
  RETURNING l.ward_id, l.drug_id,
    l.on_hand_units - shelf.units AS units_before, l.sequence - shelf.lines AS sequence_before
), taken AS (
  UPDATE stock_lots s SET quantity_units = s.quantity_units + lot.units, version = s.version + 1
  FROM (SELECT ward_id, drug_id, lot_id, sum(units) AS units FROM lines GROUP BY ward_id, drug_id, lot_id) lot
  WHERE s.organization_id = $1 AND s.ward_id = lot.ward_id AND s.drug_id = lot.drug_id AND s.lot_id = lot.lot_id
  RETURNING 1
), movements AS (
  INSERT INTO stock_movements (organization_id, id, ward_id, drug_id, lot_id, sequence, units, balance_after_units,
    reason, reference_id, actor_id, occurred_at, witness_id, requested_at, recorded_at)
  SELECT $1, lines.id, ward_id, drug_id, lines.lot_id, sequence_before + place, lines.units, units_before + running,
    $5, lines.reference_id, $2, $3, $4, $6,
    GREATEST(clock_timestamp(), (SELECT m.recorded_at FROM stock_movements m WHERE m.organization_id = $1
      AND m.ward_id = lines.ward_id AND m.drug_id = lines.drug_id AND m.sequence = sequence_before))
  FROM lines JOIN levels USING (ward_id, drug_id)
  RETURNING 1
)"""
POSTINGS_TYPES = (
    *("uuid", "uuid", "timestamptz", "uuid", "movement_reason", "timestamptz"),
    *("uuid[]", "uuid[]", "uuid[]", "uuid[]", "uuid[]", "int[]"),
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
# A shelf that holds a lot for the first time raises the lot's version: a recall whose snapshot is older then fails with
# 40001 and runs again, instead of missing the shelf.
_OPEN_LOT = Prepared(
    "open_lot",
    ("uuid", "uuid", "uuid", "uuid", "uuid"),
    """WITH opened AS (
      INSERT INTO stock_lots (organization_id, id, ward_id, drug_id, lot_id, quantity_units)
      VALUES ($1, $2, $3, $4, $5, 0)
      ON CONFLICT (organization_id, ward_id, drug_id, lot_id) DO NOTHING RETURNING lot_id)
    UPDATE lots SET version = version + 1 FROM opened WHERE organization_id = $1 AND id = opened.lot_id""",
)
_LOCK = Prepared(
    "lock_shelf",
    ("uuid", "uuid", "uuid"),
    """SELECT on_hand_units, sequence FROM stock_levels
    WHERE organization_id = $1 AND ward_id = $2 AND drug_id = $3 FOR UPDATE""",
)
_LOCK_LOTS = Prepared(
    "lock_lots",
    ("uuid", "uuid", "uuid", "date"),
    """SELECT s.lot_id, t.lot_number, t.expires_on, s.quantity_units, t.status = 'available' AND t.expires_on >= $4
    FROM stock_lots s JOIN lots t ON t.organization_id = $1 AND t.id = s.lot_id
    WHERE s.organization_id = $1 AND s.ward_id = $2 AND s.drug_id = $3 AND s.quantity_units > 0
    ORDER BY t.expires_on, t.id FOR UPDATE OF s""",
)


def posting_values(session: Session, shelf: Shelf, lines: Sequence[Line], cause: Cause) -> list[object]:
    """List the values of `$1` to `$15` of POSTING."""
    units = [line.units for line in lines]
    return [
        shelf.organization_id,
        shelf.ward_id,
        shelf.drug_id,
        [new_id() for _ in lines],
        [line.lot_id for line in lines],
        units,
        list(accumulate(units)),
        cause.reason.value,
        cause.reference_id,
        cause.actor_id,
        cause.occurred_at,
        cause.witness_id,
        [line.corrects_id for line in lines],
        cause.note,
        session.requested_at,
    ]


def ensure_complete(on_hand_units: int | None, taken: int, lots: int) -> int:
    """What the shelf holds after a posting of so many `lots`. Raises PostingIncomplete when a row was not there."""
    if on_hand_units is None or taken != lots:
        raise PostingIncomplete(f"{taken} of {lots} lots were on the shelf")
    return on_hand_units


def lock_shelf(session: Session, shelf: Shelf) -> Level:
    """Make the shelf's level if it has none, and lock it."""
    session.run(_OPEN_SHELF, (shelf.organization_id, new_id(), shelf.ward_id, shelf.drug_id))
    return Level(*session.run(_LOCK, (shelf.organization_id, shelf.ward_id, shelf.drug_id))[0])


def lock_lots(session: Session, shelf: Shelf, *, today: date) -> list[LotOnShelf]:
    """The lots of a locked shelf that hold units, first expiring first, each `usable` or kept back."""
    rows = session.run(_LOCK_LOTS, (shelf.organization_id, shelf.ward_id, shelf.drug_id, today))
    return [LotOnShelf(*row) for row in rows]


def post(session: Session, shelf: Shelf, lines: Sequence[Line], cause: Cause) -> int:
    """Posts `lines`, of a lot each, to a shelf whose lane is held, and says how many units it holds afterwards.

    Lots that are new to the shelf are opened. Raises StockWouldBeNegative, ValidationFailed (more than a shelf holds),
    PostingIncomplete.
    """
    on_hand_units, _ = lock_shelf(session, shelf)
    if on_hand_units + sum(line.units for line in lines) > UNITS_ON_SHELF_MAX:
        raise ValidationFailed.of("quantity_units", f"a shelf holds at most {UNITS_ON_SHELF_MAX} units")
    held = {lot.lot_id: lot.quantity_units for lot in lock_lots(session, shelf, today=date.max)}
    for line in lines:
        if held.get(line.lot_id, 0) + line.units < 0:
            raise StockWouldBeNegative(lot_id=line.lot_id, available_units=held.get(line.lot_id, 0))
        session.run(_OPEN_LOT, (shelf.organization_id, new_id(), shelf.ward_id, shelf.drug_id, line.lot_id))
    ((after, taken),) = session.run(_POST, posting_values(session, shelf, lines, cause))
    return ensure_complete(after, taken, len(lines))
