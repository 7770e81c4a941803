"""The lanes: empty tables that a writer locks before its first snapshot (backend/db/lanes.py)."""

from alembic import op

from backend.db import ddl

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

LANES = 256


def upgrade() -> None:
    op.execute(f"GRANT SELECT ON alembic_version TO {ddl.application_role()}")  # /readyz reads it
    op.execute("CREATE SCHEMA lanes")
    op.execute(f"GRANT USAGE ON SCHEMA lanes TO {ddl.application_role()}")
    for lane in range(LANES):
        table = f"lanes.lane_{lane:03d}"
        op.execute(f"CREATE TABLE {table} (empty boolean, CHECK (false))")
        op.execute(f"GRANT DELETE ON {table} TO {ddl.application_role()}")  # what LOCK ... EXCLUSIVE asks for


def downgrade() -> None:
    op.execute("DROP SCHEMA lanes CASCADE")
    op.execute(f"REVOKE SELECT ON alembic_version FROM {ddl.application_role()}")
