"""A run signals a drift of a group once: the index of 0045 becomes the constraint that statements name."""

from backend.db import ddl

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None

TABLE = "drift_events"
CONSTRAINT = "driftevent_unique_signal"
INDEX = "uq_drift_events_signal"
COLUMNS = "(organization_id, report_run_id, payer, cpt_group, drift_type)"


def upgrade() -> None:
    ddl.promote_index(TABLE, CONSTRAINT, INDEX)


def downgrade() -> None:
    ddl.demote_constraint(TABLE, CONSTRAINT, INDEX, COLUMNS)
