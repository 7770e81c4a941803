"""A medication round: many orders of one nurse in one transaction, with a result for each.

An order that is refused does not stop the others: a refusal is decided before anything is written. Locks are taken in
the order of db/transaction.py: the lanes of all shelves, then the orders by id, then the levels by ward and drug, then
their lots; then all doses are decided, and one statement writes them.

Decision: statements for the whole round, not those of a fulfilment in a loop. Because a statement's start costs
PostgreSQL more than a row: a round of 20 took 1.2 ms of processor a dose in the loop, 0.45 so (load/bench). Cost: the
posting of many shelves beside that of one in domain/stock/ledger.py.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from backend.actor import Actor
from backend.db import Prepared, Session, new_id
from backend.domain.administrations.fulfilment import TARGET, Giving, Target, answer_of, decide
from backend.domain.administrations.schedule import next_due
from backend.domain.identity.witnesses import Witness, use_code
from backend.domain.orders.errors import DoseNotDue, DoseTooSoon, OrderNotFound
from backend.domain.orders.models import OrderStatus, Priority
from backend.domain.stock import ledger
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.models import MovementReason
from backend.domain.stock.picking import LotOnShelf
from backend.errors import DomainError

ORDERS_MAX = 100
FULFILLED = "fulfilled"


@dataclass(frozen=True, slots=True)
class Round:
    """The orders of a round; `doses` names the dose of those that have several, `shelves` are those whose lanes are
    taken: an order elsewhere is not found."""

    actor: Actor
    order_ids: Sequence[UUID]
    doses: Mapping[UUID, int]
    shelves: Collection[Shelf]
    witness: Witness | None
    given_at: datetime | None = None  # the earlier time that an entry states; None: now

    @property
    def witness_id(self) -> UUID | None:
        """Tell who the witness is."""
        return self.witness.user_id if self.witness is not None else None

    def moment(self, session: Session) -> datetime:
        """Tell when the doses are given: the stated time, or the transaction's."""
        return self.given_at or session.now


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ordered(Target):
    """A locked order, where it lies, and what says whether its next dose is due: the columns of `_LOCK_ORDERS`."""

    id: UUID
    organization_id: UUID
    ward_id: UUID
    drug_id: UUID
    dose_window_minutes: int
    last_given_at: datetime | None

    @property
    def shelf(self) -> Shelf:
        """Tell where the order lies."""
        return Shelf(self.organization_id, self.ward_id, self.drug_id)


@dataclass(slots=True)
class _Holding:
    """What a locked shelf still has while the doses are decided one after the other."""

    on_hand_units: int
    lots: list[LotOnShelf]

    def take(self, picks: Iterable[LotOnShelf]) -> None:
        """Sees to it that the next order does not get the same units."""
        taken = {pick.lot_id: pick.quantity_units for pick in picks}
        self.on_hand_units -= sum(taken.values())
        self.lots = [
            replace(lot, quantity_units=lot.quantity_units - taken[lot.lot_id]) if lot.lot_id in taken else lot
            for lot in self.lots
        ]


class _Dose(NamedTuple):
    """A dose that is decided and not yet written."""

    giving: Giving
    target: Target
    administration_id: UUID
    picks: list[LotOnShelf]


_SHELVES = Prepared(
    "shelves_of_orders",
    """SELECT id, ward_id, drug_id FROM medication_orders
    WHERE organization_id = :organization_id::uuid AND id = ANY (:order_ids::uuid[])""",
)

# By dose number, not max(administered_at): for that PostgreSQL would go back through the hospital's doses until it
# meets one of this order.
_LOCK_ORDERS = Prepared(
    "lock_orders",
    f"""
SELECT {TARGET}, o.id, o.organization_id, o.ward_id, o.drug_id, h.dose_window_minutes,
  (SELECT a.administered_at FROM medication_administrations a
    WHERE a.organization_id = :organization_id AND a.order_id = o.id AND a.stands
      AND a.outcome = 'given' AND a.entered_in_error_at IS NULL
    ORDER BY a.dose_number DESC LIMIT 1) AS last_given_at
FROM medication_orders o
JOIN patients p ON p.organization_id = :organization_id AND p.id = o.patient_id
JOIN drugs d ON d.organization_id = :organization_id AND d.id = o.drug_id
JOIN organizations h ON h.id = :organization_id
WHERE o.organization_id = :organization_id AND o.id = ANY (:order_ids::uuid[])
ORDER BY o.id
FOR UPDATE OF o
""",  # noqa: S608 - constants
)

# A shelf is a ward and a drug in the same place of the two lists.
_LOCK_LEVELS = Prepared(
    "lock_levels",
    """
SELECT l.ward_id, l.drug_id, l.on_hand_units
FROM unnest(:ward_ids::uuid[], :drug_ids::uuid[]) AS shelf (ward_id, drug_id)
JOIN stock_levels l
  ON l.organization_id = :organization_id::uuid AND l.ward_id = shelf.ward_id AND l.drug_id = shelf.drug_id
ORDER BY l.ward_id, l.drug_id
FOR UPDATE OF l
""",
)
_LOCK_LOTS = Prepared(
    "lock_lots_of_levels",
    """
SELECT s.ward_id, s.drug_id, s.lot_id, t.lot_number, t.expires_on, s.quantity_units
FROM unnest(:ward_ids::uuid[], :drug_ids::uuid[]) AS shelf (ward_id, drug_id)
JOIN stock_lots s
  ON s.organization_id = :organization_id::uuid AND s.ward_id = shelf.ward_id AND s.drug_id = shelf.drug_id
JOIN lots t ON t.organization_id = :organization_id AND t.id = s.lot_id
JOIN organizations h ON h.id = :organization_id
WHERE s.quantity_units > 0
  AND t.status = 'available' AND t.expires_on >= (:given_at::timestamptz AT TIME ZONE h.time_zone)::date
ORDER BY s.ward_id, s.drug_id, t.expires_on, t.id
FOR UPDATE OF s
""",
)

# After the parameters of POSTINGS, which has a line for each lot, those that have a value for each dose.
_WRITE = Prepared(
    "fulfil_round",
    f"""
WITH {ledger.POSTINGS}, doses AS (
  SELECT * FROM unnest(:administration_ids::uuid[], :order_ids::uuid[], :dose_numbers::int[], :dose_units::int[],
      :completed::boolean[], :due_at::timestamptz[])
    AS dose (id, order_id, number, units, completed, due_at)
), given AS (
  UPDATE medication_orders o SET
    doses_given = doses.number,
    status = CASE WHEN doses.completed THEN 'completed' ELSE o.status END,
    completed_at = CASE WHEN doses.completed THEN :occurred_at END,
    due_at = doses.due_at,
    version = o.version + 1
  FROM doses
  WHERE o.organization_id = :organization_id AND o.id = doses.order_id
    AND o.status = 'active' AND o.doses_given = doses.number - 1
  RETURNING 1
), administrations AS (
  INSERT INTO medication_administrations (organization_id, id, order_id, dose_number, outcome, quantity_units,
    nurse_id, witness_id, administered_at)
  SELECT :organization_id, id, order_id, number, 'given', units, :actor_id, :witness_id, :occurred_at FROM doses
)
SELECT (SELECT count(*) FROM movements), (SELECT count(*) FROM taken), (SELECT count(*) FROM given)
""",  # noqa: S608 - constants
)


def shelves_of(session: Session, *, organization_id: UUID, order_ids: Sequence[UUID]) -> dict[UUID, Shelf]:
    """Where the orders lie; unknown ones are left out."""
    rows = session.run(_SHELVES, organization_id=organization_id, order_ids=list(order_ids))
    return {order_id: Shelf(organization_id, ward_id, drug_id) for order_id, ward_id, drug_id in rows}


def fulfil_round(session: Session, wanted: Round) -> list[dict[str, Any]]:
    """Gives the next dose of each order; the caller has taken the lanes of all shelves.

    Each result has `order_id` and `outcome`: "fulfilled" with what `fulfil` answers, or a problem's code with its
    members. A witness's one-time code counts for the whole round. Raises WitnessRequired where it was used before.
    """
    orders = _lock_orders(session, wanted)
    holdings = _lock_stock(session, wanted, {ordered.shelf for ordered in orders.values()})
    if wanted.witness is not None:
        wanted = replace(wanted, witness=use_code(session, actor=wanted.actor, witness=wanted.witness))
    doses: list[_Dose] = []
    results = {
        order_id: _attempt(session, wanted, order_id, orders, holdings, doses) for order_id in sorted(wanted.order_ids)
    }
    if doses:
        _write(session, wanted, doses)
    return [results[order_id] for order_id in wanted.order_ids]


def _lock_orders(session: Session, wanted: Round) -> dict[UUID, _Ordered]:
    actor = wanted.actor
    locked = session.read(
        _LOCK_ORDERS,
        _Ordered,
        organization_id=actor.organization_id,
        user_id=actor.user_id,
        order_ids=list(wanted.order_ids),
    )
    # one placed since the lanes were chosen is not found yet
    return {ordered.id: ordered for ordered in locked if ordered.shelf in wanted.shelves}


def _lock_stock(session: Session, wanted: Round, shelves: Collection[Shelf]) -> dict[Shelf, _Holding]:
    organization_id = wanted.actor.organization_id
    places: dict[str, object] = {
        "organization_id": organization_id,
        "ward_ids": [shelf.ward_id for shelf in shelves],
        "drug_ids": [shelf.drug_id for shelf in shelves],
    }
    holdings = {
        Shelf(organization_id, ward_id, drug_id): _Holding(units, [])
        for ward_id, drug_id, units in session.run(_LOCK_LEVELS, **places)
    }
    for ward_id, drug_id, *lot in session.run(_LOCK_LOTS, **places, given_at=wanted.moment(session)):
        holdings[Shelf(organization_id, ward_id, drug_id)].lots.append(LotOnShelf(*lot))
    return holdings


def _attempt(
    session: Session,
    wanted: Round,
    order_id: UUID,
    orders: Mapping[UUID, _Ordered],
    holdings: Mapping[Shelf, _Holding],
    doses: list[_Dose],
) -> dict[str, Any]:
    """The result for one order; a dose that may be given is added to `doses`."""
    try:
        if order_id not in orders:
            raise OrderNotFound()
        ordered = orders[order_id]
        holding, giving = holdings[ordered.shelf], _giving(wanted, order_id, ordered, wanted.moment(session))
        picks = decide(session, giving, ordered, holding.lots)
    except DomainError as refusal:
        return {"order_id": order_id, "outcome": refusal.code, "detail": refusal.detail, **refusal.members}
    holding.take(picks)
    dose = _Dose(giving, ordered, new_id(), picks)
    doses.append(dose)
    answer = answer_of(
        giving,
        ordered,
        picks,
        administration_id=dose.administration_id,
        left=holding.on_hand_units,
        given_at=giving.moment(session),
    )
    return {**answer, "outcome": FULFILLED}


def _giving(wanted: Round, order_id: UUID, ordered: _Ordered, now: datetime) -> Giving:
    """Which dose is meant: the named one, or of an order with several the next if it is due."""
    dose = wanted.doses.get(order_id)
    if dose is None and ordered.doses > 1 and ordered.interval_minutes and ordered.status == OrderStatus.ACTIVE:
        _ensure_due(ordered, now)
        dose = ordered.doses_given + 1
    return Giving(wanted.actor, order_id, ordered.shelf, dose, wanted.witness, None, None, wanted.given_at)


def _ensure_due(ordered: _Ordered, now: datetime) -> None:
    """Raises unless the next dose is due and half an interval has passed since the last: a round that is sent twice
    under two keys must not give the next dose as well."""
    if ordered.priority == Priority.PRN:
        return  # whose interval every fulfilment looks at
    if ordered.due_at > now + timedelta(minutes=ordered.dose_window_minutes):
        raise DoseNotDue(due_at=ordered.due_at)
    if ordered.last_given_at is not None:
        earliest = ordered.last_given_at + timedelta(minutes=(ordered.interval_minutes or 0) / 2)
        if earliest > now:
            raise DoseTooSoon(earliest_at=earliest)


def _write(session: Session, wanted: Round, doses: Sequence[_Dose]) -> None:
    """Lots, levels, ledger, orders and administrations, in one statement."""
    actor, now = wanted.actor, wanted.moment(session)
    lines = [(dose, pick) for dose in doses for pick in dose.picks]
    numbers = [dose.target.doses_given + 1 for dose in doses]
    ((moved, taken, given),) = session.run(
        _WRITE,
        organization_id=actor.organization_id,
        actor_id=actor.user_id,
        occurred_at=now,
        witness_id=wanted.witness_id,
        reason=MovementReason.FULFILMENT.value,
        requested_at=session.requested_at,
        movement_ids=[new_id() for _ in lines],
        reference_ids=[dose.administration_id for dose, _ in lines],
        ward_ids=[dose.giving.shelf.ward_id for dose, _ in lines],
        drug_ids=[dose.giving.shelf.drug_id for dose, _ in lines],
        lot_ids=[pick.lot_id for _, pick in lines],
        units=[-pick.quantity_units for _, pick in lines],
        administration_ids=[dose.administration_id for dose in doses],
        order_ids=[dose.giving.order_id for dose in doses],
        dose_numbers=numbers,
        dose_units=[dose.target.units_per_dose for dose in doses],
        completed=[number == dose.target.doses for dose, number in zip(doses, numbers, strict=True)],
        due_at=[next_due(dose.target, number, given_at=now) for dose, number in zip(doses, numbers, strict=True)],
    )
    lots = {(dose.giving.shelf, pick.lot_id) for dose, pick in lines}
    if (moved, taken, given) != (len(lines), len(lots), len(doses)):
        raise ledger.PostingIncomplete(f"{moved} of {len(lines)} lines, {given} of {len(doses)} doses were written")
