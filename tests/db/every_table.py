"""A hospital with a row in every table: everything that a ward does in a day, by the use cases where there is one."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import orjson

from backend.actor import Role
from backend.db import Session
from backend.domain.administrations.models import RemainderKind
from backend.domain.alerts.evaluating import acknowledge
from backend.domain.audit.sealing import seal_hospital
from backend.domain.care_team.models import CareRole
from backend.domain.custody.counting import Counted
from backend.domain.custody.models import Resolution
from backend.domain.custody.transfers import Arrived
from backend.domain.identity import passkeys, tokens
from backend.domain.identity.sign_in import totp
from backend.domain.identity.sign_in.webauthn import Made
from backend.domain.orders import ordering, overrides
from backend.domain.orders.models import OverrideStatus
from backend.domain.stock.ledger import Shelf
from tests import day
from tests.domain.claims.filing import claims, file_claims, run
from tests.hospital import Hospital, now, today


@dataclass(frozen=True)
class Pair:
    """Two hospitals with rows in every table."""

    mine: Hospital
    other: Hospital


def tenant_column(table: str) -> str:
    """The column of `table` that says whose a row is."""
    return "id" if table == "organizations" else "organization_id"


def furnish(hospital: Hospital) -> Hospital:
    """Stock in three lots, orders in every state, doses given, refused and mistaken, an override, waste, transfers, a
    count, discrepancies, alerts, a care team, claims and their drift, a token, a used one-time code, a passkey, and
    seals over all of it."""
    hospital.receive(20, lot="LATER", expires_on=(now() + timedelta(days=400)).date())
    hospital.receive(5, lot="SOONER", expires_on=(now() + timedelta(days=40)).date())
    hospital.receive(7, lot="OLD", expires_on=today())
    hospital.fulfil(hospital.place(units=6))
    schedule = hospital.place(units=2, doses=3)
    hospital.fulfil(schedule, dose=1)
    hospital.place(units=1)
    _discontinue(hospital, hospital.place())
    day.skip(hospital, hospital.place(doses=2), dose=1)
    _waste(hospital, 1)
    _transfer(hospital, 4)
    _give_by_override(hospital)
    _count(hospital)
    _assign_team(hospital)
    _acknowledge(hospital)
    file_claims(hospital, claims(30, ago=50), claims(30, ago=7, denied=30))
    run(hospital)
    actor = hospital.nurse
    hospital.run(lambda session: tokens.issue_token(session, actor=actor, now=now(), hours=1), actor)
    used = {"organization_id": actor.organization_id, "user_id": actor.user_id, "step": 1}
    hospital.run(lambda session: totp.take_step(session, **used), actor)
    made = Made(b"on a phone", b"the public half", 0, ["internal"], backed_up=True)
    hospital.run(lambda session: passkeys.add_passkey(session, actor=actor, made=made, name="Phone"), actor)
    seal_hospital(hospital.database, organization_id=hospital.organization_id)
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


def _discontinue(hospital: Hospital, order_id: UUID) -> None:
    doctor = hospital.staff["doctor"]

    def work(session: Session) -> None:
        session.take_lanes([hospital.shelf.lane])
        ordering.discontinue(
            session, actor=doctor, shelf=hospital.shelf, order_id=order_id, reason="Therapy changed", now=now()
        )

    hospital.run(work, doctor)


def _waste(hospital: Hospital, units: int) -> None:
    day.adjust(hospital, -units, lot=lot_on(hospital, hospital.shelf))


def _transfer(hospital: Hospital, units: int) -> None:
    """To another ward, in full; and to a third, one unit short, which turns up later."""
    there, elsewhere = hospital.add_ward(), hospital.add_ward()
    full = day.request(hospital, hospital.ward_id, there, units)
    short = day.request(hospital, hospital.ward_id, elsewhere, 2)
    for transfer_id in (full, short):
        day.dispatch(hospital, transfer_id)
    day.receive(hospital, full)
    day.receive(hospital, short, [Arrived(hospital.drug_id, 1)])
    (missing,) = day.discrepancies(hospital)
    day.resolve(hospital, missing, Resolution.FOUND)


def _give_by_override(hospital: Hospital) -> None:
    """An unverified order given with a reason; a unit of the dose is put back; another entry was a mistake."""
    organization_id = hospital.organization_id
    listed = {"organization_id": organization_id, "ward_id": hospital.ward_id, "drug_id": hospital.drug_id}
    hospital.run(lambda session: overrides.list_drug(session, **listed))
    hospital.change("UPDATE organizations SET verification_required = true, version = version + 1")
    given = [
        UUID(
            orjson.loads(hospital.fulfil(hospital.place(units=2), override_reason="cannot wait").body)[
                "administration_id"
            ]
        )
        for _ in range(2)
    ]
    hospital.change("UPDATE organizations SET verification_required = false, version = version + 1")
    day.leave(hospital, given[0], 1, RemainderKind.RETURN)
    ((override_id,),) = hospital.rows("SELECT id FROM order_overrides WHERE administration_id = :p1", given[0])
    hospital.run(
        lambda session: overrides.review(
            session,
            actor=hospital.staff["pharmacist"],
            override_id=override_id,
            verdict=OverrideStatus.APPROPRIATE,
            note=None,
            now=now(),
        )
    )
    day.mark_in_error(hospital, given[1])


def _count(hospital: Hospital) -> None:
    """One unit more than the ledger says, not resolved yet."""
    lot = lot_on(hospital, hospital.shelf)
    held = hospital.rows(
        "SELECT quantity_units FROM stock_lots WHERE lot_id = :p1 AND ward_id = :p2", lot, hospital.ward_id
    )[0][0]
    count_id = day.open_count(hospital)
    others = hospital.rows("SELECT lot_id, quantity_units FROM stock_lots WHERE ward_id = :p1", hospital.ward_id)
    lines = [Counted(row[0], row[1]) for row in others if row[1] and row[0] != lot]
    day.record_count(hospital, count_id, Counted(lot, held + 1), *lines)
    day.complete_count(hospital, count_id)


def _acknowledge(hospital: Hospital) -> None:
    """The alerts of the day, one of them seen."""
    day.refresh_alerts(hospital)
    seen = hospital.rows("SELECT id FROM alerts ORDER BY id LIMIT 1")[0][0]
    actor = hospital.staff["pharmacist"]
    hospital.run(lambda session: acknowledge(session, actor=actor, alert_id=seen, now=now()), actor)


# Rows in which a column may point somewhere without breaking a check, and what has to change with it.
POINTING = {
    ("stock_movements", "corrects_id"): "reason = 'correction' AND corrects_id IS NOT NULL",
    ("medication_administrations", "in_error_by_id"): "entered_in_error_at IS NOT NULL",
    ("discrepancies", "count_line_id"): "kind = 'count'",
    ("discrepancies", "transfer_lot_id"): "kind = 'transfer'",
    ("discrepancies", "resolved_by_id"): "status = 'resolved'",
    ("order_overrides", "reviewed_by_id"): "status <> 'pending'",
    ("alerts", "acknowledged_by_id"): "acknowledged_at IS NOT NULL",
    ("care_team_assignments", "removed_by_id"): "removed_at IS NOT NULL",
    ("medication_orders", "discontinued_by_id"): "status = 'discontinued'",
}


def _assign_team(hospital: Hospital) -> None:
    """A PRIMARY, a SPECIALIST who was it before, and an assignment that has ended."""
    colleague = hospital.add_staff("colleague", Role.DOCTOR)
    day.assign(hospital, hospital.patient_id, hospital.staff["doctor"].user_id, CareRole.PRIMARY)
    day.change_primary(hospital, hospital.patient_id, colleague.user_id)
