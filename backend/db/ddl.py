"""What a migration says of a table beyond its columns: tenancy, grants, audit, append-only, live indexes.

A version file calls these and nothing else of ours. Once released they change only by a new function, since a
migration means for ever what it meant when it ran.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op

RERUNNABLE = "-- squawk-ignore prefer-robust-stmts\n"  # outside a transaction, and seen to by the code around it
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
    """Builds `indexes` (name -> columns and predicate) on a live table without blocking its writers (row A11).

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
