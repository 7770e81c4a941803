"""`python -m load.bench`: measures, prints, writes JSON; exits with 1 when stock and orders do not agree."""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from load.bench.figures import details_of, ratios_of, results_of
from load.bench.invariants import check_invariants
from load.bench.machine import describe_machine, describe_versions
from load.bench.measuring import STARTERS, Measurement
from load.bench.orders import LOADS, stocked
from load.bench.stand import standing
from load.bench.table import cpu_table, invariants_text, ratios_table, results_table


def _names_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise argparse.ArgumentTypeError(f"no {unknown[0]!r}; known are {', '.join(known)}")
        return names

    return parse


def _counts(text: str) -> list[int]:
    counts = [int(part) for part in text.split(",")]
    if min(counts) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return counts


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What to measure. Exits with usage when it cannot be understood."""
    parser = argparse.ArgumentParser(prog="python -m load.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of one measured window")
    parser.add_argument("--clients", type=_counts, default=[16], help="one or more, with commas")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the results are written")
    parser.add_argument("--loads", type=_names_of(LOADS), default=list(LOADS), help=", ".join(LOADS))
    names = tuple(STARTERS)
    parser.add_argument("--contestants", type=_names_of(names), default=list(names), help=", ".join(names))
    parser.add_argument("--database-url", help="the owner's; default: a private PostgreSQL 18 for this run")
    parser.add_argument(
        "--quiet",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="measure an interval again in which others used more than this share of the processors (0.05)",
    )
    parser.add_argument("--workers", type=int, default=4, help="gunicorn workers")
    parser.add_argument("--drugs", type=int, default=1_000)
    parser.add_argument("--orders", type=int, default=20_000, help="orders that lie around and are not measured")
    return parser.parse_args(arguments)


def main() -> int:
    """Runs the bench; the exit code."""
    asked = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # servers and folders go as at the end
    with (
        standing(asked.database_url, drugs=asked.drugs, orders=asked.orders, workers=asked.workers) as stand,
        ExitStack() as stack,
    ):
        orders = stack.enter_context(stocked(stand))  # before anybody looks at the shelves
        contestants = [STARTERS[name](stand, stack) for name in asked.contestants]
        measurement = Measurement(stand, orders, contestants, seconds=asked.seconds, quiet=asked.quiet)
        for number, setting, sample in measurement.run(rounds=asked.rounds, loads=asked.loads, clients=asked.clients):
            print(
                f"round {number}  {setting.load:9} {setting.clients:3} clients  {setting.contestant:17}"
                f" {sample.per_second:8.1f}/s  {sample.errors} errors  {sample.other_share:.0%} used by others",
                flush=True,
            )
        broken = check_invariants(stand)
        report: dict[str, Any] = {
            "machine": describe_machine(),
            "versions": describe_versions(stand),
            "results": results_of(measurement.samples),
            "details": details_of(measurement.samples),
            "ratios": ratios_of(measurement.samples),
            "invariants": broken,
            "discrepancies": measurement.discrepancies,
        }
    print("\n" + results_table(report["results"], report["details"]))
    print("\nCPU milliseconds for one fulfilment\n" + cpu_table(report["details"]))
    print("\n" + ratios_table(report["ratios"]))
    print("\n" + invariants_text(broken, measurement.discrepancies))
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=2) + "\n")
    return 1 if any(broken.values()) or measurement.discrepancies else 0


if __name__ == "__main__":
    sys.exit(main())
