"""Adjustments: waste, loss, correction and return outside a dose, and movements that undo an earlier one.

Every adjustment of a controlled drug has a witness. An adjustment never judges a lot by its state: what has expired, is
on hold or was recalled leaves the shelf exactly this way.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from backend.actor import Actor
from backend.db import Session, new_id
from backend.domain.formulary.drugs import get_drug
from backend.domain.identity.witnesses import Witness, admit_witness
from backend.domain.organizations.wards import get_ward
from backend.domain.stock import ledger
from backend.domain.stock.ledger import Cause, Line, Shelf
from backend.domain.stock.models import Lot, LotStatus, MovementReason, StockMovement
from backend.domain.stock.picking import first_expiring_first
from backend.errors import Conflict, NotFound, ValidationFailed

LEAVING = frozenset({MovementReason.WASTE, MovementReason.LOSS})
CORRECTABLE = frozenset({MovementReason.RECEIPT, MovementReason.WASTE, MovementReason.LOSS})


class AdjustmentReason(StrEnum):
    """Why stock changes outside receipts, doses and transfers."""

    WASTE = "waste"
    LOSS = "loss"
    CORRECTION = "correction"
    RETURN = "return"


class LotNotFound(NotFound):
    """There is no such lot of this drug in your organization."""


class LotRecalled(Conflict):
    """The lot is recalled: it leaves by waste, loss or return, and nothing is added to it."""


class MovementNotFound(NotFound):
    """There is no such movement in your organization."""


class MovementAlreadyCorrected(Conflict):
    """This movement has been undone; `corrected_by_id` is the movement that did it."""


class MovementNotCorrectable(Conflict):
    """Receipts, wastes and losses are undone here. A dose is marked as entered in error instead."""


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What changed: signed units by lot, and what the shelf holds now, None where that is hidden."""

    id: UUID
    ward_id: UUID
    drug_id: UUID
    drug_name: str
    reason: MovementReason
    quantity_units: int
    lots: list[dict[str, Any]]
    on_hand_units: int | None
    note: str | None
    adjusted_by: str
    adjusted_at: datetime


def adjust(
    session: Session,
    *,
    actor: Actor,
    shelf: Shelf,
    units: int,
    reason: MovementReason,
    lot_id: UUID | None,
    note: str | None,
    witness: Witness | None,
    now: datetime,
) -> Adjustment:
    """Changes a shelf by signed `units`; the caller has taken its lane.

    Units that leave without a `lot_id` are taken first expiring first, expired ones included; units that come name
    their lot. Raises WardNotFound, DrugNotFound, LotNotFound, LotRecalled, StockWouldBeNegative, InsufficientStock,
    WitnessRequired, ValidationFailed.
    """
    get_ward(session, organization_id=actor.organization_id, ward_id=shelf.ward_id)
    drug = get_drug(session, organization_id=actor.organization_id, drug_id=shelf.drug_id)
    if units > 0 and reason in LEAVING:
        raise ValidationFailed.of("quantity_units", f"a {reason} takes units away: give a negative number")
    if units > 0 and lot_id is None:
        raise ValidationFailed.of("lot_id", "units that come to a shelf are of a lot: name it")
    needed = drug.controlled_schedule is not None
    witness_id = admit_witness(session, actor=actor, ward_id=shelf.ward_id, witness=witness, needed=needed)
    ledger.lock_shelf(session, shelf)
    lines = _lines(session, shelf, units, reason, lot_id)
    adjustment_id = new_id()
    cause = Cause(reason, adjustment_id, actor.user_id, now, witness_id, note)
    after = ledger.post(session, shelf, lines, cause)
    return Adjustment(
        adjustment_id,
        shelf.ward_id,
        shelf.drug_id,
        drug.name,
        reason,
        units,
        _described(session, shelf, lines),
        after,
        note,
        actor.name,
        now,
    )


def correct_movement(
    session: Session,
    *,
    actor: Actor,
    shelf: Shelf,
    movement_id: UUID,
    note: str,
    witness: Witness | None,
    now: datetime,
) -> UUID:
    """Undoes a receipt, waste or loss of the shelf by a movement that points at it; the caller has taken the lane.

    Returns the new movement's reference. Raises MovementNotFound, MovementNotCorrectable, MovementAlreadyCorrected,
    StockWouldBeNegative, WitnessRequired.
    """
    drug = get_drug(session, organization_id=actor.organization_id, drug_id=shelf.drug_id)
    needed = drug.controlled_schedule is not None
    witness_id = admit_witness(session, actor=actor, ward_id=shelf.ward_id, witness=witness, needed=needed)
    ledger.lock_shelf(session, shelf)
    movement = get_movement(session, organization_id=actor.organization_id, movement_id=movement_id)
    if movement.reason not in CORRECTABLE:
        raise MovementNotCorrectable()
    done = select(StockMovement.id).where(
        StockMovement.organization_id == actor.organization_id, StockMovement.corrects_id == movement_id
    )
    corrected_by = session.execute(done).scalar_one_or_none()
    if corrected_by is not None:
        raise MovementAlreadyCorrected(corrected_by_id=corrected_by)
    reference_id = new_id()
    cause = Cause(MovementReason.CORRECTION, reference_id, actor.user_id, now, witness_id, note)
    ledger.post(session, shelf, [Line(movement.lot_id, -movement.units, corrects_id=movement_id)], cause)
    return reference_id


def get_movement(session: Session, *, organization_id: UUID, movement_id: UUID) -> Row[Any]:
    """What a movement did, and to which shelf. Raises MovementNotFound."""
    movement = StockMovement
    row = session.execute(
        select(movement.ward_id, movement.drug_id, movement.lot_id, movement.units, movement.reason).where(
            movement.organization_id == organization_id, movement.id == movement_id
        )
    ).one_or_none()
    if row is None:
        raise MovementNotFound()
    return row


def _lines(session: Session, shelf: Shelf, units: int, reason: MovementReason, lot_id: UUID | None) -> list[Line]:
    if lot_id is not None:
        _ensure_fits(session, shelf, lot_id, units, reason)
        return [Line(lot_id, units)]
    lots = ledger.lock_lots(session, shelf, today=date.max)
    return [Line(pick.lot_id, -pick.quantity_units) for pick in first_expiring_first(lots, -units)]


def _ensure_fits(session: Session, shelf: Shelf, lot_id: UUID, units: int, reason: MovementReason) -> None:
    """Raises LotNotFound, or LotRecalled where a recalled lot would grow or be corrected."""
    status = session.execute(
        select(Lot.status).where(
            Lot.organization_id == shelf.organization_id, Lot.id == lot_id, Lot.drug_id == shelf.drug_id
        )
    ).scalar_one_or_none()
    if status is None:
        raise LotNotFound()
    leaves = units < 0 and reason in {*LEAVING, MovementReason.RETURN}
    if status is LotStatus.RECALLED and not leaves:
        raise LotRecalled()


def _described(session: Session, shelf: Shelf, lines: Iterable[Line]) -> list[dict[str, Any]]:
    units = {line.lot_id: line.units for line in lines}
    rows = session.execute(
        select(Lot.id, Lot.lot_number, Lot.expires_on)
        .where(Lot.organization_id == shelf.organization_id, Lot.id.in_(units))
        .order_by(Lot.expires_on, Lot.id)
    )
    return [
        {
            "lot_id": row.id,
            "lot_number": row.lot_number,
            "expires_on": row.expires_on,
            "quantity_units": units[row.id],
        }
        for row in rows
    ]
