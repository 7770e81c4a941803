"""Old rows leave the database: into a compressed file first, then by DELETE, in small batches.

What may go is what no answer of ValMed rests on any more: stored answers of Idempotency-Keys, and access tokens that
have expired or were revoked. A batch is read, appended to the file as a gzip member of its own and synchronised to the
disk, and only then deleted by its keys, each in a short transaction with a lock_timeout of LOCK_TIMEOUT_MS. Wherever it
stops, every row is in the database or in a file that can be read; after a crash a row may be in two files, in none
never. Run it again and it goes on.

Decision: the ledger, the orders with their doses, and the audit trail stay. Because `valmed verify` proves each balance
from the first movement on, and the trail is only worth something while nobody, the owner included, can delete from it:
both refuse DELETE by trigger, and a way around the trigger for the archive would be a way around it for anyone.
Cost, measured with 500,000 doses given (1,020,000 movements, 725,000 orders, 1,470,000 audit rows): 0.9 GB, 0.7 GB and
1.6 GB with their indexes. A hospital that gives 10,000 doses a day has that after two months; ten years are some 200 GB
of disk, which is cheap beside a proof with a gap.

Decision: a deleted token leaves its row in the audit trail, like every change of that table. Because who held a
session, and when, is evidence. Cost: it frees the table that every request looks its token up in, not disk.
"""

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from backend.actor import Actor
from backend.config import Config
from backend.db import Database, Session
from backend.db.engine import normalised_url
from backend.errors import Invalid

BATCH_ROWS = 1_000
LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS = 500, 10_000
KEPT = timedelta(days=7)  # at least: a client may still repeat a request, and people still ask about yesterday
FILE_MODE = 0o600  # answers name patients


class ArchiveTooRecent(Invalid):
    """What is younger than a week stays: a client may still repeat a request with its key."""


@dataclass(frozen=True, slots=True)
class Archivable:
    """A table of which old rows may go. `old` may say :before; the column `without` stays out of the file."""

    table: str
    key: str  # with organization_id its primary key
    type: str  # of the key, in SQL
    old: str
    without: str = ""


ARCHIVABLE = (
    Archivable("idempotency_keys", "key", "text", "created_at < :before", without="fingerprint"),  # made of a password
    Archivable("access_tokens", "id", "uuid", "least(expires_at, revoked_at) < :before", without="token_sha256"),
)


@dataclass(frozen=True, slots=True)
class Archived:
    """What has left one table, and the file that holds it; None where there was nothing old."""

    table: str
    rows: int
    file: Path | None


def archive(
    config: Config,
    *,
    organization_id: UUID,
    slug: str,
    before: datetime,
    folder: Path,
    now: datetime,
    report: Callable[[str, int], None] = lambda table, rows: None,
) -> list[Archived]:
    """Moves what is older than `before` into gzip JSON lines in `folder`, as the owner of `config.database_url`.

    `report` is told the table and how many of its rows have gone so far. Raises ArchiveTooRecent, Busy (run it again),
    OSError (nothing that was not written has gone).
    """
    if before > now - KEPT:
        raise ArchiveTooRecent(f"The last {KEPT.days} days stay: choose a day before {(now - KEPT).date()}.")
    own = replace(
        config,
        pool_size=1,
        pool_max_overflow=0,
        lock_timeout_ms=LOCK_TIMEOUT_MS,
        statement_timeout_ms=STATEMENT_TIMEOUT_MS,
    )
    database = Database(own, normalised_url(config.database_url))
    stamp = f"before-{before:%Y%m%d}-{now:%Y%m%dT%H%M%S}"
    try:
        return [
            _move(
                _Old(database, organization_id, kind, before), folder / f"{slug}-{kind.table}-{stamp}.jsonl.gz", report
            )
            for kind in ARCHIVABLE
        ]
    finally:
        database.engine.dispose()


def _move(old: "_Old", file: Path, report: Callable[[str, int], None]) -> Archived:
    """Walks the table in the order of its primary key, so that it is read once and needs no further index."""
    rows = 0
    page = old.page_after(None)
    while page is not None:
        if page.keys:
            append(file, page.lines)
            old.delete(page.keys)
            rows += len(page.keys)
            report(old.kind.table, rows)
        page = old.page_after(page.last)
    return Archived(old.kind.table, rows, file if rows else None)


def append(file: Path, lines: list[str]) -> None:
    """Appends `lines` to `file` as a gzip member and waits until the disk has them. Raises OSError."""
    member = gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE), "wb") as raw:
        raw.write(member)
        raw.flush()
        os.fsync(raw.fileno())
    place = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(place)  # the new file's name too
    finally:
        os.close(place)


@dataclass(frozen=True, slots=True)
class _Page:
    """Some rows in the order of the key: where the page ends, and the old ones with their JSON."""

    last: str
    keys: list[str]
    lines: list[str]


class _Old:
    """The old rows of one table of one hospital."""

    def __init__(self, database: Database, organization_id: UUID, kind: Archivable, before: datetime) -> None:
        self.kind = kind
        self._database = database
        self._actor = Actor.operator(organization_id)
        self._values = {"organization": organization_id, "before": before}

    def page_after(self, last: str | None) -> _Page | None:
        """The next BATCH_ROWS rows after the key `last`, old or not; None at the end."""
        kind = self.kind
        after = f"AND {kind.key} > CAST(:last AS {kind.type})" if last is not None else ""
        query = text(
            f"SELECT {kind.key}::text, CASE WHEN {kind.old} THEN (to_jsonb(page) - '{kind.without}')::text END"
            f" FROM (SELECT * FROM {kind.table} WHERE organization_id = :organization {after}"
            f" ORDER BY {kind.key} LIMIT {BATCH_ROWS}) AS page ORDER BY page.{kind.key}"
        )
        values = {**self._values, **({"last": last} if last is not None else {})}
        rows = self._database.transact(
            lambda session: session.execute(query, values).all(), actor=self._actor, read_only=True
        )
        if not rows:
            return None
        old = [(key, line) for key, line in rows if line is not None]
        return _Page(rows[-1][0], [key for key, _ in old], [line for _, line in old])

    def delete(self, keys: list[str]) -> None:
        """Deletes the rows with `keys`; those that have gone already do no harm."""
        kind = self.kind
        statement = text(
            f"DELETE FROM {kind.table} WHERE organization_id = :organization"
            f" AND {kind.key} = ANY(CAST(:keys AS {kind.type}[])) AND {kind.old}"
        )

        def work(session: Session) -> None:
            session.execute(statement, {**self._values, "keys": keys})

        self._database.transact(work, actor=self._actor, repeatable=True)
