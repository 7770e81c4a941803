"""A sample hospital under construction."""

import random
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from backend.actor import Actor
from backend.db.idempotency import IdempotencyKey
from backend.domain.administrations import fulfilment
from backend.domain.identity.witnesses import Witness
from backend.domain.orders import ordering
from backend.domain.stock.ledger import Shelf
from backend.operations.building import Builder, Site
from backend.operations.demo.formulary import Medicine

REQUEST_ID = "demo"


@dataclass
class Hospital(Site):
    """A hospital under construction: its ids by name, and a source of chance that is the same every time."""

    now: datetime
    chance: random.Random
    wards: dict[str, UUID]
    staff: dict[str, Actor]
    drugs: dict[Medicine, UUID]
    patients: dict[UUID, str]

    def shelf(self, ward: str, medicine: Medicine) -> Shelf:
        """A ward's shelf of a drug."""
        return Shelf(self.organization_id, self.wards[ward], self.drugs[medicine])

    def order(
        self,
        shelf: Shelf,
        medicine: Medicine,
        *,
        doctor: Actor,
        patient_id: UUID,
        now: datetime,
        verified_at: datetime | None,
        **values: Any,
    ) -> UUID:
        """Place an order, which the pharmacist verifies unless `verified_at` is None, and return its id."""

        def place(builder: Builder) -> UUID:
            how = {"dose_text": medicine.dose_text, "route": medicine.route, **values}
            order_id = builder.place(shelf, actor=doctor, patient_id=patient_id, now=now, **how)
            if verified_at is not None:
                pharmacist, session = self.staff["pharmacist"], builder.session
                ordering.verify(session, actor=pharmacist, shelf=shelf, order_id=order_id, now=verified_at)
            return order_id

        return self.build(place, shelves=[shelf], actor=doctor)

    def give(
        self,
        order_id: UUID,
        shelf: Shelf,
        *,
        nurse: Actor,
        given_at: datetime,
        witness: Witness | None = None,
        override_reason: str | None = None,
    ) -> UUID:
        """Give the first dose of an order, and return the id of the administration."""
        answer = self.run(
            lambda session: fulfilment.fulfil(
                session,
                actor=nurse,
                order_id=order_id,
                shelf=shelf,
                dose=1,
                witness=witness,
                override_reason=override_reason,
                key=IdempotencyKey(f"demo-{order_id}", b"demo"),
                given_at=given_at,
            ),
            nurse,
        )
        return UUID(orjson.loads(answer.body)["administration_id"])
