"""A run signals a drift of a group once: the unique index, built while events are written."""

from backend.db import ddl

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


INDEXES = {
    "uq_drift_events_signal": "(organization_id, report_run_id, payer, cpt_group, drift_type)",
}


def upgrade() -> None:
    ddl.create_indexes("drift_events", INDEXES, unique=True)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
