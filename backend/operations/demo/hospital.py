"""Builds the sample hospitals by the same use cases that the API calls, so that what it shows is what it does."""

import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from uuid import UUID

from backend.actor import Actor, Role
from backend.db import Database, Session, new_id
from backend.domain.identity.passwords import hash_password, is_password
from backend.domain.identity.tokens import find_person
from backend.domain.orders import ordering
from backend.domain.orders.models import Priority
from backend.domain.organizations import hospitals
from backend.domain.organizations.models import WardKind
from backend.domain.stock import levels
from backend.domain.stock.ledger import Shelf
from backend.operations.building import Builder
from backend.operations.demo.claims import file_claims
from backend.operations.demo.day import play_a_day
from backend.operations.demo.formulary import MEDICINES, PRICE_CENTS, Medicine
from backend.operations.demo.people import ALLERGIES, FAMILIES, GIVEN, PASSWORD, PHARMACY, STAFF, TOTP_SECRET, WARDS
from backend.operations.demo.site import REQUEST_ID, Hospital
from backend.operations.demo.teams import PRESCRIBERS, form_teams

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
    hospital.build(lambda builder: _open(builder, hospital, slug, name, strict))
    hospital.build(lambda builder: _hire(builder, hospital))
    hospital.build(lambda builder: _fill_formulary(builder, hospital))
    hospital.build(lambda builder: _admit(builder, hospital))
    for ward in hospital.wards:
        for medicine in MEDICINES:
            _stock_shelf(hospital, ward, medicine)
    for patient_id, ward in hospital.patients.items():
        for medicine in hospital.chance.sample(MEDICINES, ORDERS_PER_PATIENT):
            _order(hospital, patient_id, ward, medicine)
    form_teams(hospital)
    play_a_day(hospital)
    file_claims(hospital)


def _open(builder: Builder, hospital: Hospital, slug: str, name: str, strict: bool) -> None:
    builder.open(slug, name=name, verification_required=strict, witness_required=strict)
    for ward in (*WARDS, PHARMACY):
        hospital.wards[ward] = builder.add_ward(ward, WardKind.PHARMACY if ward == PHARMACY else WardKind.WARD)


def _hire(builder: Builder, hospital: Hospital) -> None:
    password_hash = hash_password(PASSWORD)
    for person in STAFF:
        user_id = builder.hire(
            email=person.email,
            name=person.name,
            role=person.role,
            password_hash=password_hash,
            ward_ids=[hospital.wards[ward] for ward in person.wards],
            totp_secret=TOTP_SECRET if person.role in SECOND_FACTOR_ROLES else None,
        )
        hospital.staff[person.login] = Actor(
            hospital.organization_id, user_id, person.role, person.name, REQUEST_ID, second_factor=True
        )


def _fill_formulary(builder: Builder, hospital: Hospital) -> None:
    for number, medicine in enumerate(MEDICINES, start=1):
        hospital.drugs[medicine] = builder.add_drug(
            medicine.name,
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


def _admit(builder: Builder, hospital: Hospital) -> None:
    chance = hospital.chance
    names = [f"{family}, {given}" for family in FAMILIES for given in GIVEN]
    chosen = iter(chance.sample(names, PATIENTS_PER_WARD * len(WARDS)))
    for ward in WARDS:
        for bed in range(1, PATIENTS_PER_WARD + 1):
            patient_id = builder.admit(
                hospital.wards[ward],
                next(chosen),
                f"MRN-{100_000 + len(hospital.patients)}",
                allergies=chance.sample(ALLERGIES, chance.choice((0, 0, 0, 1, 2))),
                date_of_birth=date(chance.randint(1932, 2006), 1, 1) + timedelta(days=chance.randint(0, 364)),
                bed=f"{bed:02d}",
            )
            hospital.patients[patient_id] = ward


def _stock_shelf(hospital: Hospital, ward: str, medicine: Medicine) -> None:
    """Two or three lots on a shelf, one of them close to its end on every sixth; the pharmacy holds ten times more."""
    chance, shelf = hospital.chance, hospital.shelf(ward, medicine)
    size = 10 if ward == PHARMACY else 1
    first_days = chance.choice((12, 25, 75, 120, 200, 300))
    lots = [(first_days + 180 * n, size * chance.randint(40, 160)) for n in range(chance.randint(2, 3))]
    reorder = size * chance.choice((20, 30, 40, 250))  # the last one leaves the shelf low

    pharmacist = hospital.staff["pharmacist"]

    def stock(builder: Builder) -> None:
        for days, units in lots:
            builder.receive(
                shelf,
                units,
                actor=pharmacist,
                lot_number=f"{medicine.atc[-4:]}-{chance.randint(1000, 9999)}",
                expires_on=(hospital.now + timedelta(days=days)).date(),
                now=hospital.now - timedelta(days=3),
            )
        levels.set_levels(builder.session, shelf, reorder_point_units=reorder, par_level_units=reorder * 3)

    hospital.build(stock, shelves=[shelf], actor=pharmacist)


def _order(hospital: Hospital, patient_id: UUID, ward: str, medicine: Medicine) -> None:
    """One order of the last day, STAT of the last two hours; some verified, some given, a few discontinued."""
    chance, shelf = hospital.chance, hospital.shelf(ward, medicine)
    priority = chance.choice((Priority.ROUTINE,) * 6 + (Priority.STAT, Priority.PRN))
    age, wait = (120, 0) if priority is Priority.STAT else (1_440, 1_800)
    placed = hospital.now - timedelta(minutes=chance.randint(60, age))
    doctor = hospital.staff[chance.choice(PRESCRIBERS)]
    doses = chance.choice((1, 1, 1, 6, 9))
    fate = chance.random()
    given = fate < GIVEN_SHARE and medicine.schedule is None
    order_id = hospital.order(
        shelf,
        medicine,
        doctor=doctor,
        patient_id=patient_id,
        units=medicine.units_per_dose,
        priority=priority,
        doses=doses,
        interval_minutes=480 if doses > 1 else None,
        first_due_at=placed + timedelta(minutes=chance.randint(0, wait)),
        now=placed,
        verified_at=placed if given or chance.random() < VERIFIED_SHARE else None,
    )
    if given:
        nurse = hospital.staff["nurse" if ward != WARDS[2] else "nurse2"]
        hospital.give(order_id, shelf, nurse=nurse, given_at=placed + timedelta(minutes=chance.randint(5, 55)))
    elif fate > 1 - DISCONTINUED_SHARE:
        _discontinue(hospital, order_id, shelf, doctor)


def _discontinue(hospital: Hospital, order_id: UUID, shelf: Shelf, doctor: Actor) -> None:
    def stop(session: Session) -> None:
        ordering.discontinue(
            session, actor=doctor, shelf=shelf, order_id=order_id, reason="Therapy changed", now=hospital.now
        )

    hospital.act([shelf], stop, doctor)
