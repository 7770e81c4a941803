"""Medication orders and the doses given for them."""

import sqlalchemy as sa
from alembic import op

from backend.db import ddl

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "medication_orders",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("drug_id", sa.Uuid(), nullable=False),
        sa.Column("ward_id", sa.Uuid(), nullable=False),
        sa.Column("prescriber_id", sa.Uuid(), nullable=False),
        sa.Column("units_per_dose", sa.Integer(), nullable=False),
        sa.Column("dose_text", sa.Text(), nullable=True),
        sa.Column("route", sa.Text(), nullable=True),
        sa.Column(
            "priority",
            sa.Enum("stat", "routine", "prn", name="order_priority"),
            server_default="routine",
            nullable=False,
        ),
        sa.Column("doses", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("doses_given", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("interval_minutes", sa.Integer(), nullable=True),
        sa.Column("first_due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "status",
            sa.Enum("active", "completed", "discontinued", name="order_status"),
            server_default="active",
            nullable=False,
        ),
        sa.Column("verified_by_id", sa.Uuid(), nullable=True),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("discontinued_by_id", sa.Uuid(), nullable=True),
        sa.Column("discontinued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("discontinue_reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "(status = 'completed') = (completed_at IS NOT NULL)",
            name=op.f("ck_medication_orders_completed_at_with_status"),
        ),
        sa.CheckConstraint(
            "(status = 'completed') = (doses_given = doses)",
            name=op.f("ck_medication_orders_completed_with_last_dose"),
        ),
        sa.CheckConstraint(
            "(status = 'discontinued') = (discontinued_at IS NOT NULL AND discontinue_reason IS NOT NULL)",
            name=op.f("ck_medication_orders_discontinued_with_reason"),
        ),
        sa.CheckConstraint(
            "doses = 1 OR interval_minutes IS NOT NULL OR priority = 'prn'",
            name=op.f("ck_medication_orders_schedule_has_interval"),
        ),
        sa.CheckConstraint(
            "(verified_by_id IS NULL) = (verified_at IS NULL)",
            name=op.f("ck_medication_orders_verified_by_with_time"),
        ),
        sa.CheckConstraint("doses > 0", name=op.f("ck_medication_orders_doses_positive")),
        sa.CheckConstraint("doses_given BETWEEN 0 AND doses", name=op.f("ck_medication_orders_doses_given_range")),
        sa.CheckConstraint("interval_minutes > 0", name=op.f("ck_medication_orders_interval_minutes_positive")),
        sa.CheckConstraint("units_per_dose > 0", name=op.f("ck_medication_orders_units_per_dose_positive")),
        sa.ForeignKeyConstraint(
            ["organization_id", "discontinued_by_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_medication_orders_organization_id_discontinued_by_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "patient_id"],
            ["patients.organization_id", "patients.id"],
            name=op.f("fk_medication_orders_organization_id_patient_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "prescriber_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_medication_orders_organization_id_prescriber_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "verified_by_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_medication_orders_organization_id_verified_by_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "ward_id", "drug_id"],
            ["stock_levels.organization_id", "stock_levels.ward_id", "stock_levels.drug_id"],
            name=op.f("fk_medication_orders_organization_id_ward_id_drug_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_medication_orders")),
    )
    ddl.protect("medication_orders", grants="SELECT, INSERT, UPDATE")
    ddl.audit("medication_orders")
    op.create_table(
        "medication_administrations",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("dose_number", sa.Integer(), nullable=False),
        sa.Column(
            "outcome",
            sa.Enum("given", "held", "refused", "unavailable", name="administration_outcome"),
            nullable=False,
        ),
        sa.Column("quantity_units", sa.Integer(), nullable=False),
        sa.Column("nurse_id", sa.Uuid(), nullable=False),
        sa.Column("witness_id", sa.Uuid(), nullable=True),
        sa.Column("administered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "(outcome = 'given') = (quantity_units > 0)",
            name=op.f("ck_medication_administrations_given_has_units"),
        ),
        sa.CheckConstraint(
            "(outcome = 'given') = (reason IS NULL)",
            name=op.f("ck_medication_administrations_not_given_has_reason"),
        ),
        sa.CheckConstraint("dose_number > 0", name=op.f("ck_medication_administrations_dose_number_positive")),
        sa.CheckConstraint(
            "quantity_units >= 0", name=op.f("ck_medication_administrations_quantity_units_not_negative")
        ),
        sa.CheckConstraint("witness_id <> nurse_id", name=op.f("ck_medication_administrations_witness_is_another")),
        sa.ForeignKeyConstraint(
            ["organization_id", "nurse_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_medication_administrations_organization_id_nurse_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "order_id"],
            ["medication_orders.organization_id", "medication_orders.id"],
            name=op.f("fk_medication_administrations_organization_id_order_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "witness_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_medication_administrations_organization_id_witness_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_medication_administrations")),
        sa.UniqueConstraint(
            "organization_id",
            "order_id",
            "dose_number",
            name=op.f("uq_administration_dose"),
        ),
    )
    ddl.protect("medication_administrations", grants="SELECT, INSERT, UPDATE")
    ddl.audit("medication_administrations")


def downgrade() -> None:
    op.drop_table("medication_administrations")
    op.drop_table("medication_orders")
    op.execute("DROP TYPE order_priority")
    op.execute("DROP TYPE order_status")
    op.execute("DROP TYPE administration_outcome")
