"""The chart of a patient's doses, without a browser: which mark stands on which day."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from backend.ui.frame.chart import SLOTS_MAX, Span, rows_of

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 6, 10, 12, 0, tzinfo=BERLIN)
SPAN = Span(date(2026, 6, 10), BERLIN, NOON, timedelta(minutes=60))
ORDER = {
    "id": "o",
    "drug_id": "d",
    "drug_name": "Amoxicillin",
    "strength": "5 mg",
    "unit": "tablet",
    "controlled": False,
    "status": "active",
    "priority": "routine",
    "doses": 4,
    "doses_given": 0,
    "interval_minutes": 360,
    "first_due_at": "2026-06-10T03:00:00Z",
    "discontinued_at": None,
}


def entry(dose: int, at: str, **changes: Any) -> dict[str, Any]:
    """A dose as the API lists it."""
    named = {name: ORDER[name] for name in ("drug_id", "drug_name", "strength", "unit", "controlled")}
    return {
        **named,
        "id": f"e{dose}",
        "order_id": "o",
        "dose": dose,
        "outcome": "given",
        "administered_at": at,
        **changes,
    }


def marks(*entries: dict[str, Any], span: Span = SPAN, **changes: Any) -> list[tuple[int, str, str]]:
    """Every mark of the order: the day of the month, its state and what the hospital's clocks show."""
    rows = rows_of(span, [{**ORDER, **changes}], entries)
    return [
        (day.day, mark.state, f"{mark.at:%H:%M}")
        for row in rows
        for day, cell in zip(span.days, row.cells, strict=True)
        for mark in cell
    ]


def test_doses_without_an_entry_are_missed_due_or_later_by_the_window() -> None:
    assert marks() == [(10, "missed", "05:00"), (10, "due", "11:00"), (10, "later", "17:00"), (10, "later", "23:00")]
    assert marks(first_due_at="2026-06-10T08:59:00Z")[0] == (10, "missed", "10:59")
    assert marks(first_due_at="2026-06-10T11:00:00Z")[0] == (10, "due", "13:00")
    assert marks(first_due_at="2026-06-10T11:01:00Z")[0] == (10, "later", "13:01")


def test_an_entry_stands_when_it_was_recorded_and_takes_the_place_of_its_dose() -> None:
    given = entry(1, "2026-06-10T03:20:00Z")
    assert marks(given, doses_given=1)[:2] == [(10, "given", "05:20"), (10, "due", "11:00")]


def test_a_dose_recorded_on_another_day_is_neither_missed_nor_doubled() -> None:
    late = entry(1, "2026-06-09T22:10:00Z")
    assert marks(late, doses_given=1, first_due_at="2026-06-09T10:00:00Z", doses=1) == [
        (9, "elsewhere", "12:00"),
        (10, "given", "00:10"),
    ]
    assert marks(doses_given=1, first_due_at="2026-06-09T10:00:00Z", doses=1) == [(9, "elsewhere", "12:00")]


def test_an_entry_in_error_stays_and_its_dose_is_open_again() -> None:
    wrong = entry(1, "2026-06-10T03:00:00Z", entered_in_error_at="2026-06-10T04:00:00Z")
    assert marks(wrong)[:2] == [(10, "given", "05:00"), (10, "missed", "05:00")]


def test_a_discontinued_order_misses_only_what_was_past_before_its_end() -> None:
    ended = {"status": "discontinued", "discontinued_at": "2026-06-10T05:00:00Z"}
    assert marks(**ended) == [(10, "missed", "05:00")]
    assert marks(**{**ended, "discontinued_at": "2026-06-10T03:30:00Z"}) == []


def test_a_prn_order_is_never_due() -> None:
    assert marks(priority="prn") == []
    assert [row.order["id"] for row in rows_of(SPAN, [{**ORDER, "priority": "prn"}], [])] == ["o"]


def test_a_schedule_goes_by_real_hours_where_the_clocks_change() -> None:
    """In the night to 25 October the clocks of Berlin go back: eight hours after 22:00 they show 05:00."""
    span = Span(date(2026, 10, 25), BERLIN, datetime(2026, 10, 26, tzinfo=BERLIN), timedelta(minutes=60))
    shown = marks(span=span, first_due_at="2026-10-24T20:00:00Z", interval_minutes=480, doses=3)
    assert shown == [(24, "missed", "22:00"), (25, "missed", "05:00"), (25, "missed", "13:00")]


def test_a_span_begins_in_the_middle_of_a_long_schedule() -> None:
    shown = marks(first_due_at="2025-01-01T10:00:00Z", interval_minutes=1440, doses=1000, doses_given=0)
    assert shown == [(day, "missed", "12:00") for day in range(4, 10)] + [(10, "due", "12:00")]


def test_more_doses_than_a_chart_shows_are_shown_from_the_next_one_on() -> None:
    (row,) = rows_of(SPAN, [{**ORDER, "interval_minutes": 60, "doses": 19}], [])
    assert (row.later, sum(map(len, row.cells))) == (None, 19)
    order, due, span = {**ORDER, "interval_minutes": 1, "doses": 1000}, [], SPAN
    while True:
        (row,) = rows_of(span, [order], [])
        due += [mark.at for cell in row.cells for mark in cell]
        assert sum(map(len, row.cells)) <= SLOTS_MAX
        if row.later is None:
            break
        span = replace(span, after=row.later)
    first = datetime(2026, 6, 10, 5, 0, tzinfo=BERLIN)
    assert due == [first + timedelta(minutes=number) for number in range(1000)], "the parts show each dose once"


def test_a_part_of_the_entries_marks_no_dose_of_another_part() -> None:
    """Of a dose whose entry was not read, the chart cannot say that it was recorded on another day."""
    late = entry(2, "2026-06-09T22:10:00Z")
    order = {**ORDER, "first_due_at": "2026-06-09T10:00:00Z", "interval_minutes": 60, "doses": 2, "doses_given": 2}
    states = {}
    for whole in (True, False):
        (row,) = rows_of(SPAN, [order], [late], whole=whole)
        states[whole] = [mark.state for cell in row.cells for mark in cell]
    assert states == {True: ["elsewhere", "elsewhere", "given"], False: ["elsewhere", "given"]}


def test_an_entry_of_an_order_that_was_not_read_still_has_its_row() -> None:
    (row,) = rows_of(SPAN, [], [entry(1, "2026-06-10T03:20:00Z")])
    assert (row.order["drug_name"], [mark.state for cell in row.cells for mark in cell]) == ("Amoxicillin", ["given"])


def test_the_days_are_those_of_the_hospital() -> None:
    assert SPAN.since.astimezone(UTC) == datetime(2026, 6, 3, 22, tzinfo=UTC)
    assert SPAN.until.astimezone(UTC) == datetime(2026, 6, 10, 22, tzinfo=UTC)
