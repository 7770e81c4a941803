"""Who assigned and who removed a provider; of assignments before this, nobody knows. Re-runnable."""

import sqlalchemy as sa
from alembic import op

from backend.db import ddl

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

TABLE = "care_team_assignments"
COLUMNS = ("assigned_by_id", "removed_by_id")
USER = "FOREIGN KEY (organization_id, {0}) REFERENCES users (organization_id, id)"
CONSTRAINTS = {
    **{f"fk_care_team_assignments_organization_id_{column}": USER.format(column) for column in COLUMNS},
    "ck_care_team_assignments_removed_by_with_time": "CHECK (removed_by_id IS NULL OR removed_at IS NOT NULL)",
}


def upgrade() -> None:
    for column in COLUMNS:
        op.add_column(TABLE, sa.Column(column, sa.Uuid(), nullable=True), if_not_exists=True)
    ddl.add_constraints(TABLE, CONSTRAINTS)


def downgrade() -> None:
    ddl.drop_constraints(TABLE, *CONSTRAINTS)
    for column in COLUMNS:
        op.drop_column(TABLE, column)
