"""The engine and its pool, tuned for a node that serves many short transactions.

Decision: the driver stays in autocommit and `Session` sends BEGIN itself. Because BEGIN, the tenant's settings, the
lanes and the locking SELECT then travel as one message instead of two. Cost: the pool's own reset, a driver rollback,
would do nothing, and log an error where the connection is dead, so it is off; `_end_leftovers` looks at the protocol's
transaction status instead.

Decision: check-in does not run DISCARD ALL. Because every setting is SET LOCAL and a test proves that none outlives
its transaction; DISCARD ALL costs a round trip a request and drops the prepared statements. Cost: a rule to keep.

The timeouts of a transaction are a connection's from its start as well: who signs in is looked up, and a statement is
prepared, before any SET LOCAL, and would else wait for a locked table until gunicorn ends the worker.
"""

import time
from typing import Any

import psycopg2
import psycopg2.extensions
import psycopg2.extras
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine.url import URL
from sqlalchemy.pool import ConnectionPoolEntry

from backend.config import Config, ConfigError
from backend.observability import CONNECTIONS, log

FRESH_SECONDS = 1.0
# A server that vanished in the middle of a statement, without a word, is noticed and told as 503 before gunicorn ends
# the worker for its silence. A server that is merely busy answers these probes: its kernel does.
KEEPALIVE_SECONDS, LOST_MS = 5, 15_000


class DriverConnection(psycopg2.extensions.connection):
    """A psycopg2 connection that remembers what is prepared on it and when it last answered."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prepared: set[str] = set()
        self.answered_at = 0.0


def normalised_url(text: str) -> URL:
    """`text` as a SQLAlchemy URL for psycopg2; a bare `postgresql://` would mean another driver.

    Raises ConfigError when it is not the URL of a PostgreSQL database.
    """
    try:
        url = make_url(text)
    except Exception:  # noqa: BLE001 - whatever the parser says, the setting is wrong; its text may hold a password
        raise ConfigError("the database URL cannot be read: postgresql://user:password@host:port/database") from None
    if url.drivername not in {"postgresql", "postgres", "postgresql+psycopg2"}:
        raise ConfigError(f"the database must be PostgreSQL, not {url.drivername}")
    if not url.database:
        raise ConfigError("the database URL names no database: postgresql://user:password@host:port/database")
    return url.set(drivername="postgresql+psycopg2")


def make_engine(config: Config, url: URL) -> Engine:
    """The engine of one worker: REPEATABLE READ by default, pool figures of `config`, pre-ping."""
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=config.pool_size,
        max_overflow=config.pool_max_overflow,
        pool_timeout=config.pool_timeout_seconds,
        pool_recycle=config.pool_recycle_seconds,
        pool_pre_ping=True,
        pool_use_lifo=True,
        pool_reset_on_return=None,
        connect_args={
            "connection_factory": DriverConnection,
            "connect_timeout": config.connect_timeout_seconds,
            "application_name": "valmed",
            "options": "-c default_transaction_isolation=repeatable\\ read -c TimeZone=UTC"
            f" -c lock_timeout={config.lock_timeout_ms} -c statement_timeout={config.statement_timeout_ms}",
            "keepalives_idle": KEEPALIVE_SECONDS,
            "keepalives_interval": KEEPALIVE_SECONDS,
            "tcp_user_timeout": LOST_MS,
        },
    )
    event.listen(engine, "connect", _prepare_driver)
    event.listen(engine, "close", _count_out)
    event.listen(engine, "reset", _end_leftovers)
    _ping_only_the_idle(engine)
    return engine


def _prepare_driver(connection: DriverConnection, _record: Any) -> None:
    psycopg2.extras.register_uuid(conn_or_curs=connection)  # type: ignore[no-untyped-call]
    connection.autocommit = True
    connection.answered_at = time.monotonic()
    CONNECTIONS.inc()


def _count_out(_connection: DriverConnection, _record: Any) -> None:
    CONNECTIONS.dec()


def _end_leftovers(connection: DriverConnection, record: ConnectionPoolEntry, _state: Any) -> None:
    """End what is open, on check-in: no transaction outlives its request, whatever happened in it. A connection that
    was lost meanwhile leaves the pool; what was open on it has ended with it."""
    try:
        if connection.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK")
        connection.answered_at = time.monotonic()
    except psycopg2.Error as error:
        log.info("connection_lost_idle", sqlstate=error.pgcode)
        record.invalidate(error)


def _ping_only_the_idle(engine: Engine) -> None:
    """Spares the pre-ping of a connection that answered within the last second.

    A ping is a round trip, about 4 % of a fulfilment; a connection lost within that second is handled like any
    other that is lost in the middle of its transaction.
    """
    ping = engine.dialect.do_ping

    def ping_if_idle(dbapi_connection: Any) -> bool:
        return time.monotonic() - dbapi_connection.answered_at < FRESH_SECONDS or ping(dbapi_connection)

    engine.dialect.do_ping = ping_if_idle  # type: ignore[method-assign]
