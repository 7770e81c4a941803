"""Seals: what the audit trail and the ledgers said, hashed and chained, so that nobody changes it unnoticed afterwards.

The triggers and grants keep everybody from changing a row. Whoever owns the tables can take them away, change a row and
put them back; a seal shows it. `seal_hospital` hashes the rows that no seal has yet and appends seals to the chain of
their organization (chain.py); `backend/audit/checking.py` reads everything again and names what differs.

Decision: the sealer computes the hashes of rows, after their transactions and in no trigger. Because a hash in the
trigger costs every writer, and lies beside what it vouches for: whoever can change a row can change both. Cost: the
unsealed window. Between two rounds of the sealer (60 seconds in docker-compose.yml) what has been written rests on
triggers and grants alone, and for as long as a transaction is open, what it has written. `valmed audit verify` says how
many rows that are, and since when.

Decision: hashes stand in seals of at most SEAL_ROWS rows, not in a row for each. Because a seal can be exported and
checked by itself, and a row then costs some 50 bytes more and no index entry.

A row is found by its number: audit_events.id, elsewhere `number`, from one sequence. Transactions commit in another
order than they take numbers, so a sealer that went on after the last number would lose the rows of a slow one. But a
transaction has its id before it takes a number (record_change runs after the change; the default of `number` sees to
it). So when transaction T has made seals that hold all rows it saw up to `through`, and every transaction before T has
ended, which pg_snapshot_xmin tells, no row can come at or below `through` any more. That is the **floor**.
A round reads what lies above the floor and is in no seal since. It waits for nobody, and nobody for it: writers take
no lock that it takes. A row that appears below the floor was put there by hand, and is reported.

A database that was restored has the transaction ids of another server, but nothing open of that server comes any more:
a seal whose T lies ahead of this server's ids is a floor at once. Numbers go on, since pg_dump restores sequences.

Decision: sealers of an organization wait for each other in its report lane, before the snapshot, as concurrency.md
says. The key (organization_id, id) holds without it: the second of two links with one number is refused and runs again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, insert, select, text

from backend.actor import Actor
from backend.audit.chain import BEGINNING, Seal
from backend.audit.models import AuditSeal
from backend.audit.rendering import NEWEST, Form
from backend.db import Database, Session, report_lane_of

SEAL_ROWS = 1_000
ROUND_SEALS = 50  # of one transaction: a first round over years does not hold the lane and a snapshot for minutes

_MOMENT = text(
    "SELECT now() AS now, pg_snapshot_xmin(found)::text::bigint AS xmin, pg_snapshot_xmax(found)::text::bigint AS xmax"
    " FROM pg_current_snapshot() AS found"
)
_FLOOR = text(
    "SELECT id, through FROM audit_seals WHERE organization_id = :organization AND table_name = :table AND through > 0"
    " AND (transaction_id <= :xmin OR transaction_id >= :xmax) ORDER BY id DESC LIMIT 1"
)
_LAST = text(
    "SELECT through, row_ids[cardinality(row_ids)] AS row_id FROM audit_seals"
    " WHERE organization_id = :organization AND table_name = :table ORDER BY id DESC LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a round has sealed."""

    seals: int
    rows: int


@dataclass(frozen=True, slots=True)
class Floor:
    """Every row of a table with a number up to `through` is in a seal up to `seal`; 0 where there is no such seal."""

    seal: int
    through: int


def seal_hospital(database: Database, *, organization_id: UUID) -> Sealed:
    """Seals whatever is committed and in no seal, in transactions of ROUND_SEALS seals. Raises Busy."""
    seals = rows = 0
    while True:
        sealed = database.transact(
            lambda session: seal_round(session, organization_id=organization_id),
            actor=Actor.operator(organization_id),
            repeatable=True,
            report=True,
        )
        seals, rows = seals + sealed.seals, rows + sealed.rows
        if sealed.seals < ROUND_SEALS:
            return Sealed(seals, rows)


def seal_round(session: Session, *, organization_id: UUID) -> Sealed:
    """Appends at most ROUND_SEALS seals. Comes first in its transaction, else RuntimeError."""
    session.take_lanes([report_lane_of(organization_id)])
    chain = _Chain(session, organization_id)
    for form in NEWEST.values():
        for batch in _unsealed(session, form, chain):
            if chain.seals == ROUND_SEALS:
                return Sealed(chain.seals, chain.rows)
            chain.append(form, batch)
    return Sealed(chain.seals, chain.rows)


def moment_of(reader: Session | Connection) -> Row[Any]:
    """The time of this transaction, and the first transaction that is open and the first to come, as it sees them."""
    return reader.execute(_MOMENT).one()


def floor_of(reader: Session | Connection, form: Form, organization_id: UUID, moment: Row[Any]) -> Floor:
    """The table's floor at `moment`."""
    values = {"organization": organization_id, "table": form.table, "xmin": moment.xmin, "xmax": moment.xmax}
    found = reader.execute(_FLOOR, values).one_or_none()
    return Floor(found.id, found.through) if found else Floor(0, 0)


class _Chain:
    """The end of an organization's chain, to which a round appends."""

    def __init__(self, session: Session, organization_id: UUID) -> None:
        self._session = session
        self.organization_id = organization_id
        self.moment = moment_of(session)
        last = session.execute(
            select(AuditSeal.id, AuditSeal.hash)
            .where(AuditSeal.organization_id == organization_id)
            .order_by(AuditSeal.id.desc())
            .limit(1)
        ).one_or_none()
        self.head: int = last.id if last else 0
        self._hash = bytes(last.hash) if last else BEGINNING
        self.seals = self.rows = 0

    def append(self, form: Form, batch: list[Row[Any]]) -> None:
        """The next link, over `batch` in its order."""
        (transaction,) = self._session.execute(text("SELECT txid_current()")).one()
        before = last_of(self._session, form, self.organization_id)
        seal = Seal(
            organization=self.organization_id,
            number=self.head + 1,
            table=form.table,
            form=form.version,
            sealed_at=self.moment.now,
            through=max(batch[-1].number, before.through if before else 0),
            transaction=transaction,
            previous=self._hash,
            rows=[(row.row_id, bytes(row.hash)) for row in batch],
        )
        found = seal.hash()
        self._session.execute(
            insert(AuditSeal).values(
                organization_id=seal.organization,
                id=seal.number,
                table_name=seal.table,
                form=seal.form,
                sealed_at=seal.sealed_at,
                through=seal.through,
                transaction_id=seal.transaction,
                row_ids=[row for row, _ in seal.rows],
                row_hashes=b"".join(row_hash for _, row_hash in seal.rows),
                previous_hash=seal.previous,
                hash=found,
            )
        )
        self.head, self._hash = seal.number, found
        self.seals += 1
        self.rows += len(batch)


def last_of(reader: Session | Connection, form: Form, organization_id: UUID) -> Row[Any] | None:
    """`through` and the last row's id of the table's last seal."""
    return reader.execute(_LAST, {"organization": organization_id, "table": form.table}).one_or_none()


def _unsealed(session: Session, form: Form, chain: _Chain) -> Iterator[list[Row[Any]]]:
    """The table's rows that are in no seal, by number, in batches; before them those that are older than numbers."""
    last = last_of(session, form, chain.organization_id)
    if form.number == "number" and (last is None or last.through == 0):
        yield from _pages(session, _old(form), "last", last.row_id if last else _NIL, "row_id", chain.organization_id)
    floor = floor_of(session, form, chain.organization_id, chain.moment)
    values = {"table": form.table, "seal": floor.seal, "head": chain.head}
    yield from _pages(session, _new(form), "last", floor.through, "number", chain.organization_id, **values)


_NIL = str(UUID(int=0))


def _pages(
    session: Session, query: str, name: str, start: object, column: str, organization_id: UUID, **values: object
) -> Iterator[list[Row[Any]]]:
    statement, last = text(query), start
    while True:
        asked = {**values, name: last, "organization": organization_id, "rows": SEAL_ROWS}
        rows = list(session.execute(statement, asked).all())
        if rows:
            yield rows
        if len(rows) < SEAL_ROWS:
            return
        last = getattr(rows[-1], column)


def _old(form: Form) -> str:
    return (
        f"SELECT id::text AS row_id, number, {form.hash} AS hash FROM {form.table}"
        " WHERE organization_id = :organization AND number = 0 AND id > CAST(:last AS uuid) ORDER BY id LIMIT :rows"
    )


def _new(form: Form) -> str:
    return (
        f"SELECT id::text AS row_id, {form.number} AS number, {form.hash} AS hash FROM {form.table}"
        f" WHERE organization_id = :organization AND {form.number} > :last AND {not_sealed(':head')}"
        f" ORDER BY {form.number} LIMIT :rows"
    )


def not_sealed(head: str) -> str:
    """The condition that a row is in no seal after `:seal` up to `head`."""
    return (
        "id::text NOT IN (SELECT unnest(row_ids) FROM audit_seals"
        f" WHERE organization_id = :organization AND table_name = :table AND id > :seal AND id <= {head})"
    )
