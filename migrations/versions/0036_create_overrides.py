"""Drugs that a ward may give unverified, and the reviews of it."""

import sqlalchemy as sa
from alembic import op

from backend.db import ddl

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "override_drugs",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("ward_id", sa.Uuid(), nullable=False),
        sa.Column("drug_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "drug_id"],
            ["drugs.organization_id", "drugs.id"],
            name=op.f("fk_override_drugs_organization_id_drug_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "ward_id"],
            ["wards.organization_id", "wards.id"],
            name=op.f("fk_override_drugs_organization_id_ward_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_override_drugs")),
        sa.UniqueConstraint(
            "organization_id", "ward_id", "drug_id", name=op.f("uq_override_drugs_organization_id_ward_id_drug_id")
        ),
    )
    ddl.protect("override_drugs", grants="SELECT, INSERT, DELETE")
    ddl.audit("override_drugs")
    op.create_table(
        "order_overrides",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("administration_id", sa.Uuid(), nullable=False),
        sa.Column("ward_id", sa.Uuid(), nullable=False),
        sa.Column("nurse_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "status",
            sa.Enum("pending", "appropriate", "inappropriate", name="override_status"),
            server_default="pending",
            nullable=False,
        ),
        sa.Column("reviewed_by_id", sa.Uuid(), nullable=True),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("review_note", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "(status = 'pending') = (reviewed_at IS NULL)", name=op.f("ck_order_overrides_reviewed_at_with_status")
        ),
        sa.CheckConstraint(
            "(reviewed_at IS NULL) = (reviewed_by_id IS NULL)", name=op.f("ck_order_overrides_reviewed_by_with_time")
        ),
        sa.CheckConstraint("reviewed_by_id <> nurse_id", name=op.f("ck_order_overrides_reviewer_is_another")),
        sa.ForeignKeyConstraint(
            ["organization_id", "administration_id"],
            ["medication_administrations.organization_id", "medication_administrations.id"],
            name=op.f("fk_order_overrides_organization_id_administration_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "nurse_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_order_overrides_organization_id_nurse_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "order_id"],
            ["medication_orders.organization_id", "medication_orders.id"],
            name=op.f("fk_order_overrides_organization_id_order_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "reviewed_by_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_order_overrides_organization_id_reviewed_by_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "ward_id"],
            ["wards.organization_id", "wards.id"],
            name=op.f("fk_order_overrides_organization_id_ward_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_order_overrides")),
        sa.UniqueConstraint(
            "organization_id", "administration_id", name=op.f("uq_order_overrides_organization_id_administration_id")
        ),
    )
    op.create_index(
        "ix_order_overrides_created_at", "order_overrides", ["organization_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_order_overrides_pending",
        "order_overrides",
        ["organization_id", "created_at", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    ddl.protect("order_overrides", grants="SELECT, INSERT, UPDATE")
    ddl.audit("order_overrides")


def downgrade() -> None:
    op.drop_table("order_overrides")
    op.drop_table("override_drugs")
    op.execute("DROP TYPE override_status")
