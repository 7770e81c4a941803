"""Skipping: a dose that was due and not given, with the reason."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert

from backend.actor import Actor
from backend.db import Session, new_id
from backend.domain.administrations.entries import change_order, lock_order
from backend.domain.administrations.models import MedicationAdministration, Outcome
from backend.domain.administrations.schedule import ensure_next, next_due
from backend.domain.identity.membership import ensure_of_ward
from backend.domain.orders.models import OrderStatus
from backend.domain.stock import ledger
from backend.domain.stock.ledger import Shelf


@dataclass(frozen=True, slots=True)
class Skipped:
    """The dose that was not given; `due_at` is when the next one is due."""

    order_id: UUID
    status: OrderStatus
    dose: int
    outcome: Outcome
    note: str | None
    administration_id: UUID
    recorded_by: str
    recorded_at: datetime
    due_at: datetime


def skip(
    session: Session,
    *,
    actor: Actor,
    order_id: UUID,
    shelf: Shelf,
    dose: int | None,
    outcome: Outcome,
    note: str | None,
    now: datetime,
) -> Skipped:
    """Records that the next dose was held, refused or unavailable; the caller has taken the shelf's lane.

    The last dose closes the order, as a given one would. Raises like a fulfilment: OrderNotFound, NotOnThisWard,
    OrderAlreadyCompleted, DoseAlreadyGiven, DoseOutOfSequence, OrderDiscontinued, ValidationFailed.
    """
    order = lock_order(session, actor=actor, order_id=order_id)
    ensure_of_ward(session, actor, shelf.ward_id)
    ensure_next(session, actor=actor, order_id=order_id, order=order, dose=dose)
    ledger.lock_shelf(session, shelf)
    recorded = order.doses_given + 1
    completed = recorded == order.doses
    status = OrderStatus.COMPLETED if completed else OrderStatus.ACTIVE
    due_at = next_due(order, recorded)
    change_order(
        session,
        organization_id=actor.organization_id,
        order_id=order_id,
        doses_given=recorded,
        status=status,
        completed_at=now if completed else None,
        due_at=due_at,
    )
    administration_id = new_id()
    session.execute(
        insert(MedicationAdministration).values(
            organization_id=actor.organization_id,
            id=administration_id,
            order_id=order_id,
            dose_number=recorded,
            outcome=outcome,
            quantity_units=0,
            nurse_id=actor.user_id,
            administered_at=now,
            reason=note,
        )
    )
    return Skipped(order_id, status, recorded, outcome, note, administration_id, actor.name, now, due_at)
