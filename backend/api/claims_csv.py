"""A file of claims as CSV: each row read by a schema, one at a time, and staged or rejected with its line number.

Decision: the whole schema for each row. Because one set of rules then says what a claim is, and its 20 microseconds are
less than what the database needs for the row. Cost: a million rows take about half a minute to check.
"""

import csv
from collections.abc import Callable, Iterator
from typing import IO, Any

from marshmallow import ValidationError, fields, validates_schema

from backend.domain.claims.imports import COLUMNS, ClaimFile
from backend.domain.claims.models import ClaimOutcome
from backend.errors import ValidationFailed
from backend.web.fields import Body, Choice, Day, Line
from backend.web.parsing import load

LINE_BYTES_MAX = 10_000
REPORT_EVERY = 1 << 16  # bytes


class ClaimIn(Body):
    """A row of the file."""

    claim_id = Line(required=True, length=64)
    payer = Line(required=True, length=100)
    cpt = Line(required=True, length=16)
    cpt_group = Line(required=True, length=64)
    submitted_date = Day(required=True)
    decided_date = Day(load_default=None)
    outcome = Choice(ClaimOutcome, required=True)

    @validates_schema
    def _decided(self, claim: dict[str, Any], **_: Any) -> None:
        decided, pending = claim["decided_date"], claim["outcome"] is ClaimOutcome.PENDING
        if (decided is None) is not pending:
            raise ValidationError("A pending claim has none, any other has one.", "decided_date")
        if decided is not None and decided < claim["submitted_date"]:
            raise ValidationError("Before it was submitted.", "decided_date")


class ImportIn(Body):
    """A file that was read."""

    file = fields.Raw(required=True)


def read_claims(
    stream: IO[bytes], *, told_after: int = 0, report: Callable[[int], None] = lambda size: None
) -> ClaimFile:
    """The claims of a file, which the caller closes; `report` is told now and then how many bytes were read since.

    Rejections are told of lines after `told_after`.
    Raises ValidationFailed for what is no table of COLUMNS in CSV.
    """
    file = ClaimFile(told_after=told_after)
    try:
        _read(csv.reader(_lines(stream, file, report), strict=True), file)
    except BaseException:
        file.close()
        raise
    return file


def _lines(stream: IO[bytes], file: ClaimFile, report: Callable[[int], None]) -> Iterator[str]:
    """The file's lines; what is not UTF-8 becomes what no field takes. Raises ValidationFailed for one too long."""
    number, unreported = 0, 0
    while raw := stream.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(raw) > LINE_BYTES_MAX:
            raise _not_a_table(number, f"longer than {LINE_BYTES_MAX} bytes")
        file.saw(raw)
        unreported += len(raw)
        if unreported >= REPORT_EVERY:
            report(unreported)
            unreported = 0
        yield raw.decode("utf-8-sig" if number == 1 else "utf-8", errors="surrogateescape")
    report(unreported)


def _read(reader: "csv._reader", file: ClaimFile) -> None:  # type: ignore[name-defined]
    schema = ClaimIn()
    try:
        header = [name.strip() for name in next(reader, [])]
        if sorted(header) != sorted(COLUMNS):
            raise _not_a_table(1, f"columns: {', '.join(COLUMNS)}")
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            line = reader.line_num
            if len(cells) != len(header):
                file.reject(line, [{"pointer": "", "detail": f"{len(cells)} cells, not {len(header)}"}])
                continue
            try:
                named = dict(zip(header, cells, strict=True))
                if not named["decided_date"]:
                    del named["decided_date"]
                file.accept(line, load(schema, named))
            except ValidationFailed as refusal:
                file.reject(line, refusal.members["errors"])
    except csv.Error:
        raise _not_a_table(reader.line_num, "not CSV") from None


def _not_a_table(line: int, detail: str) -> ValidationFailed:
    return ValidationFailed([{"pointer": f"/lines/{line}", "detail": detail}])
