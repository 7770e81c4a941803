"""What a seeded hospital will hold, as arithmetic: who orders what from which shelf, and how much must lie there.

Order `i` goes to ward `i % wards` and drug `i // wards % drugs`: every shelf gets as many orders as any other, give or
take one, and neighbouring orders meet on different shelves. Nothing here grows with the number of orders.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

ORDERS_PER_PATIENT = 8
SPARE_UNITS = 20  # on every shelf beyond its orders, and a quarter of them
HISTORY = timedelta(days=7)  # over which the orders were placed
NEWEST = timedelta(hours=1)  # age of the newest order
DOSES_PER_ORDER = 4  # of an order of the past
PAST = timedelta(days=90)  # over which the doses of the past were given


@dataclass(frozen=True, slots=True)
class Staff:
    """The users that the rows refer to."""

    nurse: UUID
    pharmacist: UUID
    doctor: UUID


@dataclass(frozen=True, slots=True)
class Plan:
    """A hospital of `orders` active orders on the shelves of `wards` and `drugs`, and `past_doses` that were given."""

    wards: tuple[UUID, ...]
    drugs: tuple[UUID, ...]
    orders: int
    staff: Staff
    now: datetime
    past_doses: int = 0

    @property
    def shelves(self) -> int:
        """How many shelves there are."""
        return len(self.wards) * len(self.drugs)

    @property
    def orders_per_bed(self) -> int:
        """Orders of one patient on each ward: the orders that share an admission number."""
        return ORDERS_PER_PATIENT * len(self.wards)

    @property
    def admissions(self) -> int:
        """Patients of each ward; at least one."""
        return max(1, -(-self.orders // self.orders_per_bed))

    @property
    def past_orders(self) -> int:
        """Completed orders: the last one may have fewer doses."""
        return -(-self.past_doses // DOSES_PER_ORDER)

    @property
    def _time_per_past_dose(self) -> timedelta:
        """How long it took from one dose of a shelf to the next."""
        orders_per_shelf = -(-self.past_orders // self.shelves)
        return PAST / (orders_per_shelf * DOSES_PER_ORDER)

    def units_per_dose(self, drug: int) -> int:
        """Units of one dose of drug number `drug`."""
        return 1 + drug % 2

    def stock(self, ward: int, drug: int) -> int:
        """Units of drug number `drug` on ward number `ward`: enough for all its orders, and some to spare."""
        whole, rest = divmod(self.orders, self.shelves)
        orders = whole + (1 if ward + drug * len(self.wards) < rest else 0)
        needed = orders * self.units_per_dose(drug)
        return needed + needed // 4 + SPARE_UNITS

    def delivered_for(self, order: int, place: int) -> datetime:
        """When the units came for dose `place`, from 0, of the past order `order`.

        PAST has one part for each order of a shelf, and that part one for each of its doses; the shelves take turns.
        """
        rank, shelf = divmod(order, self.shelves)
        part = self._time_per_past_dose
        return self.now - NEWEST - PAST + part * (rank * DOSES_PER_ORDER + place) + part * shelf / self.shelves / 2

    def given_at(self, order: int, place: int) -> datetime:
        """When that dose was given: after its delivery and before the next one to its shelf."""
        return self.delivered_for(order, place) + self._time_per_past_dose / 2

    def placed_at(self, order: int) -> datetime:
        """When order number `order` was placed: later than the one before it."""
        return self.now - NEWEST - HISTORY + HISTORY * order / max(1, self.orders)


def slices(number: int, size: int) -> Iterator[range]:
    """0 to `number` in ranges of at most `size`."""
    for start in range(0, number, size):
        yield range(start, min(start + size, number))
