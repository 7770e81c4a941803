"""The ledger by time."""

from backend.db import ddl

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_stock_movements_recorded_at": "(organization_id, recorded_at, id)",
}


def upgrade() -> None:
    ddl.create_indexes("stock_movements", INDEXES)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
