"""Doses by time."""

from backend.db import ddl

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_medication_administrations_administered_at": "(organization_id, administered_at, id)",
}


def upgrade() -> None:
    ddl.create_indexes("medication_administrations", INDEXES)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
