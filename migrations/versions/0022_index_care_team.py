"""One PRIMARY per patient, one active assignment per patient and provider."""

from backend.db import ddl

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

INDEXES = {
    "uq_care_team_primary": "(organization_id, patient_id) WHERE role = 'PRIMARY' AND removed_at IS NULL",
    "uq_care_team_active": "(organization_id, patient_id, provider_id) WHERE removed_at IS NULL",
}


def upgrade() -> None:
    ddl.create_indexes("care_team_assignments", INDEXES, unique=True)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
