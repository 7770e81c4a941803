"""The ledger: the only writer of stock.

A posting changes one shelf: its lots, its level and its movements, in one statement, so that balance and ledger
cannot part. Whoever posts holds the shelf's lane and has locked its `stock_levels` row.

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
from backend.domain.stock.models import MovementReason
from backend.domain.stock.picking import LotOnShelf
from backend.errors import Conflict, ValidationFailed

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
    """This would take more units of the lot than the shelf holds; `lot_id` is the lot and `available_units`
    what it holds."""


# A list of CTEs, so that a use case can add its own changes to the same statement. `recorded_at` never falls behind the
# movement before, whatever the clock does: what a shelf held at a moment must not depend on a clock that was set back.
POSTING = """
lines AS (
  SELECT * FROM unnest(:movement_ids::uuid[], :lot_ids::uuid[], :units::int[], :running_units::int[],
      :corrected_ids::uuid[]) WITH ORDINALITY
    AS line (id, lot_id, units, running, corrects_id, place)
), level AS (
  UPDATE stock_levels SET
    on_hand_units = on_hand_units + (:running_units)[cardinality(:running_units)],
    sequence = sequence + cardinality(:movement_ids),
    version = version + 1
  WHERE organization_id = :organization_id::uuid AND ward_id = :ward_id::uuid AND drug_id = :drug_id::uuid
  RETURNING on_hand_units, sequence
), taken AS (
  UPDATE stock_lots s SET quantity_units = s.quantity_units + lines.units, version = s.version + 1
  FROM lines
  WHERE s.organization_id = :organization_id AND s.ward_id = :ward_id AND s.drug_id = :drug_id
    AND s.lot_id = lines.lot_id
  RETURNING 1
), movements AS (
  INSERT INTO stock_movements (organization_id, id, ward_id, drug_id, lot_id, sequence, units, balance_after_units,
    reason, reference_id, actor_id, occurred_at, witness_id, corrects_id, note, requested_at, recorded_at)
  SELECT :organization_id, lines.id, :ward_id, :drug_id, lines.lot_id,
    level.sequence - cardinality(:movement_ids) + lines.place, lines.units,
    level.on_hand_units - (:running_units)[cardinality(:running_units)] + lines.running,
    :reason::movement_reason, :reference_id::uuid, :actor_id::uuid, :occurred_at::timestamptz, :witness_id::uuid,
    lines.corrects_id, :note::text, :requested_at::timestamptz,
    GREATEST(clock_timestamp(), (SELECT m.recorded_at FROM stock_movements m
      WHERE m.organization_id = :organization_id AND m.ward_id = :ward_id AND m.drug_id = :drug_id
        AND m.sequence = level.sequence - cardinality(:movement_ids)))
  FROM lines, level
)"""

# The same for many shelves at once, with nothing corrected: the parameters in the plural have a value for each line.
POSTINGS = """
lines AS (
  SELECT *, row_number() OVER shelf AS place, sum(units) OVER shelf AS running
  FROM unnest(:movement_ids::uuid[], :reference_ids::uuid[], :ward_ids::uuid[], :drug_ids::uuid[], :lot_ids::uuid[],
      :units::int[]) WITH ORDINALITY
    AS line (id, reference_id, ward_id, drug_id, lot_id, units, number)
  WINDOW shelf AS (PARTITION BY ward_id, drug_id ORDER BY number)
), levels AS (
  UPDATE stock_levels l SET
    on_hand_units = l.on_hand_units + shelf.units,
    sequence = l.sequence + shelf.lines,
    version = l.version + 1
  FROM (SELECT ward_id, drug_id, count(*) AS lines, sum(units) AS units FROM lines GROUP BY ward_id, drug_id) shelf
  WHERE l.organization_id = :organization_id::uuid AND l.ward_id = shelf.ward_id AND l.drug_id = shelf.drug_id
  RETURNING l.ward_id, l.drug_id,
    l.on_hand_units - shelf.units AS units_before, l.sequence - shelf.lines AS sequence_before
), taken AS (
  UPDATE stock_lots s SET quantity_units = s.quantity_units + lot.units, version = s.version + 1
  FROM (SELECT ward_id, drug_id, lot_id, sum(units) AS units FROM lines GROUP BY ward_id, drug_id, lot_id) lot
  WHERE s.organization_id = :organization_id AND s.ward_id = lot.ward_id AND s.drug_id = lot.drug_id
    AND s.lot_id = lot.lot_id
  RETURNING 1
), movements AS (
  INSERT INTO stock_movements (organization_id, id, ward_id, drug_id, lot_id, sequence, units, balance_after_units,
    reason, reference_id, actor_id, occurred_at, witness_id, requested_at, recorded_at)
  SELECT :organization_id, lines.id, ward_id, drug_id, lines.lot_id, sequence_before + place, lines.units,
    units_before + running, :reason::movement_reason, lines.reference_id, :actor_id::uuid, :occurred_at::timestamptz,
    :witness_id::uuid, :requested_at::timestamptz,
    GREATEST(clock_timestamp(), (SELECT m.recorded_at FROM stock_movements m
      WHERE m.organization_id = :organization_id AND m.ward_id = lines.ward_id AND m.drug_id = lines.drug_id
        AND m.sequence = sequence_before))
  FROM lines JOIN levels USING (ward_id, drug_id)
  RETURNING 1
)"""

_POST = Prepared("post", f"WITH {POSTING} SELECT (SELECT on_hand_units FROM level), (SELECT count(*) FROM taken)")  # noqa: S608 - constants
_OPEN_SHELF = Prepared(
    "open_shelf",
    """INSERT INTO stock_levels (organization_id, id, ward_id, drug_id)
    VALUES (:organization_id::uuid, :id::uuid, :ward_id::uuid, :drug_id::uuid)
    ON CONFLICT (organization_id, ward_id, drug_id) DO UPDATE SET version = stock_levels.version + 1""",
)
# A shelf that holds a lot for the first time raises the lot's version: a recall whose snapshot is older then fails with
# 40001 and runs again, instead of missing the shelf.
_OPEN_LOT = Prepared(
    "open_lot",
    """WITH opened AS (
      INSERT INTO stock_lots (organization_id, id, ward_id, drug_id, lot_id, quantity_units)
      VALUES (:organization_id::uuid, :id::uuid, :ward_id::uuid, :drug_id::uuid, :lot_id::uuid, 0)
      ON CONFLICT (organization_id, ward_id, drug_id, lot_id) DO NOTHING RETURNING lot_id)
    UPDATE lots SET version = version + 1 FROM opened
    WHERE organization_id = :organization_id AND id = opened.lot_id""",
)
_LOCK = Prepared(
    "lock_shelf",
    """SELECT on_hand_units, sequence FROM stock_levels
    WHERE organization_id = :organization_id::uuid AND ward_id = :ward_id::uuid AND drug_id = :drug_id::uuid
    FOR UPDATE""",
)
_LOCK_LOTS = Prepared(
    "lock_lots",
    """SELECT s.lot_id, t.lot_number, t.expires_on, s.quantity_units,
      t.status = 'available' AND t.expires_on >= :today::date AS usable
    FROM stock_lots s JOIN lots t ON t.organization_id = :organization_id::uuid AND t.id = s.lot_id
    WHERE s.organization_id = :organization_id AND s.ward_id = :ward_id::uuid AND s.drug_id = :drug_id::uuid
      AND s.quantity_units > 0
    ORDER BY t.expires_on, t.id FOR UPDATE OF s""",
)


def posting_values(session: Session, shelf: Shelf, lines: Sequence[Line], cause: Cause) -> dict[str, object]:
    """Make the values of the parameters of POSTING."""
    units = [line.units for line in lines]
    return {
        **_place(shelf),
        "movement_ids": [new_id() for _ in lines],
        "lot_ids": [line.lot_id for line in lines],
        "units": units,
        "running_units": list(accumulate(units)),
        "corrected_ids": [line.corrects_id for line in lines],
        "reason": cause.reason.value,
        "reference_id": cause.reference_id,
        "actor_id": cause.actor_id,
        "occurred_at": cause.occurred_at,
        "witness_id": cause.witness_id,
        "note": cause.note,
        "requested_at": session.requested_at,
    }


def _place(shelf: Shelf) -> dict[str, UUID]:
    return {"organization_id": shelf.organization_id, "ward_id": shelf.ward_id, "drug_id": shelf.drug_id}


def ensure_complete(on_hand_units: int | None, taken: int, lots: int) -> int:
    """What the shelf holds after a posting of so many `lots`. Raises PostingIncomplete when a row was not there."""
    if on_hand_units is None or taken != lots:
        raise PostingIncomplete(f"{taken} of {lots} lots were on the shelf")
    return on_hand_units


def lock_shelf(session: Session, shelf: Shelf) -> Level:
    """Make the shelf's level if it has none, and lock it."""
    session.run(_OPEN_SHELF, id=new_id(), **_place(shelf))
    (level,) = session.read(_LOCK, Level, **_place(shelf))
    return level


def lock_lots(session: Session, shelf: Shelf, *, today: date) -> list[LotOnShelf]:
    """The lots of a locked shelf that hold units, first expiring first, each `usable` or kept back."""
    return session.read(_LOCK_LOTS, LotOnShelf, today=today, **_place(shelf))


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
        session.run(_OPEN_LOT, id=new_id(), lot_id=line.lot_id, **_place(shelf))
    ((after, taken),) = session.run(_POST, **posting_values(session, shelf, lines, cause))
    return ensure_complete(after, taken, len(lines))
