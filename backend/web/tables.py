"""A list as CSV: the rows of its JSON, in the same order and the same words, for a spreadsheet.

Decision: an answer holds at most ROWS_MAX rows, read from one snapshot PAGE_ROWS at a time, and its Link header names
where the rest begins (RFC 8288, rel="next"). Because an answer without an end would keep a worker, a connection and
its snapshot for as long as the slowest client reads. Cost: a long list is several files.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from werkzeug.datastructures import MIMEAccept

CSV = "text/csv"
CONTENT_TYPE = f"{CSV}; charset=utf-8"
ROWS_MAX, PAGE_ROWS = 10_000, 1_000
# With which a cell begins that a spreadsheet would compute (OWASP, "CSV Injection"); the last four are full-width.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def is_preferred(accept: MIMEAccept) -> bool:
    """Return whether a client would rather have CSV than JSON; one that says nothing gets JSON."""
    return _quality(accept, CSV) > _quality(accept, "application/json")


def _quality(accept: MIMEAccept, media: str) -> float:
    """How much `media` is wanted, from 0 to 1: the range that names it most exactly counts (RFC 9110, 12.5.1)."""
    for wanted in (media, f"{media.partition('/')[0]}/*", "*/*"):
        found = [quality for value, quality in accept if value.partition(";")[0].strip().lower() == wanted]
        if found:
            return float(max(found))
    return 0.0


def defused(cell: Any) -> Any:
    """Return a cell that a spreadsheet shows and does not compute: a text that begins a formula gets a ' in front."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def cell_of(value: Any) -> str | int | float:
    """Return a value as its cell: numbers as they are, nothing for null, the rest as its JSON says it."""
    if value is None:
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(defused(str(value)))
    return str(defused(orjson.dumps(value, option=orjson.OPT_UTC_Z).decode().strip('"')))


def csv_of(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return rows of plain values as CSV (RFC 4180, UTF-8).

    Every text is quoted, because a spreadsheet whose separator is the semicolon would otherwise take a text apart, and
    what follows the semicolon may be a formula.
    """
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_NONNUMERIC).writerows([cell_of(value) for value in row] for row in rows)
    return written.getvalue().encode()
