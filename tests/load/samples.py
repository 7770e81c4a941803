"""Samples of the bench with the figures that matter to a test."""

from load.bench.figures import Setting
from load.bench.samples import Sample


def sample(per_second: float, *, p50_ms: float = 10.0, errors: int = 0) -> Sample:
    """One interval of a second."""
    return Sample(
        per_second=per_second,
        p50_ms=p50_ms,
        p95_ms=2 * p50_ms,
        p99_ms=3 * p50_ms,
        errors=errors,
        asked=round(per_second) + errors,
        retries=1,
        slowest_to_fastest=0.9,
        cpu_ms={"application": 1.0, "postgresql": 0.5, "client": 0.1},
        other_share=0.2,
    )


def setting(contestant: str, load: str = "spread", *, clients: int = 8, size: int = 1_000) -> Setting:
    """What a contestant was asked."""
    return Setting(contestant, load, clients, size)
