"""The drugs a hospital uses."""

import sqlalchemy as sa
from alembic import op

from backend.db import ddl

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "drugs",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("generic_name", sa.Text(), nullable=False),
        sa.Column("strength", sa.Text(), nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("gtin", sa.Text(), nullable=True),
        sa.Column("ndc", sa.Text(), nullable=True),
        sa.Column("atc", sa.Text(), nullable=True),
        sa.Column("controlled_schedule", sa.SmallInteger(), nullable=True),
        sa.Column("high_alert", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name_key", sa.Text(collation="C"), sa.Computed("lower(name)", persisted=True), nullable=False),
        sa.Column(
            "generic_name_key",
            sa.Text(collation="C"),
            sa.Computed("lower(generic_name)", persisted=True),
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("controlled_schedule BETWEEN 1 AND 5", name=op.f("ck_drugs_controlled_schedule_range")),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=op.f("fk_drugs_organization_id")),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_drugs")),
        sa.UniqueConstraint(
            "organization_id",
            "name",
            "strength",
            "form",
            name=op.f("uq_drugs_organization_id_name_strength_form"),
        ),
    )
    ddl.protect("drugs", grants="SELECT, INSERT, UPDATE")
    ddl.audit("drugs")


def downgrade() -> None:
    op.drop_table("drugs")
