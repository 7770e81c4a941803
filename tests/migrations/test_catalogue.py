"""What the migrated database promises and `alembic check` cannot see: keys, row-level security, grants, triggers."""

import re
from collections.abc import Iterator

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import pytest
from sqlalchemy import create_engine, pool

from backend.config import Config
from backend.db.engine import normalised_url
from backend.db.lanes import LANES, REPORT_LANES, lock_lanes
from backend.db.provision import application_url, connect
from backend.domain.models import Base
from tests.migrations.catalogue import TABLES, ask, describe, owner_of

Connection = psycopg2.extensions.connection

KEEPS = "SELECT, INSERT, UPDATE"
GRANTS = {
    "access_tokens": KEEPS,
    "alerts": KEEPS,
    "alembic_version": "SELECT",
    "audit_events": "SELECT",
    "audit_seals": "SELECT, INSERT",
    "care_team_assignments": KEEPS,
    "claim_records": "SELECT, INSERT",
    "discrepancies": KEEPS,
    "dose_remainders": "SELECT, INSERT",
    "drift_events": "SELECT, INSERT",
    "drugs": KEEPS,
    "idempotency_keys": "SELECT, INSERT",
    "lots": KEEPS,
    "medication_administrations": KEEPS,
    "medication_orders": KEEPS,
    "order_overrides": KEEPS,
    "organizations": KEEPS,
    "override_drugs": "SELECT, INSERT, DELETE",
    "passkeys": f"{KEEPS}, DELETE",
    "patients": KEEPS,
    "report_runs": KEEPS,
    "stock_count_lines": KEEPS,
    "stock_counts": KEEPS,
    "stock_levels": KEEPS,
    "stock_lots": KEEPS,
    "stock_movements": "SELECT, INSERT",
    "stock_transfer_lines": KEEPS,
    "stock_transfer_lots": KEEPS,
    "stock_transfers": KEEPS,
    "totp_steps": KEEPS,
    "users": KEEPS,
    "ward_memberships": f"{KEEPS}, DELETE",
    "wards": KEEPS,
}
APPEND_ONLY = {
    "audit_events",
    "audit_seals",
    "claim_records",
    "dose_remainders",
    "drift_events",
    "idempotency_keys",
    "stock_movements",
}
NOTING = {  # what the database notes of a row by itself
    ("stock_movements", "witness_due"): "BEFORE INSERT ON public.stock_movements FOR EACH ROW"
    " WHEN ((new.reason <> 'fulfilment'::movement_reason)) EXECUTE FUNCTION movement_witness_due",
    ("dose_remainders", "witness_due"): "BEFORE INSERT ON public.dose_remainders FOR EACH ROW"
    " EXECUTE FUNCTION remainder_witness_due",
    ("discrepancies", "witness_due"): "BEFORE INSERT OR UPDATE ON public.discrepancies FOR EACH ROW"
    " WHEN ((new.status = 'resolved'::discrepancy_status)) EXECUTE FUNCTION discrepancy_witness_due",
}
READ_BEFORE_SIGN_IN = {"access_tokens", "organizations", "passkeys", "users"}
SEARCHED_BY_THE_OWNER = {"drugs"}
FUNCTIONS_OF_THE_APPLICATION = {
    "analyze_claims",
    *("authenticate", "organization_ids", "organization_named", "search_drugs", "sign_in_candidate"),
    "sign_in_person",
    *("sign_in_wait", "count_sign_in_failure", "forget_sign_in_failures", "passkey_named", "take_challenge"),
}
SECRETS = {"users": ["password_hash", "totp_secret"], "access_tokens": ["token_sha256"]}
# Asked before a tenant is known, or by a search that picks the tenant's rows itself; not unique, so neither tells
# anything across hospitals.
WITHOUT_TENANT = {"ix_access_tokens_token_sha256", "ix_drugs_trigrams"}
TENANT_TABLES = set(GRANTS) - {"alembic_version"}


@pytest.fixture
def application(config: Config) -> Iterator[Connection]:
    """A connection of the role that serves."""
    connection = connect(application_url(config))
    yield connection
    connection.close()


def test_every_table_is_known_to_these_tests(owner: Connection) -> None:
    """A new table is entered above, with its grants, by whoever makes it."""
    found = ask(
        owner, "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
    )
    assert {row[0] for row in found} == set(GRANTS)
    assert set(Base.metadata.tables) == TENANT_TABLES
    ours = "relnamespace IN ('public'::regnamespace, 'lanes'::regnamespace)"
    kinds = ask(owner, f"SELECT DISTINCT relkind::text FROM pg_class WHERE {ours} ORDER BY 1")
    assert kinds == [("S",), ("i",), ("r",)], "no view: one would need security_invoker"


def test_every_key_begins_with_the_organization(owner: Connection) -> None:
    keys = ask(
        owner,
        """SELECT c.relname, x.relname, i.indisprimary, (SELECT array_agg(a.attname::text ORDER BY k.place)
             FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number), i.indisunique
           FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
           WHERE c.relnamespace = 'public'::regnamespace AND c.relname NOT IN ('alembic_version', 'organizations')""",
    )
    assert {table for table, _, primary, _, _ in keys if primary} == TENANT_TABLES - {"organizations"}
    without = {(index, unique) for _, index, _, columns, unique in keys if columns[0] != "organization_id"}
    assert without == {(index, False) for index in WITHOUT_TENANT}
    primary = {table: columns for table, _, primary, columns, _ in keys if primary}
    assert {table: columns for table, columns in primary.items() if columns != ["organization_id", "id"]} == {
        "idempotency_keys": ["organization_id", "key"]
    }


def test_every_tenant_column_is_a_required_uuid(owner: Connection) -> None:
    columns = ask(
        owner,
        """SELECT table_name, data_type, is_nullable, column_default FROM information_schema.columns
           WHERE table_schema = 'public' AND column_name = 'organization_id' ORDER BY 1""",
    )
    assert columns == [(table, "uuid", "NO", None) for table in sorted(TENANT_TABLES - {"organizations"})]


def test_every_foreign_key_carries_the_organization(owner: Connection) -> None:
    keys = ask(
        owner,
        """SELECT conname, confrelid::regclass::text, here.names, there.names, condeferrable, confdeltype::text,
             confupdtype::text, confmatchtype::text
           FROM pg_constraint f,
             LATERAL (SELECT array_agg(attname::text ORDER BY place) FROM unnest(conkey) WITH ORDINALITY k (n, place)
               JOIN pg_attribute ON attrelid = conrelid AND attnum = n) here (names),
             LATERAL (SELECT array_agg(attname::text ORDER BY place) FROM unnest(confkey) WITH ORDINALITY k (n, place)
               JOIN pg_attribute ON attrelid = confrelid AND attnum = n) there (names)
           WHERE contype = 'f'""",
    )
    assert len(keys) == len([key for table in Base.metadata.tables.values() for key in table.foreign_key_constraints])
    for name, parent, here, there, deferrable, on_delete, on_update, match in keys:
        assert here[0] == "organization_id", name
        assert there[0] == ("id" if parent == "organizations" else "organization_id"), name
        assert (deferrable, on_delete, on_update) == (False, "a", "a"), f"{name}: refused at once, never cascading"
        assert match == "s", name


def test_row_level_security_is_forced_on_every_tenant_table(owner: Connection) -> None:
    rows = ask(
        owner,
        """SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
           AND relrowsecurity AND relforcerowsecurity""",
    )
    assert {row[0] for row in rows} == TENANT_TABLES


def test_each_tenant_table_has_one_policy_for_every_command_and_everybody(owner: Connection) -> None:
    me = ask(owner, "SELECT current_user::text")[0][0]
    rows = ask(owner, "SELECT tablename, policyname, permissive, roles::text[], cmd, qual, with_check FROM pg_policies")
    setting = "(current_setting('app.organization_id'::text))::uuid"
    expected = [
        (table, "tenant", "PERMISSIVE", ["public"], "ALL", f"({column} = {setting})", None)
        for table in TENANT_TABLES
        for column in ["id" if table == "organizations" else "organization_id"]
    ]
    expected += [(table, "sign_in", "PERMISSIVE", [me], "SELECT", "true", None) for table in READ_BEFORE_SIGN_IN]
    expected += [(table, "sign_in", "PERMISSIVE", [me], "ALL", "true", None) for table in ("failures", "taken")]
    expected += [(table, "search", "PERMISSIVE", [me], "SELECT", "true", None) for table in SEARCHED_BY_THE_OWNER]
    assert sorted(rows) == sorted(expected)


def test_the_application_role_owns_nothing_and_has_no_power(owner: Connection, config: Config) -> None:
    role = config.application_role
    flags = "rolcanlogin, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication"
    assert ask(owner, f"SELECT {flags} FROM pg_roles WHERE rolname = %s", role) == [(True, *[False] * 5)]
    owned = "SELECT classid::regclass::text FROM pg_shdepend WHERE refobjid = %s::regrole AND deptype = 'o'"
    assert ask(owner, owned, role) == []
    assert ask(owner, "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = %s::regrole", role) == []
    assert ask(owner, "SELECT setconfig FROM pg_db_role_setting WHERE setrole = %s::regrole", role) == []


def test_the_application_role_has_these_grants_and_no_others(owner: Connection, config: Config) -> None:
    granted = ask(
        owner,
        """SELECT c.relname, string_agg(privilege_type, ', ' ORDER BY privilege_type)
           FROM pg_class c, aclexplode(c.relacl) a
           WHERE c.relnamespace = 'public'::regnamespace AND a.grantee = %s::regrole GROUP BY 1""",
        config.application_role,
    )
    expected = {**GRANTS, "ledger_numbers": "USAGE"}
    assert dict(granted) == {table: ", ".join(sorted(grants.split(", "))) for table, grants in expected.items()}
    anybody = "SELECT c.oid::regclass::text FROM pg_class c, aclexplode(c.relacl) a WHERE a.grantee = 0"
    assert (
        ask(owner, f"{anybody} AND c.relnamespace <> ALL ('{{pg_catalog,information_schema}}'::regnamespace[])") == []
    )
    by_column = "SELECT attrelid::regclass::text FROM pg_attribute WHERE attacl IS NOT NULL AND attrelid > 16383"
    assert ask(owner, by_column) == []
    assert ask(owner, "SELECT count(*) FROM pg_default_acl") == [(0,)]


def test_the_application_role_may_make_nothing_in_the_schemas_it_uses(application: Connection) -> None:
    for schema in ("public", "lanes", "sign_in"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ask(application, f"CREATE TABLE {schema}.mine (id int)")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        ask(application, "CREATE SCHEMA mine")


def test_the_application_role_reaches_failed_sign_ins_and_taken_challenges_by_functions_only(
    application: Connection, owner: Connection
) -> None:
    tables = ("failures", "taken")
    for statement in [f"{verb} FROM sign_in.{table}" for table in tables for verb in ("SELECT *", "DELETE")]:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ask(application, statement)
    secured = "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class WHERE relkind = 'r'"
    assert ask(owner, f"{secured} AND relnamespace = 'sign_in'::regnamespace ORDER BY 1") == [
        (table, True, True) for table in tables
    ]


def test_every_point_in_time_has_a_time_zone(owner: Connection) -> None:
    rows = ask(
        owner,
        """SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod) FROM pg_attribute
           JOIN pg_class c ON c.oid = attrelid WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
             AND attnum > 0
             AND (atttypid = ANY ('{timestamp,timestamptz,time,timetz}'::regtype[]) OR attname ~ '_at$')""",
    )
    assert {kind for _, _, kind in rows} == {"timestamp with time zone"}
    assert len(rows) > 30


def test_every_table_is_audited_or_append_only(owner: Connection) -> None:
    triggers = {
        (table, name): (re.sub(r"^.*? (AFTER|BEFORE)", r"\1", definition), enabled)
        for table, name, definition, enabled in ask(
            owner,
            """SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), tgenabled::text
               FROM pg_trigger WHERE NOT tgisinternal""",
        )
    }
    expected = {}
    for table in TENANT_TABLES - APPEND_ONLY:
        organization = "id" if table == "organizations" else "organization_id"
        arguments = ", ".join(f"'{name}'" for name in (organization, "id", *SECRETS.get(table, ())))
        expected[table, "audit"] = (
            f"AFTER INSERT OR DELETE OR UPDATE ON public.{table} FOR EACH ROW"
            f" EXECUTE FUNCTION record_change({arguments})",
            "O",
        )
    for table in APPEND_ONLY:
        events = "UPDATE" if table == "idempotency_keys" else "DELETE OR UPDATE"  # the operator purges old keys
        expected[table, "append_only"] = (
            f"BEFORE {events} ON public.{table} FOR EACH ROW EXECUTE FUNCTION refuse_change()",
            "O",
        )
        expected[table, "append_only_truncate"] = (
            f"BEFORE TRUNCATE ON public.{table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
            "O",
        )
    for (table, name), definition in NOTING.items():
        expected[table, name] = (f"{definition}()", "O")
    assert triggers == expected


def test_the_models_describe_the_same_tables_as_the_migrations(config: Config, empty_config: Config) -> None:
    """Columns, defaults, checks, keys, indexes, enums and storage: `alembic check` compares only some of them."""
    url = normalised_url(empty_config.database_url)
    engine = create_engine(url, poolclass=pool.NullPool)
    with owner_of(empty_config) as connection:
        ask(connection, "CREATE EXTENSION pg_trgm")
    Base.metadata.create_all(engine)
    modelled = describe(url, TABLES)
    migrated = describe(normalised_url(config.database_url), TABLES)
    ours = {line for line in migrated if not re.search(r"alembic_version|lanes\.|sign_in\.", line)}
    assert modelled == ours
    assert len([line for line in modelled if line.startswith("constraint:") and " CHECK " in line]) > 25


def test_a_function_that_runs_as_the_owner_trusts_no_search_path_and_not_everybody(
    owner: Connection, config: Config
) -> None:
    functions = ask(
        owner,
        """SELECT proname, prosecdef, proconfig, has_function_privilege('public', p.oid, 'EXECUTE'),
             has_function_privilege(%s, p.oid, 'EXECUTE')
           FROM pg_proc p WHERE pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
             AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')""",
        config.application_role,
    )
    definers = {name: rest for name, is_definer, *rest in functions if is_definer}
    pinned = ["search_path=pg_catalog, public, pg_temp"]
    assert definers == {
        "record_change": [pinned, False, False],
        **{name: [pinned, False, True] for name in FUNCTIONS_OF_THE_APPLICATION},
    }
    invokers = {name: rest for name, is_definer, *rest in functions if not is_definer}
    noting = {definition.rsplit(" ", 1)[1]: [pinned, False, False] for definition in NOTING.values()}
    assert invokers == {"refuse_change": [None, True, True], **noting}


def test_there_are_256_lanes_and_16_of_reports_and_the_application_may_lock_each_but_put_nothing_in(
    owner: Connection, application: Connection
) -> None:
    lanes = ask(owner, "SELECT relname FROM pg_class WHERE relnamespace = 'lanes'::regnamespace ORDER BY 1")
    assert lanes == [(f"lane_{lane:03d}",) for lane in range(256 + 16)]
    assert (LANES, REPORT_LANES) == (256, 16)

    ask(application, f"BEGIN; {lock_lanes(range(LANES + REPORT_LANES))}")
    held = ask(
        application,
        """SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE l.pid = pg_backend_pid()
           AND l.mode = 'ExclusiveLock' AND l.granted AND c.relnamespace = 'lanes'::regnamespace""",
    )
    assert held == [(272,)]
    ask(application, "ROLLBACK")
    for statement in ("SELECT * FROM lanes.lane_000", "INSERT INTO lanes.lane_000 VALUES (true)"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ask(application, statement)
    with pytest.raises(psycopg2.errors.CheckViolation):
        ask(owner, "INSERT INTO lanes.lane_255 VALUES (true)")


def test_taking_a_lane_takes_no_snapshot(application: Connection, owner: Connection) -> None:
    """Why lanes are tables: a transaction that waited for one sees what its last owner committed."""
    with application.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; LOCK TABLE lanes.lane_007 IN EXCLUSIVE MODE")
        assert ask(owner, "SELECT backend_xmin FROM pg_stat_activity WHERE pid = %s", application.info.backend_pid) == [
            (None,)
        ]
        cursor.execute("SELECT count(*) FROM pg_class")
        ((xmin,),) = ask(
            owner, "SELECT backend_xmin IS NOT NULL FROM pg_stat_activity WHERE pid = %s", application.info.backend_pid
        )
        assert xmin
        cursor.execute("ROLLBACK")


def test_every_quantity_is_a_whole_number(owner: Connection) -> None:
    """A quantity is a count of dispensing units, never a float. An event of payer drift has rates and medians."""
    rows = ask(
        owner,
        """SELECT table_name || '.' || column_name, data_type FROM information_schema.columns
           WHERE table_schema = 'public' AND table_name <> 'drift_events'
             AND (data_type IN ('real', 'double precision', 'numeric', 'money')
             OR column_name ~ 'units')""",
    )
    assert {kind for _, kind in rows} == {"integer"}
    assert len(rows) > 8
