"""Ordering: doctors place and discontinue, pharmacists verify.

Each change takes the lane of the order's shelf, like a fulfilment: it decides on the order's state, and it raises the
shelf's version, which tells every node that the ward's board has changed.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, select

from backend.actor import Actor
from backend.db import Session, bump, new_id
from backend.domain.formulary.drugs import get_drug
from backend.domain.orders.errors import OrderAlreadyCompleted, OrderDiscontinued, OrderNotFound
from backend.domain.orders.models import MedicationOrder, OrderStatus, Priority
from backend.domain.organizations.wards import get_ward
from backend.domain.patients.admitting import get_patient
from backend.domain.stock import ledger
from backend.domain.stock.ledger import Shelf
from backend.errors import ValidationFailed


def place(
    session: Session,
    *,
    actor: Actor,
    shelf: Shelf,
    patient_id: UUID,
    quantity_units: int,
    priority: Priority,
    doses: int,
    interval_minutes: int | None,
    first_due_at: datetime | None,
    dose_text: str | None,
    route: str | None,
    now: datetime,
) -> UUID:
    """A new order of `quantity_units` for each of `doses`; the caller has taken the shelf's lane.

    Raises PatientNotFound, DrugNotFound, WardNotFound, ValidationFailed (doses without an interval).
    """
    get_patient(session, organization_id=actor.organization_id, patient_id=patient_id)
    get_drug(session, organization_id=actor.organization_id, drug_id=shelf.drug_id)
    get_ward(session, organization_id=actor.organization_id, ward_id=shelf.ward_id)
    if doses > 1 and interval_minutes is None and priority is not Priority.PRN:
        raise ValidationFailed.of("interval_minutes", f"{doses} doses need the minutes between two of them")
    ledger.lock_shelf(session, shelf)
    order_id = new_id()
    session.execute(
        insert(MedicationOrder).values(
            organization_id=actor.organization_id,
            id=order_id,
            patient_id=patient_id,
            drug_id=shelf.drug_id,
            ward_id=shelf.ward_id,
            prescriber_id=actor.user_id,
            units_per_dose=quantity_units,
            dose_text=dose_text,
            route=route,
            priority=priority,
            doses=doses,
            interval_minutes=interval_minutes,
            first_due_at=first_due_at or now,
            due_at=first_due_at or now,
            created_at=now,
        )
    )
    return order_id


def verify(session: Session, *, actor: Actor, shelf: Shelf, order_id: UUID, now: datetime) -> None:
    """A pharmacist has checked the order; a second time changes nothing.

    Raises OrderNotFound, OrderAlreadyCompleted, OrderDiscontinued.
    """
    order = _lock_active(session, actor, shelf, order_id)
    if order.verified_at is None:
        _change(session, actor, order_id, verified_by_id=actor.user_id, verified_at=now)


def discontinue(session: Session, *, actor: Actor, shelf: Shelf, order_id: UUID, reason: str, now: datetime) -> None:
    """A doctor ends the order with a reason. Raises OrderNotFound, OrderAlreadyCompleted, OrderDiscontinued."""
    _lock_active(session, actor, shelf, order_id)
    _change(
        session,
        actor,
        order_id,
        status=OrderStatus.DISCONTINUED,
        discontinued_by_id=actor.user_id,
        discontinued_at=now,
        discontinue_reason=reason,
    )


def _lock_active(session: Session, actor: Actor, shelf: Shelf, order_id: UUID) -> Row[Any]:
    order = MedicationOrder
    row = session.execute(
        select(order.status, order.verified_at, order.completed_at, order.discontinued_at)
        .where(order.organization_id == actor.organization_id, order.id == order_id)
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise OrderNotFound()
    if row.status is OrderStatus.COMPLETED:
        raise OrderAlreadyCompleted(completed_at=row.completed_at)
    if row.status is OrderStatus.DISCONTINUED:
        raise OrderDiscontinued(discontinued_at=row.discontinued_at)
    ledger.lock_shelf(session, shelf)
    return row


def _change(session: Session, actor: Actor, order_id: UUID, **values: Any) -> None:
    session.execute(
        bump(MedicationOrder, **values).where(
            MedicationOrder.organization_id == actor.organization_id, MedicationOrder.id == order_id
        )
    )
