"""Payers that never change, looked at every week of a year: how often a run calls one of them drifted.

`pytest -s` prints the table of the README. A claim's days and outcome are drawn from one distribution all year.
"""

import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from random import Random
from statistics import median

from backend.domain.claims.drift import (
    BASELINE_DAYS,
    CURRENT_DAYS,
    MIN_VOLUME,
    Group,
    Parameters,
    Window,
    compare,
    events_of,
)
from backend.domain.claims.models import DriftType

WEEKS, SPAN = 52, BASELINE_DAYS + CURRENT_DAYS
GROUPS_OF_EACH = 8
CLAIMS_PER_DAY = (3, 10, 40)
DENIAL_RATES = (0.05, 0.12, 0.25)


@dataclass
class Tally:
    """Comparisons of a year, events among them, and events that stand after adjusting."""

    comparisons: int = 0
    events: Counter[DriftType] = field(default_factory=Counter)
    standing: int = 0
    weeks_with_events: int = 0
    weeks_standing: int = 0

    @property
    def plain_rate(self) -> float:
        """Events of comparisons."""
        return self.events.total() / self.comparisons

    @property
    def adjusted_rate(self) -> float:
        """Events that stand of comparisons."""
        return self.standing / self.comparisons


Day = list[tuple[int, bool]]  # each claim's days until its decision, and whether it was denied


def a_year(random: Random, per_day: int, denial_rate: float) -> list[Day]:
    """The claims of a payer's group, day by day; decisions take 15 days on average, 3 to 40 mostly."""
    return [
        [(int(random.gammavariate(4, 4)), random.random() < denial_rate) for _ in range(per_day)]
        for _ in range(SPAN + 7 * WEEKS)
    ]


def window(days: list[Day]) -> Window:
    """What a run reads of these days."""
    claims = [claim for day in days for claim in day]
    taken = [days for days, _ in claims]
    return Window(len(claims), sum(denied for _, denied in claims), Fraction(median(taken)), Counter(taken))


def tally_of(random: Random, per_day: int) -> Tally:
    """A year of weekly runs over steady groups of one size."""
    years = [a_year(random, per_day, rate) for rate in DENIAL_RATES for _ in range(GROUPS_OF_EACH)]
    tally, parameters = Tally(), Parameters(as_of=date(2026, 1, 5), adjust=True)
    for week in range(WEEKS):
        middle = 7 * week + BASELINE_DAYS
        groups = [
            Group(
                str(number),
                "G",
                window(year[7 * week : middle]),
                window(year[middle : middle + CURRENT_DAYS]),
                undecided=0,
            )
            for number, year in enumerate(years)
        ]
        assert min(group.current.volume for group in groups) >= MIN_VOLUME
        comparisons = compare(groups)
        events = events_of(comparisons, parameters)
        tally.comparisons += len(comparisons)
        tally.events.update(event["drift_type"] for event in events)
        tally.standing += sum(event["survives"] for event in events)
        tally.weeks_with_events += bool(events)
        tally.weeks_standing += any(event["survives"] for event in events)
    return tally


def test_steady_payers_raise_fewer_alarms_with_more_claims_and_almost_none_adjusted() -> None:
    random = Random(2026)
    tallies = {per_day: tally_of(random, per_day) for per_day in CLAIMS_PER_DAY}
    for per_day, tally in tallies.items():
        rate, time = (tally.events[kind] / tally.comparisons * 2 for kind in DriftType)
        sys.stdout.write(
            f"{per_day * CURRENT_DAYS} claims in the current window: denial rate {rate:.1%}, decision time {time:.1%}, "
            f"weeks with any {tally.weeks_with_events / WEEKS:.0%}; adjusted {tally.adjusted_rate:.2%}, "
            f"weeks with any {tally.weeks_standing / WEEKS:.0%}\n"
        )
        assert tally.adjusted_rate <= tally.plain_rate
        assert tally.adjusted_rate < 0.01
        assert tally.weeks_standing <= WEEKS * 0.25, "of 5 % expected: weeks share their claims, so they come in runs"
    few, some, many = (tallies[per_day].plain_rate for per_day in CLAIMS_PER_DAY)
    assert 0.5 > few > some > many
    assert few > 0.05, "small groups cross the plain thresholds by chance: why intervals and adjusting are there"
    assert many < 0.05
