"""What is in a database at one moment: its tables with their rows, its migration, its roles."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, create_engine, pool, text
from sqlalchemy.engine.url import URL

OURS = """n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
    AND d.deptype = 'e')"""
_TABLES = f"""SELECT format('%I.%I', n.nspname, c.relname), row_security_active(c.oid),
  CASE WHEN c.oid = to_regclass('public.organizations') THEN 'id' ELSE (SELECT a.attname FROM pg_attribute a
    WHERE a.attrelid = c.oid AND a.attname = 'organization_id') END
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname <> 'lanes' AND {OURS} ORDER BY 1"""
_ROLES = """SELECT DISTINCT pg_get_userbyid(a.grantee) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
  aclexplode(c.relacl) a WHERE n.nspname IN ('public', 'lanes') AND a.grantee <> 0 AND a.grantee <> c.relowner
  ORDER BY 1"""


@dataclass(frozen=True, slots=True)
class Moment:
    """One snapshot of a database, open for as long as its block lasts; others read the same by its name."""

    connection: Connection
    snapshot: str

    def value(self, query: str) -> str:
        """The first column of the first row of `query`, as text."""
        return str(self.connection.execute(text(query)).scalar_one())

    def tables_in_part(self) -> list[str]:
        """The tables of which row-level security keeps rows from this role."""
        return [name for name, guarded, _ in self._tables() if guarded]

    def count_rows(self) -> dict[str, int]:
        """The rows of every table but the lanes, which are empty.

        A role that row-level security keeps to one hospital counts hospital by hospital: every row of such a table
        refers to its own.
        """
        hospitals = self.connection.execute(text("SELECT id FROM organizations")).scalars().all()
        return {
            table: sum(self._count_of(table, column, hospital) for hospital in hospitals)
            if guarded and column
            else self._count(f"SELECT count(*) FROM {table}")
            for table, guarded, column in self._tables()
        }

    def _count_of(self, table: str, column: str, hospital: UUID) -> int:
        """Named in the query too: a policy may let the owner see more than one hospital of a table."""
        self.connection.execute(text(f"SET LOCAL app.organization_id = '{hospital}'"))
        return self._count(f"SELECT count(*) FROM {table} WHERE {column} = '{hospital}'")

    def _count(self, query: str) -> int:
        return int(self.connection.execute(text(query)).scalar_one())

    def roles(self) -> list[str]:
        """Who else than the owner has rights on tables: they must exist where this is restored."""
        return list(self.connection.execute(text(_ROLES)).scalars())

    def _tables(self) -> list[tuple[str, bool, str | None]]:
        """Name, whether row-level security holds for this role, and the column that names the hospital."""
        return [(name, guarded, column) for name, guarded, column in self.connection.execute(text(_TABLES))]


@contextmanager
def one_moment(url: URL) -> Iterator[Moment]:
    """A read-only REPEATABLE READ transaction on the database of `url` whose snapshot others may take."""
    engine = create_engine(url, poolclass=pool.NullPool, isolation_level="REPEATABLE READ")
    with engine.connect() as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))  # it waits for pg_dump
        yield Moment(connection, connection.execute(text("SELECT pg_export_snapshot()")).scalar_one())


def is_empty(url: URL) -> bool:
    """Whether the database of `url` has no relation but those of extensions."""
    engine = create_engine(url, poolclass=pool.NullPool)
    query = f"SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS})"
    with engine.connect() as connection:
        return not connection.execute(text(query)).scalar_one()
