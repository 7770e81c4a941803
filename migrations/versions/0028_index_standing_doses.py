"""A dose is recorded once, unless its entry was an error and the dose was opened again."""

from backend.db import ddl

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

INDEXES = {
    "uq_administration_dose_standing": "(organization_id, order_id, dose_number) WHERE stands",
}


def upgrade() -> None:
    ddl.create_indexes("medication_administrations", INDEXES, unique=True)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
