"""Any bytes as a delivery note or a file of claims: rows, or a refusal that names lines, and nothing else."""

import csv
import io
from contextlib import closing
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.api.claims_csv import LINE_BYTES_MAX, read_claims
from backend.api.delivery_csv import COLUMNS as DELIVERED
from backend.api.delivery_csv import lines_of
from backend.domain.claims.imports import COLUMNS as CLAIMED
from backend.errors import ValidationFailed

BOM = b"\xef\xbb\xbf"
HEADERS = [sorted(DELIVERED), list(CLAIMED)]
ODD = [
    *(
        "",
        " ",
        '"',
        '""',
        "'",
        ",",
        ";",
        "\t",
        "\0",
        "\r",
        "\n",
        "\u2028",
        "\x85",
        "\ufeff",
        "=1+1",
        "@SUM(A1)",
        "-2+3",
    ),
    *(
        "=cmd|' /C calc'!A0",
        "+1",
        "1e9",
        "٣",
        "9" * 5_000,
        "x" * (LINE_BYTES_MAX + 1),
        "x" * 140_000,
        "NULL",
        "\\N",
        "\\.",
    ),
]
GOOD = ["C1", "Aetna", "72148", "Imaging", "2026-01-05", "2026-01-20", "PAID", "12", "A,1", "2031-05-31"]
CELLS = st.sampled_from([*ODD, *GOOD]) | st.text(max_size=8)
LINE = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"])


def written(rows: list[list[str]], quoting: int = csv.QUOTE_MINIMAL, ends: str = "\r\n") -> str:
    """The rows as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting, lineterminator=ends).writerows(rows)
    return text.getvalue()


def tables() -> st.SearchStrategy[bytes]:
    """Files that are nearly right: columns more than once, too many or too few cells, any cell, any ends of lines."""
    columns = st.sampled_from(HEADERS).flatmap(
        lambda names: st.permutations(names) | st.lists(st.sampled_from([*names, "nope", ""]), max_size=9)
    )
    rows = st.lists(st.lists(CELLS, max_size=9), max_size=5)
    quoting = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    text = st.builds(
        lambda header, rows, *how: written([header, *rows], *how),
        columns, rows, quoting, st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    )  # fmt: skip
    encoded = st.builds(
        lambda text, kind: text.encode(kind, "replace"), text, st.sampled_from(["utf-8", "latin-1", "utf-16"])
    )
    torn = st.builds(
        lambda raw, at, junk: raw[:at] + junk + raw[at:], encoded, st.integers(0, 300), st.binary(max_size=4)
    )
    return st.builds(bytes.__add__, st.sampled_from([b"", BOM, BOM + BOM]), encoded | torn)


ANYTHING = tables() | st.binary() | st.text().map(str.encode)


def ensure_tells_lines(refusal: ValidationFailed, raw: bytes) -> None:
    """Each error says what is wrong, and if it names a line, one that the file has."""
    last = raw.count(b"\n") + raw.count(b"\r") + 1
    assert refusal.members["errors"]
    for error in refusal.members["errors"]:
        assert error["detail"]
        assert error["pointer"] == "" or 1 <= int(error["pointer"].removeprefix("/lines/")) <= last


@given(raw=ANYTHING)
def test_any_delivery_is_lines_or_a_refusal(raw: bytes) -> None:
    try:
        numbers, lines = lines_of(raw)
    except ValidationFailed as refusal:
        ensure_tells_lines(refusal, raw)
    else:
        assert len(numbers) == len(lines)
        assert numbers == sorted(set(numbers))
        assert all(set(line) == DELIVERED for line in lines)


@given(raw=ANYTHING)
def test_any_file_of_claims_is_rows_and_rejections_or_a_refusal(raw: bytes) -> None:
    try:
        file = read_claims(io.BytesIO(raw))
    except ValidationFailed as refusal:
        ensure_tells_lines(refusal, raw)
        return
    with closing(file):
        file.rows.seek(0)
        rows = file.rows.read().decode().splitlines()
        assert len(rows) == file.accepted
        assert all(row.count("\t") == len(CLAIMED) + 1 for row in rows), "a cell has become two of COPY's"
        assert len(file.rejections) == file.rejected
        assert all(rejection.errors for rejection in file.rejections)


def names(length: int) -> st.SearchStrategy[str]:
    """Texts that a line of ours may be, formulas and quotes among them."""
    return st.sampled_from(["=1+1", '"', "a,b", "\\N", "\\.", "x\\ty", "O'Neil"]) | st.text(
        LINE, min_size=1, max_size=length
    )


@given(
    rows=st.lists(st.tuples(st.uuids(), names(20), st.dates(), st.integers(1, 10**6)), max_size=6),
    columns=st.permutations(["drug_id", "lot_number", "expires_on", "quantity_units"]),
    bom=st.booleans(),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    ends=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_a_right_delivery_is_read_back(
    rows: list[tuple[Any, ...]], columns: list[str], bom: bool, quoting: int, ends: str
) -> None:
    wanted = [
        {"drug_id": str(drug), "lot_number": lot, "expires_on": str(day), "quantity_units": units}
        for drug, lot, day, units in rows
    ]
    text = written([columns, *([str(row[name]) for name in columns] for row in wanted)], quoting, ends)
    numbers, lines = lines_of(BOM * bom + text.encode())
    assert lines == wanted
    assert numbers == list(range(2, len(rows) + 2))


@given(
    rows=st.lists(
        st.tuples(names(64), names(100), names(16), names(64)),
        max_size=6,
    ),
    bom=st.booleans(),
    ends=st.sampled_from(["\n", "\r\n"]),
)
def test_right_claims_are_staged_as_they_are(rows: list[tuple[str, ...]], bom: bool, ends: str) -> None:
    cells = [[*row, "2026-01-05", "2026-01-20", "PAID"] for row in rows]
    with closing(read_claims(io.BytesIO(BOM * bom + written([list(CLAIMED), *cells], ends=ends).encode()))) as file:
        assert (file.accepted, file.rejections) == (len(rows), [])
        file.rows.seek(0)
        staged = [line.split("\t")[2:] for line in file.rows.read().decode().split("\n")[:-1]]
    wanted = [[normalize("NFC", cell).replace("\\", "\\\\") for cell in row] for row in cells]
    assert staged == wanted, "as COPY wants it"


@pytest.mark.parametrize("header", HEADERS)
def test_a_column_twice_is_told(header: list[str]) -> None:
    raw = written([[*header, header[0]]]).encode()
    for read in (lines_of, lambda raw: read_claims(io.BytesIO(raw))):
        with pytest.raises(ValidationFailed) as refusal:
            read(raw)
        assert [error["pointer"] for error in refusal.value.members["errors"]] == ["/lines/1"]
