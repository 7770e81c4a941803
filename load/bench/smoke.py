"""A minute of the bench for every change: not how fast ValMed is, but whether something made it several times slower.

The margins are wide because CI's machine is small and shared and a window is a second: medians of so few rounds have
been seen at half and twice the figure of a long run.
"""

from collections.abc import Mapping
from typing import Any

SMOKE = {
    "rounds": 2,
    "seconds": 1.0,
    "clients": [8],
    "sizes": [2_000],
    "drugs": 200,
    "loads": ["spread", "one_drug"],
    "contestants": ["pgbench_prepared", "valmed"],
}

# 0.29 to 0.4 in long and in disturbed runs. An ORM session in the path, a second connection
# or transaction a request, or a lock that all drugs share takes it below half of that.
RATIO, RATIO_MIN = ("valmed/pgbench_prepared", "spread"), 0.15
# The hot drug is a queue: p99 is 1.4 to 3 times p50 there. Starved clients wait for the retry's seconds, 100 times p50.
TAIL_MAX = 100.0


def regressions(report: Mapping[str, Any]) -> list[str]:
    """A line for each gross regression in `report`, which __main__.py makes; empty when there is none.

    A refused or failed fulfilment is one, whoever asked: every order of the bench can be fulfilled.
    """
    ratio = next((row["value"] for row in report["ratios"] if (row["ratio"], row["load"]) == RATIO), 0.0)
    slow = [f"{' on '.join(RATIO)} is {ratio}, must be {RATIO_MIN} at least"] if ratio < RATIO_MIN else []
    failed = [
        f"{result['contestant']} on {result['load']}: {result['errors']} errors"
        for result in report["results"]
        if result["errors"]
    ]
    starved = [
        f"valmed on {result['load']}: p99 {result['p99_ms']} ms is more than {TAIL_MAX:.0f} times p50"
        for result in report["results"]
        if result["contestant"] == "valmed" and result["p99_ms"] > TAIL_MAX * result["p50_ms"]
    ]
    return slow + failed + starved
