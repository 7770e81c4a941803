"""A medication round: many orders of one nurse in one transaction, with a result for each.

An order that is refused does not stop the others: a refusal is decided before anything of it is written. Locks are
taken in the order of db/transaction.py: the lanes of all shelves, then the orders by id, then the levels by ward and
drug, then per order its lots.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from backend.actor import Actor
from backend.db import Prepared, Session
from backend.errors import DomainError
from backend.orders.doses import as_json
from backend.orders.errors import DoseNotDue, DoseTooSoon, OrderNotFound
from backend.orders.fulfilment import Giving, Target, give, lock_target
from backend.orders.models import MedicationOrder, OrderStatus, Priority
from backend.stock.ledger import Shelf

ORDERS_MAX = 100
FULFILLED = "fulfilled"


@dataclass(frozen=True, slots=True)
class Round:
    """The orders of a round; `doses` names the dose of those that have several, `shelves` says where each lies."""

    actor: Actor
    order_ids: Sequence[UUID]
    doses: Mapping[UUID, int]
    shelves: Mapping[UUID, Shelf]
    witness_id: UUID | None
    now: datetime


_LOCK_ORDERS = Prepared(
    "lock_orders",
    ("uuid", "uuid[]"),
    "SELECT id FROM medication_orders WHERE organization_id = $1 AND id = ANY ($2) ORDER BY id FOR UPDATE",
)
_LOCK_LEVELS = Prepared(
    "lock_levels",
    ("uuid", "uuid[]", "uuid[]"),
    """SELECT id FROM stock_levels WHERE organization_id = $1
    AND (ward_id, drug_id) IN (SELECT * FROM unnest($2, $3)) ORDER BY ward_id, drug_id FOR UPDATE""",
)
_LAST_GIVEN = Prepared(
    "last_given",
    ("uuid", "uuid"),
    """SELECT max(administered_at) FROM medication_administrations
    WHERE organization_id = $1 AND order_id = $2 AND outcome = 'given' AND entered_in_error_at IS NULL""",
)
_WINDOW = Prepared("dose_window", ("uuid",), "SELECT dose_window_minutes FROM organizations WHERE id = $1")


def shelves_of(session: Session, *, organization_id: UUID, order_ids: Sequence[UUID]) -> dict[UUID, Shelf]:
    """Where the orders lie; unknown ones are left out."""
    order = MedicationOrder
    rows = session.execute(
        select(order.id, order.ward_id, order.drug_id).where(
            order.organization_id == organization_id, order.id.in_(order_ids)
        )
    )
    return {row.id: Shelf(organization_id, row.ward_id, row.drug_id) for row in rows}


def fulfil_round(session: Session, wanted: Round) -> list[dict[str, Any]]:
    """Gives the next dose of each order; the caller has taken the lanes of all shelves.

    Each result has `order_id` and `outcome`: "fulfilled" with what `fulfil` answers, or a problem's code with its
    members.
    """
    organization_id = wanted.actor.organization_id
    session.run(_LOCK_ORDERS, (organization_id, sorted(wanted.shelves)))
    shelves = list(wanted.shelves.values())
    wards, drugs = [shelf.ward_id for shelf in shelves], [shelf.drug_id for shelf in shelves]
    session.run(_LOCK_LEVELS, (organization_id, wards, drugs))
    ((window,),) = session.run(_WINDOW, (organization_id,))
    due_by = wanted.now + timedelta(minutes=window)
    results = {order_id: _attempt(session, wanted, order_id, due_by) for order_id in sorted(wanted.order_ids)}
    return [results[order_id] for order_id in wanted.order_ids]


def _attempt(session: Session, wanted: Round, order_id: UUID, due_by: datetime) -> dict[str, Any]:
    try:
        fulfilled = _give_one(session, wanted, order_id, due_by)
    except DomainError as refusal:
        return {"order_id": order_id, "outcome": refusal.code, "detail": refusal.detail, **refusal.members}
    return {**asdict(fulfilled), "outcome": FULFILLED}


def _give_one(session: Session, wanted: Round, order_id: UUID, due_by: datetime) -> Any:
    shelf = wanted.shelves.get(order_id)
    if shelf is None:
        raise OrderNotFound()
    dose = wanted.doses.get(order_id)
    giving = Giving(wanted.actor, order_id, shelf, dose, wanted.witness_id, None, None, wanted.now)
    target = lock_target(session, giving, "")
    if dose is None and target.doses > 1 and target.interval_minutes and target.status == OrderStatus.ACTIVE:
        _ensure_due(session, wanted, order_id, target, due_by)
        giving = replace(giving, dose=target.doses_given + 1)
    return give(session, giving, target)


def _ensure_due(session: Session, wanted: Round, order_id: UUID, target: Target, due_by: datetime) -> None:
    """Raises unless the next dose is due and half an interval has passed since the last: a round that is sent twice
    under two keys must not give the next dose as well."""
    if target.priority == Priority.PRN:
        return  # whose interval every fulfilment looks at
    if target.due_at > due_by:
        raise DoseNotDue(due_at=as_json(target.due_at))
    ((last,),) = session.run(_LAST_GIVEN, (wanted.actor.organization_id, order_id))
    if last is not None:
        earliest = last + timedelta(minutes=(target.interval_minutes or 0) / 2)
        if earliest > wanted.now:
            raise DoseTooSoon(earliest_at=as_json(earliest))
