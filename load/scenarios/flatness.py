"""Did memory and connections stay flat: the last quarter of a run against its second one.

The first quarter is left out: workers fill their caches and pools then. The bound is GROWTH_MAX of the earlier median
and a slack for what one more cached board or one more connection is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from load.scenarios.samples import Sample, Server

GROWTH_MAX = 0.10
MEMORY_SLACK, CONNECTIONS_SLACK = 4 << 20, 2.0  # bytes of a worker; connections of the node
SAMPLES_MIN = 5  # in each of the two quarters


@dataclass(frozen=True, slots=True)
class Flatness:
    """One series: its median early and late, and the most that late may be. None where it was not measured."""

    name: str
    early: float | None
    late: float | None
    bound: float | None

    @property
    def flat(self) -> bool:
        """Whether it was measured and kept its bound."""
        return self.late is not None and self.bound is not None and self.late <= self.bound

    @property
    def text(self) -> str:
        """A line for the summary."""
        if self.early is None or self.late is None or self.bound is None:
            return f"{self.name:<26} not measured: /metrics did not tell, or the run was too short"
        state = "flat" if self.flat else "GROWS"
        return f"{self.name:<26} {state}: {self.early:.1f} early, {self.late:.1f} late, bound {self.bound:.1f}"


def flatness(samples: Sequence[Sample]) -> list[Flatness]:
    """The memory of a worker, in MB, and the connections of the node."""
    return [
        _judge("memory of a worker, MB", samples, lambda s: s.memory_bytes / s.workers / (1 << 20), MEMORY_SLACK >> 20),
        _judge("database connections", samples, lambda s: s.connections, CONNECTIONS_SLACK),
    ]


def _judge(name: str, samples: Sequence[Sample], value: Callable[[Server], float], slack: float) -> Flatness:
    end = samples[-1].seconds if samples else 0.0

    def between(low: float, high: float) -> list[float]:
        return [value(s.server) for s in samples if s.server is not None and low * end <= s.seconds <= high * end]

    early, late = between(0.25, 0.5), between(0.75, 1.0)
    if min(len(early), len(late)) < SAMPLES_MIN:
        return Flatness(name, None, None, None)
    return Flatness(name, median(early), median(late), median(early) * (1 + GROWTH_MAX) + slack)
