"""Patients."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from backend.db import ddl

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "patients",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("mrn", sa.Text(), nullable=False),
        sa.Column("date_of_birth", sa.Date(), nullable=False),
        sa.Column("ward_id", sa.Uuid(), nullable=True),
        sa.Column("bed", sa.Text(), nullable=True),
        sa.Column("allergies", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("name_key", sa.Text(collation="C"), sa.Computed("lower(name)", persisted=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "ward_id"],
            ["wards.organization_id", "wards.id"],
            name=op.f("fk_patients_organization_id_ward_id"),
        ),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=op.f("fk_patients_organization_id")),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_patients")),
        sa.UniqueConstraint("organization_id", "mrn", name=op.f("uq_patients_organization_id_mrn")),
    )
    ddl.protect("patients", grants="SELECT, INSERT, UPDATE")
    ddl.audit("patients")


def downgrade() -> None:
    op.drop_table("patients")
