"""One transaction as a use case sees it: it can take lanes and run statements, it cannot end itself."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, TypeVar

import psycopg2.extensions
from sqlalchemy import Connection, CursorResult, Engine, Executable, PoolProxiedConnection

from backend.db.clock import CLOCK
from backend.db.lanes import lock_lanes
from backend.db.prepared import Prepared

if TYPE_CHECKING:
    from backend.db.engine import DriverConnection

Row = tuple[Any, ...]
T = TypeVar("T")


class SwallowedError(RuntimeError):
    """The work returned although a statement of it had failed; COMMIT would answer success and be a ROLLBACK."""


class Session:
    """One REPEATABLE READ transaction on one connection of the pool.

    Nothing is sent until the first statement; then BEGIN, the tenant's settings and the lanes go in front of it, as
    one message where the statement is prepared. So `take_lanes` comes first or raises RuntimeError.

    `requested_at` is the database's time when the request arrived, None for what no request asked for.
    """

    def __init__(
        self,
        engine: Engine,
        link: PoolProxiedConnection,
        prologue: str,
        *,
        prepare: bool,
        requested_at: datetime | None = None,
    ) -> None:
        self._engine = engine
        self._link = link
        self._driver: DriverConnection = link.dbapi_connection  # type: ignore[assignment]
        self._cursor = self._driver.cursor()
        self._prologue = prologue
        self._prepare = prepare
        self._core: Connection | None = None
        self._begun = False
        self._now: datetime | None = None
        self.committing = False
        self.requested_at = requested_at

    def take_lanes(self, lanes: Iterable[int]) -> None:
        """Waits for `lanes` before the snapshot is taken. Raises RuntimeError once a statement has run."""
        if self._begun:
            raise RuntimeError("lanes are taken before the first statement, else the snapshot is older than the lock")
        self._prologue += lock_lanes(lanes)

    @property
    def now(self) -> datetime:
        """Tell the database's time in this transaction: read once, after the lanes, so that it rises in their order."""
        if self._now is None:
            ((self._now,),) = self.run(CLOCK)
        return self._now

    def keep_time(self, now: datetime) -> None:
        """Remember the time that the first statement of the transaction has read with its locks."""
        self._now = now

    def run(self, statement: Prepared, /, **values: object) -> list[Row]:
        """Run a prepared statement by the driver's own path, which costs less than that of SQLAlchemy.

        `values` are those of its parameters, by name. Returns its rows. Raises TypeError, before anything is sent,
        where a name is missing or unknown.
        """
        ordered = statement.ordered(values)
        if self._prepare:
            self._make_ready(statement)
            self._cursor.execute(self._first(statement.call), ordered)
        else:
            self._cursor.execute(self._first(statement.inline), values)
        return self._cursor.fetchall() if self._cursor.description else []

    def read(self, statement: Prepared, row: Callable[..., T], /, **values: object) -> list[T]:
        """Run a prepared statement as `run` does, and make a `row` of each of its rows.

        The columns are handed to `row` by their names. Raises TypeError where it has other fields.
        """
        rows = self.run(statement, **values)
        names = [column.name for column in self._cursor.description or ()]
        return [row(**dict(zip(names, columns, strict=True))) for columns in rows]

    def execute(self, statement: Executable, values: Any = None) -> CursorResult[*tuple[Any, ...]]:
        """The result of a SQLAlchemy Core statement."""
        self._open()
        if self._core is None:
            self._core = Connection(self._engine, connection=self._link)
        return self._core.execute(statement, values)

    def copy(self, statement: str, rows: IO[bytes]) -> None:
        """Sends what `rows` holds from here to its end to COPY ... FROM STDIN, a few kilobytes at a time."""
        self._open()
        self._cursor.copy_expert(statement, rows)

    def commit(self) -> None:
        """Called by `transact` alone. Raises SwallowedError when a statement has failed unnoticed."""
        if not self._begun:
            return
        if self._driver.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_INTRANS:
            raise SwallowedError("a statement failed and its error was swallowed: nothing was committed")
        self.committing = True
        self._cursor.execute("COMMIT")
        if self._cursor.statusmessage != "COMMIT":
            raise SwallowedError(f"the server answered {self._cursor.statusmessage} to COMMIT")

    def _make_ready(self, statement: Prepared) -> None:
        if statement.name not in self._driver.prepared:
            self._cursor.execute(statement.prepare)
            self._driver.prepared.add(statement.name)

    def _first(self, text: str) -> str:
        if self._begun:
            return text
        self._begun = True
        return self._prologue + text

    def _open(self) -> None:
        if not self._begun:
            self._begun = True
            self._cursor.execute(self._prologue + CLOCK.sql)
            ((self._now,),) = self._cursor.fetchall()
