"""Files of claims: what is taken, what is rejected and with which line, and what a second file changes."""

import io
import tracemalloc
from contextlib import closing
from typing import Any

import psycopg2.errors
import pytest
from flask import Flask

from backend.actor import Role
from backend.api.claims_csv import read_claims
from backend.db import Session
from backend.domain.claims.imports import REJECTIONS_TOLD_MAX, Imported, import_claims
from backend.errors import ValidationFailed
from tests.concurrency.threads import together
from tests.domain.claims.filing import HEADER, import_csv
from tests.hospital import Hospital, now, open_hospital, sign_in
from tests.migrations.catalogue import ask

GOOD = "C1,Aetna,72148,Imaging,2026-01-05,2026-01-20,PAID"


def rows(hospital: Hospital) -> list[tuple[Any, ...]]:
    return hospital.rows(
        "SELECT claim_id, revision, payer, cpt, cpt_group, submitted_date::text, decided_date::text, outcome::text"
        " FROM claim_records ORDER BY claim_id, revision"
    )


def file_of(*lines: str) -> bytes:
    return "\n".join([HEADER, *lines]).encode()


def told(imported: Imported) -> list[tuple[int, list[str]]]:
    """The rejected lines, each with the columns that are wrong."""
    return [
        (rejection.line, [error["pointer"].lstrip("/") for error in rejection.errors])
        for rejection in imported.rejections
    ]


def test_a_file_of_claims(hospital: Hospital) -> None:
    imported = import_csv(hospital, file_of(GOOD, "C2,Cigna,99213,Visits,2026-01-06,,PENDING"))
    assert imported == Imported(accepted=2, created=2, changed=0, unchanged=0, rejected=0, rejections=[])
    assert rows(hospital) == [
        ("C1", 1, "Aetna", "72148", "Imaging", "2026-01-05", "2026-01-20", "PAID"),
        ("C2", 1, "Cigna", "99213", "Visits", "2026-01-06", None, "PENDING"),
    ]


def test_the_same_file_again_changes_nothing(hospital: Hospital) -> None:
    raw = file_of(GOOD, *(GOOD.replace("C1", f"D{number}") for number in range(20)))
    import_csv(hospital, raw)
    before = rows(hospital), hospital.counts()
    again = import_csv(hospital, raw)
    assert (again.accepted, again.created, again.changed, again.unchanged) == (21, 0, 0, 21)
    assert (rows(hospital), hospital.counts()) == before


@pytest.mark.concurrency
def test_files_that_change_one_claim_at_once_follow_one_another(app: Flask, hospital: Hospital) -> None:
    admin = sign_in(app, hospital, "admin")
    for wave in range(4):
        files = [file_of(*(f"D{n},P{wave}-{one},1,G,2026-01-05,,PENDING" for n in range(300))) for one in range(4)]
        answers = together(
            *(lambda raw=raw: admin.post("/claims/imports", data=raw, content_type="text/csv") for raw in files)
        )
        assert [answer.status_code for answer in answers] == [201] * 4, [answer.text for answer in answers]
    last = hospital.rows("SELECT claim_id, count(*), max(revision) FROM claim_records GROUP BY claim_id")
    assert [tuple(row[1:]) for row in last] == [(16, 16)] * 300


def test_a_later_file_decides_a_claim_and_what_was_known_stays(hospital: Hospital) -> None:
    import_csv(hospital, file_of("C1,Aetna,72148,Imaging,2026-01-05,,PENDING", GOOD.replace("C1", "C2")))
    imported = import_csv(hospital, file_of(GOOD, GOOD.replace("C1", "C2")))
    assert (imported.created, imported.changed, imported.unchanged) == (0, 1, 1)
    assert [(row[0], row[1], row[-1]) for row in rows(hospital)] == [
        ("C1", 1, "PENDING"),
        ("C1", 2, "PAID"),
        ("C2", 1, "PAID"),
    ]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("C1,Aetna,72148,Imaging,2026-01-05,2026-01-20", [""]),
        (GOOD + ",more", [""]),
        (",Aetna,72148,Imaging,2026-01-05,2026-01-20,PAID", ["claim_id"]),
        ("C1,,72148,Imaging,2026-01-05,2026-01-20,PAID", ["payer"]),
        (f"C1,{'x' * 101},72148,Imaging,2026-01-05,2026-01-20,PAID", ["payer"]),
        ("C1,Ae\ttna,72148,Imaging,2026-01-05,2026-01-20,PAID", ["payer"]),
        ('C1,"Ae\ntna",72148,Imaging,2026-01-05,2026-01-20,PAID', ["payer"]),
        ("C1,Aetna,72148,Imaging,05.01.2026,2026-01-20,PAID", ["submitted_date"]),
        ("C1,Aetna,72148,Imaging,2026-02-30,2026-03-20,PAID", ["submitted_date"]),
        ("C1,Aetna,72148,Imaging,2026-01-05,2026-01-04,PAID", ["decided_date"]),
        ("C1,Aetna,72148,Imaging,2026-01-05,,DENIED", ["decided_date"]),
        ("C1,Aetna,72148,Imaging,2026-01-05,2026-01-20,PENDING", ["decided_date"]),
        ("C1,Aetna,72148,Imaging,2026-01-05,2026-01-20,paid", ["outcome"]),
        ("C1,,72148,Imaging,x,2026-01-20,PAID", ["payer", "submitted_date"]),
    ],
)
def test_a_wrong_row_is_rejected_with_its_line_and_the_others_are_taken(
    hospital: Hospital, line: str, wrong: list[str]
) -> None:
    raw = file_of("A,Aetna,1,G,2026-01-05,,PENDING", line, "", "Z,Aetna,1,G,2026-01-05,,PENDING")
    imported = import_csv(hospital, raw)
    at = 3 + line.count("\n")  # a row that breaks in a cell ends a line later
    assert told(imported) == [(at, wrong)]
    assert (imported.accepted, imported.created, imported.rejected) == (2, 2, 1)
    assert [row[0] for row in rows(hospital)] == ["A", "Z"]


def test_a_row_that_is_not_utf_8_is_rejected(hospital: Hospital) -> None:
    imported = import_csv(hospital, file_of(GOOD).replace(b"Aetna", b"A\xe9tna"))
    assert told(imported) == [(2, ["payer"])]
    assert rows(hospital) == []


def test_a_claim_that_a_file_names_twice_counts_with_its_first_line(hospital: Hospital) -> None:
    raw = file_of(GOOD, GOOD.replace("PAID", "DENIED"), "x", GOOD)
    for created in (1, 0):
        imported = import_csv(hospital, raw)
        assert told(imported) == [(3, ["claim_id"]), (4, [""]), (5, ["claim_id"])]
        assert (imported.accepted, imported.created, imported.rejected) == (1, created, 3)
    assert [row[-1] for row in rows(hospital)] == ["PAID"]


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"", 1),
        (b"claim_id,payer\nC1,Aetna", 1),
        (f"{HEADER},more\n{GOOD},x".encode(), 1),
        (HEADER.replace("payer", "claim_id").encode(), 1),
        (f'{HEADER}\n{GOOD}\nC2,"Aetna'.encode(), 3),
        (f'{HEADER}\n{GOOD}\nC2,"Aetna"x,1'.encode(), 3),
        (f"{HEADER}\n{GOOD}\n".encode() + b"x" * 20_000, 3),
        (b"x" * 20_000, 1),
        (b"\xff\xfe\x00", 1),
    ],
)
def test_what_is_no_table_of_claims_is_refused_and_nothing_is_taken(hospital: Hospital, raw: bytes, line: int) -> None:
    with pytest.raises(ValidationFailed) as refused:
        import_csv(hospital, raw)
    assert [error["pointer"] for error in refused.value.members["errors"]] == [f"/lines/{line}"]
    assert rows(hospital) == []


def test_other_ways_to_write_the_same(hospital: Hospital) -> None:
    """A byte order mark, other line ends, another order of columns, quotes, blanks, a backslash."""
    header = "\ufeffoutcome, payer ,claim_id,cpt,cpt_group,submitted_date,decided_date"
    raw = f'{header}\r\nPAID," A\\N ",C1,1,G,2026-01-05,2026-01-05\r\n'
    import_csv(hospital, raw.encode())
    assert rows(hospital) == [("C1", 1, "A\\N", "1", "G", "2026-01-05", "2026-01-05", "PAID")]


def test_only_the_first_rejections_are_told_and_all_are_counted(hospital: Hospital) -> None:
    imported = import_csv(hospital, file_of(*["x"] * (REJECTIONS_TOLD_MAX + 5), GOOD))
    assert (imported.rejected, len(imported.rejections), imported.created) == (REJECTIONS_TOLD_MAX + 5, 1_000, 1)


def test_every_rejected_line_is_told_by_sending_the_file_again(hospital: Hospital) -> None:
    """Lines that are wrong by themselves, and lines that repeat a claim, each more than one answer tells."""
    lines = ["x", GOOD, GOOD] * (REJECTIONS_TOLD_MAX + 3)
    told: list[int] = []
    after: int | None = 0
    while after is not None:
        imported = import_csv(hospital, file_of(*lines), told_after=after)
        told += [rejection.line for rejection in imported.rejections]
        after = imported.next_after_line
    wrong = [number for number, line in enumerate(lines, start=2) if line == "x" or number > 3]
    assert told == wrong
    assert imported.rejected == len(wrong)


def test_who_imported_is_kept_and_no_row_is_changed_afterwards(hospital: Hospital, owner: Any) -> None:
    admin = hospital.staff["admin"]
    assert admin.role is Role.ADMIN
    import_csv(hospital, file_of(GOOD), admin)
    assert hospital.rows("SELECT imported_by_id FROM claim_records") == [(admin.user_id,)]
    ask(owner, "SELECT set_config('app.organization_id', %s, false)", str(hospital.organization_id))
    for statement in ("UPDATE claim_records SET outcome = 'DENIED'", "DELETE FROM claim_records"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="append-only"):
            ask(owner, statement)


def test_two_hospitals_may_use_the_same_claim_ids(hospital: Hospital) -> None:
    other = open_hospital(hospital.database)
    assert import_csv(hospital, file_of(GOOD)).created == import_csv(other, file_of(GOOD)).created == 1
    assert len(rows(hospital)) == len(rows(other)) == 1


def test_nothing_of_an_import_stays_on_its_connection(hospital: Hospital) -> None:
    """The next request on the same connection finds no temporary table, and may stage its own."""
    import_csv(hospital, file_of(GOOD))
    assert hospital.rows("SELECT to_regclass('pg_temp.staged_claims')::text") == [(None,)]
    with closing(read_claims(io.BytesIO(file_of(GOOD.replace("C1", "C9"))))) as file:

        def work(session: Session) -> None:
            import_claims(session, actor=hospital.operator, file=file, now=now())
            raise RuntimeError

        with pytest.raises(RuntimeError):
            hospital.run(work)
    assert hospital.rows("SELECT to_regclass('pg_temp.staged_claims')::text") == [(None,)]
    assert len(rows(hospital)) == 1


class Endless(io.RawIOBase):
    """A file of many claims that exists line by line only."""

    def __init__(self, count: int) -> None:
        self._lines = iter([f"{HEADER}\n".encode()])
        self._rest = (GOOD.replace("C1", f"C{number}").encode() + b"\n" for number in range(count))

    def readline(self, size: int | None = -1, /) -> bytes:
        return next(self._lines, b"") or next(self._rest, b"")


def test_reading_takes_no_more_memory_for_more_rows() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        with closing(read_claims(Endless(count))) as file:
            assert file.accepted == count
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(100)
    assert peak(8_000) < peak(1_000) + 100_000


def test_a_large_import_tells_the_planner_of_its_hospital(hospital: Hospital, owner: Any) -> None:
    """Else it would expect none of its claims, and choose an index by that."""
    expected = "SELECT reltuples::integer FROM pg_class WHERE oid = 'claim_records'::regclass"
    ask(owner, "ANALYZE claim_records")
    ((before,),) = ask(owner, expected)
    import_csv(hospital, file_of(*(GOOD.replace("C1", f"C{number}") for number in range(1_000))))
    assert ask(owner, expected) == [(before + 1_000,)]
