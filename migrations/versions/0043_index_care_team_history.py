"""The assignments of a patient, ended ones too, by time: the unique indexes hold the active ones only."""

from backend.db import ddl

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_care_team_assignments_patient_id": "(organization_id, patient_id, assigned_at, id)",
}


def upgrade() -> None:
    ddl.create_indexes("care_team_assignments", INDEXES)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
