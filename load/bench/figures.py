"""From samples to results: medians over the rounds, their spread, ratios within a round."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from load.bench.samples import Sample


@dataclass(frozen=True, slots=True)
class Setting:
    """What one contestant was asked to do; `size` is how many orders, and movements, lay around."""

    contestant: str
    load: str
    clients: int
    size: int


Samples = Mapping[Setting, Sequence[Sample]]  # one sample a round, in the order of the rounds
Rows = list[dict[str, Any]]
RATIOS = (
    ("valmed", "pgbench_prepared"),
    ("valmed", "pgbench_simple"),
    ("valmed", "baseline"),
    ("valmed_round", "pgbench_prepared"),
    ("valmed_round", "valmed"),
)


def results_of(samples: Samples) -> Rows:
    """A row for each setting: medians over its rounds, and the slowest and the fastest of them."""
    return [{**asdict(setting), **_figures_of(rounds)} for setting, rounds in samples.items()]


def _figures_of(rounds: Sequence[Sample]) -> dict[str, Any]:
    speeds = [round(sample.per_second, 1) for sample in rounds]
    return {
        "per_second": round(median(speeds), 1),
        "per_second_min": min(speeds),
        "per_second_max": max(speeds),
        "per_second_rounds": speeds,
        "p50_ms": round(_median(rounds, lambda s: s.p50_ms), 2),
        "p95_ms": round(_median(rounds, lambda s: s.p95_ms), 2),
        "p99_ms": round(_median(rounds, lambda s: s.p99_ms), 2),
        "errors": sum(sample.errors for sample in rounds),
        "error_share": round(error_share(rounds), 5),
        "retries": sum(sample.retries for sample in rounds),
        "slowest_to_fastest": round(_median(rounds, lambda s: s.slowest_to_fastest), 3),
        "other_cpu_share": round(_median(rounds, lambda s: s.other_share), 3),
        "cpu_ms_per_fulfilment": {
            who: round(median(sample.cpu_ms[who] for sample in rounds), 3) for who in rounds[0].cpu_ms
        },
    }


def ratios_of(samples: Samples) -> Rows:
    """Where both were measured alike: how many times as fast the first is as the second, median over the rounds."""
    return [
        {
            **{name: value for name, value in asdict(setting).items() if name != "contestant"},
            "ratio": f"{mine}/{theirs}",
            "value": round(value, 3),
        }
        for mine, theirs in RATIOS
        for setting, rounds in samples.items()
        if setting.contestant == mine
        and (others := samples.get(Setting(theirs, setting.load, setting.clients, setting.size))) is not None
        and (value := _ratio(rounds, others, lambda sample: sample.per_second)) is not None
    ]


def growth_of(samples: Samples) -> Rows:
    """For each setting of a larger size: its p50 as a multiple of that at the smallest, median over the rounds."""
    smallest = min((setting.size for setting in samples), default=0)
    return [
        {**asdict(setting), "against": smallest, "p50_ratio": round(value, 3)}
        for setting, rounds in samples.items()
        if setting.size > smallest
        and (others := samples.get(Setting(setting.contestant, setting.load, setting.clients, smallest))) is not None
        and (value := _ratio(rounds, others, lambda sample: sample.p50_ms)) is not None
    ]


def error_share(rounds: Sequence[Sample]) -> float:
    """Errors of all rounds as a share of the orders that were asked for."""
    return sum(sample.errors for sample in rounds) / max(1, sum(sample.asked for sample in rounds))


def _ratio(mine: Sequence[Sample], theirs: Sequence[Sample], figure: Callable[[Sample], float]) -> float | None:
    pairs = [(figure(a), figure(b)) for a, b in zip(mine, theirs, strict=False) if figure(b)]
    return median(a / b for a, b in pairs) if pairs else None


def _median(rounds: Sequence[Sample], figure: Callable[[Sample], float]) -> float:
    return median(map(figure, rounds))
