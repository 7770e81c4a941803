"""What the bench is asked to measure."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from load.bench.measuring import STARTERS
from load.bench.orders import LOADS
from load.bench.smoke import SMOKE


class Asked(argparse.Namespace):
    """The arguments."""

    rounds: int
    seconds: float
    clients: list[int]
    sizes: list[int]
    loads: list[str]
    contestants: list[str]
    database_url: str | None
    quiet: float
    workers: int
    drugs: int
    json: Path | None
    chart: Path | None
    reads: bool
    smoke: bool


def parse_arguments(arguments: Sequence[str] | None = None) -> Asked:
    """What to measure. Exits with usage when it cannot be understood."""
    parser = argparse.ArgumentParser(prog="python -m load.bench", description="Measures ValMed against its limit.")
    add = parser.add_argument
    add("--rounds", type=int, default=5)
    add("--seconds", type=float, default=10.0, help="length of one measured window")
    add("--clients", type=_counts, default=[1, 8, 32], help="one or more, with commas")
    add("--sizes", type=_counts, default=[10_000], help="orders, and as many movements, that lie around; or several")
    add("--loads", type=_names_of(LOADS), default=list(LOADS), help=", ".join(LOADS))
    names = tuple(STARTERS)
    add("--contestants", type=_names_of(names), default=list(names), help=", ".join(names))
    given = os.environ.get("VALMED_DATABASE_URL")
    add("--database-url", default=given, help="the owner's (VALMED_DATABASE_URL); else a private PostgreSQL 18")
    add("--quiet", type=float, default=1.0, metavar="SHARE", help="measure again when others used more processor")
    add("--workers", type=int, default=4, help="gunicorn workers")
    add("--drugs", type=int, default=1_000)
    add("--json", type=Path, metavar="FILE", help="where the results are written")
    add("--chart", type=Path, metavar="FILE", help="where they are drawn, as SVG")
    add("--no-reads", dest="reads", action="store_false", help="measure fulfilments only")
    add("--smoke", action="store_true", help="within a minute, exits with 1 on a gross regression; other options go")
    asked = parser.parse_args(arguments, Asked())
    if asked.smoke:
        vars(asked).update(SMOKE)
    for file in (asked.json, asked.chart):
        if file is not None and not file.absolute().parent.is_dir():
            parser.error(f"the folder {file.absolute().parent} does not exist: make it first")
    if asked.database_url and len(asked.sizes) > 1:
        parser.error("several sizes need the private PostgreSQL")
    return asked


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
    if len(set(counts)) < len(counts):
        raise argparse.ArgumentTypeError("each once")
    return counts
