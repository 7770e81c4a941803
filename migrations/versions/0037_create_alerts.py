"""Alerts."""

import sqlalchemy as sa
from alembic import op

from backend.db import ddl

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("low", "out", "expiring", "expired", "in_transit", "discrepancy", name="alert_kind"),
            nullable=False,
        ),
        sa.Column("ward_id", sa.Uuid(), nullable=False),
        sa.Column("drug_id", sa.Uuid(), nullable=True),
        sa.Column("lot_id", sa.Uuid(), nullable=True),
        sa.Column("transfer_id", sa.Uuid(), nullable=True),
        sa.Column("discrepancy_id", sa.Uuid(), nullable=True),
        sa.Column("within_days", sa.SmallInteger(), nullable=True),
        sa.Column("units", sa.Integer(), nullable=True),
        sa.Column("acknowledged_by_id", sa.Uuid(), nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "(kind = 'expiring') = (within_days IS NOT NULL)", name=op.f("ck_alerts_within_days_of_expiring")
        ),
        sa.CheckConstraint(
            "(acknowledged_at IS NULL) = (acknowledged_by_id IS NULL)", name=op.f("ck_alerts_acknowledged_by_with_time")
        ),
        sa.CheckConstraint("cleared_at >= created_at", name=op.f("ck_alerts_cleared_after_opened")),
        sa.CheckConstraint("within_days IN (30, 60, 90)", name=op.f("ck_alerts_within_days_values")),
        sa.ForeignKeyConstraint(
            ["organization_id", "acknowledged_by_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_alerts_organization_id_acknowledged_by_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "discrepancy_id"],
            ["discrepancies.organization_id", "discrepancies.id"],
            name=op.f("fk_alerts_organization_id_discrepancy_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "drug_id"],
            ["drugs.organization_id", "drugs.id"],
            name=op.f("fk_alerts_organization_id_drug_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "lot_id"],
            ["lots.organization_id", "lots.id"],
            name=op.f("fk_alerts_organization_id_lot_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "transfer_id"],
            ["stock_transfers.organization_id", "stock_transfers.id"],
            name=op.f("fk_alerts_organization_id_transfer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "ward_id"],
            ["wards.organization_id", "wards.id"],
            name=op.f("fk_alerts_organization_id_ward_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_alerts")),
    )
    op.create_index("ix_alerts_created_at", "alerts", ["organization_id", "created_at", "id"], unique=False)
    op.create_index(
        "ix_alerts_open",
        "alerts",
        ["organization_id", "created_at", "id"],
        unique=False,
        postgresql_where=sa.text("cleared_at IS NULL"),
    )
    op.create_index(
        "uq_alerts_open",
        "alerts",
        ["organization_id", "ward_id", "kind", "drug_id", "lot_id", "transfer_id", "discrepancy_id", "within_days"],
        unique=True,
        postgresql_where=sa.text("cleared_at IS NULL"),
        postgresql_nulls_not_distinct=True,
    )
    ddl.protect("alerts", grants="SELECT, INSERT, UPDATE")
    ddl.audit("alerts")


def downgrade() -> None:
    op.drop_table("alerts")
    op.execute("DROP TYPE alert_kind")
