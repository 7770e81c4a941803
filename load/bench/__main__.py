"""`python -m load.bench`: measures, prints, writes JSON and a chart; exits with 1 when something does not agree."""

import json
import signal
import sys
from collections import defaultdict
from contextlib import ExitStack
from typing import Any

from load.bench.arguments import Asked, parse_arguments
from load.bench.chart import chart_of
from load.bench.figures import Setting, growth_of, ratios_of, results_of
from load.bench.invariants import broken_invariants
from load.bench.machine import describe_machine, describe_versions
from load.bench.measuring import STARTERS, Measurement, measure_rounds
from load.bench.orders import stocked
from load.bench.reads import LOAD as READS
from load.bench.reads import NoOrders, asking
from load.bench.samples import Sample
from load.bench.smoke import regressions
from load.bench.stand import Stand, standing
from load.bench.table import cpu_table, growth_table, ratios_table, results_table


def main() -> int:
    """Runs the bench; the exit code."""
    asked = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # servers and folders go as at the end
    with standing(asked.database_url, drugs=asked.drugs, sizes=asked.sizes, workers=asked.workers) as stands:
        report = _measure(stands, asked)
    _print(report)
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=2) + "\n")
    if asked.chart:
        asked.chart.write_text(chart_of(report["results"], _machine_line(report)))
    wrong = report["broken"] + (regressions(report) if asked.smoke else [])
    print("\n" + ("\n".join(f"WRONG  {line}" for line in wrong) or "valmed verify: ok; answers and database agree"))
    return 1 if wrong else 0


def _measure(stands: list[Stand], asked: Asked) -> dict[str, Any]:
    """The report: figures, machine, versions, and what is broken."""
    samples: dict[Setting, list[Sample]] = defaultdict(list)
    with ExitStack() as stack:
        measurements = [_prepare(stand, asked, stack) for stand in stands]
        for number, setting, sample in measure_rounds(
            measurements, rounds=asked.rounds, loads=asked.loads, clients=asked.clients
        ):
            samples[setting].append(sample)
            print(_line(number, setting, sample), flush=True)
    looks = _look(stands, asked) if asked.reads else {}
    return {
        "machine": describe_machine(),
        "versions": describe_versions(stands[0]),
        "results": results_of(samples),
        "ratios": ratios_of(samples),
        "growth": growth_of({**samples, **looks}),
        "reads": results_of(looks),
        "broken": [
            *(line for measurement in measurements for line in measurement.discrepancies),
            *(line for stand in stands for line in broken_invariants(stand)),
        ],
    }


def _look(stands: list[Stand], asked: Asked) -> dict[Setting, list[Sample]]:
    """The samples of the reads."""
    samples: dict[Setting, list[Sample]] = defaultdict(list)
    with ExitStack() as stack:
        measurements = [
            Measurement(stand, NoOrders(), stack.enter_context(asking(stand)), seconds=asked.seconds, quiet=asked.quiet)
            for stand in stands
        ]
        for number, setting, sample in measure_rounds(
            measurements, rounds=asked.rounds, loads=[READS], clients=asked.clients
        ):
            samples[setting].append(sample)
            print(_line(number, setting, sample), flush=True)
    return samples


def _prepare(stand: Stand, asked: Asked, stack: ExitStack) -> Measurement:
    """What is measured on `stand`: started, and ended with `stack`."""
    orders = stack.enter_context(stocked(stand))  # before anybody looks at the shelves
    contestants = [STARTERS[name](stand, stack) for name in asked.contestants]
    return Measurement(stand, orders, contestants, seconds=asked.seconds, quiet=asked.quiet)


def _line(number: int, setting: Setting, sample: Sample) -> str:
    asked = f"{setting.load:9} {setting.clients:3} clients {setting.size:10,} orders  {setting.contestant:17}"
    found = f"{sample.per_second:8.1f}/s  {sample.errors} errors  {sample.other_share:.0%} used by others"
    return f"round {number}  {asked} {found}"


def _print(report: dict[str, Any]) -> None:
    print("\n" + _machine_line(report))
    print("\n" + results_table(report["results"]))
    print("\nCPU milliseconds for one fulfilment\n" + cpu_table(report["results"]))
    if report["ratios"]:
        print("\nHow many times as fast\n" + ratios_table(report["ratios"]))
    if report["reads"]:
        print("\nReads: answers per second\n" + results_table(report["reads"]))
    if report["growth"]:
        print("\nLatency on more data\n" + growth_table(report["growth"]))


def _machine_line(report: dict[str, Any]) -> str:
    machine, versions = report["machine"], report["versions"]
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB;"
        f" PostgreSQL {versions['postgresql']}, Python {versions['python']}"
    )


if __name__ == "__main__":
    sys.exit(main())
