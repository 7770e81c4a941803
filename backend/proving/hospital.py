"""The hospital of a proof: three wards, a few drugs, patients, and a person with a token for every client.

Made by the use cases, like everything that happens to it later.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from backend.actor import Actor, Role
from backend.db import Database, Session, new_id
from backend.formulary.drugs import add_drug
from backend.identity.tokens import issue_token
from backend.identity.users import add_user
from backend.organizations import organizations
from backend.organizations.models import WardKind
from backend.patients.patients import add_patient
from backend.stock import receipts
from backend.stock.ledger import Shelf

SLUG = "proof"
WARDS = (("3 West", WardKind.WARD), ("4 East", WardKind.WARD), ("Pharmacy", WardKind.PHARMACY))
DRUGS = ("Amoxicillin", "Furosemide", "Heparin", "Metoprolol", "Paracetamol")
PATIENTS_PER_WARD = 8
INITIAL_UNITS = 60  # of each drug on each ward: short soon, so that clients fight for the last of it
TOKEN_HOURS = 48
ROLES = (Role.NURSE, Role.PHARMACIST, Role.NURSE, Role.DOCTOR, Role.NURSE, Role.PHARMACIST, Role.NURSE, Role.PHARMACIST)


@dataclass(frozen=True)
class Person:
    """Who one client is."""

    role: Role
    token: str


@dataclass(frozen=True)
class Hospital:
    """Where everything is."""

    organization_id: UUID
    shelves: list[Shelf]
    patients: dict[UUID, list[UUID]]  # by ward
    people: list[Person]

    @property
    def initial_units(self) -> int:
        """The units that were there before the first client came."""
        return INITIAL_UNITS * len(self.shelves)


def open_hospital(database: Database, clients: int) -> Hospital:
    """A new hospital with stock, patients and a person for each of `clients`."""
    organization_id = new_id()
    operator = Actor.operator(organization_id)

    def furnish(session: Session) -> tuple[dict[UUID, list[UUID]], list[UUID]]:
        organizations.open_organization(
            session, organization_id=organization_id, slug=SLUG, name="Proof", time_zone="Europe/Berlin"
        )
        wards = [
            organizations.add_ward(session, organization_id=organization_id, name=name, kind=kind)
            for name, kind in WARDS
        ]
        drugs = [
            add_drug(
                session,
                organization_id=organization_id,
                name=name,
                generic_name=name.lower(),
                strength="5 mg",
                form="tablet",
                unit="tablet",
            )
            for name in DRUGS
        ]
        return {ward_id: _admit(session, organization_id, ward_id) for ward_id in wards}, drugs

    patients, drugs = database.transact(furnish, actor=operator)
    people = [_hire(database, organization_id, number, list(patients)) for number in range(clients)]
    shelves = [Shelf(organization_id, ward_id, drug_id) for ward_id in patients for drug_id in drugs]
    hospital = Hospital(organization_id, shelves, patients, people)
    for shelf in shelves:
        _stock(database, shelf)
    return hospital


def _admit(session: Session, organization_id: UUID, ward_id: UUID) -> list[UUID]:
    return [
        add_patient(
            session,
            organization_id=organization_id,
            ward_id=ward_id,
            name=f"Patient {bed}",
            mrn=f"{ward_id}-{bed}",
            date_of_birth=date(1980, 1, bed),
            bed=str(bed),
            allergies=[],
        )
        for bed in range(1, PATIENTS_PER_WARD + 1)
    ]


def _hire(database: Database, organization_id: UUID, number: int, wards: list[UUID]) -> Person:
    role, name = ROLES[number % len(ROLES)], f"Client {number}"

    def hire(session: Session) -> str:
        user_id = add_user(
            session,
            organization_id=organization_id,
            email=f"client{number}@proof.example",
            name=name,
            role=role,
            password=secrets.token_urlsafe(12),
            ward_ids=wards,
        )
        actor = Actor(organization_id, user_id, role, name, "proof")
        return issue_token(session, actor=actor, now=datetime.now(UTC), hours=TOKEN_HOURS).token

    return Person(role, database.transact(hire, actor=Actor.operator(organization_id)))


def _stock(database: Database, shelf: Shelf) -> None:
    now = datetime.now(UTC)

    def receive(session: Session) -> None:
        session.take_lanes([shelf.lane])
        receipts.receive(
            session,
            actor=Actor.operator(shelf.organization_id),
            shelf=shelf,
            lot_number="FIRST",
            expires_on=(now + timedelta(days=90)).date(),
            quantity_units=INITIAL_UNITS,
            now=now,
        )

    database.transact(receive, actor=Actor.operator(shelf.organization_id))
