"""Remainders: of what was withdrawn for a dose, what was not given is wasted or put back, with a witness where the drug
is controlled. Given, wasted and returned together never exceed what was withdrawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, insert, select

from backend.actor import Actor
from backend.db import Session, new_id
from backend.domain.administrations.entries import change_administration, lock_entry, withdrawn
from backend.domain.administrations.errors import AlreadyEnteredInError, DoseNotGiven, RemainderTooLarge
from backend.domain.administrations.models import DoseRemainder, Outcome, RemainderKind
from backend.domain.identity.witnesses import Witness, admit_witness
from backend.domain.stock import ledger
from backend.domain.stock.ledger import Cause, Line, Shelf
from backend.domain.stock.models import MovementReason
from backend.errors import ValidationFailed


@dataclass(frozen=True, slots=True)
class Remainder:
    """What of a dose was wasted or returned; `given_units` of what was withdrawn count as given."""

    id: UUID
    administration_id: UUID
    kind: RemainderKind
    lot_id: UUID
    quantity_units: int
    withdrawn_units: int
    wasted_units: int
    returned_units: int
    given_units: int
    recorded_by: str
    recorded_at: datetime


def record_remainder(
    session: Session,
    *,
    actor: Actor,
    shelf: Shelf,
    administration_id: UUID,
    kind: RemainderKind,
    units: int,
    lot_id: UUID | None,
    reason: str | None,
    witness: Witness | None,
    now: datetime,
) -> Remainder:
    """Records units of a given dose as wasted or puts them back on the shelf; the caller has taken its lane.

    `lot_id` must be named where the dose came from several lots. Raises AdministrationNotFound, NotOnThisWard,
    AlreadyEnteredInError, DoseNotGiven, RemainderTooLarge, WitnessRequired, ValidationFailed.
    """
    entry = lock_entry(session, actor=actor, shelf=shelf, administration_id=administration_id)
    dose = entry.administration
    if dose.entered_in_error_at is not None:
        raise AlreadyEnteredInError(entered_in_error_at=dose.entered_in_error_at)
    if dose.outcome is not Outcome.GIVEN:
        raise DoseNotGiven()
    witness_id = admit_witness(session, actor=actor, ward_id=shelf.ward_id, witness=witness, needed=entry.controlled)
    movements = withdrawn(session, organization_id=actor.organization_id, administration_id=dose.id)
    lot_id = _lot_of(movements, lot_id)
    _ensure_open(session, actor, dose, movements, lot_id, units)
    remainder_id = new_id()
    session.execute(
        insert(DoseRemainder).values(
            organization_id=actor.organization_id,
            id=remainder_id,
            administration_id=dose.id,
            kind=kind,
            lot_id=lot_id,
            units=units,
            reason=reason,
            actor_id=actor.user_id,
            witness_id=witness_id,
            occurred_at=now,
        )
    )
    wasted = dose.wasted_units + (units if kind is RemainderKind.WASTE else 0)
    returned = dose.returned_units + (units if kind is RemainderKind.RETURN else 0)
    change_administration(
        session,
        organization_id=actor.organization_id,
        administration_id=dose.id,
        wasted_units=wasted,
        returned_units=returned,
    )
    if kind is RemainderKind.RETURN:
        cause = Cause(MovementReason.RETURN, remainder_id, actor.user_id, now, witness_id, reason)
        ledger.post(session, shelf, [Line(lot_id, units)], cause)
    given = dose.quantity_units - wasted - returned
    return Remainder(
        *(remainder_id, dose.id, kind, lot_id, units, dose.quantity_units, wasted, returned, given, actor.name, now)
    )


def _lot_of(movements: Sequence[Row[Any]], lot_id: UUID | None) -> UUID:
    """The lot that is meant. Raises ValidationFailed."""
    lots = {movement.lot_id for movement in movements}
    if lot_id is None and len(lots) == 1:
        return UUID(str(lots.pop()))
    if lot_id is None:
        raise ValidationFailed.of("lot_id", "the dose came from several lots: name one")
    if lot_id not in lots:
        raise ValidationFailed.of("lot_id", "the dose did not come from this lot")
    return lot_id


def _ensure_open(
    session: Session, actor: Actor, dose: Row[Any], movements: Sequence[Row[Any]], lot_id: UUID, units: int
) -> None:
    """Raises RemainderTooLarge where `units` are more than is left of what was withdrawn of the lot."""
    taken = -sum(movement.units for movement in movements if movement.lot_id == lot_id)
    remainder = DoseRemainder
    accounted = session.execute(
        select(func.coalesce(func.sum(remainder.units), 0)).where(
            remainder.organization_id == actor.organization_id,
            remainder.administration_id == dose.id,
            remainder.lot_id == lot_id,
        )
    ).scalar_one()
    if units > taken - accounted:
        raise RemainderTooLarge(open_units=taken - accounted)
