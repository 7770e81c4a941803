"""Backing up: one snapshot is dumped, counted, proven and named."""

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

from sqlalchemy import MetaData
from sqlalchemy.engine.url import URL

from backend.config import VERSION
from backend.operations.backups.content import Moment, one_moment
from backend.operations.backups.errors import BackupError
from backend.operations.backups.manifest import (
    FILE_MODE,
    Manifest,
    digest,
    manifest_of,
    partial_of,
    settle,
    write_manifest,
)
from backend.operations.backups.programs import discard, ensure_absent, find_program, major_of, reading, run
from backend.operations.verification.verify import verify

LOCK_WAIT_MS = 30_000  # for a table that a migration holds; writers hold none that a dump waits for
REVISION = "SELECT version_num FROM alembic_version"
OWNER = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'organizations'::regclass"
MAJOR = "SELECT current_setting('server_version_num')::int / 10000"
COPY = re.compile(rb"COPY (\S+) \(.*\) FROM stdin;\n")
END = b"\\.\n"

Report = Callable[[str], None]


def back_up(url: URL, metadata: MetaData, target: Path, *, report: Report) -> Manifest:
    """Dumps the database of `url` to the file `target`, which must not exist yet, and its manifest beside it.

    `url` signs in as a role that sees every row. `report` is told each step. Raises BackupError and leaves nothing,
    psycopg2's and SQLAlchemy's errors, and OSError.
    """
    ensure_absent(target)
    ensure_absent(manifest_of(target))
    started_at = now()
    partial = partial_of(target)
    try:
        with one_moment(url) as moment:
            ensure_all_is_seen(moment)
            major = int(moment.value(MAJOR))
            rows = moment.count_rows()
            report(f"dumping {sum(rows.values())} rows of {len(rows)} tables")
            program = dump(url, partial, moment.snapshot, major)
            report("reading the file back")
            ensure_complete(partial, rows, major)
            report("proving the same snapshot")
            findings = verify(url, metadata, snapshot=moment.snapshot)
            manifest = Manifest(
                kind="dump",
                sha256=digest(partial),
                bytes=partial.stat().st_size,
                started_at=started_at,
                completed_at=now(),
                valmed=VERSION,
                postgresql=moment.value("SHOW server_version"),
                program=f"pg_dump {major_of(program)}",
                database=str(url.database),
                owner=moment.value(OWNER),
                revision=moment.value(REVISION),
                roles=moment.roles(),
                rows=rows,
                checks=len(findings),
                broken=sum(1 for finding in findings if finding.broken),
            )
        ensure_absent(target)  # another backup may have been faster
        settle(partial, target)
        write_manifest(target, manifest)
    finally:
        discard(partial)
    return manifest


def ensure_all_is_seen(moment: Moment) -> None:
    """Raises BackupError where row-level security keeps rows from the role that reads: a part is no backup."""
    hidden = moment.tables_in_part()
    if hidden:
        role = moment.value("SELECT current_user")
        raise BackupError(
            f"the role {role} does not see every row of {len(hidden)} tables ({hidden[0]} ...), which force row-level "
            "security; back up as a role that does. A superuser makes one: CREATE ROLE valmed_backup LOGIN BYPASSRLS "
            "PASSWORD '...'; GRANT pg_read_all_data TO valmed_backup; GRANT CONNECT ON DATABASE "
            f"{moment.value('SELECT quote_ident(current_database())')} TO valmed_backup"
        )


def dump(url: URL, file: Path, snapshot: str, major: int) -> Path:
    """Runs pg_dump on `snapshot` into `file`, readable by nobody else; which program it was. Raises BackupError."""
    program = find_program("pg_dump", major)
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE))
    options = ("--format=custom", f"--file={file}", f"--snapshot={snapshot}", f"--lock-wait-timeout={LOCK_WAIT_MS}")
    run(program, url, *options)
    return program


def ensure_complete(file: Path, rows: dict[str, int], major: int) -> None:
    """Raises BackupError unless the dump, read to its end, has exactly `rows` of each table."""
    found = rows_in_dump(file, major)
    wanted = {table: count for table, count in rows.items() if count}
    if found != wanted:
        wrong = sorted({*found, *wanted} - {table for table in found if found[table] == wanted.get(table)})
        table = wrong[0]
        raise BackupError(
            f"the dump has {found.get(table, 0)} rows of {table}, the database {wanted.get(table, 0)}: nothing was kept"
        )


def rows_in_dump(file: Path, major: int) -> dict[str, int]:
    """The rows of each table that has some, as the dump itself holds them. Raises BackupError."""
    counted: dict[str, int] = {}
    program = find_program("pg_restore", major)
    with reading(program, "--data-only", "--file=-", str(file)) as lines:
        for line in lines:
            if found := COPY.fullmatch(line):
                # In COPY's text format a row is a line: a newline in a value is written as \n.
                count = sum(1 for _ in takewhile(lambda row: row != END, lines))
                if count:
                    counted[found[1].decode()] = count
    return counted


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")  # noqa: TID251 - a name on the file
