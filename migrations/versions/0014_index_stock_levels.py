"""The wards that hold a drug, and the shelves that are low."""

from backend.db import ddl

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_stock_levels_drug_id": "(organization_id, drug_id)",
    "ix_stock_levels_low": "(organization_id, ward_id, drug_id) WHERE low",
}


def upgrade() -> None:
    ddl.create_indexes("stock_levels", INDEXES)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
