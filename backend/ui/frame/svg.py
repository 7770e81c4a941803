"""Charts as numbers: where a line, a bar or a tick lies in an SVG of WIDTH by HEIGHT; templates/_charts.html draws it.

Decision: no library of charts and no script. Because the page's policy allows no inline style, a ward's screen must
show a chart before and without JavaScript, and a step line and bars are a page of arithmetic. Cost: nothing moves.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

WIDTH, HEIGHT = 960, 280
LEFT, RIGHT, TOP, BOTTOM = 60, 944, 16, 236  # the edges of the plot; below and left of it stand the labels
TICKS = 4
LABELS_MAX = 12
STEPS = (
    *(timedelta(minutes=minutes) for minutes in (1, 5, 15)),
    *(timedelta(hours=hours) for hours in (1, 3, 6)),
    *(timedelta(days=days) for days in (1, 3, 7)),
)  # between the labels of a stretch of time
BAR_SHARE = 0.72  # of its place that a bar takes
PAIR_SHARE, PAIR_APART_MAX = 0.14, 36  # how far each of two estimates stands beside the middle of its place


class Tick(NamedTuple):
    """A label and where it stands on its axis."""

    at: float
    label: str


class Box(NamedTuple):
    """One bar: its rectangle, what it stands for, and whether it asks for attention."""

    x: float
    y: float
    width: float
    height: float
    label: str
    value: int
    alarming: bool


class Bar(NamedTuple):
    """What a bar stands for; `alarming` ones look different and say so in the table."""

    label: str
    value: int
    alarming: bool = False


@dataclass(frozen=True)
class BarChart:
    """Bars side by side."""

    boxes: Sequence[Box]
    columns: Sequence[Tick]
    rows: Sequence[Tick]
    total: int


@dataclass(frozen=True)
class StepChart:
    """A level that stays until it changes, and the line that it should not fall to."""

    path: str
    area: str
    columns: Sequence[Tick]
    rows: Sequence[Tick]
    line_at: float | None
    line_label: str


class Estimate(NamedTuple):
    """A figure with the interval in which it may lie."""

    value: float
    low: float
    high: float


class Mark(NamedTuple):
    """An estimate where it is drawn: its place, and the heights of its figure and of both ends of its interval."""

    x: float
    y: float
    low_y: float
    high_y: float
    is_current: bool


@dataclass(frozen=True)
class IntervalChart:
    """Two estimates side by side for each label, the baseline left of the current one."""

    marks: Sequence[Mark]
    columns: Sequence[Tick]
    rows: Sequence[Tick]


def interval_chart(pairs: Sequence[tuple[str, Estimate, Estimate]], *, unit: str) -> IntervalChart:
    """Label, baseline and current of each pair from left to right; `unit` follows the numbers of the upward axis."""
    rows, top = _rows(math.ceil(max((max(before.high, now.high) for _, before, now in pairs), default=0)))
    place = (RIGHT - LEFT) / max(len(pairs), 1)
    marks, columns = [], []
    for number, (label, *estimates) in enumerate(pairs):
        middle = LEFT + (number + 0.5) * place
        columns.append(Tick(round(middle, 1), label))
        for estimate, is_current in zip(estimates, (False, True), strict=True):
            aside = min(PAIR_SHARE * place, PAIR_APART_MAX)
            x = middle + (aside if is_current else -aside)
            figure, low, high = (_height(value, top) for value in estimate)
            marks.append(Mark(round(x, 1), figure, low, high, is_current))
    return IntervalChart(marks, columns, [Tick(row.at, f"{row.label}{unit}") for row in rows])


def bar_chart(bars: Sequence[Bar]) -> BarChart:
    """The bars from left to right, their labels thinned out to what fits."""
    rows, top = _rows(max((bar.value for bar in bars), default=0))
    place = (RIGHT - LEFT) / max(len(bars), 1)
    width = place * BAR_SHARE
    boxes = []
    for number, bar in enumerate(bars):
        y = _height(bar.value, top)
        x = LEFT + number * place + (place - width) / 2
        boxes.append(Box(round(x, 1), y, round(width, 1), round(BOTTOM - y, 1), bar.label, bar.value, bar.alarming))
    every = -(-len(bars) // LABELS_MAX) or 1
    columns = [
        Tick(round(box.x + box.width / 2, 1), box.label) for number, box in enumerate(boxes) if number % every == 0
    ]
    return BarChart(boxes, columns, rows, sum(bar.value for bar in bars))


def step_chart(
    levels: Sequence[tuple[datetime, int]], *, until: datetime, line: int | None, line_label: str
) -> StepChart:
    """The level from the first moment of `levels` (oldest first, at least one) to `until`; `line` is drawn across.

    The moments carry the time zone that the day labels are in.
    """
    since = levels[0][0]
    rows, top = _rows(max(*(level for _, level in levels), line or 0, 0))
    seconds = max((until - since).total_seconds(), 1)

    def across(moment: datetime) -> float:
        return round(LEFT + (RIGHT - LEFT) * (moment - since).total_seconds() / seconds, 1)

    path = f"M{across(since)} {_height(levels[0][1], top)}"
    for moment, level in levels[1:]:
        path += f"H{across(moment)}V{_height(level, top)}"
    path += f"H{RIGHT}"
    columns = [Tick(across(moment), label) for moment, label in _moments(since, until)]
    line_at = None if line is None else _height(line, top)
    return StepChart(path, f"{path}V{BOTTOM}H{LEFT}Z", columns, rows, line_at, line_label)


def _moments(since: datetime, until: datetime) -> list[tuple[datetime, str]]:
    """Round moments of the stretch with their labels: days, or times of day where it is short."""
    step = next((step for step in STEPS if (until - since) / step < LABELS_MAX), STEPS[-1])
    moment = since.replace(hour=0, minute=0, second=0, microsecond=0)
    moments = []
    while moment <= until:
        if moment >= since:
            moments.append((moment, f"{moment:%-d %b}" if step.days else f"{moment:%H:%M}"))
        moment += step
    return moments


def _height(value: float, top: int) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * value / top, 1)


def _rows(highest: int) -> tuple[list[Tick], int]:
    """The ticks of the upward axis in round numbers, and the number at its end."""
    step = _round_up(-(-highest // TICKS))
    top = step * max(-(-highest // step), 1)
    return [Tick(_height(value, top), f"{value:,}") for value in range(0, top + 1, step)], top


def _round_up(number: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50, ..."""
    power = 1
    while True:
        for digit in (1, 2, 5):
            if digit * power >= number:
                return digit * power
        power *= 10
