"""What leaves the database is in a file first, and what must explain a balance never leaves."""

import gzip
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2.errors
import psycopg2.extensions
import pytest

from backend.config import Config
from backend.db.engine import normalised_url
from backend.domain.identity.tokens import issue_token
from backend.domain.models import Base
from backend.errors import Busy
from backend.operations.retention import archive as module
from backend.operations.retention.archive import ARCHIVABLE, Archived, ArchiveTooRecent, archive
from backend.operations.verification.verify import verify
from tests.concurrency.threads import together
from tests.hospital import Hospital, open_hospital
from tests.waiting import wait_until

NOW = datetime.now(UTC)
BEFORE = NOW - timedelta(days=30)
OLD, YOUNG = NOW - timedelta(days=40), NOW - timedelta(days=20)


def store(hospital: Hospital, key: str, created_at: datetime, answer: bytes = b"{}") -> None:
    """A stored answer of the past."""
    hospital.change(
        "INSERT INTO idempotency_keys (organization_id, key, fingerprint, status, answer, created_at)"
        " VALUES (:p1, :p2, :p3, 200, :p4, :p5)",
        *(hospital.organization_id, key, b"f" * 32, answer, created_at),
    )


def issue(hospital: Hospital, ended: datetime, *, revoked_at: datetime | None = None) -> None:
    """A token that ended, or will."""
    hospital.run(
        lambda session: issue_token(session, actor=hospital.nurse, now=ended - timedelta(hours=12), hours=12),
        hospital.nurse,
    )
    if revoked_at:
        hospital.change("UPDATE access_tokens SET revoked_at = :p1 WHERE expires_at = :p2", revoked_at, ended)


def count(hospital: Hospital, table: str) -> int:
    """How many rows of `table` the hospital has."""
    return int(hospital.rows(f"SELECT count(*) FROM {table}")[0][0])


def lines(moved: Archived) -> list[dict[str, Any]]:
    assert moved.file is not None
    with gzip.open(moved.file, "rt") as file:
        return [json.loads(line) for line in file]


@pytest.fixture
def move(config: Config, hospital: Hospital, tmp_path: Path) -> Callable[..., dict[str, Archived]]:
    """Archives the test's hospital; what left, by table."""

    def run(**changes: Any) -> dict[str, Archived]:
        wanted: dict[str, Any] = {"before": BEFORE, "now": NOW, "folder": tmp_path, **changes}
        moved = archive(config, organization_id=hospital.organization_id, slug=hospital.slug, **wanted)
        return {each.table: each for each in moved}

    return run


def test_old_answers_go_into_a_file_and_young_ones_stay(
    hospital: Hospital, move: Callable[..., dict[str, Archived]]
) -> None:
    for number in range(3):
        store(hospital, f"old-{number}", OLD, answer=f'{{"patient_name": "Ä {number}"}}'.encode())
        store(hospital, f"young-{number}", YOUNG)

    moved = move()["idempotency_keys"]

    assert moved.rows == 3
    assert count(hospital, "idempotency_keys") == 3
    told = lines(moved)
    assert [line["key"] for line in told] == ["old-0", "old-1", "old-2"]
    answers = [bytes.fromhex(line["answer"].removeprefix("\\x")).decode() for line in told]
    assert answers == [f'{{"patient_name": "Ä {number}"}}' for number in range(3)]
    assert all(line["organization_id"] == str(hospital.organization_id) for line in told)
    assert moved.file is not None
    assert moved.file.stat().st_mode & 0o777 == 0o600


def test_tokens_go_when_they_have_ended_and_their_secret_goes_nowhere(
    hospital: Hospital, move: Callable[..., dict[str, Archived]]
) -> None:
    issue(hospital, OLD)
    issue(hospital, NOW + timedelta(hours=1), revoked_at=OLD)
    issue(hospital, NOW + timedelta(hours=2), revoked_at=YOUNG)
    issue(hospital, NOW + timedelta(hours=3))

    moved = move()["access_tokens"]

    assert moved.rows == 2
    assert count(hospital, "access_tokens") == 2
    assert all("token_sha256" not in line and line["user_id"] for line in lines(moved))


def test_it_goes_on_where_it_stopped_and_then_finds_nothing(
    hospital: Hospital, move: Callable[..., dict[str, Archived]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 2)
    for number in range(7):
        store(hospital, f"{number:02d}", YOUNG if number in {2, 3} else OLD)

    def full(file: Path, lines: list[str]) -> None:
        if '"key": "05"' in "".join(lines):
            raise OSError("no space left on device")
        written(file, lines)

    written = module.append
    with monkeypatch.context() as broken:
        broken.setattr(module, "append", full)
        with pytest.raises(OSError, match="no space left"):
            move()
    assert count(hospital, "idempotency_keys") == 5  # what could not be written has not gone

    later = move(now=NOW + timedelta(seconds=1))["idempotency_keys"]
    assert [line["key"] for line in lines(later)] == ["04", "05", "06"]
    files = sorted(tmp_path.glob("*idempotency_keys*"))
    assert len(files) == 2
    with gzip.open(files[0], "rt") as file:
        assert [json.loads(line)["key"] for line in file] == ["00", "01"]

    again = move(now=NOW + timedelta(seconds=2))
    assert [(each.rows, each.file) for each in again.values()] == [(0, None), (0, None)]
    assert count(hospital, "idempotency_keys") == 2
    assert sorted(tmp_path.glob("*idempotency_keys*")) == files


def test_another_hospital_keeps_its_rows(hospital: Hospital, move: Callable[..., dict[str, Archived]]) -> None:
    other = open_hospital(hospital.database)
    for each in (hospital, other):
        store(each, "same-key", OLD)
        issue(each, OLD)

    assert [each.rows for each in move().values()] == [1, 1]
    assert (count(other, "idempotency_keys"), count(other, "access_tokens")) == (1, 1)


def test_what_is_younger_than_a_week_stays_whoever_asks(
    hospital: Hospital, move: Callable[..., dict[str, Archived]], tmp_path: Path
) -> None:
    store(hospital, "young", NOW - timedelta(days=6))

    with pytest.raises(ArchiveTooRecent, match="The last 7 days stay"):
        move(before=NOW)

    assert count(hospital, "idempotency_keys") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def locked(hospital: Hospital, owner: psycopg2.extensions.connection) -> Iterator[None]:
    """Somebody holds an old row."""
    store(hospital, "held", OLD)
    with owner.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"SET LOCAL app.organization_id = '{hospital.organization_id}'")
        cursor.execute("SELECT 1 FROM idempotency_keys WHERE key = 'held' FOR UPDATE")
        yield
        cursor.execute("ROLLBACK")


@pytest.mark.usefixtures("locked")
def test_it_gives_way_to_who_holds_a_row_and_nothing_is_lost(
    config: Config, hospital: Hospital, move: Callable[..., dict[str, Archived]]
) -> None:
    started = time.monotonic()

    with pytest.raises(Busy):
        move()

    assert time.monotonic() - started < config.lock_timeout_ms / 2_000, "not as patient as others"
    assert count(hospital, "idempotency_keys") == 1


def test_fulfilments_go_on_meanwhile(
    hospital: Hospital, move: Callable[..., dict[str, Archived]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two fulfilments for each batch of the archive: neither side gets ahead of the other by more."""
    monkeypatch.setattr(module, "BATCH_ROWS", 5)
    hospital.receive(100)
    orders = [hospital.place() for _ in range(20)]
    for number in range(50):
        store(hospital, f"{number:02d}", OLD)
    given: list[object] = []
    batches: list[int] = []

    def fulfil() -> None:
        for number, order in enumerate(orders):
            wait_until(lambda number=number: len(batches) >= number // 2)
            given.append(hospital.fulfil(order, key=f"z{number}"))

    def report(table: str, rows: int) -> None:
        if table == "idempotency_keys":
            batches.append(rows)
            wait_until(lambda: len(given) >= 2 * len(batches) - 1)

    _, moved = together(fulfil, lambda: move(report=report))

    assert moved["idempotency_keys"].rows == 50
    assert batches == list(range(5, 55, 5))
    assert len(given) == 20


def test_the_ledger_the_doses_and_the_trail_stay_and_the_proof_holds(
    config: Config, hospital: Hospital, move: Callable[..., dict[str, Archived]]
) -> None:
    hospital.receive(10)
    hospital.fulfil(hospital.place())
    issue(hospital, OLD)
    kept = ("stock_movements", "medication_orders", "medication_administrations")
    before = [count(hospital, table) for table in kept]
    trail = count(hospital, "audit_events")

    assert move()["access_tokens"].rows == 1

    assert [count(hospital, table) for table in kept] == before
    assert count(hospital, "audit_events") == trail + 1  # that the token was deleted
    assert not [
        each
        for each in verify(normalised_url(config.database_url), Base.metadata, organization=hospital.slug)
        if each.broken
    ]


@pytest.mark.parametrize("table", ["stock_movements", "audit_events"])
def test_the_owner_could_not_archive_them(
    hospital: Hospital, owner: psycopg2.extensions.connection, table: str
) -> None:
    hospital.receive(10)
    assert table not in {kind.table for kind in ARCHIVABLE}
    with owner.cursor() as cursor:
        cursor.execute(f"SET app.organization_id = '{hospital.organization_id}'")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="append-only"):
            cursor.execute(f"DELETE FROM {table}")
