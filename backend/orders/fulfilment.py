"""Fulfilment: the nurse gives one dose of an order, and stock and order change together or not at all.

The story is `fulfil`: take the shelf's lane, lock order, level and lots (one message), decide, write everything
(one statement). `transact` commits. See concurrency.md for why each step stands where it stands.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from backend.actor import Actor
from backend.db import Prepared, Session, new_id
from backend.db.idempotency import Answer, IdempotencyKey, replayed
from backend.errors import ValidationFailed
from backend.orders.errors import (
    DoseAlreadyGiven,
    DoseOutOfSequence,
    NotOnThisWard,
    OrderAlreadyCompleted,
    OrderDiscontinued,
    OrderNotFound,
    OrderNotVerified,
    WitnessRequired,
)
from backend.orders.models import OrderStatus
from backend.stock import ledger
from backend.stock.ledger import Line, Shelf
from backend.stock.models import MovementReason
from backend.stock.picking import LotOnShelf, first_expiring_first


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


class _Target(NamedTuple):
    """What `_LOCK` returns: the locked order and all that the decision rests on."""

    status: str
    units_per_dose: int
    doses: int
    doses_given: int
    interval_minutes: int | None
    first_due_at: datetime
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
  SELECT o.status::text, o.units_per_dose, o.doses, o.doses_given, o.interval_minutes, o.first_due_at,
    o.verified_at IS NOT NULL, o.discontinued_at, p.name, d.name, d.controlled_schedule IS NOT NULL,
    h.verification_required, h.witness_required,
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

# After POSTING's $1 to $11: $12 order, $13 dose, $14 units, $15 witness, $16 completed, $17 due at,
# $18 idempotency key, $19 fingerprint, $20 answer.
_WRITE = Prepared(
    "fulfil_order",
    (*ledger.POSTING_TYPES, "uuid", "int", "int", "uuid", "boolean", "timestamptz", "text", "bytea", "bytea"),
    f"""
WITH {ledger.POSTING}, given AS (
  UPDATE medication_orders SET
    doses_given = $13,
    status = CASE WHEN $16 THEN 'completed' ELSE status END,
    completed_at = CASE WHEN $16 THEN $11 END,
    due_at = $17,
    version = version + 1
  WHERE organization_id = $1 AND id = $12 AND status = 'active' AND doses_given = $13 - 1
  RETURNING 1
), administration AS (
  INSERT INTO medication_administrations (organization_id, id, order_id, dose_number, outcome, quantity_units,
    nurse_id, witness_id, administered_at)
  VALUES ($1, $9, $12, $13, 'given', $14, $10, $15, $11)
), remembered AS (
  INSERT INTO idempotency_keys (organization_id, key, user_id, fingerprint, status, answer)
  VALUES ($1, $18, $10, $19, 200, $20)
)
SELECT (SELECT on_hand_units FROM level), (SELECT count(*) FROM taken), (SELECT count(*) FROM given)
""",
)

_GIVEN_BY = Prepared(
    "given_by",
    ("uuid", "uuid", "int"),
    """SELECT u.name, a.administered_at FROM medication_administrations a
    JOIN users u ON u.organization_id = $1 AND u.id = a.nurse_id
    WHERE a.organization_id = $1 AND a.order_id = $2 AND a.dose_number = $3""",
)

_WITNESS_WORKS_HERE = Prepared(
    "witness_works_here",
    ("uuid", "uuid", "uuid"),
    """SELECT 1 FROM ward_memberships m JOIN users u ON u.organization_id = $1 AND u.id = m.user_id
    WHERE m.organization_id = $1 AND m.user_id = $2 AND m.ward_id = $3 AND u.active""",
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
) -> Answer:
    """Gives the next dose of an order from the first expiring lots of its shelf.

    `dose` must be named where the order has more than one. Answers what was stored when `key` was used before.
    Raises the refusals of orders/errors.py and InsufficientStock, in the precedence of domain.md; none changes a row.
    """
    session.take_lanes([shelf.lane])
    values = (actor.organization_id, order_id, shelf.ward_id, shelf.drug_id, actor.user_id, key.key, now)
    rows = session.run(_LOCK, values)
    if not rows:
        raise OrderNotFound()
    columns = rows[0]
    target = _Target(*columns[:15], *columns[16:])  # 15 is `today`, which only the database needed
    if target.key_fingerprint is not None:
        return replayed(key, target.key_fingerprint, target.key_status or 200, target.key_answer or b"")
    _ensure_allowed(session, actor, order_id, shelf, target, dose, witness_id)
    picks = first_expiring_first(_lots(target), target.units_per_dose)
    return _give(session, actor, order_id, shelf, target, picks, witness_id, key, now)


def _lots(target: _Target) -> list[LotOnShelf]:
    return [
        LotOnShelf(UUID(lot_id), lot_number, date.fromisoformat(expires_on), units)
        for lot_id, lot_number, expires_on, units in target.lots or ()
    ]


def _ensure_allowed(
    session: Session,
    actor: Actor,
    order_id: UUID,
    shelf: Shelf,
    target: _Target,
    dose: int | None,
    witness_id: UUID | None,
) -> None:
    """Raises the first refusal that applies."""
    if not target.member:
        raise NotOnThisWard()
    if target.status == OrderStatus.COMPLETED:
        raise OrderAlreadyCompleted(**_given_by(session, actor, order_id, target.doses_given))
    _ensure_dose(session, actor, order_id, target, dose)
    if target.verification_required and not target.verified:
        raise OrderNotVerified()
    if target.witness_required and target.controlled and witness_id is None:
        raise WitnessRequired()
    if witness_id is not None:
        _ensure_witness(session, actor, shelf, witness_id)


def _ensure_dose(session: Session, actor: Actor, order_id: UUID, target: _Target, dose: int | None) -> None:
    """Raises unless `dose` is the next one of an active order."""
    next_dose = target.doses_given + 1
    if dose is None and target.doses > 1:
        raise ValidationFailed.of("dose", f"this order has {target.doses} doses: name the one you give ({next_dose})")
    if dose is not None and not 1 <= dose <= target.doses:
        raise ValidationFailed.of("dose", f"this order has {target.doses} doses")
    if dose is not None and dose < next_dose:
        raise DoseAlreadyGiven(next_dose=next_dose, **_given_by(session, actor, order_id, dose))
    if target.status == OrderStatus.DISCONTINUED:
        raise OrderDiscontinued(discontinued_at=_iso(target.discontinued_at))
    if dose is not None and dose > next_dose:
        raise DoseOutOfSequence(next_dose=next_dose)


def _ensure_witness(session: Session, actor: Actor, shelf: Shelf, witness_id: UUID) -> None:
    if witness_id == actor.user_id:
        raise WitnessRequired("The witness must be another person.")
    if not session.run(_WITNESS_WORKS_HERE, (actor.organization_id, witness_id, shelf.ward_id)):
        raise WitnessRequired("The witness does not work on this ward.")


def _given_by(session: Session, actor: Actor, order_id: UUID, dose: int) -> dict[str, Any]:
    rows = session.run(_GIVEN_BY, (actor.organization_id, order_id, dose))
    return {"fulfilled_by": rows[0][0], "fulfilled_at": _iso(rows[0][1])} if rows else {}


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def _give(
    session: Session,
    actor: Actor,
    order_id: UUID,
    shelf: Shelf,
    target: _Target,
    picks: list[LotOnShelf],
    witness_id: UUID | None,
    key: IdempotencyKey,
    now: datetime,
) -> Answer:
    """Writes everything in one statement, the answer included."""
    dose = target.doses_given + 1
    completed = dose == target.doses
    administration_id = new_id()
    lines = [Line(pick.lot_id, -pick.quantity_units) for pick in picks]
    body = orjson.dumps(
        Fulfilled(
            order_id=order_id,
            status=OrderStatus.COMPLETED if completed else OrderStatus.ACTIVE,
            patient_name=target.patient_name,
            drug_name=target.drug_name,
            dose=dose,
            quantity_units=target.units_per_dose,
            remaining_stock=target.on_hand_units - target.units_per_dose,
            lots=[
                {"lot_number": p.lot_number, "expires_on": p.expires_on, "quantity_units": p.quantity_units}
                for p in picks
            ],
            administration_id=administration_id,
            fulfilled_by=actor.name,
            fulfilled_at=now,
        ),
        option=orjson.OPT_UTC_Z,
    )
    values = ledger.posting_values(
        shelf,
        lines,
        reason=MovementReason.FULFILMENT,
        reference_id=administration_id,
        actor_id=actor.user_id,
        occurred_at=now,
    )
    values += [order_id, dose, target.units_per_dose, witness_id, completed, _next_due(target, dose)]
    values += [key.key, key.fingerprint, body]
    ((on_hand_units, taken, given),) = session.run(_WRITE, values)
    ledger.ensure_complete(on_hand_units, taken, lines)
    if given != 1:
        raise ledger.PostingIncomplete("the order changed under its lock")
    return Answer(200, body)


def _next_due(target: _Target, dose: int) -> datetime:
    """When the dose after `dose` is due; the last dose and one without an interval leave it where the schedule ends."""
    following = min(dose, target.doses - 1)
    return target.first_due_at + timedelta(minutes=following * (target.interval_minutes or 0))
