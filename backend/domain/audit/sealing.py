"""Seals: what the audit trail and the ledgers said, hashed and chained, so that nobody changes it unnoticed afterwards.

The triggers and grants keep everybody from changing a row. Whoever owns the tables can take them away, change a row and
put them back; a seal shows it. `seal_hospital` hashes the rows that no seal has yet and appends seals to the chain of
their organization (chain.py); `backend/domain/audit/checking.py` reads everything again and names what differs.

Decision: the sealer computes the hashes of rows, after their transactions and in no trigger. Because a hash in the
trigger costs every writer, and lies beside what it vouches for: whoever can change a row can change both. What a writer
does for the seals instead, a number and its index entry for a movement, was below the noise of pgbench; the trail's own
rows take some 30 % of the speed (load/audit_cost.py). Cost: the unsealed window. Between two rounds of the sealer (60
seconds in docker-compose.yml) what was written rests on triggers and grants alone, and for as long as a transaction
is open, what it has written. `valmed audit verify` says how many rows that are, and since when.

Decision: hashes stand in seals of at most SEAL_ROWS rows, not in a row for each. Because a seal can be exported and
checked by itself, and a row then costs some 50 bytes more and no index entry.

A row is found by its number: audit_events.id, elsewhere `number`, from one sequence. Transactions commit in another
order than they take numbers, so a sealer that went on after the last number would lose the rows of a slow one. But a
transaction has its id before it takes a number (record_change runs after the change; the default of `number` sees to
it). So, when transaction T has sealed the rows it saw up to the number `through`, whoever begins after T takes higher
numbers; and when a sealer, T or a later one, sees every transaction before T ended (its `horizon`, from
pg_snapshot_xmin, is T or higher), it seals what they left. From then on `through` is the **floor**: no row can come at
or below it. A sealer reads what lies above the floor and is in no seal since. It waits for nobody, and nobody for it:
writers take no lock that it takes. A row that appears below the floor was put there by hand, and is reported; above it,
it is taken for a new one, which where others write meanwhile holds until the next seal.

Decision: a round is as many transactions as it takes, each of at most SEALS_MAX seals of new rows. Because the first
round after an upgrade seals a hospital's whole past, and one transaction over ten million rows would hold its snapshot
for a quarter of an hour and lose all of it to one error. Each first seals what others left below the rows that are
sealed, for only so may it say how far it saw (`horizon`); what they left is what they wrote in one transaction's time,
and is no part of the bound. Where the horizon stands still, an hour behind some import, it would look for that again
and again, through all that was sealed since: only the first of a round does.

A database that was restored has transaction ids of another server, but nothing open of that server comes any more: a
seal with a higher T than a later seal is of another server, and final. Numbers go on, since pg_dump restores sequences.

Decision: sealers of an organization wait for each other in its report lane, before the snapshot, as writers of stock
wait in theirs (backend/db/lanes.py). The key (organization_id, id) holds without it: the second of two links with one
number is refused and runs again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, insert, select, text

from backend.actor import Actor
from backend.db import Database, Prepared, Session, report_lane_of
from backend.domain.audit.chain import BEGINNING, Seal
from backend.domain.audit.models import AuditSeal
from backend.domain.audit.rendering import NEWEST, Form

SEAL_ROWS = 1_000
SEALS_MAX = 20  # of new rows in one transaction: about a second
_NIL = str(UUID(int=0))

_MOMENT = Prepared("sealing_moment", "SELECT now(), pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
_TRANSACTION = Prepared("sealing_transaction", "SELECT txid_current()")
_FLOOR = text(
    "SELECT k.id, k.through FROM audit_seals k, (SELECT transaction_id, horizon FROM audit_seals"
    " WHERE organization_id = :organization ORDER BY id DESC LIMIT 1) AS last"
    " WHERE k.organization_id = :organization AND k.table_name = :table AND k.through > 0"
    " AND (k.transaction_id <= last.horizon OR k.transaction_id > last.transaction_id) ORDER BY k.id DESC LIMIT 1"
)
_LAST = Prepared(
    "last_seal",
    "SELECT through, row_ids[cardinality(row_ids)] AS row_id FROM audit_seals"
    " WHERE organization_id = :organization_id::uuid AND table_name = :table_name::text ORDER BY id DESC LIMIT 1",
)


@dataclass(frozen=True, slots=True)
class Sealed:
    """What was sealed, and whether nothing else was there to seal."""

    seals: int
    rows: int
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Floor:
    """Every row of a table with a number up to `through` is in a seal up to `seal`; 0 where there is no such seal."""

    seal: int
    through: int


@dataclass(frozen=True, slots=True)
class End:
    """The highest number of a table that is in a seal, 0 where none is, and the row that was sealed last."""

    through: int
    row_id: str


def seal_hospital(
    database: Database, *, organization_id: UUID, is_stopped: Callable[[], bool] = lambda: False
) -> Sealed:
    """Seals whatever is committed and in no seal, a bounded part in each transaction, until `is_stopped`. Raises Busy:
    what was sealed before stays."""
    seals = rows = 0
    while True:
        part = database.transact(
            partial(seal_part, organization_id=organization_id, is_first=seals == 0),
            actor=Actor.operator(organization_id),
            repeatable=True,
            report=True,
        )
        seals, rows = seals + part.seals, rows + part.rows
        if part.is_whole or is_stopped():
            return Sealed(seals, rows, part.is_whole)


def seal_part(session: Session, *, organization_id: UUID, is_first: bool = True) -> Sealed:
    """Appends seals over the rows that this transaction sees, SEALS_MAX of new ones at most; `is_first` of its round.
    Comes first in its transaction, else RuntimeError."""
    session.take_lanes([report_lane_of(organization_id)])
    chain = _Chain(session, organization_id)
    if is_first or chain.sees_further:
        floors = floors_of(session, organization_id)  # before this one's own seals say what it has seen
        for form in NEWEST.values():
            for batch in _left(session, form, chain, floors[form.table]):
                chain.append(form, batch)
    most = chain.seals + SEALS_MAX
    for form in NEWEST.values():
        for batch in _new(session, form, chain):
            chain.append(form, batch)
            if chain.seals == most:  # what else there is, if anything, is the next transaction's
                return Sealed(chain.seals, chain.rows, is_whole=False)
    return Sealed(chain.seals, chain.rows)


def floors_of(reader: Session | Connection, organization_id: UUID) -> dict[str, Floor]:
    """The floor of each table."""
    floors = {}
    for table in NEWEST:
        found = reader.execute(_FLOOR, {"organization": organization_id, "table": table}).one_or_none()
        floors[table] = Floor(found.id, found.through) if found else Floor(0, 0)
    return floors


class _Chain:
    """The end of an organization's chain, to which a sealer appends."""

    def __init__(self, session: Session, organization_id: UUID) -> None:
        self._session = session
        self.organization_id = organization_id
        ((self._now, self._horizon),) = session.run(_MOMENT)
        last = session.execute(
            select(AuditSeal.id, AuditSeal.hash, AuditSeal.horizon)
            .where(AuditSeal.organization_id == organization_id)
            .order_by(AuditSeal.id.desc())
            .limit(1)
        ).one_or_none()
        self.head: int = last.id if last else 0
        self._hash = bytes(last.hash) if last else BEGINNING
        self.sees_further = last is None or self._horizon > last.horizon
        self.ends = {table: _end_of(session, table, organization_id) for table in NEWEST}
        self.seals = self.rows = 0

    def append(self, form: Form, batch: list[Row[Any]]) -> None:
        """The next link, over `batch` in its order."""
        ((transaction,),) = self._session.run(_TRANSACTION)
        end = End(max(batch[-1].number, self.ends[form.table].through), batch[-1].row_id)
        seal = Seal(
            organization=self.organization_id,
            number=self.head + 1,
            table=form.table,
            form=form.version,
            sealed_at=self._now,
            through=end.through,
            transaction=transaction,
            horizon=self._horizon,
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
                horizon=seal.horizon,
                row_ids=[row for row, _ in seal.rows],
                row_hashes=b"".join(row_hash for _, row_hash in seal.rows),
                previous_hash=seal.previous,
                hash=found,
            )
        )
        self.head, self._hash, self.ends[form.table] = seal.number, found, end
        self.seals += 1
        self.rows += len(batch)


def _end_of(session: Session, table: str, organization_id: UUID) -> End:
    last = session.read(_LAST, End, organization_id=organization_id, table_name=table)
    return last[0] if last else End(0, _NIL)


def _left(session: Session, form: Form, chain: _Chain, floor: Floor) -> Iterator[list[Row[Any]]]:
    """What slower transactions left: the table's rows in no seal with numbers up to the highest that is in one."""
    through = chain.ends[form.table].through
    if floor.through < through:
        values = {"through": through, "table": form.table, "seal": floor.seal, "head": chain.head}
        found = f"{form.number} <= :through AND {not_sealed(':head')}"
        yield from _pages(session, _above(form, found), floor.through, "number", chain.organization_id, **values)


def _new(session: Session, form: Form, chain: _Chain) -> Iterator[list[Row[Any]]]:
    """The table's rows with higher numbers than any in a seal; before them those that are older than numbers."""
    end = chain.ends[form.table]
    if form.number == "number" and end.through == 0:
        yield from _pages(session, _old(form), end.row_id, "row_id", chain.organization_id)
    yield from _pages(session, _above(form), end.through, "number", chain.organization_id)


def _pages(
    session: Session, query: str, start: object, column: str, organization_id: UUID, **values: object
) -> Iterator[list[Row[Any]]]:
    statement, last = text(query), start
    while True:
        asked = {**values, "last": last, "organization": organization_id, "rows": SEAL_ROWS}
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


def _above(form: Form, condition: str = "true") -> str:
    return (
        f"SELECT id::text AS row_id, {form.number} AS number, {form.hash} AS hash FROM {form.table}"
        f" WHERE organization_id = :organization AND {form.number} > :last AND {condition}"
        f" ORDER BY {form.number} LIMIT :rows"
    )


def not_sealed(head: str) -> str:
    """The condition that a row is in no seal after `:seal` up to `head`."""
    return (
        "id::text NOT IN (SELECT unnest(row_ids) FROM audit_seals"
        f" WHERE organization_id = :organization AND table_name = :table AND id > :seal AND id <= {head})"
    )
