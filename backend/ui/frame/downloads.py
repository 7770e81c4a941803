"""Lists as files: the CSV of the API, whole, for a person who opens it in a spreadsheet."""

from typing import Any

from flask import Response

from backend.ui.frame.asking import table_of
from backend.web.tables import CONTENT_TYPE, csv_of

PARTS_MAX = 20  # of web/tables.py's ROWS_MAX rows each
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # without it Excel takes UTF-8 for the code page of the machine
NOT_ALL = "The list is longer than a file may be. Choose less of it, and download the rest."


def file_of(body: bytes, name: str) -> Response:
    """Return CSV as a file called `name`.csv."""
    response = Response(BYTE_ORDER_MARK + body, content_type=CONTENT_TYPE)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def download(operation: str, name: str, *, path: dict[str, Any], query: dict[str, Any]) -> Response:
    """Return all rows of a list, asked for part by part, as a file called `name`.csv.

    A list of more than PARTS_MAX parts ends with a line that says so. Raises what the operation raises.
    """
    bodies: list[bytes] = []
    cursor = ""
    for _ in range(PARTS_MAX):
        part = table_of(operation, path=path, query={**query, "cursor": cursor})
        head, line_break, rows = part.body.partition(b"\r\n")
        bodies.append(rows if bodies else head + line_break + rows)
        cursor = part.following or ""
        if not cursor:
            return file_of(b"".join(bodies), name)
    return file_of(b"".join([*bodies, csv_of([[NOT_ALL]])]), name)
