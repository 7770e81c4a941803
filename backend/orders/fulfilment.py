"""Fulfilment: the nurse gives one dose of an order, and stock and order change together or not at all.

The story is `fulfil`: take the shelf's lane, lock order, level and lots (one message), decide, write everything
(one statement). `transact` commits. See concurrency.md for why each step stands where it stands. A round (rounds.py)
tells the same story for many orders.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from backend.actor import Actor
from backend.db import Prepared, Session, new_id
from backend.db.idempotency import Answer, IdempotencyKey, replayed
from backend.formulary.scanning import Scan
from backend.identity.witnesses import ensure_witness
from backend.orders.doses import as_json, ensure_next, next_due
from backend.orders.errors import DoseTooSoon, NotOnThisWard, OrderNotFound
from backend.orders.models import OrderStatus, Priority
from backend.orders.overrides import ensure_overridable, open_review
from backend.orders.scans import ensure_scanned
from backend.stock import ledger
from backend.stock.ledger import Cause, Line, Shelf
from backend.stock.models import MovementReason
from backend.stock.picking import LotOnShelf, first_expiring_first


@dataclass(frozen=True, slots=True)
class Giving:
    """What a nurse wants to do: which dose of which order, and what she brings along."""

    actor: Actor
    order_id: UUID
    shelf: Shelf
    dose: int | None
    witness_id: UUID | None
    override_reason: str | None
    scan: Scan | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Fulfilled:
    """The answer of a fulfilment, in the order of api.md."""

    order_id: UUID
    status: str
    patient_name: str
    drug_name: str
    dose: int
    quantity_units: int
    remaining_stock: int
    lots: list[dict[str, Any]]
    administration_id: UUID
    fulfilled_by: str
    fulfilled_at: datetime


class Target(NamedTuple):
    """What `_LOCK` returns: the locked order and all that the decision rests on."""

    status: str
    priority: str
    units_per_dose: int
    doses: int
    doses_given: int
    interval_minutes: int | None
    first_due_at: datetime
    due_at: datetime
    verified: bool
    discontinued_at: datetime | None
    patient_name: str
    drug_name: str
    controlled: bool
    verification_required: bool
    witness_required: bool
    member: bool
    on_hand_units: int
    lots: list[list[Any]] | None
    key_fingerprint: bytes | None
    key_status: int | None
    key_answer: bytes | None


# $1 organization, $2 order, $3 ward, $4 drug, $5 nurse, $6 idempotency key, $7 now.
# Lots are judged by the calendar of the hospital: the expiry day itself still counts.
_LOCK = Prepared(
    "lock_order",
    ("uuid", "uuid", "uuid", "uuid", "uuid", "text", "timestamptz"),
    """
WITH target AS (
  SELECT o.status::text, o.priority::text, o.units_per_dose, o.doses, o.doses_given, o.interval_minutes,
    o.first_due_at, o.due_at, o.verified_at IS NOT NULL, o.discontinued_at, p.name, d.name,
    d.controlled_schedule IS NOT NULL, h.verification_required, h.witness_required,
    EXISTS (SELECT FROM ward_memberships m
      WHERE m.organization_id = $1 AND m.user_id = $5 AND m.ward_id = $3),
    l.on_hand_units, ($7 AT TIME ZONE h.time_zone)::date AS today
  FROM medication_orders o
  JOIN stock_levels l ON l.organization_id = $1 AND l.ward_id = $3 AND l.drug_id = $4
  JOIN patients p ON p.organization_id = $1 AND p.id = o.patient_id
  JOIN drugs d ON d.organization_id = $1 AND d.id = $4
  JOIN organizations h ON h.id = $1
  WHERE o.organization_id = $1 AND o.id = $2 AND o.ward_id = $3 AND o.drug_id = $4
  FOR UPDATE OF o, l
), shelf AS (
  SELECT s.lot_id, t.lot_number, t.expires_on, s.quantity_units
  FROM target, stock_lots s JOIN lots t ON t.organization_id = $1 AND t.id = s.lot_id
  WHERE s.organization_id = $1 AND s.ward_id = $3 AND s.drug_id = $4 AND s.quantity_units > 0
    AND t.status = 'available' AND t.expires_on >= target.today
  ORDER BY t.expires_on, t.id
  FOR UPDATE OF s
)
SELECT target.*, (SELECT jsonb_agg(jsonb_build_array(lot_id, lot_number, expires_on, quantity_units)) FROM shelf),
  i.fingerprint, i.status, i.answer
FROM target LEFT JOIN idempotency_keys i ON i.organization_id = $1 AND i.key = $6
""",
)

# After POSTING's $1 to $14: $15 order, $16 dose, $17 units, $18 completed, $19 due at.
_GIVE = f"""
WITH {ledger.POSTING}, given AS (
  UPDATE medication_orders SET
    doses_given = $16,
    status = CASE WHEN $18 THEN 'completed' ELSE status END,
    completed_at = CASE WHEN $18 THEN $11 END,
    due_at = $19,
    version = version + 1
  WHERE organization_id = $1 AND id = $15 AND status = 'active' AND doses_given = $16 - 1
  RETURNING 1
), administration AS (
  INSERT INTO medication_administrations (organization_id, id, order_id, dose_number, outcome, quantity_units,
    nurse_id, witness_id, administered_at)
  VALUES ($1, $9, $15, $16, 'given', $17, $10, $12, $11)
)"""
_GIVE_TYPES = (*ledger.POSTING_TYPES, "uuid", "int", "int", "boolean", "timestamptz")
_WRITTEN = "SELECT (SELECT on_hand_units FROM level), (SELECT count(*) FROM taken), (SELECT count(*) FROM given)"
_WRITE_DOSE = Prepared("give_dose", _GIVE_TYPES, f"{_GIVE} {_WRITTEN}")

# The same with the answer: $20 idempotency key, $21 fingerprint, $22 answer.
_WRITE = Prepared(
    "fulfil_order",
    (*_GIVE_TYPES, "text", "bytea", "bytea"),
    f"""{_GIVE}, remembered AS (
  INSERT INTO idempotency_keys (organization_id, key, user_id, fingerprint, status, answer)
  VALUES ($1, $20, $10, $21, 200, $22)
)
{_WRITTEN}""",
)


def fulfil(
    session: Session,
    *,
    actor: Actor,
    order_id: UUID,
    shelf: Shelf,
    dose: int | None,
    witness_id: UUID | None,
    key: IdempotencyKey,
    now: datetime,
    override_reason: str | None = None,
    scan: Scan | None = None,
) -> Answer:
    """Gives the next dose of an order from the first expiring lots of its shelf.

    `dose` must be named where the order has more than one. `override_reason` lets an unverified order pass whose drug
    is on the ward's override list; `scan` is what the nurse scanned. Answers what was stored when `key` was used
    before. Raises the refusals of orders/errors.py, WitnessRequired and InsufficientStock, in the precedence of
    domain.md; none changes a row.
    """
    session.take_lanes([shelf.lane])
    giving = Giving(actor, order_id, shelf, dose, witness_id, override_reason, scan, now)
    target = lock_target(session, giving, key.key)
    if target.key_fingerprint is not None:
        return replayed(key, target.key_fingerprint, target.key_status or 200, target.key_answer or b"")
    picks = decide(session, giving, target)
    fulfilled, values = _prepared(giving, target, picks)
    body = orjson.dumps(fulfilled, option=orjson.OPT_UTC_Z)
    _write(session, _WRITE, [*values, key.key, key.fingerprint, body], len(picks))
    if _overrides(target):
        open_review(session, giving.actor, order_id, fulfilled.administration_id, shelf.ward_id, override_reason, now)
    return Answer(200, body)


def give(session: Session, giving: Giving, target: Target) -> Fulfilled:
    """Decides on a locked target and writes the dose, without an answer to remember. Raises like `fulfil`."""
    picks = decide(session, giving, target)
    fulfilled, values = _prepared(giving, target, picks)
    _write(session, _WRITE_DOSE, values, len(picks))
    return fulfilled


def lock_target(session: Session, giving: Giving, key: str) -> Target:
    """The order with its shelf and lots, locked, and what is stored under `key`. Raises OrderNotFound."""
    shelf, actor = giving.shelf, giving.actor
    values = (actor.organization_id, giving.order_id, shelf.ward_id, shelf.drug_id, actor.user_id, key, giving.now)
    rows = session.run(_LOCK, values)
    if not rows:
        raise OrderNotFound()
    columns = rows[0]
    return Target(*columns[:17], *columns[18:])  # 17 is `today`, which only the database needed


def decide(session: Session, giving: Giving, target: Target) -> list[LotOnShelf]:
    """The lots to take. Raises the first refusal that applies."""
    if not target.member:
        raise NotOnThisWard()
    ensure_next(session, actor=giving.actor, order_id=giving.order_id, order=target, dose=giving.dose)
    if target.priority == Priority.PRN and target.doses_given and target.due_at > giving.now:
        raise DoseTooSoon(earliest_at=as_json(target.due_at))
    if _overrides(target):
        ensure_overridable(session, giving.shelf, giving.override_reason)
    if giving.witness_id is not None or (target.witness_required and target.controlled):
        ensure_witness(session, actor=giving.actor, ward_id=giving.shelf.ward_id, witness_id=giving.witness_id)
    picks = first_expiring_first(_lots(target), target.units_per_dose)
    if giving.scan is not None:
        ensure_scanned(session, giving.shelf, giving.scan, picks)
    return picks


def _overrides(target: Target) -> bool:
    """Whether the policy asks for a verification that the order lacks."""
    return target.verification_required and not target.verified


def _lots(target: Target) -> list[LotOnShelf]:
    return [
        LotOnShelf(UUID(lot_id), lot_number, date.fromisoformat(expires_on), units)
        for lot_id, lot_number, expires_on, units in target.lots or ()
    ]


def _prepared(giving: Giving, target: Target, picks: list[LotOnShelf]) -> tuple[Fulfilled, list[object]]:
    """What the nurse is told, and the values of `$1` to `$19` that make it true."""
    dose, now = target.doses_given + 1, giving.now
    completed = dose == target.doses
    administration_id = new_id()
    fulfilled = Fulfilled(
        order_id=giving.order_id,
        status=OrderStatus.COMPLETED if completed else OrderStatus.ACTIVE,
        patient_name=target.patient_name,
        drug_name=target.drug_name,
        dose=dose,
        quantity_units=target.units_per_dose,
        remaining_stock=target.on_hand_units - target.units_per_dose,
        lots=[
            {"lot_number": p.lot_number, "expires_on": p.expires_on, "quantity_units": p.quantity_units} for p in picks
        ],
        administration_id=administration_id,
        fulfilled_by=giving.actor.name,
        fulfilled_at=now,
    )
    lines = [Line(pick.lot_id, -pick.quantity_units) for pick in picks]
    cause = Cause(MovementReason.FULFILMENT, administration_id, giving.actor.user_id, now, giving.witness_id)
    values = ledger.posting_values(giving.shelf, lines, cause)
    values += [giving.order_id, dose, target.units_per_dose, completed, next_due(target, dose, given_at=now)]
    return fulfilled, values


def _write(session: Session, statement: Prepared, values: list[object], lots: int) -> None:
    ((on_hand_units, taken, given),) = session.run(statement, values)
    ledger.ensure_complete(on_hand_units, taken, lots)
    if given != 1:
        raise ledger.PostingIncomplete("the order changed under its lock")
