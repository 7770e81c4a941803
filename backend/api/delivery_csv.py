"""A delivery note as CSV: its lines as the JSON body of a delivery would have them."""

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

from flask import Request
from marshmallow import Schema
from werkzeug.exceptions import UnsupportedMediaType

from backend.domain.stock.receipts import LINES_MAX
from backend.errors import DomainError, ValidationFailed
from backend.web.parsing import load
from backend.web.tables import CSV

COLUMNS = frozenset({"drug_id", "lot_number", "expires_on", "quantity_units"})
_WHOLE = re.compile(r"-?[0-9]{1,12}")


def read_delivery(request: Request, schema: Schema | None) -> dict[str, Any]:
    """The body of `POST /wards/{ward_id}/deliveries` as `schema` reads it.

    `numbers` are where its lines stand in the file. Raises UnsupportedMediaType, ValidationFailed; a pointer like
    `/lines/4/expires_on` names the line of the file.
    """
    if request.mimetype != CSV:
        raise UnsupportedMediaType("Send the delivery as text/csv.")
    numbers, lines = lines_of(request.get_data(cache=False))
    ward_id = str((request.view_args or {})["ward_id"])
    try:
        delivery = load(schema or Schema(), {"ward_id": ward_id, "lines": lines})
    except ValidationFailed as failed:
        raise in_file(failed, numbers) from None
    return {**delivery, "numbers": numbers}


def lines_of(raw: bytes) -> tuple[list[int], list[dict[str, Any]]]:
    """The line numbers of a file and what stands in each line. Raises ValidationFailed for what is no table of COLUMNS
    in UTF-8."""
    return _lines(_text(raw))


def in_file(refusal: DomainError, numbers: Sequence[int]) -> DomainError:
    """The same refusal with the lines of the file instead of the places in the list."""
    if "line" in refusal.members:
        refusal.members["line"] = numbers[refusal.members["line"]]
    if not isinstance(refusal, ValidationFailed):
        return refusal

    def renumbered(pointer: str) -> str:
        return re.sub(r"^/lines/([0-9]+)", lambda found: f"/lines/{numbers[int(found[1])]}", pointer)

    errors = refusal.members["errors"]
    return ValidationFailed([{**error, "pointer": renumbered(error["pointer"])} for error in errors])


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValidationFailed([{"pointer": "", "detail": "not UTF-8"}]) from None


def _lines(text: str) -> tuple[list[int], list[dict[str, Any]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    numbers: list[int] = []
    lines: list[dict[str, Any]] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        if len(set(header)) != len(header) or set(header) != COLUMNS:
            raise ValidationFailed([{"pointer": "/lines/1", "detail": f"columns: {', '.join(sorted(COLUMNS))}"}])
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                detail = f"{len(row)} cells, not {len(header)}"
                raise ValidationFailed([{"pointer": f"/lines/{reader.line_num}", "detail": detail}])
            if len(lines) == LINES_MAX:
                raise ValidationFailed([{"pointer": "", "detail": f"more than {LINES_MAX} lines"}])
            numbers.append(reader.line_num)
            lines.append({name: _value(name, cell.strip()) for name, cell in zip(header, row, strict=True)})
    except csv.Error:
        raise ValidationFailed([{"pointer": f"/lines/{reader.line_num}", "detail": "not CSV"}]) from None
    return numbers, lines


def _value(name: str, cell: str) -> Any:
    return int(cell) if name == "quantity_units" and _WHOLE.fullmatch(cell) else cell
