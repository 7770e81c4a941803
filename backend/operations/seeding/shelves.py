"""Drugs, lots and stock: every ward holds every drug, in two lots.

Level, lots and ledger of a shelf are written in one transaction from the same figures, so they agree at every moment.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from backend.db import new_id
from backend.operations.seeding.formulary import Medicine, medicines
from backend.operations.seeding.loading import Batch, Loader, Row
from backend.operations.seeding.plan import NEWEST, PAST, Plan, slices

DRUGS_PER_BATCH = 10_000
SHELVES_PER_BATCH = 5_000
DELIVERED_BEFORE = timedelta(days=1)  # ahead of the oldest dose
EXPIRY_DAYS = (120, 400)  # from today at the earliest, of the two lots of a drug
LOTS_PER_SHELF = len(EXPIRY_DAYS)
FIRST_PERCENT = 40  # of a shelf's units lie in the lot that expires first

_DRUG = (
    *("id", "name", "generic_name", "strength", "form", "unit", "atc", "controlled_schedule", "high_alert"),
    "unit_price_cents",
)
_LOT = ("id", "drug_id", "lot_number", "expires_on")
_LEVEL = ("id", "ward_id", "drug_id", "on_hand_units", "reorder_point_units", "par_level_units", "sequence")
_STOCK_LOT = ("id", "ward_id", "drug_id", "lot_id", "quantity_units")
MOVEMENT = (
    *("id", "ward_id", "drug_id", "lot_id", "sequence", "units", "balance_after_units", "reason", "reference_id"),
    *("actor_id", "occurred_at", "recorded_at"),
)


@dataclass(frozen=True, slots=True)
class _Shelf:
    ward_id: UUID
    drug_id: UUID
    received: tuple[tuple[UUID, int], ...]  # lot and units

    @property
    def units(self) -> int:
        """What all its lots hold."""
        return sum(units for _, units in self.received)


def add_drugs(loader: Loader, number: int) -> tuple[UUID, ...]:
    """Adds `number` formulary entries; their ids in order."""
    ids = tuple(new_id() for _ in range(number))
    entries = medicines(number)
    for places in slices(number, DRUGS_PER_BATCH):
        with loader.batch() as batch:
            batch.insert("drugs", _DRUG, [_drug(ids[place], place, next(entries)) for place in places])
    return ids


def _drug(drug_id: UUID, number: int, drug: Medicine) -> Row:
    return (
        *(drug_id, drug.name, drug.generic_name, drug.strength, drug.form, drug.unit, drug.atc),
        *(drug.controlled_schedule, drug.high_alert, None if number % 20 == 19 else 10 + number * 37 % 5_000),
    )


def stock_shelves(loader: Loader, plan: Plan) -> Sequence[Sequence[UUID]]:
    """Adds two lots of every drug, and both of them to every shelf with their receipts; the lots of each drug."""
    lots = [(new_id(), new_id()) for _ in plan.drugs]
    for places in slices(len(plan.drugs), DRUGS_PER_BATCH):
        with loader.batch() as batch:
            batch.insert("lots", _LOT, [row for drug in places for row in _lots(plan, drug, lots[drug])])
    for places in slices(plan.shelves, SHELVES_PER_BATCH):
        with loader.batch() as batch:
            _fill(batch, plan, [_shelf(plan, place, lots) for place in places])
    return lots


def _lots(plan: Plan, drug: int, ids: Sequence[UUID]) -> Iterator[Row]:
    today = plan.now.date()
    for lot_id, days, letter in zip(ids, EXPIRY_DAYS, "AB", strict=True):
        yield lot_id, plan.drugs[drug], f"{letter}{drug + 10_001}", today + timedelta(days=days + drug * 7 % 180)


def _shelf(plan: Plan, place: int, lots: Sequence[Sequence[UUID]]) -> _Shelf:
    drug, ward = divmod(place, len(plan.wards))
    units = plan.stock(ward, drug)
    first = units * FIRST_PERCENT // 100
    received = tuple(zip(lots[drug], (first, units - first), strict=True))
    return _Shelf(plan.wards[ward], plan.drugs[drug], received)


def _fill(batch: Batch, plan: Plan, shelves: Sequence[_Shelf]) -> None:
    """Levels first, since everything on a shelf refers to its level."""
    batch.insert("stock_levels", _LEVEL, map(_level, shelves))
    batch.insert(
        "stock_lots",
        _STOCK_LOT,
        [(new_id(), s.ward_id, s.drug_id, lot_id, units) for s in shelves for lot_id, units in s.received],
    )
    batch.insert("stock_movements", MOVEMENT, [row for shelf in shelves for row in _receipts(plan, shelf)])


def _level(shelf: _Shelf) -> Row:
    return new_id(), shelf.ward_id, shelf.drug_id, shelf.units, shelf.units // 5, shelf.units, len(shelf.received)


def _receipts(plan: Plan, shelf: _Shelf) -> Iterator[Row]:
    delivered_at = plan.now - NEWEST - PAST - DELIVERED_BEFORE
    balance = 0
    for sequence, (lot_id, units) in enumerate(shelf.received, start=1):
        balance += units
        yield (
            *(new_id(), shelf.ward_id, shelf.drug_id, lot_id, sequence, units, balance, "receipt", new_id()),
            *(plan.staff.pharmacist, delivered_at, delivered_at),
        )
