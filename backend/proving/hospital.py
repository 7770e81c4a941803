"""The hospitals of a proof: three wards, a few drugs, patients, and a person with a token for every client.

All have the same shape: the same names, record numbers and e-mails, so that nothing but the organization tells what is
whose. Made by the use cases, like everything that happens to them later.
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
from backend.orders import ordering
from backend.orders.models import Priority
from backend.organizations import organizations
from backend.organizations.models import WardKind
from backend.patients.patients import add_patient
from backend.stock import receipts
from backend.stock.ledger import Shelf

SLUGS = ("north", "south")
WARDS = (("3 West", WardKind.WARD), ("4 East", WardKind.WARD), ("Pharmacy", WardKind.PHARMACY))
DRUGS = ("Amoxicillin", "Furosemide", "Heparin", "Metoprolol")
PATIENTS_PER_WARD, ORDERS_PER_SHELF = 8, 4
INITIAL_UNITS = 6  # of each drug on each ward: short at once, so that clients fight for the last of it
TOKEN_HOURS = 48
ROLES = (Role.NURSE, Role.PHARMACIST, Role.NURSE, Role.DOCTOR, Role.NURSE, Role.DOCTOR, Role.NURSE, Role.PHARMACIST)
CONSULTANTS = 2  # doctors who are on care teams and no clients


@dataclass(frozen=True)
class Person:
    """Who one client is: the `number`th of `hospital`."""

    hospital: str
    number: int
    actor: Actor
    token: str


@dataclass(frozen=True)
class Hospital:
    """Where everything is."""

    slug: str
    organization_id: UUID
    shelves: list[Shelf]
    patients: dict[UUID, list[UUID]]  # by ward
    people: list[Person]
    doctors: list[UUID]  # who may be on a care team
    orders: list[UUID]  # of which no dose has been given

    @property
    def initial_units(self) -> int:
        """The units that were there before the first client came."""
        return INITIAL_UNITS * len(self.shelves)


def open_hospital(database: Database, slug: str, clients: int) -> Hospital:
    """A new hospital with stock, patients, orders and a person for each of `clients`, of whom one in four is a doctor:
    there must be at least four."""
    organization_id = new_id()
    operator = Actor.operator(organization_id)

    def furnish(session: Session) -> tuple[dict[UUID, list[UUID]], list[UUID]]:
        organizations.open_organization(
            session, organization_id=organization_id, slug=slug, name="Proof", time_zone="Europe/Berlin"
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
        admitted = [_admit(session, organization_id, ward_id, number) for number, ward_id in enumerate(wards)]
        return dict(zip(wards, admitted, strict=True)), drugs

    patients, drugs = database.transact(furnish, actor=operator)
    wards = list(patients)
    people = [
        _hire(database, slug, organization_id, number, ROLES[number % len(ROLES)], wards) for number in range(clients)
    ]
    others = [_hire(database, slug, organization_id, clients + each, Role.DOCTOR, wards) for each in range(CONSULTANTS)]
    shelves = [Shelf(organization_id, ward_id, drug_id) for ward_id in patients for drug_id in drugs]
    doctors = [person.actor for person in (*people, *others) if person.actor.role is Role.DOCTOR]
    orders = [_stock(database, shelf, patients[shelf.ward_id], doctors[0]) for shelf in shelves]
    return Hospital(
        slug,
        organization_id,
        shelves,
        patients,
        people,
        [doctor.user_id for doctor in doctors if doctor.user_id is not None],
        [order_id for some in orders for order_id in some],
    )


def _admit(session: Session, organization_id: UUID, ward_id: UUID, number: int) -> list[UUID]:
    return [
        add_patient(
            session,
            organization_id=organization_id,
            ward_id=ward_id,
            name=f"Patient {bed}",
            mrn=f"{number}-{bed}",
            date_of_birth=date(1980, 1, bed),
            bed=str(bed),
            allergies=[],
        )
        for bed in range(1, PATIENTS_PER_WARD + 1)
    ]


def _hire(database: Database, slug: str, organization_id: UUID, number: int, role: Role, wards: list[UUID]) -> Person:
    """A member of staff, signed in with a second factor, which changes of a care team ask for."""
    name = f"Client {number}"

    def hire(session: Session) -> Person:
        user_id = add_user(
            session,
            organization_id=organization_id,
            email=f"client{number}@proof.example",
            name=name,
            role=role,
            password=secrets.token_urlsafe(12),
            own_password=True,
            ward_ids=wards,
        )
        actor = Actor(organization_id, user_id, role, name, "proof", second_factor=True)
        issued = issue_token(session, actor=actor, now=datetime.now(UTC), hours=TOKEN_HOURS)
        return Person(slug, number, actor, issued.token)

    return database.transact(hire, actor=Actor.operator(organization_id))


def _stock(database: Database, shelf: Shelf, patients: list[UUID], doctor: Actor) -> list[UUID]:
    """A lot and a few orders of a shelf; the orders."""
    now, operator = datetime.now(UTC), Actor.operator(shelf.organization_id)

    def receive_and_order(session: Session) -> list[UUID]:
        session.take_lanes([shelf.lane])
        receipts.receive(
            session,
            actor=operator,
            shelf=shelf,
            lot_number="FIRST",
            expires_on=(now + timedelta(days=90)).date(),
            quantity_units=INITIAL_UNITS,
            now=now,
        )
        return [_order(session, shelf, patient_id, doctor, now) for patient_id in patients[:ORDERS_PER_SHELF]]

    return database.transact(receive_and_order, actor=operator)


def _order(session: Session, shelf: Shelf, patient_id: UUID, doctor: Actor, now: datetime) -> UUID:
    return ordering.place(
        session,
        actor=doctor,
        shelf=shelf,
        patient_id=patient_id,
        quantity_units=2,
        priority=Priority.ROUTINE,
        doses=4,
        interval_minutes=60,
        first_due_at=None,
        dose_text=None,
        route=None,
        now=now,
    )
