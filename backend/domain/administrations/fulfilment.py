"""Fulfilment: the nurse gives one dose of an order, and stock and order change together or not at all.

The story is `fulfil`: take the shelf's lane, lock order, level and lots (one message), decide, write everything
(one statement). `transact` commits. The lane comes first, since a wait after the first SELECT would wait with an old
snapshot (backend/db/lanes.py). A round (rounds.py) tells the same story for many orders.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import orjson

from backend.actor import Actor
from backend.db import Prepared, Session, new_id
from backend.db.idempotency import Answer, IdempotencyKey, replayed
from backend.domain.administrations.bedside_scans import ensure_scanned
from backend.domain.administrations.schedule import ensure_next, next_due
from backend.domain.custody.blind import counted_blind, hide_available_units
from backend.domain.formulary.scanning import Scan
from backend.domain.identity.membership import NotOnThisWard
from backend.domain.identity.standing import ENDED, STANDS, standing_values
from backend.domain.identity.witnesses import Witness, admit_witness
from backend.domain.orders.errors import DoseTooSoon, OrderNotFound
from backend.domain.orders.models import OrderStatus, Priority
from backend.domain.orders.overrides import ensure_overridable, open_review
from backend.domain.stock import ledger
from backend.domain.stock.ledger import Cause, Line, Shelf
from backend.domain.stock.models import MovementReason
from backend.domain.stock.picking import InsufficientStock, LotOnShelf, first_expiring_first
from backend.errors import NotAuthenticated


@dataclass(frozen=True, slots=True)
class Giving:
    """What a nurse wants to do: which dose of which order, and what she brings along."""

    actor: Actor
    order_id: UUID
    shelf: Shelf
    dose: int | None
    witness: Witness | None
    override_reason: str | None
    scan: Scan | None
    given_at: datetime | None = None  # the earlier time that an entry states; None: now

    @property
    def witness_id(self) -> UUID | None:
        """Tell who the witness is."""
        return self.witness.user_id if self.witness is not None else None

    def moment(self, session: Session) -> datetime:
        """Tell when the dose is given: the stated time, or the transaction's."""
        return self.given_at or session.now


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The locked order and what else the decision rests on: the columns of TARGET."""

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
    counted_blind: bool
    member: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked(Target):
    """Hold a row of `_LOCK`: the target, and with it the time, the sign-in, the shelf, and what the key has stored.

    `today` is the hospital's calendar day by which the lots were judged.
    """

    now: datetime
    stands: bool
    on_hand_units: int
    today: date
    lots: list[list[Any]] | None
    fingerprint: bytes | None
    answer_status: int | None
    answer: bytes | None


# :user_id is the nurse.
TARGET = f"""
  o.status::text AS status, o.priority::text AS priority, o.units_per_dose, o.doses, o.doses_given, o.interval_minutes,
  o.first_due_at, o.due_at, o.verified_at IS NOT NULL AS verified, o.discontinued_at,
  p.name AS patient_name, d.name AS drug_name, d.controlled_schedule IS NOT NULL AS controlled,
  h.verification_required, h.witness_required,
  {counted_blind("o.ward_id", "o.drug_id")} AS counted_blind,
  EXISTS (SELECT FROM ward_memberships m
    WHERE m.organization_id = :organization_id::uuid AND m.user_id = :user_id::uuid
      AND m.ward_id = o.ward_id) AS member"""

# The lane is held when the clock is read. Lots are judged by the calendar of the hospital at the time that the entry
# states, or now: the expiry day itself still counts.
_LOCK = Prepared(
    "lock_order",
    f"""
WITH target AS (
  SELECT {TARGET}, clock_timestamp() AS now, {STANDS} AS stands, l.on_hand_units,
    (coalesce(:given_at::timestamptz, clock_timestamp()) AT TIME ZONE h.time_zone)::date AS today
  FROM medication_orders o
  JOIN stock_levels l ON l.organization_id = :organization_id AND l.ward_id = :ward_id AND l.drug_id = :drug_id
  JOIN patients p ON p.organization_id = :organization_id AND p.id = o.patient_id
  JOIN drugs d ON d.organization_id = :organization_id AND d.id = :drug_id
  JOIN organizations h ON h.id = :organization_id
  WHERE o.organization_id = :organization_id AND o.id = :order_id::uuid
    AND o.ward_id = :ward_id::uuid AND o.drug_id = :drug_id::uuid
  FOR UPDATE OF o, l
), shelf AS (
  SELECT s.lot_id, t.lot_number, t.expires_on, s.quantity_units
  FROM target, stock_lots s JOIN lots t ON t.organization_id = :organization_id AND t.id = s.lot_id
  WHERE s.organization_id = :organization_id AND s.ward_id = :ward_id AND s.drug_id = :drug_id AND s.quantity_units > 0
    AND t.status = 'available' AND t.expires_on >= target.today
  ORDER BY t.expires_on, t.id
  FOR UPDATE OF s
)
SELECT target.*,
  (SELECT jsonb_agg(jsonb_build_array(lot_id, lot_number, expires_on, quantity_units)) FROM shelf) AS lots,
  i.fingerprint, i.status AS answer_status, i.answer
FROM target LEFT JOIN idempotency_keys i ON i.organization_id = :organization_id AND i.key = :key::text
""",  # noqa: S608 - constants
)

# POSTING's movements happen for the administration: its :reference_id, :actor_id, :witness_id and :occurred_at are the
# administration's id, nurse, witness and time.
_GIVE = f"""
WITH {ledger.POSTING}, given AS (
  UPDATE medication_orders SET
    doses_given = :dose::int,
    status = CASE WHEN :completed::boolean THEN 'completed' ELSE status END,
    completed_at = CASE WHEN :completed THEN :occurred_at END,
    due_at = :due_at::timestamptz,
    version = version + 1
  WHERE organization_id = :organization_id AND id = :order_id::uuid AND status = 'active' AND doses_given = :dose - 1
  RETURNING 1
), administration AS (
  INSERT INTO medication_administrations (organization_id, id, order_id, dose_number, outcome, quantity_units,
    nurse_id, witness_id, administered_at)
  VALUES (:organization_id, :reference_id, :order_id, :dose, 'given', :units_per_dose::int,
    :actor_id, :witness_id, :occurred_at)
)"""  # noqa: S608 - constants
_WRITE = Prepared(
    "fulfil_order",
    f"""{_GIVE}, remembered AS (
  INSERT INTO idempotency_keys (organization_id, key, user_id, fingerprint, status, answer)
  VALUES (:organization_id, :key::text, :actor_id, :fingerprint::bytea, 200, :answer::bytea)
)
SELECT (SELECT on_hand_units FROM level), (SELECT count(*) FROM taken), (SELECT count(*) FROM given)""",  # noqa: S608 - constants
)


def fulfil(
    session: Session,
    *,
    actor: Actor,
    order_id: UUID,
    shelf: Shelf,
    dose: int | None,
    witness: Witness | None,
    key: IdempotencyKey,
    override_reason: str | None = None,
    scan: Scan | None = None,
    given_at: datetime | None = None,
) -> Answer:
    """Gives the next dose of an order from the first expiring lots of its shelf.

    `dose` must be named where the order has more than one. `override_reason` lets an unverified order pass whose drug
    is on the ward's override list; `scan` is what the nurse scanned; `given_at` states an earlier time than now.
    Answers what was stored when `key` was used before. Raises NotAuthenticated, the refusals of
    domain/orders/errors.py, WitnessRequired and InsufficientStock, in this order; none changes a row.
    """
    session.take_lanes([shelf.lane])
    giving = Giving(actor, order_id, shelf, dose, witness, override_reason, scan, given_at)
    locked = _lock(session, giving, key.key)
    if locked.fingerprint is not None:
        return replayed(key, locked.fingerprint, locked.answer_status or 200, locked.answer or b"")
    picks = decide(session, giving, locked, _lots(locked))
    administration_id = new_id()
    left = locked.on_hand_units - locked.units_per_dose
    answer = answer_of(
        giving, locked, picks, administration_id=administration_id, left=left, given_at=giving.moment(session)
    )
    body = orjson.dumps(answer, option=orjson.OPT_UTC_Z)
    _write(session, giving, locked, picks, administration_id, key, body)
    if overrides(locked):
        open_review(session, actor, order_id, administration_id, shelf.ward_id, override_reason, session.now)
    return Answer(200, body)


def _lock(session: Session, giving: Giving, key: str) -> Locked:
    """Lock the order with its shelf and lots, read the time, and find what is stored under `key`.

    Raises OrderNotFound, NotAuthenticated.
    """
    rows = session.read(
        _LOCK,
        Locked,
        user_id=giving.actor.user_id,
        order_id=giving.order_id,
        ward_id=giving.shelf.ward_id,
        drug_id=giving.shelf.drug_id,
        given_at=giving.given_at,
        key=key,
        **standing_values(giving.actor),
    )
    if not rows:
        raise OrderNotFound()
    (locked,) = rows
    session.keep_time(locked.now)
    if not locked.stands:
        raise NotAuthenticated(ENDED)
    return locked


def decide(session: Session, giving: Giving, target: Target, lots: Sequence[LotOnShelf]) -> list[LotOnShelf]:
    """What to take of the shelf's `lots`. Raises the first refusal that applies."""
    if not target.member:
        raise NotOnThisWard()
    ensure_next(session, actor=giving.actor, order_id=giving.order_id, order=target, dose=giving.dose)
    if target.priority == Priority.PRN and target.doses_given and target.due_at > giving.moment(session):
        raise DoseTooSoon(earliest_at=target.due_at)
    if overrides(target):
        ensure_overridable(session, giving.shelf, giving.override_reason)
    admit_witness(
        session,
        actor=giving.actor,
        ward_id=giving.shelf.ward_id,
        witness=giving.witness,
        needed=target.witness_required and target.controlled,
    )
    picks = _pick(lots, target)
    if giving.scan is not None:
        ensure_scanned(session, giving.shelf, giving.scan, picks)
    return picks


def _pick(lots: Sequence[LotOnShelf], target: Target) -> list[LotOnShelf]:
    """Which lots the dose takes. Raises InsufficientStock, which hides what is there while it is counted blind."""
    try:
        return first_expiring_first(lots, target.units_per_dose)
    except InsufficientStock as refusal:
        if target.counted_blind:
            hide_available_units(refusal)
        raise


def overrides(target: Target) -> bool:
    """Whether the policy asks for a verification that the order lacks."""
    return target.verification_required and not target.verified


def answer_of(
    giving: Giving,
    target: Target,
    picks: Sequence[LotOnShelf],
    *,
    administration_id: UUID,
    left: int,
    given_at: datetime,
) -> dict[str, Any]:
    """Make the answer to the nurse; `left` is how many units the shelf holds afterwards, which she is not told while
    it is counted blind, `given_at` when that was."""
    dose = target.doses_given + 1
    return {
        "order_id": giving.order_id,
        "status": OrderStatus.COMPLETED if dose == target.doses else OrderStatus.ACTIVE,
        "patient_name": target.patient_name,
        "drug_name": target.drug_name,
        "dose": dose,
        "quantity_units": target.units_per_dose,
        "remaining_stock": None if target.counted_blind else left,
        "lots": [
            {"lot_number": p.lot_number, "expires_on": p.expires_on, "quantity_units": p.quantity_units} for p in picks
        ],
        "administration_id": administration_id,
        "fulfilled_by": giving.actor.name,
        "fulfilled_at": given_at,
    }


def _lots(locked: Locked) -> list[LotOnShelf]:
    return [
        LotOnShelf(UUID(lot_id), lot_number, date.fromisoformat(expires_on), units)
        for lot_id, lot_number, expires_on, units in locked.lots or ()
    ]


def _write(
    session: Session,
    giving: Giving,
    target: Target,
    picks: Sequence[LotOnShelf],
    administration_id: UUID,
    key: IdempotencyKey,
    body: bytes,
) -> None:
    """Lots, level, ledger, order, administration and answer, in one statement."""
    dose, now = target.doses_given + 1, giving.moment(session)
    lines = [Line(pick.lot_id, -pick.quantity_units) for pick in picks]
    cause = Cause(MovementReason.FULFILMENT, administration_id, giving.actor.user_id, now, giving.witness_id)
    ((on_hand_units, taken, given),) = session.run(
        _WRITE,
        **ledger.posting_values(session, giving.shelf, lines, cause),
        order_id=giving.order_id,
        dose=dose,
        units_per_dose=target.units_per_dose,
        completed=dose == target.doses,
        due_at=next_due(target, dose, given_at=now),
        key=key.key,
        fingerprint=key.fingerprint,
        answer=body,
    )
    ledger.ensure_complete(on_hand_units, taken, len(picks))
    if given != 1:
        raise ledger.PostingIncomplete("the order changed under its lock")
