"""Which lots were taken: every shelf's ledger is replayed by sequence, and at each taking its lots are known.

A lot's state is a row of the audit trail. Whoever changes it locks the levels of all shelves first, and every posting
raises its level; so the numbers of the trail tell what came before what, without any clock.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import NamedTuple
from uuid import UUID

from backend.operations.proving.stand import Stand, read

TAKING = frozenset({"fulfilment", "transfer_out"})  # for a patient or another ward: of good lots, first expiring first
LOTS = "SELECT id, lot_number, expires_on FROM lots"
STATES = """SELECT row_id, id, after->>'status' FROM audit_events
  WHERE table_name = 'lots' AND after->>'status' IS DISTINCT FROM before->>'status' ORDER BY id"""
LEVELS = """SELECT (after->>'ward_id')::uuid, (after->>'drug_id')::uuid, (after->>'sequence')::bigint, min(id)
  FROM audit_events WHERE table_name = 'stock_levels' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
MOVEMENTS = """SELECT m.ward_id, m.drug_id, m.sequence, m.reason::text, m.reference_id, m.lot_id, m.units,
    (m.recorded_at AT TIME ZONE o.time_zone)::date
  FROM stock_movements AS m JOIN organizations AS o ON o.id = m.organization_id
  ORDER BY m.ward_id, m.drug_id, m.sequence"""
AVAILABLE, ON_HOLD, RECALLED = "available", "on_hold", "recalled"
EXPIRED, OUT_OF_ORDER = "expired", "out of order"


class _Movement(NamedTuple):
    """A row of MOVEMENTS; `day` is the hospital's when it was recorded."""

    ward_id: UUID
    drug_id: UUID
    sequence: int
    reason: str
    reference_id: UUID
    lot_id: UUID
    units: int
    day: date


@dataclass(frozen=True, slots=True)
class Picks:
    """What was taken of lots that were not to be given, and what was taken while an earlier lot was left."""

    expired: Sequence[str]
    on_hold: Sequence[str]
    recalled: Sequence[str]
    out_of_order: Sequence[str]


class _Lots:
    """Every lot: when it expires, and the states it was in, by number of the audit trail."""

    def __init__(self, stand: Stand) -> None:
        rows = list(read(stand.superuser_url, LOTS))
        self.numbers = {lot_id: number for lot_id, number, _ in rows}
        self.expires_on: dict[UUID, date] = {lot_id: expires_on for lot_id, _, expires_on in rows}
        self._since: dict[UUID, list[int]] = defaultdict(list)
        self._states: dict[UUID, list[str]] = defaultdict(list)
        for lot_id, event, state in read(stand.superuser_url, STATES):
            self._since[lot_id].append(event)
            self._states[lot_id].append(state)

    def state(self, lot_id: UUID, event: int) -> str:
        """Tell the state before the audit trail's row `event`."""
        place = bisect_left(self._since[lot_id], event)
        return self._states[lot_id][place - 1] if place else AVAILABLE

    def usable(self, lot_id: UUID, event: int, day: date) -> bool:
        """Tell whether it may be given then: it is available, and its expiry day still counts."""
        return self.expires_on[lot_id] >= day and self.state(lot_id, event) == AVAILABLE


def replay(stand: Stand) -> Picks:
    """Replay the whole ledger and find what breaks the rules by which lots are picked."""
    lots = _Lots(stand)
    raised: dict[tuple[UUID, UUID], list[tuple[int, int]]] = defaultdict(list)
    for ward_id, drug_id, sequence, event in read(stand.superuser_url, LEVELS):
        raised[ward_id, drug_id].append((sequence, event))
    wrong: dict[str, list[str]] = defaultdict(list)
    movements = (_Movement(*row) for row in read(stand.superuser_url, MOVEMENTS))
    for shelf, ledger in groupby(movements, key=lambda movement: (movement.ward_id, movement.drug_id)):
        left: Counter[UUID] = Counter()
        for (reason, _), posting in groupby(ledger, key=lambda movement: (movement.reason, movement.reference_id)):
            lines = list(posting)
            for line in lines:
                left[line.lot_id] += line.units
            if reason in TAKING:
                event = _event_of(raised[shelf], lines[-1].sequence)
                for what, example in (*_unusable(lines, lots, event), *_out_of_order(lines, lots, event, left)):
                    wrong[what].append(example)
    return Picks(wrong[EXPIRED], wrong[ON_HOLD], wrong[RECALLED], wrong[OUT_OF_ORDER])


def _event_of(raised: Sequence[tuple[int, int]], sequence: int) -> int:
    """Find the first row of the audit trail that has the level at `sequence` or beyond; where none has, the last."""
    place = bisect_left(raised, (sequence, 0))
    return raised[min(place, len(raised) - 1)][1] if raised else 0


def _unusable(lines: Sequence[_Movement], lots: _Lots, event: int) -> Iterator[tuple[str, str]]:
    for line in lines:
        state, until = lots.state(line.lot_id, event), lots.expires_on[line.lot_id]
        example = f"{line.reason} {line.reference_id}: lot {lots.numbers[line.lot_id]}, {state}, until {until}"
        if state != AVAILABLE:
            yield state, example
        if until < line.day:
            yield EXPIRED, example


def _out_of_order(
    lines: Sequence[_Movement], lots: _Lots, event: int, left: Counter[UUID]
) -> Iterator[tuple[str, str]]:
    """Find usable lots that were left and expire before one that was taken. Lots that are not usable do not count."""
    good = [line.lot_id for line in lines if lots.usable(line.lot_id, event, line.day)]
    last = max((lots.expires_on[lot_id] for lot_id in good), default=date.min)
    for lot_id, units in left.items():
        if units > 0 and lots.expires_on[lot_id] < last and lots.usable(lot_id, event, lines[0].day):
            yield (
                OUT_OF_ORDER,
                f"{lines[0].reason} {lines[0].reference_id}: taken until {last}, {units} units of lot"
                f" {lots.numbers[lot_id]} until {lots.expires_on[lot_id]} left",
            )
