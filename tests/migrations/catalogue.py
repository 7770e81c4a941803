"""What a database consists of, as lines from PostgreSQL's catalogue that can be compared.

Each query yields lines for everything outside PostgreSQL's own schemas. `TABLES` is what models describe as well;
`GUARDS` is what only migrations make.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2.extensions
import pytest
from sqlalchemy.engine.url import URL

from backend.config import Config
from backend.db.engine import normalised_url
from backend.db.provision import connect

OURS = "nspname !~ '^pg_' AND nspname <> 'information_schema'"

TABLES = {
    "table": f"""SELECT c.oid::regclass || ' ' || c.relkind::text || ' ' || coalesce(c.reloptions::text, '')
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {OURS} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')""",
    "column": f"""SELECT a.attrelid::regclass || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
          || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END || ' identity ' || quote_literal(a.attidentity::text)
          || ' generated ' || quote_literal(a.attgenerated::text)
          || ' default ' || coalesce(pg_get_expr(d.adbin, d.adrelid), 'none')
          || ' collation ' || a.attcollation::regcollation
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE {OURS} AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped""",
    "constraint": f"""SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(k.oid)
          || CASE WHEN convalidated THEN '' ELSE ' NOT VALID' END
        FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace WHERE {OURS}""",
    "index": f"""SELECT pg_get_indexdef(indexrelid) || CASE WHEN indisvalid THEN '' ELSE ' INVALID' END
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {OURS}""",
    "type": f"""SELECT t.oid::regtype || ' ' || coalesce((SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder)
          FROM pg_enum WHERE enumtypid = t.oid), t.typtype::text)
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE {OURS} AND t.typtype IN ('e', 'd', 'r', 'm')""",
}
GUARDS = {
    "database": """SELECT a.grantee::regrole || ' ' || a.privilege_type
        FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) a WHERE datname = current_database()""",
    "schema": f"""SELECT nspname || ' ' || a.grantee::regrole || ' ' || a.privilege_type
        FROM pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a WHERE {OURS}""",
    "row security": f"""SELECT c.oid::regclass || ' ' || relrowsecurity || ' ' || relforcerowsecurity
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS} AND relkind IN ('r', 'p')""",
    "policy": """SELECT concat_ws(' ', tablename, policyname, permissive, cmd, roles, qual, with_check)
        FROM pg_policies""",
    "grant": f"""SELECT c.oid::regclass || ' ' || a.grantee::regrole || ' ' || a.privilege_type
          || CASE WHEN a.is_grantable THEN ' grantable' ELSE '' END
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(coalesce(c.relacl,
          acldefault(CASE WHEN c.relkind = 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) a
        WHERE {OURS} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')""",
    "column grant": f"""SELECT attrelid::regclass || '.' || attname || ' ' || attacl::text
        FROM pg_attribute JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {OURS} AND attacl IS NOT NULL""",
    "trigger": f"""SELECT t.tgrelid::regclass || ' ' || pg_get_triggerdef(t.oid) || ' ' || tgenabled::text
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {OURS} AND NOT tgisinternal""",
    "function": f"""SELECT pg_get_functiondef(p.oid) || ' ' || (SELECT string_agg(
            CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END || '=' || privilege_type, ','
            ORDER BY a.grantee) FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) a)
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {OURS}""",
    "default grant": "SELECT concat_ws(' ', defaclrole::regrole, defaclobjtype, defaclacl) FROM pg_default_acl",
    "extension": "SELECT extname FROM pg_extension",
    "event trigger": "SELECT evtname FROM pg_event_trigger",
}


@contextmanager
def owner_of(config: Config) -> Iterator[psycopg2.extensions.connection]:
    """A connection of the owner, closed at the end."""
    with closing(connect(normalised_url(config.database_url))) as connection:
        yield connection


def ask(connection: psycopg2.extensions.connection, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of `query`."""
    with connection.cursor() as cursor:
        cursor.execute(query, values or None)
        return cursor.fetchall() if cursor.description else []


def needs_superuser(connection: psycopg2.extensions.connection) -> None:
    """Skips the test where the user who started the session is no superuser."""
    if ask(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") != [(True,)]:
        pytest.skip("the user of VALMED_DATABASE_URL is no superuser")


def describe(url: URL, queries: dict[str, str] | None = None) -> set[str]:
    """Everything in the database at `url`, one line each."""
    lines = {}
    with closing(connect(url)) as connection:
        for kind, query in (queries or {**TABLES, **GUARDS}).items():
            lines[kind] = {f"{kind}: {row[0]}" for row in ask(connection, query)}
    assert lines.keys() == (queries or {**TABLES, **GUARDS}).keys()
    return set().union(*lines.values())
