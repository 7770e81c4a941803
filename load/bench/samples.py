"""One measured interval: what the clients saw, cut to the window in which all of them were at work."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import NamedTuple

WARM_UP_SECONDS = 1.0  # connections, prepared statements, caches
COOL_DOWN_SECONDS = 0.5  # so that the last second is as busy as the others


class Completion(NamedTuple):
    """One answer: whose, when it came (seconds since the interval began), after how long, and what became of the
    orders that were asked for: one, or those of a round."""

    client: int
    at_seconds: float
    milliseconds: float
    fulfilled: int
    failed: int


@dataclass(frozen=True, slots=True)
class Interval:
    """All that a contestant brings home."""

    completions: Sequence[Completion]
    client_cpu_seconds: float = 0.0
    retries: int = 0

    @property
    def acknowledged(self) -> int:
        """Orders that clients were told are fulfilled, in the window or not."""
        return sum(completion.fulfilled for completion in self.completions)


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of one interval: percentiles of requests, whatever number of orders one has; all else of orders."""

    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: int
    asked: int
    retries: int
    slowest_to_fastest: float  # fulfilments of the client with the fewest to those of the one with the most
    cpu_ms: dict[str, float]  # processor time per fulfilment, by who used it
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
    percentiles = _percentiles([completion.milliseconds for completion in window if completion.fulfilled])
    counts = [0] * clients
    for completion in window:
        counts[completion.client] += completion.fulfilled
    errors = sum(completion.failed for completion in window)
    acknowledged = max(1, interval.acknowledged)
    return Sample(
        per_second=sum(counts) / seconds,
        p50_ms=percentiles[49],
        p95_ms=percentiles[94],
        p99_ms=percentiles[98],
        errors=errors,
        asked=sum(counts) + errors,
        retries=interval.retries,
        slowest_to_fastest=min(counts) / max(1, max(counts)),
        cpu_ms={who: spent / acknowledged * 1000 for who, spent in cpu_seconds.items()},
        other_share=other_share,
    )


def _percentiles(values: Sequence[float]) -> Sequence[float]:
    return quantiles(values, n=100, method="inclusive") if len(values) > 1 else [0.0] * 99
