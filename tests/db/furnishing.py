"""A hospital with a row in every table: everything that a ward does in a day, by the use cases where there is one."""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from backend.db import Session
from backend.identity import tokens
from backend.orders import ordering
from backend.stock import ledger
from backend.stock.ledger import Line, Shelf
from backend.stock.models import MovementReason
from tests.hospital import Hospital, now


@dataclass(frozen=True)
class Pair:
    """Two hospitals with rows in every table."""

    mine: Hospital
    other: Hospital


def tenant_column(table: str) -> str:
    """The column of `table` that says whose a row is."""
    return "id" if table == "organizations" else "organization_id"


def furnish(hospital: Hospital) -> Hospital:
    """Stock in three lots, orders in every state, doses given and refused, waste, a transfer, a care team, a token."""
    hospital.receive(20, lot="LATER", expires_on=(now() + timedelta(days=400)).date())
    hospital.receive(5, lot="SOONER", expires_on=(now() + timedelta(days=40)).date())
    hospital.receive(7, lot="OLD", expires_on=now().date())
    hospital.fulfil(hospital.place(units=6))
    schedule = hospital.place(units=2, doses=3)
    hospital.fulfil(schedule, dose=1)
    hospital.place(units=1)
    _discontinue(hospital, hospital.place())
    _refuse(hospital, hospital.place(doses=2))
    _waste(hospital, 1)
    _transfer(hospital, 4)
    _assign_team(hospital)
    actor = hospital.nurse
    hospital.run(lambda session: tokens.issue_token(session, actor=actor, now=now(), hours=1), actor)
    return hospital


def lot_on(hospital: Hospital, shelf: Shelf) -> UUID:
    """A lot of which the shelf holds most."""
    return UUID(
        str(
            hospital.rows(
                "SELECT lot_id FROM stock_lots WHERE ward_id = :p1 AND drug_id = :p2 ORDER BY quantity_units DESC",
                shelf.ward_id,
                shelf.drug_id,
            )[0][0]
        )
    )


def post(hospital: Hospital, shelf: Shelf, line: Line, reason: MovementReason, reference_id: UUID) -> None:
    """Posts one line to a shelf, as the pharmacist."""
    pharmacist = hospital.staff["pharmacist"]

    def work(session: Session) -> None:
        session.take_lanes([shelf.lane])
        ledger.post(
            session,
            shelf,
            [line],
            reason=reason,
            reference_id=reference_id,
            actor_id=pharmacist.user_id,
            occurred_at=now(),
        )

    hospital.run(work, pharmacist)


def _discontinue(hospital: Hospital, order_id: UUID) -> None:
    doctor = hospital.staff["doctor"]

    def work(session: Session) -> None:
        session.take_lanes([hospital.shelf.lane])
        ordering.discontinue(
            session, actor=doctor, shelf=hospital.shelf, order_id=order_id, reason="Therapy changed", now=now()
        )

    hospital.run(work, doctor)


def _refuse(hospital: Hospital, order_id: UUID) -> None:
    """A dose that the patient refused: one administration, no movement."""
    hospital.change(
        "INSERT INTO medication_administrations (organization_id, id, order_id, dose_number, outcome, quantity_units,"
        " nurse_id, administered_at, reason) VALUES (:p1, :p2, :p3, 1, 'refused', 0, :p4, now(), 'nausea')",
        hospital.organization_id,
        uuid.uuid4(),
        order_id,
        hospital.nurse.user_id,
    )
    hospital.change("UPDATE medication_orders SET doses_given = 1 WHERE id = :p1", order_id)


def _waste(hospital: Hospital, units: int) -> None:
    line = Line(lot_on(hospital, hospital.shelf), -units)
    post(hospital, hospital.shelf, line, MovementReason.WASTE, uuid.uuid4())


def _transfer(hospital: Hospital, units: int) -> None:
    """Sent by the pharmacist, received by the nurse on another ward."""
    there = Shelf(hospital.organization_id, hospital.add_ward(), hospital.drug_id)
    lot_id, transfer_id = lot_on(hospital, hospital.shelf), uuid.uuid4()
    hospital.change(
        "INSERT INTO stock_transfers (organization_id, id, source_ward_id, destination_ward_id, status,"
        " requested_by_id, dispatched_by_id, dispatched_at, received_by_id, received_at)"
        " VALUES (:p1, :p2, :p3, :p4, 'received', :p5, :p5, now(), :p6, now())",
        hospital.organization_id,
        transfer_id,
        hospital.ward_id,
        there.ward_id,
        hospital.staff["pharmacist"].user_id,
        hospital.nurse.user_id,
    )
    hospital.change(
        "INSERT INTO stock_transfer_lines (organization_id, id, transfer_id, drug_id, quantity_units,"
        " dispatched_units, received_units) VALUES (:p1, :p2, :p3, :p4, :p5, :p5, :p5)",
        hospital.organization_id,
        uuid.uuid4(),
        transfer_id,
        hospital.drug_id,
        units,
    )
    post(hospital, hospital.shelf, Line(lot_id, -units), MovementReason.TRANSFER_OUT, transfer_id)
    post(hospital, there, Line(lot_id, units), MovementReason.TRANSFER_IN, transfer_id)


def _assign_team(hospital: Hospital) -> None:
    for login, role in (("doctor", "PRIMARY"), ("pharmacist", "CONSULTANT")):
        hospital.change(
            "INSERT INTO care_team_assignments (organization_id, id, patient_id, provider_id, role, assigned_at)"
            " VALUES (:p1, :p2, :p3, :p4, CAST(:p5 AS care_role), now())",
            hospital.organization_id,
            uuid.uuid4(),
            hospital.patient_id,
            hospital.staff[login].user_id,
            role,
        )
