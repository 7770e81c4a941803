"""Columns for witnesses, corrections, holds, entries in error and policies."""

import sqlalchemy as sa
from alembic import op

from backend.db import ddl

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


POLICIES = {"dose_window_minutes": "60", "discrepancy_hours": "24", "transit_hours": "24"}
COLUMNS = {
    "lots": ("status_reason", "status_changed_by_id", "status_changed_at"),
    "stock_movements": ("witness_id", "corrects_id", "note"),
    "stock_transfers": ("cancelled_by_id", "cancelled_at"),
    "organizations": tuple(POLICIES),
    "medication_administrations": (
        *("wasted_units", "returned_units", "stands"),
        *("entered_in_error_at", "in_error_by_id", "error_reason"),
    ),
}


def upgrade() -> None:
    op.add_column("lots", sa.Column("status_reason", sa.Text(), nullable=True))
    op.add_column("lots", sa.Column("status_changed_by_id", sa.Uuid(), nullable=True))
    op.add_column("lots", sa.Column("status_changed_at", sa.DateTime(timezone=True), nullable=True))
    ddl.for_each_hospital("UPDATE lots SET status_reason = 'not recorded' WHERE status <> 'available'")
    op.add_column("stock_movements", sa.Column("witness_id", sa.Uuid(), nullable=True))
    op.add_column("stock_movements", sa.Column("corrects_id", sa.Uuid(), nullable=True))
    op.add_column("stock_movements", sa.Column("note", sa.Text(), nullable=True))
    op.add_column("stock_transfers", sa.Column("cancelled_by_id", sa.Uuid(), nullable=True))
    op.add_column("stock_transfers", sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True))
    for name, default in POLICIES.items():
        op.add_column("organizations", sa.Column(name, sa.Integer(), server_default=sa.text(default), nullable=False))
    for name in ("wasted_units", "returned_units"):
        zero = sa.text("0")
        op.add_column("medication_administrations", sa.Column(name, sa.Integer(), server_default=zero, nullable=False))
    stands = sa.Column("stands", sa.Boolean(), server_default=sa.text("true"), nullable=False)
    op.add_column("medication_administrations", stands)
    in_error = sa.Column("entered_in_error_at", sa.DateTime(timezone=True), nullable=True)
    op.add_column("medication_administrations", in_error)
    op.add_column("medication_administrations", sa.Column("in_error_by_id", sa.Uuid(), nullable=True))
    op.add_column("medication_administrations", sa.Column("error_reason", sa.Text(), nullable=True))


def downgrade() -> None:
    for table, columns in COLUMNS.items():
        for column in columns:
            op.drop_column(table, column)
