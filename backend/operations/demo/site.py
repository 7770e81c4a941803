"""A sample hospital under construction."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from backend.actor import Actor
from backend.db import Database, Session
from backend.domain.stock.ledger import Shelf
from backend.operations.demo.formulary import Medicine

REQUEST_ID = "demo"
T = TypeVar("T")


@dataclass
class Hospital:
    """A hospital under construction: its ids by name, and a source of chance that is the same every time."""

    database: Database
    organization_id: UUID
    now: datetime
    chance: random.Random
    wards: dict[str, UUID]
    staff: dict[str, Actor]
    drugs: dict[Medicine, UUID]
    patients: dict[UUID, str]

    def run(self, work: Callable[[Session], T], actor: Actor | None = None) -> T:
        """What `work` returns, done by `actor` or by the operator."""
        return self.database.transact(work, actor=actor or Actor.operator(self.organization_id))

    def shelf(self, ward: str, medicine: Medicine) -> Shelf:
        """A ward's shelf of a drug."""
        return Shelf(self.organization_id, self.wards[ward], self.drugs[medicine])

    def act(self, shelves: Iterable[Shelf], work: Callable[[Session], T], actor: Actor) -> T:
        """What `work` returns after it took the lanes of `shelves`."""

        def in_lanes(session: Session) -> T:
            session.take_lanes(shelf.lane for shelf in shelves)
            return work(session)

        return self.run(in_lanes, actor)

    def read(self, look: Callable[[Session], T]) -> T:
        """What `look` reads."""
        return self.database.transact(look, actor=Actor.operator(self.organization_id), read_only=True)
