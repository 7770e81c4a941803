"""Where the charts put things: heights are in proportion, time runs evenly, labels are round and few."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.ui.frame.svg import (
    BOTTOM,
    LABELS_MAX,
    LEFT,
    RIGHT,
    TOP,
    Bar,
    Estimate,
    bar_chart,
    interval_chart,
    step_chart,
)

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def test_bars_are_in_proportion_and_do_not_overlap() -> None:
    chart = bar_chart([Bar("a", 5), Bar("b", 10), Bar("c", 0, alarming=True)])
    heights = [box.height for box in chart.boxes]
    assert heights[0] == pytest.approx(heights[1] / 2, abs=0.2)
    assert heights[2] == 0
    assert [box.alarming for box in chart.boxes] == [False, False, True]
    assert all(left.x + left.width < right.x for left, right in zip(chart.boxes, chart.boxes[1:], strict=False))
    assert chart.boxes[0].x >= LEFT
    assert chart.boxes[-1].x + chart.boxes[-1].width <= RIGHT
    assert all(box.y + box.height == pytest.approx(BOTTOM) for box in chart.boxes)
    assert chart.total == 15


@pytest.mark.parametrize(
    ("highest", "labels"),
    [
        (0, ["0", "1"]),
        (1, ["0", "1"]),
        (4, ["0", "1", "2", "3", "4"]),
        (7, ["0", "2", "4", "6", "8"]),
        (2_100, ["0", "1,000", "2,000", "3,000"]),
    ],
)
def test_the_upward_axis_is_of_round_numbers_and_holds_the_highest(highest: int, labels: list[str]) -> None:
    chart = bar_chart([Bar("a", highest)])
    assert [row.label for row in chart.rows] == labels
    assert chart.rows[0].at == BOTTOM
    assert chart.rows[-1].at == TOP
    assert chart.boxes[0].y >= TOP


@pytest.mark.parametrize("bars", [0, 1, 12, 13, 30, 92])
def test_only_so_many_bars_are_labelled(bars: int) -> None:
    chart = bar_chart([Bar(str(number), number) for number in range(bars)])
    assert len(chart.boxes) == bars
    assert len(chart.columns) <= LABELS_MAX
    assert [column.label for column in chart.columns[:1]] == (["0"] if bars else [])


def test_a_level_stays_until_it_changes() -> None:
    levels = [(NOON, 10), (NOON + timedelta(days=1), 5)]
    chart = step_chart(levels, until=NOON + timedelta(days=2), line=20, line_label="Reorder at 20")
    middle, top_half, quarter = (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2, BOTTOM - (BOTTOM - TOP) / 4
    assert chart.path == f"M{LEFT:.1f} {top_half}H{middle}V{quarter}H{RIGHT}"
    assert chart.area == f"{chart.path}V{BOTTOM}H{LEFT}Z"
    assert chart.line_at == TOP


@pytest.mark.parametrize(
    ("stretch", "first", "count"),
    [
        (timedelta(minutes=9), "12:00", 10),
        (timedelta(hours=5), "12:00", 6),
        (timedelta(days=5), "11 Mar", 5),
        (timedelta(days=30), "13 Mar", 10),
    ],
)
def test_time_is_labelled_in_days_or_in_hours_where_it_is_short(stretch: timedelta, first: str, count: int) -> None:
    chart = step_chart([(NOON, 1)], until=NOON + stretch, line=None, line_label="")
    assert chart.columns[0].label == first
    assert len(chart.columns) == count
    assert all(LEFT <= column.at <= RIGHT for column in chart.columns)
    assert chart.line_at is None


def test_a_stretch_without_length_is_drawn() -> None:
    assert step_chart([(NOON, 0)], until=NOON, line=None, line_label="").path.startswith("M")


def test_intervals_stand_in_pairs_in_proportion_and_around_their_figures() -> None:
    pairs = [("a", Estimate(10, 5, 20), Estimate(40, 30, 77.5)), ("b", Estimate(0, 0, 0), Estimate(80, 80, 80))]
    chart = interval_chart(pairs, unit=" %")
    assert [row.label for row in chart.rows] == ["0 %", "20 %", "40 %", "60 %", "80 %"]
    assert [mark.is_current for mark in chart.marks] == [False, True, False, True]
    assert [mark.x for mark in chart.marks] == sorted(mark.x for mark in chart.marks)
    assert all(
        before.x < column.at < now.x
        for before, column, now in zip(chart.marks[::2], chart.columns, chart.marks[1::2], strict=True)
    )
    first, _, nought, highest = chart.marks
    assert (nought.y, highest.y) == (BOTTOM, TOP)
    assert first.y == pytest.approx(BOTTOM - (BOTTOM - TOP) / 8, abs=0.1)
    assert all(mark.high_y <= mark.y <= mark.low_y for mark in chart.marks)
    assert all(LEFT < mark.x < RIGHT for mark in chart.marks)
    assert interval_chart([], unit="").marks == []
