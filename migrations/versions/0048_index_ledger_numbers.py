"""The ledgers by the number of their rows: what has come since the last seal."""

from backend.db import ddl

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None

INDEXES = {
    "stock_movements": {
        "ix_stock_movements_number": "(organization_id, number)",
    },
    "dose_remainders": {
        "ix_dose_remainders_number": "(organization_id, number)",
    },
    "claim_records": {
        "ix_claim_records_number": "(organization_id, number)",
    },
    "drift_events": {
        "ix_drift_events_number": "(organization_id, number)",
    },
}


def upgrade() -> None:
    for table, indexes in INDEXES.items():
        ddl.create_indexes(table, indexes)


def downgrade() -> None:
    for indexes in INDEXES.values():
        ddl.drop_indexes(*indexes)
