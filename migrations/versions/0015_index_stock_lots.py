"""Where a lot lies."""

from backend.db import ddl

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_stock_lots_lot_id": "(organization_id, lot_id)",
}


def upgrade() -> None:
    ddl.create_indexes("stock_lots", INDEXES)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
