"""The MAR board: a ward's active orders grouped by patient.

Decision: every change of what a board shows raises a version in its own transaction: the shelf's level for orders and
stock, the ward for its patients, the organization for its formulary. The board's version is their sum, read in the
same snapshot as the board. Because versions only rise and commit or vanish with their change, a cached board is right
exactly when the sum is the same: a rollback invalidates nothing, a commit on any node invalidates everywhere, and
nobody is told a stale board even once. No Redis, no messages. Cost: one small query a poll.

What time alone changes, a dose that becomes due or overdue, is on the board too: a board is right until the next such
moment, and then made again (`Board.until`).
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from threading import Lock
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from backend.actor import Actor, Role
from backend.db import Prepared, Session
from backend.domain.custody.blind import drugs_counted_blind
from backend.domain.identity.membership import NotOnThisWard
from backend.domain.orders.models import Priority
from backend.domain.organizations.wards import WardNotFound
from backend.observability import BOARD_CACHE

ORDERS_MAX = 2_000  # of one page of a board
NO_BED = 2**31 - 1  # in a key: patients without a bed come last


class DueState(StrEnum):
    """How the next dose of an order stands."""

    UPCOMING = "upcoming"
    DUE = "due"
    OVERDUE = "overdue"


@dataclass(frozen=True, slots=True)
class Board:
    """A ward's board as JSON, the version of everything on it, and the moment at which a dose on it changes state."""

    version: int
    until: datetime | None
    body: bytes

    @property
    def etag(self) -> str:
        """What distinguishes this board from every other of its ward."""
        return f"{self.version}-{self.until.timestamp():.0f}" if self.until else str(self.version)


class BoardCache:
    """The newest boards of one process, at most `wards_max` of them, the least recently read dropped first."""

    def __init__(self, wards_max: int) -> None:
        self._wards_max = wards_max
        self._boards: OrderedDict[tuple[UUID, UUID], Board] = OrderedDict()
        self._lock = Lock()

    def get(self, organization_id: UUID, ward_id: UUID, version: int, now: datetime) -> Board | None:
        """The board of this version, if it is kept and right at `now`."""
        with self._lock:
            board = self._boards.get((organization_id, ward_id))
            if board is None or board.version != version or (board.until is not None and board.until <= now):
                return None
            self._boards.move_to_end((organization_id, ward_id))
            return board

    def put(self, organization_id: UUID, ward_id: UUID, board: Board) -> None:
        """Keeps `board`, unless a newer one is kept already."""
        with self._lock:
            kept = self._boards.get((organization_id, ward_id))
            if kept is not None and kept.version > board.version:
                return
            self._boards[organization_id, ward_id] = board
            self._boards.move_to_end((organization_id, ward_id))
            while len(self._boards) > self._wards_max:
                self._boards.popitem(last=False)


_VERSION = Prepared(
    "board_version",
    """SELECT w.name, h.version + w.version + coalesce((SELECT sum(l.version) FROM stock_levels l
        WHERE l.organization_id = :organization_id AND l.ward_id = :ward_id), 0)::bigint,
      EXISTS (SELECT FROM ward_memberships m
        WHERE m.organization_id = :organization_id AND m.ward_id = :ward_id AND m.user_id = :user_id::uuid),
      h.dose_window_minutes, clock_timestamp()
    FROM wards w JOIN organizations h ON h.id = :organization_id
    WHERE w.organization_id = :organization_id::uuid AND w.id = :ward_id::uuid""",
)

_PATIENTS = "JOIN patients p ON p.organization_id = :organization_id AND p.id = o.patient_id"
# OFFSET 0 keeps this a look at the index for each order: else the planner may hash every patient of the house.
_PATIENTS_ONE_BY_ONE = """JOIN LATERAL (SELECT * FROM patients
      WHERE organization_id = :organization_id AND id = o.patient_id OFFSET 0) p ON true"""


def _shown(patients: str) -> str:
    """Return the query of the orders of a board without its order and limit; `patients` joins the patients."""
    return f"""SELECT p.id AS patient_id, p.name, p.mrn, p.date_of_birth, p.bed, p.allergies, jsonb_build_object(
      'order_id', o.id, 'drug_id', d.id, 'drug_name', d.name, 'strength', d.strength, 'form', d.form,
      'unit', d.unit, 'controlled', d.controlled_schedule IS NOT NULL, 'high_alert', d.high_alert,
      'quantity_units', o.units_per_dose, 'dose_text', o.dose_text, 'route', o.route, 'priority', o.priority,
      'dose', o.doses_given + 1, 'doses', o.doses,
      'due_at', to_char(o.due_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'verified', o.verified_at IS NOT NULL,
      'on_hand_units', CASE WHEN NOT b.hidden THEN l.on_hand_units END, 'figures_hidden', b.hidden), o.due_at
    FROM medication_orders o
    {patients}
    JOIN drugs d ON d.organization_id = :organization_id AND d.id = o.drug_id
    JOIN stock_levels l ON l.organization_id = :organization_id AND l.ward_id = :ward_id AND l.drug_id = o.drug_id
    CROSS JOIN LATERAL (SELECT o.drug_id = ANY ({drugs_counted_blind(":ward_id")}) AS hidden) b
    WHERE o.organization_id = :organization_id::uuid AND o.ward_id = :ward_id::uuid AND o.status = 'active'"""  # noqa: S608 - constants


# The limit is in the text: for a parameter the planner reckons with a tenth of the rows, and then one plan for any
# values would sort before it joins and read every patient of the house for that.
# Whoever may read a board may record a blind count of its ward: so what that counts is hidden from all of them.
_LIMIT = f"LIMIT {ORDERS_MAX + 1}"
_ORDERS = Prepared(
    "board_orders",
    f"""{_shown(_PATIENTS)}
    ORDER BY length(p.bed), p.bed, p.name, p.id, (o.priority <> 'stat'), o.due_at, o.id {_LIMIT}""",
)
# The same order with its nulls written out, so that a row can be compared with it. The name is looked up: a key
# travels in URLs, which name no patient.
_KEY = f"""coalesce(length(p.bed), {NO_BED}), coalesce(p.bed, ''), p.name, p.id,
      CASE o.priority WHEN 'stat' THEN 0 ELSE 1 END, o.due_at, o.id"""
_MORE_ORDERS = Prepared(
    "board_more_orders",
    f"""{_shown(_PATIENTS_ONE_BY_ONE)} AND ({_KEY}) > (:bed_length::bigint, :bed::text,
      (SELECT name FROM patients WHERE organization_id = :organization_id AND id = :patient_id), :patient_id::uuid,
      :is_later::bigint, :due_at::timestamptz, :order_id::uuid)
    ORDER BY {_KEY} {_LIMIT}""",  # noqa: S608 - constants
)


class Key(NamedTuple):
    """The place of an order on a board; a patient without a bed has the length NO_BED."""

    bed_length: int
    bed: str
    patient_id: UUID
    is_later: int  # 0 for STAT, 1 for the rest
    due_at: datetime
    order_id: UUID


def read_board(
    session: Session,
    *,
    actor: Actor,
    ward_id: UUID,
    cache: BoardCache,
    cursor_of: Callable[[Key], str | None],
    after: Key | None = None,
) -> Board:
    """Read the board of a ward as it is now, in at most two queries whatever its size.

    It has the ORDERS_MAX orders after the one with the key `after`, and says by `cursor_of` where the rest begins. A
    nurse reads the boards of her wards. Raises WardNotFound, NotOnThisWard.
    """
    organization_id = actor.organization_id
    rows = session.run(_VERSION, organization_id=organization_id, ward_id=ward_id, user_id=actor.user_id)
    if not rows:
        raise WardNotFound()
    ward_name, version, member, window_minutes, now = rows[0]
    if actor.role is Role.NURSE and not member:
        raise NotOnThisWard()
    kept = cache.get(organization_id, ward_id, version, now) if after is None else None
    BOARD_CACHE.labels("hit" if kept else "miss").inc()
    if kept is not None:
        return kept
    where = {"organization_id": organization_id, "ward_id": ward_id}
    orders = session.run(_ORDERS, **where) if after is None else session.run(_MORE_ORDERS, **where, **after._asdict())
    window = timedelta(minutes=window_minutes)
    moments = [moment for *_, due_at in orders for moment in (due_at - window, due_at + window) if moment > now]
    shown = orders[:ORDERS_MAX]
    cursor = cursor_of(_key_of(shown[-1])) if len(orders) > ORDERS_MAX else None
    about = {"ward_id": ward_id, "ward_name": ward_name, "version": version}
    board = Board(version, min(moments, default=None), _to_json(about, shown, cursor, window, now))
    if after is None:
        cache.put(organization_id, ward_id, board)
    return board


def _key_of(row: tuple[Any, ...]) -> Key:
    """Return the key of an order as a statement of the board has read it."""
    patient_id, _, _, _, bed, _, order, due_at = row
    is_later = int(order["priority"] != Priority.STAT)
    return Key(NO_BED if bed is None else len(bed), bed or "", patient_id, is_later, due_at, UUID(order["order_id"]))


def due_state(priority: str, due_at: datetime, window: timedelta, now: datetime) -> DueState:
    """How a dose stands at `now`: due from a window before its time until a window after it, then overdue.

    A PRN dose is never overdue: it is due when it may be given again.
    """
    if priority == Priority.PRN:
        return DueState.UPCOMING if now < due_at else DueState.DUE
    if now < due_at - window:
        return DueState.UPCOMING
    return DueState.DUE if now < due_at + window else DueState.OVERDUE


def _to_json(
    about: dict[str, Any], orders: list[tuple[Any, ...]], cursor: str | None, window: timedelta, now: datetime
) -> bytes:
    patients: dict[UUID, dict[str, Any]] = {}
    for patient_id, name, mrn, date_of_birth, bed, allergies, order, due_at in orders:
        order["due_state"] = due_state(order["priority"], due_at, window, now)
        patient = patients.setdefault(
            patient_id,
            {
                "patient_id": patient_id,
                "name": name,
                "mrn": mrn,
                "date_of_birth": date_of_birth,
                "bed": bed,
                "allergies": allergies,
                "orders": [],
            },
        )
        patient["orders"].append(order)
    return orjson.dumps(
        {
            **about,
            "patients": list(patients.values()),
            "truncated": cursor is not None,
            "next_cursor": cursor,
        }
    )
