"""What the application role could reach another hospital by beside its tables: functions, sequences, statistics,
functions of its own, and its rights themselves. Each thing in the catalogue has a decision here; a new one fails."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest

from backend.config import Config
from backend.db.provision import application_url, connect
from backend.domain.identity import tokens
from backend.domain.models import Base
from tests.db.every_table import Pair
from tests.hospital import Hospital, now
from tests.migrations.catalogue import OURS, ask, needs_superuser

Connection = psycopg2.extensions.connection
DENIED = "42501"
TABLES = sorted(Base.metadata.tables)
# Relations that belong to no hospital, with the reason and with all that the application role may do with them.
ELSEWHERE = {
    "alembic_version": ("the schema's version, which /readyz compares", {"SELECT"}),
    "lanes.lane": ("empty: a CHECK refuses every row; DELETE is what LOCK asks for", {"DELETE"}),
    "sign_in.failures": ("hashes of accounts and addresses before anybody is known; three functions reach it", set()),
    "sign_in.taken": (
        "challenges of passkeys that were answered, before anybody is known; one function reaches it",
        set(),
    ),
    "ledger_numbers": ("numbers the ledgers' rows: who writes one takes the next, and cannot set it back", set()),
    "audit_events_id_seq": ("numbers the trail's rows; the table takes from it by itself", set()),
}
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


@pytest.fixture
def application(config: Config) -> Iterator[Connection]:
    """A connection of the role that serves."""
    with closing(connect(application_url(config))) as connection:
        yield connection


def become(connection: Connection, hospital: Hospital) -> None:
    """Sets the tenant of the session."""
    ask(connection, "SELECT set_config('app.organization_id', %s, false)", str(hospital.organization_id))


def refusal(connection: Connection, statement: str) -> str | None:
    """The SQLSTATE that `statement` raises, None where it runs; afterwards nothing of it is left."""
    try:
        ask(connection, f"BEGIN; {statement}")
    except psycopg2.Error as error:
        return error.pgcode
    finally:
        ask(connection, "ROLLBACK")
    return None


def test_every_relation_is_a_tenants_table_or_has_a_reason(owner: Connection, config: Config) -> None:
    """From the catalogue: a new table, view, sequence or foreign table fails until somebody decides."""
    held = ", ".join(f"CASE WHEN has_table_privilege(%s, c.oid, '{name}') THEN '{name}' END" for name in PRIVILEGES)
    found = ask(
        owner,
        f"SELECT c.oid::regclass::text, relkind::text, array_remove(ARRAY[{held}], NULL), relrowsecurity AND"
        f" relforcerowsecurity FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE {OURS}"
        " AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')",
        *[config.application_role] * len(PRIVILEGES),
    )
    undecided = {
        name: (kind, held)
        for name, kind, held, is_forced in found
        if not (name in Base.metadata.tables and kind == "r" and is_forced)
        and ELSEWHERE.get(re.sub(r"_[0-9]+$", "", name), ("", None))[1] != set(held)
    }
    assert undecided == {}
    assert len(found) == len(TABLES) + len(ELSEWHERE) - 1 + 272


@dataclass(frozen=True)
class Call:
    """A function that runs as the owner: why it may, and what the application gets of it by another's arguments.

    `arguments` are SQL of the hospital that is asked about; `gives` is how its answer must look.
    """

    why: str
    sql: Callable[[Pair], str]
    gives: str


def _hex(text: str) -> str:
    return f"'\\x{hashlib.sha256(text.encode()).hexdigest()}'::bytea"


def _token(hospital: Hospital) -> str:
    issued = hospital.run(lambda s: tokens.issue_token(s, actor=hospital.nurse, now=now(), hours=1), hospital.nurse)
    return _hex(issued.token)


def _order(hospital: Hospital) -> str:
    return f"'{hospital.rows('SELECT id FROM medication_orders LIMIT 1')[0][0]}'::uuid"


FUNCTIONS: dict[str, Call] = {
    "authenticate": Call(
        "a token is looked up before its tenant is known; an order of another hospital is nowhere",
        lambda p: f"SELECT ward_id, drug_id FROM authenticate({_token(p.mine)}, {_order(p.other)})",
        r"\[\(None, None\)\]",
    ),
    "sign_in_candidate": Call(
        "what the release before asks for the same",
        lambda p: f"SELECT * FROM sign_in_candidate('{p.mine.slug}', 'nurse@{p.other.slug}.example')",
        r"\[\]",
    ),
    "sign_in_person": Call(
        "a password is checked before its tenant is known; an email opens its own hospital alone",
        lambda p: f"SELECT * FROM sign_in_person('{p.mine.slug}', 'nurse@{p.other.slug}.example')",
        r"\[\]",
    ),
    "passkey_named": Call(
        "a passkey is looked up before its tenant is known; with the id of a hospital goes a user of that hospital",
        lambda p: f"SELECT * FROM passkey_named('{p.mine.organization_id}', '{p.other.nurse.user_id}', {_hex('x')})",
        r"\[\]",
    ),
    "take_challenge": Call(
        "a challenge is made before anybody is known: whether it was new",
        lambda p: f"SELECT take_challenge({_hex('asked')}, 60)",
        r"\[\(True,\)\]",
    ),
    "organization_named": Call(
        "the command line and a sign-in name a hospital: its id and nothing else, as who knows its slug may learn",
        lambda p: f"SELECT organization_named('{p.other.slug}')",
        r"\[\('[0-9a-f-]{36}',\)\]",
    ),
    "organization_ids": Call(
        "the weekly run begins before a tenant is known: ids and nothing else",
        lambda p: "SELECT DISTINCT length(found::text) FROM organization_ids() found",
        r"\[\(36,\)\]",
    ),
    "search_drugs": Call(
        "LIKE cannot use an index under row-level security; the function picks the tenant's rows itself",
        lambda p: f"SELECT id FROM search_drugs('o') AS found (id) WHERE id = '{p.other.drug_id}'",
        r"\[\]",
    ),
    "analyze_claims": Call(
        "only an owner may ANALYZE; it answers nothing", lambda p: "SELECT analyze_claims()", r"\[\(''?,\)\]"
    ),
    "sign_in_wait": Call(
        "failed sign-ins are counted before anybody is known: seconds of a hash",
        lambda p: f"SELECT sign_in_wait(ARRAY[{_hex('their account')}], ARRAY[1])",
        r"\[\(\d+,\)\]",
    ),
    "count_sign_in_failure": Call(
        "likewise", lambda p: f"SELECT count_sign_in_failure(ARRAY[{_hex('x')}], ARRAY[9], 1)", r"\[\(\d+,\)\]"
    ),
    "forget_sign_in_failures": Call(
        "likewise, after a right password", lambda p: f"SELECT forget_sign_in_failures({_hex('x')})", r"\[\(''?,\)\]"
    ),
}


def test_every_function_that_runs_as_the_owner_is_tried_here(owner: Connection, config: Config) -> None:
    """Whatever the schema, an extension's included."""
    found = ask(
        owner,
        "SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.prosecdef"
        " AND has_function_privilege(%s, p.oid, 'EXECUTE')",
        config.application_role,
    )
    assert sorted(row[0] for row in found) == sorted(FUNCTIONS)


def checksums(owner: Connection, hospital: Hospital) -> dict[str, Any]:
    """A checksum of every table of a hospital, as the owner reads it."""
    become(owner, hospital)
    union = " UNION ALL ".join(
        f"SELECT '{name}', count(*), md5(string_agg(t::text, ';' ORDER BY t::text)) FROM {name} t" for name in TABLES
    )
    return {name: rest for name, *rest in ask(owner, union)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_runs_as_the_owner_gives_nothing_of_another_hospital(
    name: str, pair: Pair, application: Connection, owner: Connection
) -> None:
    call = FUNCTIONS[name]
    statement = call.sql(pair)
    before = checksums(owner, pair.other)
    become(application, pair.mine)
    ask(application, "BEGIN")
    answer = str(ask(application, statement))
    assert re.fullmatch(call.gives, answer), answer
    still = ask(application, "SELECT current_setting('app.organization_id')")
    assert still == [(str(pair.mine.organization_id),)], "it did not move the transaction to another tenant"
    ask(application, "COMMIT")
    assert checksums(owner, pair.other) == before


def test_a_function_that_runs_as_the_owner_reads_no_table_of_its_caller(pair: Pair, application: Connection) -> None:
    """Its search_path is pinned: what the caller calls drugs, users or now() is not what it means."""
    statements = [
        f"SELECT organization_id, ward_id FROM authenticate({_token(pair.mine)}, {_order(pair.mine)})",
        f"SELECT user_id FROM sign_in_person('{pair.mine.slug}', 'nurse@{pair.mine.slug}.example')",
        f"SELECT organization_named('{pair.mine.slug}')",
        "SELECT count(*) FROM organization_ids()",
        "SELECT count(*) FROM search_drugs('o')",
    ]
    become(application, pair.mine)
    honest = [ask(application, statement) for statement in statements]
    assert all(answer and answer[0][0] for answer in honest)
    for table in ("organizations", "users", "access_tokens", "medication_orders", "drugs"):
        ask(application, f"CREATE TEMPORARY TABLE {table} (LIKE public.{table})")
    ask(
        application,
        "CREATE FUNCTION pg_temp.now() RETURNS timestamptz LANGUAGE sql AS $$SELECT 'infinity'::timestamptz$$",
    )
    ask(application, "SET search_path = pg_temp, public, pg_catalog")
    assert [ask(application, statement) for statement in statements] == honest


def test_a_search_without_a_tenant_is_an_error(application: Connection) -> None:
    assert refusal(application, "SELECT search_drugs('o')") == "42704"


def test_the_application_role_takes_nothing_from_a_sequence(application: Connection, owner: Connection) -> None:
    """It would tell how many rows every hospital has written, and could make the next one fail."""
    sequences = ask(owner, "SELECT c.oid::regclass::text FROM pg_class c WHERE relkind = 'S'")
    assert ("ledger_numbers",) in sequences
    assert refusal(application, "SELECT setval('ledger_numbers', 1)") == DENIED
    for (name,) in set(sequences) - {("ledger_numbers",)}:
        for statement in (f"SELECT nextval('{name}')", f"SELECT setval('{name}', 1)", f"SELECT currval('{name}')",
                          f"SELECT last_value FROM {name}"):  # fmt: skip
            assert refusal(application, statement) == DENIED, statement
    hidden = "SELECT DISTINCT last_value FROM pg_sequences WHERE sequencename <> 'ledger_numbers'"
    assert ask(application, hidden) == [(None,)]


# What would take a fence away, or open another way in, and must be refused.
ESCALATIONS = (
    "SET ROLE {owner}",
    "SET SESSION AUTHORIZATION {owner}",
    "SET session_replication_role = replica",
    "SET row_security = off; SELECT count(*) FROM patients",
    "ALTER ROLE {me} BYPASSRLS",
    "ALTER ROLE {me} SUPERUSER",
    "GRANT {owner} TO {me}",
    "ALTER TABLE patients DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE patients NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE patients OWNER TO {me}",
    "ALTER TABLE patients DISABLE TRIGGER ALL",
    "CREATE POLICY mine ON patients USING (true)",
    "ALTER POLICY tenant ON patients USING (true)",
    "DROP POLICY tenant ON patients",
    "CREATE TRIGGER mine BEFORE INSERT ON patients FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    "CREATE RULE mine AS ON INSERT TO patients DO ALSO NOTHING",
    "CREATE INDEX mine ON patients (name)",
    "CREATE VIEW public.mine AS SELECT * FROM patients",
    "CREATE MATERIALIZED VIEW public.mine AS SELECT * FROM patients",
    "CREATE TABLE public.mine (child uuid) INHERITS (patients)",
    "CREATE TABLE lanes.mine (id int)",
    "CREATE SEQUENCE public.mine",
    "CREATE TYPE public.mine AS (id int)",
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION search_drugs(needle text) RETURNS SETOF uuid LANGUAGE sql AS 'SELECT id FROM drugs'",
    "ALTER FUNCTION search_drugs(text) SET search_path = pg_temp",
    "ALTER FUNCTION search_drugs(text) SECURITY INVOKER",
    "DROP FUNCTION search_drugs(text)",
    "SELECT record_change()",
    "CREATE SCHEMA mine",
    "CREATE LANGUAGE mine HANDLER plpgsql_call_handler",
    "CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION refuse_change()",
    "CREATE PUBLICATION mine FOR TABLE patients",
    "CREATE FUNCTION pg_temp.mine() RETURNS int LANGUAGE c AS 'x'",
    "COPY (SELECT 1) TO PROGRAM 'cat'",
    "COPY (SELECT 1) TO '/tmp/mine'",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT pg_ls_dir('.')",
    "SELECT lo_import('/etc/hostname')",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_statistic",
    "SELECT * FROM pg_statistic_ext_data",
    "SELECT * FROM pg_largeobject",
    "SELECT * FROM sign_in.failures",
    "SELECT * FROM lanes.lane_000",
    "INSERT INTO lanes.lane_000 VALUES (true)",
    "TRUNCATE lanes.lane_000",
)


@pytest.mark.parametrize("statement", ESCALATIONS)
def test_the_application_role_cannot_take_a_fence_away(
    statement: str, pair: Pair, application: Connection, owner: Connection
) -> None:
    names = {"owner": ask(owner, "SELECT quote_ident(current_user)")[0][0]}
    names["me"] = ask(application, "SELECT quote_ident(current_user)")[0][0]
    become(application, pair.mine)
    assert refusal(application, statement.format(**names)) == DENIED


def test_a_function_of_its_own_sees_no_row_before_the_fence_does(pair: Pair, application: Connection) -> None:
    """A cheap function that tells what it is given is asked first, if only row-level security lets it."""
    ask(
        application,
        "CREATE FUNCTION pg_temp.tell(line text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS"
        " $$ BEGIN RAISE NOTICE '%', line; RETURN true; END $$",
    )
    become(application, pair.mine)
    for table in TABLES:
        application.notices.clear()
        rows = ask(application, f"SELECT 1 FROM {table} t WHERE pg_temp.tell(t::text)")
        told = application.notices
        assert len(rows) >= len(told) > 0, table
        assert all(str(pair.mine.organization_id) in line for line in told), table
        assert not any(str(pair.other.organization_id) in line for line in told), table


def test_the_planners_statistics_tell_the_application_nothing(
    pair: Pair, application: Connection, owner: Connection, superuser: Connection
) -> None:
    """They hold the commonest names of all hospitals; the views of them leave out what row-level security guards."""
    needs_superuser(superuser)
    ask(owner, "ANALYZE patients, claim_records, drugs")
    kept = "SELECT count(*) > 0 FROM pg_stats WHERE schemaname IN ('public', 'sign_in')"
    assert ask(superuser, kept) == [(True,)]
    become(application, pair.mine)
    tables = ask(application, "SELECT DISTINCT tablename FROM pg_stats WHERE schemaname IN ('public', 'sign_in')")
    assert [row for row in tables if row != ("alembic_version",)] == []
    for view in ("pg_stats_ext", "pg_stats_ext_exprs"):
        assert ask(application, f"SELECT count(*) FROM {view}") == [(0,)]


UNGUARDED = ("pg_largeobject_metadata", "pg_foreign_server", "pg_publication", "pg_subscription", "pg_event_trigger")


def test_nothing_is_kept_where_no_policy_guards_it(pair: Pair, superuser: Connection) -> None:
    """Two furnished hospitals later no row of theirs is in a large object or leaves by another server."""
    needs_superuser(superuser)
    assert pair.mine is not pair.other
    for place in UNGUARDED:
        assert ask(superuser, f"SELECT count(*) FROM {place}") == [(0,)], place
