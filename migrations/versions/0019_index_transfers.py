"""Transfers by source and by destination."""

from backend.db import ddl

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_stock_transfers_source_ward_id": "(organization_id, source_ward_id, created_at)",
    "ix_stock_transfers_destination_ward_id": "(organization_id, destination_ward_id, created_at)",
}


def upgrade() -> None:
    ddl.create_indexes("stock_transfers", INDEXES)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
