"""What the clients know together: the orders, transfers, counts that were acknowledged and may be worked on.

It is only what somebody was told. It may be out of date, and two clients may pick the same: that is the point.
"""

import threading
from itertools import islice
from random import Random
from typing import Any
from uuid import UUID

from backend.proving.hospital import Hospital
from backend.stock.ledger import Shelf

POOL_SIZE_MAX = 400
CROWDED, CROWD = 0.3, 3  # how often a client goes for one of how many that others go for too


class Pool:
    """Things by id with what is known of each; the oldest go when there are too many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Any] = {}

    def put(self, thing: str, knowledge: Any) -> None:
        """Remembers it, or the newer knowledge of it."""
        with self._lock:
            self._known[thing] = knowledge
            while len(self._known) > POOL_SIZE_MAX:
                del self._known[next(iter(self._known))]

    def pick(self, chance: Random) -> tuple[str, Any] | None:
        """One of them, often one of the oldest few, so that clients meet; None where there is none."""
        crowded, place = chance.random() < CROWDED, chance.random()
        with self._lock:
            size = min(CROWD, len(self._known)) if crowded else len(self._known)
            return next(islice(self._known.items(), int(size * place), None), None)

    def drop(self, thing: str, knowledge: Any) -> None:
        """Forgets it, unless somebody has learned something newer of it."""
        with self._lock:
            if thing in self._known and self._known[thing] == knowledge:
                del self._known[thing]


class Board:
    """Everything that can be worked on."""

    def __init__(self, hospital: Hospital) -> None:
        self.hospital = hospital
        self.orders = Pool()  # -> the next dose
        for order_id in hospital.orders:
            self.orders.put(str(order_id), 1)
        self.given = Pool()  # administration -> order, dose
        self.leftovers = Pool()  # administration of one lot -> units
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
