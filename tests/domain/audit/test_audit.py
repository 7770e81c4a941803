"""The audit trail: every change one row, in the change's own transaction, and nobody's to edit."""

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg2.errors
import psycopg2.extensions
import pytest
from sqlalchemy import text

from backend.config import Config
from backend.db import Database, Session, new_id
from backend.db.provision import application_url, connect
from backend.domain.identity import tokens
from backend.domain.models import Base
from backend.domain.stock.picking import InsufficientStock
from tests.db.every_table import furnish
from tests.domain.audit.audited_changes import (
    TOTP_SECRET,
    USE_CASES,
    Act,
    change_policy,
    hire,
    open_ward,
    set_a_password,
    sign_in,
)
from tests.hospital import PASSWORD, Hospital, now, open_hospital

Connection = psycopg2.extensions.connection

HIDDEN = {"users": {"password_hash", "totp_secret"}, "access_tokens": {"token_sha256"}}
UNAUDITED = {
    "audit_events",
    "audit_seals",
    "claim_records",
    "dose_remainders",
    "drift_events",
    "idempotency_keys",
    "stock_movements",
}  # append-only: their rows are their own trail


@dataclass(frozen=True)
class Event:
    """One row of the trail."""

    table: str
    row_id: UUID
    operation: str
    actor_id: UUID | None
    request_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    transaction_id: int


def trail(hospital: Hospital, request_id: str | None = None) -> list[Event]:
    """The hospital's trail in the order of its making, or the part of one request."""
    rows = hospital.rows(
        "SELECT table_name, row_id, operation, actor_id, request_id, before, after, transaction_id FROM audit_events"
        " WHERE CAST(:p1 AS text) IS NULL OR request_id = :p1 ORDER BY id",
        request_id,
    )
    return [Event(*row) for row in rows]


@pytest.fixture
def ready(hospital: Hospital) -> Hospital:
    """A hospital with two lots, an order that needs both, and a nurse who is signed in."""
    hospital.receive(2, lot="A", expires_on=(now() + timedelta(days=10)).date())
    hospital.receive(8, lot="B", expires_on=(now() + timedelta(days=20)).date())
    hospital.place(units=3)
    hospital.run(lambda session: sign_in(session, hospital, hospital.nurse), hospital.nurse)
    return hospital


@pytest.mark.parametrize(("act", "login", "expected"), USE_CASES, ids=[case[0].__name__ for case in USE_CASES])
def test_every_change_leaves_one_row_that_says_who_in_which_request(
    ready: Hospital, act: Act, login: str, expected: list[tuple[str, str]]
) -> None:
    request_id = f"req-{uuid.uuid4()}"
    actor = replace(ready.staff[login], request_id=request_id)
    before = {table: rows_of(ready, table) for table in AUDITED}

    ready.run(lambda session: act(session, ready, actor), actor)

    events = trail(ready, request_id)
    assert sorted((event.table, event.operation) for event in events) == sorted(expected)
    assert {event.actor_id for event in events} == {actor.user_id}
    assert len({event.transaction_id for event in events}) == 1
    for table in AUDITED:
        mine = [event for event in events if event.table == table]
        assert replayed(before[table], mine) == rows_of(ready, table)


AUDITED = sorted(set(Base.metadata.tables) - UNAUDITED)


def rows_of(hospital: Hospital, table: str) -> dict[UUID, dict[str, Any]]:
    """The rows of `table` by id, as the trail would show them."""
    rows = hospital.rows(f"SELECT id, to_jsonb(t) FROM {table} t")
    return {
        row[0]: {name: value for name, value in row[1].items() if name not in HIDDEN.get(table, ())} for row in rows
    }


def replayed(rows: dict[UUID, dict[str, Any]], events: list[Event]) -> dict[UUID, dict[str, Any]]:
    """What `events` make of `rows`; each must begin with the row as it stands."""
    result = dict(rows)
    for event in events:
        assert event.before == result.get(event.row_id)
        match event.operation:
            case "INSERT" | "UPDATE":
                assert event.after is not None
                assert (event.before is None) is (event.operation == "INSERT")
                result[event.row_id] = event.after
            case "DELETE":
                assert event.after is None
                del result[event.row_id]
    return result


def test_the_trail_from_its_beginning_makes_every_table_as_it_stands(hospital: Hospital) -> None:
    """A whole day on the ward, played back: no change was missed, doubled or recorded out of order."""
    furnish(hospital)
    events = trail(hospital)
    for table in AUDITED:
        mine = [event for event in events if event.table == table]
        standing = rows_of(hospital, table)
        assert standing, table
        assert replayed({}, mine) == standing
    assert {event.table for event in events} == set(AUDITED)


def test_the_time_and_the_transaction_are_those_of_the_change(hospital: Hospital) -> None:
    hospital.receive(1)
    ((same,),) = hospital.rows(
        "SELECT bool_and(a.occurred_at = l.created_at AND a.occurred_at <= m.recorded_at)"
        " FROM audit_events a, lots l, stock_movements m WHERE a.table_name = 'stock_lots'"
    )
    assert same
    by_transaction = hospital.rows(
        "SELECT count(DISTINCT transaction_id) FROM audit_events WHERE table_name IN ('lots', 'stock_lots')"
    )
    assert by_transaction == [(1,)]


def test_no_secret_is_ever_in_the_trail(hospital: Hospital) -> None:
    admin = hospital.staff["admin"]
    hospital.run(lambda session: hire(session, hospital, admin), admin)
    hospital.run(lambda session: set_a_password(session, hospital, admin), admin)
    issued = hospital.run(
        lambda session: tokens.issue_token(session, actor=hospital.nurse, now=now(), hours=1), hospital.nurse
    )
    hospital.run(
        lambda session: tokens.revoke_token(session, actor=hospital.nurse, token=issued.token, now=now()),
        hospital.nurse,
    )
    hashes = [row[0] for row in hospital.rows("SELECT password_hash FROM users")]
    assert len(hashes) == 5
    assert all(found.startswith("$argon2") for found in hashes)
    everything = "".join(row[0] for row in hospital.rows("SELECT a::text FROM audit_events a"))
    digest = hashlib.sha256(issued.token.encode()).hexdigest()
    for secret in (PASSWORD, "another long password", TOTP_SECRET, issued.token, digest, "$argon2", *hashes):
        assert secret not in everything
    for table, hidden in HIDDEN.items():
        keys = hospital.rows(
            "SELECT DISTINCT jsonb_object_keys(coalesce(before, after)) FROM audit_events WHERE table_name = :p1", table
        )
        columns = {column.name for column in Base.metadata.tables[table].columns}
        assert {row[0] for row in keys} == columns - hidden
    operations = {(event.table, event.operation) for event in trail(hospital)}
    assert {("users", "INSERT"), ("users", "UPDATE"), ("access_tokens", "UPDATE")} <= operations


def test_a_refused_change_leaves_no_row(ready: Hospital) -> None:
    events = len(trail(ready))
    too_many = ready.place(units=100)
    placed = len(trail(ready))
    assert placed == events + 2
    with pytest.raises(InsufficientStock):
        ready.fulfil(too_many)
    assert len(trail(ready)) == placed


def test_a_change_that_is_rolled_back_takes_its_rows_along(ready: Hospital) -> None:
    before, seen = trail(ready), []

    def change_and_fail(session: Session) -> None:
        open_ward(session, ready, ready.operator)
        change_policy(session, ready, ready.operator)
        seen.append(session.execute(text("SELECT count(*) FROM audit_events")).scalar_one())
        raise KeyError("a bug after the change")

    with pytest.raises(KeyError):
        ready.run(change_and_fail)
    assert seen == [len(before) + 2]
    assert trail(ready) == before


def test_the_operator_at_the_command_line_is_in_the_trail_as_nobody_with_a_request(hospital: Hospital) -> None:
    hospital.add_ward("By the operator")
    event = trail(hospital)[-1]
    assert (event.table, event.actor_id, event.request_id) == ("wards", None, "command-line")


def test_a_change_past_the_application_is_in_the_trail_too(hospital: Hospital, owner: Connection) -> None:
    """Whoever repairs data by hand, in psql, as the owner."""
    with owner.cursor() as cursor:
        cursor.execute("SET app.organization_id = %s", (str(hospital.organization_id),))
        cursor.execute("DELETE FROM patients WHERE id = %s", (str(hospital.patient_id),))
    event = trail(hospital)[-1]
    assert (event.table, event.operation, event.row_id) == ("patients", "DELETE", hospital.patient_id)
    assert (event.actor_id, event.request_id, event.after) == (None, None, None)
    assert event.before is not None
    assert event.before["name"] == "Okafor, Grace"


@pytest.fixture
def application(config: Config, hospital: Hospital) -> Iterator[Connection]:
    """The role that serves, as the hospital's tenant."""
    with closing(connect(application_url(config))) as connection, connection.cursor() as cursor:
        cursor.execute("SET app.organization_id = %s", (str(hospital.organization_id),))
        yield connection


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO audit_events (organization_id, table_name, row_id, operation, transaction_id)"
        " VALUES (current_setting('app.organization_id')::uuid, 'lots', gen_random_uuid(), 'INSERT', 1)",
        "UPDATE audit_events SET actor_id = NULL",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "ALTER TABLE audit_events DISABLE TRIGGER append_only",
        "ALTER TABLE lots DISABLE TRIGGER audit",
        "DROP TRIGGER audit ON lots",
        "CREATE OR REPLACE FUNCTION record_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "SET session_replication_role = replica",
    ],
    ids=lambda statement: " ".join(statement.split()[:3]),
)
def test_the_application_may_not_write_change_or_silence_the_trail(
    hospital: Hospital, application: Connection, statement: str
) -> None:
    before = trail(hospital)
    with application.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute(statement)
    assert trail(hospital) == before


def test_the_application_cannot_forge_a_row_with_a_trigger_of_its_own(
    hospital: Hospital, application: Connection
) -> None:
    """record_change() writes as the owner; on a temporary table named like a real one it would write whatever is put
    in there."""
    before = trail(hospital)
    with application.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE medication_orders (organization_id uuid, id uuid, status text)")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(
                "CREATE TRIGGER audit AFTER INSERT ON medication_orders FOR EACH ROW"
                " EXECUTE FUNCTION record_change('organization_id', 'id')"
            )
        cursor.execute(
            "INSERT INTO medication_orders VALUES (%s, %s, 'forged')", (str(hospital.organization_id), str(new_id()))
        )
    assert trail(hospital) == before


def test_hospitals_do_not_see_each_others_trail(database: Database) -> None:
    first, second = open_hospital(database), open_hospital(database)
    first.receive(1)
    ours = {event.row_id for event in trail(first)}
    theirs = {event.row_id for event in trail(second)}
    assert ours
    assert theirs
    assert ours.isdisjoint(theirs)
    assert first.rows("SELECT DISTINCT organization_id FROM audit_events") == [(first.organization_id,)]
