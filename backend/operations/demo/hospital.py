"""Builds the sample hospitals by the same use cases that the API calls, so that what it shows is what it does."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from backend.actor import Actor, Role
from backend.db import Database, Session, new_id
from backend.db.idempotency import IdempotencyKey
from backend.domain.administrations import fulfilment
from backend.domain.formulary.drugs import add_drug
from backend.domain.identity.passwords import is_password
from backend.domain.identity.tokens import find_person
from backend.domain.identity.users import add_user
from backend.domain.orders import ordering
from backend.domain.orders.models import Priority
from backend.domain.organizations import hospitals, wards
from backend.domain.organizations.models import WardKind
from backend.domain.patients.admitting import add_patient
from backend.domain.stock import levels, receipts
from backend.domain.stock.ledger import Shelf
from backend.operations.demo.claims import file_claims
from backend.operations.demo.day import play_a_day
from backend.operations.demo.formulary import MEDICINES, PRICE_CENTS, Medicine
from backend.operations.demo.people import ALLERGIES, FAMILIES, GIVEN, PASSWORD, PHARMACY, STAFF, TOTP_SECRET, WARDS
from backend.operations.demo.site import REQUEST_ID, Hospital
from backend.operations.demo.teams import form_teams

PATIENTS_PER_WARD = 12
ORDERS_PER_PATIENT = 5
VERIFIED_SHARE, GIVEN_SHARE, DISCONTINUED_SHARE = 0.7, 0.35, 0.05
SECOND_FACTOR_ROLES = frozenset({Role.DOCTOR, Role.ADMIN})


def has_demo_sign_ins(database: Database) -> bool:
    """Whether somebody could sign in with the password that the demo publishes."""
    person = find_person(database, "riverside", STAFF[0].email)
    return person is not None and is_password(person.password_hash, PASSWORD)


def build_hospitals(database: Database, *, now: datetime, report: Callable[[str], None]) -> None:
    """Riverside, and Lakeside with the same people and other policies, unless they exist already.

    Lakeside wants orders verified and controlled drugs witnessed. `report` gets a line for each step.
    """
    for slug, name, strict in (("riverside", "Riverside Hospital", False), ("lakeside", "Lakeside Clinic", True)):
        if hospitals.find_organization(database, slug) is None:
            report(f"{name}: staff, wards, {len(MEDICINES)} drugs, patients, stock, orders and claims")
            _build(database, slug, name, strict, now)


def _build(database: Database, slug: str, name: str, strict: bool, now: datetime) -> None:
    chance = random.Random(slug)  # noqa: S311 - sample data, not a secret
    hospital = Hospital(database, new_id(), now, chance, {}, {}, {}, {})
    hospital.run(lambda session: _open(session, hospital, slug, name, strict))
    hospital.run(lambda session: _hire(session, hospital))
    hospital.run(lambda session: _fill_formulary(session, hospital))
    hospital.run(lambda session: _admit(session, hospital))
    for ward in hospital.wards:
        for medicine in MEDICINES:
            _stock_shelf(hospital, ward, medicine)
    for patient_id, ward in hospital.patients.items():
        for medicine in hospital.chance.sample(MEDICINES, ORDERS_PER_PATIENT):
            _order(hospital, patient_id, ward, medicine)
    form_teams(hospital)
    play_a_day(hospital)
    file_claims(hospital)


def _open(session: Session, hospital: Hospital, slug: str, name: str, strict: bool) -> None:
    organization_id = hospital.organization_id
    hospitals.open_organization(
        session, organization_id=organization_id, slug=slug, name=name, time_zone="Europe/Berlin"
    )
    if strict:
        hospitals.change_organization(
            session, organization_id=organization_id, verification_required=True, witness_required=True
        )
    for ward in (*WARDS, PHARMACY):
        kind = WardKind.PHARMACY if ward == PHARMACY else WardKind.WARD
        hospital.wards[ward] = wards.add_ward(session, organization_id=organization_id, name=ward, kind=kind)


def _hire(session: Session, hospital: Hospital) -> None:
    for person in STAFF:
        user_id = add_user(
            session,
            organization_id=hospital.organization_id,
            email=person.email,
            name=person.name,
            role=person.role,
            password=PASSWORD,
            own_password=True,
            ward_ids=[hospital.wards[ward] for ward in person.wards],
            totp_secret=TOTP_SECRET if person.role in SECOND_FACTOR_ROLES else None,
        )
        hospital.staff[person.login] = Actor(
            hospital.organization_id, user_id, person.role, person.name, REQUEST_ID, second_factor=True
        )


def _fill_formulary(session: Session, hospital: Hospital) -> None:
    for number, medicine in enumerate(MEDICINES, start=1):
        hospital.drugs[medicine] = add_drug(
            session,
            organization_id=hospital.organization_id,
            name=medicine.name,
            generic_name=medicine.name.lower(),
            strength=medicine.strength,
            form=medicine.form,
            unit=medicine.unit,
            unit_price_cents=PRICE_CENTS[medicine.unit],
            gtin=_gtin(number),
            atc=medicine.atc,
            controlled_schedule=medicine.schedule,
            high_alert=medicine.high_alert,
        )


def _gtin(number: int) -> str:
    """A GTIN-14 with a right check digit, from the range that nobody sells under."""
    digits = f"0200000{number:06d}"
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(digits))
    return digits + str(-total % 10)


def _admit(session: Session, hospital: Hospital) -> None:
    names = [f"{family}, {given}" for family in FAMILIES for given in GIVEN]
    chosen = iter(hospital.chance.sample(names, PATIENTS_PER_WARD * len(WARDS)))
    for ward in WARDS:
        for bed in range(1, PATIENTS_PER_WARD + 1):
            allergies = hospital.chance.sample(ALLERGIES, hospital.chance.choice((0, 0, 0, 1, 2)))
            patient_id = add_patient(
                session,
                organization_id=hospital.organization_id,
                ward_id=hospital.wards[ward],
                name=next(chosen),
                mrn=f"MRN-{100_000 + len(hospital.patients)}",
                date_of_birth=datetime(hospital.chance.randint(1932, 2006), 1, 1, tzinfo=UTC).date()
                + timedelta(days=hospital.chance.randint(0, 364)),
                bed=f"{bed:02d}",
                allergies=allergies,
            )
            hospital.patients[patient_id] = ward


def _stock_shelf(hospital: Hospital, ward: str, medicine: Medicine) -> None:
    """Two or three lots on a shelf, one of them close to its end on every sixth; the pharmacy holds ten times more."""
    chance, shelf = hospital.chance, hospital.shelf(ward, medicine)
    size = 10 if ward == PHARMACY else 1
    first_days = chance.choice((12, 25, 75, 120, 200, 300))
    lots = [(first_days + 180 * n, size * chance.randint(40, 160)) for n in range(chance.randint(2, 3))]
    reorder = size * chance.choice((20, 30, 40, 250))  # the last one leaves the shelf low

    def stock(session: Session) -> None:
        session.take_lanes([shelf.lane])
        for days, units in lots:
            receipts.receive(
                session,
                actor=hospital.staff["pharmacist"],
                shelf=shelf,
                lot_number=f"{medicine.atc[-4:]}-{chance.randint(1000, 9999)}",
                expires_on=(hospital.now + timedelta(days=days)).date(),
                quantity_units=units,
                now=hospital.now - timedelta(days=3),
            )
        levels.set_levels(session, shelf, reorder_point_units=reorder, par_level_units=reorder * 3)

    hospital.run(stock, hospital.staff["pharmacist"])


def _order(hospital: Hospital, patient_id: UUID, ward: str, medicine: Medicine) -> None:
    """One order of the last day, STAT of the last two hours; some verified, some given, a few discontinued."""
    chance, shelf = hospital.chance, hospital.shelf(ward, medicine)
    priority = chance.choice((Priority.ROUTINE,) * 6 + (Priority.STAT, Priority.PRN))
    age, wait = (120, 0) if priority is Priority.STAT else (1_440, 1_800)
    placed = hospital.now - timedelta(minutes=chance.randint(60, age))
    doctor = hospital.staff[chance.choice(("doctor", "doctor2", "doctor3", "doctor4"))]
    doses = chance.choice((1, 1, 1, 6, 9))
    fate = chance.random()
    given = fate < GIVEN_SHARE and medicine.schedule is None

    def place(session: Session) -> UUID:
        session.take_lanes([shelf.lane])
        order_id = ordering.place(
            session,
            actor=doctor,
            shelf=shelf,
            patient_id=patient_id,
            quantity_units=medicine.units_per_dose,
            priority=priority,
            doses=doses,
            interval_minutes=480 if doses > 1 else None,
            first_due_at=placed + timedelta(minutes=chance.randint(0, wait)),
            dose_text=medicine.dose_text,
            route=medicine.route,
            now=placed,
        )
        if given or chance.random() < VERIFIED_SHARE:
            ordering.verify(session, actor=hospital.staff["pharmacist"], shelf=shelf, order_id=order_id, now=placed)
        return order_id

    order_id = hospital.run(place, doctor)
    if given:
        _give(hospital, order_id, shelf, placed + timedelta(minutes=chance.randint(5, 55)))
    elif fate > 1 - DISCONTINUED_SHARE:
        _discontinue(hospital, order_id, shelf, doctor)


def _give(hospital: Hospital, order_id: UUID, shelf: Shelf, when: datetime) -> None:
    nurse = hospital.staff["nurse" if shelf.ward_id != hospital.wards[WARDS[2]] else "nurse2"]

    def give(session: Session) -> None:
        fulfilment.fulfil(
            session,
            actor=nurse,
            order_id=order_id,
            shelf=shelf,
            dose=1,
            witness=None,
            key=IdempotencyKey(f"demo-{order_id}", b"demo"),
            given_at=when,
        )

    hospital.run(give, nurse)


def _discontinue(hospital: Hospital, order_id: UUID, shelf: Shelf, doctor: Actor) -> None:
    def stop(session: Session) -> None:
        session.take_lanes([shelf.lane])
        ordering.discontinue(
            session, actor=doctor, shelf=shelf, order_id=order_id, reason="Therapy changed", now=hospital.now
        )

    hospital.run(stop, doctor)
