"""Reads of orders."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select
from sqlalchemy.orm import aliased

from backend.actor import Actor
from backend.db import Rows, Session, read
from backend.db.filters import equal, same_hospital
from backend.db.paging import Page, PageRequest, read_page
from backend.db.typed import rows_as
from backend.domain.care_team.queries import on_team
from backend.domain.formulary.models import Drug
from backend.domain.identity.models import User
from backend.domain.orders.errors import OrderNotFound
from backend.domain.orders.models import MedicationOrder, OrderStatus, Priority
from backend.domain.organizations.models import Organization, Ward
from backend.domain.patients.models import Patient


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as it stands; `prescriber_on_care_team` is whether its doctor is on the patient's team at present."""

    id: UUID
    status: OrderStatus
    patient_id: UUID
    patient_name: str
    drug_id: UUID
    drug_name: str
    strength: str
    form: str
    unit: str
    controlled: bool
    high_alert: bool
    ward_id: UUID
    ward_name: str
    quantity_units: int
    dose_text: str | None
    route: str | None
    priority: Priority
    doses: int
    doses_given: int
    interval_minutes: int | None
    first_due_at: datetime
    due_at: datetime
    prescriber_id: UUID
    prescriber_name: str
    prescriber_on_care_team: bool
    verified_by: str | None
    verified_at: datetime | None
    completed_at: datetime | None
    discontinued_at: datetime | None
    discontinue_reason: str | None
    created_at: datetime


def _orders(organization_id: UUID) -> Rows:
    order, verifier = MedicationOrder, aliased(User)

    return (
        select(
            order.id,
            order.status,
            order.patient_id,
            Patient.name.label("patient_name"),
            order.drug_id,
            Drug.name.label("drug_name"),
            Drug.strength,
            Drug.form,
            Drug.unit,
            Drug.controlled_schedule.is_not(None).label("controlled"),
            Drug.high_alert,
            order.ward_id,
            Ward.name.label("ward_name"),
            order.units_per_dose.label("quantity_units"),
            order.dose_text,
            order.route,
            order.priority,
            order.doses,
            order.doses_given,
            order.interval_minutes,
            order.first_due_at,
            order.due_at,
            order.prescriber_id,
            User.name.label("prescriber_name"),
            on_team(order.organization_id, order.patient_id, order.prescriber_id).label("prescriber_on_care_team"),
            verifier.name.label("verified_by"),
            order.verified_at,
            order.completed_at,
            order.discontinued_at,
            order.discontinue_reason,
            order.created_at,
        )
        .join(Patient, same_hospital(Patient, by=order.patient_id))
        .join(Drug, same_hospital(Drug, by=order.drug_id))
        .join(Ward, same_hospital(Ward, by=order.ward_id))
        .join(User, same_hospital(User, by=order.prescriber_id))
        .outerjoin(verifier, same_hospital(verifier, by=order.verified_by_id))
        .where(order.organization_id == organization_id)
    )


def get_order(session: Session, *, organization_id: UUID, order_id: UUID) -> Row[Any]:
    """One order. Raises OrderNotFound."""
    row = session.execute(_orders(organization_id).where(MedicationOrder.id == order_id)).one_or_none()
    if row is None:
        raise OrderNotFound()
    return row


@read()
def get_orders(session: Session, *, actor: Actor, order_ids: Collection[UUID]) -> list[OrderView]:
    """Read some orders at once; what is not there is left out."""
    rows = _orders(actor.organization_id).where(MedicationOrder.id.in_(order_ids))
    return rows_as(OrderView, session.execute(rows))


def list_orders(
    session: Session, *, organization_id: UUID, page: PageRequest, verified: bool | None = None, **filters: Any
) -> Page:
    """Orders, newest first. `filters` are values of status, ward_id, patient_id, drug_id, prescriber_id; `verified` is
    whether a pharmacist has looked at them."""
    order = MedicationOrder
    rows = _orders(organization_id).where(*equal(order, **filters))
    if verified is not None:
        rows = rows.where(order.verified_at.is_not(None) if verified else order.verified_at.is_(None))
    return read_page(session, rows, page, order.created_at, order.id, descending=True)


def order_statistics(session: Session, *, organization_id: UUID, ward_id: UUID | None, now: datetime) -> dict[str, int]:
    """How many orders there are by state and, of the active ones, how many are urgent, overdue or unverified.

    Overdue is what the board calls so (domain/administrations/board.py): past the hospital's dose window, and no
    PRN dose.

    Closed orders are the hospital's whole past. They are counted from an index of a few bytes each, and not from the
    table. Decision: no maintained count. Because every dose would write one more row, which doses of the ward then wait
    for, to spare a report half a second at ten million orders. Cost: it grows with the past.
    """
    order = MedicationOrder
    minutes = select(Organization.dose_window_minutes).where(Organization.id == organization_id).scalar_subquery()
    late = order.due_at <= now - func.make_interval(0, 0, 0, 0, 0, minutes)
    active = select(
        func.count().label("active"),
        func.count().filter(order.priority == Priority.STAT).label("active_stat"),
        func.count().filter(late, order.priority != Priority.PRN).label("active_overdue"),
        func.count().filter(order.verified_at.is_(None)).label("active_unverified"),
    ).where(order.status == OrderStatus.ACTIVE)
    closed = select(order.status, func.count()).where(order.status != OrderStatus.ACTIVE).group_by(order.status)
    here = [order.organization_id == organization_id, *equal(order, ward_id=ward_id)]
    at_work = session.execute(active.where(*here)).one()._asdict()
    done: dict[OrderStatus, int] = {row[0]: row[1] for row in session.execute(closed.where(*here)).all()}
    by_status = {status.value: done.get(status, 0) for status in OrderStatus if status != OrderStatus.ACTIVE}
    total = at_work["active"] + sum(by_status.values())
    return {"total": total, "active": at_work["active"], **by_status, **at_work}
