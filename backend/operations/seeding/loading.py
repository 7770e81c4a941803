"""How rows get in: COPY into a temporary table, then INSERT ... SELECT, as the owner and under the tenant's policy.

COPY FROM refuses a table with row-level security, and the owner is held to it as well (FORCE). So each batch is
staged first and inserted by a statement that every policy, check, foreign key and audit trigger sees.

Decision: a connection of its own, not `Database.transact`. Because COPY is the driver's and a batch takes longer than
the statement timeout of a request. Cost: a second place that begins and commits, for the operator alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from io import StringIO
from uuid import UUID

import psycopg2.extensions
from sqlalchemy.engine.url import URL

from backend.db.provision import connect

REQUEST_ID = "seed"  # what the audit trail shows as the request

Row = Sequence[object]


class Batch:
    """One transaction of rows."""

    def __init__(self, cursor: psycopg2.extensions.cursor, organization_id: UUID) -> None:
        self._cursor = cursor
        self._organization_id = organization_id

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> int:
        """Inserts `rows` into `table`, `organization_id` in front of `columns`, and says how many there were.

        Text must hold no tab, newline or backslash. Raises psycopg2.Error, after which nothing of the batch stays.
        """
        names = ", ".join(columns)
        staged = f"staged_{table}"
        lines = "".join(["\t".join(map(_text, row)) + "\n" for row in rows])
        self._cursor.execute(f"CREATE TEMP TABLE {staged} ON COMMIT DROP AS SELECT {names} FROM {table} WITH NO DATA")
        self._cursor.copy_expert(f"COPY {staged} ({names}) FROM STDIN", StringIO(lines))
        self._cursor.execute(
            f"INSERT INTO {table} (organization_id, {names}) SELECT %s, {names} FROM {staged}",
            (str(self._organization_id),),
        )
        return self._cursor.rowcount

    def run(self, statement: str) -> None:
        """Runs a statement whose one parameter is the organization; it sees the `staged_` tables of this batch."""
        self._cursor.execute(statement, (str(self._organization_id),))


class Loader:
    """The owner's connection for the rows of one organization."""

    def __init__(self, connection: psycopg2.extensions.connection, organization_id: UUID) -> None:
        self._connection = connection
        self._organization_id = organization_id

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("SET LOCAL app.organization_id = %s", (str(self._organization_id),))
            cursor.execute("SET LOCAL app.request_id = %s", (REQUEST_ID,))
            yield Batch(cursor, self._organization_id)

    def analyze(self, tables: Iterable[str]) -> None:
        """Refreshes the planner's statistics of `tables`."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {', '.join(tables)}")


@contextmanager
def loading(url: URL, organization_id: UUID) -> Iterator[Loader]:
    """A Loader on a new connection to `url`, closed at the end. Raises psycopg2.OperationalError."""
    with closing(connect(url)) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", autocommit=False)
        yield Loader(connection, organization_id)


def _text(value: object) -> str:
    """One value in COPY's text format."""
    return "\\N" if value is None else str(value)
