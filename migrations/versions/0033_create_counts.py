"""Count sessions and their lines."""

import sqlalchemy as sa
from alembic import op

from backend.db import ddl

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stock_counts",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("ward_id", sa.Uuid(), nullable=False),
        sa.Column(
            "status",
            sa.Enum("open", "completed", "cancelled", name="count_status"),
            server_default="open",
            nullable=False,
        ),
        sa.Column("opened_by_id", sa.Uuid(), nullable=False),
        sa.Column("ended_by_id", sa.Uuid(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("(status = 'open') = (ended_at IS NULL)", name=op.f("ck_stock_counts_ended_at_with_status")),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (ended_by_id IS NULL)", name=op.f("ck_stock_counts_ended_by_with_time")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "ended_by_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_stock_counts_organization_id_ended_by_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "opened_by_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_stock_counts_organization_id_opened_by_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "ward_id"],
            ["wards.organization_id", "wards.id"],
            name=op.f("fk_stock_counts_organization_id_ward_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_stock_counts")),
    )
    op.create_index("ix_stock_counts_created_at", "stock_counts", ["organization_id", "created_at", "id"], unique=False)
    op.create_index(
        "uq_stock_counts_open",
        "stock_counts",
        ["organization_id", "ward_id"],
        unique=True,
        postgresql_where=sa.text("status = 'open'"),
    )
    ddl.protect("stock_counts", grants="SELECT, INSERT, UPDATE")
    ddl.audit("stock_counts")
    op.create_table(
        "stock_count_lines",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("count_id", sa.Uuid(), nullable=False),
        sa.Column("drug_id", sa.Uuid(), nullable=False),
        sa.Column("lot_id", sa.Uuid(), nullable=False),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("expected_units", sa.Integer(), nullable=True),
        sa.Column("counted_units", sa.Integer(), nullable=True),
        sa.Column("counted_by_id", sa.Uuid(), nullable=True),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("counted_units >= 0", name=op.f("ck_stock_count_lines_counted_units_not_negative")),
        sa.CheckConstraint("expected_units >= 0", name=op.f("ck_stock_count_lines_expected_units_not_negative")),
        sa.CheckConstraint(
            "num_nulls(counted_units, expected_units, counted_by_id, counted_at) IN (0, 4)",
            name=op.f("ck_stock_count_lines_whole"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "count_id"],
            ["stock_counts.organization_id", "stock_counts.id"],
            name=op.f("fk_stock_count_lines_organization_id_count_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "counted_by_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_stock_count_lines_organization_id_counted_by_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "drug_id"],
            ["drugs.organization_id", "drugs.id"],
            name=op.f("fk_stock_count_lines_organization_id_drug_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "lot_id"],
            ["lots.organization_id", "lots.id"],
            name=op.f("fk_stock_count_lines_organization_id_lot_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_stock_count_lines")),
        sa.UniqueConstraint(
            "organization_id", "count_id", "lot_id", name=op.f("uq_stock_count_lines_organization_id_count_id_lot_id")
        ),
    )
    ddl.protect("stock_count_lines", grants="SELECT, INSERT, UPDATE")
    ddl.audit("stock_count_lines")


def downgrade() -> None:
    op.drop_table("stock_count_lines")
    op.drop_table("stock_counts")
    op.execute("DROP TYPE count_status")
