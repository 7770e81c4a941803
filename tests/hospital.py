"""A small hospital for a test, made by the use cases themselves, and a client that acts in it over HTTP."""

import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from backend.actor import Actor, Role
from backend.db import Database, new_id
from backend.db.idempotency import Answer, IdempotencyKey
from backend.domain.administrations import fulfilment
from backend.domain.identity import tokens
from backend.domain.identity.passwords import hash_password
from backend.domain.identity.witnesses import Witness
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.receipts import Receipt
from backend.operations.building import Builder, Site

ZONE = ZoneInfo("Europe/Berlin")
PASSWORD = "correct horse battery"
SECOND_FACTOR_ROLES = frozenset({Role.DOCTOR, Role.ADMIN})  # who `sign_in` signs in with a code


@cache
def hash_of_password() -> str:
    """PASSWORD as it is stored, hashed once: for each of a hospital's people that takes as long as most tests."""
    return hash_password(PASSWORD)


@dataclass
class Hospital(Site):
    """One organization with a ward, a nurse, a pharmacist, a doctor, an admin, a patient and a drug."""

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

    def add_ward(self, name: str = "") -> UUID:
        """Another ward."""
        return self.build(lambda builder: builder.add_ward(name or uuid.uuid4().hex))

    def add_drug(self, name: str = "", **values: Any) -> UUID:
        """Another drug."""
        return self.build(lambda builder: builder.add_drug(name or f"Drug {uuid.uuid4().hex[:8]}", **values))

    def admit(self, name: str, mrn: str = "", **values: Any) -> UUID:
        """Another patient of the ward, or of the `ward_id` among `values`."""
        where = {"ward_id": self.ward_id, **values}
        return self.build(lambda builder: builder.admit(name=name, mrn=mrn or uuid.uuid4().hex, **where))

    def add_staff(self, login: str, role: Role, wards: tuple[UUID, ...] = (), *, own_password: bool = True) -> Actor:
        """Another member of staff, who signs in as `login`@slug.example; without `own_password` by a first one."""

        def hire(builder: Builder) -> Actor:
            user_id = builder.hire(
                email=f"{login}@{self.slug}.example",
                name=login.title(),
                role=role,
                password_hash=hash_of_password(),
                ward_ids=wards,
                own_password=own_password,
            )
            return Actor(self.organization_id, user_id, role, login.title(), "test")

        self.staff[login] = self.build(hire)
        return self.staff[login]

    def receive(
        self,
        units: int,
        *,
        lot: str = "L1",
        expires_on: date | None = None,
        shelf: Shelf | None = None,
        witness_id: UUID | None = None,
    ) -> Receipt:
        """Puts units of a lot on the shelf."""
        where, pharmacist = shelf or self.shelf, self.staff["pharmacist"]
        values = {"lot_number": lot, "expires_on": expires_on or (now() + timedelta(days=365)).date()}
        return self.build(
            lambda builder: builder.receive(where, units, actor=pharmacist, witness=witness_of(witness_id), **values),
            shelves=[where],
            actor=pharmacist,
        )

    def place(self, *, shelf: Shelf | None = None, **values: Any) -> UUID:
        """An order for the patient, with the defaults of Builder.place."""
        where, doctor = shelf or self.shelf, self.staff["doctor"]
        how = {"patient_id": self.patient_id, **values}
        return self.build(lambda builder: builder.place(where, actor=doctor, **how), shelves=[where], actor=doctor)

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
        return self.read(lambda session: [tuple(row) for row in session.execute(_text(query, values)).all()])

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
    hospital = Hospital(database, new_id(), f"h-{uuid.uuid4().hex[:12]}", *[new_id()] * 3)

    def furnish(builder: Builder) -> None:
        builder.open(hospital.slug, name="Test", time_zone=ZONE.key, **policies)
        hospital.ward_id = builder.add_ward("1 North")
        hospital.patient_id = builder.admit(hospital.ward_id, "Okafor, Grace", "M-1", bed="1")
        hospital.drug_id = builder.add_drug("Amoxicillin")

    hospital.build(furnish)
    for role in Role:
        hospital.add_staff(role.value, role, (hospital.ward_id,) if role is Role.NURSE else ())
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
