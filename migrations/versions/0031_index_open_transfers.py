"""Transfers by time, and those under way."""

from backend.db import ddl

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


INDEXES = {
    "ix_stock_transfers_created_at": "(organization_id, created_at, id)",
    "ix_stock_transfers_under_way": "(organization_id, destination_ward_id, created_at, id)"
    " WHERE status IN ('requested', 'dispatched')",
}


def upgrade() -> None:
    ddl.create_indexes("stock_transfers", INDEXES)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
