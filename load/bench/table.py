"""The results as text."""

from collections.abc import Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]
SETTING = ("contestant", "load", "clients", "size")
FIGURES = (
    *("per_second", "min..max", "p50_ms", "p95_ms", "p99_ms", "errors", "error_share", "retries"),
    "slowest_to_fastest",
)


def results_table(results: Rows) -> str:
    """A line for each setting, grouped by load, number of clients and size: medians, and how far the rounds lie apart.

    Fulfilments per second; latency of a request, which for a round is all its orders; errors and retries of all rounds.
    """
    rows = [
        {
            **result,
            "min..max": f"{result['per_second_min']:.0f}..{result['per_second_max']:.0f}",
            "error_share": f"{result['error_share']:.2%}",
        }
        for result in _grouped(results)
    ]
    return _table((*SETTING, *FIGURES), rows)


def cpu_table(results: Rows) -> str:
    """Milliseconds of processor time for one fulfilment, by who used them, and the share of the machine others used."""
    rows = [
        {**result, **result["cpu_ms_per_fulfilment"], "others": f"{result['other_cpu_share']:.0%}"}
        for result in _grouped(results)
    ]
    who = tuple(results[0]["cpu_ms_per_fulfilment"]) if results else ()
    return _table((*SETTING, *who, "others"), rows)


def ratios_table(ratios: Rows) -> str:
    """A line for each ratio."""
    return _table(("ratio", "load", "clients", "size", "value"), ratios)


def growth_table(growth: Rows) -> str:
    """A line for each setting of a larger size."""
    return _table((*SETTING, "against", "p50_ratio"), growth)


def _grouped(results: Rows) -> Rows:
    return sorted(results, key=lambda row: (row["load"], row["clients"], row["size"]))


def _table(columns: Sequence[str], rows: Rows) -> str:
    cells = [list(columns), *([str(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    return "\n".join("  ".join(_padded(line, widths)) for line in cells)


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Text to the left in its column, figures to the right."""
    return [
        cell.rjust(width) if cell[:1].isdigit() else cell.ljust(width) for cell, width in zip(line, widths, strict=True)
    ]
