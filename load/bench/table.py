"""The results as text."""

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = (
    *("contestant", "load", "clients", "per_second", "spread", "p50_ms", "p95_ms", "p99_ms", "errors", "error_share"),
    *("retries", "slowest_to_fastest"),
)


def results_table(results: Sequence[Mapping[str, Any]], details: Sequence[Mapping[str, Any]]) -> str:
    """A line for each setting, grouped by load and number of clients."""
    rows = [
        {**result, **detail, "spread": f"{detail['per_second_spread']:.0%}", "error_share": _share(detail)}
        for result, detail in zip(results, details, strict=True)
    ]
    return _table(COLUMNS, sorted(rows, key=lambda row: (row["load"], row["clients"])))


def cpu_table(details: Sequence[Mapping[str, Any]]) -> str:
    """Milliseconds of processor time for one fulfilment, by who used them, and the share of the machine others used."""
    rows = [
        {**detail, **detail["cpu_ms_per_fulfilment"], "others": f"{detail['other_cpu_share']:.0%}"}
        for detail in details
    ]
    who = tuple(details[0]["cpu_ms_per_fulfilment"]) if details else ()
    ordered = sorted(rows, key=lambda row: (row["load"], row["clients"]))
    return _table(("contestant", "load", "clients", *who, "others"), ordered)


def ratios_table(ratios: Sequence[Mapping[str, Any]]) -> str:
    """A line for each ratio."""
    return _table(("load", "clients", "ratio", "value"), ratios)


def invariants_text(broken: Mapping[str, int], discrepancies: Sequence[str]) -> str:
    """A line for each rule, and what clients were told wrongly."""
    lines = [f"{'ok' if not number else f'{number} WRONG':>8}  {rule}" for rule, number in broken.items()]
    lines += [f"   WRONG  {discrepancy}" for discrepancy in discrepancies]
    return "\n".join(lines)


def _share(detail: Mapping[str, Any]) -> str:
    return f"{detail['error_share']:.2%}"


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [list(columns), *([str(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    return "\n".join("  ".join(_padded(line, widths)) for line in cells)


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Text to the left in its column, figures to the right."""
    first, *others = [
        cell.ljust(width) if not _is_figure(cell) else cell.rjust(width)
        for cell, width in zip(line, widths, strict=True)
    ]
    return [first, *others]


def _is_figure(cell: str) -> bool:
    return cell[:1].isdigit()
