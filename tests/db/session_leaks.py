"""What a session could carry from one transaction to the next."""

from typing import Any

from backend.db import Database

# Roles, settings, temporary relations and functions, statements prepared with an id in them, locks, cursors, channels.
STATE = """SELECT current_user::text, session_user::text,
  coalesce(current_setting('app.organization_id', true), ''), coalesce(current_setting('app.user_id', true), ''),
  coalesce(current_setting('app.request_id', true), ''),
  (SELECT array_agg(name || '=' || setting ORDER BY name) FROM pg_settings WHERE source = 'session'),
  (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
  (SELECT count(*) FROM pg_proc WHERE pronamespace = pg_my_temp_schema()),
  (SELECT count(*) FROM pg_prepared_statements WHERE statement ~ '[0-9a-f]{8}-[0-9a-f]{4}-'),
  (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND (locktype = 'advisory' OR mode ~ 'Exclusive')
    AND locktype <> 'virtualxid'),
  (SELECT count(*) FROM pg_cursors WHERE name <> ''), (SELECT count(*) FROM pg_listening_channels()),
  current_setting('transaction_isolation'), current_setting('transaction_read_only')"""


def state_of(database: Database) -> tuple[int, int, tuple[Any, ...]]:
    """The backend of the pooled connection that is next, the state of its protocol, and what its session carries."""
    link = database.engine.raw_connection()
    try:
        with link.cursor() as cursor:
            driver: Any = link.driver_connection
            status = driver.info.transaction_status
            cursor.execute(STATE)
            return driver.info.backend_pid, status, cursor.fetchone()
    finally:
        link.close()
