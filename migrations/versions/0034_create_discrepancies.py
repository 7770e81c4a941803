"""Discrepancies of counts and transfers."""

import sqlalchemy as sa
from alembic import op

from backend.db import ddl

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "discrepancies",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Enum("count", "transfer", name="discrepancy_kind"), nullable=False),
        sa.Column("ward_id", sa.Uuid(), nullable=False),
        sa.Column("drug_id", sa.Uuid(), nullable=False),
        sa.Column("lot_id", sa.Uuid(), nullable=False),
        sa.Column("count_line_id", sa.Uuid(), nullable=True),
        sa.Column("transfer_lot_id", sa.Uuid(), nullable=True),
        sa.Column("expected_units", sa.Integer(), nullable=False),
        sa.Column("found_units", sa.Integer(), nullable=False),
        sa.Column(
            "status",
            sa.Enum("open", "under_review", "resolved", name="discrepancy_status"),
            server_default="open",
            nullable=False,
        ),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "resolution",
            sa.Enum("correction", "loss", "miscount", "found", "returned", name="discrepancy_resolution"),
            nullable=True,
        ),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("resolved_by_id", sa.Uuid(), nullable=True),
        sa.Column("witness_id", sa.Uuid(), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("(kind = 'count') = (count_line_id IS NOT NULL)", name=op.f("ck_discrepancies_of_count")),
        sa.CheckConstraint(
            "(kind = 'transfer') = (transfer_lot_id IS NOT NULL)", name=op.f("ck_discrepancies_of_transfer")
        ),
        sa.CheckConstraint("kind = 'count' OR expected_units > found_units", name=op.f("ck_discrepancies_shortfall")),
        sa.CheckConstraint(
            "num_nulls(resolution, reason, resolved_by_id, resolved_at)"
            " = CASE WHEN status = 'resolved' THEN 0 ELSE 4 END",
            name=op.f("ck_discrepancies_resolved_with_reason"),
        ),
        sa.CheckConstraint("expected_units <> found_units", name=op.f("ck_discrepancies_units_differ")),
        sa.CheckConstraint(
            "expected_units >= 0 AND found_units >= 0", name=op.f("ck_discrepancies_units_not_negative")
        ),
        sa.CheckConstraint("witness_id <> resolved_by_id", name=op.f("ck_discrepancies_witness_is_another")),
        sa.ForeignKeyConstraint(
            ["organization_id", "count_line_id"],
            ["stock_count_lines.organization_id", "stock_count_lines.id"],
            name=op.f("fk_discrepancies_organization_id_count_line_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "lot_id"],
            ["lots.organization_id", "lots.id"],
            name=op.f("fk_discrepancies_organization_id_lot_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "owner_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_discrepancies_organization_id_owner_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "resolved_by_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_discrepancies_organization_id_resolved_by_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "transfer_lot_id"],
            ["stock_transfer_lots.organization_id", "stock_transfer_lots.id"],
            name=op.f("fk_discrepancies_organization_id_transfer_lot_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "ward_id", "drug_id"],
            ["stock_levels.organization_id", "stock_levels.ward_id", "stock_levels.drug_id"],
            name=op.f("fk_discrepancies_organization_id_ward_id_drug_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "witness_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_discrepancies_organization_id_witness_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_discrepancies")),
        sa.UniqueConstraint(
            "organization_id", "count_line_id", name=op.f("uq_discrepancies_organization_id_count_line_id")
        ),
        sa.UniqueConstraint(
            "organization_id", "transfer_lot_id", name=op.f("uq_discrepancies_organization_id_transfer_lot_id")
        ),
    )
    op.create_index(
        "ix_discrepancies_created_at", "discrepancies", ["organization_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_discrepancies_unresolved",
        "discrepancies",
        ["organization_id", "created_at", "id"],
        unique=False,
        postgresql_where=sa.text("status <> 'resolved'"),
    )
    ddl.protect("discrepancies", grants="SELECT, INSERT, UPDATE")
    ddl.audit("discrepancies")


def downgrade() -> None:
    op.drop_table("discrepancies")
    op.execute("DROP TYPE discrepancy_kind")
    op.execute("DROP TYPE discrepancy_status")
    op.execute("DROP TYPE discrepancy_resolution")
