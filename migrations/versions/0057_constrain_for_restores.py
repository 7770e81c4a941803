"""A variance alone has a sequence; and the bounds of a drift event read the same after a restore.

PostgreSQL writes `a BETWEEN 0 AND 1 AND b BETWEEN 0 AND 1` down with parentheses that it leaves out when it reads that
text again. `valmed verify`, which compares the text of each constraint, then takes a restored one for a changed one.
"""

from backend.db import ddl

revision = "0057"
down_revision = "0056"
branch_labels = None
depends_on = None

VARIANCE = {"ck_discrepancies_sequence_of_count": "CHECK (sequence IS NULL OR kind = 'count')"}
RANGES = {
    "ck_drift_events_severity_range": "CHECK (severity BETWEEN 0 AND 1)",
    "ck_drift_events_confidence_range": "CHECK (confidence BETWEEN 0 AND 1)",
}
BOTH = {
    "ck_drift_events_severity_and_confidence": "CHECK (severity BETWEEN 0 AND 1 AND confidence BETWEEN 0 AND 1)",
}


def upgrade() -> None:
    ddl.add_constraints("discrepancies", VARIANCE)
    ddl.add_constraints("drift_events", RANGES)
    ddl.drop_constraints("drift_events", *BOTH)


def downgrade() -> None:
    ddl.add_constraints("drift_events", BOTH)
    ddl.drop_constraints("drift_events", *RANGES)
    ddl.drop_constraints("discrepancies", *VARIANCE)
