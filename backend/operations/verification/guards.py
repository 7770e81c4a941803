"""The guards of the schema: what must stand for the rules of the data to hold tomorrow. Not per hospital.

`guards` looks for what every release must have, `guard_texts` for the text of each guard: a function or a CHECK that
was replaced by one of the same name, which lets everything pass, is still there.

Decision: guards.txt in the repository says what the migrations make, one line a guard, with the hash of its text.
Because a database that was changed cannot vouch for itself. Cost: a migration that makes or changes a guard changes a
line there; a test compares the two and writes the new file. The texts are PostgreSQL's own, alike from 15 to 18.

Not looked at: the lanes, which order writers and keep nothing from anybody; rights to read; and what else lies in the
database, unless it is a trigger, rule or policy of one of our tables, or a function that runs as its owner.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

from sqlalchemy import MetaData
from sqlalchemy.dialects import postgresql

from backend.operations.verification import Invariant

FROZEN = Path(__file__).with_name("guards.txt")
_TENANT_TABLES = """pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id'
  AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace"""

GUARDS = Invariant(
    "The guards of the schema stand: row-level security, triggers, constraints, indexes",
    f"""SELECT 'table ' || c.relname || ': row-level security is not forced' FROM {_TENANT_TABLES}
      WHERE NOT (c.relrowsecurity AND c.relforcerowsecurity)
    UNION ALL SELECT 'table ' || c.relname || ': no policy keeps it to its hospital' FROM {_TENANT_TABLES}
      WHERE NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'tenant' AND p.polcmd = '*')
    UNION ALL SELECT 'table ' || polrelid::regclass || ': policy ' || polname || ' lets everybody in'
      FROM pg_policy WHERE polname <> 'tenant' AND polpermissive AND 0 = ANY (polroles)
    UNION ALL SELECT 'table ' || c.relname || ': neither audited nor append-only' FROM {_TENANT_TABLES}
      WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid
        AND t.tgfoid IN (to_regproc('record_change'), to_regproc('refuse_change')))
    UNION ALL SELECT 'table ' || t.tgrelid::regclass || ': trigger ' || t.tgname || ' is disabled'
      FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid AND c.relnamespace = 'public'::regnamespace
      WHERE t.tgenabled NOT IN ('O', 'A')
    UNION ALL SELECT 'table ' || conrelid::regclass || ': constraint ' || conname || ' is not validated'
      FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND NOT convalidated
    UNION ALL SELECT 'index ' || indexrelid::regclass || ' is invalid' FROM pg_index i
      JOIN pg_class c ON c.oid = i.indrelid AND c.relnamespace = 'public'::regnamespace WHERE NOT indisvalid
    UNION ALL SELECT 'triggers are at rest for ' || coalesce(nullif(setrole, 0)::regrole::text, 'everybody')
      FROM pg_db_role_setting, unnest(setconfig) AS setting WHERE setting ~ '^session_replication_role=(?!origin$)'
    UNION ALL SELECT 'triggers are at rest for everybody'
      WHERE current_setting('session_replication_role') <> 'origin'""",
)


def guards(metadata: MetaData) -> Invariant:
    """GUARDS, and every constraint and index that `metadata` names is there."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    named = dialect.identifier_preparer.format_constraint  # by the naming convention
    tables = metadata.sorted_tables
    names = [(table.name, named(constraint)) for table in tables for constraint in table.constraints]
    names += [(table.name, named(index)) for table in tables for index in table.indexes]
    wanted = ", ".join(f"('{table}', '{name}')" for table, name in names)
    missing = f"""SELECT 'table ' || relation || ': ' || name || ' is missing'
      FROM (VALUES {wanted}) AS wanted (relation, name)
      WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass(relation) AND conname = name)
        AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass(relation)
          AND indexrelid = to_regclass(name))"""
    return replace(GUARDS, query=f"{GUARDS.query} UNION ALL {missing}")


_OURS = """ours AS (
  SELECT c.oid, c.relkind, c.relowner, c.relacl, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
    CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname IN ('public', 'sign_in') AND c.relkind IN ('r', 'p', 'S')
), procedures AS (
  SELECT p.*, CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || p.proname || '('
    || pg_get_function_identity_arguments(p.oid) || ')' AS name
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE n.nspname IN ('public', 'sign_in')
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
)"""
_COLUMN = """concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END,
  nullif(a.attidentity::text, ''), nullif(a.attgenerated::text, ''), pg_get_expr(d.adbin, d.adrelid))"""
_ROLE = "CASE role WHEN 0 THEN 'everybody' WHEN relowner THEN 'owner' ELSE 'another' END"
# The guards that there are by kind: name, text, and whether one that the migrations did not make breaks the rule.
_KINDS = {
    "function": """SELECT p.name, concat_ws(E'\\n', l.lanname, p.prokind, p.prosecdef, p.provolatile, p.proconfig,
        pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), p.prosrc), p.prosecdef
      FROM procedures p JOIN pg_language l ON l.oid = p.prolang""",
    "trigger": """SELECT o.name || '.' || t.tgname, pg_get_triggerdef(t.oid), true
      FROM ours o JOIN pg_trigger t ON t.tgrelid = o.oid AND NOT t.tgisinternal""",
    "rule": "SELECT o.name || '.' || r.rulename, pg_get_ruledef(r.oid), true FROM ours o"
    " JOIN pg_rewrite r ON r.ev_class = o.oid",
    "policy": f"""SELECT o.name || '.' || p.polname, concat_ws(' ', p.polpermissive, p.polcmd,
        (SELECT string_agg({_ROLE}, ',' ORDER BY {_ROLE}) FROM unnest(p.polroles) AS role),
        pg_get_expr(p.polqual, p.polrelid), 'CHECK ' || pg_get_expr(p.polwithcheck, p.polrelid)), true
      FROM ours o JOIN pg_policy p ON p.polrelid = o.oid""",
    "constraint": """SELECT o.name || '.' || k.conname, pg_get_constraintdef(k.oid), false
      FROM ours o JOIN pg_constraint k ON k.conrelid = o.oid AND k.contype IN ('c', 'f', 'p', 'u', 'x')""",
    "unique index": """SELECT o.name || '.' || i.indexrelid::regclass, pg_get_indexdef(i.indexrelid), false
      FROM ours o JOIN pg_index i ON i.indrelid = o.oid AND i.indisunique
      WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = o.oid AND k.conindid = i.indexrelid)""",
    "table": f"""SELECT o.name, concat_ws(E'\\n', o.relkind, o.relpersistence, o.relrowsecurity, o.relforcerowsecurity,
        string_agg({_COLUMN}, E'\\n' ORDER BY a.attname)), false
      FROM ours o JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
        AND o.relkind <> 'S'
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      GROUP BY o.name, o.relkind, o.relpersistence, o.relrowsecurity, o.relforcerowsecurity""",
    "rights to write": """SELECT o.name, coalesce(string_agg(DISTINCT r.privilege_type, ', '), 'nobody'), false
      FROM ours o LEFT JOIN LATERAL (SELECT * FROM aclexplode(o.relacl)
          UNION ALL SELECT acl.* FROM pg_attribute a, aclexplode(a.attacl) acl WHERE a.attrelid = o.oid) r
        ON r.grantee <> o.relowner AND r.privilege_type NOT IN ('SELECT', 'MAINTAIN')
      GROUP BY o.name""",
    "rights to run": """SELECT p.name, coalesce(string_agg(DISTINCT
        CASE r.grantee WHEN 0 THEN 'everybody' ELSE 'roles' END, ', '), 'nobody'), false
      FROM procedures p LEFT JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) r
        ON r.grantee <> p.proowner
      GROUP BY p.name""",
}
_UNION = " UNION ALL ".join(f"SELECT '{kind}', * FROM ({query}) AS guard" for kind, query in _KINDS.items())
_SHOWN = "CASE WHEN kind IN ('function', 'table') THEN '' ELSE ': ' || left(text, 200) END"  # those two are too long
_FOUND = f"WITH {_OURS}, found (kind, name, text, matters) AS ({_UNION})"
TEXTS = f"{_FOUND} SELECT kind, name, encode(sha256(convert_to(text, 'UTF8')), 'hex') AS hash FROM found"


@cache
def frozen() -> list[tuple[str, str, str]]:
    """Return kind, name and hash of each guard that the migrations make, as guards.txt says."""
    lines = FROZEN.read_text().splitlines()
    return [(kind, name, digest) for line in lines for kind, name, digest in [line.split("\t")]]


def guard_texts() -> Invariant:
    """The rule that each guard has the text that the migrations made, that none was added which could undo another,
    and that one role owns all."""
    wanted = ", ".join(f"('{kind}', '{name}', '{digest}')" for kind, name, digest in frozen())
    return Invariant(
        "Every guard is, word for word, what the migrations made, and nothing beside it",
        f"""{_FOUND}, wanted (kind, name, hash) AS (VALUES {wanted})
        SELECT kind || ' ' || name || CASE WHEN text IS NULL THEN ' is missing'
            WHEN hash IS NULL THEN ' was made by no migration' || {_SHOWN}
            ELSE ' is not what the migrations made' || {_SHOWN} END
          FROM found FULL JOIN wanted USING (kind, name)
          WHERE encode(sha256(convert_to(text, 'UTF8')), 'hex') IS DISTINCT FROM hash AND (matters OR hash IS NOT NULL)
        UNION ALL SELECT name || ' belongs to ' || relowner::regrole FROM (SELECT name, relowner FROM ours
            UNION ALL SELECT name, proowner FROM procedures WHERE prosecdef) AS owned (name, relowner)
          WHERE relowner <> (SELECT relowner FROM ours WHERE name = 'alembic_version')""",
    )
