"""Entries in error: what was recorded and did not happen is marked, and its stock comes back.

Decision: the entry of the order's latest dose opens that dose again, and with it an order that the dose had closed;
both ends of an order are final, but an entry in error was never an end. The entry of an earlier dose only loses its
effect on stock: the later doses were given in the knowledge of it. Cost: the earlier dose cannot be recorded anew.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from backend.actor import Actor
from backend.db import Session
from backend.domain.administrations.entries import Entry, change_administration, change_order, lock_entry, withdrawn
from backend.domain.administrations.errors import AlreadyEnteredInError, DoseHasRemainder
from backend.domain.administrations.models import MedicationAdministration, Outcome
from backend.domain.administrations.schedule import next_due
from backend.domain.identity.witnesses import Witness, admit_witness
from backend.domain.orders.models import OrderStatus, Priority
from backend.domain.stock import ledger
from backend.domain.stock.ledger import Cause, Line, Shelf
from backend.domain.stock.models import MovementReason


def mark_entered_in_error(
    session: Session,
    *,
    actor: Actor,
    shelf: Shelf,
    administration_id: UUID,
    reason: str,
    witness: Witness | None,
    now: datetime,
) -> None:
    """Marks an entry of the shelf's order and returns its units to the lots they came from; the lane is taken.

    A controlled drug that was given needs a witness. Raises AdministrationNotFound, NotOnThisWard,
    AlreadyEnteredInError, DoseHasRemainder, WitnessRequired.
    """
    entry = lock_entry(session, actor=actor, shelf=shelf, administration_id=administration_id)
    dose = entry.administration
    if dose.entered_in_error_at is not None:
        raise AlreadyEnteredInError(entered_in_error_at=dose.entered_in_error_at)
    if dose.wasted_units or dose.returned_units:
        raise DoseHasRemainder()
    if dose.outcome is Outcome.GIVEN:
        _return_stock(session, actor, shelf, entry, reason, witness, now)
    latest = dose.dose_number == entry.order.doses_given
    change_administration(
        session,
        organization_id=actor.organization_id,
        administration_id=administration_id,
        entered_in_error_at=now,
        in_error_by_id=actor.user_id,
        error_reason=reason,
        stands=not latest,
    )
    if latest:
        _open_again(session, actor, entry.order)


def _return_stock(
    session: Session,
    actor: Actor,
    shelf: Shelf,
    entry: Entry,
    reason: str,
    witness: Witness | None,
    now: datetime,
) -> None:
    witness_id = admit_witness(session, actor=actor, ward_id=shelf.ward_id, witness=witness, needed=entry.controlled)
    dose = entry.administration
    movements = withdrawn(session, organization_id=actor.organization_id, administration_id=dose.id)
    lines = [Line(movement.lot_id, -movement.units, corrects_id=movement.id) for movement in movements]
    cause = Cause(MovementReason.CORRECTION, dose.id, actor.user_id, now, witness_id, reason)
    ledger.post(session, shelf, lines, cause)


def _open_again(session: Session, actor: Actor, order: Any) -> None:
    recorded = order.doses_given - 1
    last = MedicationAdministration
    given_at = session.execute(
        select(last.administered_at)
        .where(
            last.organization_id == actor.organization_id,
            last.order_id == order.id,
            last.stands,
            last.outcome == Outcome.GIVEN,
            last.entered_in_error_at.is_(None),
        )
        .order_by(last.dose_number.desc())  # not max(): PostgreSQL would go back through the hospital's doses for it
        .limit(1)
    ).scalar()
    waits_for_nothing = order.priority is Priority.PRN and given_at is None
    due_at = order.first_due_at if waits_for_nothing else next_due(order, recorded, given_at=given_at)
    reopened = order.status is OrderStatus.COMPLETED
    change_order(
        session,
        organization_id=actor.organization_id,
        order_id=order.id,
        doses_given=recorded,
        status=OrderStatus.ACTIVE if reopened else order.status,
        completed_at=None,
        due_at=due_at,
    )
