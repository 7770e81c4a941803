"""The hospitals of a proof: wards, a few drugs, patients, and a person with a token for every client.

All have the same shape: the same names, record numbers and e-mails, so that nothing but the organization tells what is
whose. Made by the use cases, like everything that happens to them later; only the expired lot is aged by hand.

Each shelf begins with three lots that must not be given and a good one that expires last. Two wards more have nothing
but a cupboard with one controlled drug (cupboard.py). One nurse in four does not work on the second ward.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select

from backend.actor import Actor, Role
from backend.db import Database, Session, bump, new_id
from backend.domain.identity.passwords import hash_password
from backend.domain.identity.tokens import issue_token
from backend.domain.organizations.models import WardKind
from backend.domain.stock import lots
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.models import Lot, LotStatus
from backend.operations.building import Builder, Site

SLUGS = ("north", "south")
WARDS = (("3 West", WardKind.WARD), ("4 East", WardKind.WARD), ("Pharmacy", WardKind.PHARMACY))
CUPBOARD_WARDS = ("5 North", "6 South")
DRUGS = ("Amoxicillin", "Furosemide", "Heparin", "Metoprolol")
PATIENTS_PER_WARD, ORDERS_PER_SHELF = 8, 4
INITIAL_UNITS = 6  # of each drug on each ward: short at once, so that clients fight for the last of it
EXPIRED, ON_HOLD, RECALLED = "OLD", "HELD", "CALLED"  # lots beside them, which are never to be given
USELESS_DAYS = {EXPIRED: 1, ON_HOLD: 30, RECALLED: 60}  # until they expire, before `_spoil`
USELESS_UNITS = 3  # of each of them
CUPBOARD_UNITS, CUPBOARD_LOT = 200, "SAFE"
CUPBOARD_DAYS = 400  # until it expires
TOKEN_HOURS = 48
ROLES = (Role.NURSE, Role.PHARMACIST, Role.NURSE, Role.DOCTOR, Role.NURSE, Role.DOCTOR, Role.NURSE, Role.PHARMACIST)
CONSULTANTS = 2  # doctors who are on care teams and no clients
ONE_WARD_LESS = 6  # of ROLES: a nurse who does not work on the second ward


@dataclass(frozen=True)
class Person:
    """Who one client is: the `number`th of `hospital`, and where they work."""

    hospital: str
    number: int
    actor: Actor
    token: str
    email: str
    password: str
    ward_ids: frozenset[str]

    def works_on(self, ward_id: str) -> bool:
        """Tell whether they are a member of the ward."""
        return ward_id in self.ward_ids


@dataclass(frozen=True)
class Hospital:
    """Where everything is."""

    slug: str
    organization_id: UUID
    shelves: list[Shelf]
    cupboards: dict[Shelf, list[UUID]]  # the patients of its ward
    cupboard_expires_on: date
    patients: dict[UUID, list[UUID]]  # by ward
    people: list[Person]
    witness: Person  # a nurse who is no client
    doctors: list[UUID]  # who may be on a care team
    orders: dict[UUID, UUID]  # of which no dose has been given, and their wards

    @property
    def initial_units(self) -> int:
        """The units that were there before the first client came."""
        useless = USELESS_UNITS * len(USELESS_DAYS)
        return (INITIAL_UNITS + useless) * len(self.shelves) + CUPBOARD_UNITS * len(self.cupboards)


def open_hospital(database: Database, slug: str, clients: int) -> Hospital:
    """A new hospital with stock, patients, orders and a person for each of `clients`, of whom one in four is a doctor:
    there must be at least four."""
    organization_id = new_id()
    site = Site(database, organization_id)
    made = site.build(lambda builder: _furnish(builder, slug))
    every = [*made.patients, *made.cupboard_patients]
    less = [ward_id for ward_id in every if ward_id != list(made.patients)[1]]

    def hire(number: int, role: Role) -> Person:
        ward_ids = less if number < clients and number % len(ROLES) == ONE_WARD_LESS else every
        return _hire(site, slug, number, role, ward_ids)

    people = [hire(number, ROLES[number % len(ROLES)]) for number in range(clients)]
    consultants = [hire(clients + number, Role.DOCTOR) for number in range(CONSULTANTS)]
    witness = hire(clients + CONSULTANTS, Role.NURSE)
    shelves = [Shelf(organization_id, ward_id, drug_id) for ward_id in made.patients for drug_id in made.drugs]
    cupboards = {
        Shelf(organization_id, ward_id, made.controlled): patients
        for ward_id, patients in made.cupboard_patients.items()
    }
    doctors = [person.actor for person in (*people, *consultants) if person.actor.role is Role.DOCTOR]
    today = datetime.now(UTC).date()
    useful_until, safe_until = today + timedelta(days=90), today + timedelta(days=CUPBOARD_DAYS)
    useless = [(number, USELESS_UNITS, today + timedelta(days=days)) for number, days in USELESS_DAYS.items()]
    for shelf in shelves:
        _stock(site, shelf, [*useless, ("FIRST", INITIAL_UNITS, useful_until)])
    for shelf in cupboards:
        _stock(site, shelf, [(CUPBOARD_LOT, CUPBOARD_UNITS, safe_until)])
    site.run(lambda session: _spoil(session, site.operator, expired_on=today - timedelta(days=30)))
    orders = {
        order_id: shelf.ward_id
        for shelf in shelves
        for order_id in _order_some(site, shelf, made.patients[shelf.ward_id], doctors[0])
    }
    return Hospital(
        slug,
        organization_id,
        shelves,
        cupboards,
        safe_until,
        made.patients,
        people,
        witness,
        [doctor.user_id for doctor in doctors if doctor.user_id is not None],
        orders,
    )


class _Furnished(NamedTuple):
    """Wards with their patients, and the drugs of a hospital."""

    patients: dict[UUID, list[UUID]]
    cupboard_patients: dict[UUID, list[UUID]]
    drugs: list[UUID]
    controlled: UUID


def _furnish(builder: Builder, slug: str) -> _Furnished:
    def admit(name: str, kind: WardKind, number: int) -> tuple[UUID, list[UUID]]:
        ward_id = builder.add_ward(name, kind)
        beds = range(1, PATIENTS_PER_WARD + 1)
        return ward_id, [builder.admit(ward_id, f"Patient {bed}", f"{number}-{bed}", bed=str(bed)) for bed in beds]

    builder.open(slug, name="Proof")
    wards = [admit(name, kind, number) for number, (name, kind) in enumerate(WARDS)]
    others = [admit(name, WardKind.WARD, len(WARDS) + number) for number, name in enumerate(CUPBOARD_WARDS)]
    drugs = [builder.add_drug(name) for name in DRUGS]
    return _Furnished(dict(wards), dict(others), drugs, builder.add_drug("Morphine", controlled_schedule=2))


def _hire(site: Site, slug: str, number: int, role: Role, ward_ids: list[UUID]) -> Person:
    """A member of staff, signed in with a second factor, which changes of a care team ask for."""
    name, email, password = f"Client {number}", f"client{number}@proof.example", secrets.token_urlsafe(12)
    password_hash = hash_password(password)

    def hire(builder: Builder) -> Person:
        user_id = builder.hire(email=email, name=name, role=role, password_hash=password_hash, ward_ids=ward_ids)
        actor = Actor(site.organization_id, user_id, role, name, "proof", second_factor=True)
        issued = issue_token(builder.session, actor=actor, now=builder.session.now, hours=TOKEN_HOURS)
        return Person(slug, number, actor, issued.token, email, password, frozenset(map(str, ward_ids)))

    return site.build(hire)


def _stock(site: Site, shelf: Shelf, received: Sequence[tuple[str, int, date]]) -> None:
    """Put lots on a shelf: the number of each, its units and the day it expires on."""

    def stock(builder: Builder) -> None:
        for lot_number, units, expires_on in received:
            builder.receive(shelf, units, actor=site.operator, lot_number=lot_number, expires_on=expires_on)

    site.build(stock, shelves=[shelf])


def _spoil(session: Session, operator: Actor, *, expired_on: date) -> None:
    """Put lots on hold, recall lots, and let lots expire as otherwise only time does."""
    numbered = select(Lot.id, Lot.lot_number).where(Lot.organization_id == operator.organization_id)
    for lot_id, number in session.execute(numbered).all():
        status = {ON_HOLD: LotStatus.ON_HOLD, RECALLED: LotStatus.RECALLED}.get(number)
        if status is not None:
            lots.change_status(session, actor=operator, lot_id=lot_id, status=status, reason="proof", now=session.now)
    expired = (Lot.organization_id == operator.organization_id, Lot.lot_number == EXPIRED)
    session.execute(bump(Lot, expires_on=expired_on).where(*expired))


def _order_some(site: Site, shelf: Shelf, patients: list[UUID], doctor: Actor) -> list[UUID]:
    """Place a few orders of a shelf."""
    some = patients[:ORDERS_PER_SHELF]
    return site.build(
        lambda builder: [builder.place(shelf, actor=doctor, patient_id=who, units=2, doses=4) for who in some],
        shelves=[shelf],
        actor=doctor,
    )
