"""Which drugs an open count counts blind: every answer that tells a figure of a shelf asks."""

from backend.db import ddl

revision = "0054"
down_revision = "0053"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_stock_count_lines_blind": "(organization_id, count_id, drug_id) WHERE blind",
}


def upgrade() -> None:
    ddl.create_indexes("stock_count_lines", INDEXES)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
