"""Intervals and tests on counts: how sure one may be that two windows differ. Pure arithmetic, no claims.

Decision: normal approximations, written out. Because a group has at least the minimum volume in both windows, the
formulas are a page, and numpy and scipy would be the largest dependencies of an application that needs nothing else of
them. Cost: with very rare denials the p-value is approximate; the continuity corrections keep it on the safe side.
"""

import math
from collections.abc import Mapping, Sequence

Z_95 = 1.959963984540054  # of the normal distribution: 95 % lie within
FALSE_SHARE_MAX = 0.05  # of the marked comparisons that may be false, on average


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % score interval of a rate; `trials` is at least 1."""
    rate, z2 = successes / trials, Z_95**2
    centre = rate + z2 / (2 * trials)
    spread = Z_95 * math.sqrt((rate * (1 - rate) + z2 / (4 * trials)) / trials)
    scale = 1 + z2 / trials
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == trials else (centre + spread) / scale
    return low, high


def median_interval(histogram: Mapping[int, int]) -> tuple[int, int]:
    """A 95 % interval of the median by order statistics, whatever the distribution; value -> how often."""
    volume = sum(histogram.values())
    half_width = Z_95 * math.sqrt(volume) / 2
    low = max(math.floor(volume / 2 - half_width), 1)
    high = min(math.ceil(volume / 2 + 1 + half_width), volume)
    return _ranked(histogram, low), _ranked(histogram, high)


def _ranked(histogram: Mapping[int, int], rank: int) -> int:
    """The value at `rank`, counted from 1."""
    passed = 0
    for value in sorted(histogram):
        passed += histogram[value]
        if passed >= rank:
            return value
    raise ValueError(f"rank {rank} of {passed} values")


def rates_differ(successes: int, trials: int, other_successes: int, other_trials: int) -> float:
    """The two-sided p-value that both rates are one: the pooled z-test with continuity correction."""
    pooled = (successes + other_successes) / (trials + other_trials)
    weight = 1 / trials + 1 / other_trials
    deviation = math.sqrt(pooled * (1 - pooled) * weight)
    distance = abs(successes / trials - other_successes / other_trials) - weight / 2
    return _two_sided(distance, deviation)


def values_differ(histogram: Mapping[int, int], other: Mapping[int, int]) -> float:
    """The two-sided p-value that both samples come from one distribution: Mann-Whitney's test, ties corrected."""
    volume, other_volume = sum(histogram.values()), sum(other.values())
    total = volume + other_volume
    passed, ranks, ties = 0, 0.0, 0
    for value in sorted({*histogram, *other}):
        here = histogram.get(value, 0)
        tied = here + other.get(value, 0)
        ranks += here * (passed + (tied + 1) / 2)
        ties += tied**3 - tied
        passed += tied
    surplus = ranks - volume * (total + 1) / 2
    variance = volume * other_volume / 12 * (total + 1 - ties / (total * (total - 1)))
    return _two_sided(abs(surplus) - 0.5, math.sqrt(max(variance, 0.0)))


def _two_sided(distance: float, deviation: float) -> float:
    if deviation == 0 or distance <= 0:
        return 1.0
    return math.erfc(distance / deviation / math.sqrt(2))


def surviving(p_values: Sequence[float]) -> list[bool]:
    """Which of the comparisons stand by Benjamini and Hochberg: of those, FALSE_SHARE_MAX are false on average."""
    count = len(p_values)
    ranked = sorted(range(count), key=p_values.__getitem__)
    last = max((rank for rank, at in enumerate(ranked, 1) if p_values[at] <= rank / count * FALSE_SHARE_MAX), default=0)
    standing = set(ranked[:last])
    return [at in standing for at in range(count)]
