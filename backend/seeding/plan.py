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


@dataclass(frozen=True, slots=True)
class Staff:
    """The users that the rows refer to."""

    nurse: UUID
    pharmacist: UUID
    doctor: UUID


@dataclass(frozen=True, slots=True)
class Plan:
    """A hospital of `orders` orders on the shelves of `wards` and `drugs`."""

    wards: tuple[UUID, ...]
    drugs: tuple[UUID, ...]
    orders: int
    staff: Staff
    now: datetime

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

    def units_per_dose(self, drug: int) -> int:
        """Units of one dose of drug number `drug`."""
        return 1 + drug % 2

    def stock(self, ward: int, drug: int) -> int:
        """Units of drug number `drug` on ward number `ward`: enough for all its orders, and some to spare."""
        whole, rest = divmod(self.orders, self.shelves)
        orders = whole + (1 if ward + drug * len(self.wards) < rest else 0)
        needed = orders * self.units_per_dose(drug)
        return needed + needed // 4 + SPARE_UNITS

    def placed_at(self, order: int) -> datetime:
        """When order number `order` was placed: later than the one before it."""
        return self.now - NEWEST - HISTORY + HISTORY * order / max(1, self.orders)


def slices(number: int, size: int) -> Iterator[range]:
    """0 to `number` in ranges of at most `size`."""
    for start in range(0, number, size):
        yield range(start, min(start + size, number))
