"""Find a patient by the beginning of the name, and the patients of a ward."""

from backend.db import ddl

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_patients_name_key": "(organization_id, name_key, id)",
    "ix_patients_ward_id": "(organization_id, ward_id)",
}


def upgrade() -> None:
    ddl.create_indexes("patients", INDEXES)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
