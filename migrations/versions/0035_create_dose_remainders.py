"""Units withdrawn for a dose and not given."""

import sqlalchemy as sa
from alembic import op

from backend.db import ddl

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dose_remainders",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("administration_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Enum("waste", "return", name="remainder_kind"), nullable=False),
        sa.Column("lot_id", sa.Uuid(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("witness_id", sa.Uuid(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "recorded_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("units > 0", name=op.f("ck_dose_remainders_units_positive")),
        sa.CheckConstraint("witness_id <> actor_id", name=op.f("ck_dose_remainders_witness_is_another")),
        sa.ForeignKeyConstraint(
            ["organization_id", "actor_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_dose_remainders_organization_id_actor_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "administration_id"],
            ["medication_administrations.organization_id", "medication_administrations.id"],
            name=op.f("fk_dose_remainders_organization_id_administration_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "lot_id"],
            ["lots.organization_id", "lots.id"],
            name=op.f("fk_dose_remainders_organization_id_lot_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "witness_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_dose_remainders_organization_id_witness_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_dose_remainders")),
    )
    op.create_index(
        "ix_dose_remainders_administration_id",
        "dose_remainders",
        ["organization_id", "administration_id"],
        unique=False,
    )
    op.create_index(
        "ix_dose_remainders_recorded_at", "dose_remainders", ["organization_id", "recorded_at", "id"], unique=False
    )
    ddl.protect("dose_remainders", grants="SELECT, INSERT")
    ddl.append_only("dose_remainders")


def downgrade() -> None:
    op.drop_table("dose_remainders")
    op.execute("DROP TYPE remainder_kind")
