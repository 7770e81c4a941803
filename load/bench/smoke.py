"""A minute of the bench for every change: not how fast ValMed is, but whether something made it several times slower.

The margins are wide because CI's machine is small and shared and a window is a second. Throughput of one and the same
code differs there by half from one minute to the next; the ratio less, since both sides are measured within seconds.
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
    "reads": False,
}

# 0.47 in long runs with 16 clients, 0.26 in a smoke on a machine of which others used four fifths. What takes it below
# is more than twice as slow: a connection or a password's hash for each request, a lock that all drugs share.
RATIO, RATIO_MIN = ("valmed/pgbench_prepared", "spread"), 0.15
# One drug is a queue, where p99 was 1.4 to 2.2 times p50; spread it was 2 to 3.5 times. Clients that starve in retries
# wait for seconds, which is 100 times p50.
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
