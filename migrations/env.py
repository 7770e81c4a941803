"""How migrations run: one connection as the owner, one migration at a time, each in its own transaction.

Run them with `valmed db upgrade`, which also sees to the application role; plain `alembic` commands work from a
checkout with VALMED_DATABASE_URL set. A session advisory lock makes two deploys queue.
"""

import time
from collections.abc import Callable, Iterable

from alembic import context
from alembic.operations import MigrationScript
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, pool

from backend.config import Config
from backend.db.engine import normalised_url
from backend.db.provision import application_role
from backend.domain.models import Base

UPGRADE_LOCK = 0x56616C4D  # "ValM"
LOCK_SECONDS_MAX = 3_600
OPTIONS = "-c lock_timeout=4s -c statement_timeout=30min -c TimeZone=UTC -c client_min_messages=warning"


def number_revision(
    _context: MigrationContext,
    _revision: str | Iterable[str | None] | None,
    directives: list[MigrationScript],
) -> None:
    """Names a new migration with the next number: 0001, 0002 ..."""
    head = ScriptDirectory.from_config(context.config).get_current_head()
    directives[0].rev_id = f"{int(head or 0) + 1:04d}"


def configure(**options: object) -> None:
    """What online and offline runs share."""
    context.configure(
        target_metadata=Base.metadata,
        transaction_per_migration=True,
        compare_server_default=True,
        process_revision_directives=number_revision,
        **options,  # type: ignore[arg-type]
    )


class _Warnings:
    """What psycopg2 appends the server's messages to; a migration warns of the rows that it changes.

    It gets a text that begins with the severity in the server's language, so OPTIONS ask for no milder messages.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report

    def append(self, message: str) -> None:
        _severity, _, text = message.partition(":")
        self._report(text.strip())


def _wait_for_the_upgrade_lock(connection: Connection) -> None:
    """Asks again and again: a statement that waited would hold a snapshot, for which CONCURRENTLY waits in turn."""
    for _ in range(LOCK_SECONDS_MAX * 5):
        got = connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({UPGRADE_LOCK})").scalar_one()
        connection.commit()  # an open transaction here would swallow the whole upgrade
        if got:
            return
        time.sleep(0.2)
    raise TimeoutError(f"another upgrade has been running for {LOCK_SECONDS_MAX} seconds")


def run_on(connection: Connection) -> None:
    """Migrates over `connection` while holding the upgrade lock."""
    _wait_for_the_upgrade_lock(connection)
    connection.connection.dbapi_connection.notices = _Warnings(given.get("report", print))  # type: ignore[union-attr]
    try:
        configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
    finally:
        if not connection.closed and not connection.invalidated:
            connection.rollback()
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({UPGRADE_LOCK})")
            connection.commit()


given = context.config.attributes
if "application_role" not in given:  # a plain alembic command, from a checkout
    config = Config.from_env()
    given.update(application_role=application_role(config), url=normalised_url(config.database_url))

if context.is_offline_mode():
    # The driver's own style of parameters would double every % for a driver that never sees the script.
    configure(dialect_name="postgresql", dialect_opts={"paramstyle": "named"}, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = create_engine(given["url"], poolclass=pool.NullPool, connect_args={"options": OPTIONS})
    with engine.connect() as opened:
        run_on(opened)
