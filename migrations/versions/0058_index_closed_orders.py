"""Completed and discontinued orders by ward, small enough to be counted from the index alone."""

from backend.db import ddl

revision = "0058"
down_revision = "0057"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_medication_orders_closed": "(organization_id, ward_id, status) WHERE status <> 'active'",
}


def upgrade() -> None:
    ddl.create_indexes("medication_orders", INDEXES)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
