"""The lots of a transfer, each until it is accounted for."""

import sqlalchemy as sa
from alembic import op

from backend.db import ddl

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stock_transfer_lots",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("line_id", sa.Uuid(), nullable=False),
        sa.Column("lot_id", sa.Uuid(), nullable=False),
        sa.Column("dispatched_units", sa.Integer(), nullable=False),
        sa.Column("received_units", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("returned_units", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lost_units", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("dispatched_units > 0", name=op.f("ck_stock_transfer_lots_dispatched_units_positive")),
        sa.CheckConstraint(
            "least(received_units, returned_units, lost_units) >= 0",
            name=op.f("ck_stock_transfer_lots_parts_not_negative"),
        ),
        sa.CheckConstraint(
            "received_units + returned_units + lost_units <= dispatched_units",
            name=op.f("ck_stock_transfer_lots_parts_within_sent"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "line_id"],
            ["stock_transfer_lines.organization_id", "stock_transfer_lines.id"],
            name=op.f("fk_stock_transfer_lots_organization_id_line_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "lot_id"],
            ["lots.organization_id", "lots.id"],
            name=op.f("fk_stock_transfer_lots_organization_id_lot_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_stock_transfer_lots")),
        sa.UniqueConstraint(
            "organization_id", "line_id", "lot_id", name=op.f("uq_stock_transfer_lots_organization_id_line_id_lot_id")
        ),
    )
    op.create_index("ix_stock_transfer_lots_lot_id", "stock_transfer_lots", ["organization_id", "lot_id"], unique=False)
    ddl.protect("stock_transfer_lots", grants="SELECT, INSERT, UPDATE")
    ddl.audit("stock_transfer_lots")


def downgrade() -> None:
    op.drop_table("stock_transfer_lots")
