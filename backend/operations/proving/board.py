"""What the clients know together: the orders, transfers, counts that were acknowledged and may be worked on.

It is only what somebody was told. It may be out of date, and two clients may pick the same: that is the point.
"""

import time
from collections.abc import Callable
from random import Random
from uuid import UUID

from backend.domain.stock.ledger import Shelf
from backend.operations.proving.cupboard import Cupboard
from backend.operations.proving.hospital import CUPBOARD_UNITS, Hospital
from backend.operations.proving.pool import CROWD, CROWDED, Pool


class Board:
    """Everything that can be worked on."""

    def __init__(
        self,
        hospital: Hospital,
        now: Callable[[], float] = time.monotonic,
        has_arrived: Callable[[tuple[str, str]], bool] = lambda key: False,
    ) -> None:
        """`now` tells the seconds of the run, `has_arrived` of an operation's key whether ValMed has got a request."""
        self.hospital = hospital
        self.cupboards = [
            Cupboard(shelf, patients, CUPBOARD_UNITS, now, has_arrived)
            for shelf, patients in hospital.cupboards.items()
        ]
        self.wards = {str(order_id): str(ward_id) for order_id, ward_id in hospital.orders.items()}  # by order
        self.orders = Pool()  # -> the next dose
        for order_id in hospital.orders:
            self.orders.put(str(order_id), 1)
        self.given = Pool()  # administration -> order, dose
        self.leftovers = Pool()  # administration of one lot -> order, units
        self.requested = Pool()  # transfer
        self.dispatched = Pool()  # transfer -> (drug, lot, units) of each lot
        self.counts = Pool()  # open count -> its lots
        self.counted = Pool()  # count that is ready to end
        self.discrepancies = Pool()  # -> kind, variance
        self.lots = Pool()  # available
        self.held = Pool()  # lots on hold
        self.members = Pool()  # assignment to a care team -> patient, provider, role
        self.primaries = Pool()  # patient -> the PRIMARY's assignment and provider

    def patient(self, chance: Random) -> UUID:
        """A patient; often one of the few that others go for too."""
        patients = [patient_id for some in self.hospital.patients.values() for patient_id in some]
        return chance.choice(patients[:CROWD] if chance.random() < CROWDED else patients)

    def shelf(self, chance: Random) -> Shelf:
        """A shelf; the first ones more often than the last."""
        shelves = self.hospital.shelves
        return shelves[min(chance.randrange(len(shelves)), chance.randrange(len(shelves)))]
