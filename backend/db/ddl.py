"""What a migration says of a table beyond its columns: tenancy, grants, audit, append-only, live indexes.

A version file calls these and nothing else of ours. Once released they change only by a new function, since a
migration means for ever what it meant when it ran.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op
from sqlalchemy.exc import OperationalError

RERUNNABLE = "-- squawk-ignore prefer-robust-stmts\n"  # outside a transaction, and seen to by the code around it
BRIEF_MS, ATTEMPTS_MAX = 500, 240  # of a lock behind which writers queue
LOCK_NOT_AVAILABLE = "55P03"
TENANT = "current_setting('app.organization_id')::uuid"


def application_role() -> str:
    """The quoted role that serves, as env.py was told."""
    config = op.get_context().config
    name = config.attributes.get("application_role", "valmed_app") if config else "valmed_app"
    return '"' + str(name).replace('"', '""') + '"'


def protect(table: str, *, grants: str, column: str = "organization_id") -> None:
    """Row-level security for everybody, the owner included, and the application role's `grants` on `table`.

    `current_setting` without a second argument: an unset or stale tenant is an error, never an empty answer.
    """
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON {table} USING ({column} = {TENANT})")
    op.execute(f"GRANT {grants} ON {table} TO {application_role()}")


def allow_sign_in(table: str) -> None:
    """Lets the owner's sign-in functions read `table` before a tenant is known; the application role gains nothing."""
    op.execute(f"CREATE POLICY sign_in ON {table} FOR SELECT TO CURRENT_USER USING (true)")


def allow_search(table: str) -> None:
    """Lets the owner's search functions read `table` past the policy that keeps LIKE from its index.

    Such a function runs for every hospital and must pick the rows of `app.organization_id` itself. The application
    role gains nothing.
    """
    op.execute(f"CREATE POLICY search ON {table} FOR SELECT TO CURRENT_USER USING (true)")


def forbid_search(table: str) -> None:
    """Takes `allow_search` back."""
    op.execute(f"DROP POLICY search ON {table}")


def audit(table: str, *secrets: str, row: str = "id", organization: str = "organization_id") -> None:
    """Every change of `table` becomes a row of audit_events, without the columns `secrets`."""
    arguments = ", ".join(f"'{name}'" for name in (organization, row, *secrets))
    op.execute(
        f"CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION record_change({arguments})"
    )


def append_only(table: str, *, deletable: bool = False) -> None:
    """UPDATE, TRUNCATE and, unless `deletable` by the operator, DELETE are refused, whoever asks."""
    events = "UPDATE" if deletable else "UPDATE OR DELETE"
    op.execute(f"CREATE TRIGGER append_only BEFORE {events} ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()")
    op.execute(
        f"CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def create_ledger_numbers() -> None:
    """The sequence from which `number_rows` takes, for tables without an identity that rises.

    The role that serves may take numbers and so learn how much all hospitals write together. A trigger that takes them
    for it would not keep that from it: the numbers of the rows that it writes tell the same, as audit_events.id does.
    """
    op.execute("CREATE SEQUENCE ledger_numbers")
    op.execute(f"GRANT USAGE ON SEQUENCE ledger_numbers TO {application_role()}")


def number_rows(table: str) -> None:
    """A `number` for each new row of an append-only table; rows that are there have 0, and none is rewritten.

    A transaction has its id before it takes a number: so a transaction that begins later takes higher numbers, which
    backend/domain/audit/sealing.py relies on. nextval() alone may come before the id.
    """
    op.execute(f"ALTER TABLE {table} ADD COLUMN number bigint NOT NULL DEFAULT 0")
    op.execute(
        f"ALTER TABLE {table} ALTER COLUMN number"
        " SET DEFAULT CASE WHEN txid_current() > 0 THEN nextval('ledger_numbers') END"
    )


def create_function(signature: str, body: str, *, returns: str, grant: bool) -> None:
    """A SECURITY DEFINER function in PL/pgSQL with a pinned search_path, closed to PUBLIC."""
    name = signature.split("(", maxsplit=1)[0]
    op.execute(
        f"CREATE FUNCTION {signature} RETURNS {returns} LANGUAGE plpgsql SECURITY DEFINER "
        f"SET search_path = pg_catalog, public, pg_temp AS $body${body}$body$"
    )
    op.execute(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC")
    if grant:
        op.execute(f"GRANT EXECUTE ON FUNCTION {name} TO {application_role()}")


def create_indexes(table: str, indexes: dict[str, str], *, unique: bool = False) -> None:
    """Builds `indexes` (name -> columns and predicate) on a live table without blocking its writers.

    Outside a transaction; re-runnable: an invalid index that an earlier try left behind is dropped first. Waits for
    the transactions that are open, up to statement_timeout.
    """
    with _waiting_outside_a_transaction():
        for name, definition in indexes.items():
            _drop_invalid(name)
            kind = "UNIQUE INDEX" if unique else "INDEX"
            op.execute(f"CREATE {kind} CONCURRENTLY IF NOT EXISTS {name} ON {table} {definition}")


def drop_indexes(*names: str) -> None:
    """Drops indexes without blocking writers; waits as `create_indexes` does."""
    with _waiting_outside_a_transaction():
        for name in names:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


@contextmanager
def _waiting_outside_a_transaction() -> Iterator[None]:
    """For CONCURRENTLY: it waits for every transaction older than itself, and nobody waits for it meanwhile.

    env.py's lock_timeout is for statements behind which writers queue. It comes back as the connection's default,
    unless the block fails: then the whole run ends.
    """
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        yield
        op.execute("RESET lock_timeout")


def _drop_invalid(name: str) -> None:
    if op.get_context().as_sql:
        return
    invalid = f"SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('{name}') AND NOT indisvalid"
    if op.get_bind().exec_driver_sql(invalid).first() is not None:
        op.execute(f"DROP INDEX CONCURRENTLY {name}")


def add_constraints(table: str, constraints: dict[str, str]) -> None:
    """Adds CHECK and FOREIGN KEY `constraints` (name -> definition) to a live table without reading it under a lock.

    Outside a transaction: the lock of ADD ... NOT VALID is let go before VALIDATE reads the rows. Re-runnable. For a
    foreign key the owner reads the rows of every hospital, which its policy `validation` allows for so long.
    """
    with op.get_context().autocommit_block():
        op.execute(f"DROP POLICY IF EXISTS validation ON {table}")
        op.execute(f"CREATE POLICY validation ON {table} FOR SELECT TO CURRENT_USER USING (true)")
        for name, definition in constraints.items():
            if not _has_constraint(table, name):
                op.execute(f"{RERUNNABLE}ALTER TABLE {table} ADD CONSTRAINT {name} {definition} NOT VALID")
            op.execute(f"{RERUNNABLE}ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
        op.execute(f"DROP POLICY validation ON {table}")


def drop_constraints(table: str, *names: str) -> None:
    """Drops constraints of `table` that nothing relies on any more."""
    for name in names:
        op.execute(f"-- squawk-ignore ban-drop-constraint\nALTER TABLE {table} DROP CONSTRAINT {name}")


def for_each_hospital(statement: str) -> None:
    """Runs `statement`, which may say `hospital` for its id, as each tenant in turn: the owner too sees only one."""
    op.execute(
        "DO $body$ DECLARE hospital uuid; BEGIN FOR hospital IN SELECT id FROM organizations LOOP"
        " PERFORM set_config('app.organization_id', hospital::text, true);"
        f" {statement}; END LOOP; END $body$"
    )


def promote_index(table: str, constraint: str, index: str) -> None:
    """Makes the unique `index` the unique `constraint` of a live table, which reads no row but locks the table.

    Outside a transaction; re-runnable. Raises RuntimeError where the index is absent or invalid.
    """
    with op.get_context().autocommit_block():
        if _has_constraint(table, constraint):
            return
        if not op.get_context().as_sql and not _is_valid(index):
            raise RuntimeError(f"{index} is absent or invalid: downgrade to before the migration that builds it")
        _briefly(f"ALTER TABLE {table} ADD CONSTRAINT {constraint} UNIQUE USING INDEX {index}")


def demote_constraint(table: str, constraint: str, index: str, columns: str) -> None:
    """Takes `promote_index` back: the unique `index` on `columns` is there before the constraint goes. Re-runnable."""
    create_indexes(table, {index: columns}, unique=True)
    with op.get_context().autocommit_block():
        _briefly(f"-- squawk-ignore ban-drop-constraint\nALTER TABLE {table} DROP CONSTRAINT IF EXISTS {constraint}")


def _briefly(statement: str) -> None:
    """Runs a statement that takes a strong lock for a moment, again and again until it gets it at once.

    Whoever writes meanwhile queues behind it: BRIEF_MS at most, less than the application's lock_timeout.
    """
    attempts = 1 if op.get_context().as_sql else ATTEMPTS_MAX
    op.execute(f"SET lock_timeout = {BRIEF_MS}")
    for attempt in range(1, attempts + 1):
        try:
            op.execute(f"{RERUNNABLE}{statement}")
        except OperationalError as error:
            if attempt == attempts or getattr(error.orig, "pgcode", None) != LOCK_NOT_AVAILABLE:
                raise
            time.sleep(BRIEF_MS / 1000)
        else:
            break
    op.execute("RESET lock_timeout")


def _is_valid(index: str) -> bool:
    valid = f"SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('{index}') AND indisvalid"
    return op.get_bind().exec_driver_sql(valid).first() is not None


def allow_temporary_tables() -> None:
    """Lets the application role stage rows in temporary tables, where the database is the owner's to say so."""
    _if_ours(f"GRANT TEMPORARY ON DATABASE %I TO {application_role()}")


def forbid_temporary_tables() -> None:
    """Takes `allow_temporary_tables` back."""
    _if_ours(f"REVOKE TEMPORARY ON DATABASE %I FROM {application_role()}")


def _if_ours(statement: str) -> None:
    """Elsewhere it is PostgreSQL's default, or the database's owner must say it."""
    op.execute(
        "DO $body$ BEGIN IF (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database())"
        f" THEN EXECUTE format($say${statement}$say$, current_database()); END IF; END $body$"
    )


def _has_constraint(table: str, name: str) -> bool:
    if op.get_context().as_sql:
        return False
    found = f"SELECT 1 FROM pg_constraint WHERE conrelid = '{table}'::regclass AND conname = '{name}'"
    return op.get_bind().exec_driver_sql(found).first() is not None


def drop_own_extension(name: str) -> None:
    """Drops an extension, unless it belongs to somebody else, who then had it before we came."""
    op.execute(
        f"DO $$ BEGIN IF EXISTS (SELECT FROM pg_extension WHERE extname = '{name}' AND pg_has_role(extowner, 'USAGE'))"
        f" THEN DROP EXTENSION {name}; END IF; END $$"
    )
