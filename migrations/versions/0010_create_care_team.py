"""Who cares for a patient; the rule of one PRIMARY follows in 0022."""

import sqlalchemy as sa
from alembic import op

from backend.db import ddl

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "care_team_assignments",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("provider_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Enum("PRIMARY", "SPECIALIST", "CONSULTANT", name="care_role"), nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("removed_at >= assigned_at", name=op.f("ck_care_team_assignments_removed_after_assigned")),
        sa.ForeignKeyConstraint(
            ["organization_id", "patient_id"],
            ["patients.organization_id", "patients.id"],
            name=op.f("fk_care_team_assignments_organization_id_patient_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "provider_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_care_team_assignments_organization_id_provider_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_care_team_assignments")),
    )
    ddl.protect("care_team_assignments", grants="SELECT, INSERT, UPDATE")
    ddl.audit("care_team_assignments")


def downgrade() -> None:
    op.drop_table("care_team_assignments")
    op.execute("DROP TYPE care_role")
