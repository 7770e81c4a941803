"""A made-up hospital, built by the use cases that the API calls: for the demo, the proof, `valmed seed` and the tests.

What one of them alone needs (the day of the demo, the lots that a proof spoils, the bulk of a seeded hospital) is
kept there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar
from uuid import UUID

from backend.actor import Actor
from backend.db import Database, Session
from backend.domain.formulary import drugs
from backend.domain.identity.users import insert_user
from backend.domain.identity.witnesses import Witness
from backend.domain.orders import ordering
from backend.domain.orders.models import Priority
from backend.domain.organizations import hospitals, wards
from backend.domain.organizations.models import WardKind
from backend.domain.patients.admitting import add_patient
from backend.domain.stock import receipts
from backend.domain.stock.ledger import Shelf

T = TypeVar("T")


@dataclass(frozen=True)
class Builder:
    """Adds to a hospital within one transaction, which has taken the lanes of the shelves that are written to."""

    session: Session
    organization_id: UUID

    def open(self, slug: str, *, name: str, time_zone: str = "Europe/Berlin", **policies: Any) -> None:
        """Open the hospital. `policies` are columns of organizations. Raises OrganizationExists, ValidationFailed."""
        session, organization_id = self.session, self.organization_id
        hospitals.open_organization(session, organization_id=organization_id, slug=slug, name=name, time_zone=time_zone)
        if policies:
            hospitals.change_organization(session, organization_id=organization_id, **policies)

    def add_ward(self, name: str, kind: WardKind = WardKind.WARD) -> UUID:
        """Add a ward and return its id."""
        return wards.add_ward(self.session, organization_id=self.organization_id, name=name, kind=kind)

    def add_drug(self, name: str, **values: Any) -> UUID:
        """Add a drug, a tablet of 5 mg where `values` do not say otherwise, and return its id. Raises DrugExists."""
        usual = {"generic_name": name.lower(), "strength": "5 mg", "form": "tablet", "unit": "tablet"}
        return drugs.add_drug(self.session, organization_id=self.organization_id, name=name, **{**usual, **values})

    def hire(self, **who: Any) -> UUID:
        """Add a member of staff by the arguments of `insert_user`, and return their id.

        The password comes as its hash, so that people who share one cost one hash. It is their own where `who` does
        not say otherwise. Raises ValidationFailed for a ward that does not exist.
        """
        return insert_user(self.session, organization_id=self.organization_id, **{"own_password": True, **who})

    def admit(self, ward_id: UUID | None, name: str, mrn: str, **values: Any) -> UUID:
        """Add a patient, without a bed or allergies unless `values` name them, and return their id. Raises MrnTaken."""
        usual: dict[str, Any] = {"date_of_birth": date(1980, 2, 3), "bed": None, "allergies": []}
        who = {"name": name, "mrn": mrn, **usual, **values}
        return add_patient(self.session, organization_id=self.organization_id, ward_id=ward_id, **who)

    def receive(
        self,
        shelf: Shelf,
        units: int,
        *,
        actor: Actor,
        lot_number: str,
        expires_on: date,
        witness: Witness | None = None,
        now: datetime | None = None,
    ) -> receipts.Receipt:
        """Put units of a lot on a shelf. `now` is the transaction's time where it is not given."""
        return receipts.receive(
            self.session,
            actor=actor,
            shelf=shelf,
            lot_number=lot_number,
            expires_on=expires_on,
            quantity_units=units,
            witness=witness,
            now=now or self.session.now,
        )

    def place(
        self,
        shelf: Shelf,
        *,
        actor: Actor,
        patient_id: UUID,
        units: int = 1,
        doses: int = 1,
        now: datetime | None = None,
        **values: Any,
    ) -> UUID:
        """Place an order of `units` a dose and return its id. `now` is the transaction's time where it is not given.

        It is a routine order, its doses an hour apart, where `values` do not say otherwise.
        """
        usual: dict[str, Any] = {
            "priority": Priority.ROUTINE,
            "interval_minutes": 60 if doses > 1 else None,
            "first_due_at": None,
            "dose_text": None,
            "route": None,
        }
        return ordering.place(
            self.session,
            actor=actor,
            shelf=shelf,
            patient_id=patient_id,
            quantity_units=units,
            doses=doses,
            now=now or self.session.now,
            **{**usual, **values},
        )


@dataclass
class Site:
    """A hospital that is being built, and its transactions. They are the operator's where no actor is given."""

    database: Database
    organization_id: UUID

    @property
    def operator(self) -> Actor:
        """The person at the command line."""
        return Actor.operator(self.organization_id)

    def run(self, work: Callable[[Session], T], actor: Actor | None = None) -> T:
        """Return what `work` returns in a transaction of `actor`."""
        return self.database.transact(work, actor=actor or self.operator)

    def act(self, shelves: Iterable[Shelf], work: Callable[[Session], T], actor: Actor | None = None) -> T:
        """Return what `work` returns in a transaction of `actor` that has taken the lanes of `shelves`."""

        def in_lanes(session: Session) -> T:
            session.take_lanes(shelf.lane for shelf in shelves)
            return work(session)

        return self.run(in_lanes, actor)

    def build(self, work: Callable[[Builder], T], *, shelves: Iterable[Shelf] = (), actor: Actor | None = None) -> T:
        """Return what `work` returns of a builder, whose transaction is that of `act`."""
        return self.act(shelves, lambda session: work(Builder(session, self.organization_id)), actor)

    def read(self, look: Callable[[Session], T]) -> T:
        """Return what `look` reads."""
        return self.database.transact(look, actor=self.operator, read_only=True)
