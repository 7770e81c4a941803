"""Stock transfers between wards."""

import sqlalchemy as sa
from alembic import op

from backend.db import ddl

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stock_transfers",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_ward_id", sa.Uuid(), nullable=False),
        sa.Column("destination_ward_id", sa.Uuid(), nullable=False),
        sa.Column(
            "status",
            sa.Enum("requested", "dispatched", "received", "cancelled", name="transfer_status"),
            server_default="requested",
            nullable=False,
        ),
        sa.Column("requested_by_id", sa.Uuid(), nullable=False),
        sa.Column("dispatched_by_id", sa.Uuid(), nullable=True),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_by_id", sa.Uuid(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "(status = 'received') = (received_at IS NOT NULL)",
            name=op.f("ck_stock_transfers_received_at_with_status"),
        ),
        sa.CheckConstraint(
            "(status IN ('dispatched', 'received')) = (dispatched_at IS NOT NULL)",
            name=op.f("ck_stock_transfers_dispatched_at_with_status"),
        ),
        sa.CheckConstraint("received_by_id <> dispatched_by_id", name=op.f("ck_stock_transfers_two_people")),
        sa.CheckConstraint("source_ward_id <> destination_ward_id", name=op.f("ck_stock_transfers_two_wards")),
        sa.ForeignKeyConstraint(
            ["organization_id", "destination_ward_id"],
            ["wards.organization_id", "wards.id"],
            name=op.f("fk_stock_transfers_organization_id_destination_ward_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "dispatched_by_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_stock_transfers_organization_id_dispatched_by_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "received_by_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_stock_transfers_organization_id_received_by_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "requested_by_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_stock_transfers_organization_id_requested_by_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "source_ward_id"],
            ["wards.organization_id", "wards.id"],
            name=op.f("fk_stock_transfers_organization_id_source_ward_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_stock_transfers")),
    )
    ddl.protect("stock_transfers", grants="SELECT, INSERT, UPDATE")
    ddl.audit("stock_transfers")
    op.create_table(
        "stock_transfer_lines",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("transfer_id", sa.Uuid(), nullable=False),
        sa.Column("drug_id", sa.Uuid(), nullable=False),
        sa.Column("quantity_units", sa.Integer(), nullable=False),
        sa.Column("dispatched_units", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("received_units", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "dispatched_units BETWEEN 0 AND quantity_units",
            name=op.f("ck_stock_transfer_lines_dispatched_units_range"),
        ),
        sa.CheckConstraint("quantity_units > 0", name=op.f("ck_stock_transfer_lines_quantity_units_positive")),
        sa.CheckConstraint(
            "received_units BETWEEN 0 AND dispatched_units",
            name=op.f("ck_stock_transfer_lines_received_units_range"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "drug_id"],
            ["drugs.organization_id", "drugs.id"],
            name=op.f("fk_stock_transfer_lines_organization_id_drug_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "transfer_id"],
            ["stock_transfers.organization_id", "stock_transfers.id"],
            name=op.f("fk_stock_transfer_lines_organization_id_transfer_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_stock_transfer_lines")),
        sa.UniqueConstraint(
            "organization_id",
            "transfer_id",
            "drug_id",
            name=op.f("uq_stock_transfer_lines_organization_id_transfer_id_drug_id"),
        ),
    )
    ddl.protect("stock_transfer_lines", grants="SELECT, INSERT, UPDATE")
    ddl.audit("stock_transfer_lines")


def downgrade() -> None:
    op.drop_table("stock_transfer_lines")
    op.drop_table("stock_transfers")
    op.execute("DROP TYPE transfer_status")
