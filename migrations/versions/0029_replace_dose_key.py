"""The key of standing doses takes the place of the key of all doses."""

from alembic import op

from backend.db import ddl

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

TABLE, NAME = "medication_administrations", "uq_administration_dose"


def upgrade() -> None:
    ddl.drop_constraints(TABLE, NAME)
    op.execute(f"ALTER INDEX {NAME}_standing RENAME TO {NAME}")


def downgrade() -> None:
    op.execute(f"ALTER INDEX {NAME} RENAME TO {NAME}_standing")
    op.create_unique_constraint(NAME, TABLE, ["organization_id", "order_id", "dose_number"])
