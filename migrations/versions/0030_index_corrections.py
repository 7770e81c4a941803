"""A movement is corrected once."""

from backend.db import ddl

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


INDEXES = {
    "uq_stock_movements_corrects_id": "(organization_id, corrects_id) WHERE corrects_id IS NOT NULL",
}


def upgrade() -> None:
    ddl.create_indexes("stock_movements", INDEXES, unique=True)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
