"""Row-level security as the last fence: raw SQL of the application role, with every tenant but the right one.

The application names its tenant in every statement. These tests do not; whatever they try, the rows of another
hospital are neither seen nor changed, and a transaction without a tenant is an error and no empty answer.
"""

import io
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import pytest
from psycopg2.extras import Json

from backend.config import Config
from backend.db import Database, new_id
from backend.db.provision import application_url, connect
from backend.domain.models import Base
from tests.db.every_table import POINTING, Pair, furnish, tenant_column
from tests.hospital import Hospital, open_hospital

Connection = psycopg2.extensions.connection

NEVER_SET, EMPTY, GARBAGE = "42704", "22P02", "22P02"  # what current_setting() and the cast to uuid raise
DENIED = "42501"  # by a grant or by a policy
NO_COPY = "0A000"  # COPY FROM into a table with row-level security
TENANTS = ("none was ever set", "a stale, empty one", "another hospital", "garbage")
TABLES = sorted(Base.metadata.tables)
READ = ("SELECT", "SELECT INTO", "COPY TO", "COPY SELECT TO")


@pytest.fixture
def application(config: Config) -> Iterator[Connection]:
    with closing(connect(application_url(config))) as connection:
        yield connection


def become(connection: Connection, tenant: str, pair: Pair) -> None:
    """Puts `connection` into the state of one of TENANTS."""
    with connection.cursor() as cursor:
        match tenant:
            case "a stale, empty one":
                cursor.execute(
                    "BEGIN; SET LOCAL app.organization_id = %s; SELECT count(*) FROM wards; COMMIT",
                    (str(pair.mine.organization_id),),
                )
            case "another hospital":
                cursor.execute("SET app.organization_id = %s", (str(pair.other.organization_id),))
            case "garbage":
                cursor.execute("SET app.organization_id = 'garbage'")


def outcome(connection: Connection, statement: str, values: tuple[Any, ...] = ()) -> int | str:
    """How many rows `statement` touched or returned, or the SQLSTATE that it raised."""
    with connection.cursor() as cursor:
        try:
            if statement.startswith("COPY") and statement.endswith("STDOUT"):
                copied = io.StringIO()
                cursor.copy_expert(statement, copied)
                return copied.getvalue().count(values[0])
            if statement.startswith("COPY"):
                cursor.copy_expert(statement, io.StringIO(""))
                return 0
            cursor.execute(statement, values)
        except psycopg2.Error as error:
            return str(error.pgcode)
        return cursor.rowcount


def fingerprint(connection: Connection, table: str, hospital: Hospital) -> tuple[int, str]:
    """How many rows the hospital has in `table`, and a hash of them, as its owner sees them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.organization_id', %s, false)", (str(hospital.organization_id),))
        cursor.execute(
            f"SELECT count(*), coalesce(md5(string_agg(t::text, ';' ORDER BY t::text)), '') FROM {table} t"
            f" WHERE {tenant_column(table)} = %s",
            (str(hospital.organization_id),),
        )
        row = cursor.fetchone()
    assert row is not None
    return row


def attempts(table: str, pair: Pair, owner: Connection) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """Every way to see or change the rows of `pair.mine` in `table`."""
    column, mine = tenant_column(table), str(pair.mine.organization_id)
    with owner.cursor() as cursor:
        cursor.execute("SELECT set_config('app.organization_id', %s, false)", (mine,))
        cursor.execute(f"SELECT to_jsonb(t)::text FROM {table} t WHERE {column} = %s LIMIT 1", (mine,))
        row = cursor.fetchone()
    assert row is not None, f"furnish() puts a row into {table}"
    fresh = row[0] if table == "organizations" else row[0].replace(f'"id": "{_id_in(row[0])}"', f'"id": "{new_id()}"')
    return {
        "SELECT": (f"SELECT * FROM {table} WHERE {column} = %s", (mine,)),
        "SELECT FOR UPDATE": (f"SELECT * FROM {table} WHERE {column} = %s FOR UPDATE", (mine,)),
        "SELECT FOR SHARE": (f"SELECT * FROM {table} WHERE {column} = %s FOR SHARE", (mine,)),
        "SELECT FOR NO KEY UPDATE": (f"SELECT * FROM {table} WHERE {column} = %s FOR NO KEY UPDATE", (mine,)),
        "SELECT INTO": (f"CREATE TEMPORARY TABLE stolen_{table} AS SELECT * FROM {table} WHERE {column} = %s", (mine,)),
        "INSERT": (insertion(table), (fresh,)),
        "INSERT RETURNING": (f"{insertion(table)} RETURNING *", (fresh,)),
        "INSERT ON CONFLICT": (f"{insertion(table)} ON CONFLICT DO NOTHING RETURNING *", (row[0],)),
        "UPDATE": (f"UPDATE {table} SET {column} = {column} WHERE {column} = %s", (mine,)),
        "UPDATE RETURNING": (f"UPDATE {table} SET {column} = {column} WHERE {column} = %s RETURNING *", (mine,)),
        "MERGE": (
            f"MERGE INTO {table} t USING (SELECT %s::uuid AS tenant) AS s ON t.{column} = s.tenant"
            f" WHEN MATCHED THEN UPDATE SET {column} = t.{column}",
            (mine,),
        ),
        "DELETE": (f"DELETE FROM {table} WHERE {column} = %s", (mine,)),
        "DELETE RETURNING": (f"DELETE FROM {table} WHERE {column} = %s RETURNING *", (mine,)),
        "TRUNCATE": (f"TRUNCATE {table} CASCADE", ()),
        "COPY TO": (f"COPY {table} TO STDOUT", (mine,)),
        "COPY SELECT TO": (f"COPY (SELECT * FROM {table}) TO STDOUT", (mine,)),
        "COPY FROM": (f"COPY {table} FROM STDIN", ()),
    }


def insertion(table: str) -> str:
    """Inserts a row of `table` from JSON."""
    columns = ", ".join(column.name for column in Base.metadata.tables[table].columns if column.computed is None)
    return (
        f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE"
        f" SELECT {columns} FROM jsonb_populate_record(NULL::{table}, %s)"
    )


def _id_in(row: str) -> str:
    return row.split('"id": "', 1)[1].split('"', 1)[0] if '"id": "' in row else ""


@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.parametrize("table", TABLES)
def test_rows_of_a_hospital_are_out_of_reach(
    table: str, tenant: str, pair: Pair, application: Connection, owner: Connection
) -> None:
    before = fingerprint(owner, table, pair.mine)
    assert before[0] > 0
    tried = attempts(table, pair, owner)
    become(application, tenant, pair)

    outcomes = {name: outcome(application, *attempt) for name, attempt in tried.items()}

    if tenant == "another hospital":
        allowed: dict[str, set[int | str]] = {
            name: {DENIED} if name.startswith("INSERT") else {0, DENIED} for name in outcomes
        }
        allowed |= {name: {0} for name in READ}
    else:
        raised = {"none was ever set": NEVER_SET, "a stale, empty one": EMPTY, "garbage": GARBAGE}[tenant]
        allowed = {name: {raised, DENIED} for name in outcomes}
        allowed |= {name: {raised} for name in READ}
    allowed["TRUNCATE"] = {DENIED}
    allowed["COPY FROM"] = {NO_COPY, DENIED}
    assert {name: got for name, got in outcomes.items() if got not in allowed[name]} == {}
    assert fingerprint(owner, table, pair.mine) == before


@pytest.mark.parametrize("table", TABLES)
def test_a_hospital_sees_its_own_rows_and_no_others(table: str, pair: Pair, application: Connection, owner) -> None:
    """The counterpart: the attempts above fail because of the tenant and not because they never work."""
    column = tenant_column(table)
    for hospital in (pair.mine, pair.other):
        with application.cursor() as cursor:
            cursor.execute("SET app.organization_id = %s", (str(hospital.organization_id),))
            cursor.execute(f"SELECT {column}::text, count(*) FROM {table} GROUP BY 1")
            seen = cursor.fetchall()
        assert seen == [(str(hospital.organization_id), fingerprint(owner, table, hospital)[0])]


@pytest.mark.parametrize("table", TABLES)
def test_even_the_owner_of_the_tables_changes_nothing_of_another_hospital(
    table: str, pair: Pair, owner: Connection
) -> None:
    """FORCE ROW LEVEL SECURITY: the grants do not stop the owner, the policy does."""
    before = fingerprint(owner, table, pair.mine)
    tried = attempts(table, pair, owner)
    become(owner, "another hospital", pair)
    outcomes = {name: outcome(owner, *tried[name]) for name in ("INSERT", "UPDATE", "DELETE", "SELECT FOR UPDATE")}
    assert outcomes == {"INSERT": DENIED, "UPDATE": 0, "DELETE": 0, "SELECT FOR UPDATE": 0}
    assert fingerprint(owner, table, pair.mine) == before


@pytest.mark.parametrize("who", ["application", "owner"])
@pytest.mark.parametrize("table", TABLES)
def test_a_row_cannot_be_moved_to_another_hospital(
    table: str, who: str, pair: Pair, application: Connection, owner: Connection
) -> None:
    before = fingerprint(owner, table, pair.mine), fingerprint(owner, table, pair.other)
    connection = {"application": application, "owner": owner}[who]
    with connection.cursor() as cursor:
        cursor.execute("SET app.organization_id = %s", (str(pair.mine.organization_id),))
    column = tenant_column(table)
    moved = outcome(connection, f"UPDATE {table} SET {column} = %s", (str(pair.other.organization_id),))
    assert moved == DENIED
    assert (fingerprint(owner, table, pair.mine), fingerprint(owner, table, pair.other)) == before


KEYS = [
    (table.name, element.parent.name, element.column.table.name, element.column.name)
    for table in Base.metadata.sorted_tables
    for constraint in sorted(table.foreign_key_constraints, key=lambda found: str(found.name))
    for element in constraint.elements
    if element.parent.name != "organization_id"
]


# A copy of a row of theirs would meet a unique key first.
WITNESSED = {"stock_movements", "dose_remainders"}  # of an unknown drug too: it might be a controlled one
ONE_OF_A_KIND = {"alerts", "discrepancies", "order_overrides", "passkeys", "stock_count_lines"}


@pytest.mark.parametrize(("table", "column", "parent", "key"), KEYS, ids=[".".join(key[:2]) for key in KEYS])
def test_a_row_cannot_point_into_another_hospital(
    table: str, column: str, parent: str, key: str, pair: Pair, owner: Connection
) -> None:
    """Foreign keys do not know row-level security; the organization in each of them does what it cannot."""
    with owner.cursor() as cursor:
        cursor.execute("SET app.organization_id = %s", (str(pair.other.organization_id),))
        cursor.execute(
            f"SELECT {key}::text FROM {parent} WHERE organization_id = %s LIMIT 1", (str(pair.other.organization_id),)
        )
        theirs = cursor.fetchone()
        assert theirs is not None
        cursor.execute("SET app.organization_id = %s", (str(pair.mine.organization_id),))
        cursor.execute(
            f"SELECT to_jsonb(t) FROM {table} t WHERE organization_id = %s"
            f" AND {POINTING.get((table, column), 'true')} LIMIT 1",
            (str(pair.mine.organization_id),),
        )
        row = cursor.fetchone()
        assert row is not None
        new = {**row[0], **_as_new(column)}
        if table in WITNESSED:
            new["witness_id"] = str(pair.mine.staff["doctor"].user_id)
        statement, values = insertion(table), (Json({**new, column: theirs[0]}),)
        if table in ONE_OF_A_KIND:
            statement, values = f"UPDATE {table} SET {column} = %s WHERE id = %s", (theirs[0], row[0]["id"])
        with pytest.raises(psycopg2.errors.ForeignKeyViolation) as refused:
            cursor.execute(statement, values)
    assert refused.value.diag.table_name == table
    assert column in str(refused.value.diag.constraint_name)
    assert theirs[0] not in str(refused.value), "the refusal tells nothing of the other hospital"


def _as_new(column: str) -> dict[str, Any]:
    """Values with which a copy of a row meets no unique key and no check, when only `column` is wrong."""
    values: dict[str, Any] = {name: str(new_id()) for name in ("id", "key", "reference_id", "lot_number", "mrn")}
    values |= {"sequence": 1_000_000, "dose_number": 1_000, "revision": 1_000, "removed_at": "2099-01-01T00:00:00Z"}
    return {**values, "verified_at": "2026-01-01T00:00:00Z"} if column == "verified_by_id" else values


def test_the_ledger_and_the_trail_are_append_only_for_the_application_by_grant_and_for_the_owner_by_trigger(
    pair: Pair, application: Connection, owner: Connection
) -> None:
    mine = str(pair.mine.organization_id)
    for table in ("stock_movements", "audit_events"):
        before = fingerprint(owner, table, pair.mine)
        for verb, statement in {
            "UPDATE": f"UPDATE {table} SET organization_id = organization_id",
            "DELETE": f"DELETE FROM {table}",
            "TRUNCATE": f"TRUNCATE {table}",
        }.items():
            for connection, reason in (
                (application, f"permission denied for table {table}"),
                (owner, f"{table} is append-only: {verb} refused"),
            ):
                with connection.cursor() as cursor:
                    cursor.execute("SET app.organization_id = %s", (mine,))
                    with pytest.raises(psycopg2.errors.InsufficientPrivilege) as refused:
                        cursor.execute(statement)
                assert refused.value.diag.message_primary == reason
        assert fingerprint(owner, table, pair.mine) == before


def test_a_stored_answer_is_never_changed_and_purged_by_the_operator_alone(
    database: Database, application: Connection, owner: Connection
) -> None:
    hospital = furnish(open_hospital(database))
    mine = str(hospital.organization_id)
    for connection in (application, owner):
        with connection.cursor() as cursor:
            cursor.execute("SET app.organization_id = %s", (mine,))
    assert outcome(application, "UPDATE idempotency_keys SET status = 500") == DENIED
    assert outcome(application, "DELETE FROM idempotency_keys") == DENIED
    assert outcome(owner, "UPDATE idempotency_keys SET status = 500") == DENIED
    assert outcome(owner, "TRUNCATE idempotency_keys") == DENIED
    assert outcome(owner, "DELETE FROM idempotency_keys") == 4
