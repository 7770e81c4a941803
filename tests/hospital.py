"""A small hospital for a test, made by the use cases themselves, and a client that acts in it over HTTP."""

import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Flask
from sqlalchemy import insert, text
from werkzeug.test import TestResponse

from backend.actor import Actor, Role
from backend.db import Database, Session, new_id
from backend.db.idempotency import Answer, IdempotencyKey
from backend.domain.administrations import fulfilment
from backend.domain.formulary.drugs import add_drug
from backend.domain.identity import tokens
from backend.domain.identity.first_passwords import expiry
from backend.domain.identity.models import User
from backend.domain.identity.passwords import hash_password
from backend.domain.identity.users import set_wards
from backend.domain.identity.witnesses import Witness
from backend.domain.orders import ordering
from backend.domain.orders.models import Priority
from backend.domain.organizations import hospitals
from backend.domain.organizations.models import WardKind
from backend.domain.organizations.wards import add_ward
from backend.domain.patients.admitting import add_patient
from backend.domain.stock import receipts
from backend.domain.stock.ledger import Shelf

ZONE = ZoneInfo("Europe/Berlin")
PASSWORD = "correct horse battery"
SECOND_FACTOR_ROLES = frozenset({Role.DOCTOR, Role.ADMIN})  # who `sign_in` signs in with a code


@cache
def hash_of_password() -> str:
    """PASSWORD as it is stored, hashed once: for each of a hospital's people that takes as long as most tests."""
    return hash_password(PASSWORD)


@dataclass
class Hospital:
    """One organization with a ward, a nurse, a pharmacist, a doctor, an admin, a patient and a drug."""

    database: Database
    organization_id: UUID
    slug: str
    ward_id: UUID
    patient_id: UUID
    drug_id: UUID
    staff: dict[str, Actor] = field(default_factory=dict)

    @property
    def nurse(self) -> Actor:
        """The nurse of the ward."""
        return self.staff["nurse"]

    @property
    def shelf(self) -> Shelf:
        """The ward's shelf of the drug."""
        return Shelf(self.organization_id, self.ward_id, self.drug_id)

    @property
    def operator(self) -> Actor:
        """The person at the command line."""
        return Actor.operator(self.organization_id)

    def run(self, work: Any, actor: Actor | None = None) -> Any:
        """What `work(session)` returns."""
        return self.database.transact(work, actor=actor or self.operator)

    def add_ward(self, name: str = "") -> UUID:
        """Another ward."""
        return self.run(
            lambda session: add_ward(
                session, organization_id=self.organization_id, name=name or uuid.uuid4().hex, kind=WardKind.WARD
            )
        )

    def add_drug(self, name: str = "", **values: Any) -> UUID:
        """Another drug."""
        name = name or f"Drug {uuid.uuid4().hex[:8]}"
        values = {"strength": "5 mg", "form": "tablet", "unit": "tablet", "generic_name": name.lower(), **values}
        return self.run(lambda session: add_drug(session, organization_id=self.organization_id, name=name, **values))

    def add_staff(self, login: str, role: Role, wards: tuple[UUID, ...] = (), *, own_password: bool = True) -> Actor:
        """Another member of staff, who signs in as `login`@slug.example; without `own_password` by a first one."""
        user_id, organization_id = new_id(), self.organization_id
        user = {
            "organization_id": organization_id,
            "id": user_id,
            "email": f"{login}@{self.slug}.example",
            "name": login.title(),
            "role": role,
            "password_hash": hash_of_password(),
        }
        if not own_password:
            user["first_password_expires_at"] = expiry()

        def work(session: Session) -> None:
            session.execute(insert(User).values(user))
            set_wards(session, organization_id=organization_id, user_id=user_id, ward_ids=wards)

        self.run(work)
        self.staff[login] = Actor(self.organization_id, user_id, role, login.title(), "test")
        return self.staff[login]

    def receive(
        self,
        units: int,
        *,
        lot: str = "L1",
        expires_on: date | None = None,
        shelf: Shelf | None = None,
        witness_id: UUID | None = None,
    ) -> receipts.Receipt:
        """Puts units of a lot on the shelf."""
        where = shelf or self.shelf

        def work(session: Session) -> receipts.Receipt:
            session.take_lanes([where.lane])
            return receipts.receive(
                session,
                actor=self.staff["pharmacist"],
                shelf=where,
                lot_number=lot,
                expires_on=expires_on or (now() + timedelta(days=365)).date(),
                quantity_units=units,
                witness=witness_of(witness_id),
                now=now(),
            )

        return self.run(work, self.staff["pharmacist"])

    def place(self, *, units: int = 1, doses: int = 1, shelf: Shelf | None = None, **values: Any) -> UUID:
        """An order for the patient."""
        where = shelf or self.shelf
        defaults: dict[str, Any] = {
            "priority": Priority.ROUTINE,
            "interval_minutes": 60 if doses > 1 else None,
            "first_due_at": None,
            "dose_text": None,
            "route": None,
        }

        def work(session: Session) -> UUID:
            session.take_lanes([where.lane])
            return ordering.place(
                session,
                actor=self.staff["doctor"],
                shelf=where,
                patient_id=self.patient_id,
                quantity_units=units,
                doses=doses,
                now=now(),
                **{**defaults, **values},
            )

        return self.run(work, self.staff["doctor"])

    def place_many(self, count: int, **values: Any) -> list[UUID]:
        """Several orders alike."""
        return [self.place(**values) for _ in range(count)]

    def fulfil(
        self,
        order_id: UUID,
        *,
        key: str = "",
        fingerprint: bytes = b"fingerprint",
        dose: int | None = None,
        shelf: Shelf | None = None,
        witness_id: UUID | None = None,
        **changes: Any,
    ) -> Answer:
        """The nurse gives a dose, straight through `transact`."""
        values: dict[str, Any] = {
            "actor": self.nurse,
            "order_id": order_id,
            "shelf": shelf or self.shelf,
            "dose": dose,
            "witness": witness_of(witness_id),
            "key": IdempotencyKey(key or uuid.uuid4().hex, fingerprint),
            **changes,
        }
        return self.database.transact(
            lambda session: fulfilment.fulfil(session, **values), actor=values["actor"], repeatable=True
        )

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows as the application role sees them for this hospital."""

        def work(session: Session) -> list[tuple[Any, ...]]:
            session.take_lanes([])
            return [tuple(row) for row in session.execute(_text(query, values)).all()]

        return self.database.transact(work, actor=self.operator, read_only=True)

    def change(self, statement: str, *values: object) -> None:
        """Runs `statement` as the application role for this hospital: a state that no use case makes yet."""
        self.run(lambda session: session.execute(_text(statement, values)))

    def on_hand(self, shelf: Shelf | None = None) -> int:
        """The units of a shelf by its level."""
        where = shelf or self.shelf
        found = self.rows(
            "SELECT on_hand_units FROM stock_levels WHERE ward_id = :p1 AND drug_id = :p2", where.ward_id, where.drug_id
        )
        return found[0][0] if found else 0

    def counts(self) -> dict[str, int]:
        """How many rows there are of what a use case writes: every change of a table that is not insert-only is one
        of audit_events."""
        tables = (
            "stock_movements",
            "medication_administrations",
            "idempotency_keys",
            "audit_events",
            "dose_remainders",
        )
        return {table: self.rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables}


def _text(query: str, values: tuple[object, ...]) -> Any:
    return text(query).bindparams(**{f"p{number}": value for number, value in enumerate(values, start=1)})


def witness_of(user_id: UUID | None) -> Witness | None:
    """The witness whom a user id names, who has shown a password and no code."""
    return Witness(user_id) if user_id is not None else None


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def today() -> date:
    """The day by the clocks of a hospital that `open_hospital` has made; in UTC it may still be the day before."""
    return now().astimezone(ZONE).date()


def open_hospital(database: Database, **policies: Any) -> Hospital:
    """A hospital with an empty shelf. `policies` are columns of organizations."""
    organization_id, slug = new_id(), f"h-{uuid.uuid4().hex[:12]}"
    operator = Actor.operator(organization_id)

    def work(session: Session) -> tuple[UUID, UUID]:
        hospitals.open_organization(
            session, organization_id=organization_id, slug=slug, name="Test", time_zone=ZONE.key
        )
        if policies:
            hospitals.change_organization(session, organization_id=organization_id, **policies)
        ward_id = add_ward(session, organization_id=organization_id, name="1 North", kind=WardKind.WARD)
        patient_id = add_patient(
            session,
            organization_id=organization_id,
            ward_id=ward_id,
            name="Okafor, Grace",
            mrn="M-1",
            date_of_birth=date(1980, 2, 3),
            bed="1",
            allergies=[],
        )
        return ward_id, patient_id

    ward_id, patient_id = database.transact(work, actor=operator)
    hospital = Hospital(database, organization_id, slug, ward_id, patient_id, new_id())
    hospital.drug_id = hospital.add_drug("Amoxicillin")
    for role in Role:
        hospital.add_staff(role.value, role, (ward_id,) if role is Role.NURSE else ())
    return hospital


class Client:
    """A member of staff at a screen."""

    def __init__(self, app: Flask, actor: Actor, token: str) -> None:
        self.actor = actor
        self.token = token
        self._app = app

    def request(self, method: str, path: str, **options: Any) -> TestResponse:
        """The answer to `method path` with the token, below /api/v1."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return self._app.test_client().open(f"/api/v1{path}", method=method, headers=headers, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        """GET."""
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        """POST `body` as JSON."""
        if body is not None:
            options["json"] = body
        return self.request("POST", path, **options)

    def put(self, path: str, body: Any, **options: Any) -> TestResponse:
        """PUT `body` as JSON."""
        return self.request("PUT", path, json=body, **options)

    def delete(self, path: str, **options: Any) -> TestResponse:
        """DELETE."""
        return self.request("DELETE", path, **options)

    def patch(self, path: str, body: Any, **options: Any) -> TestResponse:
        """PATCH `body` as JSON."""
        return self.request("PATCH", path, json=body, **options)


def sign_in(app: Flask, hospital: Hospital, login: str) -> Client:
    """A client of `login`, with a token issued by the use case as after a sign-in that brought the code it could."""
    plain = hospital.staff[login]
    actor = replace(plain, second_factor=plain.role in SECOND_FACTOR_ROLES)
    issued = hospital.run(lambda session: tokens.issue_token(session, actor=actor, now=now(), hours=1), actor)
    return Client(app, actor, issued.token)
