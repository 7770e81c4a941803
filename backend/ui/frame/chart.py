"""The MAR chart of a patient: per order and day what was recorded, and what was due and was not.

Decision: an entry stands on the day it was recorded, an open dose on the day it is due. Because doses are recorded in
their order, a dose that is past and neither given nor skipped is one after the last recorded, whatever its day. Cost:
a dose that was given a day late shows on its due day only as recorded elsewhere.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from backend.domain.orders.models import OrderStatus, Priority

DAYS = 7
SLOTS_MAX = 168  # of one order: a dose an hour for a week


@dataclass(frozen=True, slots=True)
class Span:
    """The days of a chart, in the hospital's time zone, and the moment and dose window it is judged by.

    Doses without an entry are shown from `after` on, where it is given.
    """

    last: date
    zone: ZoneInfo
    now: datetime
    window: timedelta
    after: datetime | None = None

    @property
    def days(self) -> list[date]:
        """Its days, the earliest first."""
        return [self.last - timedelta(days=back) for back in reversed(range(DAYS))]

    @property
    def since(self) -> datetime:
        """Its beginning."""
        return datetime.combine(self.days[0], time.min, self.zone)

    @property
    def until(self) -> datetime:
        """Its end, which does not belong to it."""
        return datetime.combine(self.last + timedelta(days=1), time.min, self.zone)


@dataclass(frozen=True, slots=True)
class Mark:
    """One thing in a cell: an entry's outcome, or of a dose without one on this day due, later, missed or elsewhere."""

    state: str
    at: datetime
    dose: int
    entry: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """An order with the marks of each day; `later` is when the first scheduled dose is due that was too many."""

    order: dict[str, Any]
    cells: list[list[Mark]]
    later: datetime | None


def rows_of(
    span: Span, orders: Iterable[dict[str, Any]], entries: Sequence[dict[str, Any]], *, whole: bool = True
) -> list[Row]:
    """The chart of `orders` and `entries` as the API lists them: active orders, and ended ones with a mark in `span`.

    An entry of an order that is not among `orders` gets a row of its own. Unless `entries` are the `whole` of the
    span's, a recorded dose without an entry among them gets no mark: it is in another part of the chart.
    """
    known = {order["id"]: order for order in orders}
    for entry in entries:
        known.setdefault(entry["order_id"], _order_of(entry))
    rows = [_row(span, order, [e for e in entries if e["order_id"] == order["id"]], whole) for order in known.values()]
    return [row for row in rows if row.order["status"] == OrderStatus.ACTIVE or any(row.cells)]


def _order_of(entry: dict[str, Any]) -> dict[str, Any]:
    """What an entry tells of its order."""
    told = {name: entry[name] for name in ("drug_id", "drug_name", "strength", "unit", "controlled")}
    return {**told, "id": entry["order_id"], "status": OrderStatus.COMPLETED, "priority": Priority.PRN, "doses": 1}


def _row(span: Span, order: dict[str, Any], entries: list[dict[str, Any]], whole: bool) -> Row:
    marks = [
        Mark(entry["outcome"], _local(span, entry["administered_at"]), entry["dose"], entry)
        for entry in entries
        if span.since <= _local(span, entry["administered_at"]) < span.until
    ]
    slots = _slots(span, order)
    for dose, due in slots[:SLOTS_MAX]:
        mark = _open(span, order, entries, dose, due)
        if mark is not None and (whole or mark.state != "elsewhere" or mark.entry is not None):
            marks.append(mark)
    cells = [sorted((m for m in marks if m.at.date() == day), key=lambda m: (m.at, m.dose)) for day in span.days]
    return Row(order, cells, slots[SLOTS_MAX][1] if len(slots) > SLOTS_MAX else None)


def _slots(span: Span, order: dict[str, Any]) -> list[tuple[int, datetime]]:
    """The doses that the schedule puts into the span, at most SLOTS_MAX and one, each with when it is due.

    A PRN order has none.
    """
    if order["priority"] == Priority.PRN:
        return []
    first, interval = _local(span, order["first_due_at"]), timedelta(minutes=order["interval_minutes"] or 0)
    # Of aware times of one zone Python subtracts what the clocks show: by UTC the schedule passes a clock change.
    begin = max(span.since, span.after or span.since)
    ahead = begin.timestamp() - first.timestamp()
    start = max(0, -int(-ahead // interval.total_seconds())) if interval else 0
    slots = []
    for number in range(start, min(order["doses"], start + SLOTS_MAX + 1)):
        due = datetime.fromtimestamp(first.timestamp() + number * interval.total_seconds(), span.zone)
        if begin <= due < span.until:
            slots.append((number + 1, due))
    return slots


def _open(span: Span, order: dict[str, Any], entries: list[dict[str, Any]], dose: int, due: datetime) -> Mark | None:
    """The mark of a dose on the day it is due, where no entry of that day is its mark."""
    if dose <= order["doses_given"]:
        of_dose = [entry for entry in entries if entry["dose"] == dose]
        if any(_local(span, entry["administered_at"]).date() == due.date() for entry in of_dose):
            return None
        return Mark("elsewhere", due, dose, of_dose[0] if of_dose else None)
    discontinued = order["status"] == OrderStatus.DISCONTINUED
    end = _local(span, order["discontinued_at"]) if discontinued else span.now
    past = timedelta(seconds=end.timestamp() - due.timestamp())
    if past > span.window:
        return Mark("missed", due, dose)
    if discontinued:
        return None
    return Mark("due" if past >= -span.window else "later", due, dose)


def _local(span: Span, moment: str) -> datetime:
    return datetime.fromisoformat(moment).astimezone(span.zone)
