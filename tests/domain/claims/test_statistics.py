"""Intervals and tests, against figures of the literature and against their own definitions."""

import itertools
from collections import Counter
from statistics import NormalDist

import pytest

from backend.domain.claims.statistics import median_interval, rates_differ, surviving, values_differ, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_the_interval_of_a_median_by_ranks() -> None:
    """Of 100 values the ranks 40 and 61 (Conover): about 95 % of samples have their median between them."""
    assert median_interval(Counter(range(1, 101))) == (40, 61)
    assert median_interval({5: 30}) == (5, 5)
    assert median_interval({1: 1, 9: 1}) == (1, 9)


def test_rates_differ() -> None:
    """10 of 100 and 20 of 100: chi-square with Yates' correction 3.1765, p 0.0747."""
    assert rates_differ(10, 100, 20, 100) == pytest.approx(0.0747, abs=5e-5)
    assert rates_differ(20, 100, 10, 100) == rates_differ(10, 100, 20, 100)
    assert rates_differ(0, 30, 0, 400) == rates_differ(30, 30, 400, 400) == 1.0
    assert rates_differ(5, 100, 5, 100) == 1.0


def test_values_differ() -> None:
    """1..10 and 6..15: U 12.5, z 2.797 with ties and continuity corrected, p 0.0052."""
    assert values_differ(Counter(range(1, 11)), Counter(range(6, 16))) == pytest.approx(0.0051, abs=2e-4)
    assert values_differ({5: 30}, {5: 300}) == 1.0
    assert values_differ({1: 40}, {9: 40}) < 1e-9


def test_values_differ_by_every_pair() -> None:
    """The ranks count each pair of values: 1 where the first exceeds the second, a half where they tie."""
    first, second = [3, 3, 4, 8, 9, 9], [1, 3, 4, 4, 7]
    wins = sum((a > b) + (a == b) / 2 for a, b in itertools.product(first, second))
    mean = len(first) * len(second) / 2
    ordered = Counter(first + second)
    total = len(first) + len(second)
    ties = sum(count**3 - count for count in ordered.values()) / (total * (total - 1))
    deviation = (len(first) * len(second) / 12 * (total + 1 - ties)) ** 0.5
    expected = 2 * (1 - NormalDist().cdf((abs(wins - mean) - 0.5) / deviation))
    assert values_differ(Counter(first), Counter(second)) == pytest.approx(expected)


def test_surviving() -> None:
    """Benjamini and Hochberg 1995, section 3.2: of 15 p-values the first four stand at 0.05."""
    p_values = [
        *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719),
        *(0.6528, 0.7590, 1.0),
    ]
    assert surviving(p_values) == [True] * 4 + [False] * 11
    assert surviving(p_values[::-1]) == [False] * 11 + [True] * 4
    assert surviving([]) == []
    assert surviving([0.04, 0.05]) == [True, True], "a p-value above its own bound stands with a later one below"
