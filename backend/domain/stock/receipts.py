"""Receipts: a delivered lot, or a whole delivery of them, becomes stock of a ward."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import insert, select

from backend.actor import Actor
from backend.db import Session, new_id
from backend.domain.formulary.drugs import DrugNotFound, get_drug
from backend.domain.identity.witnesses import Witness
from backend.domain.organizations.calendar import today_of
from backend.domain.organizations.wards import get_ward
from backend.domain.stock import ledger
from backend.domain.stock.custody import admit_custody_witness
from backend.domain.stock.ledger import Cause, Line, Shelf
from backend.domain.stock.models import Lot, LotStatus, MovementReason
from backend.errors import Conflict, ValidationFailed

LINES_MAX = 500


class LotNotAvailable(Conflict):
    """The lot is on hold or recalled and cannot be received; `lot_status` says which. In a delivery of several lots,
    `line` says which one it is."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """One line of a delivery."""

    drug_id: UUID
    lot_number: str
    expires_on: date
    quantity_units: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was received: `on_hand_units` is what the shelf holds now, None where that is hidden."""

    id: UUID
    ward_id: UUID
    drug_id: UUID
    drug_name: str
    lot_id: UUID
    lot_number: str
    expires_on: date
    quantity_units: int
    on_hand_units: int | None
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
    witness: Witness | None = None,
) -> Receipt:
    """Adds units of a new or known lot to a shelf; the caller has taken the shelf's lane.

    Raises WardNotFound, DrugNotFound, LotNotAvailable, WitnessRequired (a controlled drug, by policy), ValidationFailed
    (expired, or more than a shelf can hold).
    """
    line = Delivered(shelf.drug_id, lot_number, expires_on, quantity_units)
    get_ward(session, organization_id=actor.organization_id, ward_id=shelf.ward_id)
    today = today_of(session, organization_id=actor.organization_id, now=now)
    witness_id = admit_custody_witness(
        session, actor=actor, ward_id=shelf.ward_id, drug_ids=[shelf.drug_id], witness=witness
    )
    cause = Cause(MovementReason.RECEIPT, new_id(), actor.user_id, now, witness_id)
    return _receive(session, shelf, line, cause, today)


def receive_delivery(
    session: Session,
    *,
    actor: Actor,
    ward_id: UUID,
    lines: Sequence[Delivered],
    now: datetime,
    witness: Witness | None = None,
) -> list[Receipt]:
    """Adds every line of a delivery to the ward's shelves, or none; the caller has taken their lanes.

    The receipts share the delivery's id. Raises like `receive`: a ValidationFailed names the line by
    `/lines/<number>`, another refusal by its member `line`.
    """
    get_ward(session, organization_id=actor.organization_id, ward_id=ward_id)
    today = today_of(session, organization_id=actor.organization_id, now=now)
    _ensure_different(lines)
    drugs = {line.drug_id for line in lines}
    witness_id = admit_custody_witness(session, actor=actor, ward_id=ward_id, drug_ids=drugs, witness=witness)
    cause = Cause(MovementReason.RECEIPT, new_id(), actor.user_id, now, witness_id)
    receipts: dict[int, Receipt] = {}
    for number in sorted(range(len(lines)), key=lambda place: lines[place].drug_id):  # the lock order of shelves
        shelf = Shelf(actor.organization_id, ward_id, lines[number].drug_id)
        try:
            receipts[number] = _receive(session, shelf, lines[number], cause, today)
        except ValidationFailed as failed:
            raise failed.below(f"/lines/{number}") from None
        except (DrugNotFound, LotNotAvailable) as refused:
            refused.members["line"] = number
            raise
    return [receipts[number] for number in range(len(lines))]


def _ensure_different(lines: Sequence[Delivered]) -> None:
    """Raises ValidationFailed where a lot is listed twice: one of the two is likely a mistake."""
    seen: set[tuple[UUID, str, date]] = set()
    for number, line in enumerate(lines):
        lot = (line.drug_id, line.lot_number, line.expires_on)
        if lot in seen:
            raise ValidationFailed.of(f"lines/{number}/lot_number", "this lot is listed twice")
        seen.add(lot)


def _receive(session: Session, shelf: Shelf, line: Delivered, cause: Cause, today: date) -> Receipt:
    drug = get_drug(session, organization_id=shelf.organization_id, drug_id=shelf.drug_id)
    if line.expires_on < today:
        raise ValidationFailed.of("expires_on", "this lot has expired")
    ledger.lock_shelf(session, shelf)
    lot_id = _known_lot(session, shelf, line)
    after = ledger.post(session, shelf, [Line(lot_id, line.quantity_units)], cause)
    return Receipt(
        cause.reference_id,
        shelf.ward_id,
        shelf.drug_id,
        drug.name,
        lot_id,
        line.lot_number,
        line.expires_on,
        line.quantity_units,
        after,
        cause.occurred_at,
    )


def _known_lot(session: Session, shelf: Shelf, line: Delivered) -> UUID:
    """The lot's id, made where it is new; locked against a recall. Raises LotNotAvailable."""
    row = session.execute(
        select(Lot.id, Lot.status)
        .where(
            Lot.organization_id == shelf.organization_id,
            Lot.drug_id == shelf.drug_id,
            Lot.lot_number == line.lot_number,
            Lot.expires_on == line.expires_on,
        )
        .with_for_update()
    ).one_or_none()
    if row is None:
        lot_id = new_id()
        session.execute(
            insert(Lot).values(
                organization_id=shelf.organization_id,
                id=lot_id,
                drug_id=shelf.drug_id,
                lot_number=line.lot_number,
                expires_on=line.expires_on,
            )
        )
        return lot_id
    if row.status is not LotStatus.AVAILABLE:
        raise LotNotAvailable(lot_status=row.status)
    found: UUID = row.id
    return found
