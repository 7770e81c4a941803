"""Orders to fulfil: for each load a stock of active orders, filled up between the measured intervals.

`bench.orders` holds what a client must know of an order before it asks: its id, and for pgbench, which cannot compute,
the lane and lot of its shelf and the ids and key of the rows to come. One row per order, numbered from 1.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from uuid import UUID

from backend.db import new_id
from backend.db.provision import connect
from backend.domain.stock.ledger import Shelf
from backend.operations.seeding.loading import loading
from load.bench.stand import ANALYZED, Stand

LOADS = ("spread", "skewed", "one_drug")
HOT_SHARE, HOT_DRUGS = 0.8, 0.01  # of the skewed load
UNITS_PER_SHELF = 100_000_000  # no run empties a shelf, and every dose comes from the lot that expires first
ORDERS_PER_BATCH = 20_000

SETUP = """
CREATE SCHEMA IF NOT EXISTS bench;
DROP TABLE IF EXISTS bench.orders;
CREATE UNLOGGED TABLE bench.orders (n int PRIMARY KEY, order_id uuid NOT NULL, lane text NOT NULL,
  lot_id uuid NOT NULL, movement_id uuid NOT NULL, administration_id uuid NOT NULL, key text NOT NULL);
GRANT USAGE ON SCHEMA bench TO {role};
GRANT SELECT ON bench.orders TO {role};
"""

# A receipt for every shelf of one ward: lot, level and ledger together, as the ledger itself posts.
RECEIVE = """
WITH first AS (
  SELECT DISTINCT ON (s.ward_id, s.drug_id) s.id, s.ward_id, s.drug_id, s.lot_id
  FROM stock_lots s JOIN lots t ON t.id = s.lot_id
  WHERE s.ward_id = %(ward)s ORDER BY s.ward_id, s.drug_id, t.expires_on, t.id
), lot AS (
  UPDATE stock_lots s SET quantity_units = s.quantity_units + %(units)s, version = s.version + 1
  FROM first WHERE s.id = first.id
), level AS (
  UPDATE stock_levels l SET on_hand_units = on_hand_units + %(units)s, sequence = sequence + 1, version = version + 1
  FROM first WHERE (l.ward_id, l.drug_id) = (first.ward_id, first.drug_id)
  RETURNING l.organization_id, l.ward_id, l.drug_id, l.on_hand_units, l.sequence, first.lot_id
), movement AS (
  INSERT INTO stock_movements (organization_id, id, ward_id, drug_id, lot_id, sequence, units, balance_after_units,
    reason, reference_id, occurred_at)
  SELECT organization_id, gen_random_uuid(), ward_id, drug_id, lot_id, sequence, %(units)s, on_hand_units,
    'receipt', gen_random_uuid(), now() FROM level
)
SELECT drug_id, lot_id FROM level ORDER BY drug_id
"""
_ORDER = (
    *("id", "patient_id", "drug_id", "ward_id", "prescriber_id", "units_per_dose", "first_due_at", "due_at"),
    "created_at",
)


@dataclass(frozen=True, slots=True)
class _Place:
    shelf: Shelf
    lot_id: UUID


@contextmanager
def stocked(stand: Stand) -> Iterator["OrderStock"]:
    """The orders of a run; `bench.orders` goes with it."""
    try:
        yield OrderStock(stand)
    finally:
        with closing(connect(stand.owner_url)) as connection, connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA IF EXISTS bench CASCADE")


class OrderStock:
    """Active orders for each load."""

    def __init__(self, stand: Stand) -> None:
        """Makes `bench.orders` and fills the shelves of the first ward."""
        self._stand = stand
        self._chance = random.Random(1)
        self._ready: dict[str, list[tuple[UUID, _Place]]] = {load: [] for load in LOADS}
        with closing(connect(stand.owner_url)) as connection, connection.cursor() as cursor:
            cursor.execute(SETUP.format(role=stand.config.application_role))
            cursor.execute("SET app.organization_id = %s", (str(stand.nurse.organization_id),))
            cursor.execute("SELECT ward_id, patient_id, prescriber_id FROM medication_orders ORDER BY id LIMIT 1")
            self._ward, self._patient, self._doctor = map(UUID, cursor.fetchone() or ())
            cursor.execute(RECEIVE, {"ward": str(self._ward), "units": UNITS_PER_SHELF})
            organization = stand.nurse.organization_id
            self._places = [
                _Place(Shelf(organization, self._ward, UUID(drug)), UUID(lot)) for drug, lot in cursor.fetchall()
            ]

    def provide(self, load: str, number: int) -> list[UUID]:
        """At least `number` active orders of `load`, in `bench.orders` as well, numbered in the order of the list."""
        ready = self._ready[load]
        while len(ready) < number:
            ready += self._place([self._choose(load) for _ in range(min(ORDERS_PER_BATCH, number - len(ready)))])
        self._write(ready[:number])
        return [order_id for order_id, _ in ready[:number]]

    def settle(self, load: str) -> int:
        """Forgets the orders of `load` that are not active any more; how many."""
        known = [str(order_id) for order_id, _ in self._ready[load]]
        with closing(connect(self._stand.owner_url)) as connection, connection.cursor() as cursor:
            cursor.execute("SET app.organization_id = %s", (str(self._stand.nurse.organization_id),))
            cursor.execute(
                "SELECT id FROM medication_orders o JOIN unnest(%s::uuid[]) AS wanted (id) USING (id)"
                " WHERE status <> 'active'",
                (known,),
            )
            done = {UUID(order_id) for (order_id,) in cursor.fetchall()}
        self._ready[load] = [entry for entry in self._ready[load] if entry[0] not in done]
        return len(done)

    def _choose(self, load: str) -> _Place:
        hot = max(1, int(len(self._places) * HOT_DRUGS))
        if load == "one_drug":
            return self._places[0]
        if load == "skewed" and self._chance.random() < HOT_SHARE:
            return self._places[self._chance.randrange(hot)]
        return self._places[self._chance.randrange(hot if load == "skewed" else 0, len(self._places))]

    def _place(self, places: Sequence[_Place]) -> list[tuple[UUID, _Place]]:
        """New active orders of one unit, one dose, on `places`."""
        now = datetime.now(UTC)
        orders = [(new_id(), place) for place in places]
        rows = [
            (order_id, self._patient, place.shelf.drug_id, self._ward, self._doctor, 1, now, now, now)
            for order_id, place in orders
        ]
        with loading(self._stand.owner_url, self._stand.nurse.organization_id) as loader, loader.batch() as batch:
            batch.insert("medication_orders", _ORDER, rows)
        return orders

    def _write(self, orders: Sequence[tuple[UUID, _Place]]) -> None:
        lines = "".join(
            f"{n}\t{order_id}\t{place.shelf.lane:03d}\t{place.lot_id}\t{new_id()}\t{new_id()}\tserver-{new_id()}\n"
            for n, (order_id, place) in enumerate(orders, start=1)
        )
        with closing(connect(self._stand.owner_url)) as connection, connection.cursor() as cursor:
            cursor.execute("TRUNCATE bench.orders")
            cursor.copy_expert("COPY bench.orders FROM STDIN", StringIO(lines))
            cursor.execute("VACUUM ANALYZE bench.orders")
            cursor.execute(f"ANALYZE {', '.join(ANALYZED)}")
