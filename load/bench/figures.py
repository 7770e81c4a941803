"""From samples to results: medians over the rounds, their spread, ratios within a round."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from load.bench.samples import Sample


@dataclass(frozen=True, slots=True)
class Setting:
    """What one contestant was asked to do."""

    contestant: str
    load: str
    clients: int


Samples = Mapping[Setting, Sequence[Sample]]  # one sample a round, in the order of the rounds
RATIOS = (("valmed", "pgbench_prepared"), ("valmed", "pgbench_simple"), ("valmed", "baseline"))


def results_of(samples: Samples) -> list[dict[str, Any]]:
    """A row for each setting: medians over its rounds."""
    return [
        {
            "contestant": setting.contestant,
            "load": setting.load,
            "clients": setting.clients,
            "per_second": round(_median(rounds, lambda s: s.per_second), 1),
            "p50_ms": round(_median(rounds, lambda s: s.p50_ms), 2),
            "p95_ms": round(_median(rounds, lambda s: s.p95_ms), 2),
            "p99_ms": round(_median(rounds, lambda s: s.p99_ms), 2),
            "errors": round(_median(rounds, lambda s: s.errors)),
            "retries": round(_median(rounds, lambda s: s.retries)),
        }
        for setting, rounds in samples.items()
    ]


def details_of(samples: Samples) -> list[dict[str, Any]]:
    """A row for each setting with what `results_of` has no place for, over all rounds."""
    return [
        {
            "contestant": setting.contestant,
            "load": setting.load,
            "clients": setting.clients,
            "per_second_rounds": [round(sample.per_second, 1) for sample in rounds],
            "per_second_spread": round(spread_of(rounds), 3),
            "error_share": round(error_share(rounds), 5),
            "slowest_to_fastest": round(_median(rounds, lambda s: s.slowest_to_fastest), 3),
            "other_cpu_share": round(_median(rounds, lambda s: s.other_share), 3),
            "cpu_ms_per_fulfilment": {
                who: round(median(sample.cpu_ms[who] for sample in rounds), 3) for who in rounds[0].cpu_ms
            },
        }
        for setting, rounds in samples.items()
    ]


def ratios_of(samples: Samples) -> list[dict[str, Any]]:
    """For each load and number of clients: how often as fast the first is as the second, median over the rounds."""
    return [
        {"load": setting.load, "clients": setting.clients, "ratio": f"{mine}/{theirs}", "value": round(value, 3)}
        for mine, theirs in RATIOS
        for setting, rounds in samples.items()
        if setting.contestant == mine
        and (others := samples.get(Setting(theirs, setting.load, setting.clients))) is not None
        and (value := _ratio(rounds, others)) is not None
    ]


def spread_of(rounds: Sequence[Sample]) -> float:
    """How far the slowest and the fastest round are apart, as a share of the median."""
    speeds = [sample.per_second for sample in rounds]
    return (max(speeds) - min(speeds)) / median(speeds) if median(speeds) else 0.0


def error_share(rounds: Sequence[Sample]) -> float:
    """Errors of all rounds as a share of their requests."""
    return sum(sample.errors for sample in rounds) / max(1, sum(sample.requests for sample in rounds))


def _ratio(mine: Sequence[Sample], theirs: Sequence[Sample]) -> float | None:
    pairs = [(a.per_second, b.per_second) for a, b in zip(mine, theirs, strict=False) if b.per_second]
    return median(a / b for a, b in pairs) if pairs else None


def _median(rounds: Sequence[Sample], figure: Callable[[Sample], float]) -> float:
    return median(map(figure, rounds))
