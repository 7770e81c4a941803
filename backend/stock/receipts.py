"""Receipts: a delivered lot becomes stock of a ward."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import insert, select

from backend.actor import Actor
from backend.db import Session, new_id
from backend.errors import Conflict, ValidationFailed
from backend.formulary.drugs import get_drug
from backend.organizations.organizations import get_ward
from backend.stock import ledger
from backend.stock.ledger import Line, Shelf
from backend.stock.models import Lot, LotStatus, MovementReason
from backend.stock.queries import today_of

UNITS_ON_SHELF_MAX = 1_000_000_000


class LotNotAvailable(Conflict):
    """The lot is on hold or recalled and cannot be received; `lot_status` says which."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was received: `on_hand_units` is what the shelf holds now."""

    id: UUID
    ward_id: UUID
    drug_id: UUID
    drug_name: str
    lot_id: UUID
    lot_number: str
    expires_on: date
    quantity_units: int
    on_hand_units: int
    received_at: datetime


def receive(
    session: Session,
    *,
    actor: Actor,
    shelf: Shelf,
    lot_number: str,
    expires_on: date,
    quantity_units: int,
    now: datetime,
) -> Receipt:
    """Adds units of a new or known lot to a shelf; the caller has taken the shelf's lane.

    Raises WardNotFound, DrugNotFound, LotNotAvailable, ValidationFailed (expired, or more than a shelf can hold).
    """
    get_ward(session, organization_id=actor.organization_id, ward_id=shelf.ward_id)
    drug = get_drug(session, organization_id=actor.organization_id, drug_id=shelf.drug_id)
    if expires_on < today_of(session, organization_id=actor.organization_id, now=now):
        raise ValidationFailed.of("expires_on", "this lot has expired")
    on_hand_units = ledger.lock_shelf(session, shelf)
    if on_hand_units + quantity_units > UNITS_ON_SHELF_MAX:
        raise ValidationFailed.of("quantity_units", f"a shelf holds at most {UNITS_ON_SHELF_MAX} units")
    lot_id = _known_lot(session, shelf, lot_number, expires_on)
    receipt_id = new_id()
    after = ledger.post(
        session,
        shelf,
        [Line(lot_id, quantity_units)],
        reason=MovementReason.RECEIPT,
        reference_id=receipt_id,
        actor_id=actor.user_id,
        occurred_at=now,
    )
    return Receipt(
        receipt_id,
        shelf.ward_id,
        shelf.drug_id,
        drug.name,
        lot_id,
        lot_number,
        expires_on,
        quantity_units,
        after,
        now,
    )


def _known_lot(session: Session, shelf: Shelf, lot_number: str, expires_on: date) -> UUID:
    """The lot's id, made where it is new. Raises LotNotAvailable."""
    row = session.execute(
        select(Lot.id, Lot.status).where(
            Lot.organization_id == shelf.organization_id,
            Lot.drug_id == shelf.drug_id,
            Lot.lot_number == lot_number,
            Lot.expires_on == expires_on,
        )
    ).one_or_none()
    if row is None:
        lot_id = new_id()
        session.execute(
            insert(Lot).values(
                organization_id=shelf.organization_id,
                id=lot_id,
                drug_id=shelf.drug_id,
                lot_number=lot_number,
                expires_on=expires_on,
            )
        )
        return lot_id
    if row.status is not LotStatus.AVAILABLE:
        raise LotNotAvailable(lot_status=row.status)
    found: UUID = row.id
    return found
