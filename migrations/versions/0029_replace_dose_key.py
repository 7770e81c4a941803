"""The key of standing doses takes the place of the key of all doses."""

from alembic import op

from backend.db import ddl

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

TABLE = "medication_administrations"
NAME = "uq_administration_dose"
RENAME = "-- squawk-ignore renaming-object\nALTER INDEX {} RENAME TO {}"  # which no client names


def upgrade() -> None:
    ddl.drop_constraints(TABLE, NAME)
    op.execute(RENAME.format(f"{NAME}_standing", NAME))


def downgrade() -> None:
    op.execute(RENAME.format(NAME, f"{NAME}_standing"))
    op.create_unique_constraint(NAME, TABLE, ["organization_id", "order_id", "dose_number"])
