"""One measured interval: what the clients saw, cut to the window in which all of them were at work."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import NamedTuple

WARM_UP_SECONDS = 1.0  # connections, prepared statements, caches
COOL_DOWN_SECONDS = 0.5  # so that the last second is as busy as the others


class Completion(NamedTuple):
    """One answer: whose, when it came (seconds since the interval began), after how long, and whether it was good."""

    client: int
    at_seconds: float
    milliseconds: float
    good: bool


@dataclass(frozen=True, slots=True)
class Interval:
    """All that a contestant brings home. `acknowledged` counts every good answer, the window's or not."""

    completions: Sequence[Completion]
    client_cpu_seconds: float = 0.0
    retries: int = 0

    @property
    def acknowledged(self) -> int:
        """Good answers from the first to the last."""
        return sum(completion.good for completion in self.completions)


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of one interval."""

    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: int
    requests: int
    retries: int
    slowest_to_fastest: float  # answers of the client with the fewest to those of the one with the most
    cpu_ms: dict[str, float]  # processor time per good answer, by who used it
    other_share: float  # of the machine's processors that somebody else used


def length_of(seconds: float) -> float:
    """How long clients must run for a window of `seconds`."""
    return WARM_UP_SECONDS + seconds + COOL_DOWN_SECONDS


def sample_of(
    interval: Interval, *, clients: int, seconds: float, cpu_seconds: dict[str, float], other_share: float
) -> Sample:
    """The figures of the window of `seconds` in `interval`; processor time is the whole interval's."""
    window = [
        completion
        for completion in interval.completions
        if WARM_UP_SECONDS <= completion.at_seconds < WARM_UP_SECONDS + seconds
    ]
    good = [completion for completion in window if completion.good]
    percentiles = _percentiles([completion.milliseconds for completion in good])
    counts = [0] * clients
    for completion in good:
        counts[completion.client] += 1
    acknowledged = max(1, interval.acknowledged)
    return Sample(
        per_second=len(good) / seconds,
        p50_ms=percentiles[49],
        p95_ms=percentiles[94],
        p99_ms=percentiles[98],
        errors=len(window) - len(good),
        requests=len(window),
        retries=interval.retries,
        slowest_to_fastest=min(counts) / max(1, max(counts)),
        cpu_ms={who: spent / acknowledged * 1000 for who, spent in cpu_seconds.items()},
        other_share=other_share,
    )


def _percentiles(values: Sequence[float]) -> Sequence[float]:
    return quantiles(values, n=100, method="inclusive") if len(values) > 1 else [0.0] * 99
