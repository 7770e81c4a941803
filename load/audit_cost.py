"""What the audit costs a fulfilment: the bench's own, with the audit and without it, in turn on one database.

    python -m load.audit_cost                                     # pgbench with ValMed's statements, 8 clients
    python -m load.audit_cost --contestant valmed --quiet 0.05    # through HTTP, on a quiet machine

Variants, each once in every round, every second round backwards:

- `bare`: no audit triggers, no numbers of ledger rows: what fulfilling costs without any of it.
- `audited`: the triggers write the trail.
- `numbered`: and movements take a number, which has an index: what a writer does for the seals. As shipped.
- `sealed`: and `valmed audit seal --every 5` runs beside it, on the same processors.

The figures are medians over the rounds, and the ratios to `bare` are medians of the ratios within a round (load/bench
says why). Before a `sealed` interval what the others wrote is sealed, so that it counts its own rows alone.
The database is the bench's own and goes with it: `valmed audit verify` would rightly miss rows without numbers in it.
"""

import argparse
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from backend.db import Database
from backend.db.provision import connect
from backend.domain.audit.sealing import seal_hospital
from load.bench.figures import Setting, results_of
from load.bench.invariants import broken_invariants
from load.bench.machine import describe_machine
from load.bench.measuring import STARTERS, Measurement
from load.bench.orders import stocked
from load.bench.samples import Sample
from load.bench.stand import Stand, standing
from load.bench.table import cpu_table, results_table

ROOT = Path(__file__).parents[1]
LOAD, SIZE, DRUGS, SEAL_SECONDS = "spread", 10_000, 1_000, 5
AUDITED = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'audit'"
NUMBER = "CASE WHEN txid_current() > 0 THEN nextval('ledger_numbers') END"
INDEX = "ix_stock_movements_number"


@dataclass(frozen=True, slots=True)
class Variant:
    """What of the audit is there."""

    name: str
    triggers: bool = True
    numbers: bool = True
    sealer: bool = False


VARIANTS = (
    Variant("bare", triggers=False, numbers=False),
    Variant("audited", numbers=False),
    Variant("numbered"),
    Variant("sealed", sealer=True),
)


def main() -> int:
    """Measures and prints; 1 when something does not agree."""
    asked = _parse()
    samples: dict[Setting, list[Sample]] = defaultdict(list)
    with ExitStack() as stack:
        (stand,) = stack.enter_context(standing(None, drugs=DRUGS, sizes=[SIZE], workers=asked.workers))
        orders = stack.enter_context(stocked(stand))
        contestant = STARTERS[asked.contestant](stand, stack)
        measurement = Measurement(stand, orders, [contestant], seconds=asked.seconds, quiet=asked.quiet)
        measurement.measure(contestant, LOAD, asked.clients)
        for number in range(asked.rounds):
            for variant in VARIANTS if number % 2 == 0 else reversed(VARIANTS):
                with _as(stand, variant):
                    sample = measurement.measure_in_quiet(contestant, LOAD, asked.clients)
                samples[Setting(variant.name, LOAD, asked.clients, SIZE)].append(sample)
                told = f"{sample.per_second:8.1f}/s  {sample.other_share:.0%} used by others"
                print(f"round {number + 1}  {variant.name:9} {told}", flush=True)
        wrong = [*measurement.discrepancies, *broken_invariants(stand)]
    results = results_of(samples)
    print(f"\n{describe_machine()}\n\n{results_table(results)}\n\n{cpu_table(results)}\n")
    by_name = {setting.contestant: rounds for setting, rounds in samples.items()}
    for variant in VARIANTS[1:]:
        speed = _ratio(by_name[variant.name], by_name["bare"], lambda sample: sample.per_second)
        latency = _ratio(by_name[variant.name], by_name["bare"], lambda sample: sample.p50_ms)
        work = _ratio(by_name[variant.name], by_name["bare"], lambda sample: sample.cpu_ms["postgresql"])
        print(f"{variant.name:9} {speed:.3f} of bare's speed, {latency:.3f} of its p50, {work:.3f} of its CPU")
    print("\n" + ("\n".join(f"WRONG  {line}" for line in wrong) or "valmed verify: ok"))
    return 1 if wrong else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m load.audit_cost", description="Measures what the audit costs.")
    add = parser.add_argument
    add("--rounds", type=int, default=6)
    add("--seconds", type=float, default=10.0, help="length of one measured window")
    add("--clients", type=int, default=8)
    add("--contestant", choices=["pgbench_prepared", "valmed"], default="pgbench_prepared")
    add("--workers", type=int, default=4, help="gunicorn workers")
    add("--quiet", type=float, default=1.0, metavar="SHARE", help="measure again when others used more processor")
    return parser.parse_args()


@contextmanager
def _as(stand: Stand, variant: Variant) -> Iterator[None]:
    """The database with what `variant` has; afterwards it has everything."""
    _arrange(stand, variant)
    try:
        if variant.sealer:
            _seal(stand)
            with _sealing(stand):
                yield
        else:
            yield
    finally:
        _arrange(stand, VARIANTS[-1])


def _arrange(stand: Stand, variant: Variant) -> None:
    with closing(connect(stand.owner_url)) as connection, connection.cursor() as cursor:
        cursor.execute(AUDITED)
        for (table,) in cursor.fetchall():
            cursor.execute(f"ALTER TABLE {table} {'ENABLE' if variant.triggers else 'DISABLE'} TRIGGER audit")
        cursor.execute(
            f"ALTER TABLE stock_movements ALTER COLUMN number SET DEFAULT {NUMBER if variant.numbers else '0'}"
        )
        if variant.numbers:
            cursor.execute(f"CREATE INDEX IF NOT EXISTS {INDEX} ON stock_movements (organization_id, number)")
        else:
            cursor.execute(f"DROP INDEX IF EXISTS {INDEX}")


def _seal(stand: Stand) -> None:
    database = Database(stand.config, stand.application_url)
    try:
        seal_hospital(database, organization_id=stand.nurse.organization_id)
    finally:
        database.engine.dispose()


@contextmanager
def _sealing(stand: Stand) -> Iterator[None]:
    command = [sys.executable, "-m", "backend.cli", "audit", "seal", "--every", str(SEAL_SECONDS)]
    environment = {"PATH": "", "VALMED_DATABASE_URL": stand.config.database_url}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def _ratio(mine: Sequence[Sample], theirs: Sequence[Sample], figure: Callable[[Sample], float]) -> float:
    return median(figure(a) / figure(b) for a, b in zip(mine, theirs, strict=True) if figure(b))


if __name__ == "__main__":
    sys.exit(main())
