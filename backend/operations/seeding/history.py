"""The past of a seeded hospital: completed orders; what each dose took was received before, so stock is as it was.

Past orders go round the shelves as the active ones do, DOSES_PER_ORDER doses each. A dose is two movements of its
shelf: a receipt of what it takes and, later, the fulfilment. A batch writes orders, administrations, movements and the
counters of the shelves in one transaction, so they agree at every moment.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from backend.db import new_id
from backend.operations.seeding.admissions import Patients
from backend.operations.seeding.loading import Batch, Loader, Row
from backend.operations.seeding.plan import DOSES_PER_ORDER, Plan, slices
from backend.operations.seeding.shelves import LOTS_PER_SHELF, MOVEMENT

ORDERS_PER_BATCH = 2_500

_ORDER = (
    *("id", "patient_id", "drug_id", "ward_id", "prescriber_id", "units_per_dose", "doses", "doses_given"),
    *("interval_minutes", "first_due_at", "due_at", "status", "verified_by_id", "verified_at", "completed_at"),
    "created_at",
)
_ADMINISTRATION = ("id", "order_id", "dose_number", "outcome", "quantity_units", "nurse_id", "administered_at")
_COUNT = """
UPDATE stock_levels l SET sequence = l.sequence + m.movements, version = l.version + 1 FROM (
  SELECT ward_id, drug_id, count(*) AS movements FROM staged_stock_movements GROUP BY ward_id, drug_id) m
WHERE l.organization_id = %s AND l.ward_id = m.ward_id AND l.drug_id = m.drug_id"""


@dataclass(frozen=True, slots=True)
class _PastOrder:
    """A completed order, the ids of its doses, the lot they came from, and the shelf as it was before them."""

    id: UUID
    number: int
    patient_id: UUID
    ward_id: UUID
    drug_id: UUID
    lot_id: UUID
    units: int
    balance: int
    sequence: int
    doses: Sequence[UUID]


def remember(
    loader: Loader,
    plan: Plan,
    *,
    lots: Sequence[Sequence[UUID]],
    patients: Patients,
    report: Callable[[int], None],
) -> None:
    """Adds the past doses of `plan`, from the first of each drug's `lots`.

    `patients` are some of the hospital's by place and ward. `report` gets the past orders done so far.
    """
    places = max(place for place, _ in patients) + 1
    for numbers in slices(plan.past_orders, ORDERS_PER_BATCH):
        orders = [_past_order(plan, number, lots, patients, places) for number in numbers]
        with loader.batch() as batch:
            _write(batch, plan, orders)
        report(numbers.stop)


def _past_order(
    plan: Plan,
    number: int,
    lots: Sequence[Sequence[UUID]],
    patients: Patients,
    places: int,
) -> _PastOrder:
    column, ward = divmod(number, len(plan.wards))
    rounds, drug = divmod(column, len(plan.drugs))
    return _PastOrder(
        new_id(),
        number,
        patients[column % places, ward],
        plan.wards[ward],
        plan.drugs[drug],
        lots[drug][0],
        plan.units_per_dose(drug),
        plan.stock(ward, drug),
        LOTS_PER_SHELF + 2 * DOSES_PER_ORDER * rounds,
        [new_id() for _ in range(min(DOSES_PER_ORDER, plan.past_doses - number * DOSES_PER_ORDER))],
    )


def _write(batch: Batch, plan: Plan, orders: Sequence[_PastOrder]) -> None:
    batch.insert("medication_orders", _ORDER, [_order(plan, order) for order in orders])
    batch.insert(
        "medication_administrations",
        _ADMINISTRATION,
        [row for order in orders for row in _administrations(plan, order)],
    )
    batch.insert("stock_movements", MOVEMENT, [row for order in orders for row in _movements(plan, order)])
    batch.run(_COUNT)


def _order(plan: Plan, order: _PastOrder) -> Row:
    first, last = (plan.given_at(order.number, place) for place in (0, len(order.doses) - 1))
    minutes = (plan.given_at(order.number, 1) - first) // timedelta(minutes=1)
    return (
        *(order.id, order.patient_id, order.drug_id, order.ward_id, plan.staff.doctor, order.units),
        *(len(order.doses), len(order.doses), max(1, minutes), first, last, "completed"),
        *(plan.staff.pharmacist, first, last, first),
    )


def _administrations(plan: Plan, order: _PastOrder) -> Iterator[Row]:
    for place, dose_id in enumerate(order.doses):
        given_at = plan.given_at(order.number, place)
        yield dose_id, order.id, place + 1, "given", order.units, plan.staff.nurse, given_at


def _movements(plan: Plan, order: _PastOrder) -> Iterator[Row]:
    shelf, units, staff = (order.ward_id, order.drug_id, order.lot_id), order.units, plan.staff
    for place, dose_id in enumerate(order.doses):
        sequence = order.sequence + 2 * place
        came, went = plan.delivered_for(order.number, place), plan.given_at(order.number, place)
        yield (
            *(new_id(), *shelf, sequence + 1, units, order.balance + units, "receipt", new_id()),
            *(staff.pharmacist, came, came),
        )
        yield (
            *(new_id(), *shelf, sequence + 2, -units, order.balance, "fulfilment", dose_id),
            *(staff.nurse, went, went),
        )
