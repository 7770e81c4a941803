"""A compressed day has its four rounds, one delivery and one recall, whatever the run's length."""

from collections.abc import Iterator
from itertools import groupby, pairwise

import pytest

from load.scenarios.timetable import DAY_BEGINS, DAY_ENDS, ROUNDS, STAFF_MIN, Staffing, hour_at, staffing

SECONDS = 180  # Locust asks once a second


def day(people: int) -> Iterator[tuple[float, Staffing]]:
    for second in range(SECONDS):
        hour = hour_at(second / SECONDS)
        yield hour, staffing(hour, people)


def test_a_run_goes_from_the_beginning_of_the_day_to_its_end() -> None:
    assert (hour_at(0), hour_at(1)) == (DAY_BEGINS, DAY_ENDS)
    assert all(earlier < later for (earlier, _), (later, _) in pairwise(day(40)))


@pytest.mark.parametrize("people", [2, 10, 40, 400])
def test_every_occasion_has_its_hour_and_none_runs_into_another(people: int) -> None:
    occasions = [(occasion, [hour for hour, _ in moments]) for occasion, moments in _occasions(people)]

    assert [occasion for occasion, _ in occasions if occasion] == [
        *("round", "delivery", "round", "recall", "round", "round")
    ]
    starts = [hours[0] for occasion, hours in occasions if occasion == "round"]
    assert [int(hour) for hour in starts] == [int(hour) for hour in ROUNDS]
    for (before, _), (after, _) in pairwise(occasions):
        assert not (before and after)  # people of the one have left before those of the next come


def _occasions(people: int) -> Iterator[tuple[str, list[tuple[float, Staffing]]]]:
    for occasion, moments in groupby(day(people), key=lambda moment: moment[1].occasion):
        yield occasion, list(moments)


def test_a_round_takes_everybody_and_the_night_the_fewest() -> None:
    assert staffing(8.5, 40) == Staffing(24, 16, "round")
    assert staffing(13.5, 40) == Staffing(24)
    assert staffing(10, 40) == Staffing(24, 2, "delivery")
    assert staffing(15, 40) == Staffing(24, 1, "recall")
    assert staffing(23.5, 40) == Staffing(16)


def test_nobody_is_never_at_work_and_an_occasion_never_without_people() -> None:
    for people in range(1, 20):
        for _, now in day(people):
            assert now.people >= STAFF_MIN
            assert (now.more > 0) == bool(now.occasion)
