"""Lots, stock by shelf and by lot, and the ledger."""

import sqlalchemy as sa
from alembic import op

from backend.db import ddl

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lots",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("drug_id", sa.Uuid(), nullable=False),
        sa.Column("lot_number", sa.Text(), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=False),
        sa.Column(
            "status",
            sa.Enum("available", "on_hold", "recalled", name="lot_status"),
            server_default="available",
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "drug_id"],
            ["drugs.organization_id", "drugs.id"],
            name=op.f("fk_lots_organization_id_drug_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_lots")),
        sa.UniqueConstraint(
            "organization_id",
            "drug_id",
            "lot_number",
            "expires_on",
            name=op.f("uq_lots_organization_id_drug_id_lot_number_expires_on"),
        ),
    )
    ddl.protect("lots", grants="SELECT, INSERT, UPDATE")
    ddl.audit("lots")
    op.create_table(
        "stock_levels",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("ward_id", sa.Uuid(), nullable=False),
        sa.Column("drug_id", sa.Uuid(), nullable=False),
        sa.Column("on_hand_units", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reorder_point_units", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("par_level_units", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("sequence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "low", sa.Boolean(), sa.Computed("on_hand_units <= reorder_point_units", persisted=True), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("on_hand_units >= 0", name=op.f("ck_stock_levels_on_hand_units_not_negative")),
        sa.CheckConstraint(
            "par_level_units >= reorder_point_units",
            name=op.f("ck_stock_levels_par_level_units_above_reorder_point"),
        ),
        sa.CheckConstraint("reorder_point_units >= 0", name=op.f("ck_stock_levels_reorder_point_units_not_negative")),
        sa.ForeignKeyConstraint(
            ["organization_id", "drug_id"],
            ["drugs.organization_id", "drugs.id"],
            name=op.f("fk_stock_levels_organization_id_drug_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "ward_id"],
            ["wards.organization_id", "wards.id"],
            name=op.f("fk_stock_levels_organization_id_ward_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_stock_levels")),
        sa.UniqueConstraint(
            "organization_id",
            "ward_id",
            "drug_id",
            name=op.f("uq_stock_levels_organization_id_ward_id_drug_id"),
        ),
        postgresql_with={"fillfactor": 70},
    )
    ddl.protect("stock_levels", grants="SELECT, INSERT, UPDATE")
    ddl.audit("stock_levels")
    op.create_table(
        "stock_lots",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("ward_id", sa.Uuid(), nullable=False),
        sa.Column("drug_id", sa.Uuid(), nullable=False),
        sa.Column("lot_id", sa.Uuid(), nullable=False),
        sa.Column("quantity_units", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("quantity_units >= 0", name=op.f("ck_stock_lots_quantity_units_not_negative")),
        sa.ForeignKeyConstraint(
            ["organization_id", "lot_id"],
            ["lots.organization_id", "lots.id"],
            name=op.f("fk_stock_lots_organization_id_lot_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "ward_id", "drug_id"],
            ["stock_levels.organization_id", "stock_levels.ward_id", "stock_levels.drug_id"],
            name=op.f("fk_stock_lots_organization_id_ward_id_drug_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_stock_lots")),
        sa.UniqueConstraint(
            "organization_id",
            "ward_id",
            "drug_id",
            "lot_id",
            name=op.f("uq_stock_lots_organization_id_ward_id_drug_id_lot_id"),
        ),
        postgresql_with={"fillfactor": 70},
    )
    ddl.protect("stock_lots", grants="SELECT, INSERT, UPDATE")
    ddl.audit("stock_lots")
    op.create_table(
        "stock_movements",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("ward_id", sa.Uuid(), nullable=False),
        sa.Column("drug_id", sa.Uuid(), nullable=False),
        sa.Column("lot_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("balance_after_units", sa.Integer(), nullable=False),
        sa.Column(
            "reason",
            sa.Enum(
                "receipt",
                "fulfilment",
                "transfer_out",
                "transfer_in",
                "waste",
                "loss",
                "correction",
                "return",
                name="movement_reason",
            ),
            nullable=False,
        ),
        sa.Column("reference_id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "balance_after_units >= 0", name=op.f("ck_stock_movements_balance_after_units_not_negative")
        ),
        sa.CheckConstraint("sequence > 0", name=op.f("ck_stock_movements_sequence_positive")),
        sa.CheckConstraint("units <> 0", name=op.f("ck_stock_movements_units_not_zero")),
        sa.ForeignKeyConstraint(
            ["organization_id", "actor_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_stock_movements_organization_id_actor_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "lot_id"],
            ["lots.organization_id", "lots.id"],
            name=op.f("fk_stock_movements_organization_id_lot_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "ward_id", "drug_id"],
            ["stock_levels.organization_id", "stock_levels.ward_id", "stock_levels.drug_id"],
            name=op.f("fk_stock_movements_organization_id_ward_id_drug_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_stock_movements")),
        sa.UniqueConstraint(
            "organization_id",
            "reference_id",
            "lot_id",
            "reason",
            name=op.f("uq_stock_movements_organization_id_reference_id_lot_id_reason"),
        ),
        sa.UniqueConstraint(
            "organization_id",
            "ward_id",
            "drug_id",
            "sequence",
            name=op.f("uq_stock_movements_organization_id_ward_id_drug_id_sequence"),
        ),
    )
    ddl.protect("stock_movements", grants="SELECT, INSERT")
    ddl.append_only("stock_movements")


def downgrade() -> None:
    op.drop_table("stock_movements")
    op.drop_table("stock_lots")
    op.drop_table("stock_levels")
    op.drop_table("lots")
    op.execute("DROP TYPE lot_status")
    op.execute("DROP TYPE movement_reason")
