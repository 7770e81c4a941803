"""Entries in error whose dose was opened again, by order: with the index of those that stand, all of an order."""

from backend.db import ddl

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


INDEXES = {
    "ix_medication_administrations_reopened": "(organization_id, order_id) WHERE NOT stands",
}


def upgrade() -> None:
    ddl.create_indexes("medication_administrations", INDEXES)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
