"""How many connections the server has for the application, and whether the application's pools fit.

Decision: one arithmetic for `valmed serve`, which refuses what cannot work, and `valmed tune`, which proposes what
does. Because two would part. Cost: `serve` reads two catalogues more, once.

PostgreSQL 18 documentation, 19.3.1 "Connection Settings": of max_connections, superuser_reserved_connections are kept
for superusers and reserved_connections (since 16) for pg_use_reserved_connections. CREATE ROLE and CREATE DATABASE:
CONNECTION LIMIT bounds the sessions of one role and of one database.
"""

from dataclasses import dataclass

import psycopg2.extensions

from backend.config import Config, ConfigError

_LIMITS = """
SELECT current_setting('max_connections')::int,
  current_setting('superuser_reserved_connections')::int
    + coalesce(current_setting('reserved_connections', true), '0')::int,
  (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = %s),
  (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the sessions of the application role; None is no bound."""

    max_connections: int
    reserved: int  # of max_connections, for roles that the application is not
    role: int | None = None
    database: int | None = None

    @property
    def available(self) -> int:
        """The most sessions that the application role may have at once."""
        bounds = (self.max_connections - self.reserved, self.role, self.database)
        return min(bound for bound in bounds if bound is not None)

    @property
    def to_raise(self) -> str:
        """What somebody would raise to have more."""
        if self.available == self.max_connections - self.reserved:
            return "max_connections"
        return f"the CONNECTION LIMIT of the {'role' if self.available == self.role else 'database'}"


def read_limits(connection: psycopg2.extensions.connection, role: str) -> Limits:
    """The limits of the connected server and database for `role`, which need not exist yet. Raises psycopg2.Error."""
    with connection.cursor() as cursor:
        cursor.execute(_LIMITS, (role,))
        row = cursor.fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return Limits(*row)


def ensure_pool_fits(config: Config, limits: Limits) -> None:
    """Raises ConfigError where the pools of this node alone may open more connections than the server allows."""
    wanted = config.connections_max()
    if wanted > limits.available:
        raise ConfigError(
            f"the pool may open {wanted} connections and the server allows {limits.available}: lower VALMED_POOL_SIZE, "
            f"VALMED_POOL_MAX_OVERFLOW or VALMED_WORKERS, or raise {limits.to_raise}; `valmed tune` says to what"
        )
