"""The ledgers by the number of their rows: what has come since the last seal."""

from backend.db import ddl

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None

TABLES = ("stock_movements", "dose_remainders", "claim_records", "drift_events")


def upgrade() -> None:
    for table in TABLES:
        ddl.create_indexes(table, {f"ix_{table}_number": "(organization_id, number)"})


def downgrade() -> None:
    ddl.drop_indexes(*(f"ix_{table}_number" for table in TABLES))
