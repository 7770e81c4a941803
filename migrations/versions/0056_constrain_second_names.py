"""A row that was due a witness has one."""

from backend.db import ddl

revision = "0056"
down_revision = "0055"
branch_labels = None
depends_on = None

TABLES = ("stock_movements", "dose_remainders", "discrepancies")
CHECK = "CHECK (NOT witness_due OR witness_id IS NOT NULL)"


def upgrade() -> None:
    for table in TABLES:
        ddl.add_constraints(table, {f"ck_{table}_witness_when_due": CHECK})


def downgrade() -> None:
    for table in TABLES:
        ddl.drop_constraints(table, f"ck_{table}_witness_when_due")
