"""Counts of cupboards against what was physically there, and what became of their variances (cupboard.py).

A count must find missing exactly what went without a word and has not been written off. Of what was under way while
somebody looked, the books may have held it or not; but once it has been recorded, a count that is completed and a
variance that is resolved must take it into account, if it had reached ValMed before that look. Whoever resolves a
variance never writes off more than is missing: ValMed has to refuse it, or the books part from the shelf for good.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from backend.operations.proving.cupboard import Look
from backend.operations.proving.history import History, Operation
from backend.operations.proving.stand import Stand, ask, read

COMMITTED = """SELECT DISTINCT organization_id::text, split_part(request_id, '.', 1), split_part(request_id, '/', 1)
  FROM audit_events
  WHERE table_name = 'stock_levels' AND request_id ~ '^[0-9]+-[0-9]+[.]'"""
VARIANCES = """SELECT d.id::text, l.count_id::text FROM discrepancies AS d JOIN stock_count_lines AS l
  ON l.organization_id = d.organization_id AND l.id = d.count_line_id"""


@dataclass(frozen=True, slots=True)
class Tally:
    """How much was compared: counts, those of them with one figure that is right, those in the company of a request
    that ValMed had to take into account, and variances that were written off."""

    counts: int
    exact: int
    in_company: int
    written_off: int


@dataclass(frozen=True, slots=True)
class _Change:
    """What moves a later variance by `units`, at a moment between `begins` and `ends` that only ValMed knows.

    ValMed had got the request at `heard_at`; never, where nobody can tell.
    """

    begins: float
    ends: float
    units: int
    operation: Operation
    heard_at: float = math.inf


@dataclass(frozen=True, slots=True)
class _Count:
    """A completed count of which the record was under way from `look.at` to `recorded_at`."""

    operation: Operation
    look: Look
    recorded_at: float
    expected: int


def note_arrivals(history: History, stand: Stand) -> None:
    """Note for all hands when ValMed had got the request that was carried out, by the trail and the proxy."""
    carried_out = {(owner, name): request_id for owner, name, request_id in read(stand.superuser_url, COMMITTED)}
    for operation in history.changes:
        hands = operation.wish.hands
        if hands is not None and not operation.borrowed and operation.key in carried_out:
            moment = stand.proxy.arrivals.of((operation.key[0], carried_out[operation.key]))
            hands.heard_at = None if moment is None else history.moment_of(moment)


def counts_of_variances(stand: Stand) -> dict[str, str]:
    """Find the count of each variance."""
    return dict(ask(stand.superuser_url, VARIANCES))


class Cupboards:
    """What a history says of all cupboards, by ward."""

    def __init__(self, changes: Sequence[Operation], counts_of_variances: Mapping[str, str]) -> None:
        """Read the changes of a run, whose arrivals have been noted."""
        self._counts = {_count_id(count.operation): count for count in _counts(changes)}
        self._count_of = counts_of_variances
        self._looks: dict[UUID, list[Look]] = defaultdict(list)
        self._hands: dict[UUID, list[_Change]] = defaultdict(list)
        self._written_off: dict[UUID, list[_Change]] = defaultdict(list)
        for operation in changes:
            wish = operation.wish
            if wish.look is not None:
                self._looks[wish.look.ward_id].append(wish.look)
            if wish.hands is not None:
                heard = math.inf if wish.hands.heard_at is None else wish.hands.heard_at
                hands = _Change(wish.hands.at, _ends(operation), wish.hands.units, operation, heard)
                self._hands[wish.hands.ward_id].append(hands)
            if wish.write_off is not None and (operation.acknowledged is not None or operation.uncertain):
                units = wish.write_off.units if operation.content is None else operation.content["variance_units"]
                change = _Change(operation.began_at, _ends(operation), -units, operation)
                self._written_off[wish.write_off.ward_id].append(change)

    def tally(self) -> Tally:
        """Count what was compared."""
        acknowledged = [c for some in self._written_off.values() for c in some if c.operation.acknowledged is not None]
        counts = self._counts.values()
        return Tally(
            len(counts),
            sum(not self._open(count) for count in counts),
            sum(any(_is_known(each, count.look) for each in self._under_way(count.look)) for count in counts),
            len(acknowledged),
        )

    def false_variances(self) -> Iterator[str]:
        """Find counts whose variance is not what was missing, with whatever was open."""
        for count in self._counts.values():
            variance = count.look.units - count.expected
            missing, units = self._variance_at(count.look.ward_id, count.look.at), self._open(count)
            least, most = missing + _negative(units), missing + _positive(units)
            if not least <= variance <= most:
                yield (
                    f"{count.operation.name} {count.operation.wish.path}: found {count.look.units}, expected"
                    f" {count.expected}; the variance was to be {least}" + (f" to {most}" if least < most else "")
                )

    def false_write_offs(self) -> Iterator[str]:
        """Find resolutions that moved more stock than was missing, or the other way."""
        for ward_id, changes in self._written_off.items():
            for change in changes:
                discrepancy_id = change.operation.wish.path.split("/")[2]
                count = self._counts.get(self._count_of.get(discrepancy_id, ""))
                if change.operation.acknowledged is None or count is None:
                    continue
                after = self._variance_at(ward_id, change.ends)
                before = after - change.units
                unheard = [each.units for each in self._under_way(count.look) if not _is_known(each, count.look)]
                if not min(0, before) - _positive(unheard) <= after <= max(0, before) - _negative(unheard):
                    yield (
                        f"{change.operation.name} {change.operation.wish.path} of {count.operation.wish.path}: variance"
                        f" {before} before, {after} after it was resolved"
                    )

    def _variance_at(self, ward_id: UUID, moment: float) -> int:
        """Subtract what ValMed believes to be there from what is there, with nothing under way."""
        lost = sum(look.lost for look in self._looks[ward_id] if look.at <= moment)
        return sum(change.units for change in self._written_off[ward_id] if change.ends <= moment) - lost

    def _under_way(self, look: Look) -> list[_Change]:
        """List the hands whose request had not ended when somebody looked."""
        return [each for each in self._hands[look.ward_id] if each.begins <= look.at < each.ends]

    def _open(self, count: _Count) -> list[int]:
        """List by how much each change may have moved the variance, or not: ValMed need not know of it."""
        hands = [
            each.units
            for each in self._under_way(count.look)
            if not (_is_known(each, count.look) and each.ends <= count.operation.began_at)
        ]
        resolving = self._written_off[count.look.ward_id]
        return hands + [
            each.units for each in resolving if each.begins <= count.recorded_at and count.look.at < each.ends
        ]


def _is_known(change: _Change, look: Look) -> bool:
    """Tell whether ValMed had got the request when somebody looked."""
    return change.heard_at <= look.at


def _negative(units: Sequence[int]) -> int:
    return sum(each for each in units if each < 0)


def _positive(units: Sequence[int]) -> int:
    return sum(each for each in units if each > 0)


def _ends(operation: Operation) -> float:
    """Tell when it was certain for ValMed and for the shelf alike; never, where nobody knows."""
    if operation.acknowledging is not None:
        return operation.acknowledging.answered_at
    if operation.uncertain or not operation.ended:
        return math.inf
    hands = operation.wish.hands
    return hands.back_at if hands is not None and hands.back_at is not None else operation.attempts[-1].answered_at


def _count_id(operation: Operation) -> str:
    """Read the count from the path of a request about it."""
    return operation.wish.path.split("/")[2]


def _counts(operations: Sequence[Operation]) -> Iterator[_Count]:
    """List the completed counts of which every record was acknowledged: else nobody knows which record is the last."""
    records: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        if operation.wish.look is not None:
            records[_count_id(operation)].append(operation)
    for operation in operations:
        if not operation.wish.path.endswith("/complete") or operation.content is None:
            continue
        recorded = records[_count_id(operation)]
        told = [each.acknowledging for each in recorded if each.acknowledging is not None]
        if len(told) == len(recorded) > 0:
            last, ack = max(zip(recorded, told, strict=True), key=lambda pair: pair[1].answered_at)
            (line,) = operation.content["lines"]
            if last.wish.look is not None:
                yield _Count(operation, last.wish.look, ack.answered_at, line["expected_units"])
