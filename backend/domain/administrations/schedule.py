"""Which dose of an order comes next, and whether it may be recorded now. Pure but for who gave an earlier one."""

from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from backend.actor import Actor
from backend.db import Prepared, Session
from backend.domain.orders.errors import DoseAlreadyGiven, DoseOutOfSequence, OrderAlreadyCompleted, OrderDiscontinued
from backend.domain.orders.models import OrderStatus, Priority
from backend.errors import ValidationFailed


class Schedule(Protocol):
    """What is asked of a locked order; `doses_given` counts the doses recorded, given or not."""

    @property
    def status(self) -> str:
        """active, completed or discontinued."""

    @property
    def priority(self) -> str:
        """stat, routine or prn."""

    @property
    def doses(self) -> int:
        """How many there are."""

    @property
    def doses_given(self) -> int:
        """How many are recorded."""

    @property
    def interval_minutes(self) -> int | None:
        """Between two doses."""

    @property
    def first_due_at(self) -> datetime:
        """Of the first dose."""

    @property
    def due_at(self) -> datetime:
        """Of the next dose; of a PRN order when it may be given again."""

    @property
    def discontinued_at(self) -> datetime | None:
        """When a doctor ended it."""


_GIVEN_BY = Prepared(
    "given_by",
    """SELECT u.name, a.administered_at FROM medication_administrations a
    JOIN users u ON u.organization_id = :organization_id AND u.id = a.nurse_id
    WHERE a.organization_id = :organization_id::uuid AND a.order_id = :order_id::uuid AND a.dose_number = :dose::int
      AND a.stands""",
)


def ensure_next(session: Session, *, actor: Actor, order_id: UUID, order: Schedule, dose: int | None) -> None:
    """Raises unless the order is active and `dose`, or with one dose nothing, names the next one."""
    if order.status == OrderStatus.COMPLETED:
        raise OrderAlreadyCompleted(**_given_by(session, actor, order_id, order.doses_given))
    next_dose = order.doses_given + 1
    if dose is None and order.doses > 1:
        raise ValidationFailed.of("dose", f"this order has {order.doses} doses: name the one you mean ({next_dose})")
    if dose is not None and not 1 <= dose <= order.doses:
        raise ValidationFailed.of("dose", f"this order has {order.doses} doses")
    if dose is not None and dose < next_dose:
        raise DoseAlreadyGiven(next_dose=next_dose, **_given_by(session, actor, order_id, dose))
    if order.status == OrderStatus.DISCONTINUED:
        raise OrderDiscontinued(discontinued_at=order.discontinued_at)
    if dose is not None and dose > next_dose:
        raise DoseOutOfSequence(next_dose=next_dose)


def next_due(order: Schedule, recorded: int, *, given_at: datetime | None = None) -> datetime:
    """When the dose after the first `recorded` is due: by the schedule, or `interval_minutes` after a PRN dose.

    The last dose and one without an interval leave it where the schedule ends.
    """
    minutes = order.interval_minutes or 0
    if order.priority == Priority.PRN:
        return given_at + timedelta(minutes=minutes) if given_at and minutes else order.due_at
    return order.first_due_at + timedelta(minutes=min(recorded, order.doses - 1) * minutes)


def _given_by(session: Session, actor: Actor, order_id: UUID, dose: int) -> dict[str, Any]:
    rows = session.run(_GIVEN_BY, organization_id=actor.organization_id, order_id=order_id, dose=dose)
    return {"fulfilled_by": rows[0][0], "fulfilled_at": rows[0][1]} if rows else {}
